//! The account of a run: what an administrator, an auditor and a monitoring system read of it.
//!
//! [`Report`] is the head: counts and facts. The lists (failures, partial imports, unmapped participants) can be long,
//! so they stay in the ledger and are written out row by row.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::capture_loss::CaptureLoss;
use crate::json_fault::JsonFault;
use crate::ledger::{AccountCounts, DeliveryState, Ledger, LedgerError, RunId, RunKind, RunRecord, RunStatus};
use crate::reason::Reason;
use crate::window::Window;

pub mod chain;
pub mod document;
pub mod failed_share;
pub mod groups;
pub mod html;
pub mod lists;
pub(crate) mod reason;
pub mod signature;
pub mod table;
pub mod verification;

/// The report without its lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub run: RunId,
    /// Always `whatsapp-archiver`.
    pub connector: String,
    pub version: String,
    /// What the run was for.
    pub kind: RunKind,
    /// How it stands.
    pub status: RunStatus,
    /// What it read.
    pub window: Option<Window>,
    pub started: DateTime<Utc>,
    pub finished: Option<DateTime<Utc>>,
    /// What it was made with.
    pub inputs: serde_json::Value,
    pub items: ItemCounts,
    pub deliveries: DeliveryCounts,
    /// Failed deliveries by their reason.
    pub failed_by_reason: BTreeMap<String, u64>,
    /// Users with failed deliveries by the reason, each counted once: the mailbox, else the owner of the item. Reports of
    /// older versions don't have it.
    #[serde(default)]
    pub failed_users_by_reason: BTreeMap<String, u64>,
    /// Partial imports by their reason.
    pub partial_by_reason: BTreeMap<String, u64>,
    /// How many participants have no valid user.
    pub unmapped_total: u64,
    /// How many rules of the mapping file named mailboxes of this run's deliveries. Reports of older versions don't have it.
    #[serde(default)]
    pub mapping_rules_total: u64,
    pub bytes: ByteCounts,
    /// What was never captured. Reports of older versions say nothing of it.
    #[serde(default)]
    pub capture_loss: CaptureLoss,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is suspicious about the share of failed deliveries: of the run, or of it and those before it where it has few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub many_failed: Option<String>,
}

/// `items` of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemCounts {
    /// Distinct items first seen in the run.
    pub available_from_source: u64,
    /// Items that were sent again.
    pub repeated_by_source: u64,
    /// Items found only through the overlap.
    pub late: u64,
}

/// `deliveries` of a report. `available_for_import` is the sum of the five outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryCounts {
    /// All deliveries.
    pub available_for_import: u64,
    /// Imported whole.
    pub imported: u64,
    /// Imported without an attachment.
    pub partially_imported: u64,
    /// The mailbox has the message from another capture.
    pub skipped_duplicate: u64,
    /// Not imported, for a reason.
    pub failed: u64,
    /// Not imported yet.
    pub pending: u64,
    /// Of all these, deliveries of items that an earlier run saw first.
    pub carried_over: u64,
}

/// `bytes` of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteCounts {
    /// Taken from the source.
    pub downloaded: u64,
    /// Imported into mailboxes.
    pub imported: u64,
}

impl Report {
    /// The report of a run: the frozen one where the run has ended, else as things stand now.
    pub async fn of(ledger: &Ledger, run: &RunRecord) -> Result<Self, LedgerError> {
        if let Some(frozen) = &run.report {
            return serde_json::from_str(frozen).map_err(|error| {
                LedgerError::Damaged(format!("the report of run {}: {}", run.id, JsonFault::from(error)))
            });
        }
        Self::draw_up(ledger, run).await
    }

    /// Draws the report up from the ledger, as things stand now.
    pub async fn draw_up(ledger: &Ledger, run: &RunRecord) -> Result<Self, LedgerError> {
        let counts = ledger.account(&run.id).await?;
        let (_, unmapped_total) = ledger.unmapped(&run.id, 0).await?;
        let (_, mapping_rules_total) = ledger.mapping_rules(&run.id, 0).await?;
        Ok(Self {
            run: run.id.clone(),
            connector: "whatsapp-archiver".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: run.kind,
            status: run.status,
            window: run.window,
            started: run.started,
            finished: run.finished,
            inputs: serde_json::from_str(&run.inputs).unwrap_or_default(),
            items: ItemCounts {
                available_from_source: run.available,
                repeated_by_source: run.repeated,
                late: run.late,
            },
            deliveries: DeliveryCounts::from(&counts),
            failed_by_reason: counts.failed_by_reason,
            failed_users_by_reason: counts.failed_users_by_reason,
            partial_by_reason: counts.partial_by_reason,
            unmapped_total,
            mapping_rules_total,
            bytes: ByteCounts { downloaded: run.bytes_downloaded, imported: run.bytes_imported },
            capture_loss: CaptureLoss::of(ledger, &run.id).await?,
            error: run.failure.as_ref().map(|failure| failure.error.clone()),
            many_failed: None,
        })
    }

    /// Whether the run read a window to its end and the source had nothing new in it.
    pub fn had_no_new_items(&self) -> bool {
        let has_read = self.kind.reads_source() && self.status.reached_end() && self.window.is_some();
        has_read && self.items.available_from_source == 0
    }

    /// Deliveries that were given up in the run: their mailbox could not be used for `retry.give_up`.
    pub fn given_up(&self) -> u64 {
        self.failed_by_reason.get(Reason::MailboxUnavailable.name()).copied().unwrap_or_default()
    }

    /// Deliveries that mailboxes have not taken for good: refused, or given up. No later run tries them by itself.
    pub fn refused(&self) -> u64 {
        Reason::of_mailboxes().filter_map(|reason| self.failed_by_reason.get(reason.name())).sum()
    }

    /// Whether everything has its outcome, and nothing failed but by rule.
    pub fn is_success(&self) -> bool {
        self.status == RunStatus::Complete && self.refused() == 0
    }

    /// What is wrong with the books, where they don't balance.
    pub async fn imbalance(&self, ledger: &Ledger) -> Result<Option<String>, LedgerError> {
        let (items, unaccounted) = ledger.unaccounted(&self.run).await?;
        let counts = &self.deliveries;
        let outcomes =
            counts.imported + counts.partially_imported + counts.skipped_duplicate + counts.failed + counts.pending;
        if unaccounted > 0 {
            return Ok(Some(format!("{unaccounted} of {items} items have no row in the account")));
        }
        if items != self.items.available_from_source {
            let counted = self.items.available_from_source;
            return Ok(Some(format!("{counted} items were counted as they came, and {items} are recorded")));
        }
        if outcomes != counts.available_for_import {
            let available = counts.available_for_import;
            return Ok(Some(format!("{available} deliveries have {outcomes} outcomes")));
        }
        Ok(None)
    }
}

impl From<&AccountCounts> for DeliveryCounts {
    fn from(counts: &AccountCounts) -> Self {
        Self {
            available_for_import: counts.total(),
            imported: counts.of(DeliveryState::Imported),
            partially_imported: counts.of(DeliveryState::PartiallyImported),
            skipped_duplicate: counts.of(DeliveryState::SkippedDuplicate),
            failed: counts.of(DeliveryState::Failed),
            pending: counts.pending(),
            carried_over: counts.carried_over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn report(kind: RunKind, status: RunStatus, available: u64) -> Report {
        let instant = DateTime::from_timestamp(1_763_700_000, 0).unwrap();
        let none = AccountCounts::default();
        Report {
            run: RunId("run".to_owned()),
            connector: "whatsapp-archiver".to_owned(),
            version: "1".to_owned(),
            kind,
            status,
            window: Some(Window { from: instant, to: instant + chrono::Duration::days(1) }),
            started: instant,
            finished: None,
            inputs: serde_json::Value::Null,
            items: ItemCounts { available_from_source: available, repeated_by_source: 0, late: 0 },
            deliveries: DeliveryCounts::from(&none),
            failed_by_reason: BTreeMap::new(),
            failed_users_by_reason: BTreeMap::new(),
            partial_by_reason: BTreeMap::new(),
            unmapped_total: 0,
            mapping_rules_total: 0,
            bytes: ByteCounts { downloaded: 0, imported: 0 },
            capture_loss: CaptureLoss::default(),
            many_failed: None,
            error: None,
        }
    }

    #[test]
    fn only_a_run_that_read_its_window_says_that_there_was_nothing() {
        const WORDS: &str = "The source had no new items.";
        for kind in RunKind::ALL {
            for status in [RunStatus::Running, RunStatus::Complete, RunStatus::Incomplete, RunStatus::Failed] {
                let read = matches!(kind, RunKind::Regular | RunKind::Backfill);
                let ended = matches!(status, RunStatus::Complete | RunStatus::Incomplete);
                let report = report(kind, status, 0);
                assert_eq!(report.had_no_new_items(), read && ended, "{kind:?} {status:?}");
                assert_eq!(table::render(&report).contains(WORDS), read && ended, "{kind:?} {status:?}");
            }
        }
        assert!(!report(RunKind::Regular, RunStatus::Complete, 1).had_no_new_items());
        assert!(!Report { window: None, ..report(RunKind::Regular, RunStatus::Complete, 0) }.had_no_new_items());
    }
}
