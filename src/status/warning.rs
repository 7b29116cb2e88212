//! What needs somebody's attention though no step failed: kept in the ledger or seen in its history, so that every page
//! and command shows the same.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::credential::{self, Ending};
use crate::capture_loss;
use crate::digest::Digest;
use crate::item::Participant;
use crate::ledger::{FailureKind, Ledger, LedgerError, RunStatus};
use crate::report::Report;
use crate::schedule::Schedule;
use crate::silence::Silence;

/// Owners that a warning names.
const MAX_NAMED: usize = 10;

/// Runs that are looked through for the first of a row in which something is wrong.
const MAX_RUNS_BACK: u32 = 60;

/// What a warning is about. A closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// The mapping file became invalid; the last good one is in force.
    MappingRefused,
    /// The same of the configuration.
    ConfigurationRefused,
    /// The same of the user list.
    UsersRefused,
    /// The source brings nothing, though it did.
    NothingArrived,
    /// Owners who had items on most days have none any more.
    OwnersSilent,
    /// No window was read to its end for too long.
    WatermarkStandsStill,
    /// A credential ends soon.
    CredentialExpires,
    /// The last run's account doesn't add up.
    BooksDoNotBalance,
    /// An owner's phone lacks messages that others in the same groups captured.
    CapturesMissing,
    /// The last run that read the source, or the last ones together, failed many deliveries by rule.
    ManyItemsFailed,
    /// A run's items refer to far more messages that were never captured than those of the runs before.
    NeverCaptured,
}

impl WarningKind {
    pub const ALL: [Self; 11] = [
        Self::MappingRefused,
        Self::ConfigurationRefused,
        Self::UsersRefused,
        Self::NothingArrived,
        Self::OwnersSilent,
        Self::WatermarkStandsStill,
        Self::CredentialExpires,
        Self::BooksDoNotBalance,
        Self::CapturesMissing,
        Self::ManyItemsFailed,
        Self::NeverCaptured,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::MappingRefused => "mapping_refused",
            Self::ConfigurationRefused => "configuration_refused",
            Self::UsersRefused => "users_refused",
            Self::NothingArrived => "nothing_arrived",
            Self::OwnersSilent => "owners_silent",
            Self::WatermarkStandsStill => "watermark_stands_still",
            Self::CredentialExpires => "credential_expires",
            Self::BooksDoNotBalance => "books_do_not_balance",
            Self::CapturesMissing => "captures_missing",
            Self::ManyItemsFailed => "many_items_failed",
            Self::NeverCaptured => "never_captured",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// Since when.
    pub since: DateTime<Utc>,
    pub detail: String,
    /// Which one of several of the same kind: a credential. Empty where there is only one.
    #[serde(skip)]
    pub subject: String,
    /// What makes it the same as the one before, so that nobody is notified of it twice.
    #[serde(skip)]
    pub occurrence: String,
}

impl Warning {
    /// A warning that is the same as long as it began at the same time.
    fn since(kind: WarningKind, since: DateTime<Utc>, detail: String) -> Self {
        Self { kind, since, detail, subject: String::new(), occurrence: since.to_rfc3339() }
    }
}

/// What the daemon reads again while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    Configuration,
    Mapping,
    Users,
}

impl Input {
    pub const ALL: [Self; 3] = [Self::Configuration, Self::Mapping, Self::Users];

    /// Its name in metrics and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Mapping => "mapping",
            Self::Users => "users",
        }
    }

    fn refused(self) -> WarningKind {
        match self {
            Self::Configuration => WarningKind::ConfigurationRefused,
            Self::Mapping => WarningKind::MappingRefused,
            Self::Users => WarningKind::UsersRefused,
        }
    }

    fn place(self) -> String {
        format!("reload.{}", self.name())
    }
}

/// A reload that was refused.
#[derive(Debug, Serialize, Deserialize)]
struct Refused {
    since: DateTime<Utc>,
    detail: String,
}

/// Notes how reading an input again went. One that was refused before keeps its time.
pub async fn note_reload(
    ledger: &Ledger,
    input: Input,
    result: Result<(), &str>,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let Err(detail) = result else { return ledger.set_meta(&input.place(), None).await };
    let since = refused(ledger, input).await?.map_or(now, |refused| refused.since);
    ledger.set_meta_json(&input.place(), &Refused { since, detail: detail.to_owned() }).await
}

/// Whether the last reading of an input went well.
pub(crate) async fn is_in_force(ledger: &Ledger, input: Input) -> Result<bool, LedgerError> {
    Ok(refused(ledger, input).await?.is_none())
}

async fn refused(ledger: &Ledger, input: Input) -> Result<Option<Refused>, LedgerError> {
    ledger.get_meta_json(&input.place()).await
}

/// All that there is to warn of.
pub(super) async fn all(ledger: &Ledger, schedule: &Schedule, now: DateTime<Utc>) -> Result<Vec<Warning>, LedgerError> {
    let mut warnings = Vec::new();
    for input in Input::ALL {
        if let Some(Refused { since, detail }) = refused(ledger, input).await? {
            let detail = format!("the {} changed and is wrong; the last good one is in force: {detail}", input.name());
            warnings.push(Warning::since(input.refused(), since, detail));
        }
    }
    let silence = Silence::of(ledger, schedule.every, now).await?;
    let source = silence.of_source();
    warnings.extend(source.map(|(since, detail)| Warning::since(WarningKind::NothingArrived, since, detail)));
    // An owner more makes it another one; an owner less doesn't.
    let newest = silence.owners.iter().map(|owner| owner.last_day).max().unwrap_or_default();
    warnings.extend(silence.of_owners().map(|(since, detail)| {
        let occurrence = newest.to_string();
        Warning { occurrence, ..Warning::since(WarningKind::OwnersSilent, since, detail) }
    }));
    // It may move now and then without catching up: that is one occurrence all the same.
    warnings.extend(silence.of_watermark().map(|(since, detail)| Warning {
        occurrence: String::new(),
        ..Warning::since(WarningKind::WatermarkStandsStill, since, detail)
    }));
    for credential in credential::noted(ledger).await? {
        let Some(Ending { since, detail, occurrence, .. }) = credential.ending(now) else { continue };
        let subject = credential.credential;
        warnings.push(Warning { kind: WarningKind::CredentialExpires, since, detail, subject, occurrence });
    }
    warnings.extend(imbalance(ledger).await?);
    warnings.extend(missing_captures(ledger).await?);
    warnings.extend(many_failed(ledger).await?);
    warnings.extend(never_captured(ledger).await?);
    Ok(warnings)
}

/// The last jump of messages that were never captured, for a day.
async fn never_captured(ledger: &Ledger) -> Result<Option<Warning>, LedgerError> {
    let jump = capture_loss::last_jump(ledger).await?;
    Ok(jump.map(|jump| {
        let detail = format!(
            "the items of a run refer to {} messages that were never captured, far more than those of the runs before. Ask \
             TeleMessage whether capturing works",
            jump.messages
        );
        Warning::since(WarningKind::NeverCaptured, jump.since, detail)
    }))
}

/// The share of failed deliveries in the last run that read the source, where it is suspicious.
pub(crate) async fn many_failed(ledger: &Ledger) -> Result<Option<Warning>, LedgerError> {
    let mut found: Option<(DateTime<Utc>, String)> = None;
    for run in ledger.runs(MAX_RUNS_BACK).await? {
        // What a run that failed did not read says nothing of what it would have found.
        if !run.status.reached_end() || !run.kind.reads_source() {
            continue;
        }
        let Some(detail) = Report::of(ledger, &run).await?.many_failed else { break };
        let newest = found.map_or(detail, |(_, newest)| newest);
        found = Some((run.finished.unwrap_or(run.started), newest));
    }
    // Where it goes on for longer than is looked through, it is one occurrence all the same.
    Ok(found.map(|(since, detail)| Warning {
        occurrence: String::new(),
        ..Warning::since(WarningKind::ManyItemsFailed, since, detail)
    }))
}

/// The last run's account, where it doesn't add up.
pub(crate) async fn imbalance(ledger: &Ledger) -> Result<Option<Warning>, LedgerError> {
    let mut found: Option<(DateTime<Utc>, String)> = None;
    for run in ledger.runs(MAX_RUNS_BACK).await? {
        if run.status == RunStatus::Running {
            continue;
        }
        let Some(failure) = run.failure.filter(|failure| failure.kind == FailureKind::Unbalanced) else { break };
        let newest = found.map_or(failure.error, |(_, newest)| newest);
        found = Some((run.finished.unwrap_or(run.started), newest));
    }
    Ok(found.map(|(since, error)| {
        let detail = format!("{error}. Keep the ledger and the staging area as they are, and report this");
        Warning::since(WarningKind::BooksDoNotBalance, since, detail)
    }))
}

/// The owners whose phones lack messages, by the last comparison.
async fn missing_captures(ledger: &Ledger) -> Result<Option<Warning>, LedgerError> {
    let Some(last) = capture_loss::last_comparison(ledger).await? else { return Ok(None) };
    let Some(since) = last.suspicious_since() else { return Ok(None) };
    let mut phones: Vec<String> = last
        .suspicious()
        .map(|lacks| format!("{} ({} of {})", Participant::phone(&lacks.owner).masked(), lacks.missing, lacks.messages))
        .collect();
    if phones.is_empty() {
        return Ok(None);
    }
    // The same phones are the same occurrence, whatever the next comparison counts.
    let mut owners: Vec<&str> = last.suspicious().map(|lacks| lacks.owner.as_str()).collect();
    owners.sort_unstable();
    let occurrence = Digest::of(owners.join("\n").as_bytes()).short(16);
    if phones.len() > MAX_NAMED {
        let more = phones.len() - MAX_NAMED;
        phones.truncate(MAX_NAMED);
        phones.push(format!("and {more} more"));
    }
    let phones = phones.join(", ");
    let detail = format!(
        "messages that others in the same groups captured are missing from: {phones}. Look at these phones' archiver"
    );
    Ok(Some(Warning { occurrence, ..Warning::since(WarningKind::CapturesMissing, since, detail) }))
}
