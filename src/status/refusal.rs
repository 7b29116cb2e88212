//! A refused credential of the source, remembered in the ledger: tried again only when it changes or the next scheduled
//! time comes, whichever process asks, because accounts are locked by repetition.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::config::{SourceConfig, SourceKind};
use crate::digest::Digest;
use crate::ledger::{Ledger, LedgerError};
use crate::panics;
use crate::pipeline::{RunError, RunFinished};
use crate::secret::Secret;
use crate::source::SourceError;

/// The name under which the ledger remembers it.
const REFUSED: &str = "refused.source";

#[derive(Debug, Serialize, Deserialize)]
pub struct RefusedCredential {
    /// The fingerprint of the password that was refused, salted and stretched; nothing where it could not be read.
    credential: Option<Digest>,
    username: String,
    /// When it was refused.
    pub at: DateTime<Utc>,
}

impl RefusedCredential {
    /// The refusal that is remembered, if any.
    pub async fn load(ledger: &Ledger) -> Result<Option<Self>, LedgerError> {
        ledger.get_meta_json(REFUSED).await
    }

    /// Whether it is the credential in force that was refused. Takes some ten milliseconds.
    pub async fn is_of(&self, source: &SourceConfig) -> bool {
        let Some((username, password)) = credential(source) else { return false };
        self.username == username && self.credential == fingerprint(password).await
    }
}

/// Remembers a refusal. Forgets it when a run got past the log-in, or had another credential.
pub(super) async fn note(
    ledger: &Ledger,
    source: &SourceConfig,
    finished: &RunFinished,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let Some((username, password)) = credential(source) else { return ledger.set_meta(REFUSED, None).await };
    if finished.error.as_ref().is_some_and(is_by_source) {
        let refusal =
            RefusedCredential { credential: fingerprint(password).await, username: username.to_owned(), at: now };
        tracing::error!(
            event = "credential_refused",
            "the source refuses the credential; it is not tried again until it changes or the next scheduled time comes"
        );
        return ledger.set_meta_json(REFUSED, &refusal).await;
    }
    let Some(refusal) = RefusedCredential::load(ledger).await? else { return Ok(()) };
    if finished.has_reached_source() || !refusal.is_of(source).await {
        ledger.set_meta(REFUSED, None).await?;
    }
    Ok(())
}

/// Whether a run failed because the source refuses the credential.
pub(crate) fn is_by_source(error: &RunError) -> bool {
    matches!(
        error,
        RunError::Source(SourceError::Refused { .. }) | RunError::SourceAt { error: SourceError::Refused { .. }, .. }
    )
}

fn credential(source: &SourceConfig) -> Option<(&str, &Secret)> {
    match &source.kind {
        SourceKind::TeleMessage(account) => Some((&account.username, &account.password)),
        SourceKind::Directory { .. } => None,
    }
}

/// The fingerprint takes a while on purpose, so it is not made on a thread that others wait for.
async fn fingerprint(password: &Secret) -> Option<Digest> {
    let password = password.clone();
    panics::blocking(move || password.fingerprint().ok()).await.ok().flatten()
}
