//! Whether this machine's clock is right, as far as the ledger's server knows: leases are compared by the clocks of all machines.

use chrono::{DateTime, Utc};

use super::{Pipeline, RunError};

/// How far this machine's clock may be from the database server's, in seconds. Machines that are synchronised differ by
/// far less; `mailbox.settle` and the third of a lease that is left bear with more.
pub(super) const MAX_CLOCK_DIFFERENCE: i64 = 10;

impl Pipeline {
    /// Fails where this machine's clock is too far from the server's. Nothing is compared where the ledger lies on this machine.
    pub(super) async fn compare_clocks(&self) -> Result<(), RunError> {
        let before = self.now();
        let theirs = self.retrier.run("asking the ledger for its time", || self.deps.ledger.server_time()).await?;
        match theirs {
            Some(theirs) if differ(before, theirs, self.now()) => {
                Err(RunError::ClocksDiffer { ours: self.now(), theirs })
            }
            _ => Ok(()),
        }
    }
}

/// Whether a time that was told between two of ours is too far from both. How long the answer took is in nobody's way.
fn differ(before: DateTime<Utc>, theirs: DateTime<Utc>, after: DateTime<Utc>) -> bool {
    let allowed = chrono::TimeDelta::seconds(MAX_CLOCK_DIFFERENCE);
    theirs < before - allowed || theirs > after + allowed
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    #[test]
    fn only_what_lies_outside_of_the_question_and_its_answer_differs() {
        let at = |second: i64| Utc.timestamp_opt(1_000_000 + second, 0).unwrap();
        for (theirs, is_wrong) in [(-11, true), (-10, false), (15, false), (40, false), (41, true), (34_560_000, true)]
        {
            assert_eq!(differ(at(0), at(theirs), at(30)), is_wrong, "{theirs}");
        }
    }
}
