//! Which ledger a staging area belongs to.
//!
//! A ledger that is new to a staging area that was in use knows nothing of the copies that were sent, and would send them all again.

use bytes::Bytes;

use super::{Pipeline, RunError};
use crate::staging::{BlobName, StagingError};

impl Pipeline {
    /// Marks an unused staging area as this ledger's; fails where it is another's.
    pub(super) async fn claim_staging(&self) -> Result<(), RunError> {
        const LONGEST_ID: u64 = 256;
        let staging = &self.parts.staging;
        let name = BlobName::ledger_id();
        let ours = self.parts.ledger.id();
        let theirs = match self.retrier.run("reading the staging area's mark", || staging.get(&name, LONGEST_ID)).await
        {
            Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
            Err(StagingError::NotFound { .. }) => {
                let mark = Bytes::copy_from_slice(ours.as_bytes());
                self.retrier.run("marking the staging area", || staging.put(&name, mark.clone())).await?;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if theirs == ours {
            return Ok(());
        }
        Err(RunError::ForeignStaging { staging: staging.name(), theirs, ours: ours.to_owned() })
    }
}
