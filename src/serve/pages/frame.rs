//! What stands around every page.

use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};
use chrono::{DateTime, Utc};

use crate::serve::failure::{Failure, ForPerson};

/// What stands around every page.
pub(super) struct Frame {
    pub(super) now: DateTime<Utc>,
    /// After so many seconds the page is read again.
    pub(super) refresh: Option<u32>,
    /// There is a session to end.
    pub(super) signed_in: bool,
}

/// The page as a reply.
pub(super) fn html(page: &impl Template) -> Result<Response, ForPerson> {
    let page = page.render().map_err(|error| Failure::Broken(error.to_string()))?;
    Ok(Html(page).into_response())
}
