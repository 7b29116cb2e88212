//! The HTTP endpoints: health, metrics, and what an administrator looks at. Read-only.
//!
//! - With a token, everything but `/livez` and `/readyz` asks for it; without one, only this machine is answered.
//! - No message text. Phone numbers are masked but in the file of failures that is downloaded with the token.
//! - Everything is bounded: connections, the time of each part of a request, tokens tried, request bodies, and what is
//!   held in memory for a reply. HTTP/1.1 alone is spoken.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{ACCEPT, CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod access;
mod api;
mod connection;
mod failure;
mod guesses;
mod headers;
mod health;
pub mod metrics;
mod pages;
mod session;
mod site;
mod written;

pub use health::Health;
pub use site::Served;

use connection::Deadlines;
use guesses::{Guesses, Refusals};
use metrics::{Exposition, MetricsPage};
use site::{SharedSite, Site};

/// How long a request may take from its head to the head of its reply, its body included.
const MAX_HANDLING: Duration = Duration::from_secs(30);

/// The largest body of a request, in bytes: a sign-in form.
const MAX_BODY: usize = 16 * 1024;

/// Serves until `stop` is cancelled, then ends what is under way, within some seconds.
pub async fn serve(listener: TcpListener, served: Served, stop: CancellationToken) -> io::Result<()> {
    connection::serve(listener, router(served), Deadlines::default(), stop).await;
    Ok(())
}

fn router(served: Served) -> Router {
    let metrics = MetricsPage::of(Arc::clone(&served.metrics));
    let site = Arc::new(Site { served, metrics, refusals: Refusals::default(), guesses: Guesses::default() });
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .route("/", get(pages::status))
        .route("/open", get(pages::open))
        .route("/runs/{id}", get(pages::run))
        .route("/sign-in", post(access::sign_in))
        .route("/signed-in", get(access::signed_in))
        .route("/sign-out", post(access::sign_out))
        .route("/api/status", get(api::status))
        .route("/api/runs", get(api::runs))
        .route("/api/runs/{id}", get(api::report))
        .route("/api/runs/{id}/failures.csv", get(api::failures))
        .fallback(failure::not_found)
        // Below the guard, so that it also guards what isn't there.
        .layer(middleware::from_fn_with_state(Arc::clone(&site), access::guard))
        .layer(middleware::from_fn(within_time))
        .layer(middleware::map_response(headers::secure))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(site)
}

/// Answers a request whose body doesn't come, or whose handling takes too long, all the same.
async fn within_time(request: Request, next: Next) -> Response {
    let late = (StatusCode::REQUEST_TIMEOUT, [(CONNECTION, "close")], "the request took too long\n");
    tokio::time::timeout(MAX_HANDLING, next.run(request)).await.unwrap_or_else(|_| late.into_response())
}

async fn livez(State(site): SharedSite) -> Response {
    answer(site.served.health.hangs())
}

async fn readyz(State(site): SharedSite) -> Response {
    let health = &site.served.health;
    answer(health.not_ready().or_else(|| health.hangs()))
}

fn answer(wrong: Option<String>) -> Response {
    match wrong {
        None => "ok\n".into_response(),
        Some(wrong) => (StatusCode::SERVICE_UNAVAILABLE, format!("{wrong}\n")).into_response(),
    }
}

async fn show_metrics(State(site): SharedSite, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let form = Exposition::accepted(accept);
    let Served { ledger, clock, .. } = &site.served;
    let text = site.metrics.render(ledger, clock.now(), form).await;
    ([(CONTENT_TYPE, form.content_type())], text).into_response()
}
