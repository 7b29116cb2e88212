//! Alerts, as JSON. `text` alone is enough for a chat; the other members are for programs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::item::text::single_line;
use crate::ledger::{PendingCause, RunId, RunStatus};
use crate::pipeline::{RunError, RunFinished};
use crate::report::DeliveryCounts;
use crate::report::reason::{meaning_of, remedy_of};
use crate::source::SourceError;
use crate::staging::StagingError;

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
    /// Deliveries were pending for longer than `retry.give_up`.
    DeliveriesGivenUp,
    /// A run left nothing undone, after a failure that was reported.
    Recovered,
    /// The source, an owner or the watermark has gone silent.
    Silence,
    /// A mapping, user list or configuration turned bad, and the last good one is in force.
    ReloadRefused,
    /// A credential ends soon, or has ended.
    CredentialExpires,
    /// A run is due and did not come.
    RunOverdue,
}

impl Event {
    /// The event's name.
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
    /// The same in a sentence.
    pub text: String,
    pub run: RunId,
    /// How it ended.
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
            let remedy = finished.remedy.map(|remedy| format!(". What helps: {remedy}")).unwrap_or_default();
            return Some(Self::new(event, place(error), &format!("{text}: {words}{remedy}"), finished, now));
        }
        let pending = finished.report.deliveries.pending;
        if pending <= awaited(finished) {
            return None;
        }
        let causes = finished.pending.iter().filter(|(_, count)| *count > 0);
        let causes: Vec<String> = causes
            .map(|(cause, count)| {
                format!("{count} {} ({}; {})", cause.name(), meaning_of(cause.name()), remedy_of(cause.name()))
            })
            .collect();
        let text =
            format!("a run left {pending} deliveries pending, and later runs go on with them: {}", causes.join(", "));
        Some(Self::new(Event::RunIncomplete, "", text.trim_end_matches(": "), finished, now))
    }

    /// The deliveries that a run gave up.
    pub(super) fn of_given_up(finished: &RunFinished, now: DateTime<Utc>) -> Option<Self> {
        let given_up = finished.report.given_up();
        let text = format!(
            "{given_up} deliveries were given up, because their mailboxes could not be used for too long; fix the \
             mailboxes, then replay what failed as mailbox_unavailable"
        );
        (given_up > 0).then(|| Self::new(Event::DeliveriesGivenUp, "", &text, finished, now))
    }

    /// The end of a trouble.
    pub(super) fn of_recovery(finished: &RunFinished, now: DateTime<Utc>) -> Self {
        let text = match awaited(finished) {
            0 => "the last run left nothing undone".to_owned(),
            awaited => {
                format!("the last run left nothing undone, but {awaited} deliveries that wait for an attachment")
            }
        };
        Self::new(Event::Recovered, "", &text, finished, now)
    }

    fn new(event: Event, place: &str, text: &str, finished: &RunFinished, now: DateTime<Utc>) -> Self {
        let report = &finished.report;
        Self {
            connector: "whatsapp-archiver",
            event,
            text: format!("WhatsApp Archiver: {text}"),
            run: report.run.clone(),
            status: report.status,
            time: now,
            deliveries: report.deliveries,
            failed_by_reason: report.failed_by_reason.clone(),
            what: format!("{} {place}", event.name()),
        }
    }
}

/// Deliveries that only wait for an attachment, which needs nobody.
fn awaited(finished: &RunFinished) -> u64 {
    finished.pending.iter().find(|(cause, _)| *cause == PendingCause::AttachmentAwaited).map_or(0, |(_, count)| *count)
}

fn is_refused(error: &RunError) -> bool {
    matches!(
        error,
        RunError::Source(SourceError::Refused { .. })
            | RunError::SourceAt { error: SourceError::Refused { .. }, .. }
            | RunError::Staging(StagingError::Refused(_))
    )
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
