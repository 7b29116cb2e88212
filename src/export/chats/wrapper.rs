//! The file around a manifest: an e-mail with `X-RSMF-` headers, a readable transcript, and `rsmf.zip`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::SecondsFormat;
use chrono_tz::Tz;
use mail_builder::MessageBuilder;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::date::Date;
use mail_builder::headers::text::Text;
use mail_builder::mime::{BodyPart, MimePart};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::event::Captured;
use super::manifest::{Manifest, Participant};
use crate::convert::unstructured;
use crate::digest::Digest;
use crate::export::error::{ExportError, at};
use crate::export::output::{Output, create};
use crate::identity::Identity;

/// Writes `rsmf.zip`: the manifest, and the attachments under the names it gives them.
pub(super) fn write_archive(
    archive: &Path,
    for_file: &Path,
    manifest: &Manifest,
    attachment_path: impl Fn(Digest) -> PathBuf,
) -> Result<(), ExportError> {
    let zip_error = |source| ExportError::Archive { path: for_file.to_owned(), source };
    let mut zip = ZipWriter::new(BufWriter::new(create(archive)?));
    // The zip format's own epoch: the same messages give the same bytes.
    let options = SimpleFileOptions::default().last_modified_time(DateTime::default()).unix_permissions(0o644);
    let compressed = options.compression_method(CompressionMethod::Deflated);
    let stored = options.compression_method(CompressionMethod::Stored).large_file(true);
    zip.start_file("rsmf_manifest.json", compressed).map_err(zip_error)?;
    serde_json::to_writer(&mut zip, manifest)
        .map_err(|source| ExportError::PutAside { path: archive.to_owned(), source: source.into() })?;
    for attachment in manifest.events.iter().flat_map(|event| &event.attachments) {
        let path = attachment_path(attachment.digest);
        let mut bytes = File::open(&path).map_err(at(&path))?;
        zip.start_file(attachment.id.as_str(), stored).map_err(zip_error)?;
        io::copy(&mut bytes, &mut zip).map_err(at(archive))?;
    }
    zip.finish().map_err(zip_error)?.flush().map_err(at(archive))
}

/// Writes the e-mail around the archive, which is streamed through base64.
pub(super) fn write(
    output: &mut Output,
    archive: &Path,
    manifest: &Manifest,
    events: &[Captured],
    time_zone: Tz,
) -> Result<(), ExportError> {
    let ids: Vec<&str> = events.iter().map(|event| event.message_id.as_str()).collect();
    let digest = Digest::of(ids.join("\n").as_bytes());
    let boundary = format!("=_rsmf_{}", digest.short(32));
    let mut head = Vec::new();
    message(manifest, events, digest, &boundary, time_zone).serialize(&mut head);
    let end = format!("\r\n--{boundary}--\r\n");
    let path = output.path().to_owned();
    let archive_file = File::open(archive).map_err(at(archive))?;
    let written = (|| {
        output.write_all(head.strip_suffix(end.as_bytes()).unwrap_or(&head))?;
        write!(output, "\r\n--{boundary}\r\nContent-Type: application/zip\r\n")?;
        output.write_all(b"Content-Disposition: attachment; filename=\"rsmf.zip\"\r\n")?;
        output.write_all(b"Content-Transfer-Encoding: base64\r\n\r\n")?;
        copy_as_base64(&mut BufReader::new(archive_file), output)?;
        output.write_all(end.as_bytes())?;
        output.flush()
    })();
    written.map_err(at(&path))
}

/// The header and the transcript; the archive is added behind it.
fn message<'a>(
    manifest: &'a Manifest,
    events: &'a [Captured],
    digest: Digest,
    boundary: &str,
    time_zone: Tz,
) -> MessageBuilder<'a> {
    let attachments: usize = manifest.events.iter().map(|event| event.attachments.len()).sum();
    let names = listed_names(manifest);
    let author = manifest.author().map(|author| (author.display.clone(), author.address()));
    let author =
        author.unwrap_or_else(|| ("WhatsApp Archiver".to_owned(), "whatsapp-archiver@whatsapp.invalid".into()));
    let (first, last) = (events.first(), events.last());
    let instant = |event: Option<&Captured>| {
        event.map(|event| event.time().to_rfc3339_opts(SecondsFormat::Millis, true)).unwrap_or_default()
    };
    let chat = manifest.conversations.first().map(|chat| chat.display.as_str()).unwrap_or_default();
    let mut builder = MessageBuilder::new()
        .from(author)
        .header(
            "Subject",
            unstructured(format!("{} {chat}", first.map(|event| event.day(time_zone)).unwrap_or_default())),
        )
        .date(Date::new(first.map_or(0, |event| event.time().timestamp())))
        .message_id(Identity(digest).message_id().as_str().to_owned())
        .header("X-RSMF-Version", Text::new("2.0.0"))
        .header("X-RSMF-Generator", Text::new(concat!("whatsapp-archiver ", env!("CARGO_PKG_VERSION"))))
        .header("X-RSMF-BeginDate", Text::new(instant(first)))
        .header("X-RSMF-EndDate", Text::new(instant(last)))
        .header("X-RSMF-EventCount", Text::new(manifest.events.len().to_string()))
        .header("X-RSMF-AttachmentCount", Text::new(attachments.to_string()))
        .header("X-RSMF-Application", Text::new("WhatsApp"))
        .header("X-RSMF-Participants", unstructured(names.join(", ")))
        .header("X-RSMF-EventCollectionID", Text::new(manifest.event_collection_id.as_str()));
    if let Some(custodian) = manifest.custodian() {
        builder = builder.header("X-RSMF-Custodian", unstructured(custodian.display.as_str()));
    }
    let content_type = ContentType::new("multipart/mixed").attribute("boundary", boundary.to_owned());
    let transcript =
        MimePart::new("text/plain", BodyPart::Text(transcript(events, time_zone).replace('\n', "\r\n").into()));
    builder.body(MimePart::new(content_type, BodyPart::Multipart(vec![transcript])))
}

/// The names of all participants. A comma separates them, so that one within a name becomes a blank.
fn listed_names(manifest: &Manifest) -> Vec<String> {
    let name = |participant: &Participant| {
        participant.display.replace(',', " ").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let names: BTreeSet<String> = manifest.participants.iter().map(name).filter(|name| !name.is_empty()).collect();
    names.into_iter().collect()
}

/// One paragraph for each event, for tools that search or show the file as an e-mail. Only the first line of an event
/// begins at the margin with its time and sender, so that no text can pass for another's event.
fn transcript(events: &[Captured], time_zone: Tz) -> String {
    // What any program may break a line at.
    const LINE_ENDS: [char; 7] = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
    let mut text = String::new();
    for event in events {
        let time = event.time().with_timezone(&time_zone).to_rfc3339_opts(SecondsFormat::Secs, true);
        text.extend(["[", &time, "] ", &event.actor.name, ": "]);
        for (number, line) in event.body.split(LINE_ENDS).enumerate() {
            text.extend([if number == 0 { "" } else { "    | " }, line, "\n"]);
        }
        for file in &event.files {
            text.extend(["    + ", &file.name, "\n"]);
        }
    }
    text
}

/// Base64 in lines of 76 characters.
fn copy_as_base64(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    const LINE_BYTES: usize = 57;
    let mut block = vec![0; LINE_BYTES * 512];
    loop {
        let mut filled = 0;
        while let Some(room) = block.get_mut(filled..).filter(|room| !room.is_empty()) {
            match input.read(room)? {
                0 => break,
                read => filled += read,
            }
        }
        for line in block.get(..filled).unwrap_or_default().chunks(LINE_BYTES) {
            output.write_all(BASE64.encode(line).as_bytes())?;
            output.write_all(b"\r\n")?;
        }
        if filled < block.len() {
            return Ok(());
        }
    }
}
