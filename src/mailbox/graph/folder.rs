//! The archive folder of each mailbox: found by its name, created where it is missing, cached for a while.
//!
//! Cached only for a while because a folder that its owner deletes is first moved to the deleted items, under the
//! same id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::calls::Calls;
use super::payload::to_json;
use crate::clock::SharedClock;
use crate::graph::{Call, CallError, literal, read};
use crate::resolution::MailboxId;

/// The most messages that Exchange Online holds in a folder.
pub(super) const MAX_MESSAGES: u64 = 1_000_000;
/// From so many messages on, a folder is reported as nearly full.
pub(super) const NEARLY_FULL: u64 = 900_000;
/// How often that is logged of a mailbox.
const WARN_EVERY: TimeDelta = TimeDelta::hours(24);
/// How long a folder is cached.
const CACHE_LIFETIME: TimeDelta = TimeDelta::minutes(15);
/// The most mailboxes whose folders are cached.
const MAX_MAILBOXES: usize = 100_000;
/// The most pages of a list of folders that are read.
const MAX_PAGES: usize = 200;

/// The archive folders.
#[derive(Debug)]
pub(super) struct Folders {
    name: String,
    clock: SharedClock,
    cells: Mutex<HashMap<MailboxId, Arc<FolderCell>>>,
}

/// A mailbox's folder; locked while it is looked for, so that it is made once.
type FolderCell = tokio::sync::Mutex<Option<Remembered>>;

#[derive(Debug)]
struct Remembered {
    id: Arc<str>,
    found: DateTime<Utc>,
    /// When the log last said that it is nearly full.
    warned: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Folder {
    id: String,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    total_item_count: Option<u64>,
}

/// What is asked of a folder.
const FIELDS: &str = "id,displayName,totalItemCount";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewFolder<'a> {
    display_name: &'a str,
}

impl Folders {
    pub(super) fn new(name: String, clock: SharedClock) -> Self {
        Self { name, clock, cells: Mutex::default() }
    }

    /// The id of the folder, which is made where it is missing.
    pub(super) async fn id(&self, calls: &Calls, mailbox: &MailboxId) -> Result<Arc<str>, CallError> {
        let cell = self.cell(mailbox);
        let mut cell = cell.lock().await;
        let now = self.clock.now();
        if let Some(known) = &*cell
            && (now - known.found).abs() < CACHE_LIFETIME
        {
            return Ok(Arc::clone(&known.id));
        }
        let folder = match self.look(calls, mailbox).await? {
            Some(folder) => folder,
            None => self.make(calls, mailbox).await?,
        };
        let mut warned = cell.as_ref().and_then(|known| known.warned);
        if let Some(messages) = folder.total_item_count.filter(|&messages| messages >= NEARLY_FULL)
            && warned.is_none_or(|warned| (now - warned).abs() >= WARN_EVERY)
        {
            warned = Some(now);
            tracing::warn!(
                event = "folder_nearly_full",
                mailbox = %mailbox,
                messages,
                "the archive folder nears the {MAX_MESSAGES} messages that Exchange Online holds in a folder: name another mailbox.folder"
            );
        }
        let id: Arc<str> = folder.id.into();
        *cell = Some(Remembered { id: Arc::clone(&id), found: now, warned });
        Ok(id)
    }

    /// Forgets the folder `id`, which is gone; not another one that was found meanwhile.
    pub(super) async fn forget(&self, mailbox: &MailboxId, id: &str) {
        let cell = self.cell(mailbox);
        let mut cell = cell.lock().await;
        if cell.as_ref().is_some_and(|known| &*known.id == id) {
            *cell = None;
        }
    }

    /// The id of the folder, where there is one.
    pub(super) async fn find(&self, calls: &Calls, mailbox: &MailboxId) -> Result<Option<String>, CallError> {
        Ok(self.look(calls, mailbox).await?.map(|folder| folder.id))
    }

    /// How many messages are in the folder, where there is one and the service says so.
    pub(super) async fn messages(&self, calls: &Calls, mailbox: &MailboxId) -> Result<Option<u64>, CallError> {
        Ok(self.look(calls, mailbox).await?.and_then(|folder| folder.total_item_count))
    }

    async fn look(&self, calls: &Calls, mailbox: &MailboxId) -> Result<Option<Folder>, CallError> {
        let filter = format!("displayName eq {}", literal(&self.name));
        self.search(calls, mailbox, &[("$filter", &filter), ("$select", FIELDS)]).await
    }

    async fn make(&self, calls: &Calls, mailbox: &MailboxId) -> Result<Folder, CallError> {
        let url = calls.url(mailbox, &["mailFolders"], &[])?;
        let json = to_json(&NewFolder { display_name: &self.name });
        match calls.call(mailbox, &Call::post(url, json.into())).await {
            Ok(reply) => {
                let made: Folder = read(&reply)?;
                tracing::info!(event = "folder_created", mailbox = %mailbox, "the archive folder was created");
                Ok(made)
            }
            // Another worker was faster, or the folder is hidden.
            Err(error) if error.is("ErrorFolderExists") => {
                let all = [("includeHiddenFolders", "true"), ("$select", FIELDS), ("$top", "100")];
                let found = self.search(calls, mailbox, &all).await?;
                found.ok_or_else(|| CallError::NotSent(format!("the folder can't be found yet: {error}")))
            }
            Err(error) => Err(error),
        }
    }

    /// The folder with the right name in a list, all pages of it.
    async fn search(
        &self,
        calls: &Calls,
        mailbox: &MailboxId,
        query: &[(&str, &str)],
    ) -> Result<Option<Folder>, CallError> {
        let url = calls.url(mailbox, &["mailFolders"], query)?;
        let wanted = self.name.to_lowercase();
        let folders: Vec<Folder> = calls.list(mailbox, Call::get(url), MAX_PAGES).await?;
        Ok(folders.into_iter().find(|folder| folder.display_name.to_lowercase() == wanted))
    }

    fn cell(&self, mailbox: &MailboxId) -> Arc<FolderCell> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if cells.len() >= MAX_MAILBOXES && !cells.contains_key(mailbox) {
            cells.retain(|_, cell| Arc::strong_count(cell) > 1);
        }
        Arc::clone(cells.entry(mailbox.clone()).or_default())
    }
}
