//! The outcomes of the last 30 days as bars, for an inline SVG: no script, nothing remote, both colour schemes.

use chrono::{DateTime, Days, NaiveDate, Utc};

use super::wording;
use crate::report::{DeliveryCounts, Report};

/// Days that are shown, the present one among them.
pub(super) const DAYS: usize = 30;

/// In units of the drawing.
pub(super) const BAR: u32 = 16;
const STEP: u32 = 20;
pub(super) const HEIGHT: u32 = 120;
pub(super) const WIDTH: u32 = 600;

/// A part of a bar is seen however small it is.
const MIN_PART: u32 = 2;

/// The parts of a bar from bottom to top, with their names.
pub(super) const PARTS: [(&str, &str); 5] = [
    ("imported", "imported"),
    ("partial", "partially imported"),
    ("skipped", "skipped, duplicate"),
    ("failed", "failed"),
    ("pending", "pending"),
];

/// What 30 days came to.
pub(super) struct Plot {
    /// From the oldest to the present.
    pub(super) bars: Vec<Bar>,
    /// The highest bar.
    pub(super) most: u64,
    pub(super) first: NaiveDate,
    pub(super) last: NaiveDate,
    /// All days together, in words.
    pub(super) summary: String,
}

/// A day.
pub(super) struct Bar {
    pub(super) x: u32,
    pub(super) parts: Vec<Part>,
    /// The day and its counts, in words.
    pub(super) words: String,
}

/// An outcome of a day.
pub(super) struct Part {
    pub(super) class: &'static str,
    pub(super) y: u32,
    pub(super) height: u32,
}

impl Plot {
    /// The days up to `now`, of runs in any order.
    pub(super) fn of(reports: &[Report], now: DateTime<Utc>) -> Option<Self> {
        let last = now.date_naive();
        let first = last.checked_sub_days(Days::new(DAYS as u64 - 1))?;
        let days: Vec<(NaiveDate, [u64; PARTS.len()])> =
            first.iter_days().take(DAYS).map(|day| (day, counts(reports, day))).collect();
        let most = days.iter().map(|(_, counts)| counts.iter().sum::<u64>()).max().unwrap_or_default();
        if most == 0 {
            return None;
        }
        let mut all = [0_u64; PARTS.len()];
        for (_, counts) in &days {
            all.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        let bars = days.iter().zip(0_u32..).map(|((day, counts), place)| Bar {
            x: place * STEP + (STEP - BAR) / 2,
            parts: parts(counts, most),
            words: format!("{day}: {}", words(counts)),
        });
        Some(Self { bars: bars.collect(), most, first, last, summary: words(&all) })
    }
}

/// What the runs of a day came to, in the order of [`PARTS`]. What is pending is taken up by the next run, so that the last one
/// that reads the source counts it, and not each.
fn counts(reports: &[Report], day: NaiveDate) -> [u64; PARTS.len()] {
    let mut sums = [0; PARTS.len()];
    let mut last = None;
    for report in reports.iter().filter(|report| report.started.date_naive() == day) {
        let DeliveryCounts { imported, partially_imported, skipped_duplicate, failed, pending, .. } = report.deliveries;
        let counts = [imported, partially_imported, skipped_duplicate, failed, 0];
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        if report.kind.reads_source() && last.is_none_or(|(started, _)| started < report.started) {
            last = Some((report.started, pending));
        }
    }
    if let (Some((_, pending)), [.., of_pending]) = (last, &mut sums) {
        *of_pending = pending;
    }
    sums
}

fn parts(counts: &[u64; PARTS.len()], most: u64) -> Vec<Part> {
    let mut top = HEIGHT;
    let shown = PARTS.iter().zip(counts).filter(|(_, count)| **count > 0);
    shown
        .map(|((class, _), count)| {
            let height = u64::from(HEIGHT).saturating_mul(*count) / most.max(1);
            let height = u32::try_from(height).unwrap_or(HEIGHT).max(MIN_PART).min(top);
            top -= height;
            Part { class, y: top, height }
        })
        .collect()
}

fn words(counts: &[u64; PARTS.len()]) -> String {
    let shown: Vec<String> = PARTS
        .iter()
        .zip(counts)
        .filter(|(_, count)| **count > 0)
        .map(|((_, name), count)| format!("{} {name}", wording::grouped(*count)))
        .collect();
    if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_high_as_its_share_and_every_part_is_seen() {
        let shares = |counts| parts(&counts, 1000).iter().map(|part| (part.class, part.height)).collect::<Vec<_>>();
        assert_eq!(shares([500, 0, 0, 1, 0]), [("imported", 60), ("failed", MIN_PART)]);
        assert_eq!(shares([0; 5]), []);
        // A full bar with small parts on top stays within the drawing.
        for counts in [[996, 1, 1, 1, 1], [0, 0, 0, 0, 1000], [u64::MAX / 8; 5]] {
            let parts = parts(&counts, counts.iter().sum());
            assert!(parts.iter().all(|part| part.y + part.height <= HEIGHT), "{counts:?}");
            assert!(parts.iter().map(|part| part.height).sum::<u32>() <= HEIGHT, "{counts:?}");
        }
    }

    #[test]
    fn words_leave_out_what_is_nought() {
        assert_eq!(words(&[1200, 0, 3, 0, 1]), "1,200 imported, 3 skipped, duplicate, 1 pending");
        assert_eq!(words(&[0; 5]), "nothing");
    }
}
