//! What the daemon reports to systemd (`Type=notify`, `WatchdogSec=`). Where `NOTIFY_SOCKET` isn't set, nothing is sent.
//!
//! A report that can't be sent is logged at debug level: what follows from it is systemd's decision.

use sd_notify::NotifyState;

use super::Phase;

/// The daemon has opened its ledger and its listener.
pub(crate) fn ready() {
    send(&[NotifyState::Ready]);
}

/// The main loop came round. Resets the watchdog, and gives `systemctl status` its line.
pub(crate) fn alive(phase: Phase) {
    send(&[NotifyState::Watchdog, NotifyState::Status(&line(phase))]);
}

/// The daemon begins nothing new.
pub(crate) fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(event = "service_manager_unreachable", error = %error, "NOTIFY_SOCKET can't be written to");
    }
}

fn line(phase: Phase) -> String {
    match phase {
        Phase::Starting => "starting".to_owned(),
        Phase::Running => "a run is under way".to_owned(),
        Phase::Following => "sending for another replica's run".to_owned(),
        Phase::Waiting(due) => format!("next run at {}", due.format("%Y-%m-%d %H:%M UTC")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_names_the_next_run() {
        let due = "2026-11-22T02:00:00Z".parse().unwrap();
        assert_eq!(line(Phase::Waiting(due)), "next run at 2026-11-22 02:00 UTC");
    }
}
