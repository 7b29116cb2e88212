//! Where a message is in a mailbox: searches and listings, which change nothing.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::core::{AString, Vec1};
use imap_codec::imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItem, MessageDataItemName, Section};
use imap_codec::imap_types::mailbox::Mailbox as Folder;
use imap_codec::imap_types::response::Data;
use imap_codec::imap_types::search::SearchKey;
use imap_codec::imap_types::sequence::{SeqOrUid, Sequence, SequenceSet};

use super::append::remote_id;
use super::folder::{Layout, Others, is_selectable, name_of, others};
use super::refusal::Meaning;
use super::session::{CommandError, Session};
use crate::identity::MessageId;
use crate::mailbox::{ImportError, RemoteId};

/// How many messages are asked for in one command: the line stays short.
pub(super) const MAX_SET: usize = 200;
/// How many Message-IDs are searched for in one command: the line stays short.
const MAX_KEYS: usize = 16;
const MESSAGE_ID: &str = "Message-ID";
const SEARCHING: &str = "searching by Message-ID";

/// Finds a message by its Message-ID: in the archive folder first, then in every other, because people move messages.
pub(super) async fn find(
    session: &mut Session,
    layout: &Layout,
    id: &MessageId,
) -> Result<Option<RemoteId>, ImportError> {
    let sought = id.to_string();
    if let Some(found) = find_in(session, layout, &layout.archive, &sought).await? {
        return Ok(Some(found));
    }
    let Others { folders, views } = others(session, layout).await?;
    for folder in folders.iter().chain(&views) {
        if let Some(found) = find_in(session, layout, folder, &sought).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

async fn find_in(
    session: &mut Session,
    layout: &Layout,
    folder: &Folder<'static>,
    sought: &str,
) -> Result<Option<RemoteId>, ImportError> {
    let Some(validity) = open(session, layout, folder).await? else { return Ok(None) };
    let first = search(session, sought).await?.first().copied();
    Ok(first.map(|uid| remote_id(validity, uid.get())))
}

/// Opens a folder for reading and gives its UIDVALIDITY (0 where it has none). `None`: it holds no copy, because it isn't
/// there, or because it is another than the archive folder and not for us. A folder that is there and can't be opened is
/// an error: what can't be seen is not absent.
pub(super) async fn open(
    session: &mut Session,
    layout: &Layout,
    folder: &Folder<'static>,
) -> Result<Option<u32>, ImportError> {
    const DOING: &str = "opening a folder";
    let refusal = match session.examine(folder).await {
        Ok(validity) => return Ok(Some(validity.unwrap_or_default())),
        Err(CommandError::Refused(refusal)) => refusal,
        Err(error) => return Err(error.because(DOING)),
    };
    let is_archive = *folder == layout.archive;
    let is_gone = match refusal.meaning() {
        Meaning::NoFolder => true,
        Meaning::Forbidden => !is_archive && refusal.is_for_others(),
        // Servers without response codes have words of their own for a folder that isn't there.
        Meaning::Unknown if !refusal.is_bad() => !is_selectable(session, folder).await?,
        _ => false,
    };
    if !is_gone {
        return Err(refusal.of_command(DOING));
    }
    let name = String::from_utf8_lossy(name_of(folder));
    let name = session.connection.sent().scrub(&name);
    tracing::debug!(event = "folder_not_searched", folder = %name, error = %refusal, "a folder can't be opened");
    Ok(None)
}

/// The UIDs of the messages in the open folder whose Message-ID contains `sought`.
pub(super) async fn search(session: &mut Session, sought: &str) -> Result<Vec<NonZeroU32>, ImportError> {
    search_by(session, by_message_id(sought)?).await
}

/// The UIDs of the messages in the open folder whose Message-ID contains one of `sought`.
pub(super) async fn search_any(session: &mut Session, sought: &[String]) -> Result<Vec<NonZeroU32>, ImportError> {
    let mut found = Vec::new();
    for sought in sought.chunks(MAX_KEYS) {
        let mut keys = sought.iter().map(|sought| by_message_id(sought)).collect::<Result<VecDeque<_>, _>>()?;
        // Joined in pairs, so that the nesting stays shallow.
        while let Some(one) = keys.pop_front() {
            match keys.pop_front() {
                Some(other) => keys.push_back(SearchKey::Or(Box::new(one), Box::new(other))),
                None => found.extend(search_by(session, one).await?),
            }
        }
    }
    Ok(found)
}

fn by_message_id(sought: &str) -> Result<SearchKey<'static>, ImportError> {
    let unfit = |_| ImportError::Unexpected(format!("{SEARCHING}: the Message-ID can't be sent"));
    let name = AString::try_from(MESSAGE_ID).map_err(unfit)?;
    Ok(SearchKey::Header(name, AString::try_from(sought.to_owned()).map_err(unfit)?))
}

/// The UIDs of the messages in the open folder that a key fits.
pub(super) async fn search_by(session: &mut Session, key: SearchKey<'static>) -> Result<Vec<NonZeroU32>, ImportError> {
    let criteria = Vec1::from(key);
    let mut found = None;
    session
        .ask(CommandBody::search(None, criteria, true), |data| {
            if let Data::Search(uids) = data {
                found.get_or_insert_with(Vec::new).extend(uids);
            }
        })
        .await
        .map_err(|error| error.because(SEARCHING))?;
    // "Nothing found" is an answer too; without one, nothing is known.
    found.ok_or_else(|| ImportError::Unexpected(format!("{SEARCHING}: the server didn't answer the search")))
}

/// Lists the messages in the open folder: UID and Message-ID of each of ours.
pub(super) async fn list_ours(
    session: &mut Session,
    uids: SequenceSet,
    mut take: impl FnMut(NonZeroU32, MessageId) + Send,
) -> Result<(), ImportError> {
    let section = Section::HeaderFields(None, Vec1::from(header_name()?));
    let header = MessageDataItemName::BodyExt { section: Some(section), partial: None, peek: true };
    fetch(session, uids, header, |uid, header| {
        if let Some(id) = message_id(header) {
            take(uid, id);
        }
    })
    .await
}

fn header_name() -> Result<AString<'static>, ImportError> {
    AString::try_from(MESSAGE_ID).map_err(|_| ImportError::Unexpected("a header's name can't be sent".to_owned()))
}

/// Fetches one part of each of the messages in the open folder: `take` is given each message's UID and the part.
pub(super) async fn fetch(
    session: &mut Session,
    uids: SequenceSet,
    part: MessageDataItemName<'static>,
    mut take: impl FnMut(NonZeroU32, &[u8]) + Send,
) -> Result<(), ImportError> {
    let names = MacroOrMessageDataItemNames::MessageDataItemNames(vec![MessageDataItemName::Uid, part]);
    let body = CommandBody::Fetch { sequence_set: uids, macro_or_item_names: names, uid: true };
    let answer = session.ask(body, |data| {
        let Data::Fetch { items, .. } = data else { return };
        let (mut uid, mut part) = (None, None);
        for item in items.as_ref() {
            match item {
                MessageDataItem::Uid(number) => uid = Some(*number),
                MessageDataItem::BodyExt { data, .. } => part = data.0.as_ref(),
                _ => {}
            }
        }
        if let (Some(uid), Some(part)) = (uid, part) {
            take(uid, part.as_ref());
        }
    });
    answer.await.map_err(|error| error.because("reading messages"))
}

/// These messages, or all where there are none.
pub(super) fn set_of(uids: &[NonZeroU32]) -> SequenceSet {
    let singles: Vec<Sequence> = uids.iter().map(|uid| Sequence::Single(SeqOrUid::Value(*uid))).collect();
    SequenceSet(Vec1::try_from(singles).unwrap_or_else(|_| Vec1::from(everything())))
}

/// All messages of a folder.
pub(super) fn all() -> SequenceSet {
    SequenceSet(Vec1::from(everything()))
}

fn everything() -> Sequence {
    Sequence::Range(SeqOrUid::Value(NonZeroU32::MIN), SeqOrUid::Asterisk)
}

/// The id in a header block that has only `Message-ID`, where it is one of ours.
fn message_id(header: &[u8]) -> Option<MessageId> {
    let header = std::str::from_utf8(header).ok()?;
    let (name, value) = header.split_once(':')?;
    if name.eq_ignore_ascii_case(MESSAGE_ID) { MessageId::parse(value) } else { None }
}
