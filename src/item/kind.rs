//! What an item is, and by which of its fields that is decided.

use super::Participant;
use super::raw::Event;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Something was said: text, media, a location, a contact card.
    Message,
    /// A status post ("story").
    StatusPost,
    /// A voice or video call; [`Item::call`](super::Item::call) has its particulars.
    Call,
    /// Something was deleted; [`Item::original`](super::Item::original) has what is known of it.
    Deletion(DeletionScope),
    /// A message was edited, for the n-th time where that is known.
    Edit(Option<u32>),
    /// A reaction, or its removal; [`Item::event`](super::Item::event) has its particulars.
    Reaction,
    /// Something happened to a chat; [`Item::event`](super::Item::event) has its particulars.
    GroupEvent,
    /// A `messageType` (or an event type) that the contract doesn't list.
    Unknown(String),
}

/// What a deletion took away, and from whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionScope {
    /// One message, for the owner alone (`DELETE_FOR_ME-…`).
    ForMe,
    /// One message, for everybody in the chat (`DELETE_FOR_ALL-…`).
    ForAll,
    /// All messages of a chat, for the owner alone (`DELETE_ALL_MESSAGES-…`, events `DeleteChat` and `ClearChat`).
    WholeChat,
}

/// What an item's kind is derived from.
pub(super) struct Signs<'a> {
    pub(super) message_id: &'a str,
    pub(super) message_type: &'a str,
    pub(super) event: Option<&'a Event>,
    pub(super) is_status_post: bool,
}

impl Kind {
    pub(super) fn of(signs: &Signs<'_>) -> Self {
        let message_id = signs.message_id;
        if message_id.starts_with("DELETE_FOR_ME-") {
            return Self::Deletion(DeletionScope::ForMe);
        }
        if message_id.starts_with("DELETE_FOR_ALL-") {
            return Self::Deletion(DeletionScope::ForAll);
        }
        if message_id.starts_with("DELETE_ALL_MESSAGES-") {
            return Self::Deletion(DeletionScope::WholeChat);
        }
        if let Some(edited) = message_id.strip_prefix("EDIT-") {
            return Self::Edit(edited.rsplit_once('-').and_then(|(_, number)| number.parse().ok()));
        }
        match signs.message_type {
            "EVENT" => event_kind(signs.event.and_then(|event| event.kind.as_deref()).unwrap_or_default()),
            "CALL_LOG" | "VOICE_CALL" | "VIDEO_CALL" => Self::Call,
            "APP_MESSAGE" | "MULTIMEDIA_MESSAGE" if signs.is_status_post => Self::StatusPost,
            "APP_MESSAGE" | "MULTIMEDIA_MESSAGE" => Self::Message,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

fn event_kind(event_type: &str) -> Kind {
    match event_type {
        "DeleteChat" | "ClearChat" => Kind::Deletion(DeletionScope::WholeChat),
        "Reaction" => Kind::Reaction,
        "Join" | "Leave" | "Remove" | "Create" | "Rename" | "ChangeProfileImage" => Kind::GroupEvent,
        other => Kind::Unknown(format!("EVENT {other}").trim_end().to_owned()),
    }
}

pub(super) fn is_status_post(subject: Option<&str>, group_id: Option<&str>, recipients: &[Participant]) -> bool {
    const STATUS_CHAT: &str = "status@broadcast";
    subject.is_some_and(|subject| subject.starts_with("STATUS - "))
        || group_id == Some(STATUS_CHAT)
        || recipients.iter().any(|recipient| recipient.value == STATUS_CHAT)
}
