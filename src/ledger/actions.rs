//! What administrators did by hand: recorded before it is done, and listed in the next report of the chain.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::sql::{self, millis};
use super::{Ledger, LedgerError, meta};
use crate::digest::Digest;

/// What an administrator did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    /// Replayed what was held or failed.
    Retry,
    /// Had missing copies sent again.
    Restore,
    /// Read a stated window again.
    Backfill,
    /// Gave held items up.
    Release,
    /// Rebuilt the ledger from staging and the mailboxes.
    RebuildLedger,
    /// Moved the ledger to another database.
    CopyLedger,
    /// Tried the remotes; what is recorded is whether staged blobs can be removed.
    Check,
    /// Compared the mailboxes with the ledger; what is recorded is the result.
    Verify,
    /// Exported messages for reviewers.
    Export,
    /// Gathered what proves one message.
    Prove,
    /// Changed the configuration that is in force.
    ConfigurationChanged,
    /// Changed the mapping file that is in force.
    MappingChanged,
    /// Signed in to the pages.
    SignIn,
}

impl ActionKind {
    /// The action's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Restore => "restore",
            Self::Backfill => "backfill",
            Self::Release => "release",
            Self::RebuildLedger => "rebuild_ledger",
            Self::CopyLedger => "copy_ledger",
            Self::Check => "check",
            Self::Verify => "verify",
            Self::Export => "export",
            Self::Prove => "prove",
            Self::ConfigurationChanged => "configuration_changed",
            Self::MappingChanged => "mapping_changed",
            Self::SignIn => "sign_in",
        }
    }
}

/// An action as a report lists it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AdminAction {
    /// When.
    pub at: DateTime<Utc>,
    /// What: the name of an [`ActionKind`].
    pub action: String,
    /// The administrator's user name on the machine, where it is known.
    pub user: Option<String>,
    /// With which arguments, and what came of it.
    pub detail: String,
}

/// The longest user name that is kept, in characters.
const MAX_USER: usize = 64;

/// The longest detail.
const MAX_DETAIL: usize = 1000;

impl Ledger {
    /// Records what an administrator is about to do.
    pub async fn record_action(
        &self,
        kind: ActionKind,
        user: Option<&str>,
        detail: &str,
        at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        insert(&mut transaction, kind, user, detail, at).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Records that an input is not the one that was in force before: `kind` says which, `process` who noticed. The first one
    /// is only remembered. Returns whether there was another one before.
    pub async fn record_input(
        &self,
        kind: ActionKind,
        sha256: Option<Digest>,
        process: &str,
        at: DateTime<Utc>,
    ) -> Result<bool, LedgerError> {
        let name = format!("in_force:{}", kind.name());
        let now = sha256.map_or_else(|| "none".to_owned(), |sha256| sha256.to_string());
        let mut transaction = self.begin().await?;
        let before = meta::get(&mut transaction, &name).await?;
        if before.as_ref() == Some(&now) {
            return Ok(false);
        }
        meta::set(&mut transaction, &name, &now).await?;
        if let Some(before) = &before {
            let detail = format!("from {before} to {now}, noticed by {process}");
            insert(&mut transaction, kind, None, &detail, at).await?;
        }
        transaction.commit().await?;
        Ok(before.is_some())
    }

    /// The actions that a report lists, after the first `skip`.
    pub async fn actions_of(&self, report: i64, skip: u64, limit: u32) -> Result<Vec<AdminAction>, LedgerError> {
        let rows = sqlx::query("SELECT * FROM actions WHERE report = $1 ORDER BY at, action_id LIMIT $2 OFFSET $3")
            .bind(report)
            .bind(i64::from(limit))
            .bind(i64::try_from(skip).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(AdminAction {
                    at: sql::instant(row, "at")?,
                    action: sql::get(row, "kind")?,
                    user: sql::get(row, "user_name")?,
                    detail: sql::get(row, "detail")?,
                })
            })
            .collect()
    }
}

/// Records an action within a transaction that does it.
pub(super) async fn insert(
    transaction: &mut sqlx::Transaction<'_, sqlx::Any>,
    kind: ActionKind,
    user: Option<&str>,
    detail: &str,
    at: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let bounded = |text: &str, longest| -> String {
        text.chars().filter(|character| !character.is_control()).take(longest).collect()
    };
    sqlx::query("INSERT INTO actions (action_id, at, kind, user_name, detail) VALUES ($1, $2, $3, $4, $5)")
        .bind(Uuid::now_v7().to_string())
        .bind(millis(at))
        .bind(kind.name())
        .bind(user.map(|user| bounded(user, MAX_USER)).filter(|user| !user.is_empty()))
        .bind(bounded(detail, MAX_DETAIL))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
