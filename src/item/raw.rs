//! `RawMessage`: an item as TeleMessage sends it, field by field.
//!
//! Lenient where the contract is silent (a number as text, a null list), strict where a wrong guess would misdate or
//! misdirect an item. Unknown fields are ignored; every nullable field may be absent.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::participant::{Participant, Person};

/// The most participants, or attachments, that an item may name: ten times as many as the largest group has. Bounds the
/// memory and the look-ups of one item.
const MAX_ENTRIES: usize = 10_000;

/// The envelope of one item.
#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "an item, which is an object")]
#[serde(rename_all = "camelCase")]
pub struct RawMessage {
    /// TeleMessage's number of the item.
    #[serde(deserialize_with = "integer")]
    pub id: i64,
    /// When TeleMessage received it, in epoch milliseconds.
    #[serde(default, deserialize_with = "lenient_integer")]
    pub gateway_received_date: Option<i64>,
    /// The network it was captured on.
    #[serde(default, deserialize_with = "lenient_text")]
    pub network_type: Option<String>,
    /// The product that captured it.
    #[serde(default, deserialize_with = "lenient_text")]
    pub source_type: Option<String>,
    /// Set where the content is encrypted. Whatever it holds, it can't be read.
    #[serde(default, deserialize_with = "is_set")]
    pub security_content: bool,
    /// The item itself.
    pub body: RawBody,
}

/// The item itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "the item's `body`, which is an object")]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are TeleMessage's own; Item documents what they mean")]
pub struct RawBody {
    #[serde(default, deserialize_with = "lenient_text")]
    pub message_id: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    pub message_type: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    pub message_status: Option<String>,
    #[serde(default, deserialize_with = "lenient_integer")]
    pub message_time: Option<i64>,
    #[serde(default, deserialize_with = "lenient_text")]
    pub direction: Option<String>,
    #[serde(default)]
    pub owner: Option<Participant>,
    #[serde(default)]
    pub sender: Option<Participant>,
    #[serde(default, deserialize_with = "bounded_list")]
    pub recipients: Vec<Option<Participant>>,
    #[serde(default, deserialize_with = "bounded_map")]
    pub participant_enrichments: BTreeMap<String, Option<Person>>,
    #[serde(default, deserialize_with = "lenient_text")]
    pub subject: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    pub text: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub group_message: bool,
    #[serde(default, deserialize_with = "lenient_text")]
    pub group_id: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    pub group_name: Option<String>,
    #[serde(default)]
    pub group_data: Option<GroupData>,
    #[serde(default, rename = "threadID", deserialize_with = "lenient_text")]
    pub thread_id: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    pub thread_name: Option<String>,
    #[serde(default)]
    pub call_info: Option<CallInfo>,
    #[serde(default)]
    pub original_message_data: Option<OriginalMessageData>,
    #[serde(default)]
    pub event: Option<Event>,
    #[serde(default)]
    pub location: Option<Location>,
    #[serde(default)]
    pub quoted: Option<Quoted>,
    #[serde(default, deserialize_with = "nullable")]
    pub view_once: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub forwarded: bool,
    #[serde(default, deserialize_with = "bounded_list")]
    pub attachment: Vec<RawAttachment>,
}

/// `groupData`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(expecting = "`groupData`, which is an object")]
#[serde(default)]
pub struct GroupData {
    /// The group's id.
    #[serde(deserialize_with = "lenient_text")]
    pub id: Option<String>,
    /// The group's name.
    #[serde(deserialize_with = "lenient_text")]
    pub name: Option<String>,
    /// `BROADCAST` for a broadcast list.
    #[serde(rename = "type", deserialize_with = "lenient_text")]
    pub kind: Option<String>,
}

/// `callInfo`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(expecting = "`callInfo`, which is an object")]
#[serde(rename_all = "camelCase", default)]
pub struct CallInfo {
    /// When the call began, in epoch milliseconds.
    #[serde(deserialize_with = "lenient_integer")]
    pub start_time: Option<i64>,
    /// When it ended, in epoch milliseconds.
    #[serde(deserialize_with = "lenient_integer")]
    pub end_time: Option<i64>,
    /// "1" answered, "2" missed, "3" failed, "4" voice mail, "5" rejected, "6" busy, "7" blocked, "8" answered elsewhere.
    #[serde(deserialize_with = "lenient_text")]
    pub call_status: Option<String>,
    /// How long it took, in milliseconds.
    #[serde(deserialize_with = "lenient_integer")]
    pub call_duration_in_millis: Option<i64>,
    /// `VOICE` or `VIDEO`.
    #[serde(deserialize_with = "lenient_text")]
    pub call_type: Option<String>,
}

/// `originalMessageData`: the message that was deleted or edited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(expecting = "`originalMessageData`, which is an object")]
#[serde(rename_all = "camelCase", default)]
pub struct OriginalMessageData {
    /// WhatsApp's id of the original.
    #[serde(deserialize_with = "lenient_text")]
    pub message_id: Option<String>,
    /// Who sent the original.
    pub sender: Option<Participant>,
    /// Its text (after an edit: the new text).
    #[serde(deserialize_with = "lenient_text")]
    pub text: Option<String>,
    /// Its text before an edit.
    #[serde(deserialize_with = "lenient_text")]
    pub previous_text: Option<String>,
    /// When the original was sent, in epoch milliseconds.
    #[serde(deserialize_with = "lenient_integer")]
    pub message_time: Option<i64>,
    /// `READ`, `UNREAD` or `UNKNOWN`.
    #[serde(deserialize_with = "lenient_text")]
    pub read_status: Option<String>,
}

/// `event`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(expecting = "`event`, which is an object")]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// `DeleteChat`, `ClearChat`, `Reaction`, `Join`, `Leave`, `Remove`, `Create`, `Rename` or `ChangeProfileImage`.
    #[serde(rename = "type", deserialize_with = "lenient_text")]
    pub kind: Option<String>,
    /// Who did it.
    pub actor: Option<Participant>,
    /// To whom.
    #[serde(deserialize_with = "members")]
    pub members: Vec<Participant>,
    /// The emoji of a reaction; empty where one was taken back.
    #[serde(deserialize_with = "lenient_text")]
    pub emoji: Option<String>,
    /// WhatsApp's id of the message reacted to.
    #[serde(deserialize_with = "lenient_text")]
    pub target_message_id: Option<String>,
    /// Who sent the message reacted to.
    pub target_sender: Option<Participant>,
    /// The value before a change.
    #[serde(deserialize_with = "lenient_text")]
    pub old_value: Option<String>,
    /// The value after it.
    #[serde(deserialize_with = "lenient_text")]
    pub new_value: Option<String>,
}

/// `location`. Coordinates are kept as the text they came in, so that no digit is lost or made up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(expecting = "`location`, which is an object")]
#[serde(default)]
pub struct Location {
    /// Degrees north.
    #[serde(deserialize_with = "verbatim")]
    pub latitude: Option<String>,
    /// Degrees east.
    #[serde(deserialize_with = "verbatim")]
    pub longitude: Option<String>,
    /// The place's name.
    #[serde(deserialize_with = "lenient_text")]
    pub name: Option<String>,
    /// The place's address.
    #[serde(deserialize_with = "lenient_text")]
    pub address: Option<String>,
}

/// `quoted`: the message a reply answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(expecting = "`quoted`, which is an object")]
#[serde(rename_all = "camelCase", default)]
pub struct Quoted {
    /// WhatsApp's id of that message.
    #[serde(deserialize_with = "lenient_text")]
    pub message_id: Option<String>,
    /// Who sent it.
    pub sender: Option<Participant>,
    /// Its text.
    #[serde(deserialize_with = "lenient_text")]
    pub text: Option<String>,
}

/// One of `attachment`. The bytes of `content` are passed over here: they can be large, and are read where they are used.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(expecting = "an attachment, which is an object")]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are TeleMessage's own; AttachmentDeclaration documents what they mean")]
pub struct RawAttachment {
    #[serde(deserialize_with = "lenient_text")]
    pub name: Option<String>,
    #[serde(deserialize_with = "lenient_text")]
    pub content_type: Option<String>,
    #[serde(deserialize_with = "lenient_integer")]
    pub attachment_size: Option<i64>,
    #[serde(deserialize_with = "lenient_text")]
    pub digest: Option<String>,
    pub content: InlineContent,
}

/// What `content` is, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InlineContent {
    /// Null or missing: the bytes are fetched.
    #[default]
    Absent,
    /// Text without anything in it: the bytes of an empty file, or a way of saying that there are none.
    Blank,
    /// Anything else.
    Present,
}

impl<'de> Deserialize<'de> for InlineContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Content;
        impl<'de> Visitor<'de> for Content {
            type Value = InlineContent;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("base64 text")
            }
            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                let blank = value.bytes().all(|byte| byte.is_ascii_whitespace());
                Ok(if blank { InlineContent::Blank } else { InlineContent::Present })
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(InlineContent::Absent)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(InlineContent::Present)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(InlineContent::Present)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(InlineContent::Present)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(InlineContent::Present)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(InlineContent::Present)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(InlineContent::Present)
            }
        }
        deserializer.deserialize_any(Content)
    }
}

/// A value that may be null: null is the default.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A list of at most [`MAX_ENTRIES`]; null is an empty one.
fn bounded_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct List<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a sequence")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = list.next_element()? {
                if entries.len() >= MAX_ENTRIES {
                    return Err(too_many());
                }
                entries.push(entry);
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_any(List(PhantomData))
}

/// A map of at most [`MAX_ENTRIES`]; null is an empty one.
fn bounded_map<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    struct Map<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
        type Value = BTreeMap<String, T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a map")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = BTreeMap::new();
            while let Some((key, entry)) = map.next_entry()? {
                if entries.len() >= MAX_ENTRIES {
                    return Err(too_many());
                }
                entries.insert(key, entry);
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_any(Map(PhantomData))
}

fn too_many<E: serde::de::Error>() -> E {
    E::invalid_length(MAX_ENTRIES + 1, &"at most 10000 participants or attachments in one item")
}

/// A list of participants; null entries and a null list are passed over.
fn members<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Participant>, D::Error> {
    let members: Vec<Option<Participant>> = bounded_list(deserializer)?;
    Ok(members.into_iter().flatten().collect())
}

/// Whether there is anything but null.
fn is_set<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<IgnoredAny>::deserialize(deserializer)?.is_some())
}

/// An integer that must be there.
fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    lenient_integer(deserializer)?.ok_or_else(|| {
        serde::de::Error::invalid_type(serde::de::Unexpected::Other("something else"), &"an integer of 64 bits")
    })
}

/// An integer, as a number or as text; anything else (null, a fraction, a list) counts as missing.
pub(super) fn lenient_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    struct Integer;
    impl<'de> Visitor<'de> for Integer {
        type Value = Option<i64>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an integer of 64 bits")
        }
        fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
            Ok(Some(value))
        }
        fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
            Ok(i64::try_from(value).ok())
        }
        fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
            // Larger floats are not exact, so they name no instant and no size.
            const EXACT: f64 = 9_007_199_254_740_992.0;
            #[expect(clippy::cast_possible_truncation, reason = "whole and within the exact range")]
            Ok((value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i64))
        }
        fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
            Ok(value.trim().parse().ok())
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(None)
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(None)
        }
    }
    deserializer.deserialize_any(Integer)
}

/// Text; a number or a flag as its text, null, a list or an object as missing.
pub(super) fn lenient_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Text;
    impl<'de> Visitor<'de> for Text {
        type Value = Option<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("text")
        }
        fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
            Ok(Some(value.to_owned()))
        }
        fn visit_string<E>(self, value: String) -> Result<Self::Value, E> {
            Ok(Some(value))
        }
        fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
            Ok(Some(value.to_string()))
        }
        fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
            Ok(Some(value.to_string()))
        }
        fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
            Ok(Some(value.to_string()))
        }
        fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
            Ok(Some(value.to_string()))
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(None)
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(None)
        }
    }
    deserializer.deserialize_any(Text)
}

/// Text; a number or a flag as it is written, null, a list or an object as missing.
fn verbatim<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Some(raw) = Option::<Box<RawValue>>::deserialize(deserializer)? else { return Ok(None) };
    match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw.get()).map_err(serde::de::Error::custom),
        Some(b'{' | b'[') | None => Ok(None),
        Some(_) => Ok(Some(raw.get().to_owned())),
    }
}

/// The bytes of inline attachments: `body.attachment[n].content` as base64 text, `None` where an attachment has none.
#[derive(Debug, Default, Deserialize)]
pub struct InlineContents {
    #[serde(default)]
    body: InlineBody,
}

#[derive(Debug, Default, Deserialize)]
struct InlineBody {
    #[serde(default, deserialize_with = "nullable")]
    attachment: Vec<InlineAttachment>,
}

#[derive(Debug, Default, Deserialize)]
struct InlineAttachment {
    #[serde(default, deserialize_with = "lenient_text")]
    content: Option<String>,
}

impl InlineContents {
    /// The base64 text of each attachment, in order.
    pub fn into_base64(self) -> impl Iterator<Item = Option<String>> {
        self.body.attachment.into_iter().map(|attachment| attachment.content)
    }
}
