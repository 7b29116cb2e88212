//! A report's lists, written out row by row: as JSON, CSV or lines of a table.

use std::io::Write;

use serde_json::{Value, json};

use crate::item::phone_number::mask_accounts_in;
use crate::item::text::harmless_json;
use crate::item::{Participant, PhoneNumber};
use crate::ledger::{DeliveryState, Failure, FailureFilter, Ledger, LedgerError, ListPlace, PendingCause, RunId};
use crate::output_text::cell;

/// Most unmapped participants that a report lists.
pub const MAX_UNMAPPED: u32 = 1000;

/// Most rules of the mapping file that a report lists.
pub const MAX_MAPPING_RULES: u32 = 1000;

/// Rows that are read from the ledger at a time.
const ROWS: u32 = 1000;

/// Why a report could not be written out.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Whoever reads it has gone, or the disk is full.
    #[error("writing failed: {0}")]
    Io(#[from] std::io::Error),
    /// A value has no JSON form.
    #[error("writing JSON failed: {0}")]
    Json(#[from] serde_json::Error),
    /// A row has no CSV form.
    #[error("writing CSV failed: {0}")]
    Csv(#[from] csv::Error),
}

/// Whether phone numbers are shown whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// `+1•••••0101`.
    Masked,
    /// Whole, for an administrator who asked for them.
    Shown,
}

impl Numbers {
    /// A participant as it may be shown.
    pub fn of(self, value: &str) -> String {
        let shown = match self {
            Self::Masked => Participant::phone(value).masked(),
            Self::Shown => PhoneNumber::read(value).map_or_else(|| value.to_owned(), |number| number.to_string()),
        };
        cell(&shown)
    }

    /// WhatsApp's id of a message as it may be shown: some clients write the chat's number into it.
    pub fn of_id(self, id: &str) -> String {
        match self {
            Self::Masked => cell(&mask_accounts_in(id)),
            Self::Shown => cell(id),
        }
    }
}

pub(super) fn failure_json(row: &Failure, numbers: Numbers) -> Value {
    json!({
        "item": row.item_name(),
        "message_id": row.message_id.as_deref().map(|id| numbers.of_id(id)),
        "source_user": row.owner.as_deref().map(|owner| numbers.of(owner)),
        "mailbox": row.mailbox,
        "reason": row.reason,
        "detail": row.detail,
    })
}

pub(super) fn partial_json(row: &Failure) -> Value {
    json!({
        "item": row.item_name(),
        "mailbox": row.mailbox,
        "reason": row.reason,
        "detail": row.detail,
    })
}

/// A row of the failures list with its state and the cause of what is pending, for `failures --format json`.
fn open_json(row: &Failure, numbers: Numbers) -> Value {
    let mut value = failure_json(row, numbers);
    if let Some(object) = value.as_object_mut() {
        object.insert("state".to_owned(), json!(row.state.name()));
        object.insert("cause".to_owned(), json!(row.cause.map(PendingCause::name)));
    }
    value
}

/// Rows of the ledger's lists, read a thousand at a time.
pub struct Rows<'a> {
    ledger: &'a Ledger,
    filter: FailureFilter,
    read: std::vec::IntoIter<Failure>,
    after: ListPlace,
    ended: bool,
}

impl<'a> Rows<'a> {
    /// The rows that a filter lets through.
    pub fn new(ledger: &'a Ledger, filter: FailureFilter) -> Self {
        Self { ledger, filter, read: Vec::new().into_iter(), after: ListPlace::default(), ended: false }
    }

    /// The next row.
    pub async fn next(&mut self) -> Result<Option<Failure>, LedgerError> {
        if let Some(row) = self.read.next() {
            return Ok(Some(row));
        }
        if self.ended {
            return Ok(None);
        }
        let rows = self.ledger.failures(&self.filter, &self.after, ROWS).await?;
        if let Some(last) = rows.last() {
            self.after = last.place.clone();
        }
        self.ended = rows.len() < ROWS as usize;
        self.read = rows.into_iter();
        Ok(self.read.next())
    }
}

/// Writes open rows as one JSON array.
pub async fn write_open_json(
    mut rows: Rows<'_>,
    numbers: Numbers,
    out: &mut (dyn Write + Send),
) -> Result<(), WriteError> {
    let mut separator: &[u8] = b"[";
    while let Some(row) = rows.next().await? {
        out.write_all(separator)?;
        out.write_all(harmless_json(serde_json::to_string(&open_json(&row, numbers))?).as_bytes())?;
        separator = b",\n";
    }
    out.write_all(if separator == b"[" { b"[]\n" } else { b"]\n" })?;
    Ok(())
}

/// The columns of the lists as CSV. The reason of what is pending is its cause.
const CSV_HEADER: [&str; 7] = ["item", "message_id", "source_user", "mailbox", "state", "reason", "detail"];

/// Writes rows as CSV. Fields that a spreadsheet would take for a formula are preceded by an apostrophe.
pub async fn write_csv(mut rows: Rows<'_>, numbers: Numbers, out: &mut (dyn Write + Send)) -> Result<(), WriteError> {
    out.write_all(&csv_line(&CSV_HEADER.map(str::to_owned))?)?;
    while let Some(row) = rows.next().await? {
        let owner = row.owner.as_deref().map(|owner| numbers.of(owner));
        let why = row.why().map(str::to_owned);
        let fields = [
            Some(row.item_name()),
            row.message_id.as_deref().map(|id| numbers.of_id(id)),
            owner,
            row.mailbox,
            Some(row.state.name().to_owned()),
            why,
            row.detail,
        ];
        out.write_all(&csv_line(&fields.map(Option::unwrap_or_default))?)?;
    }
    Ok(())
}

/// A line of CSV, its fields made harmless for a spreadsheet.
pub(crate) fn csv_line(fields: &[String]) -> Result<Vec<u8>, WriteError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields.iter().map(|field| harmless(cell(field))))?;
    writer.into_inner().map_err(|error| WriteError::Io(error.into_error()))
}

/// A cell that no spreadsheet takes for a formula.
pub(crate) fn harmless(field: String) -> String {
    let is_of_number = |character: char| character.is_ascii_digit() || character == '•';
    let number = field.strip_prefix('+').is_some_and(|digits| digits.chars().all(is_of_number));
    if field.starts_with(['=', '+', '-', '@', '\t', '\r']) && !number { format!("'{field}") } else { field }
}

/// The filter of a report's whole list: what is not imported, and what a replay imported.
pub fn listed(run: &RunId) -> FailureFilter {
    let mut filter = not_imported(run);
    filter.states.push(DeliveryState::Imported);
    filter
}

/// The filter of a report's list of what is not imported.
pub fn not_imported(run: &RunId) -> FailureFilter {
    let states = vec![DeliveryState::Failed, DeliveryState::Pending, DeliveryState::PartiallyImported];
    FailureFilter { run: Some(run.clone()), states, reason: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_made_harmless_and_numbers_stay() {
        assert_eq!(harmless("=cmd()".into()), "'=cmd()");
        assert_eq!(harmless("@x".into()), "'@x");
        assert_eq!(harmless("+15550100".into()), "+15550100");
        assert_eq!(harmless("+1•••••0100".into()), "+1•••••0100");
        assert_eq!(harmless("+1-cmd()".into()), "'+1-cmd()");
        assert_eq!(harmless("plain".into()), "plain");
    }

    #[test]
    fn a_row_is_one_line_without_control_characters() {
        let line = csv_line(&["Contoso\nfake,row".to_owned(), "\u{1b}[J\u{202e}x".to_owned()]).unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), "\"Contoso fake,row\",\u{fffd}[Jx\n");
        assert_eq!(Numbers::Masked.of("\u{1b}[H\u{7}Contoso"), "\u{fffd}[H\u{fffd}Contoso");
    }
}
