//! Whether a run failed more of its deliveries by rule than it should: more than the stated share, or far more than the runs
//! before it. Such a run is complete, and everybody would take it for a good one.

use crate::ledger::{Ledger, LedgerError};
use crate::reason::Reason;

use super::Report;

/// The reasons that lie in the item or the mapping. Those of a mailbox have warnings of their own.
const BY_RULE: [Reason; 4] = [Reason::NoValidUser, Reason::SizeExceeded, Reason::Encrypted, Reason::Malformed];
/// Fewer failures of a run say nothing.
const MIN_FAILED: u64 = 3;
/// The runs that one is compared with, and how many there must be.
const COMPARED: usize = 7;
const MIN_COMPARED: usize = 3;
/// A run with fewer deliveries is not compared.
const MIN_DELIVERIES: u64 = 20;
/// So many times the usual share is far more, from so many percent on.
const LEAP: u64 = 4;
const MIN_LEAP_PERCENT: u64 = 5;
/// The runs that are looked through for those to compare.
const LOOKED_THROUGH: u32 = 100;

/// What is wrong with the share of failed deliveries in a run of which at most `max_percent` may fail; nothing where
/// nothing is.
pub async fn warning(ledger: &Ledger, report: &Report, max_percent: u8) -> Result<Option<String>, LedgerError> {
    if !is_compared(report) || failed(report) < MIN_FAILED {
        return Ok(None);
    }
    let mut before = Vec::new();
    for run in ledger.runs(LOOKED_THROUGH).await? {
        if before.len() < COMPARED && run.status.reached_end() && run.id != report.run && run.started <= report.started
        {
            let earlier = Report::of(ledger, &run).await?;
            if is_compared(&earlier) && earlier.deliveries.available_for_import >= MIN_DELIVERIES {
                before.push(earlier);
            }
        }
    }
    Ok(judge(report, &before, max_percent))
}

/// Replays meet the same failures again.
fn is_compared(report: &Report) -> bool {
    report.kind.reads_source()
}

fn failed(report: &Report) -> u64 {
    BY_RULE.iter().filter_map(|reason| report.failed_by_reason.get(reason.name())).sum()
}

/// Compares a run with what is allowed and with those before it.
fn judge(report: &Report, before: &[Report], max_percent: u8) -> Option<String> {
    let (failed_now, all) = (failed(report), report.deliveries.available_for_import);
    let of_all = |percent: u64| failed_now.saturating_mul(100) > all.saturating_mul(percent);
    let is_too_much = of_all(u64::from(max_percent));
    let earlier_failed: u64 = before.iter().map(failed).sum();
    let earlier_all: u64 = before.iter().map(|report| report.deliveries.available_for_import).sum();
    let is_leap = before.len() >= MIN_COMPARED
        && all >= MIN_DELIVERIES
        && of_all(MIN_LEAP_PERCENT)
        && failed_now.saturating_mul(earlier_all) > earlier_failed.saturating_mul(all).saturating_mul(LEAP);
    if failed_now < MIN_FAILED || !(is_too_much || is_leap) {
        return None;
    }
    let reasons: Vec<String> = BY_RULE
        .iter()
        .filter_map(|reason| Some((reason.name(), report.failed_by_reason.get(reason.name())?)))
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let share = |failed: u64, all: u64| failed.saturating_mul(100) / all.max(1);
    let why = if is_too_much {
        format!("report.max_failed_share allows {max_percent} %")
    } else {
        format!("in the {} runs before it was {} %", before.len(), share(earlier_failed, earlier_all))
    };
    Some(format!(
        "{failed_now} of {all} deliveries ({} %) failed by a rule ({}); {why}",
        share(failed_now, all),
        reasons.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;
    use crate::ledger::{RunKind, RunStatus};

    fn run(failed: u64, all: u64) -> Report {
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
        assert_eq!(judge(&run(2, 2), &[], 20), None, "two failures say nothing");
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
        let mut report = run(0, 10);
        report.failed_by_reason = [("mailbox_rejected".to_owned(), 10)].into();
        assert_eq!(judge(&report, &[], 20), None);
    }
}
