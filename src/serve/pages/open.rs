//! `/open`: all that is not imported now, by cause, with what each cause means and what to do.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::frame::{Frame, html};
use super::wording;
use crate::ledger::{DeliveryState, OpenGroup, PendingCause, RunKind, RunStatus};
use crate::report::groups;
use crate::report::reason::{meaning_of, remedy_of};
use crate::serve::failure::ForPerson;
use crate::serve::headers::STYLE;
use crate::serve::site::SharedSite;

/// Causes on the page.
const MAX_CAUSES: u32 = 200;

#[derive(Template)]
#[template(path = "open.html")]
struct OpenPage {
    style: &'static str,
    frame: Frame,
    held: u64,
    pending: u64,
    /// Something was read: only then is "nothing" good news.
    has_read: bool,
    causes: Vec<Cause>,
    more: bool,
}

/// Copies that share a cause, with what it means.
pub(super) struct Cause {
    pub(super) rows: u64,
    pub(super) why: String,
    pub(super) is_pending: bool,
    pub(super) mailbox: Option<String>,
    pub(super) detail: Option<String>,
    pub(super) first_item: String,
    pub(super) meaning: &'static str,
    pub(super) remedy: &'static str,
}

impl Cause {
    pub(super) fn of(group: OpenGroup) -> Self {
        let name = group.reason.as_deref().or(group.cause.map(PendingCause::name)).unwrap_or_default();
        Self {
            rows: group.rows,
            why: groups::why(group.state, group.reason.as_deref(), group.cause),
            is_pending: group.state == DeliveryState::Pending,
            meaning: meaning_of(name),
            remedy: remedy_of(name),
            mailbox: group.mailbox,
            detail: group.detail,
            first_item: group.first_item,
        }
    }
}

pub(in crate::serve) async fn open(State(site): SharedSite) -> Result<Response, ForPerson> {
    let ledger = &site.served.ledger;
    let counts = ledger.open_counts().await?;
    let mut groups = ledger.open_groups(MAX_CAUSES + 1).await?;
    let more = groups.len() > MAX_CAUSES as usize;
    groups.truncate(MAX_CAUSES as usize);
    let frame = Frame { now: site.served.clock.now(), refresh: None, signed_in: site.served.token.is_some() };
    html(&OpenPage {
        style: STYLE,
        frame,
        held: counts.held,
        pending: counts.pending,
        has_read: ledger.latest_run(&RunKind::ALL, &RunStatus::REACHED_END).await?.is_some(),
        causes: groups.into_iter().map(Cause::of).collect(),
        more,
    })
}
