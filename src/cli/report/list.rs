//! `report --list`: the runs, newest first, with what each came to.

use serde_json::json;

use crate::cli::context::CommandError;
use crate::cli::format::Format;
use crate::cli::layout::Width;
use crate::cli::{instant, output};
use crate::ledger::Ledger;
use crate::report::Report;
use crate::report::lists::csv_line;

/// Most runs that are listed: years of them.
const MAX_RUNS: u32 = 1000;

const COLUMNS: [&str; 10] =
    ["run", "kind", "status", "started", "from", "to", "items", "imported", "failed", "pending"];

/// A table of all columns is so wide; where it doesn't fit, there is one of four.
const FULL_WIDTH: u16 = 190;

pub(super) async fn print(ledger: &Ledger, format: Format, width: Width) -> Result<(), CommandError> {
    let mut reports = Vec::new();
    for run in ledger.runs(MAX_RUNS).await? {
        reports.push(Report::of(ledger, &run).await?);
    }
    output::print(&match format {
        Format::Json => format!("{}\n", json!({ "runs": reports })),
        Format::Csv => {
            let mut text = String::new();
            for cells in std::iter::once(COLUMNS.map(str::to_owned)).chain(reports.iter().map(cells)) {
                let line = csv_line(&cells)?;
                text.push_str(&String::from_utf8_lossy(&line));
            }
            text
        }
        Format::Table => {
            let mut table = width.table();
            if width.fits(FULL_WIDTH) {
                table.set_header(COLUMNS);
                table.add_rows(reports.iter().map(cells));
            } else {
                table.set_header(["run", "status", "started", "came to"]);
                table.add_rows(reports.iter().map(short_cells));
            }
            format!("{table}\n")
        }
    })
}

/// A run for a narrow terminal: its id whole, to be copied.
fn short_cells(report: &Report) -> [String; 4] {
    let deliveries = &report.deliveries;
    let counts = [
        (report.items.available_from_source, "items"),
        (deliveries.imported + deliveries.partially_imported, "imported"),
        (deliveries.failed, "failed"),
        (deliveries.pending, "pending"),
    ];
    let shown = counts.into_iter().filter(|(count, what)| *count > 0 || *what == "items");
    let shown: Vec<String> = shown.map(|(count, what)| format!("{count} {what}")).collect();
    [
        report.run.to_string(),
        format!("{}\n{}", report.status.name(), report.kind.name()),
        report.started.format("%Y-%m-%d\n%H:%M UTC").to_string(),
        shown.join("\n"),
    ]
}

fn cells(report: &Report) -> [String; COLUMNS.len()] {
    let window = |of: fn(&crate::window::Window) -> _| report.window.as_ref().map(of).map(instant::shown);
    let deliveries = &report.deliveries;
    [
        report.run.to_string(),
        report.kind.name().to_owned(),
        report.status.name().to_owned(),
        instant::shown(report.started),
        window(|window| window.from).unwrap_or_default(),
        window(|window| window.to).unwrap_or_default(),
        report.items.available_from_source.to_string(),
        (deliveries.imported + deliveries.partially_imported).to_string(),
        deliveries.failed.to_string(),
        deliveries.pending.to_string(),
    ]
}
