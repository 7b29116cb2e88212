//! Everything that proves one message, in one zip that can be checked with `sha256sum`, `cmp` and `openssl`.
//!
//! The same message gives the same bytes as long as the ledger says the same of it. Nothing is changed by it.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use askama::Template;
use futures_util::StreamExt as _;
use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::digest::{Digest, Digester};
use crate::staging::{BlobName, Staging, StagingError};

pub mod gather;

/// Why a proof could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] crate::ledger::LedgerError),
    /// Staging failed.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// Something in staging isn't what was staged.
    #[error(
        "{name} is damaged in staging: its SHA-256 is {found}, and it was staged with {expected}; a proof with it would fail \
         its own checks, so none was written: look into the staging area's own audit log"
    )]
    Damaged { name: BlobName, found: Digest, expected: Digest },
    /// The file is there already.
    #[error("{path} already exists, and nothing is overwritten: name another --out, or remove it first")]
    Taken { path: PathBuf },
    /// The file can't be written.
    #[error("cannot write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The directions can't be written.
    #[error("cannot write VERIFY.md: {0}")]
    Directions(#[from] askama::Error),
    /// Nothing is left of it but what the ledger says.
    #[error(
        "item {item} was purged from staging (staging.retain), so there is nothing left to prove it with; `verify` says whether its \
         copies are in their mailboxes, and the report of run {run} names the page that it came in"
    )]
    Purged {
        /// TeleMessage's number of the item, else the SHA-256 of its bytes.
        item: String,
        /// The run that first saw it.
        run: String,
    },
    /// Nobody knows of such a message.
    #[error("the ledger has no such message; `failures`, the copies' Message-ID headers and `export` have the ids")]
    Unknown,
}

/// `VERIFY.md`.
#[derive(Template, Default)]
#[template(path = "verify.md", escape = "none")]
pub(crate) struct Directions {
    pub(crate) captures: Vec<CaptureFacts>,
    pub(crate) purged: Vec<String>,
    pub(crate) reports: Vec<ReportFacts>,
    pub(crate) without_report: Vec<String>,
    pub(crate) has_every_page: bool,
    pub(crate) has_key: bool,
    pub(crate) fingerprint: String,
}

/// What the directions say of a capture.
#[derive(Default)]
pub(crate) struct CaptureFacts {
    pub(crate) item: String,
    pub(crate) folder: String,
    pub(crate) sha256: String,
    pub(crate) staged_at: String,
    pub(crate) page: String,
    pub(crate) page_sha256: String,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) has_page: bool,
    pub(crate) why_no_page: String,
    pub(crate) attachments: Vec<FileFacts>,
    pub(crate) mime: Option<String>,
    pub(crate) why_no_message: String,
}

/// What they say of a file.
pub(crate) struct FileFacts {
    pub(crate) path: String,
    pub(crate) sha256: String,
}

/// What they say of a report.
pub(crate) struct ReportFacts {
    pub(crate) path: String,
    pub(crate) sequence: i64,
    pub(crate) previous_run: Option<String>,
    pub(crate) sha256: String,
    pub(crate) page_sha256s: Vec<String>,
    pub(crate) is_signed: bool,
}

/// The zip, and the digests of what is in it.
pub(crate) struct Archive {
    path: PathBuf,
    zip: ZipWriter<BufWriter<fs::File>>,
    sums: String,
    unfinished: Unfinished,
}

/// Removes the file where it isn't finished: half a proof is none.
struct Unfinished(Option<PathBuf>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

impl Archive {
    /// A new file; one that is there already is an error.
    pub(crate) fn create(path: &Path) -> Result<Self, ProofError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => ProofError::Taken { path: path.to_owned() },
            _ => ProofError::File { path: path.to_owned(), source },
        };
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
        let zip = ZipWriter::new(BufWriter::new(file));
        let unfinished = Unfinished(Some(path.to_owned()));
        Ok(Self { path: path.to_owned(), zip, sums: String::new(), unfinished })
    }

    fn failed(&self) -> impl Fn(io::Error) -> ProofError + use<> {
        let path = self.path.clone();
        move |source| ProofError::File { path: path.clone(), source }
    }

    fn begin(&mut self, name: &str) -> Result<(), ProofError> {
        // The zip format's own epoch: the same proof gives the same bytes.
        let options = SimpleFileOptions::default()
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644)
            .compression_method(CompressionMethod::Deflated)
            .large_file(true);
        let failed = self.failed();
        self.zip.start_file(name, options).map_err(|error| failed(error.into()))
    }

    fn note(&mut self, name: &str, digest: Digest) {
        self.sums.push_str(&format!("{digest}  {name}\n"));
    }

    /// Adds a file of these bytes.
    pub(crate) fn add(&mut self, name: &str, bytes: &[u8]) -> Result<Digest, ProofError> {
        self.begin(name)?;
        self.zip.write_all(bytes).map_err(self.failed())?;
        let digest = Digest::of(bytes);
        self.note(name, digest);
        Ok(digest)
    }

    /// Adds a JSON document, indented.
    pub(crate) fn add_json(&mut self, name: &str, value: &Value) -> Result<Digest, ProofError> {
        self.add(name, format!("{value:#}\n").as_bytes())
    }

    /// Adds a blob, piece by piece; says whether staging has it. One that isn't what it was when it was staged ends the proof:
    /// an expert who checks it would find it wrong, and not know whether that is what happened to the message.
    pub(crate) async fn add_blob(
        &mut self,
        name: &str,
        staging: &dyn Staging,
        blob: &BlobName,
        expected: Digest,
    ) -> Result<bool, ProofError> {
        let mut pieces = match staging.open(blob).await {
            Ok(pieces) => pieces,
            Err(StagingError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        self.begin(name)?;
        let mut digester = Digester::default();
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            digester.update(&piece);
            self.zip.write_all(&piece).map_err(self.failed())?;
        }
        let digest = digester.finish();
        if digest != expected {
            return Err(ProofError::Damaged { name: blob.clone(), found: digest, expected });
        }
        self.note(name, digest);
        Ok(true)
    }

    /// Ends the archive with the directions and the digests of all files.
    pub(crate) fn finish(mut self, directions: &Directions) -> Result<(), ProofError> {
        self.add("VERIFY.md", directions.render()?.as_bytes())?;
        let sums = std::mem::take(&mut self.sums);
        self.add("SHA256SUMS", sums.as_bytes())?;
        let failed = self.failed();
        let Self { zip, mut unfinished, .. } = self;
        zip.finish().map_err(io::Error::from).and_then(|mut output| output.flush()).map_err(failed)?;
        unfinished.0 = None;
        Ok(())
    }
}
