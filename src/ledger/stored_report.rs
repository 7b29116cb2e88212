//! Reports that are in staging: where each is in the chain.

use super::reports::ReportEntry;
use super::{Ledger, LedgerError, RunId};
use crate::digest::Digest;

/// A report that is in staging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReport {
    /// Its number in the chain, from 1.
    pub sequence: i64,
    pub run: RunId,
    /// The digest of its bytes.
    pub sha256: Digest,
    /// The signature of the digest, where there is one.
    pub signature: Option<Vec<u8>>,
    /// The run of the report before it.
    pub previous_run: Option<RunId>,
    /// The digest of the report before it.
    pub previous_sha256: Option<Digest>,
}

impl Ledger {
    /// The report of a run, where it is in staging.
    pub async fn stored_report(&self, run: &RunId) -> Result<Option<StoredReport>, LedgerError> {
        let row = sqlx::query("SELECT * FROM reports WHERE run_id = $1 AND stored IS NOT NULL")
            .bind(run.0.clone())
            .fetch_optional(&self.pool)
            .await?;
        let entry = row.as_ref().map(ReportEntry::read).transpose()?;
        Ok(entry.and_then(|entry| {
            let drawn = entry.drawn?;
            Some(StoredReport {
                sequence: entry.sequence,
                run: entry.run,
                sha256: drawn.sha256,
                signature: drawn.signature,
                previous_run: entry.previous_run,
                previous_sha256: entry.previous_sha256,
            })
        }))
    }
}
