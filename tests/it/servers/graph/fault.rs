//! Failing on command.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::World;
use super::http::{Answer, Request};

/// What happens instead of an ordinary answer.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// An error of this status and code, without any effect.
    Reply { status: u16, code: &'static str, retry_after: RetryAfter },
    /// The connection is closed without a reply.
    Drop,
    /// The request has its effect, then this.
    CommitThen(Box<Act>),
    /// Something else happens in the tenant, then the request is answered.
    First(fn(&mut World)),
    /// The request has its effect, and its reply says something else.
    Alter(fn(&mut Value)),
}

/// `Retry-After`, in its forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryAfter {
    None,
    Seconds(u32),
    /// An HTTP date, so many seconds from now.
    Date(u32),
}

impl Act {
    /// An error without `Retry-After`.
    pub(crate) fn reply(status: u16, code: &'static str) -> Self {
        Self::Reply { status, code, retry_after: RetryAfter::None }
    }

    /// 429.
    pub(crate) fn throttle(retry_after: RetryAfter) -> Self {
        Self::Reply { status: 429, code: "ApplicationThrottled", retry_after }
    }
}

/// A command to fail: which requests, how, and how often.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    method: Option<&'static str>,
    path: String,
    act: Act,
    times: usize,
    met: bool,
}

impl Fault {
    /// The next request of this method whose path contains `path` (decoded).
    pub(crate) fn once(method: &'static str, path: impl Into<String>, act: Act) -> Self {
        Self { method: Some(method), path: path.into(), act, times: 1, met: false }
    }

    /// Every request whose path contains `path`, until [`GraphServer::heal`](super::GraphServer::heal).
    pub(crate) fn always(path: impl Into<String>, act: Act) -> Self {
        Self { method: None, path: path.into(), act, times: usize::MAX, met: false }
    }

    /// Only requests of this method.
    pub(crate) fn of(self, method: &'static str) -> Self {
        Self { method: Some(method), ..self }
    }

    /// Whether a request has met it.
    pub(super) fn was_met(&self) -> bool {
        self.met
    }

    /// So many times.
    pub(crate) fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }
}

impl World {
    /// What a request meets, if anything is commanded.
    pub(super) fn next_act(&mut self, request: &Request) -> Option<Act> {
        let path = request.segments.join("/");
        let meets = |fault: &Fault| {
            fault.times > 0
                // A part of a batch has an answer, or the whole has none.
                && (!request.in_batch || matches!(fault.act, Act::Reply { .. }))
                && fault.method.is_none_or(|method| method == request.method)
                && path.contains(fault.path.trim_start_matches('/'))
        };
        let fault = self.faults.iter_mut().find(|fault| meets(fault))?;
        fault.met = true;
        fault.times = fault.times.saturating_sub(usize::from(fault.times != usize::MAX));
        Some(fault.act.clone())
    }
}

/// The answer with a `Retry-After`.
pub(super) fn with_retry_after(answer: Answer, retry_after: RetryAfter, now: DateTime<Utc>) -> Answer {
    match retry_after {
        RetryAfter::None => answer,
        RetryAfter::Seconds(seconds) => answer.with("retry-after", seconds.to_string()),
        RetryAfter::Date(seconds) => {
            let date = now + TimeDelta::seconds(i64::from(seconds));
            answer.with("retry-after", date.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        }
    }
}
