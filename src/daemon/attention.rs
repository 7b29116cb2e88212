//! Looks now and then for what needs somebody though no run says so, and posts it to the webhook, beside the daemon's own
//! work: a webhook that doesn't answer delays nothing.

use chrono::{DateTime, Duration, Utc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::notify::{LedgerAlert, Notice, PostedWarnings};
use crate::status::Status;

/// Between two looks.
const EVERY: Duration = Duration::minutes(5);

/// Between a look that the webhook or the ledger failed and the next one.
const AFTER_FAILURE: Duration = Duration::hours(1);

/// Between a look that is left to another daemon and the next one.
const AFTER_ANOTHER: Duration = Duration::minutes(1);

/// A ledger that fails for less is no occasion to notify anybody.
const MIN_LEDGER_TROUBLE: Duration = Duration::minutes(10);

/// When the daemon looks next, and what has been posted.
#[derive(Debug, Default)]
pub(super) struct Attention {
    /// Nothing where it looks at once.
    next: Option<DateTime<Utc>>,
    posting: Option<JoinHandle<(PostedWarnings, bool)>>,
    posted: PostedWarnings,
    /// The overdue run that was logged.
    logged_overdue: Option<DateTime<Utc>>,
    ledger_trouble: Option<LedgerTrouble>,
}

/// A ledger that fails, of which the ledger itself can't keep anything.
#[derive(Debug)]
struct LedgerTrouble {
    since: DateTime<Utc>,
    /// The account of a run could not be kept: that the ledger answers doesn't end it.
    is_of_account: bool,
    is_posted: bool,
}

impl Attention {
    /// Looks again soon: something has changed.
    pub(super) fn soon(&mut self) {
        self.next = None;
    }

    /// Looks around where that is due. While a run is under way, none is overdue.
    pub(super) async fn look(&mut self, app: &App, is_busy: bool, stop: &CancellationToken) {
        let now = app.clock.now();
        if self.posting.as_ref().is_some_and(|posting| !posting.is_finished()) {
            return;
        }
        if let Some(posting) = self.posting.take()
            && let Ok((posted, is_done)) = posting.await
        {
            self.posted = posted;
            if !is_done {
                self.next = Some(now + AFTER_FAILURE);
            }
        }
        // A next look that lies too far ahead was set by a clock that was ahead.
        if self.next.is_some_and(|next| now < next && next - now <= AFTER_FAILURE) {
            return;
        }
        self.next = Some(now + EVERY);
        // A ledger that fails here fails for the next run too, and is logged there.
        let _ = app.note_credentials().await;
        let Ok(mut status) = Status::of(&app.ledger, &app.config.schedule, now).await else { return };
        if is_busy {
            // It has begun, and the ledger may not know yet.
            status.overdue_since = None;
        }
        let notices = Notice::all(&status, now);
        self.log_overdue(&status, &notices);
        let Some(notifier) = app.notifier() else { return };
        // Of several daemons that look at the same time, one posts.
        let holder = &app.presence.holder;
        if app.ledger.is_another_daemon_seen_last(holder, now).await.unwrap_or(false) {
            self.next = Some(now + AFTER_ANOTHER);
            return;
        }
        let (mut posted, stop) = (std::mem::take(&mut self.posted), stop.clone());
        self.posting = Some(tokio::spawn(async move {
            let is_done = notifier.warn(&notices, &mut posted, &stop).await;
            (posted, is_done)
        }));
    }

    /// The ledger fails: posted once, where that lasts. The log has each time.
    pub(super) fn ledger_fails(&mut self, app: &App, error: &str, is_of_account: bool, stop: &CancellationToken) {
        let now = app.clock.now();
        let fresh = LedgerTrouble { since: now, is_of_account, is_posted: false };
        let trouble = self.ledger_trouble.get_or_insert(fresh);
        trouble.is_of_account |= is_of_account;
        // A clock that was set back would hide it for as long as it was set back.
        trouble.since = trouble.since.min(now);
        if trouble.is_posted || now - trouble.since < MIN_LEDGER_TROUBLE {
            return;
        }
        trouble.is_posted = true;
        post(app, LedgerAlert::firing(error, trouble.since), stop);
    }

    /// The ledger answers again, or has kept the account of a run.
    pub(super) fn ledger_works(&mut self, app: &App, has_kept_account: bool, stop: &CancellationToken) {
        let ends = |trouble: &mut LedgerTrouble| has_kept_account || !trouble.is_of_account;
        if let Some(trouble) = self.ledger_trouble.take_if(ends)
            && trouble.is_posted
        {
            post(app, LedgerAlert::resolved(trouble.since), stop);
        }
    }

    /// Logs a run that is overdue, once.
    fn log_overdue(&mut self, status: &Status, notices: &[Notice]) {
        let overdue = status.overdue_since.filter(|_| notices.iter().any(Notice::is_overdue_run));
        if overdue != self.logged_overdue
            && let Some(since) = overdue
        {
            tracing::warn!(event = "run_overdue", since = %since.to_rfc3339(), "a run was due but has not started; the preceding lines name the cause");
        }
        self.logged_overdue = overdue;
    }
}

/// Posts beside the daemon's own work.
fn post(app: &App, alert: LedgerAlert, stop: &CancellationToken) {
    if let Some(notifier) = app.notifier() {
        let stop = stop.clone();
        tokio::spawn(async move { notifier.ledger_fails(&alert, &stop).await });
    }
}
