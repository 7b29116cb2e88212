//! The connectors page for a terminal.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

use super::{DaemonState, Status};

impl fmt::Display for DaemonState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last_seen {
            _ if self.running => f.write_str("running"),
            Some(seen) => write!(f, "NOT RUNNING, last seen {}", time(seen)),
            None => f.write_str("not running; none was ever seen on this ledger"),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "State           {}", self.state)?;
        writeln!(f, "Daemon          {}", self.daemon)?;
        if let Some(run) = &self.run {
            writeln!(f, "Under way       {} since {}", run.run, time(run.started))?;
        }
        match &self.last_run {
            Some(run) => writeln!(f, "Last run        {} {} at {}", run.run, run.status.name(), time(run.started))?,
            None => writeln!(f, "Last run        none yet")?,
        }
        match self.overdue_since {
            Some(due) => writeln!(f, "Next run        OVERDUE: it was due at {}", time(due))?,
            None => writeln!(f, "Next run        {}", time(self.next_run))?,
        }
        let watermark = self.watermark.map_or_else(|| "nothing was read yet".to_owned(), time);
        writeln!(f, "Watermark       {watermark}")?;
        writeln!(f, "Held items      {}", self.held)?;
        let oldest =
            self.oldest_pending.map_or_else(String::new, |oldest| format!(", the oldest since {}", time(oldest)));
        writeln!(f, "Pending         {}{oldest}", self.pending)?;
        for (name, remote) in &self.remotes {
            let state = match &remote.detail {
                None => "ok".to_owned(),
                Some(detail) => format!("not ok: {detail}"),
            };
            writeln!(f, "{name:<15} {state} (since {})", time(remote.since))?;
        }
        for credential in &self.credentials {
            let end = credential
                .expires
                .map_or_else(|| "its end is not known".to_owned(), |end| format!("ends at {}", time(end)));
            writeln!(f, "Credential      {}: {end}", credential.credential)?;
        }
        for warning in &self.warnings {
            let kind = warning.kind.name();
            writeln!(f, "Warning         {kind} since {}: {}", time(warning.since), warning.detail)?;
        }
        Ok(())
    }
}

fn time(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}
