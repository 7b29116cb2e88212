//! Alerts, as JSON. `text` alone is enough for a chat; the other members are for programs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::digits::counted;
use crate::item::text::single_line;
use crate::ledger::{CauseGroup, PendingCause, RunId, RunStatus};
use crate::pipeline::{RunError, RunFinished};
use crate::reason::Reason;
use crate::report::DeliveryCounts;
use crate::report::reason::{meaning_of, remedy_of};
use crate::staging::StagingError;
use crate::status::refusal;

/// Which connector an alert is of.
pub(super) const CONNECTOR: &str = "whatsapp-archiver";

/// The most characters of an error's words.
const MAX_CHARACTERS: usize = 500;

/// So many digits in a row may be a phone number.
const PHONE_DIGITS: usize = 9;

/// What an alert is about. A closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The source or staging refuses the credential.
    CredentialRefused,
    RunFailed,
    /// A run left something pending.
    RunIncomplete,
    /// No later run tries deliveries by itself: mailboxes refused them, or could not be used for `retry.give_up`.
    DeliveriesGivenUp,
    /// A run left nothing that somebody should look at, after a failure that was reported.
    Recovered,
    /// The source, an owner or the watermark has gone silent.
    Silence,
    /// A mapping, user list or configuration became invalid, and the last good one is in force.
    ReloadRefused,
    /// A credential ends soon, or has ended.
    CredentialExpires,
    /// A run is due and did not come.
    RunOverdue,
}

impl Event {
    pub fn name(self) -> &'static str {
        match self {
            Self::CredentialRefused => "credential_refused",
            Self::RunFailed => "run_failed",
            Self::RunIncomplete => "run_incomplete",
            Self::DeliveriesGivenUp => "deliveries_given_up",
            Self::Recovered => "recovered",
            Self::Silence => "silence",
            Self::ReloadRefused => "reload_refused",
            Self::CredentialExpires => "credential_expires",
            Self::RunOverdue => "run_overdue",
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Alert {
    /// Always `whatsapp-archiver`.
    pub connector: &'static str,
    /// What it is about.
    pub event: Event,
    pub text: String,
    pub run: RunId,
    pub status: RunStatus,
    /// When it is posted.
    pub time: DateTime<Utc>,
    /// The run's deliveries.
    pub deliveries: DeliveryCounts,
    /// Those that failed, by their reason.
    pub failed_by_reason: BTreeMap<String, u64>,
    /// What makes a trouble the same as the one before.
    #[serde(skip)]
    pub(super) what: String,
}

impl Alert {
    /// The trouble of a run; nothing where it left nothing undone.
    pub(super) fn of_run(finished: &RunFinished, now: DateTime<Utc>) -> Option<Self> {
        if let Some(error) = &finished.error {
            let words = harmless(&error.to_string());
            let (event, text) = if is_refused(error) {
                (Event::CredentialRefused, "a credential is refused")
            } else {
                (Event::RunFailed, "a run failed")
            };
            let remedy = finished.remedy.map(|remedy| format!(". What to do: {remedy}")).unwrap_or_default();
            return Some(Self::new(event, place(error), &format!("{text}: {words}{remedy}"), finished, now));
        }
        if !finished.leaves_work() {
            return None;
        }
        let text = format!("a run left {}, and later runs will continue with them{}", left(finished), causes(finished));
        Some(Self::new(Event::RunIncomplete, &place_of_pending(finished), &text, finished, now))
    }

    /// The deliveries that mailboxes have not taken for good, so that no later run tries them by itself.
    pub(super) fn of_given_up(finished: &RunFinished, now: DateTime<Utc>) -> Option<Self> {
        let failed = &finished.report.failed_by_reason;
        let reasons = Reason::of_mailboxes().map(Reason::name);
        let found: Vec<(&str, u64)> =
            reasons.filter_map(|name| Some((name, *failed.get(name).filter(|count| **count > 0)?))).collect();
        if found.is_empty() {
            return None;
        }
        let each = |(name, count): &(&str, u64)| format!("{count} {name} ({}; {})", meaning_of(name), remedy_of(name));
        let reasons: Vec<String> = found.iter().map(each).collect();
        let detail = first_detail(&finished.undone.refused_groups);
        let text = format!(
            "{} failed, and no later run tries them by itself: {}{detail}",
            deliveries(finished.report.refused()),
            reasons.join(", ")
        );
        let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
        Some(Self::new(Event::DeliveriesGivenUp, &names.join(" "), &text, finished, now))
    }

    /// The end of a trouble; nothing where the run left something that somebody should look at. `held` are the items that the
    /// ledger holds, by reason: those of mailboxes are said, because nothing but a replay helps them.
    pub(super) fn of_recovery(finished: &RunFinished, held: &[(String, u64)], now: DateTime<Utc>) -> Option<Self> {
        if finished.needs_somebody() {
            return None;
        }
        let by_rule = match finished.report.deliveries.failed {
            0 => String::new(),
            failed => format!("; {} failed by a rule", deliveries(failed)),
        };
        let awaited = match finished.undone.awaited() {
            0 => String::new(),
            awaited => format!(", but {} that only wait for an attachment", deliveries(awaited)),
        };
        let of_mailboxes = |(name, _): &&(String, u64)| Reason::of_mailboxes().any(|reason| reason.name() == name);
        let held: Vec<String> = held
            .iter()
            .filter(of_mailboxes)
            .map(|(name, count)| format!("; still held from earlier runs: {count} {name} ({})", remedy_of(name)))
            .collect();
        let text = format!("the last run left nothing undone{awaited}{by_rule}{}", held.concat());
        Some(Self::new(Event::Recovered, "", &text, finished, now))
    }

    fn new(event: Event, place: &str, text: &str, finished: &RunFinished, now: DateTime<Utc>) -> Self {
        let report = &finished.report;
        Self {
            connector: CONNECTOR,
            event,
            text: sentence(text),
            run: report.run.clone(),
            status: report.status,
            time: now,
            deliveries: report.deliveries,
            failed_by_reason: report.failed_by_reason.clone(),
            what: format!("{} {place}", event.name()),
        }
    }
}

/// An alert's text: who says it, and what.
pub(super) fn sentence(text: &str) -> String {
    format!("WhatsApp Archiver: {text}")
}

fn deliveries(count: u64) -> String {
    counted(count, "delivery", "deliveries")
}

/// What a run left to later ones.
fn left(finished: &RunFinished) -> String {
    let pending = finished.report.deliveries.pending;
    let open = match finished.undone.copies_open() {
        0 => String::new(),
        1 => "1 copy of another run open, because another process had it or its mailbox".to_owned(),
        open => format!("{open} copies of other runs open, because other processes had them or their mailboxes"),
    };
    match (pending, open.is_empty()) {
        (_, true) => format!("{} pending", deliveries(pending)),
        (0, false) => open,
        (_, false) => format!("{} pending and {open}", deliveries(pending)),
    }
}

/// Why deliveries are pending, and the most frequent error.
fn causes(finished: &RunFinished) -> String {
    let found = finished.undone.pending.iter().filter(|(_, count)| *count > 0);
    let causes: Vec<String> = found
        .map(|(cause, count)| {
            let name = cause.name();
            format!("{count} {name} ({}; {})", meaning_of(name), remedy_of(name))
        })
        .collect();
    if causes.is_empty() {
        return String::new();
    }
    format!(": {}{}", causes.join(", "), first_detail(&finished.undone.pending_groups))
}

/// The error of the most deliveries, as it may leave the house.
fn first_detail<C>(groups: &[CauseGroup<C>]) -> String {
    let detail = groups.iter().find_map(|group| group.detail.as_deref());
    detail.map(|detail| format!("; error: {}", harmless(detail))).unwrap_or_default()
}

/// What makes pending deliveries the same trouble: their causes, in a fixed order.
fn place_of_pending(finished: &RunFinished) -> String {
    let needs_somebody =
        |(cause, count): &&(PendingCause, u64)| *count > 0 && *cause != PendingCause::AttachmentAwaited;
    let mut names: Vec<&str> =
        finished.undone.pending.iter().filter(needs_somebody).map(|(cause, _)| cause.name()).collect();
    names.sort_unstable();
    names.join(" ")
}

fn is_refused(error: &RunError) -> bool {
    refusal::is_by_source(error) || matches!(error, RunError::Staging(StagingError::Refused(_)))
}

/// Where a run failed: the same trouble has the same place, though its words differ by cursors and times.
fn place(error: &RunError) -> &'static str {
    match error {
        RunError::Source(_) | RunError::SourceAt { .. } => "source",
        RunError::Staging(_) => "staging",
        error if error.is_about_ownership() => "staging",
        RunError::Ledger(_) => "ledger",
        _ => "program",
    }
}

/// An error's words as they may leave the house: on one line, not too many, and with nothing in them that may be a
/// phone number or a person's address, whoever put it there.
pub(super) fn harmless(words: &str) -> String {
    let line: String = without_persons(&single_line(words)).chars().take(MAX_CHARACTERS).collect();
    let mut text = String::with_capacity(line.len());
    let mut digits = String::new();
    for character in line.chars() {
        if character.is_numeric() {
            digits.push(character);
            continue;
        }
        text.push_str(hidden(&digits));
        digits.clear();
        text.push(character);
    }
    text.push_str(hidden(&digits));
    text
}

/// `words` with the part before the `@` of every address hidden.
fn without_persons(words: &str) -> String {
    let is_of_address = |character: char| character.is_alphanumeric() || "._%+-'".contains(character);
    let mut pieces = words.split('@').peekable();
    let mut shown = String::with_capacity(words.len());
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            shown.push_str(piece);
            break;
        }
        let before = piece.trim_end_matches(is_of_address);
        shown.push_str(before);
        shown.push_str(if before.len() == piece.len() { "@" } else { "•••@" });
    }
    shown
}

fn hidden(digits: &str) -> &str {
    if digits.chars().count() >= PHONE_DIGITS { "•••••" } else { digits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_and_hold_no_number() {
        assert_eq!(
            harmless("no user for +445204334324,\nasked at 2026-11-22T02:00:00Z (AADSTS7000215)"),
            "no user for +•••••, asked at 2026-11-22T02:00:00Z (AADSTS7000215)"
        );
        assert_eq!(harmless("445204334324"), "•••••");
        assert_eq!(harmless("(ana.lima@contoso.example, @ home)"), "(•••@contoso.example, @ home)");
        assert_eq!(harmless(&"é".repeat(1000)).chars().count(), MAX_CHARACTERS);
    }
}
