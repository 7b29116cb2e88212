//! Exports read back: by taking them apart again, and against the rules of RSMF 2.0.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use mail_parser::{MessageParser, MimeHeaders as _};
use serde_json::Value;
use tempfile::TempDir;
use whatsapp_archiver::convert::{Message, StagedAttachment, convert};
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::export::{ExportError, Exporter, Format, MANIFEST, Options, Summary};
use whatsapp_archiver::item::{Item, Participant};
use whatsapp_archiver::resolution::{Mailbox, MailboxId, Resolution, Resolved, ResolvedBy, ResolvedTo};

mod rsmf_rules;

use rsmf_rules::{check_rules, check_schema};

pub(crate) struct Exported {
    pub(crate) item: Item,
    pub(crate) resolution: Resolution,
    pub(crate) message: Message,
}

impl Exported {
    /// The same with what is recorded of its participants: a mailbox for each of these numbers.
    fn resolved(mut self, mailboxes: &[(&str, &str)]) -> Self {
        let resolved = mailboxes.iter().map(|(number, address)| {
            let mailbox = Mailbox { id: MailboxId((*address).to_owned()), address: (*address).to_owned() };
            let outcome = ResolvedTo::Mailbox { mailbox, by: ResolvedBy::Csv };
            Resolved { participant: Participant::phone(*number), outcome, rule: None, late: false }
        });
        self.resolution = Resolution(resolved.collect());
        self
    }
}

pub(crate) fn exported(body: &str, files: &[&[u8]]) -> Exported {
    let json =
        format!(r#"{{"id":1,"gatewayReceivedDate":1763712000000,"sourceType":"WHATSAPP_ARCHIVER","body":{body}}}"#);
    let item = Item::read(json.as_bytes(), "2025-12-01T00:00:00Z".parse().unwrap()).unwrap();
    let present =
        |bytes: &&[u8]| StagedAttachment::Present { bytes: Bytes::copy_from_slice(bytes), digest: Digest::of(bytes) };
    let attachments: Vec<StagedAttachment> = files.iter().map(present).collect();
    let resolution = Resolution::default();
    let message = convert(&item, &attachments, &resolution, "whatsapp.invalid");
    Exported { item, resolution, message }
}

/// A message from `sender` to the other of two people, `minute` minutes after 08:00 on 21 November 2025.
pub(crate) fn said(id: &str, sender: &str, minute: i64, fields: &str) -> Exported {
    said_with(id, sender, minute, fields, &[])
}

pub(crate) fn said_with(id: &str, sender: &str, minute: i64, fields: &str, files: &[&[u8]]) -> Exported {
    let recipient = if sender == "15550100" { "15550101" } else { "15550100" };
    let time = 1_763_712_000_000 + minute * 60_000;
    let body = format!(
        r#"{{"messageId":"{id}","messageType":"APP_MESSAGE","messageTime":{time},"direction":"IN","owner":{{"value":"15550100"}},
            "sender":{{"value":"{sender}"}},"recipients":[{{"value":"{recipient}"}}],
            "participantEnrichments":{{"15550100":{{"firstName":"Ana","email":"ana@contoso.example"}},"15550101":{{"firstName":"Ben","email":"x\r\nBcc: y"}}}}
            {fields}}}"#
    );
    exported(&body, files)
}

fn export(format: Format, messages: &[Exported]) -> (TempDir, Summary) {
    let folder = TempDir::new().unwrap();
    let mut exporter = Exporter::new(&Options::new(format), folder.path()).unwrap();
    for exported in messages {
        exporter.add(&exported.item, &exported.resolution, &exported.message).unwrap();
    }
    let summary = exporter.finish().unwrap().summary;
    (folder, summary)
}

pub(crate) fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_in(&path));
        } else if path.file_name().unwrap() != MANIFEST {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn eml_files_are_the_messages_and_a_second_capture_is_left_out() {
    let messages = [
        said("a", "15550101", 1, r#","text":"one""#),
        said("a", "15550101", 1, r#","text":"one","threadID":"another owner's""#),
        said("b", "15550101", 24 * 60, r#","text":"two""#),
    ];
    let (folder, summary) = export(Format::Eml, &messages);
    assert_eq!(summary, Summary { messages: 2, duplicates: 1, files: 2 });
    let files = files_in(folder.path());
    assert_eq!(files.len(), 2);
    assert!(
        files[0].starts_with(folder.path().join("2025-11-21"))
            && files[1].starts_with(folder.path().join("2025-11-22"))
    );
    assert_eq!(std::fs::read(&files[0]).unwrap(), messages[0].message.mime().as_ref());
    assert_eq!(std::fs::read(&files[1]).unwrap(), messages[2].message.mime().as_ref());
}

#[test]
fn nothing_is_overwritten() {
    let message = said("a", "15550101", 1, "");
    for format in Format::ALL {
        let (folder, _) = export(format, std::slice::from_ref(&message));
        let before = files_in(folder.path());
        let again = Exporter::new(&Options::new(format), folder.path()).and_then(|mut exporter| {
            exporter.add(&message.item, &message.resolution, &message.message)?;
            exporter.finish()
        });
        assert!(matches!(again, Err(ExportError::Taken { .. })), "{}", format.name());
        assert_eq!(files_in(folder.path()), before, "{}", format.name());
        assert_eq!(Format::from_name(format.name()), Some(format));
    }
}

#[test]
fn an_mbox_gives_back_each_message_exactly() {
    let texts = ["From me\\n>From you\\n>>From all\\nFrom", "plain", "From\\tnobody\\n\\n\\nFrom x"];
    let messages: Vec<Exported> = (0_i64..)
        .zip(texts)
        .map(|(minute, text)| said(&format!("m{minute}"), "15550101", minute, &format!(r#","text":"{text}""#)))
        .collect();
    let (folder, summary) = export(Format::Mbox, &messages);
    assert_eq!(summary, Summary { messages: 3, duplicates: 0, files: 1 });
    let mbox = std::fs::read_to_string(folder.path().join("messages.mbox")).unwrap();
    assert!(mbox.starts_with("From 15550101@whatsapp.invalid Fri Nov 21 08:00:00 2025\n"), "{}", &mbox[..80]);

    let mut read: Vec<String> = Vec::new();
    for line in mbox.split_inclusive('\n') {
        if line.starts_with("From ") {
            read.push(String::new());
            continue;
        }
        let quoted = line.starts_with('>') && line.trim_start_matches('>').starts_with("From ");
        let line = if quoted { &line[1..] } else { line };
        read.last_mut().unwrap().push_str(line);
    }
    assert_eq!(read.len(), messages.len());
    for (read, exported) in read.iter().zip(&messages) {
        let message = read.strip_suffix('\n').unwrap().replace('\n', "\r\n");
        assert_eq!(message.as_bytes(), exported.message.mime().as_ref());
    }
}

/// An RSMF file taken apart: its headers, its manifest and the names in its archive with their bytes.
pub(crate) struct Rsmf {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) manifest: Value,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) text: String,
    pub(crate) from: (String, String),
}

pub(crate) fn read_rsmf(path: &Path) -> Rsmf {
    let raw = std::fs::read(path).unwrap();
    assert!(raw.split(|&byte| byte == b'\n').all(|line| line.len() <= 999), "a long line");
    let parsed = MessageParser::new().parse(&raw).unwrap();
    let headers = parsed.headers().iter().filter(|header| header.name().starts_with("X-RSMF-"));
    let headers =
        headers.map(|header| (header.name().to_owned(), header.value().as_text().unwrap().to_owned())).collect();
    assert_eq!(parsed.attachments().count(), 1);
    let archive = parsed.attachments().next().unwrap();
    assert_eq!(archive.attachment_name(), Some("rsmf.zip"));
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(archive.contents().to_vec())).unwrap();
    let mut files = BTreeMap::new();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert!(files.insert(file.name().unwrap().into_owned(), bytes).is_none(), "one name twice");
    }
    let manifest = serde_json::from_slice(&files.remove("rsmf_manifest.json").unwrap()).unwrap();
    let from = parsed.from().unwrap();
    assert_eq!(from.iter().count(), 1, "exactly one participant in From");
    let from = from.first().unwrap();
    let from = (from.name().unwrap().to_owned(), from.address().unwrap().to_owned());
    let rsmf = Rsmf { headers, manifest, files, text: parsed.body_text(0).unwrap().into_owned(), from };
    check_schema(&rsmf.manifest);
    check_rules(&rsmf);
    rsmf
}

#[test]
fn an_rsmf_file_holds_a_chat_and_its_day() {
    let attachment = r#","attachment":[{"name":"a.txt","contentType":"text/plain"},{"name":"a.txt"}]"#;
    let reaction = r#","messageType":"EVENT","event":{"type":"Reaction","emoji":"👍","targetMessageId":"a","targetSender":{"value":"15550101"}}"#;
    let messages = vec![
        said("late", "15550100", 60, r#","text":"the last of the day""#),
        said_with("a", "15550101", 1, &format!(r#","text":"one"{attachment}"#), &[b"first", b"second"]),
        said(
            "b",
            "15550100",
            2,
            r#","text":"an answer","quoted":{"messageId":"a","sender":{"value":"15550101"},"text":"one"}"#,
        ),
        said("r1", "15550100", 3, reaction),
        said("EDIT-a-1", "15550101", 4, r#","originalMessageData":{"text":"two","previousText":"one"}"#),
        said("DELETE_FOR_ALL-b", "15550100", 5, ""),
        said("EDIT-gone-1", "15550101", 6, r#","text":"new text of a message of another day""#),
        said("c", "15550101", 7, r#","messageType":"CALL_LOG","callInfo":{"callStatus":"2","callType":"VOICE"}"#),
        said("next", "15550101", 24 * 60, r#","text":"the next day""#),
        said("g", "15550101", 8, r#","text":"in a group","groupId":"1@g.us","groupName":"Desk""#),
        said(
            "j",
            "15550101",
            9,
            r#","messageType":"EVENT","groupId":"1@g.us","groupName":"Desk","event":{"type":"Join","members":[{"value":"15550102"},{"value":"15550103"}]}"#,
        ),
    ];
    let (folder, summary) = export(Format::Rsmf, &messages);
    assert_eq!(summary, Summary { messages: 11, duplicates: 0, files: 3 });
    let files = files_in(folder.path());
    assert_eq!(files.len(), 3, "{files:?}");
    let all: Vec<Rsmf> = files.iter().map(|path| read_rsmf(path)).collect();
    let direct = all.iter().find(|rsmf| rsmf.text.contains("the last of the day")).unwrap();
    let events = direct.manifest["events"].as_array().unwrap();
    let bodies: Vec<&str> = events.iter().map(|event| event["body"].as_str().unwrap()).collect();
    assert_eq!(bodies[..3], ["two", "an answer", "new text of a message of another day"]);
    assert_eq!(bodies[4], "the last of the day");
    assert_eq!(events.len(), 5);
    let original = &events[0];
    assert_eq!(original["edits"][0]["previous"], "one");
    assert_eq!(original["reactions"][0]["value"], "👍");
    assert_eq!(events[1]["parent"], original["id"]);
    assert_eq!(events[1]["deleted"], true);
    let contents: BTreeSet<&[u8]> = direct.files.values().map(Vec::as_slice).collect();
    assert_eq!(contents, BTreeSet::from([b"first".as_slice(), b"second"]));
    assert_eq!(direct.headers["X-RSMF-Custodian"], "Ana");
    let people = direct.manifest["participants"].as_array().unwrap();
    assert!(people.iter().any(|person| person["email"] == "ana@contoso.example"));
    assert!(people.iter().all(|person| !person.to_string().contains("Bcc")));
    for exported in &messages {
        let id = exported.message.mail.message_id.to_string();
        assert!(all.iter().any(|rsmf| rsmf.manifest.to_string().contains(&id)), "no trace of {id}");
    }
    let group = all.iter().find(|rsmf| rsmf.text.contains("in a group")).unwrap();
    let kinds: Vec<&str> =
        group.manifest["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message", "join", "join"]);
    assert_eq!(group.manifest["conversations"][0]["type"], "channel");
}

/// The events of the only file of these messages.
pub(crate) fn events_of(messages: &[Exported]) -> (Rsmf, Vec<Value>) {
    let (folder, summary) = export(Format::Rsmf, messages);
    assert_eq!(summary.files, 1);
    let rsmf = read_rsmf(&files_in(folder.path())[0]);
    let events = rsmf.manifest["events"].as_array().unwrap().clone();
    (rsmf, events)
}

#[test]
fn an_edit_whose_original_data_has_an_empty_text_keeps_the_new_text() {
    let edit = r#","text":"two","originalMessageData":{"text":"","previousText":"one"}"#;
    let messages = [said("a", "15550101", 1, r#","text":"one""#), said("EDIT-a-1", "15550101", 2, edit)];
    let (_, events) = events_of(&messages);
    assert_eq!((events.len(), &events[0]["body"]), (1, &Value::from("two")));
    assert_eq!(events[0]["edits"][0]["new"], "two");
    let (_, events) = events_of(&messages[1..]);
    assert_eq!(events[0]["body"], "two");
}

#[test]
fn an_edit_loses_no_text_that_contradicts_another() {
    let edit = r#","text":"three","originalMessageData":{"text":"two","previousText":"uno"}"#;
    let messages = [said("a", "15550101", 1, r#","text":"one""#), said("EDIT-a-1", "15550101", 2, edit)];
    let (_, events) = events_of(&messages);
    assert_eq!((&events[0]["body"], &events[0]["edits"][0]["previous"]), (&Value::from("two"), &Value::from("uno")));
    let custom = events[0]["custom"].to_string();
    assert!(custom.contains(r#""value":"one""#) && custom.contains(r#""value":"three""#), "{custom}");
}

#[test]
fn deletions_and_reactions_that_hold_more_are_events_of_their_own_too() {
    let file = r#","attachment":[{"name":"a.txt","contentType":"text/plain"}]"#;
    let reaction = r#","messageType":"EVENT","event":{"type":"Reaction","emoji":"👍","targetMessageId":"a","targetSender":{"value":"15550101"}}"#;
    let messages = [
        said("a", "15550101", 1, r#","text":"one""#),
        said("b", "15550101", 2, r#","text":"two""#),
        said("DELETE_FOR_ALL-a", "15550101", 3, r#","originalMessageData":{"text":"one"}"#),
        said("DELETE_FOR_ALL-b", "15550101", 4, r#","originalMessageData":{"text":"another text"}"#),
        said_with("r1", "15550100", 5, &format!("{reaction}{file}"), &[b"of the reaction"]),
        said("r2", "15550100", 6, &format!(r#"{reaction},"text":"words of the reaction""#)),
        said("r3", "15550100", 7, reaction),
    ];
    let (rsmf, events) = events_of(&messages);
    let reported = |what: &str| events.iter().filter(|event| event["body"].as_str().unwrap().contains(what)).count();
    assert_eq!(events.len(), 5, "{events:?}");
    assert_eq!((reported("another text"), reported("words of the reaction")), (1, 1));
    assert!(events[0]["deleted"] == true && events[1]["deleted"] == true);
    assert_eq!(events[0]["reactions"][0]["count"], 1, "one person reacted, three times");
    assert!(events[2..].iter().take(1).all(|event| event["parent"] == events[1]["id"]));
    assert_eq!(rsmf.files.values().collect::<Vec<_>>(), [b"of the reaction"]);
}

#[test]
fn no_text_can_forge_an_event_of_the_transcript() {
    let forged = "[2025-11-21T08:09:00Z] Ana: forged";
    for line_end in ["\\n", "\\r", "\\u2028", "\\u0085", "\\u000b"] {
        let text = format!(r#","text":"one{line_end}{forged}""#);
        let (rsmf, _) = events_of(&[said("a", "15550101", 1, &text)]);
        let lines = |text: &str| text.starts_with("[2025-11-21T08:09:00Z]");
        let line_ends = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
        assert!(rsmf.text.contains("forged") && !rsmf.text.split(line_ends).any(lines), "{}", rsmf.text);
    }
}

#[test]
fn a_group_begins_with_those_who_were_there_before_anybody_joined() {
    let group = r#","groupId":"1@g.us","groupName":"Desk""#;
    let join = format!(
        r#"{group},"messageType":"EVENT","event":{{"type":"Join","members":[{{"value":"15550102"}},{{"value":"15550100"}}]}}"#
    );
    let said_by_new = format!(r#"{group},"text":"hello","recipients":[{{"value":"15550102"}}]"#);
    let messages = [
        said("c", "15550101", 9, &said_by_new),
        said("a", "15550101", 1, &format!(r#"{group},"text":"before""#)),
        said("j", "15550101", 5, &join),
    ];
    let (rsmf, _) = events_of(&messages);
    let people = rsmf.manifest["participants"].as_array().unwrap();
    let numbers = |ids: &Value| -> BTreeSet<String> {
        let of = |id: &Value| people.iter().find(|person| person["id"] == *id).unwrap()["account_id"].clone();
        ids.as_array().unwrap().iter().map(|id| of(id).as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(people.len(), 3);
    let there = numbers(&rsmf.manifest["conversations"][0]["participants"]);
    assert_eq!(there, BTreeSet::from(["15550100".to_owned(), "15550101".to_owned()]));
}

#[test]
fn an_rsmf_export_is_reproducible() {
    let messages =
        [said_with("a", "15550101", 1, r#","attachment":[{"name":"ü.bin"}]"#, &[b"x"]), said("b", "15550100", 2, "")];
    let (first, _) = export(Format::Rsmf, &messages);
    let (second, _) = export(Format::Rsmf, &messages);
    let bytes =
        |folder: &TempDir| files_in(folder.path()).iter().map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>();
    assert_eq!(bytes(&first), bytes(&second));
}

#[test]
fn an_rsmf_participant_has_the_address_that_was_recorded_else_the_items_own() {
    let messages = [
        said("a", "15550101", 1, r#","text":"before anybody was found""#),
        said("b", "15550101", 2, r#","text":"one""#).resolved(&[("+15550101", "ben@fabrikam.example")]),
        said("c", "15550100", 3, r#","text":"two""#).resolved(&[("15550101", "another@fabrikam.example")]),
    ];
    let (folder, _) = export(Format::Rsmf, &messages);
    let rsmf = read_rsmf(&files_in(folder.path())[0]);
    let people = rsmf.manifest["participants"].as_array().unwrap();
    let email = |number: &str| &people.iter().find(|person| person["account_id"] == number).unwrap()["email"];
    assert_eq!(email("15550100"), "ana@contoso.example");
    assert_eq!(email("15550101"), "ben@fabrikam.example");

    let later = [
        messages.into_iter().next().unwrap(),
        said("d", "15550100", 4, "").resolved(&[("15550100", "ana.berg@contoso.example")]),
    ];
    let (folder, _) = export(Format::Rsmf, &later);
    let people = read_rsmf(&files_in(folder.path())[0]).manifest["participants"].to_string();
    assert!(people.contains("ana.berg@contoso.example") && !people.contains("ana@contoso.example"), "{people}");
}

#[test]
fn a_message_that_was_sent_under_an_earlier_identity_is_exported_once() {
    let message = said("a", "+1 555 0101", 1, r#","text":"x""#);
    let earlier = message.message.under_other_id().expect("version 1 takes the number as it came");
    let folder = TempDir::new().unwrap();
    let mut exporter = Exporter::new(&Options::new(Format::Eml), folder.path()).unwrap();
    exporter.add(&message.item, &message.resolution, &message.message).unwrap();
    exporter.add(&message.item, &message.resolution, &earlier).unwrap();
    let summary = exporter.finish().unwrap().summary;
    assert_eq!((summary.messages, summary.duplicates), (1, 1));
    // Both captures are in the one file, whichever of the two was sent first.
    for (first, second) in [(&message.message, &earlier), (&earlier, &message.message)] {
        let folder = TempDir::new().unwrap();
        let mut exporter = Exporter::new(&Options::new(Format::Eml), folder.path()).unwrap();
        exporter.add(&message.item, &message.resolution, first).unwrap();
        exporter.add(&message.item, &message.resolution, second).unwrap();
        exporter.finish().unwrap();
        let manifest = std::fs::read_to_string(folder.path().join(MANIFEST)).unwrap();
        let rows: Vec<&str> = manifest.lines().skip(1).collect();
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| !row.starts_with(',')), "{manifest}");
    }
}

#[test]
fn an_rsmf_export_of_a_great_group_says_once_what_came_with_it() {
    let members: Vec<String> = (0..1_000).map(|member| format!(r#"{{"value":"1555020{member:04}"}}"#)).collect();
    let event = format!(r#","messageType":"EVENT","event":{{"type":"Join","members":[{}]}}"#, members.join(","));
    let message = said_with("j", "15550101", 1, &format!(r#"{event},"attachment":[{{"name":"a.bin"}}]"#), &[b"x"]);
    let id = message.message.mail.message_id.to_string();
    let (rsmf, events) = events_of(&[message]);
    assert_eq!((events.len(), rsmf.files.len()), (1_000, 1));
    assert!(events.iter().all(|event| event["type"] == "join" && event.to_string().contains(&id)));
    assert!(rsmf.manifest.to_string().len() < 1_000_000, "{}", rsmf.manifest.to_string().len());
}

#[test]
fn an_rsmf_export_has_a_person_once_who_is_known_by_number_and_lid() {
    let lid = r#"{"value":"98765432101234@lid","phoneNumber":"+1 555 0101"}"#;
    let message = exported(
        &format!(
            r#"{{"messageId":"a","messageTime":1763712000000,"messageType":"APP_MESSAGE","text":"x","owner":{{"value":"15550100"}},
                "sender":{lid},"recipients":[{{"value":"15550100"}},{{"value":"15550101"}}],
                "participantEnrichments":{{"15550101":{{"firstName":"Ben"}}}}}}"#
        ),
        &[],
    );
    let (folder, _) = export(Format::Rsmf, &[message]);
    let people = read_rsmf(&files_in(folder.path())[0]).manifest["participants"].clone();
    let ben: Vec<&Value> = people.as_array().unwrap().iter().filter(|one| one["account_id"] == "15550101").collect();
    assert!(ben.len() == 1 && people.as_array().unwrap().len() == 2 && ben[0]["display"] == "Ben", "{people}");
}

#[test]
fn an_rsmf_export_takes_over_what_a_killed_one_left() {
    let message = said_with("a", "15550101", 1, r#","attachment":[{"name":"a.bin"}]"#, &[b"x"]);
    let other = said("b", "15550101", 2, r#","text":"of the export that was killed""#);
    let running = TempDir::new().unwrap();
    let mut exporter = Exporter::new(&Options::new(Format::Rsmf), running.path()).unwrap();
    exporter.add(&message.item, &message.resolution, &message.message).unwrap();
    exporter.add(&other.item, &other.resolution, &other.message).unwrap();
    // What lies there while it runs is what stays of it when it is killed, but for the lock.
    let folder = TempDir::new().unwrap();
    let left = files_in(running.path());
    assert!(left.len() >= 3, "{left:?}");
    for path in left {
        let copy = folder.path().join(path.strip_prefix(running.path()).unwrap());
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(path, copy).unwrap();
    }

    let mut exporter = Exporter::new(&Options::new(Format::Rsmf), folder.path()).unwrap();
    exporter.add(&message.item, &message.resolution, &message.message).unwrap();
    assert_eq!(exporter.finish().unwrap().summary, Summary { messages: 1, duplicates: 0, files: 1 });
    let files = files_in(folder.path());
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(!read_rsmf(&files[0]).text.contains("killed"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing but the file and the manifest is left");
}

#[test]
fn a_second_rsmf_export_into_a_folder_is_refused_while_the_first_runs() {
    let message = said("a", "15550101", 1, r#","text":"one""#);
    let folder = TempDir::new().unwrap();
    let mut first = Exporter::new(&Options::new(Format::Rsmf), folder.path()).unwrap();
    first.add(&message.item, &message.resolution, &message.message).unwrap();
    let second = Exporter::new(&Options::new(Format::Rsmf), folder.path());
    assert!(matches!(&second, Err(ExportError::UnderWay { folder: named }) if named == folder.path()), "{second:?}");
    assert_eq!(first.finish().unwrap().summary.files, 1, "the first is not disturbed");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    std::fs::remove_file(folder.path().join(MANIFEST)).unwrap();
    assert!(Exporter::new(&Options::new(Format::Rsmf), folder.path()).is_ok(), "and then the folder is free");
}

#[test]
fn no_rsmf_file_is_put_in_place_where_one_of_them_is_there_already() {
    let messages = [said("a", "15550101", 1, ""), said("b", "15550101", 24 * 60, "")];
    let (folder, _) = export(Format::Rsmf, &messages[1..]);
    let before = files_in(folder.path());
    std::fs::remove_file(folder.path().join(MANIFEST)).unwrap();
    let mut exporter = Exporter::new(&Options::new(Format::Rsmf), folder.path()).unwrap();
    for message in &messages {
        exporter.add(&message.item, &message.resolution, &message.message).unwrap();
    }
    assert!(matches!(exporter.finish(), Err(ExportError::Taken { path }) if path == before[0]));
    assert_eq!(files_in(folder.path()), before);
}
