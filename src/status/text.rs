//! The state in words: a headline for every page, and all of it for a terminal.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

use super::{ConnectorState, DaemonState, LastFailure, Status};
use crate::digits;

impl Status {
    /// The state in a few sentences.
    pub fn headline(&self) -> String {
        let words = match self.state {
            ConnectorState::New if self.daemon.running => {
                "It has never run. The first run is about to start.".to_owned()
            }
            ConnectorState::New => {
                "It has never run, and no daemon is alive to start the first run: start one.".to_owned()
            }
            ConnectorState::Running => "A run is under way.".to_owned(),
            ConnectorState::Overdue if self.daemon.running => {
                "A run was due but did not start, though the daemon is alive: its log says why.".to_owned()
            }
            ConnectorState::Overdue => {
                "A run was due but did not start, because no daemon is alive: start it, and find out why it \
                               ended."
                    .to_owned()
            }
            ConnectorState::Pending => {
                let have = if self.pending == 1 { "delivery has" } else { "deliveries have" };
                format!("{} {have} no outcome yet. Later runs will continue with them.", grouped(self.pending))
            }
            ConnectorState::Failed => self.failed(),
            ConnectorState::Idle => self.left(),
            ConnectorState::Stopped => format!("{} No daemon is alive to start the next run: start one.", self.left()),
        };
        match (self.state, self.attention()) {
            (ConnectorState::New, _) | (_, None) => words,
            (_, Some(attention)) => format!("{words} {attention}"),
        }
    }

    /// Whether something needs attention beside the state itself.
    pub fn needs_attention(&self) -> bool {
        self.held > 0 || !self.warnings.is_empty()
    }

    fn failed(&self) -> String {
        let which = match &self.failure {
            Some(LastFailure { run, .. }) if self.last_run.as_ref().is_some_and(|last| last.run != *run) => {
                "A run failed, and the runs since then have not made up for it."
            }
            _ => "The last run failed.",
        };
        format!("{which} What was staged is kept, and the next run continues from there.")
    }

    /// What the last run left, where nothing is pending.
    fn left(&self) -> String {
        if self.failure.is_some() {
            return "The last run was stopped before it finished. The next one continues from there.".to_owned();
        }
        let what = if self.needs_attention() { "pending" } else { "undone" };
        format!("The last run left nothing {what}.")
    }

    fn attention(&self) -> Option<String> {
        let held = match self.held {
            0 => None,
            1 => Some("1 item is held and not imported; the list of failures says why.".to_owned()),
            held => Some(format!("{} items are held and not imported; the list of failures says why.", grouped(held))),
        };
        let warnings = match self.warnings.len() {
            0 => None,
            1 => Some("There is 1 warning.".to_owned()),
            many => Some(format!("There are {many} warnings.")),
        };
        let said: Vec<String> = held.into_iter().chain(warnings).collect();
        (!said.is_empty()).then(|| said.join(" "))
    }
}

fn grouped(number: u64) -> String {
    digits::grouped(number, ',')
}

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
        writeln!(f, "State           {}: {}", self.state, self.headline())?;
        writeln!(f, "Daemon          {}", self.daemon)?;
        if let Some(run) = &self.run {
            writeln!(f, "Under way       {} since {}", run.run, time(run.started))?;
        }
        match &self.last_run {
            Some(run) => writeln!(f, "Last run        {} {} at {}", run.run, run.status.name(), time(run.started))?,
            None => writeln!(f, "Last run        none yet")?,
        }
        if let Some(failure) = &self.failure {
            writeln!(f, "Failure         {} ({}): {}", failure.run, failure.kind.name(), failure.error)?;
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
