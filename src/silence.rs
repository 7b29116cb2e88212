//! Silence is suspicious: signs in the ledger's history that something which used to come has stopped coming, though no
//! step has failed.
//!
//! Judgements are pure functions over the history; nothing here changes what a run does.

use chrono::{DateTime, Duration, SecondsFormat, Utc};

use crate::item::Participant;
use crate::ledger::{Ledger, LedgerError, OwnerDays, ReadSpan};
use crate::report::Report;
use crate::window::{day_of, end_of_day};

/// Windows that together span so much count as one day.
const FULL_DAY: Duration = Duration::hours(20);
/// How many days before the silence are compared with it.
const COMPARED_DAYS: usize = 7;
/// An empty day is suspicious where every compared day brought something, and there are at least so many of them.
const MIN_COMPARED_DAYS: usize = 5;
/// So many empty days are suspicious where most of the compared days brought something.
const EMPTY_DAYS: usize = 3;
/// An owner is regular who had items on so many of the [`OWNER_DAYS`] up to their last one.
const REGULAR_DAYS: usize = 8;
/// See [`REGULAR_DAYS`].
const OWNER_DAYS: i64 = 14;
/// A regular owner without items for so many days is silent: longer than a weekend with a holiday.
const SILENT_DAYS: i64 = 5;
/// After so many days a silent owner is taken to have left.
const FORGOTTEN_DAYS: i64 = 30;
/// Runs whose windows are looked at.
const MAX_RUNS: u32 = 2000;
/// Owners that a line names; the others are counted.
const MAX_NAMED: usize = 10;

/// Days without any item, after days with some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NothingArrived {
    /// How many days brought nothing.
    pub empty_days: usize,
    /// Of how many days before that are compared.
    pub compared: usize,
    /// How many of those brought something.
    pub with_items: usize,
}

/// A watermark that doesn't move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingStill {
    /// Where it stands.
    pub watermark: DateTime<Utc>,
    /// How long ago that is.
    pub behind: Duration,
}

/// An owner who had items on most days, and has none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentOwner {
    /// The owner, masked.
    pub owner: String,
    /// The last day (since 1970, UTC) with items.
    pub last_day: i64,
    /// For how many days there were none.
    pub silent_days: i64,
}

/// Whether the latest days brought nothing, though those before them did. `spans` are newest first.
pub fn nothing_arrived(spans: &[ReadSpan]) -> Option<NothingArrived> {
    let days = days(spans);
    let empty_days = days.iter().take_while(|items| **items == 0).count();
    let before: Vec<u64> = days.into_iter().skip(empty_days).take(COMPARED_DAYS).collect();
    let (compared, with_items) = (before.len(), before.iter().filter(|items| **items > 0).count());
    let always = compared >= MIN_COMPARED_DAYS && with_items == compared;
    let mostly = compared == COMPARED_DAYS && with_items * 2 > compared && empty_days >= EMPTY_DAYS;
    (empty_days > 0 && (always || mostly)).then_some(NothingArrived { empty_days, compared, with_items })
}

/// The items of each full day of reading, newest first. Runs that span less are put together.
fn days(spans: &[ReadSpan]) -> Vec<u64> {
    let mut days = Vec::new();
    let (mut length, mut items) = (Duration::zero(), 0);
    for span in spans {
        length += (span.window.to - span.window.from).max(Duration::zero());
        items += span.items;
        if length >= FULL_DAY {
            days.push(items);
            (length, items) = (Duration::zero(), 0);
        }
    }
    days
}

/// Whether the watermark is further behind than two runs and two hours explain.
pub fn standing_still(watermark: DateTime<Utc>, every: Duration, now: DateTime<Utc>) -> Option<StandingStill> {
    let behind = now - watermark;
    (behind > every * 2 + Duration::hours(2)).then_some(StandingStill { watermark, behind })
}

/// The owners who were regular and are silent, when everything up to the day `through` has been read.
pub fn silent_owners(owners: &[OwnerDays], through: i64) -> Vec<SilentOwner> {
    let is_watched = |owner: &SilentOwner| (SILENT_DAYS..=FORGOTTEN_DAYS).contains(&owner.silent_days);
    owners.iter().filter_map(|owner| regular(owner, through)).filter(is_watched).collect()
}

/// An owner who was regular up to their last day.
fn regular(owner: &OwnerDays, through: i64) -> Option<SilentOwner> {
    let last_day = *owner.days.last()?;
    let is_regular = owner.days.iter().filter(|day| **day > last_day - OWNER_DAYS).count() >= REGULAR_DAYS;
    is_regular.then(|| SilentOwner {
        owner: Participant::phone(&owner.owner).masked(),
        last_day,
        silent_days: through - last_day,
    })
}

/// How many owners who went silent at `since` or later are taken to have left, so that nobody is warned of them any more.
pub async fn no_longer_watched(ledger: &Ledger, since: DateTime<Utc>) -> Result<usize, LedgerError> {
    let Some(watermark) = ledger.watermark().await? else { return Ok(0) };
    let through = read_through(watermark);
    let owners = ledger.owners_without_items_since(through - FORGOTTEN_DAYS).await?;
    let went_then = |owner: &SilentOwner| end_of_day(owner.last_day).is_some_and(|end| end >= since);
    let left = owners.iter().filter_map(|owner| regular(owner, through));
    Ok(left.filter(|owner| owner.silent_days > FORGOTTEN_DAYS && went_then(owner)).count())
}

/// The last day of which everything has been read.
fn read_through(watermark: DateTime<Utc>) -> i64 {
    day_of(watermark) - 1
}

/// What the history says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Silence {
    /// Days without any item.
    pub nothing: Option<NothingArrived>,
    /// When those days began.
    pub nothing_since: Option<DateTime<Utc>>,
    /// A watermark that doesn't move.
    pub standing: Option<StandingStill>,
    /// Owners who went silent.
    pub owners: Vec<SilentOwner>,
}

impl Silence {
    /// Judges the ledger's history.
    pub async fn of(ledger: &Ledger, every: Duration, now: DateTime<Utc>) -> Result<Self, LedgerError> {
        let spans = ledger.read_spans(MAX_RUNS).await?;
        let nothing = nothing_arrived(&spans);
        let empty = spans.iter().take_while(|span| span.items == 0);
        let nothing_since = empty.last().map(|span| span.window.from).filter(|_| nothing.is_some());
        let of_source = Self { nothing, nothing_since, ..Self::default() };
        let Some(watermark) = ledger.watermark().await? else { return Ok(of_source) };
        let through = read_through(watermark);
        let owners = ledger.owners_without_items_since(through - SILENT_DAYS + 1).await?;
        Ok(Self {
            standing: standing_still(watermark, every, now),
            owners: silent_owners(&owners, through),
            ..of_source
        })
    }

    /// Since when nothing arrives, and that in a sentence.
    pub fn of_source(&self) -> Option<(DateTime<Utc>, String)> {
        let NothingArrived { empty_days, compared, with_items } = self.nothing?;
        let days = if empty_days == 1 { "a day" } else { &format!("{empty_days} days") };
        let text = format!(
            "no items for {days} of reading; of the {compared} days before, {with_items} brought some. Does capturing still \
             work? Ask TeleMessage"
        );
        Some((self.nothing_since?, text))
    }

    /// Since when the watermark stands still, and that in a sentence.
    pub fn of_watermark(&self) -> Option<(DateTime<Utc>, String)> {
        let StandingStill { watermark, behind } = self.standing?;
        let shown = watermark.to_rfc3339_opts(SecondsFormat::Secs, true);
        let text = format!(
            "the watermark stands still at {shown}, {} hours ago: nothing received since then is archived yet",
            behind.num_hours()
        );
        Some((watermark, text))
    }

    /// Since when the first of the silent owners is silent, and who they are.
    pub fn of_owners(&self) -> Option<(DateTime<Utc>, String)> {
        let first = self.owners.iter().map(|owner| owner.last_day).min()?;
        let went = if self.owners.len() == 1 { "owner has" } else { "owners have" };
        let text = format!("{} {went} gone silent: {}", self.owners.len(), named(&self.owners));
        Some((end_of_day(first)?, text))
    }
}

/// Warns in the log, at the end of a regular run, of what is missing.
pub async fn warn(ledger: &Ledger, report: &Report, every: Duration, now: DateTime<Utc>) -> Result<(), LedgerError> {
    let silence = Silence::of(ledger, every, now).await?;
    if let Some(nothing) = silence.nothing {
        tracing::warn!(
            event = "nothing_arrived",
            days.empty = nothing.empty_days,
            days.compared = nothing.compared,
            days.with_items = nothing.with_items,
            "the source had no new items, though it had some on the days before; check that capturing still works"
        );
    }
    if let Some(standing) = silence.standing {
        tracing::warn!(
            event = "watermark_stands_still",
            watermark = %standing.watermark.to_rfc3339_opts(SecondsFormat::Secs, true),
            behind.hours = standing.behind.num_hours(),
            "no window was read to its end for longer than two runs should take"
        );
    }
    // Each is reported once: by the run whose window made the silence long enough.
    let Some(window) = report.window else { return Ok(()) };
    let before = read_through(window.from);
    let new: Vec<SilentOwner> =
        silence.owners.into_iter().filter(|owner| before - owner.last_day < SILENT_DAYS).collect();
    if !new.is_empty() {
        tracing::warn!(
            event = "owners_silent",
            owners = new.len(),
            days = SILENT_DAYS,
            "owners who had items on most days have none any more: {}",
            named(&new)
        );
    }
    Ok(())
}

fn named(owners: &[SilentOwner]) -> String {
    let mut names: Vec<String> = owners.iter().take(MAX_NAMED).map(|owner| owner.owner.clone()).collect();
    if owners.len() > MAX_NAMED {
        names.push(format!("and {} more", owners.len() - MAX_NAMED));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;
    use crate::window::Window;

    /// Daily runs that brought so many items, newest first.
    fn daily(items: &[u64]) -> Vec<ReadSpan> {
        spans(items, Duration::hours(24))
    }

    fn spans(items: &[u64], length: Duration) -> Vec<ReadSpan> {
        let mut to = Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap();
        let mut spans = Vec::new();
        for items in items {
            spans.push(ReadSpan { window: Window { from: to - length, to }, items: *items });
            to -= length;
        }
        spans
    }

    #[test]
    fn an_empty_day_after_a_full_week_is_suspicious() {
        let found = nothing_arrived(&daily(&[0, 9, 8, 7, 9, 9, 3, 1, 0])).unwrap();
        assert_eq!(found, NothingArrived { empty_days: 1, compared: 7, with_items: 7 });
        assert!(nothing_arrived(&daily(&[0, 9, 8, 7, 9, 1])).is_some(), "five days are enough");
        assert!(nothing_arrived(&daily(&[0, 9, 8, 7, 9])).is_none(), "four are not");
    }

    #[test]
    fn weekends_and_quiet_archives_are_not() {
        assert!(nothing_arrived(&daily(&[0, 0, 9, 8, 7, 9, 9, 0, 0, 9])).is_none());
        assert!(nothing_arrived(&daily(&[0, 0, 0, 9, 8, 7, 9, 9, 0, 0, 9])).is_some(), "but a Monday is");
        assert!(nothing_arrived(&daily(&[0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 2])).is_none());
        assert!(nothing_arrived(&daily(&[5, 0, 0])).is_none());
        assert!(nothing_arrived(&[]).is_none());
    }

    #[test]
    fn short_runs_are_put_together() {
        let hourly = |items: u64, days: usize| vec![items; 24 * days];
        let mut items = hourly(0, 0);
        items.extend(vec![0; 10]);
        items.extend(hourly(3, 8));
        assert!(nothing_arrived(&spans(&items, Duration::hours(1))).is_none(), "one night");
        let items = [vec![0; 24], hourly(3, 8)].concat();
        assert!(nothing_arrived(&spans(&items, Duration::hours(1))).is_some(), "a whole day");
    }

    #[test]
    fn a_watermark_may_be_two_runs_behind() {
        let mark = Utc.with_ymd_and_hms(2026, 11, 20, 2, 0, 0).unwrap();
        let day = Duration::hours(24);
        assert!(standing_still(mark, day, mark + Duration::hours(50)).is_none());
        let found = standing_still(mark, day, mark + Duration::hours(51)).unwrap();
        assert_eq!(found.behind.num_hours(), 51);
        assert!(standing_still(mark, day, mark - Duration::hours(1)).is_none(), "a clock set back");
    }

    #[test]
    fn regular_owners_who_stop_are_silent() {
        let owner = |days: Vec<i64>| OwnerDays { owner: "+15550100101".to_owned(), days };
        // Weekdays of three weeks, up to day 18 (a Friday).
        let weekdays: Vec<i64> = (0..19).filter(|day| day % 7 < 5).collect();
        let last = *weekdays.last().unwrap();
        assert!(silent_owners(&[owner(weekdays.clone())], last + 4).is_empty(), "a long weekend");
        let silent = silent_owners(&[owner(weekdays.clone())], last + 5);
        assert_eq!((silent[0].silent_days, silent[0].last_day), (5, last));
        assert!(!silent[0].owner.contains("5550100"), "{}", silent[0].owner);
        assert!(silent_owners(&[owner(weekdays)], last + 31).is_empty(), "they have left");
        assert!(silent_owners(&[owner(vec![1, 5, 9, 13])], 20).is_empty(), "never regular");
        assert!(silent_owners(&[owner(Vec::new())], 20).is_empty());
    }
}
