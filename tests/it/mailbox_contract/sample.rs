//! Messages to import: one of each shape that a mailbox could trip over.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, TimeZone as _, Utc};
use whatsapp_archiver::convert::{Address, Mail, MailAttachment, Message};
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::identity::{Identity, MessageId};

/// A short text message; another one for every number.
pub(crate) fn message(number: u32) -> Arc<Message> {
    Arc::new(Message::new(mail(number)))
}

/// `count` messages, from `message(1)`.
pub(crate) fn messages(count: u32) -> Vec<Arc<Message>> {
    (1..=count).map(message).collect()
}

/// A message close to the largest item that is imported: an attachment of 9.9 MB.
pub(crate) fn large_message() -> Arc<Message> {
    let mut mail = mail(9_900_000);
    // Not a repeated pattern, so that lost or swapped pieces are noticed.
    let mut state = 1_u32;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(9_900_000)
    .collect();
    mail.attachments = vec![attachment("video.mp4", "video/mp4", bytes)];
    Arc::new(Message::new(mail))
}

/// One message of each kind: empty, non-Latin, with lines that protocols treat in a special way, with attachments, with
/// many recipients, answering another, old.
pub(crate) fn one_of_each() -> Vec<Arc<Message>> {
    let mut each = Vec::new();
    let mut with = |change: &dyn Fn(&mut Mail)| {
        let number = 1_000 + u32::try_from(each.len()).unwrap();
        let mut mail = mail(number);
        change(&mut mail);
        each.push(Arc::new(Message::new(mail)));
    };
    with(&|mail| set_text(mail, ""));
    with(&|mail| {
        "שלום 👋🏽 — café".clone_into(&mut mail.subject);
        mail.from.name = Some("Ana \"Bé\" Berg, Ltd.".to_owned());
        set_text(mail, "مرحبا\nこんにちは\n👩‍👩‍👧‍👦\u{fffd}\n");
    });
    with(&|mail| set_text(mail, ".\n..\nFrom here on\n>From there\n* OK\n)\n~{5}\n+\n"));
    with(&|mail| set_text(mail, &"long ".repeat(4_000)));
    with(&|mail| {
        mail.attachments = vec![
            attachment("empty.txt", "text/plain", Vec::new()),
            attachment("every byte.bin", "application/octet-stream", (0..=255).cycle().take(70_000).collect()),
            attachment("Übersicht (1).pdf", "application/pdf", b"%PDF-1.4\r\n%\xe2\xe3\xcf\xd3\n".to_vec()),
        ];
    });
    with(&|mail| mail.to = (0..200).map(|number| address(&format!("person{number}"))).collect());
    with(&|mail| {
        let (root, original) = (message_id(1), message_id(2));
        mail.references = vec![root, original.clone()];
        mail.in_reply_to = Some(original);
    });
    with(&|mail| mail.date = Utc.with_ymd_and_hms(2009, 1, 1, 0, 0, 0).unwrap());
    each
}

fn mail(number: u32) -> Mail {
    let mut mail = Mail {
        message_id: message_id(number),
        in_reply_to: None,
        references: Vec::new(),
        date: date(number),
        from: address("ana"),
        to: vec![address("bo"), address("cy")],
        subject: format!("WhatsApp message {number}"),
        thread_topic: "Desk".to_owned(),
        extra_headers: vec![("X-WhatsApp-Archiver-Item", number.to_string())],
        text: String::new(),
        html: String::new(),
        attachments: Vec::new(),
    };
    set_text(&mut mail, &format!("Message {number}.\n"));
    mail
}

fn set_text(mail: &mut Mail, text: &str) {
    text.clone_into(&mut mail.text);
    mail.html = format!("<html><body><pre>{}</pre></body></html>", text.replace('>', "&gt;"));
}

fn date(number: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 21, 9, 0, 0).unwrap() + chrono::Duration::seconds(i64::from(number % 40_000))
}

fn message_id(number: u32) -> MessageId {
    Identity(Digest::of(&number.to_be_bytes())).message_id()
}

fn address(name: &str) -> Address {
    Address { name: Some(name.to_owned()), address: format!("{name}@contoso.example") }
}

fn attachment(name: &str, content_type: &str, bytes: Vec<u8>) -> MailAttachment {
    MailAttachment {
        name: name.to_owned(),
        content_type: content_type.to_owned(),
        digest: Digest::of(&bytes),
        bytes: Bytes::from(bytes),
        content_id: None,
    }
}
