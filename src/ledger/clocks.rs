//! The clocks of several machines on one PostgreSQL: leases are compared by each machine's own, so they must agree.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::sql::{self, Dialect, millis};
use super::{Ledger, LedgerError};

/// What leases are taken to reach ahead at least, however short ours are: other machines' may be longer.
const MIN_REACH: Duration = Duration::from_hours(23);
/// How much further than any lease one must reach to be of a clock that was ahead.
const MARGIN: Duration = Duration::from_hours(1);

/// The server's time, in epoch milliseconds.
const SERVER_TIME: &str = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";

impl Ledger {
    /// The same ledger, used with leases of this length.
    #[must_use]
    pub fn with_leases_of(self, length: Duration) -> Self {
        Self { lease: length, ..self }
    }

    /// The database server's time; nothing where the ledger lies on this machine.
    pub async fn server_time(&self) -> Result<Option<DateTime<Utc>>, LedgerError> {
        if self.dialect == Dialect::Sqlite {
            return Ok(None);
        }
        let row = sql::prepared(format!("SELECT {SERVER_TIME} AS server_time")).fetch_one(&self.pool).await?;
        sql::instant(&row, "server_time").map(Some)
    }

    /// Expires leases and claims that end later than any can: their holder's clock was ahead, and where it died, they would be
    /// in force for as long. The later of our clock and the server's counts, so that nobody whose own clock is behind takes
    /// a lease that is in force.
    pub(super) async fn expire_impossible(&self, now: DateTime<Utc>) -> Result<(), LedgerError> {
        if self.dialect == Dialect::Sqlite {
            return Ok(());
        }
        let reach = self.lease.max(MIN_REACH).saturating_add(MARGIN).as_millis();
        let latest = format!("GREATEST($1, {SERVER_TIME}) + {}", i64::try_from(reach).unwrap_or(i64::MAX / 2));
        for statement in [
            format!("UPDATE leases SET until = $1 WHERE until > {latest}"),
            format!("UPDATE item_rows SET claim_until = $1 WHERE state <> 'prepared' AND claim_until > {latest}"),
        ] {
            sql::prepared(statement).bind(millis(now)).execute(&self.pool).await?;
        }
        Ok(())
    }
}
