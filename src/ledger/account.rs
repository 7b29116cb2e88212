//! The account of a run: its counts, and its lists frozen when it ends.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;

use super::deliveries::{DeliveryState, OPEN, WITH_ITEMS};
use super::pending::{PendingCause, cause};
use super::sql;
use super::{ItemNo, Ledger, LedgerError, RunId, RunKind};
use crate::reason::Reason;

/// The rows of a run's account, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountCounts {
    /// Rows by their state's name.
    pub by_state: BTreeMap<String, u64>,
    /// Failed rows by their reason.
    pub failed_by_reason: BTreeMap<String, u64>,
    /// Users with failed rows by the reason: the mailbox, else the owner of the item. Each counts once for a reason.
    pub failed_users_by_reason: BTreeMap<String, u64>,
    /// Partial imports by their reason.
    pub partial_by_reason: BTreeMap<String, u64>,
    /// Rows of items that an earlier run saw first.
    pub carried_over: u64,
}

impl AccountCounts {
    /// The rows in a state.
    pub fn of(&self, state: DeliveryState) -> u64 {
        self.by_state.get(state.name()).copied().unwrap_or_default()
    }

    /// All rows.
    pub fn total(&self) -> u64 {
        self.by_state.values().sum()
    }

    /// Rows without an outcome.
    pub fn pending(&self) -> u64 {
        [DeliveryState::Ready, DeliveryState::Sending, DeliveryState::Unknown, DeliveryState::Pending]
            .into_iter()
            .map(|state| self.of(state))
            .sum()
    }
}

/// A row of an account's lists: a delivery that failed, is pending, or is partial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its place in the list: the next rows are those after it.
    pub place: ListPlace,
    /// The ledger's number of the item.
    pub no: ItemNo,
    /// TeleMessage's number.
    pub item: Option<i64>,
    /// WhatsApp's id.
    pub message_id: Option<String>,
    /// The owner's number or name.
    pub owner: Option<String>,
    /// The mailbox, for a copy.
    pub mailbox: Option<String>,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why it failed.
    pub reason: Option<String>,
    /// Why it is pending. Accounts that older versions froze don't say.
    pub cause: Option<PendingCause>,
    /// For the administrator.
    pub detail: Option<String>,
}

impl Failure {
    /// How the item is named in lists and on the command line: TeleMessage's number, else `#` and the ledger's own.
    pub fn item_name(&self) -> String {
        self.item.map_or_else(|| format!("#{}", self.no.0), |item| item.to_string())
    }

    /// Why it failed, or why it is pending.
    pub fn why(&self) -> Option<&str> {
        self.reason.as_deref().or(self.cause.map(PendingCause::name))
    }
}

/// A place in a list of rows; the default is before the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListPlace {
    /// Of a frozen account the row's number, else the item's.
    number: i64,
    /// The row's target, where an item can have several rows.
    target: String,
}

impl Failure {
    /// A row of what is open now, with its cause where it is pending.
    fn open(row: &AnyRow) -> Result<Self, LedgerError> {
        let place = ListPlace { number: sql::get(row, "item_no")?, target: sql::get(row, "target")? };
        let cause: Option<String> = sql::get(row, "cause")?;
        Ok(Self { cause: cause.as_deref().map(PendingCause::from_name), ..Self::read(row, place)? })
    }

    /// A row of a frozen account, which keeps the cause of what is pending in place of a reason.
    fn frozen(row: &AnyRow) -> Result<Self, LedgerError> {
        let read = Self::read(row, ListPlace { number: sql::get(row, "row_no")?, target: String::new() })?;
        if read.state != DeliveryState::Pending {
            return Ok(read);
        }
        Ok(Self { cause: read.reason.as_deref().map(PendingCause::from_name), reason: None, ..read })
    }

    fn read(row: &AnyRow, place: ListPlace) -> Result<Self, LedgerError> {
        Ok(Self {
            place,
            no: ItemNo(sql::get(row, "item_no")?),
            item: sql::get(row, "item_id")?,
            message_id: sql::get(row, "message_id")?,
            owner: sql::get(row, "owner")?,
            mailbox: sql::get(row, "mailbox")?,
            state: DeliveryState::from_name(&sql::get::<String>(row, "state")?)?,
            reason: sql::get(row, "reason")?,
            cause: None,
            detail: sql::get(row, "detail")?,
        })
    }
}

/// Which rows to list.
#[derive(Debug, Clone, Default)]
pub struct FailureFilter {
    /// Of this run's frozen account; without it, all that is open now.
    pub run: Option<RunId>,
    /// Only in these states; empty for failed and pending.
    pub states: Vec<DeliveryState>,
    /// Only for this reason.
    pub reason: Option<Reason>,
}

/// A participant without a valid user, and in how many items it occurs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmapped {
    /// The number or name, as it came.
    pub participant: String,
    /// In how many items of the run.
    pub items: u64,
}

impl Ledger {
    /// Counts the rows of a run's account as they stand now. Imported rows, of which there may be millions, are counted where they
    /// lie: to group them SQLite would sort them in memory.
    pub async fn account(&self, run: &RunId) -> Result<AccountCounts, LedgerError> {
        let of_state = |state: DeliveryState| {
            let name = state.name();
            format!("COUNT(CASE WHEN deliveries.state = '{name}' THEN 1 END) AS of_{name}, ")
        };
        let row = sql::query_of(format!(
            "SELECT {} COUNT(CASE WHEN items.run_no <> deliveries.run_no THEN 1 END) AS carried, COUNT(*) AS found
             FROM {WITH_ITEMS}
             WHERE deliveries.run_no = {}",
            DeliveryState::ALL.map(of_state).concat(),
            sql::run_no(1)
        ))
        .bind(&run.0)
        .fetch_one(&self.pool)
        .await?;
        let mut counts = AccountCounts { carried_over: sql::count(&row, "carried")?, ..AccountCounts::default() };
        for state in DeliveryState::ALL {
            let rows = sql::count(&row, &format!("of_{}", state.name()))?;
            if rows > 0 {
                counts.by_state.insert(state.name().to_owned(), rows);
            }
        }
        if counts.by_state.values().sum::<u64>() != sql::count(&row, "found")? {
            return Err(LedgerError::Damaged(format!("rows of run {run} are in no known state")));
        }
        let rows = sql::query_of(format!(
            "SELECT deliveries.state, deliveries.reason, COUNT(*) AS found,
               COUNT(DISTINCT COALESCE(deliveries.mailbox, items.owner)) AS users
             FROM {WITH_ITEMS}
             WHERE deliveries.run_no = {} AND deliveries.state IN ('failed', 'partially_imported')
               AND deliveries.reason IS NOT NULL GROUP BY deliveries.state, deliveries.reason",
            sql::run_no(1)
        ))
        .bind(&run.0)
        .fetch_all(&self.pool)
        .await?;
        for row in &rows {
            let reason: String = sql::get(row, "reason")?;
            let number = sql::count(row, "found")?;
            if DeliveryState::from_name(&sql::get::<String>(row, "state")?)? == DeliveryState::Failed {
                counts.failed_users_by_reason.insert(reason.clone(), sql::count(row, "users")?);
                counts.failed_by_reason.insert(reason, number);
            } else {
                counts.partial_by_reason.insert(reason, number);
            }
        }
        Ok(counts)
    }

    /// Freezes the lists of a run's account: what failed, is pending or partial, as it stands now; of a replay also what it imported.
    pub async fn freeze_account(&self, run: &RunId) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM account_rows WHERE run_id = $1").bind(&run.0).execute(&mut *transaction).await?;
        sql::query_of(format!(
            "INSERT INTO account_rows (run_id, row_no, state, item_no, item_id, message_id, owner, mailbox, reason, detail)
             SELECT $1, ROW_NUMBER() OVER (ORDER BY deliveries.item_no, deliveries.target),
               CASE WHEN deliveries.{OPEN} THEN 'pending' ELSE deliveries.state END, items.item_no, items.item_id,
               items.message_id, items.owner, deliveries.mailbox,
               CASE WHEN deliveries.{OPEN} THEN {} ELSE deliveries.reason END, deliveries.detail
             FROM {WITH_ITEMS}
             WHERE deliveries.run_no = {} AND deliveries.state <> 'skipped_duplicate'
               AND (deliveries.state <> 'imported' OR EXISTS (SELECT 1 FROM runs WHERE run_id = $1 AND kind = '{}'))",
            cause(),
            sql::run_no(1),
            RunKind::Retry.name()
        ))
        .bind(&run.0)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Rows of an account's lists, in order, after the one at the place `after`.
    pub async fn failures(
        &self,
        filter: &FailureFilter,
        after: &ListPlace,
        limit: u32,
    ) -> Result<Vec<Failure>, LedgerError> {
        let states = match filter.states.as_slice() {
            [] => &[DeliveryState::Failed, DeliveryState::Pending],
            states => states,
        };
        let names: Vec<String> = states.iter().map(|state| format!("'{}'", state.name())).collect();
        let (names, reason) = (names.join(", "), filter.reason.map(Reason::name));
        match &filter.run {
            Some(run) => self.frozen_failures(run, &names, reason, after, limit).await,
            None => self.open_failures(&names, reason, after, limit).await,
        }
    }

    async fn frozen_failures(
        &self,
        run: &RunId,
        states: &str,
        reason: Option<&str>,
        after: &ListPlace,
        limit: u32,
    ) -> Result<Vec<Failure>, LedgerError> {
        let rows = sql::query_of(format!(
            "SELECT * FROM account_rows WHERE run_id = $1 AND state IN ({states})
               AND (CAST($2 AS TEXT) IS NULL OR reason = $2) AND row_no > $4
             ORDER BY row_no LIMIT $3"
        ))
        .bind(&run.0)
        .bind(reason)
        .bind(i64::from(limit))
        .bind(after.number)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(Failure::frozen).collect()
    }

    async fn open_failures(
        &self,
        states: &str,
        reason: Option<&str>,
        after: &ListPlace,
        limit: u32,
    ) -> Result<Vec<Failure>, LedgerError> {
        let rows = sql::query_of(format!(
            "SELECT items.item_no, items.item_id, items.message_id, items.owner, shown.target, shown.mailbox, shown.state,
               shown.reason, shown.detail, shown.cause
             FROM (SELECT deliveries.item_no, deliveries.target, deliveries.mailbox, deliveries.reason, deliveries.detail,
                     CASE WHEN deliveries.{OPEN} THEN 'pending' ELSE deliveries.state END AS state,
                     CASE WHEN deliveries.{OPEN} THEN {} END AS cause
                   FROM {WITH_ITEMS}
                   WHERE deliveries.state NOT IN ('imported', 'skipped_duplicate') AND deliveries.released IS NULL) AS shown
             JOIN items_in_words AS items ON items.item_no = shown.item_no
             WHERE shown.state IN ({states}) AND (CAST($1 AS TEXT) IS NULL OR shown.reason = $1)
               AND (shown.item_no > $3 OR (shown.item_no = $3 AND shown.target > $4))
             ORDER BY shown.item_no, shown.target LIMIT $2",
            cause()
        ))
        .bind(reason)
        .bind(i64::from(limit))
        .bind(after.number)
        .bind(&after.target)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(Failure::open).collect()
    }

    /// The most frequent participants without a valid user in a run, and how many there are in all.
    pub async fn unmapped(&self, run: &RunId, limit: u32) -> Result<(Vec<Unmapped>, u64), LedgerError> {
        let run_no = sql::run_no(1);
        let rows = sql::query_of(format!(
            "SELECT participant, items FROM unmapped WHERE run_no = {run_no} ORDER BY items DESC, participant LIMIT $2"
        ))
        .bind(&run.0)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        let total = sql::query_of(format!("SELECT COUNT(*) AS total FROM unmapped WHERE run_no = {run_no}"))
            .bind(&run.0)
            .fetch_one(&self.pool)
            .await?;
        let unmapped = rows
            .iter()
            .map(|row| Ok(Unmapped { participant: sql::get(row, "participant")?, items: sql::count(row, "items")? }))
            .collect::<Result<_, LedgerError>>()?;
        Ok((unmapped, sql::count(&total, "total")?))
    }
}
