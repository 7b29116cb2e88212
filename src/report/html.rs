//! A report as one page for a browser or for print: self-contained, light and dark.

use askama::Template;
use chrono::{DateTime, SecondsFormat, Utc};

use super::Report;
use super::lists::{MAX_MAPPING_RULES, MAX_UNMAPPED, Numbers, WriteError, not_imported};
use super::reason::meaning_of;
use crate::digits;
use crate::ledger::{
    DeliveryState, DrawnReport, Failure, Ledger, ListPlace, MappingRule, ReportEntry, RunStatus, Unmapped,
};
use crate::output_text::cell;

/// Most rows that the page lists; the CSV has all.
pub const MAX_ROWS: u32 = 10_000;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    window: Option<(String, String)>,
    started: String,
    finished: String,
    tone: &'static str,
    inputs: Vec<(&'a str, String)>,
    in_chain: Option<InChain>,
    reasons: Vec<ReasonRow<'a>>,
    rows: Vec<Row>,
    more_rows: u64,
    unmapped: Vec<(String, u64)>,
    more_unmapped: u64,
    rules: Vec<MappingRule>,
    more_rules: u64,
}

/// The report in the chain.
struct InChain {
    sequence: i64,
    sha256: String,
    signature: Option<String>,
    previous: Option<(String, String)>,
}

struct ReasonRow<'a> {
    name: &'a str,
    count: u64,
    users: Option<u64>,
    kind: &'static str,
    meaning: &'static str,
}

struct Row {
    item: String,
    message_id: String,
    owner: String,
    mailbox: String,
    state: &'static str,
    reason: String,
    detail: String,
}

/// The page of a report.
pub async fn render(ledger: &Ledger, report: &Report, numbers: Numbers) -> Result<String, WriteError> {
    let rows = ledger.failures(&not_imported(&report.run), &ListPlace::default(), MAX_ROWS).await?;
    let (unmapped, unmapped_total) = ledger.unmapped(&report.run, MAX_UNMAPPED).await?;
    let (rules, rules_total) = ledger.mapping_rules(&report.run, MAX_MAPPING_RULES).await?;
    let stored = ledger.stored_report(&report.run).await?;
    let deliveries = &report.deliveries;
    let listed = deliveries.failed + deliveries.pending + deliveries.partially_imported;
    let page = Page {
        report,
        window: report.window.map(|window| (time(window.from), time(window.to))),
        started: time(report.started),
        finished: report.finished.map_or_else(|| "still running".to_owned(), time),
        tone: tone(report.status),
        inputs: inputs(report),
        in_chain: stored.map(InChain::of),
        reasons: reasons(report),
        more_rows: listed.saturating_sub(rows.len() as u64),
        rows: rows.iter().map(|row| Row::of(row, numbers)).collect(),
        more_rules: rules_total.saturating_sub(rules.len() as u64),
        rules,
        more_unmapped: unmapped_total.saturating_sub(unmapped.len() as u64),
        unmapped: unmapped
            .into_iter()
            .map(|Unmapped { participant, items }| (numbers.of(&participant), items))
            .collect(),
    };
    page.render().map_err(|error| WriteError::Io(std::io::Error::other(error)))
}

impl InChain {
    fn of((entry, drawn): (ReportEntry, DrawnReport)) -> Self {
        Self {
            sequence: entry.sequence,
            sha256: drawn.sha256.to_string(),
            signature: drawn.signature.map(hex::encode),
            previous: entry.previous_run.zip(entry.previous_sha256).map(|(run, sha256)| (run.0, sha256.to_string())),
        }
    }
}

impl Row {
    fn of(row: &Failure, numbers: Numbers) -> Self {
        Self {
            item: row.item_name(),
            message_id: row.message_id.as_deref().map(|id| numbers.of_id(id)).unwrap_or_default(),
            owner: row.owner.as_deref().map(|owner| numbers.of(owner)).unwrap_or_default(),
            mailbox: row.mailbox.as_deref().map(cell).unwrap_or_default(),
            state: if row.state == DeliveryState::PartiallyImported { "in part" } else { row.state.name() },
            reason: row.why().unwrap_or_default().to_owned(),
            detail: row.detail.as_deref().map(cell).unwrap_or_default(),
        }
    }
}

fn time(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true).replace('T', " ").replace('Z', " UTC")
}

/// Text that came from the source, fit for a page.
fn text(value: &str) -> String {
    cell(value)
}

#[expect(clippy::ref_option, reason = "the template hands over references")]
fn optional(value: &Option<String>) -> String {
    value.as_deref().map(cell).unwrap_or_default()
}

/// A count with its digits in groups of three.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the template hands over references")]
fn grouped(count: &u64) -> String {
    const NARROW_SPACE: char = '\u{202f}';
    digits::grouped(*count, NARROW_SPACE)
}

fn tone(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Complete => "good",
        RunStatus::Running => "plain",
        RunStatus::Incomplete => "warn",
        RunStatus::Failed => "bad",
    }
}

/// What the run was made with, by the names in the JSON.
fn inputs(report: &Report) -> Vec<(&str, String)> {
    let members = report.inputs.as_object().into_iter().flatten();
    let shown = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "none".to_owned(),
        other => other.to_string(),
    };
    members.map(|(name, value)| (name.as_str(), shown(value))).collect()
}

fn reasons(report: &Report) -> Vec<ReasonRow<'_>> {
    let failed = report.failed_by_reason.iter().map(|(name, count)| {
        let users = report.failed_users_by_reason.get(name).copied();
        ReasonRow { name, count: *count, users, kind: "not imported", meaning: meaning_of(name) }
    });
    let partial = report.partial_by_reason.iter().map(|(name, count)| ReasonRow {
        name,
        count: *count,
        users: None,
        kind: "imported in part",
        meaning: meaning_of(name),
    });
    failed.chain(partial).collect()
}
