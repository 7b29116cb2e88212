//! Leases: which process works on what. A lease that isn't renewed in time is anybody's, and what its holder was sending
//! then counts as unknown.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::sql::{self, MAX_STATEMENT_ROWS, list_of_placeholders, millis, query_of_many, rows_of_placeholders};
use super::{Ledger, LedgerError, RunId, superseded};
use crate::resolution::MailboxId;

/// A process that works on the ledger: a UUID made at its start.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder(pub String);

impl Holder {
    /// A holder unlike any other.
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }
}

impl Default for Holder {
    fn default() -> Self {
        Self::new()
    }
}

/// Something that one process at a time works on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lease {
    /// A run: in force while its process is alive.
    Run(RunId),
    /// Pulling from the source.
    Puller,
    /// Sending to a mailbox.
    Mailbox(MailboxId),
    /// Sending for a run of another process.
    Follower(RunId, Holder),
}

impl Lease {
    pub(super) fn resource(&self) -> String {
        match self {
            Self::Run(id) => format!("run:{id}"),
            Self::Puller => "puller".to_owned(),
            Self::Mailbox(id) => format!("mailbox:{id}"),
            Self::Follower(run, holder) => format!("help:{run}:{}", holder.0),
        }
    }
}

impl Ledger {
    /// Takes leases until `until`, where they are free, ours already or have run out. Tells of each whether it is ours now.
    pub async fn lease(
        &self,
        holder: &Holder,
        leases: &[Lease],
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<bool>, LedgerError> {
        // In one order in all processes: two of them wait for each other's rows else.
        let mut wanted: Vec<String> = leases.iter().map(Lease::resource).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut ours = HashSet::new();
        let mut transaction = self.begin().await?;
        for chunk in wanted.chunks(MAX_STATEMENT_ROWS) {
            let insert = format!(
                "INSERT INTO leases (resource, holder, until) VALUES {}
                 ON CONFLICT (resource) DO UPDATE SET holder = excluded.holder, until = excluded.until
                 WHERE leases.holder = excluded.holder OR leases.until <= {}",
                rows_of_placeholders(chunk.len(), 3),
                millis(now),
            );
            let mut query = query_of_many(self.dialect, insert);
            for resource in chunk {
                query = query.bind(resource).bind(&holder.0).bind(millis(until));
            }
            query.execute(&mut *transaction).await?;

            let held = format!(
                "SELECT resource FROM leases WHERE holder = $1 AND resource IN {}",
                list_of_placeholders(2, chunk.len())
            );
            let mut query = query_of_many(self.dialect, held).bind(&holder.0);
            for resource in chunk {
                query = query.bind(resource);
            }
            for row in query.fetch_all(&mut *transaction).await? {
                ours.insert(sql::get::<String>(&row, "resource")?);
            }
        }
        // After the leases are written: a copy that is under way has them wait for its end.
        superseded::refuse(&mut transaction).await?;
        transaction.commit().await?;
        Ok(leases.iter().map(|lease| ours.contains(&lease.resource())).collect())
    }

    /// Renews all leases of a holder, its claims of items included. Fails with [`LedgerError::LeaseLost`] where one was taken
    /// over meanwhile; `expected` is how many leases the holder believes to have.
    pub async fn renew_leases(&self, holder: &Holder, expected: u64, until: DateTime<Utc>) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        let renewed = sqlx::query("UPDATE leases SET until = $1 WHERE holder = $2")
            .bind(millis(until))
            .bind(&holder.0)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        sqlx::query("UPDATE item_rows SET claim_until = $1 WHERE claim_holder = $2 AND state <> 'prepared'")
            .bind(millis(until))
            .bind(&holder.0)
            .execute(&mut *transaction)
            .await?;
        if renewed < expected {
            // Nothing is renewed then: what is left runs out.
            return Err(LedgerError::LeaseLost(format!("{} of {expected} resources", expected - renewed)));
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Gives all leases and claims of a holder back.
    pub async fn release_leases(&self, holder: &Holder) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM leases WHERE holder = $1").bind(&holder.0).execute(&mut *transaction).await?;
        sqlx::query("UPDATE item_rows SET claim_holder = NULL, claim_until = NULL WHERE claim_holder = $1 AND state <> 'prepared'")
            .bind(&holder.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Gives one lease back.
    pub async fn release_lease(&self, holder: &Holder, lease: &Lease) -> Result<(), LedgerError> {
        sqlx::query("DELETE FROM leases WHERE holder = $1 AND resource = $2")
            .bind(&holder.0)
            .bind(lease.resource())
            .execute(self.writer()?)
            .await?;
        Ok(())
    }
}

/// The mark of a closed account. It goes when the run's end is recorded, which says the same.
pub(super) fn closed(run: &RunId) -> String {
    format!("closed:{run}")
}
