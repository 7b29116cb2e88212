//! Golden messages: an item as TeleMessage sends it, and its message, byte for byte.
//!
//! `tests/golden/<name>.json` is a raw item. Its attachments, where they are not inline, are `<name>.files/<index>`;
//! `<name>.staged.json`, where there is one, holds the recorded resolution and tells which attachments are missing or
//! corrupt. `<name>.eml` is what must come out. After a wanted change of the converter, `WHATSAPP_ARCHIVER_BLESS=1
//! cargo test --test it convert_golden` writes the messages anew; look at the difference before you commit it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use mail_parser::{MessageParser, MimeHeaders as _};
use serde::Deserialize;
use whatsapp_archiver::convert::{Message, StagedAttachment, convert};
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::item::Item;
use whatsapp_archiver::item::read::inline_contents;
use whatsapp_archiver::resolution::Resolution;

const DOMAIN: &str = "whatsapp.invalid";

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Staged {
    resolution: Resolution,
    attachments: Vec<StagedAs>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum StagedAs {
    File(usize),
    Missing(String),
    Corrupt(String),
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

pub(crate) fn staged_at() -> DateTime<Utc> {
    "2025-12-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn names() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let items = entries.filter_map(|file| Some(file.strip_suffix(".json")?.to_owned()));
    let mut names: Vec<String> = items.filter(|name| !name.ends_with(".staged")).collect();
    names.sort();
    assert!(names.len() > 50, "the golden items are gone");
    names
}

fn present(bytes: Vec<u8>) -> StagedAttachment {
    StagedAttachment::Present { digest: Digest::of(&bytes), bytes: Bytes::from(bytes) }
}

fn message(name: &str) -> (Item, Vec<StagedAttachment>, Message) {
    let raw = std::fs::read(folder().join(format!("{name}.json"))).unwrap();
    let item = Item::read(&raw, staged_at()).unwrap();
    let staged = std::fs::read(folder().join(format!("{name}.staged.json")));
    let staged: Staged = staged.map(|json| serde_json::from_slice(&json).unwrap()).unwrap_or_default();
    let file = |index: usize| std::fs::read(folder().join(format!("{name}.files/{index}"))).unwrap();
    let inline = inline_contents(&raw, |_, base64| base64.to_owned()).unwrap();
    let attachments: Vec<StagedAttachment> = inline
        .into_iter()
        .enumerate()
        .map(|(index, content)| match (content, staged.attachments.get(index)) {
            (Some(content), _) => present(base64::engine::general_purpose::STANDARD.decode(content).unwrap()),
            (None, None) => present(file(index)),
            (None, Some(StagedAs::File(index))) => present(file(*index)),
            (None, Some(StagedAs::Missing(detail))) => StagedAttachment::Missing { detail: detail.clone() },
            (None, Some(StagedAs::Corrupt(detail))) => StagedAttachment::Corrupt { detail: detail.clone() },
        })
        .collect();
    let message = convert(&item, &attachments, &staged.resolution, DOMAIN);
    (item, attachments, message)
}

#[test]
fn every_message_is_as_it_was() {
    let bless = std::env::var_os("WHATSAPP_ARCHIVER_BLESS").is_some();
    let mut changed = Vec::new();
    for name in names() {
        let path = folder().join(format!("{name}.eml"));
        let (_, _, message) = message(&name);
        if bless {
            std::fs::write(&path, message.mime()).unwrap();
        } else if std::fs::read(&path).ok().as_deref() != Some(message.mime().as_ref()) {
            changed.push(name);
        }
    }
    assert!(changed.is_empty(), "converted otherwise than before: {changed:?} (see the head of this file)");
}

#[test]
fn mail_parser_reads_back_what_went_in() {
    for name in names() {
        let (item, attachments, message) = message(&name);
        let parsed = MessageParser::new().parse(message.mime()).unwrap();
        assert_eq!(parsed.date().unwrap().to_timestamp(), item.time.at.timestamp(), "{name}");
        assert_eq!(parsed.message_id(), Some(message.mail.message_id.as_str()), "{name}");
        assert_eq!(parsed.subject(), Some(message.mail.subject.as_str()), "{name}");
        let text = parsed.body_text(0).unwrap().replace("\r\n", "\n");
        let own_text = super::convert_property::barred(&whatsapp_archiver::item::text::printable(&item.text));
        assert!(text.contains(own_text.trim_start()), "{name}: {text}");
        let present =
            attachments.iter().filter(|attachment| matches!(attachment, StagedAttachment::Present { .. })).count();
        assert_eq!(parsed.attachments().count(), present, "{name}");
        let read_names: BTreeSet<&str> =
            parsed.attachments().map(|attachment| attachment.attachment_name().unwrap()).collect();
        let names: BTreeSet<&str> = message.mail.attachments.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(read_names, names, "{name}");
        assert_eq!(message.missing().is_empty(), present == attachments.len(), "{name}");
    }
}

#[test]
fn python_reads_every_message_without_a_defect() {
    let paths = names().into_iter().map(|name| folder().join(format!("{name}.eml")));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check_eml.py");
    let output = Command::new("python3").arg(script).args(paths).output().expect("python3 is installed");
    let results = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}{results}", String::from_utf8_lossy(&output.stderr));
    for (line, name) in results.lines().zip(names()) {
        let result: serde_json::Value = serde_json::from_str(line).unwrap();
        let (_, _, message) = message(&name);
        let mut digests: Vec<String> = message.mail.attachments.iter().map(|file| file.digest.to_string()).collect();
        let files = result["files"].as_array().unwrap().iter();
        let mut read: Vec<String> = files.map(|file| file["sha256"].as_str().unwrap().to_owned()).collect();
        digests.sort();
        read.sort();
        assert_eq!(read, digests, "{name}");
        let to: Vec<&str> = result["to"].as_array().unwrap().iter().map(|to| to[1].as_str().unwrap()).collect();
        let expected: Vec<&str> = message.mail.to.iter().map(|to| to.address.as_str()).collect();
        assert_eq!(to, expected, "{name}");
    }
}

#[test]
fn plain_text_and_html_say_the_same() {
    for name in names() {
        let (_, _, message) = message(&name);
        // Line ends of the markup stand for blanks.
        let html = visible_text(&message.mail.html).replace('\n', " ");
        for line in message.mail.text.lines() {
            let line = line.trim_start_matches(['|', '-', ' ']).trim().trim_end_matches(':');
            // Who and to whom stand before the heading in HTML, after it in plain text.
            let line = line.split_once(", from ").map_or(line, |(heading, _)| heading);
            let numbered = line.split_once(". ").filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()));
            let said = line.split_once(" wrote: ");
            let value = numbered.or(said).or(line.split_once(": ")).map_or(line, |(_, value)| value);
            let found = html.contains(value);
            assert!(found, "{name}: not in the HTML: {value:?}\n{html}");
        }
    }
}

/// The HTML without its tags, entities read.
fn visible_text(html: &str) -> String {
    let mut text = String::new();
    for piece in html.split('<') {
        text.push_str(piece.split_once('>').map_or(piece, |(_, text)| text));
    }
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\"")]
        .iter()
        .fold(text, |text, (entity, character)| text.replace(entity, character))
        .replace("&nbsp;", " ")
        .replace("&#38;", "&")
        .replace("&amp;", "&")
}
