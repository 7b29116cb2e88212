//! What programs read: the state, the runs, their reports and what failed.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::failure::{Failure, ForProgram};
use super::site::SharedSite;
use super::written;
use crate::report::Report;
use crate::report::document;
use crate::report::lists::{self, Numbers, Rows};
use crate::status::Status;

/// `/api/status`: the state of the connector.
pub(super) async fn status(State(site): SharedSite) -> Result<Json<Status>, ForProgram> {
    Ok(Json(site.status().await?))
}

/// Which runs: without the newest `skip`, at most `limit`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Span {
    #[serde(default)]
    skip: u32,
    limit: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct Runs {
    runs: Vec<Report>,
}

/// `/api/runs`: the reports without their lists, newest first.
pub(super) async fn runs(
    State(site): SharedSite,
    span: Result<Query<Span>, QueryRejection>,
) -> Result<Json<Runs>, ForProgram> {
    const DEFAULT_RUNS: u32 = 100;
    const MAX_RUNS: u32 = 1000;
    let wrong = |_| ForProgram(Failure::Wrong("skip and limit are whole numbers"));
    let Query(span) = span.map_err(wrong)?;
    let runs = site.reports(span.skip, span.limit.unwrap_or(DEFAULT_RUNS).min(MAX_RUNS)).await?;
    Ok(Json(Runs { runs }))
}

/// `/api/runs/{id}`: the whole report.
pub(super) async fn report(State(site): SharedSite, Path(id): Path<String>) -> Result<Response, ForProgram> {
    let run = site.run(id).await?;
    let report = Report::of(&site.served.ledger, &run).await?;
    let ledger = site.served.ledger.clone();
    let body =
        written::body(|mut out| async move { document::write_json(&ledger, &report, Numbers::Masked, &mut out).await });
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// `/api/runs/{id}/failures.csv`: what is not imported and why, as a file. With whole numbers for whoever has shown the
/// token; masked where there is none.
pub(super) async fn failures(State(site): SharedSite, Path(id): Path<String>) -> Result<Response, ForProgram> {
    let run = site.run(id).await?.id;
    let numbers = if site.served.token.is_some() { Numbers::Shown } else { Numbers::Masked };
    let disposition = format!("attachment; filename=\"failures-{run}.csv\"");
    let ledger = site.served.ledger.clone();
    let body = written::body(|mut out| async move {
        lists::write_csv(Rows::new(&ledger, lists::not_imported(&run)), numbers, &mut out).await
    });
    let headers = [(CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, disposition)];
    Ok((headers, body).into_response())
}
