//! What the daemon is doing, and signals: the first asks for an orderly end, the second ends at once.

use std::io;

use chrono::{DateTime, Utc};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) mod service_manager;

/// What the daemon is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Starting up.
    Starting,
    /// A run is under way.
    Running,
    /// Another daemon's run is under way, and this one sends a part of its copies.
    Following,
    /// Waiting for this instant.
    Waiting(DateTime<Utc>),
}

/// The signals that the program listens to, from before its start-up work on.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalRequest {
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

    /// Returns at the next signal to stop. One to reload is left for [`Signals::into_requests`].
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn next(&mut self) -> SignalRequest {
        tokio::select! {
            _ = self.terminate.recv() => SignalRequest::Stop,
            _ = self.interrupt.recv() => SignalRequest::Stop,
            _ = self.hang_up.recv() => SignalRequest::Reload,
        }
    }

    /// What signals ask for, as it comes. The second signal to stop ends the process at once.
    pub fn into_requests(mut self) -> mpsc::Receiver<SignalRequest> {
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            let mut stopping = false;
            loop {
                let word = self.next().await;
                if stopping && word == SignalRequest::Stop {
                    stop_at_once();
                }
                stopping |= word == SignalRequest::Stop;
                // Whoever listened has ended; the next signal to stop is for the process alone.
                let _ = sender.send(word).await;
            }
        });
        receiver
    }
}

/// Cancels `stop` at the first signal to stop, and ends the process at the second. For commands that have nothing to reload.
pub fn stop_on_signal(mut signals: Signals, stop: CancellationToken) {
    tokio::spawn(async move {
        signals.stop().await;
        tracing::info!(event = "stopping", "stopping: finishing what is under way, starting nothing new");
        stop.cancel();
        signals.stop().await;
        stop_at_once();
    });
}

fn stop_at_once() -> ! {
    tracing::warn!(event = "stopped_at_once", "stopped at once; copies under way are looked up by the next run");
    std::process::exit(130);
}
