//! A mapping while it is being read, and what its lines say of each other.

use super::key::Key;
use super::names::Names;
use super::number;
use super::plan;
use super::validity::{self, Validity};
use crate::item::{Identifier, PhoneNumber};
use crate::resolve::address;
use crate::resolve::table::{Problems as MappingProblems, Row};

/// The places of the columns.
const NUMBER: usize = 0;
const MAILBOX: usize = 1;
const VALID_FROM: usize = 2;
const VALID_UNTIL: usize = 3;

/// An identifier, the place of its address, and when that holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) start: u32,
    pub(super) length: u16,
    pub(super) validity: Validity,
}

/// What was read of a mapping.
pub(super) struct Drafted {
    /// Sorted by identifier and by when they begin to hold. No two of one identifier hold at the same time.
    pub(super) entries: Vec<Entry>,
    /// All addresses, one behind the other.
    pub(super) addresses: String,
    pub(super) names: Names,
    /// How many identifiers there are.
    pub(super) identifiers: usize,
}

/// A mapping while it is being read.
#[derive(Default)]
pub(super) struct Draft {
    lines: Vec<Line>,
    addresses: String,
    names: Names,
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
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn add(&mut self, row: &Row<'_>, problems: &mut MappingProblems) {
        let number = self.checked_identifier(row, problems);
        let address = checked_address(row, problems);
        let validity = checked_validity(row, problems);
        let (Some((key, other_form)), Some(address), Some(validity)) = (number, address, validity) else { return };
        // The bounds of the file keep all of these in range.
        let (Ok(start), Ok(length)) = (u32::try_from(self.addresses.len()), u16::try_from(address.len())) else {
            return;
        };
        self.addresses.push_str(address);
        let entry = Entry { key, start, length, validity };
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

    /// Sorts by identifier and validity, and reports each line that holds while another one of its identifier does.
    pub(super) fn report_repeats(&mut self, problems: &mut MappingProblems) {
        self.lines.sort_unstable_by_key(|line| (line.entry.key, line.entry.validity.from, line.place.row));
        let shown = self.names.shown();
        for lines in self.lines.chunk_by(|one, other| one.entry.key == other.entry.key) {
            let Some((mut longest, more)) = lines.split_first() else { continue };
            for line in more {
                if line.entry.validity.overlaps(longest.entry.validity) {
                    let (earlier, later) =
                        if line.place.row < longest.place.row { (line, longest) } else { (longest, line) };
                    self.report_overlap(&shown.of(line.entry.key), earlier, later, problems);
                }
                if line.entry.validity.until > longest.entry.validity.until {
                    longest = line;
                }
            }
        }
    }

    fn report_overlap(&self, identifier: &str, earlier: &Line, later: &Line, problems: &mut MappingProblems) {
        let (row, column, place) = (later.place.row as usize, later.place.column as usize, earlier.place.row);
        let (one, other) = (earlier.entry.validity, later.entry.validity);
        let is_same_address = self.address(earlier.entry).eq_ignore_ascii_case(self.address(later.entry));
        if one == other && is_same_address {
            problems.warning(row, column, format!("{identifier} has this address on line {place} already"));
        } else if one == Validity::ALWAYS && other == Validity::ALWAYS {
            let message = format!("{identifier} has another address on line {place}: keep one of the two lines");
            problems.error(row, column, message);
        } else {
            let message = format!(
                "{identifier} is valid {other}, and on line {place} {one}: nobody can tell who held it in the time that both have; let one end where the other begins"
            );
            problems.error(row, column, message);
        }
    }

    /// Warns of numbers that WhatsApp may know in another form, unless that form has the same mailbox. The lines are sorted.
    pub(super) fn report_other_forms(&self, problems: &mut MappingProblems) {
        for (entry, place, form) in &self.other_forms {
            let from = self.lines.partition_point(|line| line.entry.key < form.key);
            let mut others = self.lines.iter().skip(from).take_while(|line| line.entry.key == form.key);
            if !others.any(|other| self.address(other.entry).eq_ignore_ascii_case(self.address(*entry))) {
                problems.warning(place.row as usize, place.column as usize, form.advice.to_owned());
            }
        }
    }

    pub(super) fn finish(self) -> Drafted {
        let mut entries: Vec<Entry> = self.lines.iter().map(|line| line.entry).collect();
        entries.dedup_by_key(|entry| (entry.key, entry.validity));
        let identifiers = entries.chunk_by(|one, other| one.key == other.key).count();
        let mut addresses = self.addresses;
        addresses.shrink_to_fit();
        entries.shrink_to_fit();
        Drafted { entries, addresses, names: self.names, identifiers }
    }

    fn checked_identifier(
        &mut self,
        row: &Row<'_>,
        problems: &mut MappingProblems,
    ) -> Option<(Key, Option<plan::OtherForm>)> {
        let field = row.field(NUMBER);
        if PhoneNumber::read(field).is_none()
            && let Some(Identifier::Name(name)) = Identifier::read(field)
        {
            return Some((self.names.add(name)?, None));
        }
        match number::check(field) {
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
}

/// From when until when the line holds.
fn checked_validity(row: &Row<'_>, problems: &mut MappingProblems) -> Option<Validity> {
    let mut bound = |column| match validity::bound(row.field(column)) {
        Ok(bound) => Some(bound),
        Err(message) => {
            problems.error(row.line, row.column(column, 0), message);
            None
        }
    };
    let (from, until) = (bound(VALID_FROM), bound(VALID_UNTIL));
    let validity = Validity { from: from?.unwrap_or(i64::MIN), until: until?.unwrap_or(i64::MAX) };
    if validity.from >= validity.until {
        let message = "the line ends before it begins: `Valid Until` is the first day on which it holds no longer";
        problems.error(row.line, row.column(VALID_UNTIL, 0), message.to_owned());
        return None;
    }
    Some(validity)
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
