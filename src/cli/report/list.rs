//! `report --list`: the runs, newest first, with what each came to.

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde_json::json;

use crate::cli::{CommandError, Format, instant, output};
use crate::ledger::Ledger;
use crate::report::Report;
use crate::report::lists::csv_line;

/// Most runs that are listed: years of them.
const MOST: u32 = 1000;

const COLUMNS: [&str; 10] =
    ["run", "kind", "status", "started", "from", "to", "items", "imported", "failed", "pending"];

pub(super) async fn print(ledger: &Ledger, format: Format) -> Result<(), CommandError> {
    let mut reports = Vec::new();
    for run in ledger.runs(MOST).await.map_err(anyhow::Error::from)? {
        reports.push(Report::of(ledger, &run).await.map_err(anyhow::Error::from)?);
    }
    output::print(&match format {
        Format::Json => format!("{}\n", json!({ "runs": reports })),
        Format::Csv => {
            let mut text = String::new();
            for cells in std::iter::once(COLUMNS.map(str::to_owned)).chain(reports.iter().map(cells)) {
                let line = csv_line(&cells).map_err(anyhow::Error::from)?;
                text.push_str(&String::from_utf8_lossy(&line));
            }
            text
        }
        Format::Table => {
            let mut table = Table::new();
            table.load_style(UTF8_FULL_CONDENSED);
            table.set_header(COLUMNS);
            table.add_rows(reports.iter().map(cells));
            format!("{table}\n")
        }
    })
}

fn cells(report: &Report) -> [String; COLUMNS.len()] {
    let window = |of: fn(&crate::window::Window) -> _| report.window.as_ref().map(of).map(instant::shown);
    let deliveries = &report.deliveries;
    [
        report.run.to_string(),
        report.kind.clone(),
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
