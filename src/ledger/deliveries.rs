//! Deliveries: one row for each item and mailbox, or one of the item's own where it fails before that.
//!
//! | State | Meaning |
//! |---|---|
//! | `ready` | certainly not sent; to be sent in the run of the row |
//! | `sending` | the intent is recorded; its holder may have sent it |
//! | `unknown` | may be there: looked up, from `settle_at` on, before it is sent again |
//! | `pending` | certainly not sent; waits for a later run |
//! | `imported`, `partially_imported`, `skipped_duplicate`, `failed` | its outcome |
//!
//! Statements about named rows, or one mailbox's, compare `run_id || ''` rather than `run_id`: SQLite would take the index
//! of the run, and look through all of the run's rows each time.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::sql::{self, Dialect, ROWS, built, list_of_placeholders, millis, rows_of_placeholders};
use super::{Holder, ItemNo, Ledger, LedgerError, RunId};
use crate::convert::Manifest;
use crate::fault::Reason;
use crate::identity::Identity;
use crate::item::ItemId;
use crate::resolve::{Mailbox, MailboxId, ResolvedBy};

/// What a delivery is of: a copy for a mailbox, or the item's own row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A copy for a mailbox.
    Mailbox(MailboxId),
    /// A participant whom the directory did not answer for; the participant's key.
    Participant(String),
    /// The owner, who is no valid user though others are.
    Owner,
    /// The item as a whole.
    Item,
}

impl Target {
    /// The target's name in the ledger.
    pub fn name(&self) -> String {
        match self {
            Self::Mailbox(id) => format!("mailbox:{id}"),
            Self::Participant(key) => format!("participant:{key}"),
            Self::Owner => "owner".to_owned(),
            Self::Item => "item".to_owned(),
        }
    }
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the table at the top of this file says what they mean")]
pub enum DeliveryState {
    Ready,
    Sending,
    Unknown,
    Pending,
    Imported,
    PartiallyImported,
    SkippedDuplicate,
    Failed,
}

impl DeliveryState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Ready,
        Self::Sending,
        Self::Unknown,
        Self::Pending,
        Self::Imported,
        Self::PartiallyImported,
        Self::SkippedDuplicate,
        Self::Failed,
    ];

    /// The state's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Sending => "sending",
            Self::Unknown => "unknown",
            Self::Pending => "pending",
            Self::Imported => "imported",
            Self::PartiallyImported => "partially_imported",
            Self::SkippedDuplicate => "skipped_duplicate",
            Self::Failed => "failed",
        }
    }

    /// Whether the delivery has its outcome.
    pub fn is_settled(self) -> bool {
        !matches!(self, Self::Ready | Self::Sending | Self::Unknown | Self::Pending)
    }

    pub(super) fn from_name(name: &str) -> Result<Self, LedgerError> {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| LedgerError::Damaged(format!("a delivery in the unknown state {name:?}")))
    }
}

/// Why an import is partial. A closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartialReason {
    /// The source doesn't have an attachment.
    AttachmentMissing,
    /// An attachment's bytes aren't those that were declared.
    AttachmentCorrupt,
    /// The mailbox refused an attachment.
    AttachmentRejected,
}

impl PartialReason {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::AttachmentMissing, Self::AttachmentCorrupt, Self::AttachmentRejected];

    /// The reason's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AttachmentMissing => "attachment_missing",
            Self::AttachmentCorrupt => "attachment_corrupt",
            Self::AttachmentRejected => "attachment_rejected",
        }
    }
}

/// A row to add.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// What it is of.
    pub target: Target,
    /// The mailbox, for a copy.
    pub mailbox: Option<(Mailbox, ResolvedBy)>,
    /// The identity of the message, for a copy.
    pub identity: Option<Identity>,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why it failed, or (for a copy that is not sent yet) nothing.
    pub reason: Option<Reason>,
    /// For the administrator.
    pub detail: Option<String>,
    /// The process that will send it, where its state is [`DeliveryState::Sending`].
    pub holder: Option<Holder>,
    /// The converter's version, for a copy.
    pub converter: Option<&'static str>,
    /// Since when it is pending, where it takes the place of a row that was; else it is made now.
    pub since: Option<DateTime<Utc>>,
}

/// A copy to be sent, looked up or recognised as a duplicate.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The item.
    pub no: ItemNo,
    /// The mailbox.
    pub mailbox: Mailbox,
    /// The identity of the message.
    pub identity: Identity,
    /// Whether it is the first capture of its message for this mailbox; the others wait for it.
    pub first: bool,
    /// Where it stands.
    pub state: DeliveryState,
    /// When it was made: from then on `retry.give_up` counts.
    pub created: DateTime<Utc>,
    /// How often it was tried.
    pub attempts: u32,
    /// From when on an "absent" is to be believed.
    pub settle_at: Option<DateTime<Utc>>,
}

impl Delivery {
    fn read(row: &AnyRow) -> Result<Self, LedgerError> {
        Ok(Self {
            no: ItemNo(sql::get(row, "item_no")?),
            mailbox: Mailbox {
                id: MailboxId(sql::get(row, "mailbox_id")?),
                address: sql::get::<Option<String>>(row, "mailbox")?.unwrap_or_default(),
            },
            identity: Identity(sql::digest(row, "identity")?),
            first: sql::get::<i64>(row, "first")? == 1,
            state: DeliveryState::from_name(&sql::get::<String>(row, "state")?)?,
            created: sql::instant(row, "created")?,
            attempts: u32::try_from(sql::get::<i64>(row, "attempts")?).unwrap_or(u32::MAX),
            settle_at: sql::optional_instant(row, "settle_at")?,
        })
    }
}

/// A row of an item, in short.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    /// The item.
    pub no: ItemNo,
    /// The name of its [`Target`].
    pub target: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why it failed.
    pub reason: Option<String>,
    /// When it was made.
    pub created: DateTime<Utc>,
}

impl DeliveryRow {
    /// Whether it is of a copy for a mailbox.
    pub fn is_for_mailbox(&self) -> bool {
        self.target.starts_with("mailbox:")
    }
}

/// Which of a mailbox's copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueOf {
    /// First copies, certainly not sent.
    Ready,
    /// First copies that may be there.
    Unknown,
    /// Duplicates, which wait for the first copy of their message.
    Duplicates,
}

/// What became of a copy.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The item.
    pub no: ItemNo,
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Where it stands now.
    pub state: DeliveryState,
    /// Why it failed, or why the import is partial.
    pub reason: Option<&'static str>,
    /// For the administrator.
    pub detail: Option<String>,
    /// Tries made since the last outcome.
    pub attempts: u32,
    /// From when on an "absent" is to be believed, where the outcome is unknown.
    pub settle_at: Option<DateTime<Utc>>,
    /// The door's id of the copy.
    pub remote_id: Option<String>,
    /// Bytes imported.
    pub bytes: u64,
}

/// What is open in the whole ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenCounts {
    /// Rows without an outcome.
    pub pending: u64,
    /// When the oldest of them was made.
    pub oldest_pending: Option<DateTime<Utc>>,
    /// Items that failed and can be replayed.
    pub held: u64,
}

impl Ledger {
    /// Takes mailboxes' open copies (of all items, or of one) into a run: what a run before it was sending becomes unknown
    /// and settles from `settle_at`, what was pending becomes ready, and the rows count in the account of `run`. The
    /// mailboxes must be leased by the process of `run`, and no other run of it may be under way.
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
                   settle_at = CASE WHEN state = 'sending' THEN CAST($2 AS BIGINT) ELSE settle_at END,
                   state = CASE state WHEN 'sending' THEN 'unknown' WHEN 'pending' THEN 'ready' ELSE state END
                 WHERE state IN ('ready', 'sending', 'unknown', 'pending') AND run_id <> $1
                   AND (CAST($3 AS BIGINT) IS NULL
                        OR item_no IN (SELECT item_no FROM items WHERE item_id = CAST($3 AS BIGINT)))
                   AND mailbox_id IN {}",
                list_of_placeholders(4, chunk.len())
            );
            let mut query =
                sqlx::query(built(statement)).bind(run.0.clone()).bind(millis(settle_at)).bind(item.map(|item| item.0));
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
        let rows = sqlx::query(
            "SELECT mailbox_id, MAX(mailbox) AS mailbox, COUNT(*) AS copies FROM deliveries
             WHERE state IN ('ready', 'sending', 'unknown', 'pending') AND mailbox_id IS NOT NULL
             GROUP BY mailbox_id ORDER BY copies DESC, mailbox_id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok(Mailbox { id: MailboxId(sql::get(row, "mailbox_id")?), address: sql::get(row, "mailbox")? }))
            .collect()
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
               AND state IN ('ready', 'sending', 'unknown', 'pending')
               AND first = $4 AND item_no > $5 ORDER BY item_no LIMIT $6",
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
        run: &RunId,
        holder: &Holder,
        mailbox: &MailboxId,
        items: &[(ItemNo, Manifest)],
        converter: &str,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        for chunk in items.chunks(ROWS) {
            let messages: Vec<_> = chunk.iter().map(|(no, manifest)| (*no, converter, manifest)).collect();
            super::items::insert_messages(&mut transaction, &messages).await?;
            let statement = format!(
                "UPDATE deliveries SET state = 'sending', holder = $1, converter = $2
                 WHERE mailbox_id = $3 AND run_id || '' = $4 AND state IN ('ready', 'unknown') AND item_no IN {}",
                list_of_placeholders(5, chunk.len())
            );
            let mut query = sqlx::query(built(statement))
                .bind(holder.0.clone())
                .bind(converter.to_owned())
                .bind(mailbox.0.clone())
                .bind(run.0.clone());
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
    pub async fn settle(&self, run: &RunId, outcomes: &[Outcome]) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        for chunk in outcomes.chunks(ROWS) {
            settle_chunk(&mut transaction, self.dialect, run, chunk).await?;
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
            let mut query = sqlx::query(built(statement)).bind(mailbox.0.clone());
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

    /// Makes a duplicate the first copy of its message in a mailbox, in the place of one that failed for good.
    pub async fn promote(&self, mailbox: &MailboxId, identity: Identity, item: ItemNo) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE deliveries SET first = 0 WHERE first = 1 AND mailbox_id = $1 AND identity = $2 AND state = 'failed'")
            .bind(mailbox.0.clone())
            .bind(identity.0.as_bytes().to_vec())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE deliveries SET first = 1 WHERE item_no = $1 AND mailbox_id = $2")
            .bind(item.0)
            .bind(mailbox.0.clone())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Leaves what a run could not send pending for a later one: all its rows that are ready (in one mailbox, or in all). Rows that are
    /// being sent by a process that ended stay as they are: they are looked up when they are taken over.
    pub async fn leave_pending(
        &self,
        run: &RunId,
        mailbox: Option<&MailboxId>,
        detail: &str,
    ) -> Result<(), LedgerError> {
        sqlx::query(
            "UPDATE deliveries SET state = 'pending', detail = COALESCE(detail, $1)
             WHERE run_id = $2 AND state = 'ready' AND (CAST($3 AS TEXT) IS NULL OR mailbox_id = $3)",
        )
        .bind(detail.to_owned())
        .bind(run.0.clone())
        .bind(mailbox.map(|mailbox| mailbox.0.clone()))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Fails what was pending for longer than `retry.give_up`: copies that are certainly not sent, and participants whom the
    /// directory did not answer for, in rows of `run` that were made before `before`.
    pub async fn give_up(&self, run: &RunId, before: DateTime<Utc>) -> Result<u64, LedgerError> {
        let result = sqlx::query(
            "UPDATE deliveries SET state = 'failed', reason = 'mailbox_unavailable'
             WHERE run_id = $1 AND state = 'pending' AND created < $2
               AND (mailbox_id IS NOT NULL OR target LIKE 'participant:%')",
        )
        .bind(run.0.clone())
        .bind(millis(before))
        .execute(&self.pool)
        .await?;
        Ok(result.rows_affected())
    }

    /// The rows of items.
    pub async fn rows_of(&self, items: &[ItemNo]) -> Result<Vec<DeliveryRow>, LedgerError> {
        let mut found = Vec::new();
        for chunk in items.chunks(ROWS) {
            let statement = format!(
                "SELECT item_no, target, state, reason, created FROM deliveries WHERE item_no IN {} ORDER BY item_no, target",
                list_of_placeholders(1, chunk.len())
            );
            let mut query = sqlx::query(built(statement));
            for item in chunk {
                query = query.bind(item.0);
            }
            for row in query.fetch_all(&self.pool).await? {
                found.push(DeliveryRow {
                    no: ItemNo(sql::get(&row, "item_no")?),
                    target: sql::get(&row, "target")?,
                    state: DeliveryState::from_name(&sql::get::<String>(&row, "state")?)?,
                    reason: sql::get(&row, "reason")?,
                    created: sql::instant(&row, "created")?,
                });
            }
        }
        Ok(found)
    }

    /// Gives each item of a run that was not prepared before the run ended a pending row of its own, so that the run's
    /// account holds every item. The next run prepares it and takes the row away.
    pub async fn account_for_unprepared(&self, run: &RunId, now: DateTime<Utc>) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO deliveries (item_no, target, first, state, detail, run_id, created)
             SELECT item_no, 'item', 1, 'pending', 'the run ended before its turn', $1, $2 FROM items
             WHERE run_id = $1 AND state = 'staged' ON CONFLICT DO NOTHING",
        )
        .bind(run.0.clone())
        .bind(millis(now))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What a run's account has pending: items for which the directory gave no answer, and copies for mailboxes.
    pub async fn pending_of(&self, run: &RunId) -> Result<(u64, u64), LedgerError> {
        let row = sqlx::query(
            "SELECT COUNT(CASE WHEN deliveries.mailbox_id IS NULL AND items.state = 'prepared' THEN 1 END) AS unanswered,
               COUNT(deliveries.mailbox_id) AS unsent
             FROM deliveries JOIN items ON items.item_no = deliveries.item_no
             WHERE deliveries.run_id = $1 AND deliveries.state IN ('ready', 'sending', 'unknown', 'pending')",
        )
        .bind(run.0.clone())
        .fetch_one(&self.pool)
        .await?;
        let unsigned = |value: i64| u64::try_from(value).unwrap_or_default();
        Ok((unsigned(sql::get(&row, "unanswered")?), unsigned(sql::get(&row, "unsent")?)))
    }

    /// What is open in the whole ledger.
    pub async fn open_counts(&self) -> Result<OpenCounts, LedgerError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS pending, MIN(created) AS oldest FROM deliveries
             WHERE state IN ('ready', 'sending', 'unknown', 'pending')",
        )
        .fetch_one(&self.pool)
        .await?;
        let held = sqlx::query(
            "SELECT COUNT(DISTINCT item_no) AS held FROM deliveries WHERE state = 'failed' AND released IS NULL",
        )
        .fetch_one(&self.pool)
        .await?;
        let unsigned = |value: i64| u64::try_from(value).unwrap_or_default();
        Ok(OpenCounts {
            pending: unsigned(sql::get(&row, "pending")?),
            oldest_pending: sql::optional_instant(&row, "oldest")?,
            held: unsigned(sql::get(&held, "held")?),
        })
    }
}

/// Inserts rows; of those for mailboxes, tells which are the first of their message there.
pub(super) async fn insert(
    transaction: &mut Transaction<'_, Any>,
    run: &RunId,
    now: DateTime<Utc>,
    rows: &[(ItemNo, &NewDelivery)],
) -> Result<HashSet<(ItemNo, String)>, LedgerError> {
    let mut first = HashSet::new();
    for chunk in rows.chunks(ROWS) {
        first.extend(insert_chunk(transaction, run, now, chunk, true).await?);
        let others: Vec<_> =
            chunk.iter().copied().filter(|(no, row)| !first.contains(&(*no, row.target.name()))).collect();
        if !others.is_empty() {
            insert_chunk(transaction, run, now, &others, false).await?;
        }
    }
    Ok(first)
}

async fn insert_chunk(
    transaction: &mut Transaction<'_, Any>,
    run: &RunId,
    now: DateTime<Utc>,
    rows: &[(ItemNo, &NewDelivery)],
    first: bool,
) -> Result<Vec<(ItemNo, String)>, LedgerError> {
    // A conflict is either another capture that is the first copy, or a row of this item that is there already and stays.
    let statement = format!(
        "INSERT INTO deliveries (item_no, target, mailbox_id, mailbox, resolved_by, identity, first, state, reason,
           detail, run_id, created, holder, converter) VALUES {} ON CONFLICT DO NOTHING RETURNING item_no, target",
        rows_of_placeholders(rows.len(), 14)
    );
    let mut query = sqlx::query(built(statement));
    for (no, row) in rows {
        let (mailbox, by) = row.mailbox.as_ref().map(|(mailbox, by)| (mailbox, *by)).unzip();
        // A duplicate is never on its way, and never there: it waits for the first copy.
        let state = if first { row.state } else { waiting(row.state) };
        query = query
            .bind(no.0)
            .bind(row.target.name())
            .bind(mailbox.map(|mailbox| mailbox.id.0.clone()))
            .bind(mailbox.map(|mailbox| mailbox.address.clone()))
            .bind(by.map(|by| if by == ResolvedBy::Csv { "csv" } else { "email" }))
            .bind(row.identity.map(|identity| identity.0.as_bytes().to_vec()))
            .bind(i64::from(first))
            .bind(state.name())
            .bind(row.reason.map(Reason::name))
            .bind(row.detail.clone())
            .bind(run.0.clone())
            .bind(millis(row.since.unwrap_or(now)))
            .bind(row.holder.as_ref().filter(|_| first).map(|holder| holder.0.clone()))
            .bind(row.converter);
    }
    let rows = query.fetch_all(&mut **transaction).await?;
    rows.iter().map(|row| Ok((ItemNo(sql::get(row, "item_no")?), sql::get(row, "target")?))).collect()
}

fn waiting(state: DeliveryState) -> DeliveryState {
    if matches!(state, DeliveryState::Sending | DeliveryState::Unknown) { DeliveryState::Ready } else { state }
}

/// Removes rows whose place others take.
pub(super) async fn remove(
    transaction: &mut Transaction<'_, Any>,
    item: ItemNo,
    targets: &[String],
) -> Result<(), LedgerError> {
    let statement = format!(
        "DELETE FROM deliveries WHERE item_no = $1 AND state IN ('pending', 'failed') AND target IN {}",
        list_of_placeholders(2, targets.len())
    );
    let mut query = sqlx::query(built(statement)).bind(item.0);
    for target in targets {
        query = query.bind(target.clone());
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

async fn settle_chunk(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    run: &RunId,
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
           AND deliveries.run_id || '' = ${}",
        rows.join(", "),
        chunk.len() * TYPES.len() + 1
    );
    let mut query = sqlx::query(built(dialect.schema(&statement)));
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
    query.bind(run.0.clone()).execute(&mut **transaction).await?;
    Ok(())
}
