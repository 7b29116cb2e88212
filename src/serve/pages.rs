//! What an administrator looks at: the connectors page and the page of a run. HTML that needs no script.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::failure::{Failure, ForPerson};
use super::headers::STYLE;
use super::site::{SharedSite, Site};
use crate::ledger::{Failure as Row, Ledger, LedgerError, ListPlace, RunStatus, Unmapped};
use crate::report::Report;
use crate::report::lists;
use crate::report::reason::meaning_of;
use crate::status::{ConnectorState, Status};

mod frame;
mod open;
mod plot;
mod wording;

pub(super) use open::open;

use frame::{Frame, html};
use open::Cause;
use plot::Plot;

/// Runs on one page.
const RUNS: u32 = 30;

/// Runs of the last 30 days that are counted; those of every half hour fit.
const MAX_PLOTTED_RUNS: u32 = 1500;

/// Causes on the connectors page; the page of what is open has more.
const FEW_CAUSES: u32 = 20;

/// Rows of what was not imported on the page of a run; the file has all of them.
const ROWS: u32 = 200;

/// Participants without a valid user on the connectors page, and on the page of a run.
const FEW_UNMAPPED: u32 = 10;
const UNMAPPED: u32 = 50;

/// Seconds after which a page is read again: while a run is under way, and else.
const BUSY: u32 = 10;
const QUIET: u32 = 60;

/// The remotes in the order in which an item meets them, with what they are.
const REMOTES: [(&str, &str, &str); 4] = [
    ("source", "Source", "TeleMessage, or the export that is read"),
    ("staging", "Staging", "where raw items are kept"),
    ("directory", "Directory", "who is a valid user"),
    ("mailbox", "Mailboxes", "where copies go"),
];

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    style: &'static str,
    frame: Frame,
    status: Status,
    headline: String,
    connections: Vec<Connection>,
    /// The run under way, else the last one.
    current: Option<Account>,
    progress: Option<Progress>,
    causes: Vec<Cause>,
    more_causes: bool,
    unmapped: Vec<Unmapped>,
    plot: Option<Plot>,
    runs: Vec<Report>,
    page: u32,
    more: bool,
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    style: &'static str,
    frame: Frame,
    account: Account,
    rows: Rows,
    unmapped: Vec<Unmapped>,
}

/// How far the run under way is.
struct Progress {
    copies: u64,
    settled: u64,
    /// A minute.
    rate: u64,
}

/// A remote on the connectors page.
struct Connection {
    name: &'static str,
    what: &'static str,
    state: &'static str,
    words: &'static str,
    since: Option<DateTime<Utc>>,
    detail: Option<String>,
}

/// The account of a run, with its reasons explained.
struct Account {
    report: Report,
    reasons: Vec<Explained>,
}

/// How many deliveries a reason has, and what it means.
struct Explained {
    reason: String,
    count: u64,
    partial: bool,
    meaning: &'static str,
}

/// The first rows of what was not imported.
struct Rows {
    rows: Vec<Row>,
    more: bool,
}

/// Which part of the list of runs.
#[derive(Debug, Deserialize)]
pub(super) struct Turn {
    #[serde(default)]
    page: u32,
}

/// `/`: the connectors page.
pub(super) async fn status(
    State(site): SharedSite,
    turn: Result<Query<Turn>, QueryRejection>,
) -> Result<Response, ForPerson> {
    let Query(turn) = turn.map_err(|_| Failure::Wrong("the page of the list of runs is a whole number"))?;
    let ledger = &site.served.ledger;
    let status = site.status().await?;
    let mut runs = site.reports(turn.page.saturating_mul(RUNS), RUNS + 1).await?;
    let more = runs.len() > RUNS as usize;
    runs.truncate(RUNS as usize);

    let shown = status.run.as_ref().or(status.last_run.as_ref()).map(|run| run.run.clone());
    let current = match shown {
        Some(id) => Some(Account::of(Report::of(ledger, &site.run(id).await?).await?)),
        None => None,
    };
    let now = site.served.clock.now();
    let mut causes = ledger.open_groups(FEW_CAUSES + 1).await?;
    let more_causes = causes.len() > FEW_CAUSES as usize;
    causes.truncate(FEW_CAUSES as usize);
    let unmapped = match &current {
        Some(account) => ledger.unmapped(&account.report.run, FEW_UNMAPPED).await?.0,
        None => Vec::new(),
    };
    let refresh = if status.state == ConnectorState::Running { BUSY } else { QUIET };
    let page = StatusPage {
        style: STYLE,
        frame: Frame {
            now,
            // Whoever reads an older part of the list is left alone.
            refresh: (turn.page == 0).then_some(refresh),
            signed_in: site.served.token.is_some(),
        },
        headline: status.headline(),
        connections: connections(&status),
        progress: current.as_ref().filter(|_| status.run.is_some()).map(|account| account.progress(now)),
        status,
        current,
        causes: causes.into_iter().map(Cause::of).collect(),
        more_causes,
        unmapped,
        plot: plot(&site, now).await?,
        runs,
        page: turn.page,
        more,
    };
    html(&page)
}

/// What the runs of the last 30 days came to; nothing where there was nothing to deliver.
async fn plot(site: &Site, now: DateTime<Utc>) -> Result<Option<Plot>, LedgerError> {
    let begin = now - chrono::Duration::days(plot::DAYS as i64);
    let (ledger, mut reports) = (&site.served.ledger, Vec::new());
    for run in ledger.runs(MAX_PLOTTED_RUNS).await? {
        if run.started < begin {
            break;
        }
        reports.push(Report::of(ledger, &run).await?);
    }
    Ok(Plot::of(&reports, now))
}

/// `/runs/{id}`: the account of a run.
pub(super) async fn run(State(site): SharedSite, Path(id): Path<String>) -> Result<Response, ForPerson> {
    let ledger = &site.served.ledger;
    let report = Report::of(ledger, &site.run(id).await?).await?;
    let rows = Rows::read(ledger, &report, ROWS).await?;
    let (unmapped, _) = ledger.unmapped(&report.run, UNMAPPED).await?;
    let frame = Frame {
        now: site.served.clock.now(),
        refresh: (report.status == RunStatus::Running).then_some(BUSY),
        signed_in: site.served.token.is_some(),
    };
    html(&RunPage { style: STYLE, frame, account: Account::of(report), rows, unmapped })
}

fn connections(status: &Status) -> Vec<Connection> {
    REMOTES
        .into_iter()
        .map(|(key, name, what)| {
            let remote = status.remotes.get(key);
            let (state, words) = match remote.map(|remote| remote.ok) {
                None => ("new", "not used yet"),
                Some(true) => ("ok", "works"),
                Some(false) => ("bad", "does not work"),
            };
            let detail = remote.and_then(|remote| remote.detail.clone());
            Connection { name, what, state, words, since: remote.map(|remote| remote.since), detail }
        })
        .collect()
}

impl Account {
    fn of(report: Report) -> Self {
        let explained = |partial: bool| {
            move |(reason, count): (&String, &u64)| Explained {
                reason: reason.clone(),
                count: *count,
                partial,
                meaning: meaning_of(reason),
            }
        };
        let failed = report.failed_by_reason.iter().map(explained(false));
        let reasons = failed.chain(report.partial_by_reason.iter().map(explained(true))).collect();
        Self { report, reasons }
    }

    /// The outcomes with their names and looks, in the order of a delivery's luck.
    fn outcomes(&self) -> [(&'static str, u64, &'static str); 5] {
        let counts = &self.report.deliveries;
        [
            ("imported", counts.imported, "ok"),
            ("partially imported", counts.partially_imported, "warn"),
            ("skipped, duplicate", counts.skipped_duplicate, "plain"),
            ("failed", counts.failed, "bad"),
            ("pending", counts.pending, "warn"),
        ]
    }

    /// How far the run is.
    fn progress(&self, now: DateTime<Utc>) -> Progress {
        let counts = &self.report.deliveries;
        let (copies, settled) =
            (counts.available_for_import, counts.available_for_import.saturating_sub(counts.pending));
        let seconds = u64::try_from((now - self.report.started).num_seconds()).unwrap_or_default().max(1);
        Progress { copies, settled, rate: settled.saturating_mul(60) / seconds }
    }

    /// How long the run took.
    fn duration(&self) -> Option<String> {
        let took = self.report.finished? - self.report.started;
        let (hours, minutes, seconds) = (took.num_hours(), took.num_minutes() % 60, took.num_seconds() % 60);
        Some(match (hours, minutes) {
            (0, 0) => format!("{seconds} s"),
            (0, _) => format!("{minutes} min {seconds} s"),
            _ => format!("{hours} h {minutes} min"),
        })
    }
}

impl Rows {
    async fn read(ledger: &Ledger, report: &Report, most: u32) -> Result<Self, LedgerError> {
        let mut rows = ledger.failures(&lists::not_imported(&report.run), &ListPlace::default(), most + 1).await?;
        let more = rows.len() > most as usize;
        rows.truncate(most as usize);
        Ok(Self { rows, more })
    }
}
