//! Whether a run failed more of its deliveries by rule than it should: more than the stated share, or far more than the runs
//! before it. Such a run is complete, and everybody would take it for a good one.
//!
//! A run with few deliveries is judged together with those before it: however small the runs are, somebody is told where everything
//! fails, and one that brought nothing ends no warning.

use chrono::Duration;

use crate::ledger::{Ledger, LedgerError, RunRecord};
use crate::reason::Reason;

use super::Report;

/// The reasons that lie in the item or the mapping. Those of a mailbox have warnings of their own.
const BY_RULE: [Reason; 4] = [Reason::NoValidUser, Reason::SizeExceeded, Reason::Encrypted, Reason::Malformed];
/// Fewer failures begin no warning, and fewer deliveries neither begin nor end one.
const MIN_FAILED: u64 = 3;
/// The runs that one is compared with, and how many there must be.
const COMPARED: usize = 7;
const MIN_COMPARED: usize = 3;
/// With fewer deliveries, a run is judged together with others, and not compared.
const MIN_DELIVERIES: u64 = 20;
/// A run is judged together with those that began so long before it; with older ones only where these have hardly a delivery. Less than a
/// day, so that a daily run stands alone.
const JUDGED_TOGETHER: Duration = Duration::hours(23);
/// So many times the usual share is far more, from so many percent on.
const LEAP: u64 = 4;
const MIN_LEAP_PERCENT: u64 = 5;
/// The runs that are looked through for those to judge and to compare.
const LOOKED_THROUGH: u32 = 100;

/// What is wrong with the share of failed deliveries in a run of which at most `max_percent` may fail; nothing where
/// nothing is. A warning begins with a run that has such failures, and goes on until there is enough to say that it is over.
pub async fn warning(ledger: &Ledger, report: &Report, max_percent: u8) -> Result<Option<String>, LedgerError> {
    if !report.kind.reads_source() {
        return Ok(None);
    }
    let mut earlier = ledger.runs(LOOKED_THROUGH).await?;
    earlier.retain(|run| is_compared(run) && run.id != report.run && run.started <= report.started);
    let before = match earlier.iter().find(|run| run.status.reached_end()) {
        Some(run) => Report::of(ledger, run).await?.many_failed,
        None => None,
    };
    if failed(report) == 0 && before.is_none() {
        return Ok(None);
    }
    let (mut judged, mut compared) = (Deliveries::of(report), Vec::new());
    let mut is_judged = true;
    for run in &earlier {
        let is_recent = report.started - run.started < JUDGED_TOGETHER;
        is_judged &= judged.all < MIN_DELIVERIES && (is_recent || judged.all < MIN_FAILED);
        if compared.len() == COMPARED {
            break;
        }
        let earlier = Report::of(ledger, run).await?;
        if is_judged {
            judged.add(&earlier);
        } else if run.status.reached_end() && earlier.deliveries.available_for_import >= MIN_DELIVERIES {
            compared.push(Deliveries::of(&earlier));
        }
    }
    if judged.all < MIN_FAILED {
        return Ok(before);
    }
    // What is wrong already stays wrong until little enough fails.
    let least = if before.is_some() { 1 } else { MIN_FAILED };
    Ok(judge(&judged, &compared, max_percent).filter(|_| judged.failed() >= least))
}

/// Whether a run failed any delivery by a rule.
pub fn has_failed(report: &Report) -> bool {
    failed(report) > 0
}

/// Replays meet the same failures again. What a run failed before it failed itself counts.
fn is_compared(run: &RunRecord) -> bool {
    run.kind.reads_source() && run.finished.is_some()
}

fn failed(report: &Report) -> u64 {
    BY_RULE.iter().filter_map(|reason| report.failed_by_reason.get(reason.name())).sum()
}

/// The deliveries of one run, or of several.
#[derive(Debug, Clone, Default)]
struct Deliveries {
    /// The runs that had any.
    runs: usize,
    all: u64,
    /// In the order of [`BY_RULE`].
    failed: [u64; BY_RULE.len()],
}

impl Deliveries {
    fn of(report: &Report) -> Self {
        let mut deliveries = Self::default();
        deliveries.add(report);
        deliveries
    }

    fn add(&mut self, report: &Report) {
        let all = report.deliveries.available_for_import;
        self.runs += usize::from(all > 0);
        self.all += all;
        for (count, reason) in self.failed.iter_mut().zip(BY_RULE) {
            *count += report.failed_by_reason.get(reason.name()).copied().unwrap_or_default();
        }
    }

    fn failed(&self) -> u64 {
        self.failed.iter().sum()
    }
}

/// Compares a run, or several, with what is allowed and with those before.
fn judge(judged: &Deliveries, before: &[Deliveries], max_percent: u8) -> Option<String> {
    let (failed_now, all) = (judged.failed(), judged.all);
    let of_all = |percent: u64| failed_now.saturating_mul(100) > all.saturating_mul(percent);
    let is_too_much = of_all(u64::from(max_percent));
    let earlier_failed: u64 = before.iter().map(Deliveries::failed).sum();
    let earlier_all: u64 = before.iter().map(|earlier| earlier.all).sum();
    let is_leap = before.len() >= MIN_COMPARED
        && all >= MIN_DELIVERIES
        && of_all(MIN_LEAP_PERCENT)
        && failed_now.saturating_mul(earlier_all) > earlier_failed.saturating_mul(all).saturating_mul(LEAP);
    if !(is_too_much || is_leap) {
        return None;
    }
    let reasons: Vec<String> = BY_RULE
        .iter()
        .zip(judged.failed)
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| format!("{} {count}", reason.name()))
        .collect();
    let share = |failed: u64, all: u64| failed.saturating_mul(100) / all.max(1);
    let why = if is_too_much {
        format!("report.max_failed_share allows {max_percent} %")
    } else {
        format!("in the {} runs before it was {} %", before.len(), share(earlier_failed, earlier_all))
    };
    let of = if judged.runs > 1 { format!(" of {} runs", judged.runs) } else { String::new() };
    Some(format!(
        "{failed_now} of {all} deliveries ({} %){of} failed by a rule ({}); {why}",
        share(failed_now, all),
        reasons.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;
    use crate::ledger::{RunKind, RunStatus};

    fn run(failed: u64, all: u64) -> Deliveries {
        Deliveries::of(&report_of(failed, all))
    }

    fn report_of(failed: u64, all: u64) -> Report {
        let mut report = report(RunKind::Regular, RunStatus::Complete, all);
        report.deliveries.available_for_import = all;
        report.deliveries.failed = failed;
        report.failed_by_reason = [("no_valid_user".to_owned(), failed)].into();
        report
    }

    #[test]
    fn a_share_over_the_limit_is_a_warning() {
        let told = judge(&run(21, 100), &[], 20).unwrap();
        assert_eq!(
            told,
            "21 of 100 deliveries (21 %) failed by a rule (no_valid_user 21); report.max_failed_share allows 20 %"
        );
        assert_eq!(judge(&run(20, 100), &[], 20), None);
        assert_eq!(judge(&run(100, 100), &[], 100), None, "a limit of 100 % is none");
        assert!(judge(&run(3, 3), &[], 20).is_some());
        assert!(judge(&run(3, 3), &[], 0).is_some());
    }

    #[test]
    fn a_leap_is_a_warning_below_the_limit_too() {
        let usual = [run(1, 100), run(0, 100), run(2, 100)];
        let told = judge(&run(10, 100), &usual, 20).unwrap();
        assert!(told.ends_with("(no_valid_user 10); in the 3 runs before it was 1 %"), "{told}");
        assert_eq!(judge(&run(4, 100), &usual, 20), None, "below 5 %");
        assert_eq!(judge(&run(10, 100), &usual[..2], 20), None, "too few to compare with");
        let bad = [run(10, 100), run(9, 100), run(12, 100)];
        assert_eq!(judge(&run(18, 100), &bad, 20), None, "as usual");
    }

    #[test]
    fn refusals_of_mailboxes_do_not_count() {
        let mut report = report_of(0, 10);
        report.failed_by_reason = [("mailbox_rejected".to_owned(), 10)].into();
        assert_eq!(judge(&Deliveries::of(&report), &[], 20), None);
    }
}
