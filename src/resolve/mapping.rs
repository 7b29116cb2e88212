//! The administrator's mapping file: which phone number is whose (custom user mapping).
//!
//! TeleMessage's own form: `External User ID,Microsoft 365 User Mailbox`, then `445204334324,susan@contoso.example`. A
//! file is taken whole or not at all: all its problems are told at once. Whether the addresses are users is not asked here.

use crate::digest::Digest;
use crate::item::PhoneNumber;

mod number;
mod plan;

use super::address;
use super::table::{self, Column, Row};
pub use super::table::{MAX_BYTES, Problem as MappingProblem, Problems as MappingProblems, Severity};

/// The columns, in their usual order.
const COLUMNS: [Column; 2] = [
    Column {
        name: "External User ID",
        required: true,
        looks_like_value: |field| field.bytes().filter(u8::is_ascii_digit).count() >= 3,
    },
    Column { name: "Microsoft 365 User Mailbox", required: true, looks_like_value: |field| field.contains('@') },
];
const NUMBER: usize = 0;
const MAILBOX: usize = 1;

/// Numbers and addresses, in little memory: about 16 bytes for each number, and the addresses themselves.
#[derive(Debug)]
pub struct Mapping {
    /// Sorted by number, each once.
    entries: Vec<Entry>,
    /// All addresses, one behind the other.
    addresses: String,
    sha256: Digest,
}

/// A number and the place of its address.
#[derive(Debug, Clone, Copy)]
struct Entry {
    number: number::Key,
    start: u32,
    length: u16,
}

impl Mapping {
    /// Reads a mapping file; `file_name` is what its problems are reported under. Gives the warnings with the mapping,
    /// or all problems where one of them is an error.
    pub fn read(bytes: &[u8], file_name: &str) -> Result<(Self, Vec<MappingProblem>), MappingProblems> {
        let mut problems = MappingProblems::new(file_name);
        let mut draft = Draft::default();
        table::read(bytes, &COLUMNS, &mut problems, |row, problems| draft.add(row, problems));
        draft.report_repeats(&mut problems);
        draft.report_other_forms(&mut problems);
        if draft.lines.is_empty() && !problems.has_errors() {
            problems.warning(1, 1, "no number is mapped".to_owned());
        }
        problems.without_errors(draft.finish(Digest::of(bytes)))
    }

    /// The address that a number is mapped to.
    pub fn address(&self, number: &PhoneNumber) -> Option<&str> {
        let key = number::Key::of(number)?;
        let place = self.entries.binary_search_by_key(&key, |entry| entry.number).ok()?;
        let entry = self.entries.get(place)?;
        self.addresses.get(entry.start as usize..)?.get(..usize::from(entry.length))
    }

    /// How many numbers are mapped.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no number is mapped.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The SHA-256 of the file.
    pub fn sha256(&self) -> Digest {
        self.sha256
    }
}

/// A mapping while it is being read.
#[derive(Default)]
struct Draft {
    lines: Vec<Line>,
    addresses: String,
    /// The few entries whose numbers WhatsApp may know in another form.
    other_forms: Vec<(Entry, Place, plan::OtherForm)>,
}

/// Where an entry stands, in lines and columns.
#[derive(Debug, Clone, Copy)]
struct Place {
    row: u32,
    column: u32,
}

/// An entry and where it stands, for what is said of repeated numbers.
struct Line {
    entry: Entry,
    place: Place,
}

impl Draft {
    fn add(&mut self, row: &Row<'_>, problems: &mut MappingProblems) {
        let number = checked_number(row, problems);
        let address = checked_address(row, problems);
        let (Some((number, other_form)), Some(address)) = (number, address) else { return };
        // The bounds of the file keep all of these in range.
        let (Ok(start), Ok(length)) = (u32::try_from(self.addresses.len()), u16::try_from(address.len())) else {
            return;
        };
        self.addresses.push_str(address);
        let entry = Entry { number, start, length };
        let place = Place {
            row: u32::try_from(row.line).unwrap_or(u32::MAX),
            column: u32::try_from(row.column(NUMBER, 0)).unwrap_or(u32::MAX),
        };
        self.lines.push(Line { entry, place });
        self.other_forms.extend(other_form.map(|form| (entry, place, form)));
    }

    fn address(&self, entry: Entry) -> &str {
        let rest = self.addresses.get(entry.start as usize..).unwrap_or_default();
        rest.get(..usize::from(entry.length)).unwrap_or_default()
    }

    /// Sorts by number and reports each number that stands there before.
    fn report_repeats(&mut self, problems: &mut MappingProblems) {
        self.lines.sort_unstable_by_key(|line| (line.entry.number, line.place.row));
        for repeats in self.lines.chunk_by(|one, other| one.entry.number == other.entry.number) {
            let Some((first, more)) = repeats.split_first() else { continue };
            for line in more {
                let (number, place) = (first.entry.number.masked(), first.place.row);
                let (row, column) = (line.place.row as usize, line.place.column as usize);
                if self.address(line.entry).eq_ignore_ascii_case(self.address(first.entry)) {
                    problems.warning(row, column, format!("{number} has this address on line {place} already"));
                } else {
                    let message = format!("{number} has another address on line {place}: keep one of the two lines");
                    problems.error(row, column, message);
                }
            }
        }
    }

    /// Warns of numbers that WhatsApp may know in another form, unless that form has the same mailbox. The lines are sorted.
    fn report_other_forms(&self, problems: &mut MappingProblems) {
        for (entry, place, form) in &self.other_forms {
            let found = self.lines.binary_search_by_key(&form.key, |line| line.entry.number).ok();
            let other = found.and_then(|place| self.lines.get(place)).map(|line| self.address(line.entry));
            if !other.is_some_and(|other| other.eq_ignore_ascii_case(self.address(*entry))) {
                problems.warning(place.row as usize, place.column as usize, form.advice.to_owned());
            }
        }
    }

    fn finish(self, sha256: Digest) -> Mapping {
        let mut entries: Vec<Entry> = self.lines.iter().map(|line| line.entry).collect();
        entries.dedup_by_key(|entry| entry.number);
        let mut addresses = self.addresses;
        addresses.shrink_to_fit();
        entries.shrink_to_fit();
        Mapping { entries, addresses, sha256 }
    }
}

fn checked_number(row: &Row<'_>, problems: &mut MappingProblems) -> Option<(number::Key, Option<plan::OtherForm>)> {
    match number::check(row.field(NUMBER)) {
        Ok(checked) => {
            if let Some(message) = checked.doubt {
                problems.warning(row.line, row.column(NUMBER, 0), message);
            }
            Some((checked.key, checked.other_form))
        }
        Err(problem) => {
            problems.error(row.line, row.column(NUMBER, problem.offset), problem.message);
            None
        }
    }
}

fn checked_address<'a>(row: &'a Row<'_>, problems: &mut MappingProblems) -> Option<&'a str> {
    let field = row.field(MAILBOX);
    if field.is_empty() {
        let message = "no mailbox is given: write its address, such as susan@contoso.example, or take the line away";
        problems.error(row.line, row.column(MAILBOX, 0), message.to_owned());
        return None;
    }
    match address::check(field) {
        Ok(()) => Some(field),
        Err(reason) => {
            let message = format!("not an e-mail address, because {reason}: write it like susan@contoso.example");
            problems.error(row.line, row.column(MAILBOX, 0), message);
            None
        }
    }
}
