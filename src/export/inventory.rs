//! `manifest.csv`: which message is in which file, the digest of each file, and what is not in the export and why.
//!
//! Rows are put aside while messages come, because the digests of most files are known only at the end.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::error::{ExportError, at};
use super::output::{ExportedFile, Output};
use crate::digest::Digest;
use crate::output_text::cell;
use crate::report::lists::harmless;

/// The name of the manifest in the folder of an export.
pub const MANIFEST: &str = "manifest.csv";

/// One capture of the export: a message in it, or why it isn't.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Row {
    /// TeleMessage's number of the item, else the SHA-256 of its JSON.
    pub item: String,
    /// The Message-ID, in angle brackets.
    pub message_id: Option<String>,
    /// The message's own time.
    pub sent: Option<DateTime<Utc>>,
    /// Whose archive it comes from, as the item says it.
    pub owner: Option<String>,
    /// Why it isn't in the export, or what of it is missing.
    pub problem: Option<String>,
}

/// Which files each message is in, by its Message-ID in angle brackets.
#[derive(Debug, Default)]
pub(super) struct Placed {
    files: Vec<ExportedFile>,
    of: HashMap<String, Vec<usize>>,
}

impl Placed {
    /// Adds a file that these messages are in.
    pub(super) fn file(&mut self, file: ExportedFile, messages: impl IntoIterator<Item = String>) {
        let place = self.files.len();
        self.files.push(file);
        for message in messages {
            let places = self.of.entry(message).or_default();
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
    }

    fn of(&self, message_id: Option<&str>) -> Vec<&ExportedFile> {
        let places = message_id.and_then(|id| self.of.get(id)).map_or(&[] as &[usize], Vec::as_slice);
        places.iter().filter_map(|place| self.files.get(*place)).collect()
    }

    fn without_messages(&self) -> impl Iterator<Item = &ExportedFile> {
        let named: HashSet<usize> = self.of.values().flatten().copied().collect();
        self.files.iter().enumerate().filter(move |(place, _)| !named.contains(place)).map(|(_, file)| file)
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }
}

/// The rows, put aside.
#[derive(Debug)]
pub(super) struct Inventory {
    folder: PathBuf,
    aside: PathBuf,
    rows: BufWriter<File>,
}

impl Inventory {
    pub(super) fn create(folder: &Path) -> Result<Self, ExportError> {
        let manifest = folder.join(MANIFEST);
        if manifest.symlink_metadata().is_ok() {
            return Err(at(&manifest)(io::ErrorKind::AlreadyExists.into()));
        }
        let aside = folder.join(".manifest-unfinished");
        let rows = OpenOptions::new().write(true).create(true).truncate(true).open(&aside).map_err(at(&aside))?;
        Ok(Self { folder: folder.to_owned(), aside, rows: BufWriter::new(rows) })
    }

    pub(super) fn add(&mut self, row: &Row) -> Result<(), ExportError> {
        let written = serde_json::to_writer(&mut self.rows, row).map_err(io::Error::from);
        written.and_then(|()| self.rows.write_all(b"\n")).map_err(at(&self.aside))
    }

    /// Writes `manifest.csv`; returns its digest.
    pub(super) fn finish(mut self, placed: &Placed) -> Result<Digest, ExportError> {
        self.rows.flush().map_err(at(&self.aside))?;
        let rows = BufReader::new(File::open(&self.aside).map_err(at(&self.aside))?);
        let mut output = Output::create(&self.folder, MANIFEST.to_owned())?;
        let manifest = output.path().to_owned();
        let mut csv = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(&mut output);
        let header = ["path", "item", "message_id", "sent", "owner", "sha256", "bytes", "problem"];
        let write = |error: csv::Error| at(&manifest)(io::Error::other(error));
        csv.write_record(header).map_err(write)?;
        for line in rows.split(b'\n') {
            let line = line.map_err(at(&self.aside))?;
            let row: Row = serde_json::from_slice(&line)
                .map_err(|source| ExportError::PutAside { path: self.aside.clone(), source: source.into() })?;
            let files = placed.of(row.message_id.as_deref());
            if files.is_empty() {
                csv.write_record(record(&row, None)).map_err(write)?;
            }
            for file in files {
                csv.write_record(record(&row, Some(file))).map_err(write)?;
            }
        }
        for file in placed.without_messages() {
            csv.write_record(record(&Row::default(), Some(file))).map_err(write)?;
        }
        csv.flush().map_err(at(&manifest))?;
        drop(csv);
        Ok(output.finish()?.digest)
    }
}

impl Drop for Inventory {
    fn drop(&mut self) {
        // The next export into this folder takes it over where it can't be removed.
        let _ = fs::remove_file(&self.aside);
    }
}

fn record(row: &Row, file: Option<&ExportedFile>) -> [String; 8] {
    let text = |value: Option<&String>| harmless(cell(value.map(String::as_str).unwrap_or_default()));
    [
        file.map(|file| file.path.clone()).unwrap_or_default(),
        row.item.clone(),
        text(row.message_id.as_ref()),
        row.sent.map(|sent| sent.to_rfc3339_opts(SecondsFormat::Millis, true)).unwrap_or_default(),
        text(row.owner.as_ref()),
        file.map(|file| file.digest.to_string()).unwrap_or_default(),
        file.map(|file| file.bytes.to_string()).unwrap_or_default(),
        text(row.problem.as_ref()),
    ]
}
