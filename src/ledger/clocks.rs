//! The clocks of several machines on one PostgreSQL: leases are compared by each machine's own, so they must agree.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::sql::{self, Dialect, millis};
use super::{Ledger, LedgerError};
use crate::clock::Clock;
use crate::config::MAX_LEASE;

/// How far this machine's clock may be from the database server's, in seconds. Machines that are synchronised differ by
/// far less; `mailbox.settle` and the third of a lease that is left bear with more.
const MAX_CLOCK_DIFFERENCE: i64 = 10;

/// How much further than any lease one must reach to be of a clock that was ahead.
const MARGIN: Duration = Duration::from_hours(1);

/// The server's time, in epoch milliseconds.
const SERVER_TIME: &str = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";

impl Ledger {
    /// The database server's time; nothing where the ledger lies on this machine.
    pub async fn server_time(&self) -> Result<Option<DateTime<Utc>>, LedgerError> {
        if self.dialect == Dialect::Sqlite {
            return Ok(None);
        }
        let row = sql::prepared(format!("SELECT {SERVER_TIME} AS server_time")).fetch_one(&self.pool).await?;
        sql::instant(&row, "server_time").map(Some)
    }

    /// Fails where this machine's clock is too far from the server's. Nothing is compared where the ledger lies on this machine.
    pub async fn compare_clocks(&self, clock: &dyn Clock) -> Result<(), LedgerError> {
        let before = clock.now();
        match self.server_time().await? {
            Some(theirs) if differ(before, theirs, clock.now()) => {
                Err(LedgerError::ClocksDiffer { ours: clock.now(), theirs, most: MAX_CLOCK_DIFFERENCE })
            }
            _ => Ok(()),
        }
    }

    /// Expires leases and claims that end later than any can: their holder's clock was ahead, and where it died, they would be
    /// in force for as long. The later of our clock and the server's counts, so that nobody whose own clock is behind takes
    /// a lease that is in force.
    pub(super) async fn expire_impossible(&self, now: DateTime<Utc>) -> Result<(), LedgerError> {
        if self.dialect == Dialect::Sqlite {
            return Ok(());
        }
        let reach = (MAX_LEASE + MARGIN).as_millis();
        let latest = format!("GREATEST($1, {SERVER_TIME}) + {reach}");
        for statement in [
            format!("UPDATE leases SET until = $1 WHERE until > {latest}"),
            format!("UPDATE item_rows SET claim_until = $1 WHERE state <> 'prepared' AND claim_until > {latest}"),
        ] {
            sql::prepared(statement).bind(millis(now)).execute(self.writer()?).await?;
        }
        Ok(())
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
