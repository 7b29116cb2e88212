//! What is left to do when a run has ended: the chain of reports, and a look at what is missing.

use std::sync::Arc;

use super::{Pipeline, RunError};
use crate::ledger::{LedgerError, RunKind};
use crate::report::Report;
use crate::report::chain::Chain;
use crate::silence;

impl Pipeline {
    /// Ends what belongs to an ended run. The run has its account already: what fails here is logged and made up for by the next run.
    pub(super) async fn close(&self, report: &Report, error: Option<&RunError>) {
        if let Err(error) = self.look_for_silence(report).await {
            tracing::warn!(event = "silence_not_judged", error = %error, "the history could not be read for signs of silence");
        }
        let foreign = error.is_some_and(RunError::is_about_ownership);
        if !foreign && let Err(error) = self.write_reports(error).await {
            let remedy = error.remedy(self.settings.kinds).unwrap_or("correct what the error names");
            tracing::error!(event = "report_not_written", error = %error, "a report could not be written to staging; the next run writes it before its own: {remedy}");
        }
    }

    async fn look_for_silence(&self, report: &Report) -> Result<(), LedgerError> {
        let ledger = &self.deps.ledger;
        let now = self.now();
        let passed = ledger.certainly_passed(now).await?.unwrap_or(now);
        ledger.note_owners(&report.run, passed).await?;
        if report.kind == RunKind::Regular {
            silence::warn(ledger, report, self.settings.schedule.every, now).await?;
        }
        Ok(())
    }

    /// Writes what is due of the chain, after a run that ended with this error.
    async fn write_reports(&self, error: Option<&RunError>) -> Result<(), RunError> {
        // Staging that failed was tried often enough in this run.
        let has_failed = matches!(error, Some(RunError::Staging(_)));
        let pipeline = if has_failed { self.asking_once() } else { self.clone() };
        pipeline.claim_staging().await?;
        let chain = Chain {
            ledger: self.deps.ledger.clone(),
            staging: Arc::clone(&self.deps.staging),
            clock: Arc::clone(&self.deps.clock),
            key: self.report_policy.signing_key.clone(),
        };
        chain.write_due(&pipeline.retrier).await?;
        Ok(())
    }
}
