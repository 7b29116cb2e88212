//! Several processes send the copies of one run: the one that pulls keeps the account, the others follow.
//!
//! A follower's right to send for a run is a lease of its own. Whatever a follower records, it records together with a touch of that
//! lease, in one transaction: once the lease is taken away, or the account is closed, nothing of a follower's reaches it any more.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::{Any, Transaction};

use super::deliveries::{OPEN, mailboxes_of, read_mailbox};
use super::sql::{self, Dialect, MAX_STATEMENT_ROWS, list_of_placeholders, millis, query_of, run_no};
use super::{Holder, Lease, Ledger, LedgerError, RunId, RunRecord, leases};
use crate::resolution::{Mailbox, MailboxId};

/// Who sends, and on whose account.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The run whose account the copies are in.
    pub run: RunId,
    /// The process.
    pub holder: Holder,
    /// The run is another process's.
    pub is_follower: bool,
}

impl Sender {
    /// The lease that a follower's right to send is.
    pub fn lease(&self) -> Lease {
        Lease::Follower(self.run.clone(), self.holder.clone())
    }

    /// Fails where the run's account is closed, and where this is a follower that may not send any more. Whoever closes the account
    /// or takes the right away waits for the transaction's end.
    pub(super) async fn check(
        &self,
        transaction: &mut Transaction<'_, Any>,
        dialect: Dialect,
    ) -> Result<(), LedgerError> {
        if !self.is_follower {
            return refuse_closed(transaction, dialect, &self.run).await;
        }
        let touched = sqlx::query(
            "UPDATE leases SET until = until WHERE resource = $1 AND holder = $2
               AND EXISTS (SELECT 1 FROM runs WHERE run_id = $3 AND status = 'running')
               AND NOT EXISTS (SELECT 1 FROM leases AS closed WHERE closed.resource = $4)",
        )
        .bind(self.lease().resource())
        .bind(&self.holder.0)
        .bind(&self.run.0)
        .bind(leases::closed(&self.run))
        .execute(&mut **transaction)
        .await?;
        match touched.rows_affected() {
            0 => Err(LedgerError::LeaseLost(format!("run {}, which it followed", self.run))),
            _ => Ok(()),
        }
    }
}

/// Fails where a run has ended or its account is closed: what a process records that stood still meanwhile would count in no
/// report. Whoever closes the account waits for the transaction's end.
pub(super) async fn refuse_closed(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    run: &RunId,
) -> Result<(), LedgerError> {
    let running = format!("SELECT 1 FROM runs WHERE run_id = $1 AND status = 'running'{}", dialect.share_lock());
    let is_running = sql::prepared(running).bind(&run.0).fetch_optional(&mut **transaction).await?.is_some();
    // A statement of its own: it sees what was committed while this one waited for the lock.
    let mark = sqlx::query("SELECT 1 FROM leases WHERE resource = $1").bind(leases::closed(run));
    let is_closed = mark.fetch_optional(&mut **transaction).await?.is_some();
    if is_closed || !is_running {
        return Err(LedgerError::LeaseLost(format!("run {run}, whose account is closed")));
    }
    Ok(())
}

impl Ledger {
    /// The run of the process that pulls, where its copies may be sent by others too.
    pub async fn run_to_follow(&self, now: DateTime<Utc>) -> Result<Option<RunRecord>, LedgerError> {
        let row = sqlx::query(
            "SELECT runs.* FROM runs
             JOIN leases AS puller ON puller.resource = 'puller' AND puller.holder = runs.holder AND puller.until > $1
             JOIN leases AS alive ON alive.resource = 'run:' || runs.run_id AND alive.until > $1
             WHERE runs.status = 'running' AND runs.kind IN ('regular', 'backfill')
             ORDER BY runs.run_no DESC LIMIT 1",
        )
        .bind(millis(now))
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(RunRecord::read).transpose()
    }

    /// How many processes follow a run.
    pub async fn followers(&self, run: &RunId, now: DateTime<Utc>) -> Result<u64, LedgerError> {
        let row = sqlx::query("SELECT COUNT(*) AS helpers FROM leases WHERE resource LIKE $1 AND until > $2")
            .bind(followers_of(run))
            .bind(millis(now))
            .fetch_one(&self.pool)
            .await?;
        sql::count(&row, "helpers")
    }

    /// Closes a run's account: from now on nobody records anything in it, neither followers nor a process of its own that stood
    /// still meanwhile. What they are sending is looked up by the next run.
    /// Fails where another process has ended the run already.
    pub async fn close_account(&self, run: &RunId) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        let running = sqlx::query("UPDATE runs SET status = status WHERE run_id = $1 AND status = 'running'")
            .bind(&run.0)
            .execute(&mut *transaction)
            .await?;
        if running.rows_affected() == 0 {
            return Err(LedgerError::LeaseLost(format!("run {run}")));
        }
        sqlx::query("INSERT INTO leases (resource, holder, until) VALUES ($1, '', 0) ON CONFLICT DO NOTHING")
            .bind(leases::closed(run))
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM leases WHERE resource LIKE $1")
            .bind(followers_of(run))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Mailboxes with copies of a run that whoever leases the mailbox may send or look up, the longest queue first.
    pub async fn mailboxes_to_share(&self, run: &RunId) -> Result<Vec<Mailbox>, LedgerError> {
        let waiting = mailboxes_of(&format!("+run_no = {} AND {OPEN} AND state IN ('ready', 'unknown')", run_no(1)));
        let rows = query_of(waiting).bind(&run.0).fetch_all(&self.pool).await?;
        rows.iter().map(read_mailbox).collect()
    }

    /// Those of the mailboxes that no other process leases.
    pub async fn free_mailboxes(
        &self,
        holder: &Holder,
        mailboxes: Vec<Mailbox>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Mailbox>, LedgerError> {
        let mut leased = HashSet::new();
        for chunk in mailboxes.chunks(MAX_STATEMENT_ROWS) {
            let statement = format!(
                "SELECT resource FROM leases WHERE until > $1 AND holder <> $2 AND resource IN {}",
                list_of_placeholders(3, chunk.len())
            );
            let mut query = query_of(statement).bind(millis(now)).bind(&holder.0);
            for mailbox in chunk {
                query = query.bind(Lease::Mailbox(mailbox.id.clone()).resource());
            }
            for row in query.fetch_all(&self.pool).await? {
                leased.insert(sql::get::<String>(&row, "resource")?);
            }
        }
        let is_free = |mailbox: &Mailbox| !leased.contains(&Lease::Mailbox(mailbox.id.clone()).resource());
        Ok(mailboxes.into_iter().filter(is_free).collect())
    }

    /// Whether followers of a run are at any of these mailboxes.
    pub async fn are_shared(
        &self,
        run: &RunId,
        mailboxes: &[MailboxId],
        now: DateTime<Utc>,
    ) -> Result<bool, LedgerError> {
        for chunk in mailboxes.chunks(MAX_STATEMENT_ROWS) {
            let statement = format!(
                "SELECT 1 FROM leases AS at JOIN leases AS help ON help.holder = at.holder AND help.until > $1
                 WHERE help.resource LIKE $2 AND at.until > $1 AND at.resource IN {} LIMIT 1",
                list_of_placeholders(3, chunk.len())
            );
            let mut query = query_of(statement).bind(millis(now)).bind(followers_of(run));
            for mailbox in chunk {
                query = query.bind(Lease::Mailbox(mailbox.clone()).resource());
            }
            if query.fetch_optional(&self.pool).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Takes the right to send from those followers of a run whose leases have run out.
pub(super) async fn dismiss_silent(
    transaction: &mut Transaction<'_, Any>,
    run: &RunId,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    sqlx::query("DELETE FROM leases WHERE resource LIKE $1 AND until <= $2")
        .bind(followers_of(run))
        .bind(millis(now))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn followers_of(run: &RunId) -> String {
    format!("help:{run}:%")
}
