//! Results on standard output.

use std::io::{self, Write as _};

use super::context::{CommandError, Context, Exit};
use super::format::{Format, ShowNumbers};
use super::layout::Width;
pub(super) use crate::digits::counted;
use crate::ledger::{Ledger, OpenElsewhere};
use crate::pipeline::RunFinished;
use crate::report::lists::{self, Rows};
use crate::report::{Report, document, table};

/// Where the values of a report's head begin, in columns.
const VALUES: usize = 9;

/// Prints text. A reader that has gone (`… | head`) ends the command quietly.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    quietly(io::stdout().write_all(text.as_bytes()))
}

/// A reader that has gone is no error.
pub(super) fn quietly(result: io::Result<()>) -> Result<(), CommandError> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints a report in the format that was asked for.
pub(super) async fn print_report(
    ledger: &Ledger,
    report: &Report,
    format: Format,
    width: Width,
    numbers: ShowNumbers,
) -> Result<(), CommandError> {
    let mut out = io::BufWriter::new(io::stdout());
    let result = match format {
        Format::Table => {
            let text = table::render_with_lists(ledger, report, numbers.numbers(), width.columns()).await?;
            return print(&width.wrap(&text, VALUES));
        }
        Format::Json => document::write_json(ledger, report, numbers.numbers(), &mut out).await,
        Format::Csv => {
            let rows = Rows::new(ledger, lists::listed(&report.run));
            lists::write_csv(rows, numbers.numbers(), &mut out).await
        }
    };
    finish(result, out)
}

/// Flushes what was written.
pub(super) fn finish(result: Result<(), lists::WriteError>, mut out: impl io::Write) -> Result<(), CommandError> {
    match result {
        Ok(()) => quietly(out.flush()),
        Err(lists::WriteError::Io(error)) => quietly(Err(error)),
        Err(error) => Err(error.into()),
    }
}

/// Prints how a run ended, and what to do about what it left.
pub(super) fn report_finished(context: &Context, finished: &RunFinished) -> Result<Exit, CommandError> {
    let report = &finished.report;
    let mut text = Width::of_output().wrap(&table::render(report), VALUES);
    text.push_str(&elsewhere(&finished.undone.elsewhere));
    let config = context.config_path.display();
    if report.deliveries.failed + report.deliveries.pending > 0 {
        text.push_str(&format!("What is not imported and why:  whatsapp-archiver --config {config} failures\n"));
    }
    text.push_str(&format!(
        "The full report:               whatsapp-archiver --config {config} report --format json\n"
    ));
    print(&text)?;
    Ok(exit_of(report))
}

/// What is open in the accounts of other runs than the one that is spoken of.
pub(super) fn elsewhere(open: &[OpenElsewhere]) -> String {
    let line = |open: &OpenElsewhere| {
        let what = counted(open.rows, "delivery is", "deliveries are");
        let then = if open.is_under_way {
            "which is under way and sends what can be sent; should its process have gone, the next run takes over when its lease has run out"
        } else {
            "and the next run takes over what another process or staging kept from this one"
        };
        format!("{what} still open in the account of run {}, {then}.\n", open.run)
    };
    open.iter().map(line).collect()
}

/// Items that a rule keeps out are normal; anything else that isn't imported is not.
pub(super) fn exit_of(report: &Report) -> Exit {
    if report.is_success() { Exit::Done } else { Exit::Failed }
}
