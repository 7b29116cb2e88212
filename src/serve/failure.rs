//! What goes wrong with a request, as programs (JSON) and people (a page) see it.

use askama::Template;
use axum::Json;
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use serde_json::json;

use super::headers::STYLE;
use crate::ledger::LedgerError;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no such page or run.
    NotFound(&'static str),
    /// The request isn't one of ours.
    Wrong(&'static str),
    /// The ledger doesn't answer.
    Ledger(LedgerError),
    /// A page can't be made.
    Broken(String),
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl Failure {
    /// The status and the words. What the database says is for the log alone.
    fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound(what) => (StatusCode::NOT_FOUND, what),
            Self::Wrong(what) => (StatusCode::BAD_REQUEST, what),
            Self::Ledger(error) => {
                tracing::error!(event = "page_failed", error = %error, "a page can't be shown: the ledger failed");
                (StatusCode::SERVICE_UNAVAILABLE, "the ledger does not answer; the log says why")
            }
            Self::Broken(error) => {
                tracing::error!(event = "page_failed", error = %error, "a page could not be rendered");
                (StatusCode::INTERNAL_SERVER_ERROR, "this page could not be rendered; the log says why")
            }
        }
    }
}

/// A failure for a program.
pub(super) struct ForProgram(pub(super) Failure);

impl<E: Into<Failure>> From<E> for ForProgram {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for ForProgram {
    fn into_response(self) -> Response {
        let (status, words) = self.0.answer();
        json_error(status, words)
    }
}

/// A failure for a person.
pub(super) struct ForPerson(pub(super) Failure);

impl<E: Into<Failure>> From<E> for ForPerson {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for ForPerson {
    fn into_response(self) -> Response {
        let (status, words) = self.0.answer();
        page(status, words)
    }
}

/// An error as JSON.
pub(super) fn json_error(status: StatusCode, words: &str) -> Response {
    (status, Json(json!({ "error": words }))).into_response()
}

#[derive(Template)]
#[template(path = "problem.html")]
struct Problem<'a> {
    style: &'static str,
    title: &'static str,
    words: &'a str,
}

/// An error as a page.
pub(super) fn page(status: StatusCode, words: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Something went wrong");
    match (Problem { style: STYLE, title, words }).render() {
        Ok(page) => (status, Html(page)).into_response(),
        Err(_) => (status, words.to_owned()).into_response(),
    }
}

/// An error for whoever asks for such a path.
pub(super) fn error_for(path: &str, status: StatusCode, words: &str) -> Response {
    if is_for_programs(path) { json_error(status, words) } else { page(status, words) }
}

/// Whether a path is for programs.
pub(super) fn is_for_programs(path: &str) -> bool {
    path == "/metrics" || path.starts_with("/api/")
}

/// For a path that leads nowhere.
pub(super) async fn not_found(uri: Uri) -> Response {
    error_for(uri.path(), StatusCode::NOT_FOUND, "there is no such page")
}
