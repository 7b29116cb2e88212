//! The webhook of `[notify]`: notifies somebody when a run needs attention, once, and not every quarter of an hour.
//!
//! - It posts: a run that failed or left something pending, a refused credential, deliveries that mailboxes have not taken
//!   for good, and the end of such a trouble. The same failure is reported again after a day.
//! - Warnings of `status` are posted once when they begin and once when they are over, whoever looks and however often:
//!   silence, a reload that was refused, a credential that ends soon, a run that is overdue.
//! - An alert holds counts and the error's words: no message, no phone number, no address of a person.
//! - Posting may fail; the run goes on. What could not be posted is posted after the next run.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{StatusCode, Url};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::fault::Fault;
use crate::fault::tried::SayTried;
use crate::http::{HttpClient, HttpError, Remote, retry_after};
use crate::ledger::{HeldSelection, Ledger, LedgerError};
use crate::panics;
use crate::pipeline::{RunError, RunFinished};
use crate::retry::{Retrier, RetryPolicy};
use crate::secret::Secret;
use crate::silence;

mod alert;
mod warning;

pub use alert::{Alert, Event};
pub use warning::{LedgerAlert, Notice};

use warning::Posted;

/// After so long, a failure that persists is reported again: a little less than a day, so that daily runs all report it.
const REPEAT_AFTER: chrono::Duration = chrono::Duration::hours(23);

/// How often and how soon one alert is tried.
const POLICY: RetryPolicy = RetryPolicy { attempts: 4, initial: Duration::from_secs(2), max: Duration::from_secs(30) };

/// The longest pause that the receiver is granted.
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// Most bytes that are read of the receiver's answer.
const MAX_REPLY: u64 = 64 * 1024;

/// The names under which the ledger keeps what was posted.
const TROUBLE: &str = "notified.trouble";
const GIVEN_UP: &str = "notified.given_up";
const WARNINGS: &str = "notified.warnings";

/// Why an alert could not be posted.
#[derive(Debug, thiserror::Error)]
enum NotifyError {
    #[error("notify.webhook can't be used: {0}")]
    Webhook(String),
    #[error("{0}")]
    Http(#[from] HttpError),
    #[error("the webhook answered {status}")]
    Answered { status: StatusCode, after: Option<Duration> },
}

impl SayTried for NotifyError {}

impl From<&NotifyError> for Fault {
    fn from(error: &NotifyError) -> Self {
        match error {
            NotifyError::Http(HttpError::Invalid { .. }) | NotifyError::Webhook(_) => Self::Fatal,
            NotifyError::Http(_) => Self::Retry { after: None },
            NotifyError::Answered { status, after } => {
                let passing = status.is_server_error()
                    || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(status);
                if passing { Self::Retry { after: *after } } else { Self::Fatal }
            }
        }
    }
}

/// The last alert, and when it was posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LastAlert {
    /// What makes a trouble the same.
    what: String,
    at: DateTime<Utc>,
}

/// The warnings that have been posted and that the ledger could not keep: they are not posted again for that.
#[derive(Debug, Default)]
pub struct PostedWarnings(Option<Vec<Posted>>);

/// Posts alerts to a webhook.
#[derive(Debug, Clone)]
pub struct Notifier {
    http: HttpClient,
    webhook: Secret,
    ledger: Ledger,
    clock: SharedClock,
}

impl Notifier {
    /// A notifier that posts to the address in `webhook`, and keeps in `ledger` what it posted.
    pub fn new(http: HttpClient, webhook: Secret, ledger: Ledger, clock: SharedClock) -> Self {
        Self { http, webhook, ledger, clock }
    }

    /// A run has ended: posts the alerts it calls for. May take some minutes where the webhook doesn't answer; gives up
    /// when `stop` is cancelled.
    pub async fn run_ended(&self, finished: &RunFinished, stop: &CancellationToken) {
        if matches!(finished.error, Some(RunError::Stopped)) {
            return;
        }
        let now = self.clock.now();
        let trouble = Alert::of_run(finished, now);
        let last = match trouble {
            Some(alert) => self.notify_once(TROUBLE, &alert, stop).await,
            None => self.notify_recovery(finished, stop).await,
        };
        let given_up = match Alert::of_given_up(finished, now) {
            Some(alert) => self.notify_once(GIVEN_UP, &alert, stop).await,
            None => Ok(()),
        };
        for error in [last, given_up].into_iter().filter_map(Result::err) {
            tracing::warn!(event = "notify_forgotten", error = %error, "the ledger could not record that the webhook was notified; it may be notified twice");
        }
    }

    /// Posts an alert, unless the same was posted within a day.
    async fn notify_once(&self, name: &str, alert: &Alert, stop: &CancellationToken) -> Result<(), LedgerError> {
        let last: Result<Option<LastAlert>, _> = self.ledger.get_meta_json(name).await;
        let fresh = |last: &LastAlert| last.at <= alert.time && alert.time - last.at < REPEAT_AFTER;
        let is_known = last.is_ok_and(|last| last.is_some_and(|last| last.what == alert.what && fresh(&last)));
        if is_known || !self.notify(alert, stop).await {
            return Ok(());
        }
        let last = LastAlert { what: alert.what.clone(), at: alert.time };
        self.ledger.set_meta_json(name, &last).await
    }

    /// Posts that a failure is over, where one was posted and nothing is left that somebody should look at.
    async fn notify_recovery(&self, finished: &RunFinished, stop: &CancellationToken) -> Result<(), LedgerError> {
        if self.ledger.get_meta_json::<LastAlert>(TROUBLE).await?.is_none() {
            return Ok(());
        }
        let held = self.ledger.held(&HeldSelection::default()).await?;
        let Some(recovery) = Alert::of_recovery(finished, &held, self.clock.now()) else { return Ok(()) };
        if !self.notify(&recovery, stop).await {
            return Ok(());
        }
        self.ledger.set_meta(TROUBLE, None).await
    }

    /// Posts the warnings that have begun, and those that are over. False where the webhook or the ledger failed: then it
    /// is worth another try after a while.
    pub async fn warn(&self, notices: &[Notice], posted: &mut PostedWarnings, stop: &CancellationToken) -> bool {
        let Ok(stored) = self.ledger.get_meta_json::<Vec<Posted>>(WARNINGS).await else { return false };
        let stored = stored.unwrap_or_default();
        let mut known = posted.0.take().unwrap_or_else(|| stored.clone());
        let mut all_posted = true;
        for notice in notices {
            if known.iter().any(|known| notice.is(known)) {
                continue;
            }
            let alert = notice.alert(self.clock.now());
            if self.deliver(alert.event.name(), &alert, stop).await {
                known.retain(|known| !notice.continues(known));
                known.push(notice.posted());
            } else {
                all_posted = false;
            }
        }
        let (mut known, over): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|known| notices.iter().any(|notice| notice.continues(known)));
        for over in over {
            let left = match over.owners_silent_since() {
                Some(since) => silence::no_longer_watched(&self.ledger, since).await.unwrap_or_default(),
                None => 0,
            };
            let Some(alert) = over.resolution(left, self.clock.now()) else { continue };
            if !self.deliver(alert.event.name(), &alert, stop).await {
                all_posted = false;
                known.push(over);
            }
        }
        if known == stored {
            return all_posted;
        }
        let kept = self.ledger.set_meta_json(WARNINGS, &known).await;
        if let Err(error) = &kept {
            tracing::warn!(event = "notify_forgotten", error = %error, "the ledger could not record that the webhook was notified; it may be notified twice");
            posted.0 = Some(known);
        }
        all_posted && kept.is_ok()
    }

    /// Posts that the ledger fails, or works again. Needs no ledger.
    pub async fn ledger_fails(&self, alert: &LedgerAlert, stop: &CancellationToken) {
        let body = alert.body(self.clock.now());
        self.deliver(body.event.name(), &body, stop).await;
    }

    async fn notify(&self, alert: &Alert, stop: &CancellationToken) -> bool {
        self.deliver(alert.event.name(), alert, stop).await
    }

    /// Posts an alert, several times if need be. Whether it arrived.
    async fn deliver(&self, name: &'static str, alert: &(impl Serialize + Sync), stop: &CancellationToken) -> bool {
        let retrier = Retrier::new(std::sync::Arc::clone(&self.clock), POLICY, stop.clone());
        match retrier.run("notifying the webhook", || self.post(alert)).await {
            Ok(()) => {
                tracing::info!(event = "notified", alert = name, "the webhook is notified");
                true
            }
            Err(error) => {
                tracing::error!(event = "notify_failed", alert = name, error = %error, "the webhook could not be notified; it is tried again after the next run");
                false
            }
        }
    }

    async fn post(&self, alert: &(impl Serialize + Sync)) -> Result<(), NotifyError> {
        let webhook = self.webhook.clone();
        let address = panics::blocking(move || webhook.read()).await;
        let address = address.map_err(|error| NotifyError::Webhook(error.to_string()))?;
        let address = address.map_err(|error| NotifyError::Webhook(error.to_string()))?;
        // The parser's words would show the address.
        let url = Url::parse(address.expose_secret().trim());
        let url = url.map_err(|_| NotifyError::Webhook("it is not an address".to_owned()))?;
        let reply = self.http.send(Remote::Notify, self.http.post(url).json(alert), MAX_REPLY).await?;
        if reply.status.is_success() {
            return Ok(());
        }
        let after = retry_after(&reply.headers, self.clock.now()).map(|after| after.min(MAX_PAUSE));
        Err(NotifyError::Answered { status: reply.status, after })
    }
}
