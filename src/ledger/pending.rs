//! Why deliveries are pending and items held: counted for logs, pages and metrics.

use super::deliveries::{DeliveryState, OPEN, WITH_ITEMS};
use super::sql;
use super::{Ledger, LedgerError, RunId};
use crate::reason::Reason;

/// The detail of what a run had no time for.
pub(super) const NOT_SENT: &str = "the run ended before its turn";

/// The detail of a copy whose item staging doesn't give back.
pub const UNREADABLE: &str = "its staged item cannot be read back";

/// How the detail of copies begins whose mailbox the user directory no longer has where it was.
pub const MAILBOX_GONE: &str = "the mailbox is not where it was";

/// How the detail of copies begins for whose mailbox the user directory gave no answer.
pub const MAILBOX_NOT_CONFIRMED: &str = "nobody says whether the mailbox is where it was";

/// Why a delivery is pending. A closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PendingCause {
    /// The user directory gave no answer for a participant, or for a mailbox of an earlier run.
    Directory,
    /// The mailbox did not take it.
    Mailbox,
    /// The mailbox that it was recorded for has gone: somebody else may have its address.
    MailboxGone,
    /// It may or may not have arrived, and is looked up first.
    OutcomeUnknown,
    /// The source doesn't have an attachment of it yet.
    AttachmentAwaited,
    /// Staging doesn't give its item back.
    Staging,
    /// Its turn has not come yet, or the run ended before it did.
    NotSent,
}

impl PendingCause {
    /// All causes.
    pub const ALL: [Self; 7] = [
        Self::Directory,
        Self::Mailbox,
        Self::MailboxGone,
        Self::OutcomeUnknown,
        Self::AttachmentAwaited,
        Self::Staging,
        Self::NotSent,
    ];

    /// The cause's name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Mailbox => "mailbox",
            Self::MailboxGone => "mailbox_gone",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::AttachmentAwaited => "attachment_awaited",
            Self::Staging => "staging",
            Self::NotSent => "not_sent",
        }
    }

    pub(super) fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|cause| cause.name() == name).unwrap_or(Self::NotSent)
    }
}

/// Deliveries that share a cause and its detail: pending ones, or those that failed for a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseGroup<C> {
    /// Why.
    pub cause: C,
    /// The same in the words of the step that failed.
    pub detail: Option<String>,
    /// How many deliveries.
    pub deliveries: u64,
    /// Of how many mailboxes.
    pub mailboxes: u64,
    /// One of these.
    pub mailbox: Option<String>,
}

/// Open deliveries that share a mailbox, a reason or cause, and its detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenGroup {
    /// The mailbox; none where an item failed before it had copies.
    pub mailbox: Option<String>,
    /// Failed or pending.
    pub state: DeliveryState,
    /// Why they failed.
    pub reason: Option<String>,
    /// Why they are pending.
    pub cause: Option<PendingCause>,
    /// The same in the words of the step that failed.
    pub detail: Option<String>,
    /// How many deliveries.
    pub rows: u64,
    /// The first of their items, as lists and the command line name it.
    pub first_item: String,
}

/// The cause of a row of `deliveries` and `items`. A copy that was never tried is its mailbox's where the mailbox was left alone:
/// then it has the error that the mailbox was left for.
pub(super) fn cause() -> String {
    format!(
        "CASE
        WHEN deliveries.target_no < 0 AND deliveries.target LIKE 'participant:%' THEN 'directory'
        WHEN deliveries.target_no > 0 AND deliveries.detail LIKE '{MAILBOX_GONE}:%' THEN 'mailbox_gone'
        WHEN deliveries.target_no > 0 AND deliveries.detail LIKE '{MAILBOX_NOT_CONFIRMED}:%' THEN 'directory'
        WHEN deliveries.state = 'unknown' THEN 'outcome_unknown'
        WHEN items.state = 'awaiting_attachments' THEN 'attachment_awaited'
        WHEN deliveries.detail = '{UNREADABLE}' THEN 'staging'
        WHEN deliveries.target_no > 0 AND deliveries.state = 'pending'
          AND (deliveries.attempts > 0 OR deliveries.detail <> '{NOT_SENT}') THEN 'mailbox'
        ELSE 'not_sent' END"
    )
}

/// Open deliveries with their items.
fn open() -> String {
    format!("{WITH_ITEMS} WHERE deliveries.{OPEN}")
}

/// What lasts of an error's words. The ids of single requests are for the log: here they would make a cause of each copy.
pub(super) fn lasting(detail: &str) -> String {
    let mut kept = String::with_capacity(detail.len());
    let mut rest = detail;
    while let Some((before, ids)) =
        [" (request-id ", " (client-request-id "].iter().find_map(|ids| rest.split_once(ids))
    {
        kept.push_str(before);
        rest = ids.split_once(')').map_or("", |(_, after)| after);
    }
    kept + rest
}

impl Ledger {
    /// What is pending, in a run's account or in the whole ledger, by cause and detail, the most first.
    pub async fn pending_groups(
        &self,
        run: Option<&RunId>,
        limit: u32,
    ) -> Result<Vec<CauseGroup<PendingCause>>, LedgerError> {
        self.groups(run, limit, &cause(), &open(), |name| Ok(PendingCause::from_name(name))).await
    }

    /// What mailboxes have not taken for good in a run's account, by reason and detail, the most first.
    pub async fn refused_groups(&self, run: &RunId, limit: u32) -> Result<Vec<CauseGroup<Reason>>, LedgerError> {
        let names: Vec<String> = Reason::of_mailboxes().map(|reason| format!("'{}'", reason.name())).collect();
        let refused =
            format!("{WITH_ITEMS} WHERE deliveries.state = 'failed' AND deliveries.reason IN ({})", names.join(", "));
        let reason = |name: &str| {
            Reason::from_name(name).ok_or_else(|| LedgerError::Damaged(format!("the unknown reason {name:?}")))
        };
        self.groups(Some(run), limit, "deliveries.reason", &refused, reason).await
    }

    /// Rows, of a run's account or all, by an expression and their detail, the most first.
    async fn groups<C>(
        &self,
        run: Option<&RunId>,
        limit: u32,
        by: &str,
        rows: &str,
        read: impl Fn(&str) -> Result<C, LedgerError>,
    ) -> Result<Vec<CauseGroup<C>>, LedgerError> {
        let of_run = run.map_or_else(String::new, |_| format!(" AND deliveries.run_no = {}", sql::run_no(2)));
        let statement = format!(
            "SELECT {by} AS cause, deliveries.detail AS detail, COUNT(*) AS deliveries,
               COUNT(DISTINCT CASE WHEN deliveries.target_no > 0 THEN deliveries.target_no END) AS mailboxes, MIN(deliveries.mailbox) AS mailbox
             FROM {rows}{of_run} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT $1"
        );
        let mut query = sql::query_of(statement).bind(i64::from(limit));
        if let Some(run) = run {
            query = query.bind(&run.0);
        }
        let rows = query.fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                Ok(CauseGroup {
                    cause: read(&sql::get::<String>(row, "cause")?)?,
                    detail: sql::get(row, "detail")?,
                    deliveries: sql::count(row, "deliveries")?,
                    mailboxes: sql::count(row, "mailboxes")?,
                    mailbox: sql::get(row, "mailbox")?,
                })
            })
            .collect()
    }

    /// What is open now, of all runs: failed or pending, by cause, the most first.
    pub async fn open_groups(&self, limit: u32) -> Result<Vec<OpenGroup>, LedgerError> {
        let cause = cause();
        let statement = format!(
            "SELECT mailbox, state, reason, cause, detail, COUNT(*) AS found,
               COALESCE(CAST(MIN(item_id) AS TEXT), '#' || CAST(MIN(item_no) AS TEXT)) AS first_item
             FROM (SELECT deliveries.mailbox, deliveries.reason, deliveries.detail, items.item_id, items.item_no,
                     CASE WHEN deliveries.state = 'failed' THEN 'failed' ELSE 'pending' END AS state,
                     CASE WHEN deliveries.state <> 'failed' THEN {cause} END AS cause
                   FROM {WITH_ITEMS}
                   WHERE deliveries.state IN ('failed', 'ready', 'sending', 'unknown', 'pending')
                     AND deliveries.released IS NULL) AS shown
             GROUP BY mailbox, state, reason, cause, detail
             ORDER BY found DESC, state, reason, cause, mailbox, detail LIMIT $1"
        );
        let rows = sql::query_of(statement).bind(i64::from(limit)).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                Ok(OpenGroup {
                    mailbox: sql::get(row, "mailbox")?,
                    state: DeliveryState::from_name(&sql::get::<String>(row, "state")?)?,
                    reason: sql::get(row, "reason")?,
                    cause: sql::get::<Option<String>>(row, "cause")?.as_deref().map(PendingCause::from_name),
                    detail: sql::get(row, "detail")?,
                    rows: sql::count(row, "found")?,
                    first_item: sql::get(row, "first_item")?,
                })
            })
            .collect()
    }

    /// How many deliveries are pending for each cause: of a run's account, or of the whole ledger.
    pub async fn pending_by_cause(&self, run: Option<&RunId>) -> Result<Vec<(PendingCause, u64)>, LedgerError> {
        let of_run = run.map_or_else(String::new, |_| format!(" AND deliveries.run_no = {}", sql::run_no(1)));
        let mut query = sql::query_of(format!(
            "SELECT {} AS cause, COUNT(*) AS deliveries FROM {}{of_run} GROUP BY 1",
            cause(),
            open()
        ));
        if let Some(run) = run {
            query = query.bind(&run.0);
        }
        let mut counts: Vec<(PendingCause, u64)> = PendingCause::ALL.map(|cause| (cause, 0)).to_vec();
        for row in query.fetch_all(&self.pool).await? {
            let cause = PendingCause::from_name(&sql::get::<String>(&row, "cause")?);
            let deliveries = sql::count(&row, "deliveries")?;
            counts.iter_mut().filter(|(of, _)| *of == cause).for_each(|(_, count)| *count += deliveries);
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_requests_do_not_last() {
        let refused = "refused: 507 Full: no room (request-id a-b, client-request-id c-d)";
        assert_eq!(lasting(refused), "refused: 507 Full: no room");
        assert_eq!(
            lasting(&format!("no answer for x@y ({refused}), later")),
            "no answer for x@y (refused: 507 Full: no room), later"
        );
        assert_eq!(lasting("timed out (client-request-id c-d)"), "timed out");
        assert_eq!(lasting("cut (request-id a"), "cut");
        assert_eq!(lasting("nothing (of that kind)"), "nothing (of that kind)");
    }
}
