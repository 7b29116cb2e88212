//! Deletes the message of a self-test for good, and never another.

use std::num::NonZeroU32;

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::flag::{Flag, StoreResponse, StoreType};
use imap_codec::imap_types::search::SearchKey;

use super::folder::Layout;
use super::look_up::{search, search_by, set_of};
use super::session::Session;
use crate::identity::MessageId;
use crate::mailbox::ImportError;

const DOING: &str = "deleting the message of the self-test";

/// Deletes the message from the archive folder. Without UIDPLUS (RFC 4315) only where nobody else's message would go with it.
pub(super) async fn take_back(session: &mut Session, layout: &Layout, id: &MessageId) -> Result<(), ImportError> {
    session.forget_selected();
    session.select(&layout.archive).await.map_err(|error| error.because(DOING))?;
    let uids = search(session, &id.to_string()).await?;
    if uids.is_empty() {
        return Ok(());
    }
    let abilities = session.abilities().await.map_err(|error| error.because(DOING))?;
    let expunge = if abilities.uid_plus() {
        CommandBody::ExpungeUid { sequence_set: set_of(&uids) }
    } else {
        refuse_others(session, &uids).await?;
        CommandBody::Expunge
    };
    let flags = vec![Flag::Deleted];
    let mark = CommandBody::store(set_of(&uids), StoreType::Add, StoreResponse::Silent, flags, true)
        .map_err(|_| ImportError::Unexpected(format!("{DOING}: it can't be named")))?;
    session.run(mark).await.map_err(|error| error.because(DOING))?;
    session.run(expunge).await.map(drop).map_err(|error| error.because(DOING))
}

/// EXPUNGE removes whatever is marked.
async fn refuse_others(session: &mut Session, ours: &[NonZeroU32]) -> Result<(), ImportError> {
    let marked = search_by(session, SearchKey::Deleted).await?;
    if marked.iter().all(|uid| ours.contains(uid)) {
        return Ok(());
    }
    Err(ImportError::Unexpected(format!("{DOING}: other messages are marked as deleted, and would go with it")))
}
