//! What an item is, in a word: for the header (a stable token) and for the reader.

use super::attachment::File;
use super::direction::isolated;
use super::other;
use crate::item::{Chat, DeletionScope, Item, Kind};

/// The token of `X-WhatsApp-Archiver-Kind`: stable, for searches and rules.
pub(super) fn token(item: &Item) -> &'static str {
    match &item.kind {
        Kind::Message => "message",
        Kind::StatusPost => "status-post",
        Kind::Call if is_video_call(item) => "video-call",
        Kind::Call => "voice-call",
        Kind::Deletion(DeletionScope::ForMe) => "deletion-for-me",
        Kind::Deletion(DeletionScope::ForAll) => "deletion-for-all",
        Kind::Deletion(DeletionScope::WholeChat) => "deletion-of-chat",
        Kind::Edit(_) => "edit",
        Kind::Reaction => "reaction",
        Kind::GroupEvent => "group-event",
        Kind::Unknown(_) => "unknown",
    }
}

/// The heading of the body.
pub(super) fn heading(item: &Item, files: &[File<'_>]) -> String {
    match &item.kind {
        Kind::Message => marked(item, &content_of(item, files)),
        Kind::StatusPost => marked(item, &format!("Status post: {}", content_of(item, files).to_lowercase())),
        Kind::Call => {
            let call = if is_video_call(item) { "Video call" } else { "Voice call" };
            let status = item.call.as_ref().and_then(|call| call.call_status.as_deref());
            status.map_or_else(|| call.to_owned(), |status| format!("{call}, {}", call_status(status)))
        }
        Kind::Deletion(DeletionScope::ForMe) => "Message deleted by the owner for themselves".to_owned(),
        Kind::Deletion(DeletionScope::ForAll) => "Message deleted for everyone".to_owned(),
        Kind::Deletion(DeletionScope::WholeChat) => match event_type(item) {
            "ClearChat" => "Chat cleared by the owner".to_owned(),
            "DeleteChat" => "Chat deleted by the owner".to_owned(),
            _ => "All messages of the chat deleted by the owner".to_owned(),
        },
        Kind::Edit(Some(number)) => format!("Message edited (edit {number})"),
        Kind::Edit(None) => "Message edited".to_owned(),
        Kind::Reaction if reaction_is_taken_back(item) => "Reaction taken back".to_owned(),
        Kind::Reaction => "Reaction".to_owned(),
        Kind::GroupEvent => group_event(event_type(item)).to_owned(),
        Kind::Unknown(name) if name.trim().is_empty() => "Item without a type".to_owned(),
        Kind::Unknown(name) => {
            let shown = super::people::display_text(name, 80);
            let shown = isolated(&shown);
            format!("Item of a type that the archive doesn't know: {shown}")
        }
    }
}

/// `callStatus` in words, from the code 1 on.
const CALL_STATUSES: [&str; 8] =
    ["answered", "missed", "failed", "voice mail", "rejected", "busy", "blocked", "answered elsewhere"];

/// `callStatus` in words, also where it comes as the word; one that the contract doesn't list as it came.
pub(super) fn call_status(code: &str) -> String {
    let code = code.trim();
    let number = code.parse::<f64>().ok().filter(|number| number.fract() == 0.0);
    let is_it = |place: usize, word: &str| {
        let words = code.replace(['_', '-'], " ");
        number == u32::try_from(place + 1).ok().map(f64::from) || words.eq_ignore_ascii_case(word)
    };
    let known = CALL_STATUSES.iter().enumerate().find(|(place, word)| is_it(*place, word));
    let shown = || format!("status {}", isolated(&super::people::display_text(code, 40)));
    known.map_or_else(shown, |(_, word)| (*word).to_owned())
}

/// The word for a call that nobody took: missed, failed, rejected, busy or blocked.
pub(super) fn unanswered(item: &Item) -> Option<String> {
    let status = item.call.as_ref().and_then(|call| call.call_status.as_deref()).unwrap_or_default();
    let status = call_status(status);
    ["missed", "failed", "rejected", "busy", "blocked"].contains(&status.as_str()).then_some(status)
}

/// The name of a type that the contract doesn't list, in words (`POLL_CREATION`: poll creation); `None` where it isn't made of
/// words.
pub(super) fn words_of_type(name: &str) -> Option<String> {
    const MAX_LENGTH: usize = 40;
    let is_word = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | b' ');
    let name = name.trim();
    let is_words = name.len() <= MAX_LENGTH && name.bytes().all(is_word) && name.bytes().any(|byte| byte != b'_');
    let words: Vec<&str> = name.split(['_', '-', ' ']).filter(|word| !word.is_empty()).collect();
    (is_words && !words.is_empty()).then(|| words.join(" ").to_ascii_lowercase())
}

/// `callType` decides, and the `messageType` where there is none.
pub(super) fn is_video_call(item: &Item) -> bool {
    match item.call.as_ref().and_then(|call| call.call_type.as_deref()) {
        Some(call_type) => {
            let call_type = call_type.trim();
            call_type.eq_ignore_ascii_case("VIDEO") || call_type.eq_ignore_ascii_case("VIDEO_CALL")
        }
        None => item.message_type == "VIDEO_CALL",
    }
}

/// Whether the reaction has no emoji.
pub(super) fn reaction_is_taken_back(item: &Item) -> bool {
    item.event.as_ref().and_then(|event| event.emoji.as_deref()).unwrap_or_default().is_empty()
}

/// The name of the chat that status posts are in.
pub(super) const STATUS_CHAT_NAME: &str = "status";

/// The chat's kind in a word.
pub(super) fn chat(chat: &Chat) -> &'static str {
    match chat {
        Chat::Direct => "direct",
        Chat::Group(_) => "group",
        Chat::Broadcast(_) => "broadcast list",
    }
}

fn event_type(item: &Item) -> &str {
    item.event.as_ref().and_then(|event| event.kind.as_deref()).unwrap_or_default()
}

fn group_event(event_type: &str) -> &'static str {
    match event_type {
        "Create" => "Group created",
        "Join" => "Joined the group",
        "Leave" => "Left the group",
        "Remove" => "Removed from the group",
        "Rename" => "Group renamed",
        "ChangeProfileImage" => "Group picture changed",
        _ => "Group event",
    }
}

fn marked(item: &Item, content: &str) -> String {
    let marks = [(item.forwarded, "forwarded"), (item.view_once, "view once")];
    let marks = marks.into_iter().filter(|(is_set, _)| *is_set).map(|(_, mark)| mark);
    std::iter::once(content).chain(marks).collect::<Vec<_>>().join(", ")
}

/// What a message holds, by its structures and the types of its files.
fn content_of(item: &Item, files: &[File<'_>]) -> String {
    if item.location.is_some() {
        return "Location".to_owned();
    }
    if let Some(content) = other::content(item).filter(|_| files.is_empty()) {
        return content.to_owned();
    }
    let mut contents: Vec<&'static str> = files.iter().map(|file| content_of_type(&file.content_type)).collect();
    contents.dedup();
    match contents.as_slice() {
        [] if item.quoted.is_some() => "Reply".to_owned(),
        [] => "Text message".to_owned(),
        [one] if files.len() > 1 => format!("{one} ({} files)", files.len()),
        [one] => (*one).to_owned(),
        _ => format!("Media ({} files)", files.len()),
    }
}

/// WhatsApp sends stickers as WebP and voice notes as Opus in Ogg.
fn content_of_type(content_type: &str) -> &'static str {
    match content_type {
        "image/webp" => "Sticker",
        "image/gif" => "GIF",
        "audio/ogg" | "audio/amr" => "Voice note",
        "text/vcard" => "Contact card",
        other if other.starts_with("image/") => "Image",
        other if other.starts_with("video/") => "Video",
        other if other.starts_with("audio/") => "Audio",
        _ => "Document",
    }
}
