//! The chain of reports: which report follows which, and which of them lie in staging.
//!
//! A report gets its place in the chain when its turn to be written comes, and only once the report before it lies in
//! staging. From then on its content is fixed: whoever writes it, and however often, the bytes are the same.

use chrono::{DateTime, Utc};
use sqlx::any::AnyRow;

use super::sql::{self, millis};
use super::{Ledger, LedgerError, RunId};
use crate::digest::Digest;

/// A report that lies in staging: what the one after it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainLink {
    /// Its place in the chain, from 1.
    pub sequence: i64,
    pub run: RunId,
    /// The digest of its bytes.
    pub sha256: Digest,
}

/// A report's bytes, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawnReport {
    /// Their digest.
    pub sha256: Digest,
    /// The signature of the digest, where there is a key.
    pub signature: Option<Vec<u8>>,
}

/// A report that has its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportEntry {
    /// Its place in the chain, from 1.
    pub sequence: i64,
    pub run: RunId,
    /// The run of the report before it.
    pub previous_run: Option<RunId>,
    /// The digest of the report before it.
    pub previous_sha256: Option<Digest>,
    /// Its bytes in short, once they were drawn up.
    pub drawn: Option<DrawnReport>,
}

impl ReportEntry {
    fn read(row: &AnyRow) -> Result<Self, LedgerError> {
        let signature: Option<String> = sql::get(row, "signature")?;
        let signature = signature.map(hex::decode).transpose();
        let signature =
            signature.map_err(|_| LedgerError::Damaged("a report's signature is not hexadecimal".into()))?;
        Ok(Self {
            sequence: sql::get(row, "sequence")?,
            run: RunId(sql::get(row, "run_id")?),
            previous_run: sql::get::<Option<String>>(row, "previous_run")?.map(RunId),
            previous_sha256: digest(row, "previous_sha256")?,
            drawn: digest(row, "sha256")?.map(|sha256| DrawnReport { sha256, signature }),
        })
    }
}

fn digest(row: &AnyRow, column: &str) -> Result<Option<Digest>, LedgerError> {
    let text: Option<String> = sql::get(row, column)?;
    let parsed = text.map(|text| text.parse()).transpose();
    parsed.map_err(|_| LedgerError::Damaged(format!("column {column} does not hold a SHA-256")))
}

impl Ledger {
    /// Whether any report has its place in the chain.
    pub async fn has_reports(&self) -> Result<bool, LedgerError> {
        let row = sqlx::query("SELECT sequence FROM reports LIMIT 1").fetch_optional(&self.pool).await?;
        Ok(row.is_some())
    }

    /// The report that is to be written next; nothing where all are. The first of all follows `base`: the last report of
    /// a chain that this ledger doesn't know, because it was rebuilt.
    pub async fn next_report(&self, base: Option<&ChainLink>) -> Result<Option<ReportEntry>, LedgerError> {
        if let Some(begun) = self.begun_report().await? {
            return Ok(Some(begun));
        }
        let mut transaction = self.begin().await?;
        let last = sqlx::query("SELECT * FROM reports ORDER BY sequence DESC LIMIT 1")
            .fetch_optional(&mut *transaction)
            .await?;
        let last = match &last {
            Some(row) => Some(ChainLink {
                sequence: sql::get(row, "sequence")?,
                run: RunId(sql::get(row, "run_id")?),
                sha256: digest(row, "sha256")?
                    .ok_or_else(|| LedgerError::Damaged("a report in staging has no SHA-256".to_owned()))?,
            }),
            None => base.cloned(),
        };
        let sequence = last.as_ref().map_or(1, |last| last.sequence + 1);
        let taken = sqlx::query(
            "INSERT INTO reports (sequence, run_id, previous_run, previous_sha256)
             SELECT CAST($1 AS BIGINT), run_id, CAST($2 AS TEXT), CAST($3 AS TEXT) FROM runs
             WHERE report IS NOT NULL AND NOT EXISTS (SELECT 1 FROM reports WHERE reports.run_id = runs.run_id)
             ORDER BY finished, run_id LIMIT 1 ON CONFLICT DO NOTHING",
        )
        .bind(sequence)
        .bind(last.as_ref().map(|last| &*last.run.0))
        .bind(last.as_ref().map(|last| last.sha256.to_string()))
        .execute(&mut *transaction)
        .await?;
        if taken.rows_affected() == 1 {
            sqlx::query("UPDATE actions SET report = $1 WHERE report IS NULL")
                .bind(sequence)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        // Read back: another process may have been the one that gave it its place.
        self.begun_report().await
    }

    /// The run of the last report that lies in staging.
    pub async fn last_stored_report(&self) -> Result<Option<RunId>, LedgerError> {
        let row = sqlx::query("SELECT run_id FROM reports WHERE stored IS NOT NULL ORDER BY sequence DESC LIMIT 1")
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| sql::get(&row, "run_id").map(RunId)).transpose()
    }

    /// The report of a run and its bytes in short, where it lies in staging.
    pub async fn stored_report(&self, run: &RunId) -> Result<Option<(ReportEntry, DrawnReport)>, LedgerError> {
        let row = sqlx::query("SELECT * FROM reports WHERE run_id = $1 AND stored IS NOT NULL")
            .bind(&run.0)
            .fetch_optional(&self.pool)
            .await?;
        let mut entry = row.as_ref().map(ReportEntry::read).transpose()?;
        let drawn = entry.as_mut().and_then(|entry| entry.drawn.take());
        Ok(entry.zip(drawn))
    }

    async fn begun_report(&self) -> Result<Option<ReportEntry>, LedgerError> {
        let row = sqlx::query("SELECT * FROM reports WHERE stored IS NULL ORDER BY sequence LIMIT 1")
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(ReportEntry::read).transpose()
    }

    /// Records what a report's bytes will be, before they are written.
    pub async fn report_drawn(&self, sequence: i64, drawn: &DrawnReport) -> Result<(), LedgerError> {
        sqlx::query("UPDATE reports SET sha256 = $1, signature = $2 WHERE sequence = $3 AND stored IS NULL")
            .bind(drawn.sha256.to_string())
            .bind(drawn.signature.as_ref().map(hex::encode))
            .bind(sequence)
            .execute(self.writer()?)
            .await?;
        Ok(())
    }

    /// Records that a report lies in staging with its signature. Fails where other bytes were drawn up meanwhile.
    pub async fn report_stored(&self, sequence: i64, sha256: Digest, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let stored =
            sqlx::query("UPDATE reports SET stored = COALESCE(stored, $1) WHERE sequence = $2 AND sha256 = $3")
                .bind(millis(now))
                .bind(sequence)
                .bind(sha256.to_string())
                .execute(self.writer()?)
                .await?;
        if stored.rows_affected() == 0 {
            return Err(LedgerError::LeaseLost(format!("report {sequence}")));
        }
        Ok(())
    }

    /// The names of the pages that were staged in a run, in order, after `after`.
    pub async fn pages_of(&self, run: &RunId, after: &str, limit: u32) -> Result<Vec<String>, LedgerError> {
        let statement = format!(
            "SELECT DISTINCT page FROM pages WHERE run_no = {} AND page > $2 ORDER BY page LIMIT $3",
            sql::run_no(1)
        );
        let rows =
            sql::query_of(statement).bind(&run.0).bind(after).bind(i64::from(limit)).fetch_all(&self.pool).await?;
        rows.iter().map(|row| sql::get(row, "page")).collect()
    }
}
