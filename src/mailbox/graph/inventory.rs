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

#[derive(Deserialize)]
struct Page {
    value: Vec<Entry>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

impl GraphMailboxes {
    /// The Message-IDs of ours in the archive folder, as often as they are there; none where there is no such folder.
    pub(super) async fn list(&self, mailbox: &MailboxId) -> Result<Vec<MessageId>, ImportError> {
        self.entries(mailbox).await.map_err(|error| fault::of_read(&error, PERMISSION))
    }

    async fn entries(&self, mailbox: &MailboxId) -> Result<Vec<MessageId>, CallError> {
        let Some(folder) = self.folders.find(&self.calls, mailbox).await? else { return Ok(Vec::new()) };
        let query = [("$select", "internetMessageId"), ("$top", PAGE)];
        let mut url = self.calls.url(mailbox, &["mailFolders", &folder, "messages"], &query)?;
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let page: Page = self.calls.json(mailbox, &Call::get(url)).await?;
            let ids = page.value.iter().filter_map(|entry| entry.internet_message_id.as_deref());
            found.extend(ids.filter_map(MessageId::parse));
            let Some(next) = page.next else { return Ok(found) };
            url = self.calls.graph().link(&next)?;
        }
        Err(CallError::Unexpected(format!("more than {MAX_PAGES} pages of messages")))
    }
}
