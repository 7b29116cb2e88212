//! The queue of each mailbox: which copies a run sends to it.

use std::collections::HashSet;

use sqlx::any::AnyRow;

use super::{Delivery, DeliveryState, OPEN, QueueOf};
use crate::identity::Identity;
use crate::ledger::items::is_one_of;
use crate::ledger::sql::{self, MAX_STATEMENT_ROWS, list_of_placeholders, mailbox_no, query_of, query_of_many, run_no};
use crate::ledger::{ItemNo, Ledger, LedgerError, RunId};
use crate::resolution::{Mailbox, MailboxId};

impl Ledger {
    /// Mailboxes with open copies (of all items, or of these), the longest queue first.
    pub async fn open_mailboxes(&self, items: Option<&[ItemNo]>) -> Result<Vec<Mailbox>, LedgerError> {
        let open = format!("{OPEN} AND {}", is_one_of(items));
        let rows = query_of(mailboxes_of(&open)).fetch_all(&self.pool).await?;
        rows.iter().map(read_mailbox).collect()
    }

    /// The mailboxes with open copies in a run's account of items that an earlier run saw first.
    pub async fn mailboxes_with_earlier_items(&self, run: &RunId) -> Result<HashSet<MailboxId>, LedgerError> {
        let rows = query_of(format!(
            "SELECT name FROM names WHERE name_no IN
               (SELECT target_no FROM delivery_rows WHERE {OPEN} AND +run_no = {run} AND target_no > 0
                  AND item_no < COALESCE((SELECT MIN(first_item) FROM pages WHERE run_no = {run}), {}))",
            i64::MAX,
            run = run_no(1)
        ))
        .bind(&run.0)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok(MailboxId(sql::get(row, "name")?))).collect()
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
        // The list of states is what lets SQLite use its index of open copies; `+run_no` keeps it from the run's.
        let rows = sql::prepared(format!(
            "SELECT item_no, identity, state, attempts, settle_at FROM delivery_rows
             WHERE target_no = {} AND state = '{}' AND +run_no = {}
               AND {OPEN} AND first = {} AND item_no > $3 ORDER BY item_no LIMIT {limit}",
            mailbox_no(1),
            // In the text, as the limit: with values that are bound, SQLite plans the statement anew each time.
            if of == QueueOf::Unknown { "unknown" } else { "ready" },
            run_no(2),
            i64::from(of != QueueOf::Duplicates)
        ))
        .bind(&mailbox.0)
        .bind(&run.0)
        .bind(after.0)
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
                "SELECT identity, state FROM delivery_rows WHERE first = 1 AND target_no = {} AND identity IN {}",
                mailbox_no(1),
                list_of_placeholders(2, chunk.len())
            );
            let mut query = query_of_many(self.dialect, statement).bind(&mailbox.0);
            for identity in chunk {
                query = query.bind(identity.0.as_bytes().as_slice());
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
        let mailbox_no = mailbox_no(1);
        let row =
            query_of(format!("SELECT item_no FROM delivery_rows WHERE first = 1 AND target_no = {mailbox_no} LIMIT 1"))
                .bind(&mailbox.0)
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.is_some())
    }

    /// Whether any copy is in its mailbox.
    pub async fn has_imported(&self) -> Result<bool, LedgerError> {
        let imported = "state IN ('imported', 'partially_imported')";
        let statement = format!("SELECT item_no FROM delivery_rows WHERE target_no > 0 AND {imported} LIMIT 1");
        Ok(query_of(statement).fetch_optional(&self.pool).await?.is_some())
    }

    /// The mailboxes that any copy was ever recorded for under this address, without regard to case.
    pub async fn mailboxes_with_address(&self, address: &str) -> Result<Vec<MailboxId>, LedgerError> {
        let rows = sql::prepared(
            "SELECT name AS mailbox_id FROM names WHERE name_no IN (
               SELECT target_no FROM delivery_rows WHERE target_no > 0
                 AND address_no IN (SELECT name_no FROM names WHERE lower(name) = $1))
             ORDER BY name"
                .to_owned(),
        )
        .bind(address.to_ascii_lowercase())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok(MailboxId(sql::get(row, "mailbox_id")?))).collect()
    }
}

/// The mailboxes of rows, the longest queue first, each with its latest address: people change their names.
pub(in crate::ledger) fn mailboxes_of(condition: &str) -> String {
    format!(
        "SELECT mailbox.name AS mailbox_id, (SELECT name FROM names WHERE name_no = address_no) AS mailbox FROM (
           SELECT target_no, address_no, COUNT(*) OVER (PARTITION BY target_no) AS copies,
             ROW_NUMBER() OVER (PARTITION BY target_no ORDER BY item_no DESC) AS place
           FROM delivery_rows WHERE {condition} AND target_no > 0) AS found
         JOIN names AS mailbox ON mailbox.name_no = found.target_no
         WHERE place = 1 ORDER BY copies DESC, mailbox.name"
    )
}

pub(in crate::ledger) fn read_mailbox(row: &AnyRow) -> Result<Mailbox, LedgerError> {
    Ok(Mailbox { id: MailboxId(sql::get(row, "mailbox_id")?), address: sql::get(row, "mailbox")? })
}
