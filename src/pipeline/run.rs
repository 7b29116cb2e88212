//! One run, from its first row in the ledger to its frozen account.
//!
//! 1. The staging area must be this ledger's; runs whose process has gone are brought to an end.
//! 2. What earlier runs left open is taken over: copies, items without rows, items without an answer.
//! 3. The source is pulled; items are prepared, copies delivered, outcomes recorded, all at the same time.
//! 4. What could not be sent is left pending, the account is frozen, and the books must balance.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, SubsecRound as _, Utc};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::deliver::Deliverer;
use super::leader::Followers;
use super::leases::Leases;
use super::message_cache::MessageCache;
use super::prepare::{Preparer, Replay};
use super::prior_sends::PriorSends;
use super::pull::Puller;
use super::recorder::recorder;
use super::retention;
use super::undone::{self, RunFinished, Undone};
use super::{Pipeline, RunError, RunRequest};
use crate::capture_loss;
use crate::failpoint;
use crate::ledger::{
    ItemNo, ItemSelection, Lease, LedgerError, OpenElsewhere, RunId, RunKind, RunRecord, RunStatus, Sender,
};
use crate::report::{Report, failed_share};

/// Batches of pulled items that wait to be prepared: not pages, which may have thousands of items.
const MAX_BATCHES_AHEAD: usize = 4;

/// The span of a run: every line of the log within it has the run's id. Its level is the most important one, so that it is there
/// whatever `log.level` says.
pub(super) fn span_of(run: &RunId) -> Span {
    tracing::error_span!("run", run.id = %run)
}

/// What a run is to leave nothing open of, in whichever account it is, where it is to count as complete.
#[derive(Debug, Clone)]
enum TakesOver {
    Nothing,
    /// All copies.
    Copies,
    /// All copies, and items that have none yet. What is in the account of a run that is under way is that run's.
    Everything,
    /// What was selected.
    Selected(ItemSelection),
}

impl RunRequest {
    fn kind(&self) -> RunKind {
        match self {
            Self::Regular => RunKind::Regular,
            Self::Backfill(_) => RunKind::Backfill,
            Self::Retry(_) | Self::Restore => RunKind::Retry,
            Self::Rebuild => RunKind::Rebuild,
        }
    }

    /// What it takes over of what earlier runs left open.
    fn takes_over(&self) -> TakesOver {
        match self {
            Self::Regular | Self::Backfill(_) => TakesOver::Everything,
            Self::Restore => TakesOver::Copies,
            Self::Retry(selection) => TakesOver::Selected(selection.clone()),
            // It begins with nothing.
            Self::Rebuild => TakesOver::Nothing,
        }
    }

    /// The items that it is about, where it isn't about all.
    fn only_items(&self) -> Option<Vec<ItemNo>> {
        match self {
            Self::Retry(selection) => selection.items.clone(),
            Self::Regular | Self::Backfill(_) | Self::Restore | Self::Rebuild => None,
        }
    }
}

impl Pipeline {
    /// `inputs` of a run's report, as JSON; of one that reads the source also what lies there and is not read.
    async fn inputs(&self, kind: RunKind) -> String {
        let mut inputs = serde_json::to_value(&self.settings.inputs).unwrap_or_default();
        let Some(members) = inputs.as_object_mut() else { return String::new() };
        if kind.reads_source() {
            let passed_over = self.deps.source.passed_over().await;
            if !passed_over.is_empty() {
                members.insert("source_passed_over".to_owned(), passed_over.into());
            }
        }
        inputs.to_string()
    }

    /// Carries a request out to its end. An error means that the ledger could not even keep the account; any other failure is the
    /// run's, and in its report.
    pub async fn run(&self, request: RunRequest) -> Result<RunFinished, RunError> {
        let id = RunId(Uuid::now_v7().to_string());
        let span = span_of(&id);
        let run = async {
            let finished = self.run_as(id, request).await;
            if let Err(error) = &finished {
                let remedy = error.remedy(self.settings.kinds).unwrap_or("correct what the error names");
                tracing::error!(event = "run_not_accounted", error = %error, "the account of the run could not be kept; what was staged is kept, and its work is taken over by the next one: {remedy}");
            }
            finished
        };
        run.instrument(span).await
    }

    async fn run_as(&self, id: RunId, request: RunRequest) -> Result<RunFinished, RunError> {
        let ledger = &self.deps.ledger;
        let (kind, takes_over) = (request.kind(), request.takes_over());
        if kind == RunKind::Rebuild && !ledger.is_rebuildable().await? {
            return Err(RunError::NotRebuildable);
        }
        let inputs = self.inputs(kind).await;
        let started = self.now();
        let leases = Arc::new(Leases::new(self.settings.lease, &*self.deps.clock));
        // Before the run is there to be taken for an abandoned one.
        self.take_leases(&leases, &[Lease::Run(id.clone())]).await?;
        ledger.begin_run(&id, kind, &self.deps.holder, &inputs, started).await?;
        tracing::info!(event = "run_started", run.kind = kind.name(), "a run started");
        self.progress.reset();

        let pipeline = self.for_one_run();
        // In a box: the work of a run holds a lot while it waits.
        let work = Box::pin(pipeline.work(&leases, &id, request));
        let (kept, worked) = pipeline.with_leases(&leases, work).await;
        let are_lost = matches!(kept, Err(LedgerError::LeaseLost(_)));
        let failed = kept.map_err(RunError::from).and(worked).err();
        let finish = self.finish(&id, &takes_over, failed);
        // With a stop of its own again: the program's is not for a lost lease to pull.
        let finished = if are_lost { finish.await } else { self.for_one_run().with_leases(&leases, finish).await.1 };
        if let Err(error) = ledger.release_leases(&self.deps.holder).await {
            tracing::warn!(event = "leases_kept", error = %error, "the leases of the run could not be given back; they run out by themselves");
        }
        if let Ok(finished) = &finished {
            if let Some(metrics) = &self.metrics {
                metrics.given_up(finished.report.given_up());
            }
            self.close(&finished.report, finished.error.as_ref()).await;
        }
        finished
    }

    /// The same pipeline with a stop of its own, which a failure of one task pulls for the others.
    pub(super) fn for_one_run(&self) -> Self {
        let stop = self.stop.child_token();
        let retrier = self.retrier.stopped_by(stop.clone());
        Self { retrier, stop, source_health: Arc::default(), ..self.clone() }
    }

    async fn work(&self, leases: &Arc<Leases>, id: &RunId, request: RunRequest) -> Result<(), RunError> {
        self.get_ready(leases, id, &request).await?;
        let prior_sends = self.prior_sends(&request).await?;
        let is_regular = matches!(request, RunRequest::Regular);
        let unreadable_pages = Arc::<AtomicU64>::default();
        self.move_items(leases, id, request, prior_sends, &unreadable_pages).await?;
        if is_regular {
            self.purge(leases).await?;
            self.shrink_ledger(leases).await?;
        }
        if self.stop.is_cancelled() {
            return Err(RunError::Stopped);
        }
        match unreadable_pages.load(Ordering::Relaxed) {
            0 => Ok(()),
            pages => Err(RunError::UnreadablePages { pages }),
        }
    }

    /// Sees to it that the clocks agree, that the staging area is this ledger's (a rebuild takes it over later), that nobody else pulls (where the
    /// request is to pull), and that no run is open whose process has gone.
    async fn get_ready(&self, leases: &Arc<Leases>, id: &RunId, request: &RunRequest) -> Result<(), RunError> {
        self.compare_clocks().await?;
        self.retrier.run("preparing staging", || self.deps.staging.prepare()).await?;
        if !matches!(request, RunRequest::Rebuild) {
            self.claim_staging().await?;
        }
        if !matches!(request, RunRequest::Retry(_) | RunRequest::Restore) {
            self.become_puller(leases).await?;
        }
        self.finish_abandoned(leases, id).await
    }

    /// Fails where this machine's clock isn't the ledger's server's: leases are compared by it.
    pub(super) async fn compare_clocks(&self) -> Result<(), LedgerError> {
        let compare = || self.deps.ledger.compare_clocks(&*self.deps.clock);
        self.retrier.run("asking the ledger for its time", compare).await
    }

    /// Pulls, prepares, delivers and records, all at the same time, until nothing is left to send.
    async fn move_items(
        &self,
        leases: &Arc<Leases>,
        id: &RunId,
        request: RunRequest,
        prior_sends: PriorSends,
        unreadable_pages: &Arc<AtomicU64>,
    ) -> Result<(), RunError> {
        let sender = Sender { run: id.clone(), holder: self.deps.holder.clone(), is_follower: false };
        let cache = Arc::new(MessageCache::new(self.settings.max_item_size));
        let (recorder, notes) = recorder();
        let (items, queue) = mpsc::channel(MAX_BATCHES_AHEAD);
        let filled = CancellationToken::new();

        let recording = self.spawn(self.clone().record_notes(sender.clone(), notes));
        let mut deliverer = Deliverer::new(self, &sender, leases, &cache, &recorder);
        deliverer.adopt = request.only_items();
        drop(recorder);
        // A rebuilt ledger sends nothing before it holds everything.
        let is_rebuild = matches!(request, RunRequest::Rebuild);
        let delivering = (!is_rebuild).then(|| self.spawn(deliverer.clone().deliver_all(filled.clone())));

        let followers = Arc::new(Followers::of(&deliverer));
        let preparer = Preparer::new(&deliverer, Arc::clone(&followers), prior_sends, Replay::of(&request));
        let preparing = self.spawn(Arc::new(preparer).prepare_for(request.clone(), queue));
        let puller = Puller {
            pipeline: self.clone(),
            run: id.clone(),
            leases: Arc::clone(leases),
            cache,
            items,
            unreadable_pages: Arc::clone(unreadable_pages),
        };
        // Where the source fails, what is staged is delivered all the same.
        let pulling = tokio::spawn(puller.pull(request).in_current_span());

        let pull = ended(pulling).await;
        let prepare = ended(preparing).await;
        let shared = if prepare.is_ok() && !is_rebuild { followers.until_all_is_sent().await } else { Ok(()) };
        filled.cancel();
        let deliver = match delivering {
            Some(delivering) => {
                drop(deliverer);
                ended(delivering).await
            }
            None => self.deliver_rebuilt(deliverer, pull.is_ok() && prepare.is_ok(), filled).await,
        };
        let record = ended(recording).await;
        // The deeper failure is the cause of those before it.
        record.and(deliver).and(shared).and(prepare).and(pull)
    }

    /// A task of the run; where it fails, the others stop.
    pub(super) fn spawn(
        &self,
        task: impl Future<Output = Result<(), RunError>> + Send + 'static,
    ) -> JoinHandle<Result<(), RunError>> {
        let stop = self.stop.clone();
        let task = async move {
            let result = task.await;
            if result.is_err() {
                stop.cancel();
            }
            result
        };
        tokio::spawn(task.in_current_span())
    }
}

pub(super) async fn ended(task: JoinHandle<Result<(), RunError>>) -> Result<(), RunError> {
    task.await?
}

impl Pipeline {
    /// Brings runs to an end whose process has gone, unless another process is about it. What they left open is the next run's.
    async fn finish_abandoned(&self, leases: &Leases, current: &RunId) -> Result<(), RunError> {
        let ledger = &self.deps.ledger;
        for run in ledger.abandoned_runs(Some(current), self.now()).await? {
            if !self.take_leases(leases, &[Lease::Run(run.id.clone())]).await?.contains(&true) {
                continue;
            }
            tracing::warn!(event = "run_abandoned", run.id = %run.id, "a run's process ended before the run did; its account is closed, and its work is taken over");
            let finished = self.finish(&run.id, &TakesOver::Nothing, Some(RunError::ProcessGone));
            match finished.instrument(span_of(&run.id)).await {
                // Its own process was quicker, or another one.
                Ok(_) | Err(RunError::Ledger(LedgerError::LeaseLost(_))) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives up what was pending for too long.
    async fn give_up(&self, id: &RunId, now: DateTime<Utc>) -> Result<(), RunError> {
        let ledger = &self.deps.ledger;
        let passed = ledger.certainly_passed(now).await?;
        let Some(before) = passed.and_then(|passed| retention::before(passed, Some(self.settings.give_up))) else {
            return Ok(());
        };
        let failed = ledger.give_up(id, before).await?;
        if failed > 0 {
            tracing::error!(
                event = "deliveries_given_up",
                deliveries = failed,
                "deliveries were pending for longer than retry.give_up; they have failed as mailbox_unavailable and can be replayed"
            );
        }
        Ok(())
    }

    /// Leaves pending what could not be sent, freezes the account, and ends the run.
    async fn finish(
        &self,
        id: &RunId,
        takes_over: &TakesOver,
        error: Option<RunError>,
    ) -> Result<RunFinished, RunError> {
        let (ledger, settings) = (&self.deps.ledger, &self.settings);
        // As the ledger keeps it, so that everybody reports the same.
        let now = self.now().trunc_subsecs(3);
        ledger.close_account(id).await?;
        ledger.leave_pending(id).await?;
        ledger.account_for_unprepared(id, now).await?;
        self.give_up(id, now).await?;
        if let Err(error) = capture_loss::look(ledger, id).await {
            tracing::warn!(event = "captures_not_judged", error = %error, "the ledger could not be searched for messages that were never captured");
        }
        ledger.freeze_account(id).await?;
        ledger.freeze_mapping_rules(id).await?;
        failpoint::pass(failpoint::ACCOUNT_FROZEN);

        let run = ledger.run(id).await?.ok_or_else(|| LedgerError::Damaged(format!("run {id} is not in it")))?;
        let run = RunRecord { finished: Some(now), ..run };
        let mut report = Report::draw_up(ledger, &run).await?;
        let imbalance = report.imbalance(ledger).await?;
        if let Some(imbalance) = &imbalance {
            tracing::error!(event = "books_do_not_balance", error = %imbalance, "the account does not balance; keep the ledger and the staging area as they are, and report this");
        }
        let error = error.or_else(|| imbalance.map(|imbalance| RunError::Unbalanced(imbalance.clone())));
        let failure = error.as_ref().map(|error| error.to_failure(settings.local_paths.taken_out(&error.to_string())));
        report.error = failure.as_ref().map(|failure| failure.error.clone());
        let elsewhere = if error.is_none() { self.left_open(id, takes_over, now).await? } else { Vec::new() };
        report.status = match &error {
            Some(_) => RunStatus::Failed,
            None if report.deliveries.pending > 0 || !elsewhere.is_empty() => RunStatus::Incomplete,
            None => RunStatus::Complete,
        };
        report.many_failed = failed_share::warning(ledger, &report, settings.max_failed_percent).await?;
        if let Some(detail) = &report.many_failed
            && failed_share::has_failed(&report)
        {
            tracing::warn!(
                event = "many_items_failed",
                detail,
                "many items of the run were not imported; `failures` lists them"
            );
        }
        let frozen = serde_json::to_string(&report).map_err(|error| LedgerError::Damaged(error.to_string()))?;
        ledger.finish_run(id, report.status, now, failure.as_ref(), &frozen).await?;
        let undone = Undone::of(ledger, &report, elsewhere).await?;
        let remedy = error.as_ref().and_then(|error| error.remedy(settings.kinds));
        let finished = RunFinished { report, error, undone, remedy };
        undone::log_end(ledger, &finished).await?;
        Ok(finished)
    }

    /// What a run had to leave open in the accounts of others.
    async fn left_open(
        &self,
        run: &RunId,
        takes_over: &TakesOver,
        now: DateTime<Utc>,
    ) -> Result<Vec<OpenElsewhere>, LedgerError> {
        let all = ItemSelection::default();
        let (selection, copies_alone) = match takes_over {
            TakesOver::Nothing => return Ok(Vec::new()),
            TakesOver::Copies => (&all, true),
            TakesOver::Everything => (&all, false),
            TakesOver::Selected(selection) => (selection, false),
        };
        let mut open = self.deps.ledger.open_elsewhere(Some(run), selection, copies_alone, now).await?;
        if matches!(takes_over, TakesOver::Everything) {
            open.retain(|open| !open.is_under_way);
        }
        open.iter().for_each(undone::log_left_open);
        Ok(open)
    }
}
