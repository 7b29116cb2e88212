//! The HTTP endpoints: health, metrics, and what an administrator looks at. Read-only.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock as _, SharedClock, SystemClock};
use crate::config::Secret;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::schedule::Schedule;

pub mod health;

pub use health::Health;

/// How long requests under way may take after the stop.
const GRACE: Duration = Duration::from_secs(5);

/// What the endpoints tell of.
pub struct Served {
    /// What remembers.
    pub ledger: Ledger,
    /// When the next run is due.
    pub schedule: Schedule,
    /// The one clock.
    pub clock: SharedClock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What the daemon tells of itself.
    pub health: Arc<Health>,
    /// What a reader must show to see more than the health; nothing where everybody on this machine may.
    pub token: Option<Secret>,
}

/// Serves until `stop` is cancelled, then ends what is under way, within some seconds.
pub async fn serve(listener: TcpListener, served: Served, stop: CancellationToken) -> io::Result<()> {
    let router = Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(Arc::new(served));
    let server = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let bound = async {
        stop.cancelled().await;
        SystemClock.sleep(GRACE).await;
    };
    tokio::select! {
        ended = server.into_future() => ended,
        () = bound => Ok(()),
    }
}

async fn livez(State(served): State<Arc<Served>>) -> Response {
    told(served.health.hangs())
}

async fn readyz(State(served): State<Arc<Served>>) -> Response {
    told(served.health.not_ready())
}

fn told(wrong: Option<String>) -> Response {
    match wrong {
        None => "ok\n".into_response(),
        Some(wrong) => (StatusCode::SERVICE_UNAVAILABLE, format!("{wrong}\n")).into_response(),
    }
}
