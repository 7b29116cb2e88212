//! A refused credential, remembered: tried again only when it changes or the next scheduled time comes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::config::{Secret, SourceKind};
use crate::digest::Digest;
use crate::ledger::LedgerError;
use crate::pipeline::RunError;
use crate::source::SourceError;

/// The name under which the ledger remembers it.
const REFUSED: &str = "refused.source";

#[derive(Debug, Serialize, Deserialize)]
struct Refusal {
    /// The fingerprint of the password that was refused, salted and stretched.
    credential: Option<Digest>,
    username: String,
    at: DateTime<Utc>,
}

/// When the source refused the credential that is in force now; nothing where it didn't.
pub(super) async fn refused_at(app: &App) -> Result<Option<DateTime<Utc>>, LedgerError> {
    let Some(text) = app.ledger.remembered(REFUSED).await? else { return Ok(None) };
    let Ok(refusal) = serde_json::from_str::<Refusal>(&text) else { return Ok(None) };
    let Some((username, password)) = credential(app) else { return Ok(None) };
    let same = refusal.username == username && refusal.credential == fingerprint(password).await;
    Ok(same.then_some(refusal.at))
}

/// Remembers a refusal, and forgets it when a run got past the log-in.
pub(super) async fn note(app: &App, error: Option<&RunError>, now: DateTime<Utc>) -> Result<(), LedgerError> {
    let refused = matches!(
        error,
        Some(
            RunError::Source(SourceError::Refused { .. })
                | RunError::SourceAt { error: SourceError::Refused { .. }, .. }
        )
    );
    let Some((username, password)) = credential(app) else { return Ok(()) };
    if !refused {
        return app.ledger.remember(REFUSED, None).await;
    }
    let refusal = Refusal { credential: fingerprint(password).await, username: username.to_owned(), at: now };
    let text = serde_json::to_string(&refusal).map_err(|error| LedgerError::Damaged(error.to_string()))?;
    tracing::error!(
        event = "credential_refused",
        "the source refuses the credential; it is not tried again before it changes or the next scheduled time comes"
    );
    app.ledger.remember(REFUSED, Some(&text)).await
}

fn credential(app: &App) -> Option<(&str, &Secret)> {
    match &app.config.source.kind {
        SourceKind::TeleMessage(account) => Some((&account.username, &account.password)),
        SourceKind::Directory { .. } => None,
    }
}

/// The fingerprint takes a while on purpose, so it is not made on a thread that others wait for.
async fn fingerprint(password: &Secret) -> Option<Digest> {
    let password = password.clone();
    tokio::task::spawn_blocking(move || password.fingerprint().ok()).await.ok().flatten()
}
