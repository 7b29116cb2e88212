//! The queue of each mailbox: which copies a run sends to it, and what became of them.
//!
//! Statements about named rows, or one mailbox's, compare `run_id || ''` rather than `run_id`: SQLite would take the index
//! of the run, and look through all of the run's rows each time.

use chrono::{DateTime, Utc};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::{Delivery, DeliveryState, Outcome, QueueOf, Target};
use crate::convert::Manifest;
use crate::fault::Reason;
use crate::identity::Identity;
use crate::item::ItemId;
use crate::ledger::sql::{self, Dialect, ROWS, list_of_placeholders, millis, query_of, query_of_many};
use crate::ledger::{ItemNo, Ledger, LedgerError, RunId, Sender, items};
use crate::resolve::{Mailbox, MailboxId};

impl Ledger {
    /// Takes mailboxes' open copies (of all items, or of one) into a run: what a run before it was sending becomes unknown
    /// and settles from `settle_at`, what was pending becomes ready, and the rows count in the account of `run`. The
    /// mailboxes must be leased by the process of `run`.
    pub async fn adopt_deliveries(
        &self,
        run: &RunId,
        mailboxes: &[MailboxId],
        item: Option<ItemId>,
        settle_at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        for chunk in mailboxes.chunks(ROWS) {
            let statement = format!(
                "UPDATE deliveries SET run_id = $1,
                   holder = NULL, settle_at = CASE WHEN state = 'sending' THEN CAST($2 AS BIGINT) ELSE settle_at END,
                   state = CASE state WHEN 'sending' THEN 'unknown' WHEN 'pending' THEN 'ready' ELSE state END
                 WHERE state IN ('ready', 'sending', 'unknown', 'pending') AND run_id <> $1
                   AND (CAST($3 AS BIGINT) IS NULL
                        OR item_no IN (SELECT item_no FROM items WHERE item_id = CAST($3 AS BIGINT)))
                   AND mailbox_id IN {}",
                list_of_placeholders(4, chunk.len())
            );
            let mut query =
                query_of(statement).bind(run.0.clone()).bind(millis(settle_at)).bind(item.map(|item| item.0));
            for mailbox in chunk {
                query = query.bind(mailbox.0.clone());
            }
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Mailboxes with open copies, the longest queue first.
    pub async fn open_mailboxes(&self) -> Result<Vec<Mailbox>, LedgerError> {
        let rows =
            query_of(mailboxes_of("state IN ('ready', 'sending', 'unknown', 'pending')")).fetch_all(&self.pool).await?;
        rows.iter().map(read_mailbox).collect()
    }

    /// A mailbox's copies of a run that are not settled, in the order of their items, after `after`.
    pub async fn queue(
        &self,
        run: &RunId,
        mailbox: &MailboxId,
        of: QueueOf,
        after: ItemNo,
        limit: u32,
    ) -> Result<Vec<Delivery>, LedgerError> {
        let rows = sqlx::query(
            // The list of states is what lets SQLite use its index of open copies.
            "SELECT * FROM deliveries WHERE mailbox_id = $1 AND state = $2 AND run_id || '' = $3
               AND state IN ('ready', 'sending', 'unknown', 'pending') AND first = $4 AND item_no > $5 ORDER BY item_no LIMIT $6",
        )
        .bind(mailbox.0.clone())
        .bind(if of == QueueOf::Unknown { "unknown" } else { "ready" })
        .bind(run.0.clone())
        .bind(i64::from(of != QueueOf::Duplicates))
        .bind(after.0)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(Delivery::read).collect()
    }

    /// Records the intent to send copies, before the first of them is sent, with what will be sent. Fails where one of them
    /// isn't this run's to send any more.
    pub async fn intend(
        &self,
        sender: &Sender,
        mailbox: &MailboxId,
        items: &[(ItemNo, Manifest)],
        converter: &str,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        sender.check(&mut transaction).await?;
        for chunk in items.chunks(ROWS) {
            let messages: Vec<_> = chunk.iter().map(|(no, manifest)| (*no, converter, manifest)).collect();
            items::insert_messages(&mut transaction, self.dialect, &messages).await?;
            let statement = format!(
                "UPDATE deliveries SET state = 'sending', holder = $1, converter = $2
                 WHERE mailbox_id = $3 AND run_id || '' = $4 AND state IN ('ready', 'unknown') AND item_no IN {}",
                list_of_placeholders(5, chunk.len())
            );
            let mut query = query_of_many(self.dialect, statement)
                .bind(sender.holder.0.clone())
                .bind(converter.to_owned())
                .bind(mailbox.0.clone())
                .bind(sender.run.0.clone());
            for (item, _) in chunk {
                query = query.bind(item.0);
            }
            let changed = query.execute(&mut *transaction).await?.rows_affected();
            if changed != chunk.len() as u64 {
                return Err(LedgerError::LeaseLost(format!("mailbox {mailbox}")));
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Records outcomes, in one transaction. Rows that another run has taken over meanwhile are that run's, and stay.
    /// Fails where the sender is a helper whose right was taken away.
    pub async fn settle(&self, sender: &Sender, outcomes: &[Outcome]) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        sender.check(&mut transaction).await?;
        let run = &sender.run;
        for chunk in outcomes.chunks(ROWS) {
            settle_chunk(&mut transaction, self.dialect, sender, chunk).await?;
        }
        let bytes: u64 = outcomes.iter().map(|outcome| outcome.bytes).sum();
        if bytes > 0 {
            sqlx::query("UPDATE runs SET bytes_imported = bytes_imported + $1 WHERE run_id = $2")
                .bind(bytes as i64)
                .bind(run.0.clone())
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The state of the first copy of each message in a mailbox; nothing where there is none.
    pub async fn first_copies(
        &self,
        mailbox: &MailboxId,
        identities: &[Identity],
    ) -> Result<Vec<(Identity, DeliveryState)>, LedgerError> {
        let mut found = Vec::new();
        for chunk in identities.chunks(ROWS) {
            let statement = format!(
                "SELECT identity, state FROM deliveries WHERE first = 1 AND mailbox_id = $1 AND identity IN {}",
                list_of_placeholders(2, chunk.len())
            );
            let mut query = query_of_many(self.dialect, statement).bind(mailbox.0.clone());
            for identity in chunk {
                query = query.bind(identity.0.as_bytes().to_vec());
            }
            for row in query.fetch_all(&self.pool).await? {
                let state = DeliveryState::from_name(&sql::get::<String>(&row, "state")?)?;
                found.push((Identity(sql::digest(&row, "identity")?), state));
            }
        }
        Ok(found)
    }

    /// Whether any copy was ever recorded for a mailbox.
    pub async fn has_copies_for(&self, mailbox: &MailboxId) -> Result<bool, LedgerError> {
        let row = sqlx::query("SELECT item_no FROM deliveries WHERE first = 1 AND mailbox_id = $1 LIMIT 1")
            .bind(mailbox.0.clone())
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }

    /// Makes a duplicate the first copy of its message in a mailbox, in the place of one that failed for good. Tells where it
    /// stands now: one that was given up may be there, and so may this one.
    pub async fn promote(
        &self,
        mailbox: &MailboxId,
        identity: Identity,
        item: ItemNo,
    ) -> Result<DeliveryState, LedgerError> {
        let mut transaction = self.begin().await?;
        let failed = sqlx::query(
            "UPDATE deliveries SET first = 0 WHERE first = 1 AND mailbox_id = $1 AND identity = $2 AND state = 'failed'
             RETURNING reason",
        )
        .bind(mailbox.0.clone())
        .bind(identity.0.as_bytes().to_vec())
        .fetch_all(&mut *transaction)
        .await?;
        let reasons: Vec<Option<String>> =
            failed.iter().map(|row| sql::get(row, "reason")).collect::<Result<_, _>>()?;
        let given_up = Reason::MailboxUnavailable.name();
        let may_be_there = reasons.iter().flatten().any(|reason| reason == given_up);
        sqlx::query(
            "UPDATE deliveries SET first = 1, state = CASE WHEN state = 'ready' AND $1 = 1 THEN 'unknown' ELSE state END
             WHERE item_no = $2 AND mailbox_id = $3",
        )
        .bind(i64::from(may_be_there))
        .bind(item.0)
        .bind(mailbox.0.clone())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(if may_be_there { DeliveryState::Unknown } else { DeliveryState::Ready })
    }

    /// Leaves what a run could not send pending for a later one. Rows that are being sent by a process that ended stay as they
    /// are: they are looked up when they are taken over.
    pub async fn leave_pending(&self, run: &RunId, detail: &str) -> Result<(), LedgerError> {
        sqlx::query(
            "UPDATE deliveries SET state = 'pending', detail = COALESCE(detail, $1) WHERE run_id = $2 AND state = 'ready'",
        )
        .bind(detail.to_owned())
        .bind(run.0.clone())
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// The mailboxes of rows, the longest queue first, each with its latest address: people change their names.
pub(in crate::ledger) fn mailboxes_of(condition: &str) -> String {
    format!(
        "SELECT mailbox_id, mailbox FROM (
           SELECT mailbox_id, mailbox, COUNT(*) OVER (PARTITION BY mailbox_id) AS copies,
             ROW_NUMBER() OVER (PARTITION BY mailbox_id ORDER BY item_no DESC) AS place
           FROM deliveries WHERE {condition} AND mailbox_id IS NOT NULL) AS found
         WHERE place = 1 ORDER BY copies DESC, mailbox_id"
    )
}

pub(in crate::ledger) fn read_mailbox(row: &AnyRow) -> Result<Mailbox, LedgerError> {
    Ok(Mailbox { id: MailboxId(sql::get(row, "mailbox_id")?), address: sql::get(row, "mailbox")? })
}

async fn settle_chunk(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    sender: &Sender,
    chunk: &[Outcome],
) -> Result<(), LedgerError> {
    const TYPES: [&str; 8] = ["BIGINT", "TEXT", "TEXT", "TEXT", "TEXT", "BIGINT", "BIGINT", "TEXT"];
    let row = |row: usize| {
        let cast = |(column, of): (usize, &&str)| format!("CAST(${} AS {of})", row * TYPES.len() + column + 1);
        format!("({})", TYPES.iter().enumerate().map(cast).collect::<Vec<_>>().join(", "))
    };
    let rows: Vec<String> = (0..chunk.len()).map(row).collect();
    let statement = format!(
        "WITH done (item_no, target, state, reason, detail, attempts, settle_at, remote_id) AS (VALUES {})
         UPDATE deliveries SET state = done.state, reason = done.reason, detail = done.detail,
           attempts = deliveries.attempts + done.attempts, settle_at = done.settle_at,
           remote_id = COALESCE(done.remote_id, deliveries.remote_id), holder = NULL
         FROM done WHERE deliveries.item_no = done.item_no AND deliveries.target = done.target
           AND deliveries.run_id || '' = ${} AND (deliveries.holder IS NULL OR deliveries.holder = ${})
           AND deliveries.state IN ('ready', 'sending', 'unknown', 'pending')",
        rows.join(", "),
        chunk.len() * TYPES.len() + 1,
        chunk.len() * TYPES.len() + 2
    );
    let mut query = query_of_many(dialect, dialect.schema(&statement));
    for outcome in chunk {
        query = query
            .bind(outcome.no.0)
            .bind(Target::Mailbox(outcome.mailbox.clone()).name())
            .bind(outcome.state.name())
            .bind(outcome.reason)
            .bind(outcome.detail.clone())
            .bind(i64::from(outcome.attempts))
            .bind(outcome.settle_at.map(millis))
            .bind(outcome.remote_id.clone());
    }
    query.bind(sender.run.0.clone()).bind(sender.holder.0.clone()).execute(&mut **transaction).await?;
    Ok(())
}
