//! The message of the self-test: everything that could get lost on the way.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::convert::{Address, Mail, MailAttachment, Message};
use crate::digest::Digest;
use crate::identity::Identity;

/// The file's length in bytes: more than goes along in one request.
const FILE: usize = 3_500_000;

/// A message of this date without a file, another one each time.
pub(in crate::mailbox) fn small(date: DateTime<Utc>) -> Message {
    let mail = message(date).mail;
    Message::new(Mail { attachments: Vec::new(), ..mail })
}

/// The members of the largest group that WhatsApp has.
pub(in crate::mailbox) const CROWD: usize = 1024;

/// A message of this date to the largest group, without a file, another one each time.
pub(in crate::mailbox) fn to_crowd(date: DateTime<Utc>) -> Message {
    let mail = small(date).mail;
    let member = |number| Address { name: None, address: format!("self-test-{number}@whatsapp.invalid") };
    Message::new(Mail { to: (1..=CROWD).map(member).collect(), ..mail })
}

/// A message of this date, another one each time.
pub(in crate::mailbox) fn message(date: DateTime<Utc>) -> Message {
    let once = uuid::Uuid::now_v7();
    let message_id = Identity(Digest::of(once.as_bytes())).message_id();
    let bytes = noise(once.as_u128());
    let text = "This message tests the archive; it is deleted at once.\n<b>&\"ä שלום \u{1f44b}\n";
    let from = Address {
        name: Some("WhatsApp Archiver self-test".to_owned()),
        address: "self-test@whatsapp.invalid".to_owned(),
    };
    Message::new(Mail {
        references: vec![message_id.clone()],
        message_id,
        in_reply_to: None,
        date,
        to: vec![from.clone()],
        from,
        subject: "WhatsApp Archiver self-test".to_owned(),
        thread_topic: "WhatsApp Archiver self-test".to_owned(),
        extra_headers: vec![("X-WhatsApp-Archiver-Item", "self-test".to_owned())],
        html: "<html><body><p>This message tests the archive; it is deleted at once.<br>\
               &lt;b&gt;&amp;&quot;ä שלום \u{1f44b}</p></body></html>"
            .to_owned(),
        text: text.to_owned(),
        attachments: vec![MailAttachment {
            name: "self-test.bin".to_owned(),
            content_type: "application/octet-stream".to_owned(),
            digest: Digest::of(&bytes),
            bytes,
            content_id: None,
        }],
    })
}

/// Bytes without a pattern, so that lost or swapped pieces are noticed.
fn noise(seed: u128) -> Bytes {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(FILE + 16);
    while bytes.len() < FILE {
        state ^= state << 23;
        state ^= state >> 45;
        state ^= state << 11;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(FILE);
    bytes.into()
}
