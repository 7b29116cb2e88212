//! The administrator's mapping file: which phone number is whose, and from when until when (custom user mapping).
//!
//! TeleMessage's own form: `External User ID,Microsoft 365 User Mailbox`, then `445204334324,susan@contoso.example`. An
//! external user may also be named by a LID or a user name, and two further columns say when a line holds. A file is taken
//! whole or not at all: all its problems are reported at once. Whether the addresses are users is not asked here.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::digest::Digest;
use crate::item::Identifier;

mod draft;
mod key;
mod names;
mod number;
mod plan;
mod validity;

use draft::{Draft, Drafted, Entry};
use names::Names;
pub use validity::Validity;

use super::table::{self, Column};
pub use super::table::{MAX_BYTES, Problem as MappingProblem, Problems as MappingProblems, Severity};

/// The columns, in their usual order.
const COLUMNS: [Column; 4] = [
    Column {
        name: "External User ID",
        required: true,
        looks_like_value: |field| field.bytes().filter(u8::is_ascii_digit).count() >= 3,
    },
    Column { name: "Microsoft 365 User Mailbox", required: true, looks_like_value: |field| field.contains('@') },
    Column { name: "Valid From", required: false, looks_like_value: |_| false },
    Column { name: "Valid Until", required: false, looks_like_value: |_| false },
];

/// Identifiers and addresses, in little memory: 32 bytes for each line, and the addresses themselves.
#[derive(Debug)]
pub struct Mapping {
    entries: Vec<Entry>,
    addresses: String,
    names: Names,
    identifiers: usize,
    sha256: Digest,
}

/// Who held an identifier, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder<'a> {
    pub address: &'a str,
    /// When it is the holder's.
    pub validity: Validity,
}

/// The lines of a mapping file that name one of these, as they stand there.
pub fn lines_naming(file: &[u8], identifiers: &BTreeSet<Identifier>) -> Vec<String> {
    let Ok(text) = table::decode(file, MAX_BYTES) else { return Vec::new() };
    let names_one = |line: &&str| {
        let mut fields = line.split([',', ';', '\t']).map(|field| field.trim().trim_matches('"'));
        fields.any(|field| Identifier::read(field).is_some_and(|identifier| identifiers.contains(&identifier)))
    };
    text.split(['\r', '\n']).filter(names_one).map(str::to_owned).collect()
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
        if draft.is_empty() && !problems.has_errors() {
            problems.warning(1, 1, "no number is mapped".to_owned());
        }
        let Drafted { entries, addresses, names, identifiers } = draft.finish();
        problems.without_errors(Self { entries, addresses, names, identifiers, sha256: Digest::of(bytes) })
    }

    /// Who held an identifier at an instant.
    pub fn holder(&self, identifier: &Identifier, at: DateTime<Utc>) -> Option<Holder<'_>> {
        let key = self.names.key_of(identifier)?;
        let begins = (key, at.timestamp_millis());
        let after = self.entries.partition_point(|entry| (entry.key, entry.validity.from) <= begins);
        let entry = self.entries.get(after.checked_sub(1)?)?;
        (entry.key == key && entry.validity.holds_at(at)).then(|| self.holder_of(*entry))
    }

    /// Whether the file names an identifier, for whatever time.
    pub fn names(&self, identifier: &Identifier) -> bool {
        let key = self.names.key_of(identifier);
        key.is_some_and(|key| self.entries.binary_search_by_key(&key, |entry| entry.key).is_ok())
    }

    /// The identifiers that change hands or are held for a time alone, masked, each with its holders in their order.
    pub fn holders(&self) -> Vec<(String, Vec<Holder<'_>>)> {
        let shown = self.names.shown();
        let of_one = self.entries.chunk_by(|one, other| one.key == other.key);
        let bounded = of_one.filter(|entries| entries.iter().any(|entry| entry.validity != Validity::ALWAYS));
        let holders = bounded.map(|entries| {
            let identifier = entries.first().map(|entry| shown.of(entry.key)).unwrap_or_default();
            (identifier, entries.iter().map(|entry| self.holder_of(*entry)).collect())
        });
        holders.collect()
    }

    fn holder_of(&self, entry: Entry) -> Holder<'_> {
        let rest = self.addresses.get(entry.start as usize..).unwrap_or_default();
        let address = rest.get(..usize::from(entry.length)).unwrap_or_default();
        Holder { address, validity: entry.validity }
    }

    /// The addresses that identifiers are mapped to, each as often as it is named.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| self.holder_of(*entry).address)
    }

    /// How many identifiers are mapped.
    pub fn len(&self) -> usize {
        self.identifiers
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
