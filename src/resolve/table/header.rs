//! The header line: which separator a table has, and where its columns are.

use csv::{ReaderBuilder, StringRecord};

use super::place::{self, line_breaks, line_length};
use super::problem::Problems;
use crate::item::characters::is_invisible;
use crate::item::phone_number::mask_numbers_in;
use crate::item::text::single_line;

/// The separators, the likeliest first.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// A column that a table has.
#[derive(Debug, Clone, Copy)]
pub(in crate::resolve) struct Column {
    /// Its name in the header, compared without regard to case.
    pub(in crate::resolve) name: &'static str,
    /// Whether a table without it is wrong.
    pub(in crate::resolve) required: bool,
    /// Whether text looks like a value of this column, and so like anything but a header.
    pub(in crate::resolve) looks_like_value: fn(&str) -> bool,
}

/// What the header says.
pub(super) struct Header {
    separator: char,
    /// Where each of the columns that were asked for is.
    places: Vec<Option<usize>>,
    /// How many columns there are.
    width: usize,
    /// Whether there is a header line at all.
    present: bool,
    /// None of its columns is known.
    is_guess: bool,
    /// The number of its line, from 1.
    line: usize,
}

impl Header {
    /// Reads the header of a table with these columns. What is wrong with it is added to the problems; the columns are
    /// then taken to be in their usual order, so that the rest can be checked all the same. `None` where there is
    /// nothing at all.
    pub(super) fn read(text: &str, columns: &[Column], problems: &mut Problems) -> Option<Self> {
        let start = start_of_header(text);
        let rest = text.get(start..)?;
        let line_number = place::Places::new(text).line_at(start);
        let line = rest.get(..line_length(rest))?.trim_end_matches(['\r', '\n']);
        let names: Vec<&str> = columns.iter().filter(|column| column.required).map(|column| column.name).collect();
        if line.trim().is_empty() {
            problems.error(1, 1, format!("the header is missing: the first line must be `{}`", names.join(",")));
            return None;
        }
        let (separator, fields) = split(line, columns);
        let width = fields.len().max(columns.len());
        let places: Vec<Option<usize>> =
            columns.iter().map(|column| fields.iter().position(|field| is_named(field, column))).collect();
        let is_guess = places.iter().all(Option::is_none);
        let mut header = Self { separator, places, width, present: true, is_guess, line: line_number };
        if is_guess {
            header.report_missing(line_number, &fields, columns, &names, problems);
        } else {
            header.width = fields.len();
            header.report_columns(line_number, line, &fields, columns, problems);
        }
        Some(header)
    }

    /// There is no header, or nothing of it is known.
    fn report_missing(
        &mut self,
        line: usize,
        fields: &StringRecord,
        columns: &[Column],
        names: &[&str],
        problems: &mut Problems,
    ) {
        let expected = names.join(&self.separator.to_string());
        self.present = !columns.iter().zip(fields).any(|(column, field)| (column.looks_like_value)(unquoted(field)));
        self.places = (0..columns.len()).map(Some).collect();
        let found = if self.present { "this is not the header" } else { "the header is missing" };
        problems.error(line, 1, format!("{found}: the first line must be `{expected}`"));
    }

    /// Some columns are missing, named twice or not known.
    fn report_columns(
        &mut self,
        line: usize,
        text: &str,
        fields: &StringRecord,
        columns: &[Column],
        problems: &mut Problems,
    ) {
        let mut named = vec![false; columns.len()];
        for (place, field) in fields.iter().enumerate() {
            let name = unquoted(field);
            let column = place::column(text, self.separator, place);
            match columns.iter().position(|wanted| is_named(field, wanted)) {
                Some(known) => match named.get_mut(known) {
                    Some(true) => {
                        problems.error(line, column, format!("the column `{}` is there twice", shown(name)));
                    }
                    Some(first) => *first = true,
                    None => {}
                },
                None if name.is_empty() => {}
                None => {
                    let shown = shown(name);
                    problems.warning(line, column, format!("the column `{shown}` is not used"));
                }
            }
        }
        let taken: Vec<usize> = self.places.iter().flatten().copied().collect();
        for (index, column) in columns.iter().enumerate() {
            let Some(place) = self.places.get_mut(index) else { continue };
            if place.is_none() && column.required {
                problems.error(line, 1, format!("the column `{}` is missing from the header", column.name));
                *place = Some(index).filter(|usual| !taken.contains(usual));
            }
        }
    }

    /// Whether none of its columns is known, so that they are taken to be in their usual order.
    pub(super) fn is_guess(&self) -> bool {
        self.is_guess
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// Where the `index`-th of the columns that were asked for is.
    pub(super) fn place(&self, index: usize) -> Option<usize> {
        self.places.get(index).copied().flatten()
    }

    /// The first field of a line that has something in it but is under no column.
    pub(super) fn unnamed_field(&self, record: &StringRecord) -> Option<usize> {
        let more = record.iter().enumerate().skip(self.width);
        more.filter(|(_, field)| !field.trim().is_empty()).map(|(place, _)| place).next()
    }

    /// The offset of the first line with values.
    pub(super) fn first_line_of_values(&self, text: &str) -> usize {
        let start = start_of_header(text);
        let header = text.get(start..).filter(|_| self.present);
        start + header.map(line_length).unwrap_or_default()
    }

    pub(super) fn separator(&self) -> char {
        self.separator
    }

    pub(super) fn separator_byte(&self) -> u8 {
        u8::try_from(self.separator).unwrap_or(b',')
    }

    pub(super) fn separator_name(&self) -> &'static str {
        match self.separator {
            ';' => "`;`",
            '\t' => "a tab",
            _ => "`,`",
        }
    }
}

/// The line's separator and fields: the separator that finds most of the columns, else the one there is most of.
fn split(line: &str, columns: &[Column]) -> (char, StringRecord) {
    let mut best: Option<((usize, usize), char, StringRecord)> = None;
    for separator in SEPARATORS {
        let fields = fields(line, separator);
        let known = columns.iter().filter(|column| fields.iter().any(|field| is_named(field, column))).count();
        let score = (known, fields.len());
        if best.as_ref().is_none_or(|(other, ..)| score > *other) {
            best = Some((score, separator, fields));
        }
    }
    best.map_or_else(|| (',', StringRecord::new()), |(_, separator, fields)| (separator, fields))
}

fn fields(line: &str, separator: char) -> StringRecord {
    let delimiter = u8::try_from(separator).unwrap_or(b',');
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(line.as_bytes());
    let mut record = StringRecord::new();
    // A line of text in memory can always be split; an error would leave it without fields, and so without a header.
    let _ = reader.read_record(&mut record);
    record
}

/// Where the header line begins: after empty lines, and after the line `sep=;` by which a spreadsheet names the separator.
fn start_of_header(text: &str) -> usize {
    let first = line_breaks(text);
    let Some(rest) = text.get(first..) else { return first };
    let length = line_length(rest);
    let line = rest.get(..length).unwrap_or_default();
    let named = line.trim_matches(|character: char| character.is_whitespace() || character == '"');
    let is_separator = named.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("sep="))
        && named.chars().count() <= "sep=;".len();
    if !is_separator {
        return first;
    }
    first + length + rest.get(length..).map(line_breaks).unwrap_or_default()
}

/// A column's name as a message shows it: short, on one line, without anything that may be a phone number.
fn shown(name: &str) -> String {
    const MAX_CHARACTERS: usize = 60;
    let masked = mask_numbers_in(&single_line(name));
    masked.chars().filter(|character| !is_invisible(*character)).take(MAX_CHARACTERS).collect()
}

/// Whether a field is the name of a column; blanks of any kind and number are one blank, and case doesn't count.
fn is_named(field: &str, column: &Column) -> bool {
    let visible: String = field.chars().filter(|character| !is_invisible(*character)).collect();
    let words: Vec<&str> = unquoted(&visible).split_whitespace().collect();
    words.join(" ").eq_ignore_ascii_case(column.name)
}

/// A field without blanks around it, nor the quotation marks that stand behind such blanks.
pub(super) fn unquoted(field: &str) -> &str {
    let field = field.trim();
    match field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.trim(),
        None => field,
    }
}
