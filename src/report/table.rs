//! A report for a terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::Report;
use super::lists::Numbers;
use crate::capture_loss::{CaptureLoss, OwnerLoss};
use crate::ledger::{Ledger, LedgerError};
use crate::output_text::cell;
use crate::reason::Reason;

/// Most participants without a valid user that are shown.
const MAX_UNMAPPED: u32 = 20;

/// Most rules of the mapping file that are shown.
const MAX_RULES: u32 = 20;

/// Most messages that were never captured that are shown.
const MAX_REFERENCED: usize = 20;

/// The report as tables, with the rules of the mapping file that named mailboxes and the participants who have no valid user, the
/// most frequent first. Their addresses wrap where a table has at most so many `columns`.
///
/// # Errors
///
/// The ledger failed.
pub async fn render_with_lists(
    ledger: &Ledger,
    report: &Report,
    numbers: Numbers,
    columns: Option<u16>,
) -> Result<String, LedgerError> {
    Ok(render(report) + &mapping_rules(ledger, report, columns).await? + &unmapped(ledger, report, numbers).await?)
}

async fn unmapped(ledger: &Ledger, report: &Report, numbers: Numbers) -> Result<String, LedgerError> {
    if report.unmapped_total == 0 {
        return Ok(String::new());
    }
    let (unmapped, _) = ledger.unmapped(&report.run, MAX_UNMAPPED).await?;
    let rows: Vec<(String, u64)> = unmapped.iter().map(|one| (numbers.of(&one.participant), one.items)).collect();
    let rows: Vec<(&str, u64)> = rows.iter().map(|(number, items)| (number.as_str(), *items)).collect();
    let more = and_more(report.unmapped_total, rows.len());
    Ok(counts("Without a valid user, the most frequent first", &rows) + &more)
}

async fn mapping_rules(ledger: &Ledger, report: &Report, columns: Option<u16>) -> Result<String, LedgerError> {
    if report.mapping_rules_total == 0 {
        return Ok(String::new());
    }
    let (rules, _) = ledger.mapping_rules(&report.run, MAX_RULES).await?;
    let more = and_more(report.mapping_rules_total, rules.len());
    let rows = rules.into_iter().map(|rule| [rule.rule, cell(&rule.mailbox), rule.deliveries.to_string()]);
    let mut table = table(["Rule that named a mailbox", "Mailbox", "Deliveries"], rows, 2);
    if let Some(columns) = columns {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
    }
    Ok(format!("{table}\n{more}"))
}

fn and_more(total: u64, shown: usize) -> String {
    match total.saturating_sub(shown as u64) {
        0 => String::new(),
        more => format!("… and {more} more: --format json has up to 1000 of them\n"),
    }
}

/// The report as tables.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    let window = report.window.map_or_else(|| "nothing was read".to_owned(), |window| window.to_string());
    out.push_str(&format!("Run      {} ({})\n", report.run, report.kind.name()));
    out.push_str(&format!("Status   {}\n", report.status.name()));
    out.push_str(&format!("Window   {window}\n"));
    if let Some(error) = &report.error {
        out.push_str(&format!("Error    {error}\n"));
    }
    if let Some(many_failed) = &report.many_failed {
        out.push_str(&format!("Warning  {many_failed}\n"));
    }
    if report.had_no_new_items() {
        out.push_str("The source had no new items.\n");
    }
    let items = &report.items;
    let deliveries = &report.deliveries;
    out.push_str(&counts(
        "Items",
        &[
            ("new from the source", items.available_from_source),
            ("sent again by the source", items.repeated_by_source),
            ("late", items.late),
        ],
    ));
    out.push_str(&counts(
        "Deliveries",
        &[
            ("imported", deliveries.imported),
            ("partially imported", deliveries.partially_imported),
            ("skipped, duplicate", deliveries.skipped_duplicate),
            ("failed", deliveries.failed),
            ("pending", deliveries.pending),
            ("available for import", deliveries.available_for_import),
        ],
    ));
    out.push_str(&reasons(report));
    if deliveries.carried_over > 0 {
        out.push_str(&match deliveries.carried_over {
            1 => "1 of these deliveries is of an item of an earlier run.\n".to_owned(),
            more => format!("{more} of these deliveries are of items of earlier runs.\n"),
        });
    }
    if report.unmapped_total > 0 {
        out.push_str(&match report.unmapped_total {
            1 => "1 participant has no valid user.\n".to_owned(),
            total => format!("{total} participants have no valid user.\n"),
        });
        if report.failed_by_reason.contains_key(Reason::NoValidUser.name()) {
            out.push_str("no_valid_user counts items: those whose owner, or every participant, has no valid user.\n");
        }
    }
    out.push_str(&capture_loss(&report.capture_loss));
    out
}

/// What was never captured; nothing where nothing is known to be missing.
fn capture_loss(loss: &CaptureLoss) -> String {
    let mut out = String::new();
    if loss.open > 0 {
        out.push_str(&counts(
            "Never captured, though others refer to it",
            &[("named first by this run's items", loss.new), ("all that is still missing", loss.open)],
        ));
        for found in loss.referenced.iter().take(MAX_REFERENCED) {
            let chat = found.chat.as_deref().map(|chat| format!(" in {}", cell(chat))).unwrap_or_default();
            let owner = found.owner.as_deref().unwrap_or("nobody");
            let by = found.referenced_by.map_or_else(|| "an item".to_owned(), |item| format!("item {item}"));
            let (id, relation) = (cell(&found.message_id), &found.relation);
            out.push_str(&format!("  {id}{chat}: {relation} by {by} of {owner}\n"));
        }
        let more = loss.new.saturating_sub(MAX_REFERENCED as u64);
        if more > 0 {
            out.push_str(&format!("  … and {more} more: --format json has up to 100 of them\n"));
        }
    }
    for lacks in loss.suspicious() {
        let OwnerLoss { owner, messages, missing } = lacks;
        let share = lacks.percent();
        out.push_str(&format!(
            "The phone of {owner} lacks {missing} of {messages} messages ({share}) that others in its groups captured.\n"
        ));
    }
    out
}

/// What was not imported whole, by reason: deliveries, and the users that they are for.
fn reasons(report: &Report) -> String {
    let mut rows = Vec::new();
    for (reason, count) in &report.failed_by_reason {
        let users = report.failed_users_by_reason.get(reason).map(u64::to_string).unwrap_or_default();
        rows.push([reason.clone(), count.to_string(), users]);
    }
    rows.extend(
        report.partial_by_reason.iter().map(|(reason, count)| [reason.clone(), count.to_string(), String::new()]),
    );
    if rows.is_empty() {
        return String::new();
    }
    format!("{}\n", table(["Not imported whole, by reason", "Count", "Users"], rows, 1))
}

fn counts(title: &str, rows: &[(&str, u64)]) -> String {
    let rows = rows.iter().map(|(name, count)| [(*name).to_owned(), count.to_string()]);
    format!("{}\n", table([title, "Count"], rows, 1))
}

/// A table whose columns are of words, and from `numbers` on of numbers.
fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>, numbers: usize) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
