//! Signals: the first asks for an orderly end, the second ends at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The signals that the program listens to, from before its start-up work on.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// An orderly end: SIGTERM or SIGINT.
    Stop,
    /// To read the configuration again: SIGHUP.
    Reload,
}

impl Signals {
    /// Begins to listen.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}

/// Cancels `stop` at the first signal to stop, and ends the process at the second. For commands that have nothing to reload.
pub fn stop_on_signal(mut signals: Signals, stop: CancellationToken) {
    tokio::spawn(async move {
        while signals.next().await == Asked::Reload {}
        tracing::info!(event = "stopping", "stopping: what is under way ends, nothing new begins");
        stop.cancel();
        while signals.next().await == Asked::Reload {}
        tracing::warn!(event = "stopped_at_once", "stopped at once; copies under way are looked up by the next run");
        std::process::exit(130);
    });
}
