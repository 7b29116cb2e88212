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
use crate::resolve::MailboxId;

/// How long a folder is cached.
const REMEMBERED: TimeDelta = TimeDelta::minutes(15);
/// The most mailboxes whose folders are cached.
const MOST_MAILBOXES: usize = 100_000;
/// The most pages of a list of folders that are read.
const MOST_PAGES: usize = 200;

/// The archive folders.
#[derive(Debug)]
pub(super) struct Folders {
    name: String,
    clock: SharedClock,
    places: Mutex<HashMap<MailboxId, Arc<Place>>>,
}

/// A mailbox's folder; locked while it is looked for, so that it is made once.
type Place = tokio::sync::Mutex<Option<Remembered>>;

#[derive(Debug)]
struct Remembered {
    id: Arc<str>,
    found: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Folder {
    id: String,
    #[serde(default)]
    display_name: String,
}

#[derive(Deserialize)]
struct Page {
    value: Vec<Folder>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewFolder<'a> {
    display_name: &'a str,
}

impl Folders {
    pub(super) fn new(name: String, clock: SharedClock) -> Self {
        Self { name, clock, places: Mutex::default() }
    }

    /// The id of the folder, which is made where it is missing.
    pub(super) async fn id(&self, calls: &Calls, mailbox: &MailboxId) -> Result<Arc<str>, CallError> {
        let place = self.place(mailbox);
        let mut place = place.lock().await;
        let now = self.clock.now();
        if let Some(known) = &*place
            && (now - known.found).abs() < REMEMBERED
        {
            return Ok(Arc::clone(&known.id));
        }
        let id: Arc<str> = match self.find(calls, mailbox).await? {
            Some(id) => id.into(),
            None => self.make(calls, mailbox).await?.into(),
        };
        *place = Some(Remembered { id: Arc::clone(&id), found: now });
        Ok(id)
    }

    /// Forgets the folder `id`, which is gone; not another one that was found meanwhile.
    pub(super) async fn forget(&self, mailbox: &MailboxId, id: &str) {
        let place = self.place(mailbox);
        let mut place = place.lock().await;
        if place.as_ref().is_some_and(|known| &*known.id == id) {
            *place = None;
        }
    }

    /// The id of the folder, where there is one.
    pub(super) async fn find(&self, calls: &Calls, mailbox: &MailboxId) -> Result<Option<String>, CallError> {
        let filter = format!("displayName eq {}", literal(&self.name));
        self.search(calls, mailbox, &[("$filter", &filter), ("$select", "id,displayName")]).await
    }

    async fn make(&self, calls: &Calls, mailbox: &MailboxId) -> Result<String, CallError> {
        let url = calls.url(mailbox, &["mailFolders"], &[])?;
        let json = to_json(&NewFolder { display_name: &self.name });
        match calls.call(mailbox, &Call::post(url, json.into())).await {
            Ok(reply) => {
                let made: Folder = read(&reply)?;
                tracing::info!(event = "folder_created", mailbox = %mailbox, "made the archive folder");
                Ok(made.id)
            }
            // Another worker was faster, or the folder is hidden.
            Err(error) if error.is("ErrorFolderExists") => {
                let all = [("includeHiddenFolders", "true"), ("$select", "id,displayName"), ("$top", "100")];
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
    ) -> Result<Option<String>, CallError> {
        let mut url = calls.url(mailbox, &["mailFolders"], query)?;
        let wanted = self.name.to_lowercase();
        for _ in 0..MOST_PAGES {
            let page: Page = calls.json(mailbox, &Call::get(url)).await?;
            if let Some(folder) = page.value.into_iter().find(|folder| folder.display_name.to_lowercase() == wanted) {
                return Ok(Some(folder.id));
            }
            let Some(next) = page.next else { return Ok(None) };
            url = calls.graph().link(&next)?;
        }
        Err(CallError::Unexpected(format!("more than {MOST_PAGES} pages of folders")))
    }

    fn place(&self, mailbox: &MailboxId) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= MOST_MAILBOXES && !places.contains_key(mailbox) {
            places.retain(|_, place| Arc::strong_count(place) > 1);
        }
        Arc::clone(places.entry(mailbox.clone()).or_default())
    }
}
