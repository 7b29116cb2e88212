//! What was never captured: messages that captured ones refer to and that nobody's capture holds, and for each owner the share
//! of the messages of shared groups that only others captured.
//!
//! Judgements are pure functions over the ledger; nothing here changes what a run does.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use crate::item::Participant;
use crate::item::phone_number::{mask_accounts_in, mask_numbers_in};
use crate::ledger::{GroupDay, Ledger, LedgerError, RunId};
use crate::window::{day_of, end_of_day};

/// How many days of shared groups are compared.
const COMPARED_DAYS: i64 = 30;
/// Captures may arrive late, so the latest days are left out.
const LATE_DAYS: i64 = 2;
/// Below so many messages in shared groups an owner's share says nothing.
const MIN_MESSAGES: u64 = 20;
/// An owner who lacks one message in so many of what others captured is warned of.
const WARNED_SHARE: u64 = 20;
/// So many messages in one run can be a jump.
const MIN_JUMP: u64 = 10;
/// A jump is more than so many times the mean of the runs before.
const JUMP_FACTOR: u64 = 3;
/// So many runs before are compared, and there must be at least [`MIN_RUNS`] of them.
const COMPARED_RUNS: u32 = 7;
/// See [`COMPARED_RUNS`].
const MIN_RUNS: usize = 3;
/// Messages and owners that a report lists; the others are counted.
const MAX_LISTED: u32 = 100;
/// Owners that have a line in the log each day.
const MAX_LOGGED: usize = 20;
/// The names under which the ledger keeps the last comparison, and the last jump.
const COMPARISON: &str = "captures.comparison";
const JUMP: &str = "captures.jump";
/// A jump is over with the first run that has none and starts so long after it: those in between read little.
const JUMP_LASTS: Duration = Duration::hours(20);

/// What a report says of messages that were never captured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureLoss {
    /// Messages that items of this run are the first to refer to.
    pub new: u64,
    /// All that are referred to and still missing.
    pub open: u64,
    /// The first of those that items of this run refer to.
    pub referenced: Vec<ReferencedMessage>,
    /// The last comparison of owners who share groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Comparison>,
}

/// A message that an item refers to and that was never captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferencedMessage {
    /// WhatsApp's id of it.
    pub message_id: String,
    /// The group's name or id; nothing in a direct chat.
    pub chat: Option<String>,
    /// The owner of the item that refers to it, masked.
    pub owner: Option<String>,
    /// What happened to it: `quoted`, `edited`, `deleted` or `reacted`.
    pub relation: String,
    /// TeleMessage's number of the item that refers to it.
    pub referenced_by: Option<i64>,
}

/// A run whose items named conspicuously many messages that were never captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jump {
    /// When the first of such runs in a row started.
    pub since: DateTime<Utc>,
    /// When the last one did.
    last: DateTime<Utc>,
    /// How many messages the last one named.
    pub messages: u64,
}

/// What each owner captured of the groups that they share with others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The last day that is compared, since 1970 in UTC.
    pub through: i64,
    /// The last compared day of the first of the comparisons in a row that found a phone to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// The owners who lack messages, those who lack the greatest share first.
    pub owners: Vec<OwnerLoss>,
}

/// What one owner lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerLoss {
    /// The owner: as they came in the ledger, masked in reports.
    pub owner: String,
    /// Messages of shared groups, whoever captured them, while the owner was there.
    pub messages: u64,
    /// Those of them that only others captured.
    pub missing: u64,
}

impl Comparison {
    /// The owners whose phones somebody should look at.
    pub fn suspicious(&self) -> impl Iterator<Item = &OwnerLoss> {
        self.owners.iter().filter(|owner| owner.is_suspicious())
    }

    /// When the last compared day ended.
    pub fn end(&self) -> Option<DateTime<Utc>> {
        end_of_day(self.through)
    }

    /// Since when there is a phone to look at.
    pub fn suspicious_since(&self) -> Option<DateTime<Utc>> {
        end_of_day(self.since.unwrap_or(self.through))
    }

    /// The same comparison, which follows this one.
    fn after(self, before: Option<&Self>) -> Self {
        let is_suspicious = self.suspicious().next().is_some();
        let known =
            before.and_then(|before| before.suspicious().next().map(|_| before.since.unwrap_or(before.through)));
        Self { since: is_suspicious.then(|| known.unwrap_or(self.through)), ..self }
    }
}

impl OwnerLoss {
    /// The share that only others captured, in percent with one digit.
    pub fn percent(&self) -> String {
        let per_mille = (self.missing * 1000).checked_div(self.messages).unwrap_or_default();
        format!("{}.{} %", per_mille / 10, per_mille % 10)
    }

    /// Whether so much is missing, and of so many messages, that somebody should look at the phone.
    pub fn is_suspicious(&self) -> bool {
        self.messages >= MIN_MESSAGES && self.missing * WARNED_SHARE >= self.messages
    }
}

/// What owners lack of one group: for each the messages of all days between the owner's first and last day there, and how many
/// of them only others captured. The first and the last day are left out, because people join and leave in the middle of a day.
fn losses(days: &[GroupDay]) -> Vec<(i64, u64, u64)> {
    let mut spans: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for day in days {
        if let Some(owner) = day.owner {
            let span = spans.entry(owner).or_insert((day.day, day.day));
            *span = (span.0.min(day.day), span.1.max(day.day));
        }
    }
    let all: BTreeMap<i64, u64> =
        days.iter().filter(|day| day.owner.is_none()).map(|day| (day.day, day.messages)).collect();
    let mut own: BTreeMap<i64, u64> = BTreeMap::new();
    for day in days {
        if let Some(owner) = day.owner
            && spans.get(&owner).is_some_and(|(first, last)| *first < day.day && day.day < *last)
        {
            *own.entry(owner).or_default() += day.messages;
        }
    }
    let lost = |(owner, (first, last)): (i64, (i64, i64))| {
        let there: u64 = all.range(first + 1..last.max(first + 1)).map(|(_, messages)| messages).sum();
        (owner, there, there.saturating_sub(own.get(&owner).copied().unwrap_or_default()))
    };
    spans.into_iter().map(lost).collect()
}

/// Whether a run named conspicuously more messages that were never captured than the runs before it.
fn is_jump(new: u64, before: &[u64]) -> bool {
    let runs = before.len() as u64;
    before.len() >= MIN_RUNS && new >= MIN_JUMP && new * runs > JUMP_FACTOR * before.iter().sum::<u64>()
}

/// Looks, at the end of a run, for what was never captured, and logs what is new. Owners are compared once a day.
pub async fn look(ledger: &Ledger, run: &RunId) -> Result<(), LedgerError> {
    ledger.close_references().await?;
    let new = ledger.never_captured_count(Some(run)).await?;
    let is_jump = new > 0 && is_jump(new, &ledger.never_captured_before(run, COMPARED_RUNS).await?);
    note_jump(ledger, run, is_jump.then_some(new)).await?;
    if new > 0 {
        if is_jump {
            tracing::warn!(
                event = "never_captured",
                messages = new,
                "this run's items refer to far more messages that were never captured than those of the runs before; ask TeleMessage whether capturing works"
            );
        } else {
            tracing::info!(
                event = "never_captured",
                messages = new,
                "items refer to messages that were never captured; the report lists them"
            );
        }
    }
    let Some(watermark) = ledger.watermark().await? else { return Ok(()) };
    let through = day_of(watermark) - LATE_DAYS;
    let last = last_comparison(ledger).await?;
    if last.as_ref().is_some_and(|last| last.through >= through) {
        return Ok(());
    }
    let comparison = compare(ledger, through).await?.after(last.as_ref());
    for owner in comparison.suspicious().take(MAX_LOGGED) {
        tracing::warn!(
            event = "captures_missing",
            owner = Participant::phone(&owner.owner).masked(),
            messages = owner.messages,
            missing = owner.missing,
            "an owner's phone lacks messages that others in the same groups captured ({}); look at that phone's archiver",
            owner.percent()
        );
    }
    ledger.set_meta_json(COMPARISON, &comparison).await
}

/// Notes that the messages of a run are a jump, or that a jump is over.
async fn note_jump(ledger: &Ledger, run: &RunId, messages: Option<u64>) -> Result<(), LedgerError> {
    let Some(run) = ledger.run(run).await? else { return Ok(()) };
    if !run.kind.reads_source() {
        return Ok(());
    }
    let known = last_jump(ledger).await?;
    match (messages, known) {
        (Some(messages), known) => {
            let jump = Jump { since: known.map_or(run.started, |known| known.since), last: run.started, messages };
            ledger.set_meta_json(JUMP, &jump).await
        }
        (None, Some(known)) if run.started - known.last >= JUMP_LASTS => ledger.set_meta(JUMP, None).await,
        (None, _) => Ok(()),
    }
}

/// The last jump, unless it is over.
pub async fn last_jump(ledger: &Ledger) -> Result<Option<Jump>, LedgerError> {
    ledger.get_meta_json(JUMP).await
}

async fn compare(ledger: &Ledger, through: i64) -> Result<Comparison, LedgerError> {
    let mut totals: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
    let add = |days: &[GroupDay]| {
        for (owner, messages, missing) in losses(days) {
            let total = totals.entry(owner).or_default();
            *total = (total.0 + messages, total.1 + missing);
        }
    };
    ledger.each_shared_group(through - COMPARED_DAYS + 1, through, add).await?;
    let mut lacking: Vec<(i64, (u64, u64))> = totals.into_iter().filter(|(_, (_, missing))| *missing > 0).collect();
    lacking.sort_by_key(|(_, (messages, missing))| std::cmp::Reverse(missing * 1_000_000 / (*messages).max(1)));
    let mut owners = Vec::new();
    for (owner, (messages, missing)) in lacking.into_iter().take(MAX_LISTED as usize) {
        let owner = ledger.capture_owner(owner).await?.unwrap_or_default();
        owners.push(OwnerLoss { owner, messages, missing });
    }
    Ok(Comparison { through, since: None, owners })
}

/// The last comparison of owners who share groups, with their names as they came.
pub async fn last_comparison(ledger: &Ledger) -> Result<Option<Comparison>, LedgerError> {
    ledger.get_meta_json(COMPARISON).await
}

impl CaptureLoss {
    /// What the report of a run says.
    pub async fn of(ledger: &Ledger, run: &RunId) -> Result<Self, LedgerError> {
        let masked = |owner: &str| Participant::phone(owner).masked();
        let masked_chat = |chat: &str| if chat.contains('@') { mask_accounts_in(chat) } else { mask_numbers_in(chat) };
        let referenced = ledger.never_captured(run, MAX_LISTED).await?;
        let mut compared = last_comparison(ledger).await?;
        for owner in compared.iter_mut().flat_map(|compared| &mut compared.owners) {
            owner.owner = masked(&owner.owner);
        }
        Ok(Self {
            new: ledger.never_captured_count(Some(run)).await?,
            open: ledger.never_captured_count(None).await?,
            referenced: referenced
                .into_iter()
                .map(|found| ReferencedMessage {
                    message_id: mask_accounts_in(&found.message_id),
                    chat: found.chat.as_deref().map(masked_chat),
                    owner: found.owner.as_deref().map(masked),
                    relation: found.relation,
                    referenced_by: found.referenced_by,
                })
                .collect(),
            compared,
        })
    }

    /// The owners whose phones somebody should look at.
    pub fn suspicious(&self) -> impl Iterator<Item = &OwnerLoss> {
        self.compared.iter().flat_map(Comparison::suspicious)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::RunKind;

    fn day(owner: Option<i64>, day: i64, messages: u64) -> GroupDay {
        GroupDay { owner, day, messages }
    }

    #[test]
    fn what_only_others_captured_is_missing() {
        let days: Vec<GroupDay> = (1..=5)
            .flat_map(|number| [day(Some(1), number, 10), day(Some(2), number, 8), day(None, number, 10)])
            .collect();
        assert_eq!(losses(&days), [(1, 30, 0), (2, 30, 6)]);
    }

    #[test]
    fn nobody_lacks_what_was_said_before_they_joined_or_after_they_left() {
        let mut days: Vec<GroupDay> =
            (1..=9).flat_map(|number| [day(Some(1), number, 10), day(None, number, 10)]).collect();
        days.extend([day(Some(2), 4, 3), day(Some(2), 5, 10), day(Some(2), 6, 2)]);
        assert_eq!(losses(&days), [(1, 70, 0), (2, 10, 0)]);
        assert_eq!(losses(&[day(Some(3), 1, 5), day(None, 1, 5)]), [(3, 0, 0)], "one day says nothing");
    }

    #[test]
    fn a_small_share_or_a_few_messages_are_no_reason_to_look() {
        let of = |messages, missing| OwnerLoss { owner: String::new(), messages, missing };
        assert!(of(100, 5).is_suspicious() && !of(100, 4).is_suspicious() && !of(19, 19).is_suspicious());
        assert_eq!([of(300, 6).percent(), of(1000, 999).percent(), of(0, 0).percent()], ["2.0 %", "99.9 %", "0.0 %"]);
    }

    #[test]
    fn a_jump_is_far_above_the_runs_before() {
        assert!(is_jump(10, &[0, 0, 0]) && is_jump(31, &[10, 10, 10, 10]));
        assert!(!is_jump(9, &[0, 0, 0]) && !is_jump(30, &[10, 10, 10]) && !is_jump(100, &[0, 0]));
    }
    #[tokio::test]
    async fn a_jump_lasts_until_a_run_of_another_day_has_none() {
        use crate::ledger::Holder;
        let ledger = Ledger::open_in_memory().await.unwrap();
        let hour = |hour: i64| DateTime::from_timestamp(1_800_000_000, 0).unwrap() + Duration::hours(hour);
        let found = [
            (0, RunKind::Regular, Some(12), Some((0, 12))),
            (1, RunKind::Regular, None, Some((0, 12))),
            (23, RunKind::Retry, None, Some((0, 12))),
            (24, RunKind::Regular, Some(30), Some((0, 30))),
            (48, RunKind::Regular, None, None),
        ];
        for (at, kind, messages, expected) in found {
            let run = RunId(at.to_string());
            ledger.begin_run(&run, kind, &Holder::new(), "{}", hour(at)).await.unwrap();
            note_jump(&ledger, &run, messages).await.unwrap();
            let jump = last_jump(&ledger).await.unwrap();
            let expected = expected.map(|(since, messages)| (hour(since), messages));
            assert_eq!(jump.map(|jump| (jump.since, jump.messages)), expected, "{at}");
        }
    }
}
