//! Made-up items, the same in every run, in the proportions of an archive.

#![allow(dead_code, reason = "no measurement uses all of it")]

use std::fs;
use std::path::Path;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use whatsapp_archiver::convert::StagedAttachment;
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::item::{Item, Participant};
use whatsapp_archiver::resolution::{Mailbox, MailboxId, Resolution, Resolved, ResolvedBy, ResolvedTo};

/// What the archive holds of one item.
pub(crate) struct Sample {
    pub(crate) raw: Vec<u8>,
    pub(crate) attachments: Vec<StagedAttachment>,
    pub(crate) resolution: Resolution,
}

impl Sample {
    /// The item, read from its JSON.
    pub(crate) fn item(&self) -> Item {
        Item::read(&self.raw, staged_at()).unwrap()
    }
}

/// The owners' numbers in the corpus.
const OWNERS: u32 = 500;

/// The user list of so many people and the mapping file of all owners, in `folder`: where the people are fewer, several numbers are one
/// person's.
pub(crate) fn write_people(folder: &Path, people: u32) {
    let address = |person: u32| format!("e{person}@contoso.example\n");
    let users: String = (0..people).map(address).collect();
    let mapping: String = (0..OWNERS).map(|owner| format!("1555{owner:07},") + &address(owner % people)).collect();
    fs::write(folder.join("users.csv"), format!("address\n{users}")).unwrap();
    fs::write(folder.join("mapping.csv"), format!("External User ID,Microsoft 365 User Mailbox\n{mapping}")).unwrap();
}

pub(crate) fn staged_at() -> DateTime<Utc> {
    "2026-11-22T00:00:00Z".parse().unwrap()
}

/// Texts of about 1 kB, a tenth of them not Latin.
pub(crate) fn texts(count: u32) -> Vec<Sample> {
    (0..count).map(|number| sample(number, &text(number), Vec::new())).collect()
}

/// 85 % text, 10 % with 30–300 kB, 4 % with 0.5–3 MB, 1 % with 4–9.5 MB: 160 kB on average.
pub(crate) fn mixed(count: u32) -> Vec<Sample> {
    const KB: u32 = 1000;
    let files = |number: u32| match number % 100 {
        0..85 => Vec::new(),
        place @ 85..95 => vec![file(number, 30 * KB + (place - 85) * 30 * KB)],
        place @ 95..99 => vec![file(number, 500 * KB + (place - 95) * 800 * KB)],
        _ => vec![file(number, 4000 * KB + number % 200 * 27 * KB)],
    };
    (0..count).map(|number| sample(number, &text(number), files(number))).collect()
}

fn text(number: u32) -> String {
    match number % 10 {
        0 => "資料を持って行きます。会議は十時からです。".repeat(16),
        1 => "Мы встретимся завтра в девять, если получится. ".repeat(12),
        2..4 => "Ça va, à demain — je vous apporte les résumés. ".repeat(20),
        _ => "Shall we meet at nine? I'll bring the figures for <Q3> & the plan. ".repeat(15),
    }
}

fn file(number: u32, size: u32) -> Bytes {
    // A linear congruential generator: bytes without a pattern, the same in every run.
    let mut state = u64::from(number) + 1;
    let mut bytes = b"\xff\xd8\xff\xe0\0\x10JFIF\0".to_vec();
    bytes.extend((0..size).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    }));
    Bytes::from(bytes)
}

fn sample(number: u32, text: &str, files: Vec<Bytes>) -> Sample {
    let declared: Vec<serde_json::Value> = (files.iter().enumerate())
        .map(|(index, file)| {
            serde_json::json!({"name": format!("IMG-{index}.jpg"), "contentType": "image/jpeg", "size": file.len()})
        })
        .collect();
    let (owner, other) = (format!("1555{:07}", number % OWNERS), format!("1666{number:07}"));
    let key = |number: &str| format!(r#"{{"value":"{number}","type":"PHONE"}}"#);
    let raw = serde_json::json!({
        "id": 900_000 + number,
        "gatewayReceivedDate": 1_763_712_242_123_i64,
        "networkType": "WHATSAPP",
        "sourceType": "WHATSAPP_CLOUD_ARCHIVER",
        "body": {
            "messageId": format!("3EB0{number:016X}"),
            "messageTime": 1_763_712_240_000_i64,
            "messageType": "APP_MESSAGE",
            "direction": "IN",
            "owner": {"value": owner, "type": "PHONE"},
            "sender": {"value": other, "type": "PHONE"},
            "recipients": [{"value": owner, "type": "PHONE"}],
            "participantEnrichments": {
                key(&owner): {"firstName": "Ana", "lastName": "Berg", "email": "ana.berg@contoso.example"},
                key(&other): {"firstName": "Ben", "lastName": "Ode"},
            },
            "threadID": format!("tm-{}", number % 100),
            "text": text,
            "attachment": declared,
        },
    });
    let mailbox = Mailbox { id: MailboxId("ana".to_owned()), address: "ana.berg@contoso.example".to_owned() };
    let resolution = Resolution(vec![Resolved {
        participant: Participant::phone(owner),
        outcome: ResolvedTo::Mailbox { mailbox, by: ResolvedBy::Csv },
        rule: None,
        late: false,
    }]);
    let attachments = files.into_iter().map(|bytes| StagedAttachment::Present { digest: Digest::of(&bytes), bytes });
    Sample { raw: serde_json::to_vec(&raw).unwrap(), attachments: attachments.collect(), resolution }
}
