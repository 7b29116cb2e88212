//! A small archive in a folder, run within the test: a folder as the source, local staging that breaks on command, an
//! SQLite ledger, Maildirs, and a clock that the test moves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeZone as _, Utc};
use tokio_util::sync::CancellationToken;
use whatsapp_archiver::app::{App, LedgerUse, TablesUse};
use whatsapp_archiver::clock::{Clock as _, ManualClock, SystemClock};
use whatsapp_archiver::config::{Config, NeededSecrets};
use whatsapp_archiver::pipeline::{RunFinished, RunRequest};
use whatsapp_archiver::staging::{BlobName, StagingError};

use crate::hooked_staging::{Hook, Hooked, Touch};

/// Ana has a mailbox; Peter gets one when the test says so.
pub(crate) const ANA: &str = "12025550100";
pub(crate) const PETER: &str = "12025550107";

/// An archive in a folder of its own.
pub(crate) struct Archive {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) app: App,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) staging: Arc<Brittle>,
}

impl Archive {
    /// An archive whose reports are signed with the key at `key`, and which keeps windows for `retain`.
    pub(crate) async fn new(key: Option<&Path>, retain: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("export")).unwrap();
        fs::write(folder.path().join("users.csv"), "address\nana.berg@contoso.example\n").unwrap();
        let report =
            key.map_or_else(String::new, |key| format!("[report]\nsigning_key = {{ file = \"{}\" }}\n", key.display()));
        let config = format!(
            "[source]\nkind = \"directory\"\npath = \"export/\"\n\
             [staging]\nkind = \"local\"\npath = \"staging/\"\nretain = \"{retain}\"\n\
             [mapping]\nautomatic = true\n[users]\nkind = \"list\"\npath = \"users.csv\"\n\
             [mailbox]\nkind = \"maildir\"\npath = \"mailboxes/\"\n\
             [ledger]\nurl = \"sqlite://ledger.db\"\n[retry]\nattempts = 1\n{report}"
        );
        fs::write(folder.path().join("config.toml"), config).unwrap();
        let clock = Arc::new(ManualClock::standing(Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap()));
        let (app, staging) = build(folder.path(), &clock).await;
        Self { folder, app, clock, staging }
    }

    /// Puts the program together anew, as a restart would.
    pub(crate) async fn restart(&mut self) {
        let (app, staging) = build(self.folder.path(), &self.clock).await;
        self.app = app;
        self.staging = staging;
    }

    /// Peter becomes a valid user.
    pub(crate) async fn license_peter(&mut self) {
        let users = "address\nana.berg@contoso.example\npeter.quist@contoso.example\n";
        fs::write(self.folder.path().join("users.csv"), users).unwrap();
        self.restart().await;
    }

    /// Adds a file of messages to the source; each has an owner, who is alone in it, and perhaps an attachment.
    pub(crate) fn sends(&self, messages: &[Sent<'_>]) {
        let items: Vec<serde_json::Value> = messages.iter().map(|sent| sent.json(self.clock.now())).collect();
        let first = messages.first().map_or(0, |sent| sent.id);
        let export = self.folder.path().join("export");
        for sent in messages {
            let Some(attachment) = sent.attachment else { continue };
            let folder = export.join(format!("attachments/{}", sent.id));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("0-file.txt"), attachment).unwrap();
        }
        fs::write(export.join(format!("{first}.json")), serde_json::to_vec(&items).unwrap()).unwrap();
    }

    /// Lets days pass.
    pub(crate) fn days_pass(&self, days: u64) {
        self.clock.advance(Duration::from_hours(24 * days));
    }

    /// Runs a request to its end.
    pub(crate) async fn run(&self, request: RunRequest) -> RunFinished {
        self.app.pipeline(CancellationToken::new()).run(request).await.unwrap()
    }

    /// A regular run that doesn't fail.
    pub(crate) async fn day(&self) -> RunFinished {
        let finished = self.run(RunRequest::Regular).await;
        assert!(finished.error.is_none(), "{:?}", finished.error);
        finished
    }

    /// The names of all blobs that begin so.
    pub(crate) async fn staged(&self, prefix: &str) -> Vec<String> {
        let found = self.app.remotes.staging.list(prefix).await.unwrap();
        found.into_iter().map(|(name, _)| name.as_str().to_owned()).collect()
    }

    /// The report files, in the order of the chain.
    pub(crate) fn reports(&self) -> Vec<PathBuf> {
        let folder = self.folder.path().join("staging/reports");
        let entries = fs::read_dir(folder).map(|entries| entries.map(|entry| entry.unwrap().path()).collect());
        let mut reports: Vec<PathBuf> = entries.unwrap_or_default();
        reports.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        reports.sort_by_key(|path| read_json(path)["sequence"].as_i64().unwrap());
        reports
    }

    /// The files in a mailbox's archive folder.
    pub(crate) fn mailbox(&self, address: &str) -> Vec<Vec<u8>> {
        let folder = self.folder.path().join("mailboxes").join(address).join(".WhatsApp Archiver");
        let files = ["cur", "new"].into_iter().filter_map(|part| fs::read_dir(folder.join(part)).ok()).flatten();
        files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
    }
}

async fn build(folder: &Path, clock: &Arc<ManualClock>) -> (App, Arc<Brittle>) {
    let environment = BTreeMap::new();
    let config = Config::load(&folder.join("config.toml"), &environment, NeededSecrets::All).unwrap();
    let mut app =
        App::build(Arc::new(config), &environment, Arc::new(SystemClock), LedgerUse::MadeIfMissing, TablesUse::Read)
            .await
            .unwrap();
    app.clock = Arc::<ManualClock>::clone(clock);
    let staging = Arc::new(Brittle::around(Arc::clone(&app.remotes.staging), Brittleness::none()));
    app.remotes.staging = Arc::<Brittle>::clone(&staging);
    (app, staging)
}

/// A file as JSON.
pub(crate) fn read_json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A message that its owner alone takes part in.
#[derive(Clone, Copy)]
pub(crate) struct Sent<'a> {
    pub(crate) id: i64,
    pub(crate) owner: &'a str,
    pub(crate) attachment: Option<&'a str>,
}

impl Sent<'_> {
    fn json(&self, now: DateTime<Utc>) -> serde_json::Value {
        let Self { id, owner, attachment } = *self;
        let email = if owner == ANA { "ana.berg@contoso.example" } else { "peter.quist@contoso.example" };
        let attachment: Vec<serde_json::Value> = attachment
            .map(|bytes| serde_json::json!({"name": "file.txt", "contentType": "text/plain", "attachmentSize": bytes.len()}))
            .into_iter()
            .collect();
        let person = serde_json::json!({"value": owner, "type": "PHONE"});
        serde_json::json!({
            "typ": "RawMessage", "id": id, "gatewayReceivedDate": now.timestamp_millis(),
            "networkType": "WHATSAPP_CLOUD_ARCHIVER", "sourceType": "WHATSAPP_CLOUD_ARCHIVER",
            "body": {
                "messageId": format!("3EB0{id}"), "messageType": "APP_MESSAGE", "messageTime": now.timestamp_millis(),
                "direction": "OUT", "owner": person, "sender": person, "recipients": [],
                "participantEnrichments": { format!("{{\"value\":\"{owner}\",\"type\":\"PHONE\"}}"): {"email": email} },
                "text": format!("message {id}"), "attachment": attachment,
            }
        })
    }
}

/// Staging that breaks on command: after so many changes, or for all that lies under a retention policy.
pub(crate) struct Brittleness {
    /// Changes until it breaks; none where negative.
    changes_left: AtomicI64,
    immutable: AtomicBool,
}

/// Staging with that.
pub(crate) type Brittle = Hooked<Brittleness>;

impl Brittleness {
    fn none() -> Self {
        Self { changes_left: AtomicI64::new(-1), immutable: AtomicBool::new(false) }
    }

    /// Breaks after so many more changes.
    pub(crate) fn breaks_after(&self, changes: i64) {
        self.changes_left.store(changes, Ordering::SeqCst);
    }

    /// Works again.
    pub(crate) fn heals(&self) {
        self.changes_left.store(-1, Ordering::SeqCst);
    }

    /// Nothing may be removed.
    pub(crate) fn set_immutable(&self, immutable: bool) {
        self.immutable.store(immutable, Ordering::SeqCst);
    }
}

#[async_trait]
impl Hook for Brittleness {
    /// Counts a change. The marks of windows that are begun don't count: they come with every run.
    async fn before(&self, touch: Touch, name: &BlobName) -> Result<(), StagingError> {
        if touch == Touch::Remove && self.immutable.load(Ordering::SeqCst) {
            return Err(StagingError::Immutable { name: name.clone(), detail: "legal hold".to_owned() });
        }
        if touch == Touch::Get || name.as_str().starts_with("regular-windows/") {
            return Ok(());
        }
        let one_less = |left: i64| Some(if left > 0 { left - 1 } else { left });
        match self.changes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(0) => Err(StagingError::Unavailable("broken on command".to_owned())),
            _ => Ok(()),
        }
    }
}
