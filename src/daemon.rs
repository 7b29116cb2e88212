//! The daemon: wakes when a run is due, runs it, and waits again, until it is stopped.
//!
//! - A run is due at the schedule's time, at once when it is overdue, and after a growing pause when the last one failed
//!   or left something pending. A start does without that pause: whoever starts the daemon wants to see it work.
//! - A refused credential is remembered, restarts included: it is not tried again before it changes or the next
//!   scheduled time comes, because accounts are locked by repetition.
//! - The mapping is read again when its file changes, the configuration at SIGHUP. A bad one leaves the last good one in force.
//! - Asked to stop, it begins nothing new; what is under way has a few seconds to end, and what hasn't by then is left as a
//!   recorded intent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config::Config;
use crate::ledger::LedgerError;
use crate::lifecycle::{Phase, SignalRequest, service_manager};
use crate::pipeline::{RunError, RunFinished, RunRequest};
use crate::schedule::Schedule;
use crate::serve::{Health, Served, serve};
use crate::status;

mod attention;
mod reload;
mod turn;
mod watchdog;
mod work;

use attention::Attention;
use turn::Turn;
use watchdog::{Look, Watchdog};
use work::{CurrentWork, Ended, ended, note_follow};

/// Reads the configuration again. The error is all its problems, as text.
pub type ConfigLoader = Box<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// How often files are looked at and the ledger is asked what is due.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// How often the ledger is asked while a run is due that another daemon has begun: this one follows it.
const LOOK_WHILE_DUE: Duration = Duration::from_millis(500);

/// How often the daemon notes in the ledger that it is alive.
const HEARTBEAT_INTERVAL: chrono::Duration = chrono::Duration::seconds(30);

/// How long the main loop waits for the ledger at a time: a database that is silent must not keep it from saying so, nor from
/// watching the run. Longer than it takes to get no connection.
const LEDGER_PATIENCE: Duration = Duration::from_secs(40);

/// How long work under way has to end, once the daemon is asked to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(7);

/// A daemon, ready to run.
pub struct Daemon {
    app: App,
    loader: ConfigLoader,
    environment: BTreeMap<String, String>,
    phase: watch::Sender<Phase>,
    health: Arc<Health>,
    /// The schedule in force, for the pages.
    schedule: watch::Sender<Schedule>,
    /// When the ledger was last given word of this daemon.
    noted: Option<DateTime<Utc>>,
    /// No run was begun or waited for yet.
    just_started: bool,
    attention: Attention,
    /// Watches the run under way.
    watchdog: Option<Watchdog>,
    /// What came of asking the ledger last.
    ledger: LedgerState,
    /// A run is due, and another daemon is about to pull: it can be followed soon.
    is_due_elsewhere: bool,
    stop: CancellationToken,
}

/// What came of asking the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LedgerState {
    Answers,
    /// It did not answer in time.
    IsSilent,
    /// This machine's clock isn't its server's.
    HasOtherClock,
}

impl Daemon {
    /// A daemon of these parts.
    pub fn new(app: App, loader: ConfigLoader, environment: BTreeMap<String, String>, stop: CancellationToken) -> Self {
        let health = Arc::new(Health::new(Arc::clone(&app.clock)));
        let schedule = watch::Sender::new(app.config.schedule.clone());
        let phase = watch::Sender::new(Phase::Starting);
        Self {
            app,
            loader,
            environment,
            phase,
            health,
            schedule,
            noted: None,
            just_started: true,
            attention: Attention::default(),
            watchdog: None,
            ledger: LedgerState::Answers,
            is_due_elsewhere: false,
            stop,
        }
    }

    /// Starts to serve `[http]`, where there is one. Fails where its address is taken.
    pub async fn listen(&self) -> anyhow::Result<()> {
        let Some(http) = &self.app.config.http else { return Ok(()) };
        let listener = TcpListener::bind(http.listen).await;
        let listener = listener.with_context(|| format!("http.listen: {} can't be listened on", http.listen))?;
        let served = Served {
            ledger: self.app.ledger.clone(),
            schedule: self.schedule.subscribe(),
            clock: Arc::clone(&self.app.clock),
            metrics: Arc::clone(&self.app.metrics),
            health: Arc::clone(&self.health),
            token: http.token.clone(),
        };
        let stop = self.stop.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(listener, served, stop).await {
                tracing::error!(event = "http_failed", error = %error, "the HTTP endpoints stopped; the daemon continues without them");
            }
        });
        Ok(())
    }

    /// What the daemon is doing, for those who wait for it.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Runs until it is stopped.
    pub async fn run(mut self, mut asked: mpsc::Receiver<SignalRequest>) -> anyhow::Result<()> {
        tracing::info!(event = "daemon_started", version = env!("CARGO_PKG_VERSION"), "the daemon started");
        self.health.set_ready();
        service_manager::ready();
        self.note_good_inputs().await;
        let mut under_way: Option<CurrentWork> = None;
        let mut ask = true;
        while !self.stop.is_cancelled() {
            self.health.beat();
            self.watch_run();
            let answered = in_time(self.ask_ledger(&mut under_way, ask)).await.unwrap_or(false);
            self.note_answer(answered);
            ask = true;
            service_manager::alive(*self.phase.borrow());
            let clock = Arc::clone(&self.app.clock);
            tokio::select! {
                () = self.stop.cancelled() => {}
                word = asked.recv() => match word {
                    Some(SignalRequest::Reload) => self.reload_configuration().await,
                    Some(SignalRequest::Stop) | None => self.stop.cancel(),
                },
                ended = ended(&mut under_way) => {
                    under_way = None;
                    self.watchdog = None;
                    self.app.metrics.set_stalled(false);
                    // What the ledger could not keep this time, it may keep next time; a tight loop would help nobody.
                    ask = match ended {
                        Ended::Run(finished) => self.note(*finished).await,
                        Ended::Follow(followed) => note_follow(&followed),
                    };
                }
                () = clock.sleep(self.pause()) => self.look_at_files().await,
            }
        }
        self.shut_down(under_way).await
    }

    /// Begins what is due, gives the ledger word of this daemon, and looks for what needs somebody. False where the ledger
    /// didn't take that word.
    async fn ask_ledger(&mut self, under_way: &mut Option<CurrentWork>, begins: bool) -> bool {
        let is_idle = under_way.is_none();
        if is_idle && begins {
            *under_way = self.begin_if_due().await;
        }
        // What is noted or found by a wrong clock would mislead the others.
        if self.ledger == LedgerState::HasOtherClock {
            return true;
        }
        let took_word = self.note_alive().await;
        let is_busy = matches!(*self.phase.borrow(), Phase::Running | Phase::Following);
        self.attention.look(&self.app, is_busy, &self.stop).await;
        // Where nothing is under way, the question what is due has said so.
        is_idle || took_word
    }

    /// Says so when the ledger begins to be silent, and when it answers again.
    fn note_answer(&mut self, answered: bool) {
        if !answered {
            if self.ledger != LedgerState::IsSilent {
                let seconds = LEDGER_PATIENCE.as_secs();
                tracing::error!(
                    event = "ledger_unavailable",
                    seconds,
                    "the ledger doesn't answer: nothing new is started, and work under way stops once its leases have run out. Is the database, or the network to it, hanging?"
                );
            }
            self.health.set_not_ready("the ledger doesn't answer");
            self.attention.ledger_fails(&self.app, "it doesn't answer", false, &self.stop);
            self.ledger = LedgerState::IsSilent;
        } else if self.ledger == LedgerState::IsSilent {
            if !self.watchdog.as_ref().is_some_and(Watchdog::is_stalled) {
                self.health.set_ready();
            }
            self.ledger = LedgerState::Answers;
        }
    }

    /// Notes now and then that this daemon is alive, so that `status` sees when it isn't any more. False where the ledger failed.
    async fn note_alive(&mut self) -> bool {
        let now = self.app.clock.now();
        let is_due = self.noted.is_none_or(|noted| now < noted || now - noted >= HEARTBEAT_INTERVAL);
        if !is_due {
            return true;
        }
        let noted = self.app.ledger.note_daemon(&self.app.presence.holder, now).await.is_ok();
        if noted {
            self.noted = Some(now);
        }
        noted
    }

    /// Says so when the run under way makes no progress.
    fn watch_run(&mut self) {
        let now = self.app.clock.now();
        match self.watchdog.as_mut().map_or(Look::Unchanged, |watchdog| watchdog.look(now)) {
            Look::Unchanged => {}
            Look::Stalled(silence) => {
                let seconds = silence.num_seconds();
                tracing::warn!(
                    event = "run_stalled",
                    seconds,
                    "the run under way is making no progress; the preceding lines say what it is waiting for"
                );
                self.app.metrics.set_stalled(true);
                self.health.set_not_ready("the run under way makes no progress");
            }
            Look::GoesOn => {
                tracing::info!(event = "run_goes_on", "the run under way makes progress again");
                self.app.metrics.set_stalled(false);
                self.health.set_ready();
            }
        }
    }

    /// Until the next look around: soon, and when a run is due.
    fn pause(&self) -> Duration {
        if self.is_due_elsewhere {
            return LOOK_WHILE_DUE;
        }
        let until_due = match *self.phase.borrow() {
            Phase::Waiting(due) => (due - self.app.clock.now()).to_std().ok(),
            Phase::Starting | Phase::Running | Phase::Following => None,
        };
        until_due.filter(|pause| !pause.is_zero()).map_or(POLL_INTERVAL, |pause| pause.min(POLL_INTERVAL))
    }

    /// Begins a regular run where one is due, or follows the process that has begun it. A ledger that doesn't answer is asked again later.
    async fn begin_if_due(&mut self) -> Option<CurrentWork> {
        self.is_due_elsewhere = false;
        let turn = match turn::take(&self.app, self.just_started).await {
            Ok(turn) => turn,
            Err(error) => {
                let (state, why) = match error {
                    LedgerError::ClocksDiffer { .. } => {
                        (LedgerState::HasOtherClock, "this machine's clock is not the database server's")
                    }
                    _ => (LedgerState::Answers, "the ledger doesn't answer"),
                };
                self.ledger = state;
                tracing::error!(event = "ledger_unavailable", error = %error, "the ledger could not say when the next run is due; it is asked again soon");
                self.health.set_not_ready(why);
                self.attention.ledger_fails(&self.app, &error.to_string(), false, &self.stop);
                return None;
            }
        };
        self.ledger = LedgerState::Answers;
        self.health.set_ready();
        self.attention.ledger_works(&self.app, false, &self.stop);
        self.just_started = false;
        self.is_due_elsewhere = matches!(turn, Turn::Wait(due) if due <= self.app.clock.now());
        let phase = match turn {
            Turn::Wait(due) => Phase::Waiting(due),
            Turn::Pull => Phase::Running,
            Turn::Follow(_) => Phase::Following,
        };
        self.phase.send_if_modified(|shown| std::mem::replace(shown, phase) != phase);
        let pipeline = self.app.pipeline(self.stop.clone());
        match turn {
            Turn::Wait(_) => None,
            Turn::Pull => {
                self.watchdog = Some(Watchdog::new(pipeline.progress(), self.app.clock.now()));
                Some(CurrentWork::Run(tokio::spawn(async move { pipeline.run(RunRequest::Regular).await })))
            }
            Turn::Follow(run) => Some(CurrentWork::Follow(tokio::spawn(async move { pipeline.follow(run).await }))),
        }
    }

    /// Notes what a run found out. False where the ledger could not keep it.
    async fn note(&mut self, finished: Result<RunFinished, RunError>) -> bool {
        let is_noted = match finished {
            Ok(finished) => {
                let now = self.app.clock.now();
                self.attention.soon();
                self.attention.ledger_works(&self.app, true, &self.stop);
                let noted = in_time(status::note_run(&self.app.ledger, &self.app.config.source, &finished, now)).await;
                self.notify(finished);
                if let Some(Err(error)) = &noted {
                    tracing::error!(event = "ledger_unavailable", error = %error, "what the run found out about the remotes could not be recorded");
                }
                noted.is_some_and(|noted| noted.is_ok())
            }
            // The run has logged why.
            Err(error) => {
                self.attention.ledger_fails(&self.app, &error.to_string(), true, &self.stop);
                false
            }
        };
        if !is_noted {
            self.health.set_not_ready("the ledger could not keep the account of a run");
        }
        is_noted
    }

    /// Notifies the webhook of a run's end, beside the daemon's own work: a webhook that doesn't answer delays nothing.
    fn notify(&self, finished: RunFinished) {
        if let Some(notifier) = self.app.notifier() {
            let stop = self.stop.clone();
            tokio::spawn(async move { notifier.run_ended(&finished, &stop).await });
        }
    }

    /// Lets what is under way end, for a few seconds.
    async fn shut_down(mut self, mut under_way: Option<CurrentWork>) -> anyhow::Result<()> {
        self.health.set_not_ready("it is stopping");
        service_manager::stopping();
        tracing::info!(event = "stopping", "stopping: finishing what is under way, starting nothing new");
        if under_way.is_some() {
            tokio::select! {
                ended = ended(&mut under_way) => match ended {
                    Ended::Run(finished) => _ = self.note(*finished).await,
                    Ended::Follow(followed) => _ = note_follow(&followed),
                },
                () = self.app.clock.sleep(SHUTDOWN_GRACE) => {
                    self.app.presence.keep_until_exit();
                    tracing::warn!(event = "stopped_at_once", "work under way did not end in time; its copies are looked up by the next run");
                }
            }
        }
        // Where this fails, it counts as gone a little later.
        let stopped = self.app.ledger.note_daemon_stopped(&self.app.presence.holder, self.app.clock.now());
        let _ = tokio::time::timeout(SHUTDOWN_GRACE, stopped).await;
        tracing::info!(event = "daemon_stopped", "the daemon stopped");
        Ok(())
    }
}

/// What comes of something that asks the ledger; nothing where that doesn't answer in time.
async fn in_time<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(LEDGER_PATIENCE, work).await.ok()
}
