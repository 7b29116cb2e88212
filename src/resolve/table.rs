//! Tables that people keep in spreadsheets: a header line, then one line for each entry.
//!
//! Read whatever a spreadsheet saves: `,`, `;` or tab between fields, quoted fields, any line ends, UTF-8, or UTF-16 with
//! a byte-order mark. Every problem is collected with its line and column, so that a file is fixed in one go.

use std::borrow::Cow;

use csv::{ReaderBuilder, StringRecord};

mod decode;
mod header;
mod place;
mod problem;

pub(super) use decode::decode;
pub(super) use header::Column;
use header::{Header, unquoted};
use place::Places;
pub use problem::{Problem, Problems, Severity};

/// The largest file that is read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The most lines that are read.
const MAX_LINES: usize = 2_000_000;

/// How many unclosed quotation marks are reported. Each makes the rest of the file be read once more.
const MAX_UNCLOSED: usize = 16;

/// So many errors are shown of lines whose columns are a guess.
const MAX_GUESSED: usize = 4;

/// One line of a table, with the fields of the columns that were asked for.
pub(super) struct Row<'a> {
    record: &'a StringRecord,
    header: &'a Header,
    /// The text from the start of this line.
    text: &'a str,
    /// The number of the line, from 1.
    pub(super) line: usize,
}

impl Row<'_> {
    /// The field of the `index`-th column that was asked for, trimmed; empty where there is none.
    pub(super) fn field(&self, index: usize) -> &str {
        let field = self.header.place(index).and_then(|place| self.record.get(place)).unwrap_or_default();
        unquoted(field)
    }

    /// The column of the `offset`-th character of that field, in characters from 1.
    pub(super) fn column(&self, index: usize, offset: usize) -> usize {
        let Some(place) = self.header.place(index) else { return 1 };
        place::column(self.text, self.header.separator(), place) + offset
    }
}

/// Reads a table. `row` is shown each line that has anything in it, and adds what is wrong with it to the problems.
pub(super) fn read(
    bytes: &[u8],
    columns: &[Column],
    problems: &mut Problems,
    mut row: impl FnMut(&Row<'_>, &mut Problems),
) {
    let text: Cow<'_, str> = match decode(bytes, MAX_BYTES) {
        Ok(text) => text,
        Err(message) => return problems.error(1, 1, message),
    };
    let Some(header) = Header::read(&text, columns, problems) else { return };
    let (before, mut lines) = (problems.errors(), 0_usize);
    let counted = |line: &Row<'_>, problems: &mut Problems| {
        lines += 1;
        row(line, problems);
    };
    read_lines(&text, &header, problems, counted);
    // With columns in another order than the usual one, each line is wrong, and none of that is worth a look.
    let errors = problems.errors().saturating_sub(before);
    if header.is_guess() && errors > MAX_GUESSED && errors * 2 > lines {
        let dropped = problems.drop_errors_after(before);
        problems.error(
            header.line(),
            1,
            format!(
                "{dropped} further errors are not shown: without a header the columns are taken to be in their usual order, \
                 and most lines don't fit that"
            ),
        );
    }
}

/// Reads the lines below the header.
fn read_lines(text: &str, header: &Header, problems: &mut Problems, mut row: impl FnMut(&Row<'_>, &mut Problems)) {
    let mut places = Places::new(text);
    let mut from = header.first_line_of_values(text);
    for _unclosed in 0..MAX_UNCLOSED {
        match read_from(text, from, header, &mut places, problems, &mut row) {
            Some(next) => from = next,
            None => return,
        }
    }
    problems.error(places.line_at(from), 1, "too many quotation marks are not closed: checking ends here".to_owned());
}

/// Reads lines from the offset `from` to the end, or to a quotation mark that isn't closed on its line: gives the offset
/// of the line after that one.
fn read_from(
    text: &str,
    from: usize,
    header: &Header,
    places: &mut Places<'_>,
    problems: &mut Problems,
    row: &mut impl FnMut(&Row<'_>, &mut Problems),
) -> Option<usize> {
    let rest = text.get(from..)?;
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(header.separator_byte())
        .from_reader(rest.as_bytes());
    let mut record = StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                problems.error(places.line_at(from), 1, format!("the file can't be read on from here: {error}"));
                return None;
            }
        }
        // The position of a record is that of the empty lines before it.
        let before = record.position().and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or_default();
        let start = from + before + place::line_breaks(rest.get(before..)?);
        let line = places.line_at(start);
        if line > MAX_LINES {
            problems.error(line, 1, format!("the file has more than {MAX_LINES} lines"));
            return None;
        }
        let start_of_line = text.get(start..)?;
        if let Some(column) = unclosed_quotation(&record, start_of_line, header) {
            problems.error(
                line,
                column,
                "a quotation mark is not closed on this line: close it, or take it away".to_owned(),
            );
            return Some(start + place::line_length(start_of_line));
        }
        if record.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        if let Some(extra) = header.unnamed_field(&record) {
            let column = place::column(start_of_line, header.separator(), extra);
            problems.error(
                line,
                column,
                format!(
                    "more fields than the header has columns: a field with {} in it needs quotation marks around it",
                    header.separator_name()
                ),
            );
            continue;
        }
        row(&Row { record: &record, header, text: start_of_line, line }, problems);
    }
}

/// The column of a quotation mark that is not closed on its line.
fn unclosed_quotation(record: &StringRecord, line: &str, header: &Header) -> Option<usize> {
    let broken = record.iter().position(|field| field.contains(['\n', '\r']))?;
    // The mark itself stands before the field's first character.
    Some(place::column(line, header.separator(), broken).saturating_sub(1).max(1))
}
