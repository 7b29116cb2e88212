//! What holds for every item, however hostile: its message is clean, complete, and says what went in.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use mail_parser::{Address, MessageParser, MimeHeaders as _};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{RngSeed, TestRunner};
use serde_json::{Value, json};
use whatsapp_archiver::convert::{Message, StagedAttachment, convert};
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::item::Item;
use whatsapp_archiver::item::text::printable;
use whatsapp_archiver::resolution::Resolution;

const DOMAIN: &str = "whatsapp.invalid";
const HEADERS: &[&str] = &[
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Thread-Topic",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];
const TAGS: &[&str] =
    &["!DOCTYPE", "meta", "style", "div", "p", "b", "table", "tr", "td", "br", "img", "a", "span", "bdi", "s", "mark"];

fn staged_at() -> DateTime<Utc> {
    "2025-12-01T00:00:00Z".parse().unwrap()
}

/// Always the same cases, unless the environment asks for others.
fn config() -> ProptestConfig {
    let given = ProptestConfig::default();
    let is_set = |variable: &str| std::env::var_os(variable).is_some();
    ProptestConfig {
        cases: if is_set("PROPTEST_CASES") { given.cases } else { 400 },
        rng_seed: if is_set("PROPTEST_RNG_SEED") { given.rng_seed } else { RngSeed::Fixed(20_251_121) },
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..given
    }
}

/// Text as people and attackers write it.
fn text() -> impl Strategy<Value = String> {
    let hostile = select(vec![
        "\r\nBcc: victim@contoso.example\r\n\r\n",
        "=?utf-8?Q?=0D=0ABcc:_x@evil.example?=",
        "\u{202e}gpj.exe\u{2066}",
        "\0\u{1}\u{7f}\u{85}\u{2028}\u{feff}\u{fffe}",
        "<script>alert(1)</script><img src=x onerror=y>",
        "\"><a href=\"javascript:x\">",
        "--=_\r\n--=_x_alternative--\r\n",
        "\n.\n..\r.\n From here\nFrom there\n",
        "שלום <b>عالم</b> 日本語 👩\u{200d}👩\u{200d}👧",
        "a@b.example>, \"x\" <c@d.example",
        "&lt;&amp;{{ body }}{% raw %}",
        "../../etc/passwd\\..\\con",
        " trailing \t ",
        "",
    ]);
    prop_oneof![
        4 => "[ -~]{0,40}",
        3 => hostile.clone().prop_map(str::to_owned),
        2 => (any::<String>(), hostile, any::<String>()).prop_map(|(before, middle, after)| before + middle + &after),
        1 => ("\\PC", 900..4000_usize).prop_map(|(character, times)| character.repeat(times)),
    ]
}

fn participant() -> impl Strategy<Value = Value> {
    let value = prop_oneof![3 => "[0-9]{7,15}", 1 => text()];
    (value, select(vec!["PHONE", "ALPHANUMERIC"])).prop_map(|(value, kind)| json!({"value": value, "type": kind}))
}

fn enrichments() -> impl Strategy<Value = Value> {
    let email =
        prop_oneof![Just("ana.berg@contoso.example".to_owned()), Just("o'hara+x@contoso.example".to_owned()), text()];
    let person = (option::of(text()), option::of(text()), option::of(email))
        .prop_map(|(first, last, email)| json!({"firstName": first, "lastName": last, "email": email}));
    vec((participant(), person), 0..3).prop_map(|people| {
        Value::Object(people.into_iter().map(|(participant, person)| (participant.to_string(), person)).collect())
    })
}

fn structures() -> impl Strategy<Value = Value> {
    let optional = || option::of(text());
    let quoted = (optional(), option::of(participant()), optional())
        .prop_map(|(id, sender, text)| json!({"quoted": {"messageId": id, "sender": sender, "text": text}}));
    let call = (any::<Option<i64>>(), any::<Option<i64>>(), optional(), any::<Option<i64>>()).prop_map(
        |(start, end, status, duration)| {
            json!({"callInfo": {"startTime": start, "endTime": end, "callStatus": status,
                "callDurationInMillis": duration, "callType": "VIDEO"}})
        },
    );
    let kinds = select(vec!["Reaction", "Join", "Rename", "DeleteChat", "Poll"]);
    let event = (kinds, option::of(participant()), vec(participant(), 0..3), optional(), optional()).prop_map(
        |(kind, actor, members, emoji, target)| {
            json!({"event": {"type": kind, "actor": actor, "members": members, "emoji": emoji,
                "targetMessageId": target, "newValue": target}})
        },
    );
    let original = (optional(), option::of(participant()), optional(), any::<Option<i64>>()).prop_map(
        |(text, sender, previous, time)| {
            json!({"originalMessageData": {"text": text, "sender": sender, "previousText": previous,
                "messageTime": time, "readStatus": text}})
        },
    );
    let location = (any::<f64>(), optional(), optional()).prop_map(
        |(degrees, name, address)| json!({"location": {"latitude": degrees, "longitude": name, "address": address}}),
    );
    prop_oneof![Just(json!({})), quoted, call, event, original, location]
}

fn body() -> impl Strategy<Value = Value> {
    let types = prop_oneof![
        3 => select(vec!["APP_MESSAGE", "EVENT", "CALL_LOG", "VOICE_CALL", "MULTIMEDIA_MESSAGE"]).prop_map(str::to_owned),
        1 => text()
    ];
    let prefix = select(vec!["", "DELETE_FOR_ME-", "DELETE_FOR_ALL-", "DELETE_ALL_MESSAGES-", "EDIT-"]);
    let who = (option::of(participant()), option::of(participant()), vec(participant(), 0..4), enrichments());
    let what = (text(), option::of(text()), types, prefix, text());
    let wher = (option::of(text()), option::of(text()), option::of(text()), any::<bool>());
    let time = prop_oneof![3 => 1_700_000_000_000..1_763_000_000_000_i64, 1 => any::<i64>()];
    (who, what, wher, structures(), time).prop_map(|(who, what, wher, structures, time)| {
        let mut body = json!({
            "owner": who.0, "sender": who.1, "recipients": who.2, "participantEnrichments": who.3,
            "text": what.0, "subject": what.1, "messageType": what.2, "messageId": format!("{}{}", what.3, what.4),
            "groupId": wher.0, "groupName": wher.1, "threadID": wher.2, "viewOnce": wher.3,
            "messageTime": time, "direction": "IN",
        });
        body.as_object_mut().unwrap().extend(structures.as_object().unwrap().clone());
        body
    })
}

#[derive(Debug, Clone)]
struct Attachment {
    name: Option<String>,
    content_type: Option<String>,
    bytes: Option<Vec<u8>>,
}

fn attachment() -> impl Strategy<Value = Attachment> {
    let types = prop_oneof![
        3 => select(vec!["image/jpeg", "text/vcard", "text/plain", "message/rfc822", "multipart/mixed", "text/html"])
            .prop_map(str::to_owned),
        1 => text()
    ];
    let bytes = prop_oneof![
        2 => vec(any::<u8>(), 0..300),
        1 => text().prop_map(String::into_bytes),
        1 => text().prop_map(|text| format!("BEGIN:VCARD\nFN:{text}\nTEL;{text}:{text}\nEND:VCARD").into_bytes()),
        1 => text().prop_map(|text| [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), text.as_bytes()].concat()),
        1 => text().prop_map(|text| format!("From: a@b.example\r\n\r\n{}\r\n", text.replace(['\r', '\n', '\0'], " ")).into_bytes()),
    ];
    (option::of(text()), option::of(types), option::weighted(0.8, bytes))
        .prop_map(|(name, content_type, bytes)| Attachment { name, content_type, bytes })
}

#[derive(Debug, Clone)]
struct Case {
    raw: Vec<u8>,
    attachments: Vec<Attachment>,
}

fn case() -> impl Strategy<Value = Case> {
    (body(), vec(attachment(), 0..4), option::of(text())).prop_map(|(mut body, attachments, source)| {
        let declared = attachments
            .iter()
            .map(|attachment| json!({"name": attachment.name, "contentType": attachment.content_type}));
        body["attachment"] = declared.collect();
        let raw = json!({"id": 7, "gatewayReceivedDate": 1_763_000_000_000_i64, "sourceType": source, "body": body});
        Case { raw: raw.to_string().into_bytes(), attachments }
    })
}

impl Case {
    fn convert(&self) -> (Item, Message) {
        let item = Item::read(&self.raw, staged_at()).unwrap();
        let staged = self.attachments.iter().map(|attachment| match &attachment.bytes {
            Some(bytes) => StagedAttachment::Present { digest: Digest::of(bytes), bytes: Bytes::from(bytes.clone()) },
            None => StagedAttachment::Missing { detail: attachment.name.clone().unwrap_or_default() },
        });
        let message = convert(&item, &staged.collect::<Vec<_>>(), &Resolution::default(), DOMAIN);
        (item, message)
    }
}

/// A text as it stands in plain text: each line but the first after a bar.
pub(crate) fn barred(text: &str) -> String {
    let line = |line: &str| if line.is_empty() { "|".to_owned() } else { format!("| {line}") };
    let lines = text.split(['\n', '\u{2028}', '\u{2029}']);
    let barred = lines.enumerate().map(|(place, text)| if place == 0 { text.to_owned() } else { line(text) });
    barred.collect::<Vec<_>>().join("\n")
}

/// RFC 5322, 2.1.1 and 2.3, and the header fields that a message of ours may have, each once.
pub(crate) fn check_lines_and_headers(mime: &[u8]) {
    assert!(mime.ends_with(b"\r\n"));
    for line in mime.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r\n").expect("a lone LF");
        assert!(line.len() <= 998, "a line of {} octets", line.len());
        assert!(!line.contains(&b'\r') && !line.contains(&0), "a lone CR or a NUL");
    }
    let text = String::from_utf8_lossy(mime);
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t')), "{head}");
    let mut seen = std::collections::HashSet::new();
    for line in head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])) {
        let name = line.split_once(':').unwrap().0;
        assert!(HEADERS.contains(&name) || name.starts_with("X-WhatsApp-Archiver-"), "{line}");
        assert!(seen.insert(name.to_owned()), "twice: {name}");
    }
}

pub(crate) fn check_html(html: &str) {
    for tag in html.split('<').skip(1) {
        let name: String =
            tag.trim_start_matches('/').chars().take_while(|&c| c.is_ascii_alphanumeric() || c == '!').collect();
        assert!(TAGS.contains(&name.as_str()), "<{tag}");
        let attributes = tag.split('>').next().unwrap();
        for source in attributes.split("src=\"").skip(1) {
            assert!(source.starts_with("cid:"), "{attributes}");
        }
        for target in attributes.split("href=\"").skip(1) {
            assert!(target.starts_with("geo:"), "{attributes}");
        }
    }
}

fn addresses(header: Option<&Address<'_>>) -> Vec<String> {
    let addresses =
        header.map(|header| header.iter().filter_map(|address| address.address()).map(str::to_owned).collect());
    addresses.unwrap_or_default()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_message_is_clean_and_says_what_went_in(case in case()) {
        let (item, message) = case.convert();
        let (_, again) = case.convert();
        prop_assert_eq!(message.mime(), again.mime(), "the same item gives the same bytes");
        prop_assert_eq!(message.size(), message.mime().len() as u64);

        check_lines_and_headers(message.mime());
        check_html(&message.mail.html);
        let mail = &message.mail;
        let one_line = |text: &str| !text.contains(['\r', '\n', '\0']);
        prop_assert!(one_line(&mail.subject) && !mail.subject.is_empty());

        let parsed = MessageParser::new().parse(message.mime()).unwrap();
        prop_assert_eq!(parsed.date().unwrap().to_timestamp(), item.time.at.timestamp());
        prop_assert_eq!(parsed.message_id(), Some(mail.message_id.as_str()));
        prop_assert_eq!(addresses(parsed.from()), vec![mail.from.address.clone()]);
        let to: Vec<String> = mail.to.iter().map(|to| to.address.clone()).collect();
        prop_assert_eq!(addresses(parsed.to()), to);
        let bodies = parsed.body_text(0).unwrap().replace("\r\n", "\n");
        let text = barred(&printable(&item.text));
        prop_assert!(bodies.contains(text.trim_start()), "{:?} is not in {:?}", text, bodies);

        let present: Vec<&Vec<u8>> = case.attachments.iter().filter_map(|attachment| attachment.bytes.as_ref()).collect();
        // An item that is shown whole and is too long for the body comes as a file of its own, after the others.
        let (files, own) = mail.attachments.split_at(present.len().min(mail.attachments.len()));
        prop_assert_eq!((files.len(), own.len() <= 1), (present.len(), true));
        for whole in own {
            prop_assert!(whole.name.starts_with("item") && item.whole.as_ref() == Some(&whole.bytes), "{:?}", whole.name);
        }
        prop_assert_eq!(message.missing().len(), case.attachments.len() - present.len());
        for (file, bytes) in files.iter().zip(&present) {
            prop_assert_eq!(file.bytes.as_ref(), bytes.as_slice());
            let is_safe = !file.name.contains(['/', '\\', '\r', '\n', '\u{202e}']) && file.name.len() <= 200;
            prop_assert!(is_safe, "{:?}", file.name);
            prop_assert!(mail.html.contains(&file.digest.to_string()) && mail.text.contains(&file.digest.to_string()));
            let sent = parsed.parts.iter().find(|part| part.attachment_name() == Some(file.name.as_str()));
            prop_assert!(sent.is_some(), "{:?} is not in the message", file.name);
        }
        let manifest = message.manifest();
        prop_assert_eq!(manifest.mime, Digest::of(message.mime()));
        prop_assert_eq!(manifest.attachments.len(), mail.attachments.len());
    }
}

/// The same items through Python's strict parser, which also gives the attachments' digests as it decoded them.
#[test]
fn python_reads_any_message_without_a_defect() {
    let mut runner = TestRunner::new(config());
    let messages: Vec<Message> =
        (0..150).map(|_| case().new_tree(&mut runner).unwrap().current().convert().1).collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check_eml.py");
    let mut python = Command::new("python3")
        .arg(script)
        .arg("--stream")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is installed");
    let mut input = python.stdin.take().unwrap();
    let stream: Vec<u8> = messages
        .iter()
        .flat_map(|message| [format!("{}\n", message.size()).as_bytes(), message.mime()].concat())
        .collect();
    let feeder = std::thread::spawn(move || input.write_all(&stream));
    let output = python.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), messages.len());
    for (line, message) in lines.iter().zip(&messages) {
        assert_eq!(line["problems"], json!([]), "{}", String::from_utf8_lossy(message.mime()));
        assert_eq!(line["subject"], json!(message.mail.subject), "{}", String::from_utf8_lossy(message.mime()));
        let read = line["files"].as_array().unwrap().iter().map(|file| file["sha256"].as_str().unwrap().to_owned());
        let mut read: Vec<String> = read.collect();
        let mut sent: Vec<String> = message.mail.attachments.iter().map(|file| file.digest.to_string()).collect();
        read.sort();
        sent.sort();
        assert_eq!(read, sent, "{}", String::from_utf8_lossy(message.mime()));
    }
}
