//! The queue of each mailbox: which copies a run sends to it.

use sqlx::any::AnyRow;

use super::{Delivery, DeliveryState, OPEN, QueueOf};
use crate::identity::Identity;
use crate::ledger::sql::{self, MAX_STATEMENT_ROWS, list_of_placeholders, query_of, query_of_many};
use crate::ledger::{ItemNo, Ledger, LedgerError, RunId};
use crate::resolve::{Mailbox, MailboxId};

impl Ledger {
    /// Mailboxes with open copies, the longest queue first.
    pub async fn open_mailboxes(&self) -> Result<Vec<Mailbox>, LedgerError> {
        let rows = query_of(mailboxes_of(OPEN)).fetch_all(&self.pool).await?;
        rows.iter().map(read_mailbox).collect()
    }

    /// A mailbox's copies of a run without an outcome, in the order of their items, after `after`.
    pub async fn queue(
        &self,
        run: &RunId,
        mailbox: &MailboxId,
        of: QueueOf,
        after: ItemNo,
        limit: u32,
    ) -> Result<Vec<Delivery>, LedgerError> {
        // The list of states is what lets SQLite use its index of open copies; `run_id || ''` keeps it from the run's.
        let rows = sql::prepared(format!(
            "SELECT * FROM deliveries WHERE mailbox_id = $1 AND state = $2 AND run_id || '' = $3
               AND {OPEN} AND first = $4 AND item_no > $5 ORDER BY item_no LIMIT $6"
        ))
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

    /// The state of the first copy of each message in a mailbox; nothing where there is none.
    pub async fn first_copies(
        &self,
        mailbox: &MailboxId,
        identities: &[Identity],
    ) -> Result<Vec<(Identity, DeliveryState)>, LedgerError> {
        let mut found = Vec::new();
        for chunk in identities.chunks(MAX_STATEMENT_ROWS) {
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
