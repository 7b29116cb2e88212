//! Reports on their way into staging, each with the SHA-256 of the one before it.
//!
//! 1. The next report gets its place in the chain; from then on its content is fixed.
//! 2. It is drawn up once for its digest, which is signed and recorded.
//! 3. It is drawn up again, into staging; its signature follows.
//! 4. Only then is it the next one's turn. Whatever ends the process in between, the next run goes on from there.
//!
//! A report that can't be written now is written by the next run, before that run's own.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;

use super::document::{self, ChainPosition, Document};
use super::lists::WriteError;
use super::signature::{KeyError, SigningKey};
use super::verification::{self, Head};
use crate::clock::SharedClock;
use crate::digest::{Digest, Digester};
use crate::ledger::{ChainLink, DrawnReport, Ledger, LedgerError, ReportEntry};
use crate::panics::TaskEnded;
use crate::retry::Retrier;
use crate::secret::{Secret, SecretError};
use crate::staging::{BlobName, Staging, StagingError};

/// Largest report that is written, in bytes.
const MAX_REPORT: u64 = 1 << 40;

/// Reports of another ledger that are looked at for the last one of its chain.
const LAST_REPORTS: usize = 8;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Staging failed.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// The report could not be drawn up.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The signing key can't be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The signing key can't be used.
    #[error("report.signing_key: {0}")]
    Key(#[from] KeyError),
}

/// The chain of reports.
pub struct Chain {
    /// What the reports are drawn from.
    pub ledger: Ledger,
    /// Where they are written.
    pub staging: Arc<dyn Staging>,
    pub clock: SharedClock,
    /// The key that signs them.
    pub key: Option<Secret>,
}

impl Chain {
    /// Writes all reports that are due, oldest first; returns how many. Stops at the first that can't be written.
    pub async fn write_due(&self, retrier: &Retrier) -> Result<u64, ChainError> {
        let base = if self.ledger.has_reports().await? { None } else { self.last_of_another_ledger().await? };
        let mut written = 0;
        while let Some(entry) = self.ledger.next_report(base.as_ref()).await? {
            self.write(&entry, retrier).await?;
            tracing::info!(
                event = "report_written",
                run.id = %entry.run,
                report.sequence = entry.sequence,
                "a report was written to staging"
            );
            written += 1;
        }
        Ok(written)
    }

    async fn write(&self, entry: &ReportEntry, retrier: &Retrier) -> Result<(), ChainError> {
        let (run, sequence) = (&entry.run, entry.sequence);
        let (drawn, signature_name) = match self.put(entry, &BlobName::report(&run.0), retrier).await {
            Err(ChainError::Staging(StagingError::Conflict { .. })) => {
                tracing::error!(
                    event = "report_chain_forked",
                    run.id = %run,
                    report.sequence = sequence,
                    "staging already has a different report of this run: this ledger was restored from a backup that is older than \
                     that report, so the chain forks here. The new report is stored beside it, and the chain continues from the new one"
                );
                let drawn = self.put(entry, &BlobName::report_beside(&run.0, sequence), retrier).await?;
                (drawn, BlobName::report_signature_beside(&run.0, sequence))
            }
            put => (put?, BlobName::report_signature(&run.0)),
        };
        if let Some(signature) = drawn.signature {
            let (name, signature) = (signature_name, Bytes::from(signature));
            retrier.run("staging a signature", || self.staging.put(&name, signature.clone())).await?;
        }
        Ok(self.ledger.report_stored(entry.sequence, drawn.sha256, self.clock.now()).await?)
    }

    /// Puts a report under a name, unless it is there already.
    async fn put(&self, entry: &ReportEntry, name: &BlobName, retrier: &Retrier) -> Result<DrawnReport, ChainError> {
        match &entry.drawn {
            // An earlier try came as far as staging; what it wrote stays, whichever version and key it was.
            Some(drawn) if self.stored_digest(name).await? == Some(drawn.sha256) => Ok(drawn.clone()),
            _ => self.draw_and_put(entry, name, retrier).await,
        }
    }

    async fn draw_and_put(
        &self,
        entry: &ReportEntry,
        name: &BlobName,
        retrier: &Retrier,
    ) -> Result<DrawnReport, ChainError> {
        let key = self.key.as_ref().map(|key| Ok::<_, ChainError>(SigningKey::from_pem(&key.read()?)?)).transpose()?;
        let place = ChainPosition {
            sequence: entry.sequence,
            previous_run: entry.previous_run.clone(),
            previous_sha256: entry.previous_sha256,
            signed_with: key.as_ref().map(|key| key.public().fingerprint()),
        };
        let run = self.ledger.run(&entry.run).await?;
        let head = run.and_then(|run| run.report);
        let head = head.ok_or_else(|| LedgerError::Damaged(format!("run {} has no report", entry.run)))?;
        let document = || Document::in_chain(&self.ledger, &entry.run, &head, place.clone());

        let sha256 = document::digest_of(document()).await?;
        let drawn = DrawnReport { sha256, signature: key.map(|key| key.sign(sha256)) };
        self.ledger.report_drawn(entry.sequence, &drawn).await?;
        let put = || {
            let bytes = document().into_stream().map_err(io::Error::other).boxed();
            self.staging.put_stream(name, bytes, MAX_REPORT)
        };
        let staged = retrier.run("staging a report", put).await?;
        if staged.digest != sha256 {
            let detail = format!("its SHA-256 is {}, drawn up was {sha256}", staged.digest);
            return Err(StagingError::Damaged { name: name.clone(), detail }.into());
        }
        Ok(drawn)
    }

    /// The digest of a blob; nothing where it isn't there.
    async fn stored_digest(&self, name: &BlobName) -> Result<Option<Digest>, StagingError> {
        let mut pieces = match self.staging.open(name).await {
            Ok(pieces) => pieces,
            Err(StagingError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut digester = Digester::default();
        while let Some(piece) = pieces.next().await {
            digester.update(&piece?);
        }
        Ok(Some(digester.finish()))
    }

    /// The last report in a staging area whose ledger was lost and rebuilt: the chain goes on from there.
    async fn last_of_another_ledger(&self) -> Result<Option<ChainLink>, ChainError> {
        let names = self.staging.list(BlobName::reports_prefix()).await?;
        let reports =
            names.into_iter().map(|(name, _)| name).filter(|name| name.as_str().strip_suffix(".json").is_some());
        let reports: Vec<BlobName> = reports.collect();
        let mut last: Option<ChainLink> = None;
        // Names sort by the start of their runs, which is all but the order of the chain.
        for name in reports.iter().rev().take(LAST_REPORTS) {
            let Some((Head { sequence, run, .. }, sha256)) = self.read_head(name).await? else { continue };
            if last.as_ref().is_none_or(|last| last.sequence < sequence) {
                last = Some(ChainLink { sequence, run, sha256 });
            }
        }
        Ok(last)
    }

    /// What a staged report says of its place; nothing where it is no report.
    async fn read_head(&self, name: &BlobName) -> Result<Option<(Head, Digest)>, StagingError> {
        let mut pieces = self.staging.open(name).await?;
        let (sender, receiver) = mpsc::channel(4);
        let reading = tokio::task::spawn_blocking(move || verification::read(Pieces::of(receiver)));
        while let Some(piece) = pieces.next().await {
            if sender.send(piece?).await.is_err() {
                break;
            }
        }
        drop(sender);
        let cut_off = |error: &dyn std::fmt::Display| StagingError::Unavailable(format!("{name}: {error}"));
        let (head, digest) =
            reading.await.map_err(|error| cut_off(&TaskEnded::from(error)))?.map_err(|error| cut_off(&error))?;
        Ok(head.ok().map(|head| (head, digest)))
    }
}

/// The pieces of a stream, for a reader on a thread of its own.
struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Pieces {
    fn of(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self { receiver, piece: Bytes::new() }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        self.piece.split_to(length).copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}
