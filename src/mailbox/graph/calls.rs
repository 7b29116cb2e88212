//! Calls for one mailbox: each waits for the mailbox's budget first, and reports to it how it ended.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::graph::{Call, CallError, Graph, Version, read};
use crate::http::{Remote, Reply};
use crate::mailbox::SendPermit;
use crate::resolution::MailboxId;
use crate::throttle::{Completion, Permit, Throttle};

/// The longest wait for a mailbox's budget. For a longer one the copy goes back to the pipeline, which can use its memory for
/// other mailboxes meanwhile.
const MAX_BUDGET_WAIT: Duration = Duration::from_secs(5);
/// The same for a call that completes a message: longer than it takes for the budget of uploads to be free again.
const MAX_COMPLETION_WAIT: Duration = Duration::from_mins(6);
/// How often a call that completes a message is attempted when it is throttled.
const MAX_COMPLETION_ATTEMPTS: u32 = 6;

/// A page of a list.
#[derive(Deserialize)]
struct Page<T> {
    value: Vec<T>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

/// Graph, within the budgets.
#[derive(Debug)]
pub(super) struct Calls {
    graph: Graph,
    throttle: Arc<Throttle>,
}

impl Calls {
    pub(super) fn new(graph: Graph, throttle: Arc<Throttle>) -> Self {
        Self { graph, throttle }
    }

    pub(super) fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(super) fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    /// A URL of v1.0 below a mailbox.
    pub(super) fn url(&self, mailbox: &MailboxId, path: &[&str], query: &[(&str, &str)]) -> Result<Url, CallError> {
        self.url_of(Version::V1, mailbox, path, query)
    }

    /// A URL below a mailbox.
    pub(super) fn url_of(
        &self,
        version: Version,
        mailbox: &MailboxId,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Url, CallError> {
        let whole: Vec<&str> = ["users", &mailbox.0].into_iter().chain(path.iter().copied()).collect();
        self.graph.url(version, &whole, query)
    }

    /// Makes a call as soon as the mailbox's budget allows, if that is soon.
    pub(super) async fn call(&self, mailbox: &MailboxId, call: &Call) -> Result<Reply, CallError> {
        let permit = self.throttle.admit_within(mailbox, call.body_length(), MAX_BUDGET_WAIT).await;
        self.make(mailbox, call, permit.map_err(CallError::LimitUsedUp)?).await
    }

    async fn make(&self, mailbox: &MailboxId, call: &Call, permit: Permit) -> Result<Reply, CallError> {
        let mut result = self.graph.call(Remote::Mailbox, call).await;
        let Err(CallError::Refused(refusal)) = &mut result else { return result };
        if !refusal.is_throttling() && !refusal.is_overload() {
            return result;
        }
        let pause = permit.finish(Completion::Throttled { after: refusal.after });
        let pause_ms = pause.map_or(0, |pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        if refusal.is_throttling() {
            tracing::info!(event = "throttled", mailbox = %mailbox, pause_ms, error = %refusal, "the mailbox asks for fewer requests");
        } else {
            tracing::info!(event = "retrying", mailbox = %mailbox, pause_ms, error = %refusal, "the mailbox's server is overloaded; nothing is sent to it for a while");
        }
        refusal.after = pause.or(refusal.after);
        result
    }

    /// Makes a call that finishes what is there already: where it is throttled, it waits and goes on, a few times. A longer
    /// pause is not waited for, and none where the program is to stop: what is not finished is looked up and finished later.
    pub(super) async fn call_patiently(
        &self,
        mailbox: &MailboxId,
        call: &Call,
        permit: &SendPermit,
    ) -> Result<Reply, CallError> {
        let mut tries = 1;
        loop {
            let admitted = self.throttle.admit_within(mailbox, call.body_length(), MAX_COMPLETION_WAIT);
            let admission = tokio::select! {
                biased;
                admitted = admitted => admitted.map_err(CallError::LimitUsedUp)?,
                () = permit.stopped() => return Err(CallError::NotSent("not sent: the program is to stop".to_owned())),
            };
            let result = self.make(mailbox, call, admission).await;
            let throttled = matches!(&result, Err(CallError::Refused(refusal)) if refusal.is_throttling());
            if !throttled || tries >= MAX_COMPLETION_ATTEMPTS {
                return result;
            }
            tries += 1;
        }
    }

    /// Reads a list whole, page by page; one of more than `max_pages` is an error.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        mailbox: &MailboxId,
        mut call: Call,
        max_pages: usize,
    ) -> Result<Vec<T>, CallError> {
        let mut all = Vec::new();
        for _ in 0..max_pages {
            let page: Page<T> = self.json(mailbox, &call).await?;
            all.extend(page.value);
            let Some(next) = page.next else { return Ok(all) };
            call = call.at(self.graph.link(&next)?);
        }
        Err(CallError::Unexpected(format!("more than {max_pages} pages of one list")))
    }

    /// Makes a call and reads the JSON of its reply.
    pub(super) async fn json<T: DeserializeOwned>(&self, mailbox: &MailboxId, call: &Call) -> Result<T, CallError> {
        read(&self.call(mailbox, call).await?)
    }
}
