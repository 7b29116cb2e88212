//! Which messages of ours are in the archive folder.

use serde::Deserialize;

use super::{GraphMailboxes, PERMISSION, fault};
use crate::graph::{Call, CallError};
use crate::identity::MessageId;
use crate::mailbox::ImportError;
use crate::resolution::MailboxId;

/// Messages in one page: the most that Graph gives.
const PAGE: &str = "1000";
/// The most pages that are read.
const MAX_PAGES: usize = 100_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    internet_message_id: Option<String>,
}

impl GraphMailboxes {
    /// The Message-IDs of ours in the archive folder, as often as they are there; none where there is no such folder.
    pub(super) async fn list(&self, mailbox: &MailboxId) -> Result<Vec<MessageId>, ImportError> {
        self.entries(mailbox).await.map_err(|error| fault::of_read(&error, PERMISSION))
    }

    async fn entries(&self, mailbox: &MailboxId) -> Result<Vec<MessageId>, CallError> {
        let Some(folder) = self.folders.find(&self.calls, mailbox).await? else { return Ok(Vec::new()) };
        let query = [("$select", "internetMessageId"), ("$top", PAGE)];
        let url = self.calls.url(mailbox, &["mailFolders", &folder, "messages"], &query)?;
        let entries: Vec<Entry> = self.calls.list(mailbox, Call::get(url), MAX_PAGES).await?;
        let ids = entries.into_iter().filter_map(|entry| entry.internet_message_id);
        Ok(ids.filter_map(|id| MessageId::parse(&id)).collect())
    }
}
