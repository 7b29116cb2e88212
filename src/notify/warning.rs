//! What is posted of a warning: once when it begins, once when it is over.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::alert::{CONNECTOR, Event, harmless, sentence};
use crate::status::{Status, Warning, WarningKind};

/// A run that is late by less is no occasion to notify anybody: a daemon that was restarted begins it by itself.
const MAX_DELAY: Duration = Duration::minutes(10);

/// Whether what an alert says goes on or is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum AlertState {
    Firing,
    Resolved,
}

/// Something to be notified of, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    event: Event,
    warning: &'static str,
    subject: String,
    since: DateTime<Utc>,
    detail: String,
    occurrence: String,
}

/// A notice that was posted, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Posted {
    warning: String,
    #[serde(default)]
    subject: String,
    occurrence: String,
    since: DateTime<Utc>,
}

/// The body of a post.
#[derive(Debug, Serialize)]
pub(super) struct WarningAlert {
    connector: &'static str,
    pub(super) event: Event,
    state: AlertState,
    /// The kind of the warning, as `/api/status` has it, or `run_overdue`.
    warning: String,
    /// Which credential.
    #[serde(skip_serializing_if = "String::is_empty")]
    subject: String,
    text: String,
    since: DateTime<Utc>,
    time: DateTime<Utc>,
}

/// What is posted of a ledger that fails. The ledger can't keep that it was posted, so that a restart may post it again.
#[derive(Debug)]
pub struct LedgerAlert {
    state: AlertState,
    since: DateTime<Utc>,
    text: String,
}

impl LedgerAlert {
    /// It fails since then, with this error.
    pub fn firing(error: &str, since: DateTime<Utc>) -> Self {
        let text = format!(
            "the ledger can't be used, so that no run is accounted for, and nothing new is archived: {error}. Is its disk \
             full, the database down, or its password changed?"
        );
        Self { state: AlertState::Firing, since, text }
    }

    /// It works again.
    pub fn resolved(since: DateTime<Utc>) -> Self {
        Self { state: AlertState::Resolved, since, text: "the ledger can be used again".to_owned() }
    }

    pub(super) fn body(&self, now: DateTime<Utc>) -> WarningAlert {
        WarningAlert {
            connector: CONNECTOR,
            event: Event::RunFailed,
            state: self.state,
            warning: "ledger_unavailable".to_owned(),
            subject: String::new(),
            text: sentence(&harmless(&self.text)),
            since: self.since,
            time: now,
        }
    }
}

impl Notice {
    /// All that a state gives occasion to.
    pub fn all(status: &Status, now: DateTime<Utc>) -> Vec<Self> {
        let overdue = status.overdue_since.filter(|since| now - *since > MAX_DELAY).map(|since| {
            let daemon =
                if status.daemon.running { "a daemon is alive: its log names the cause" } else { "no daemon is alive" };
            Self {
                event: Event::RunOverdue,
                warning: Event::RunOverdue.name(),
                subject: String::new(),
                since,
                detail: format!("a run was due at {} but did not start; {daemon}", since.format("%Y-%m-%dT%H:%M:%SZ")),
                occurrence: since.to_rfc3339(),
            }
        });
        status.warnings.iter().filter_map(Self::of).chain(overdue).collect()
    }

    fn of(warning: &Warning) -> Option<Self> {
        Some(Self {
            event: event_of(warning.kind)?,
            warning: warning.kind.name(),
            subject: warning.subject.clone(),
            since: warning.since,
            detail: warning.detail.clone(),
            occurrence: warning.occurrence.clone(),
        })
    }

    /// Whether it is of a run that is overdue.
    pub fn is_overdue_run(&self) -> bool {
        self.event == Event::RunOverdue
    }

    /// Whether it is about the same as what was posted.
    pub(super) fn continues(&self, posted: &Posted) -> bool {
        self.warning == posted.warning && self.subject == posted.subject
    }

    /// Whether it is what was posted.
    pub(super) fn is(&self, posted: &Posted) -> bool {
        self.continues(posted) && self.occurrence == posted.occurrence
    }

    /// What is kept of it once it is posted.
    pub(super) fn posted(&self) -> Posted {
        Posted {
            warning: self.warning.to_owned(),
            subject: self.subject.clone(),
            occurrence: self.occurrence.clone(),
            since: self.since,
        }
    }

    /// What is posted when it begins.
    pub(super) fn alert(&self, now: DateTime<Utc>) -> WarningAlert {
        WarningAlert {
            connector: CONNECTOR,
            event: self.event,
            state: AlertState::Firing,
            warning: self.warning.to_owned(),
            subject: self.subject.clone(),
            text: sentence(&harmless(&self.detail)),
            since: self.since,
            time: now,
        }
    }
}

impl Posted {
    /// Since when owners are silent, where it is about them.
    pub(super) fn owners_silent_since(&self) -> Option<DateTime<Utc>> {
        (self.warning == WarningKind::OwnersSilent.name()).then_some(self.since)
    }

    /// What is posted when it is over; nothing for a kind that this version doesn't know. `left` are the owners of it who are no
    /// longer watched: of those it isn't over.
    pub(super) fn resolution(&self, left: usize, now: DateTime<Utc>) -> Option<WarningAlert> {
        let of_kind = WarningKind::ALL.into_iter().find(|kind| kind.name() == self.warning).and_then(event_of);
        let overdue = (self.warning == Event::RunOverdue.name()).then_some(Event::RunOverdue);
        let subject = if self.subject.is_empty() { String::new() } else { format!(" ({})", self.subject) };
        let left = match left {
            0 => String::new(),
            1 => {
                ", but 1 owner still has no items and is no longer watched: after 30 days they count as gone".to_owned()
            }
            _ => format!(
                ", but {left} owners still have no items and are no longer watched: after 30 days they count as gone"
            ),
        };
        Some(WarningAlert {
            connector: CONNECTOR,
            event: of_kind.or(overdue)?,
            state: AlertState::Resolved,
            warning: self.warning.clone(),
            subject: self.subject.clone(),
            text: sentence(&format!("{}{subject} is over{left}", self.warning)),
            since: self.since,
            time: now,
        })
    }
}

/// The event of a warning; nothing for one that the end of its run is posted for.
fn event_of(kind: WarningKind) -> Option<Event> {
    match kind {
        WarningKind::MappingRefused | WarningKind::ConfigurationRefused | WarningKind::UsersRefused => {
            Some(Event::ReloadRefused)
        }
        WarningKind::NothingArrived
        | WarningKind::OwnersSilent
        | WarningKind::WatermarkStandsStill
        | WarningKind::CapturesMissing
        | WarningKind::NeverCaptured => Some(Event::Silence),
        WarningKind::CredentialExpires => Some(Event::CredentialExpires),
        WarningKind::ManyItemsFailed => Some(Event::DeliveriesGivenUp),
        WarningKind::BooksDoNotBalance => None,
    }
}
