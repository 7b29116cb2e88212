//! The result of a verification as a table, as JSON and as CSV.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde_json::{Value, json};

use crate::digits::counted;
use crate::ledger::RunId;
use crate::report::lists::csv_line;
use crate::verify::spool::Spool;
use crate::verify::{Discrepancy, Finding, Verified, Verifier, VerifyError};

/// Most findings that a table shows.
const MAX_ROWS: usize = 1000;

/// One document: the lists are spooled, so that they can be long.
pub(super) async fn write_json(verifier: &Verifier, run: Option<&RunId>) -> Result<Verified, VerifyError> {
    let mut lists: BTreeMap<&'static str, Spool> = BTreeMap::new();
    let outcome = verifier
        .verify(run, &mut |finding| lists.entry(finding.wrong.name()).or_default().push(&as_json(&finding)))
        .await?;
    let mut out = io::BufWriter::new(io::stdout());
    let Verified { checked, only_looked_for, waiting, .. } = outcome;
    write!(out, "{{\"checked\":{checked},\"only_looked_for\":{only_looked_for},\"waiting\":{waiting}")?;
    for name in Discrepancy::NAMES {
        write!(out, ",\"{name}\":")?;
        lists.remove(name).unwrap_or_default().write_to(&mut out)?;
    }
    out.write_all(b"}\n")?;
    out.flush()?;
    Ok(outcome)
}

fn as_json(finding: &Finding) -> Value {
    let mut value = json!({
        "item": finding.item.map(|item| item.to_string()),
        "message_id": finding.message_id,
        "mailbox": finding.mailbox,
    });
    if let Some(object) = value.as_object_mut() {
        if let Discrepancy::Doubled { copies } = finding.wrong {
            object.insert("copies".to_owned(), json!(copies));
        } else if let Some(detail) = finding.wrong.detail() {
            object.insert("detail".to_owned(), json!(detail));
        }
    }
    value
}

pub(super) async fn write_csv(verifier: &Verifier, run: Option<&RunId>) -> Result<Verified, VerifyError> {
    let mut out = io::BufWriter::new(io::stdout());
    let line = |fields: [&str; 5]| csv_line(&fields.map(str::to_owned)).map_err(io::Error::other);
    out.write_all(&line(["finding", "item", "message_id", "mailbox", "detail"])?)?;
    let outcome = verifier
        .verify(run, &mut |finding| {
            let [item, message_id, detail] = cells(&finding);
            out.write_all(&line([finding.wrong.name(), &item, &message_id, &finding.mailbox, &detail])?)
        })
        .await?;
    out.flush()?;
    Ok(outcome)
}

pub(super) async fn write_table(verifier: &Verifier, run: Option<&RunId>) -> Result<Verified, VerifyError> {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["Finding", "Item", "Message-ID", "Mailbox", "Detail"]);
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let outcome = verifier
        .verify(run, &mut |finding| {
            *counts.entry(finding.wrong.name()).or_default() += 1;
            if table.row_count() < MAX_ROWS {
                let [item, message_id, detail] = cells(&finding);
                table.add_row([finding.wrong.name().to_owned(), item, message_id, finding.mailbox, detail]);
            }
            Ok(())
        })
        .await?;
    let mut out = io::stdout();
    if table.row_count() > 0 {
        writeln!(out, "{table}")?;
    }
    let found: u64 = counts.values().sum();
    if found > MAX_ROWS as u64 {
        writeln!(out, "… and {} more: --format csv shows them all", found - MAX_ROWS as u64)?;
    }
    let by_kind = Discrepancy::NAMES.iter().filter_map(|name| Some(format!(", {} {name}", counts.get(name)?)));
    let checked = counted(outcome.checked, "copy", "copies");
    let verdict = if outcome.damage == 0 { "no damage" } else { "DAMAGE FOUND" };
    writeln!(out, "{checked} checked: {verdict}{}", by_kind.collect::<String>())?;
    if outcome.only_looked_for > 0 {
        let copies = counted(outcome.only_looked_for, "copy was", "copies were");
        writeln!(out, "{copies} only looked for: what to compare with is no longer kept (ledger.retain)")?;
    }
    if outcome.waiting > 0 {
        let waiting = counted(outcome.waiting, "copy waits", "copies wait");
        writeln!(out, "{waiting} to be sent by the next run")?;
    }
    Ok(outcome)
}

/// What stands in the cells of a finding besides its kind and its mailbox.
pub(super) fn cells(finding: &Finding) -> [String; 3] {
    [
        finding.item.map(|item| item.to_string()).unwrap_or_default(),
        finding.message_id.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default(),
        finding.wrong.detail().unwrap_or_default(),
    ]
}
