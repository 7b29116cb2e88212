//! The webhook of `[notify]` over real HTTP: what is posted, when, and how often.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use whatsapp_archiver::clock::{Clock as _, ManualClock, SharedClock};
use whatsapp_archiver::http::{HttpClient, HttpOptions};
use whatsapp_archiver::ledger::{Ledger, OpenElsewhere, RunId, RunStatus};
use whatsapp_archiver::notify::{Notice, Notifier, PostedWarnings};
use whatsapp_archiver::pipeline::{RunError, RunFinished, Undone};
use whatsapp_archiver::reason::Reason;
use whatsapp_archiver::report::Report;
use whatsapp_archiver::schedule::{Begin, Schedule};
use whatsapp_archiver::secret::Secret;
use whatsapp_archiver::source::SourceError;
use whatsapp_archiver::status::Status;
use whatsapp_archiver::status::credential::{self, CredentialExpiry};
use whatsapp_archiver::status::warning::{self, Input};

use crate::serve::seed::{Fate, Seed, SeedItem};

/// What a receiver got, and what it answers.
#[derive(Default)]
struct Receiver {
    got: Mutex<Vec<Value>>,
    answers: Mutex<Vec<StatusCode>>,
}

async fn receive(State(receiver): State<Arc<Receiver>>, body: String) -> StatusCode {
    let answer = receiver.answers.lock().unwrap().pop().unwrap_or(StatusCode::NO_CONTENT);
    if answer.is_success() {
        receiver.got.lock().unwrap().push(serde_json::from_str(&body).unwrap());
    }
    answer
}

struct Desk {
    receiver: Arc<Receiver>,
    notifier: Notifier,
    clock: Arc<ManualClock>,
    seed: Seed,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

fn start() -> DateTime<Utc> {
    "2026-11-22T02:00:00Z".parse().unwrap()
}

impl Desk {
    async fn open() -> Self {
        let receiver = Arc::new(Receiver::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let webhook = format!("http://{}/hooks/top-secret?key=top-secret", listener.local_addr().unwrap());
        let router = axum::Router::new().route("/hooks/top-secret", post(receive)).with_state(Arc::clone(&receiver));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self::with(receiver, &webhook).await
    }

    async fn with(receiver: Arc<Receiver>, webhook: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&format!("sqlite://{}", folder.path().join("ledger.db").display())).await.unwrap();
        let clock = Arc::new(ManualClock::self_moving(start()));
        let shared: SharedClock = Arc::<ManualClock>::clone(&clock);
        let http = HttpClient::build(&HttpOptions::default()).unwrap();
        let notifier = Notifier::new(
            http,
            Secret::variable("notify.webhook", "ALERT_WEBHOOK", Some(webhook)),
            ledger.clone(),
            shared,
        );
        let stop = CancellationToken::new();
        Self { receiver, notifier, clock, seed: Seed::new(ledger), stop, _folder: folder }
    }

    /// A run that has ended, told to the notifier.
    async fn run(&mut self, status: RunStatus, error: Option<RunError>, items: &[SeedItem]) {
        self.run_leaving(0, status, error, items).await;
    }

    /// The same, where another process had copies of earlier runs.
    async fn run_leaving(&mut self, open: u64, status: RunStatus, error: Option<RunError>, items: &[SeedItem]) {
        let words = error.as_ref().map(ToString::to_string);
        let id = self.seed.run_with_error(self.clock.now(), status, words.as_deref(), items).await;
        let run = self.seed.ledger.run(&id).await.unwrap().unwrap();
        let report = Report::of(&self.seed.ledger, &run).await.unwrap();
        let elsewhere = OpenElsewhere { run: RunId("earlier".to_owned()), is_under_way: false, rows: open };
        let elsewhere = if open > 0 { vec![elsewhere] } else { Vec::new() };
        let undone = Undone::of(&self.seed.ledger, &report, elsewhere).await.unwrap();
        self.notifier.run_ended(&RunFinished { report, error, undone, remedy: None }, &self.stop).await;
    }

    async fn fail(&mut self, error: RunError) {
        self.run(RunStatus::Failed, Some(error), &[]).await;
    }

    async fn succeed(&mut self) {
        self.run(RunStatus::Complete, None, &[SeedItem::new(Fate::Imported)]).await;
    }

    /// A look at the state, as the daemon takes one every few minutes, with a memory of its own.
    async fn look(&self) -> bool {
        let day = chrono::Duration::hours(24);
        let nothing = chrono::Duration::zero();
        let schedule =
            Schedule { every: day, at: None, overlap: nothing, settle: nothing, begin: Begin::Lookback(day) };
        let now = self.clock.now();
        let status = Status::of(&self.seed.ledger, &schedule, now).await.unwrap();
        self.notifier.warn(&Notice::all(&status, now), &mut PostedWarnings::default(), &self.stop).await
    }

    async fn reload(&self, result: Result<(), &str>) {
        warning::note_reload(&self.seed.ledger, Input::Mapping, result, self.clock.now()).await.unwrap();
    }

    /// The members of what was posted, one line each.
    fn posted(&self) -> Vec<String> {
        let got = self.receiver.got.lock().unwrap();
        let of = |alert: &Value, member: &str| alert[member].as_str().unwrap().to_owned();
        got.iter().map(|alert| ["event", "state", "warning"].map(|member| of(alert, member)).join(" ")).collect()
    }

    /// The sentence that was posted last.
    fn last_text(&self) -> String {
        let got = self.receiver.got.lock().unwrap();
        got.last().unwrap()["text"].as_str().unwrap().to_owned()
    }

    fn events(&self) -> Vec<String> {
        let got = self.receiver.got.lock().unwrap();
        got.iter().map(|alert| alert["event"].as_str().unwrap().to_owned()).collect()
    }
}

fn unavailable() -> RunError {
    RunError::Source(SourceError::Unavailable("503 for +445204334324".to_owned()))
}

fn refused() -> RunError {
    RunError::Source(SourceError::Refused {
        source_name: "TeleMessage at https://archive.example".to_owned(),
        credential: "source.password".to_owned(),
        detail: "-1".to_owned(),
    })
}

#[tokio::test]
async fn an_alert_has_the_documented_shape_and_nobodys_data() {
    let mut desk = Desk::open().await;
    let items = [
        SeedItem::new(Fate::Imported),
        SeedItem::new(Fate::Failed(Reason::NoValidUser, "detail".to_owned())),
        SeedItem::new(Fate::Pending("detail".to_owned())),
    ];
    desk.run(RunStatus::Failed, Some(unavailable()), &items).await;
    let alert = desk.receiver.got.lock().unwrap()[0].clone();
    assert_eq!(
        alert,
        json!({
            "connector": "whatsapp-archiver",
            "event": "run_failed",
            "text": "WhatsApp Archiver: a run failed: the source is not available: 503 for +•••••",
            "run": "0193a0a0-0000-7000-8000-000000000001",
            "status": "failed",
            "time": "2026-11-22T02:00:00Z",
            "deliveries": {
                "available_for_import": 3, "imported": 1, "partially_imported": 0, "skipped_duplicate": 0, "failed": 1,
                "pending": 1, "carried_over": 0,
            },
            "failed_by_reason": {"no_valid_user": 1},
        })
    );
    for private in ["15550100101", "ana@", "detail"] {
        assert!(!alert.to_string().contains(private), "{private}");
    }
}

#[tokio::test]
async fn the_same_failure_is_reported_once_a_day() {
    let mut desk = Desk::open().await;
    for _ in 0..5 {
        desk.fail(unavailable()).await;
        desk.clock.advance(Duration::from_mins(15));
    }
    assert_eq!(desk.events(), ["run_failed"]);
    desk.clock.advance(Duration::from_hours(23));
    desk.fail(unavailable()).await;
    assert_eq!(desk.events(), ["run_failed", "run_failed"]);
}

#[tokio::test]
async fn every_change_is_reported() {
    let mut desk = Desk::open().await;
    desk.succeed().await;
    assert_eq!(desk.events(), [""; 0], "what goes well is not told");
    desk.fail(unavailable()).await;
    desk.fail(refused()).await;
    desk.run(RunStatus::Incomplete, None, &[SeedItem::new(Fate::Pending("later".to_owned()))]).await;
    desk.succeed().await;
    desk.succeed().await;
    desk.fail(unavailable()).await;
    let reported = ["run_failed", "credential_refused", "run_incomplete", "recovered", "run_failed"];
    assert_eq!(desk.events(), reported);
}

#[tokio::test]
async fn what_was_given_up_is_reported_beside_the_rest() {
    let mut desk = Desk::open().await;
    let given_up = SeedItem::new(Fate::Failed(Reason::MailboxUnavailable, "7 days".to_owned()));
    desk.run(RunStatus::Complete, None, &[given_up.clone(), given_up.clone()]).await;
    assert_eq!(desk.events(), ["deliveries_given_up"]);
    let text = desk.last_text();
    assert!(text.contains(": 2 deliveries failed, and no later run tries them by itself"), "{text}");
    assert!(text.contains("2 mailbox_unavailable (") && text.ends_with("; error: 7 days"), "{text}");
    desk.run(RunStatus::Complete, None, &[given_up]).await;
    assert_eq!(desk.events().len(), 1, "once a day");
    let rejected = SeedItem::new(Fate::Failed(Reason::MailboxRejected, "552 of ana@contoso.example".to_owned()));
    desk.run(RunStatus::Complete, None, &[rejected]).await;
    assert_eq!(desk.events(), ["deliveries_given_up"; 2], "another reason");
    let text = desk.last_text();
    assert!(text.contains("1 mailbox_rejected (the mailbox refused") && text.ends_with("552 of •••@contoso.example"));
}

#[tokio::test]
async fn nothing_is_recovered_while_mailboxes_have_not_taken_copies() {
    let mut desk = Desk::open().await;
    let pending = SeedItem::new(Fate::Pending("the mailbox is full".to_owned()));
    desk.run(RunStatus::Incomplete, None, &[pending]).await;
    for reason in [Reason::MailboxUnavailable, Reason::MailboxRejected] {
        desk.run(RunStatus::Complete, None, &[SeedItem::new(Fate::Failed(reason, "full".to_owned()))]).await;
    }
    assert_eq!(desk.events(), ["run_incomplete", "deliveries_given_up", "deliveries_given_up"]);
    let by_rule = SeedItem::new(Fate::Failed(Reason::NoValidUser, "nobody".to_owned()));
    desk.run(RunStatus::Complete, None, &[by_rule]).await;
    assert_eq!(desk.events()[3..], ["recovered"]);
    let text = desk.last_text();
    assert!(text.contains("left nothing undone; 1 delivery failed by a rule"), "{text}");
    for held in
        ["still held from earlier runs: 1 mailbox_rejected", "still held from earlier runs: 1 mailbox_unavailable"]
    {
        assert!(text.contains(held), "{text}");
    }
}

#[tokio::test]
async fn copies_that_another_process_had_are_left_and_nothing_is_recovered() {
    let mut desk = Desk::open().await;
    desk.fail(unavailable()).await;
    desk.run_leaving(3, RunStatus::Incomplete, None, &[]).await;
    assert_eq!(desk.events(), ["run_failed", "run_incomplete"]);
    assert!(desk.last_text().contains("a run left 3 copies of other runs open"), "{}", desk.last_text());
    desk.succeed().await;
    assert_eq!(desk.events()[2..], ["recovered"]);
}

#[tokio::test]
async fn what_is_pending_is_reported_with_its_error_and_another_cause_anew() {
    let mut desk = Desk::open().await;
    let full = SeedItem::new(Fate::Pending("no room for +445204334324".to_owned()));
    for _ in 0..2 {
        desk.run(RunStatus::Incomplete, None, std::slice::from_ref(&full)).await;
    }
    assert_eq!(desk.events(), ["run_incomplete"]);
    let text = desk.last_text();
    assert!(text.contains("1 delivery pending") && text.contains("1 mailbox (the mailbox did not take"), "{text}");
    assert!(text.ends_with("; error: no room for +•••••"), "{text}");
    let not_sent = SeedItem::new(Fate::Pending("the run ended before its turn".to_owned()));
    desk.run(RunStatus::Incomplete, None, &[full, not_sent]).await;
    assert_eq!(desk.events(), ["run_incomplete"; 2], "another cause");
}

#[tokio::test]
async fn a_run_that_was_stopped_is_no_trouble_and_no_recovery() {
    let mut desk = Desk::open().await;
    desk.fail(RunError::Stopped).await;
    desk.fail(unavailable()).await;
    desk.fail(RunError::Stopped).await;
    desk.fail(unavailable()).await;
    assert_eq!(desk.events(), ["run_failed"]);
}

#[tokio::test]
async fn a_webhook_that_fails_is_tried_again() {
    let mut desk = Desk::open().await;
    let stumbles = [StatusCode::BAD_GATEWAY, StatusCode::TOO_MANY_REQUESTS, StatusCode::INTERNAL_SERVER_ERROR];
    desk.receiver.answers.lock().unwrap().extend(stumbles);
    desk.fail(unavailable()).await;
    assert_eq!(desk.events(), ["run_failed"]);
}

#[tokio::test]
async fn what_could_not_be_reported_is_reported_after_the_next_run() {
    let mut desk = Desk::open().await;
    desk.receiver.answers.lock().unwrap().push(StatusCode::FORBIDDEN);
    desk.fail(unavailable()).await;
    assert_eq!(desk.events(), [""; 0], "a refusal is not repeated");
    desk.fail(unavailable()).await;
    assert_eq!(desk.events(), ["run_failed"]);
    desk.receiver.answers.lock().unwrap().extend([StatusCode::SERVICE_UNAVAILABLE; 4]);
    desk.succeed().await;
    assert_eq!(desk.events().len(), 1, "four tries, then it is left");
    desk.succeed().await;
    assert_eq!(desk.events(), ["run_failed", "recovered"]);
}

#[tokio::test]
async fn nothing_breaks_where_nobody_answers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for webhook in [format!("http://{address}/"), "http://hooks.contoso.example/".to_owned(), "no address".to_owned()] {
        let mut desk = Desk::with(Arc::default(), &webhook).await;
        desk.fail(unavailable()).await;
        assert_eq!(desk.events(), [""; 0]);
    }
}

#[tokio::test]
async fn a_warning_is_posted_when_it_begins_and_when_it_is_over() {
    let mut desk = Desk::open().await;
    desk.succeed().await;
    assert!(desk.look().await);
    assert_eq!(desk.posted(), [""; 0], "a good day");
    desk.reload(Err("mapping.csv:3:1: 445204334324 of susan@contoso.example is twice")).await;
    for _ in 0..3 {
        assert!(desk.look().await);
        desk.clock.advance(Duration::from_mins(5));
        // An administrator saves the file again, and it is still wrong.
        desk.reload(Err("mapping.csv:4:1: still wrong")).await;
    }
    assert_eq!(desk.posted(), ["reload_refused firing mapping_refused"], "once, however often somebody looks");
    let alert = desk.receiver.got.lock().unwrap()[0].clone();
    assert_eq!(
        alert,
        json!({
            "connector": "whatsapp-archiver",
            "event": "reload_refused",
            "state": "firing",
            "warning": "mapping_refused",
            "text": "WhatsApp Archiver: the mapping changed and is wrong; the last good one is in force: mapping.csv:3:1: \
                     ••••• of •••@contoso.example is twice",
            "since": "2026-11-22T02:00:00Z",
            "time": "2026-11-22T02:00:00Z",
        })
    );
    desk.reload(Ok(())).await;
    desk.look().await;
    desk.look().await;
    assert_eq!(desk.posted()[1..], ["reload_refused resolved mapping_refused"]);
    desk.reload(Err("mapping.csv:9:1: wrong again")).await;
    desk.look().await;
    assert_eq!(desk.posted()[2..], ["reload_refused firing mapping_refused"], "another occurrence");
}

#[tokio::test]
async fn a_credential_is_posted_thirty_fourteen_and_three_days_before_its_end_and_at_it() {
    let mut desk = Desk::open().await;
    let ending = |days| CredentialExpiry {
        credential: "staging.sas".to_owned(),
        expires: Some(start() + chrono::Duration::days(days)),
    };
    for _ in 0..42 {
        desk.succeed().await;
        credential::note(&desk.seed.ledger, &[ending(40).into()], desk.clock.now()).await.unwrap();
        desk.look().await;
        desk.clock.advance(Duration::from_hours(24));
    }
    assert_eq!(desk.posted(), ["credential_expires firing credential_expires"; 4]);
    let alert = desk.receiver.got.lock().unwrap()[1].clone();
    assert_eq!(
        (&alert["subject"], &alert["since"]),
        (&json!("staging.sas"), &json!("2026-12-02T02:00:00Z")),
        "{alert}"
    );
    assert!(alert["text"].as_str().unwrap().contains("ends at 2027-01-01T02:00:00Z, in 14 days"), "{alert}");
    credential::note(&desk.seed.ledger, &[ending(400).into()], desk.clock.now()).await.unwrap();
    desk.look().await;
    assert_eq!(desk.posted()[4..], ["credential_expires resolved credential_expires"]);
}

#[tokio::test]
async fn silence_and_an_overdue_run_are_posted() {
    let mut desk = Desk::open().await;
    desk.succeed().await;
    desk.clock.advance(Duration::from_hours(24) + Duration::from_mins(5));
    desk.look().await;
    assert_eq!(desk.posted(), [""; 0], "a daemon that restarts begins it by itself");
    desk.clock.advance(Duration::from_mins(10));
    desk.look().await;
    desk.look().await;
    assert_eq!(desk.posted(), ["run_overdue firing run_overdue"]);
    let alert = desk.receiver.got.lock().unwrap()[0].clone();
    assert!(
        alert["text"].as_str().unwrap().contains("was due at 2026-11-23T02:00:00Z but did not start; no daemon"),
        "{alert}"
    );
    desk.clock.advance(Duration::from_hours(12));
    desk.look().await;
    assert_eq!(desk.posted()[1..], [""; 0], "once");
    desk.clock.advance(Duration::from_hours(48));
    desk.look().await;
    assert_eq!(desk.posted()[1..], ["silence firing watermark_stands_still"]);
    desk.succeed().await;
    desk.look().await;
    assert_eq!(desk.posted()[2..], ["run_overdue resolved run_overdue", "silence resolved watermark_stands_still"]);
}

#[tokio::test]
async fn a_warning_that_could_not_be_posted_is_posted_later() {
    let mut desk = Desk::open().await;
    desk.succeed().await;
    desk.reload(Err("mapping.csv:3:1: wrong")).await;
    desk.receiver.answers.lock().unwrap().push(StatusCode::FORBIDDEN);
    assert!(!desk.look().await);
    assert!(desk.look().await);
    assert_eq!(desk.posted(), ["reload_refused firing mapping_refused"]);
}

#[tokio::test]
async fn owners_who_count_as_gone_are_not_said_to_have_come_back() {
    let mut desk = Desk::open().await;
    let busy = SeedItem::new(Fate::Imported);
    let gone = SeedItem { owner: "15550100142".to_owned(), ..busy.clone() };
    for day in 0..50 {
        let mut items = vec![busy.clone()];
        items.extend((day < 12).then(|| gone.clone()));
        let run = desk.seed.run(desk.clock.now(), RunStatus::Complete, &items).await;
        desk.seed.ledger.note_owners(&run, desk.clock.now()).await.unwrap();
        desk.look().await;
        desk.clock.advance(Duration::from_hours(24));
    }
    assert_eq!(desk.posted(), ["silence firing owners_silent", "silence resolved owners_silent"]);
    let text = desk.last_text();
    assert!(text.contains("1 owner still has no items and is no longer watched"), "{text}");
}

#[tokio::test]
async fn a_valid_mapping_that_lost_lines_is_posted() {
    let mut desk = Desk::open().await;
    desk.succeed().await;
    let nobody = SeedItem::new(Fate::Failed(Reason::NoValidUser, "nobody".to_owned()));
    desk.run(RunStatus::Complete, None, &vec![nobody; 9]).await;
    assert_eq!(desk.events(), [""; 0], "the run itself was a success");
    desk.look().await;
    desk.succeed().await;
    desk.look().await;
    assert_eq!(desk.posted().len(), 1, "one item that came through ends nothing");
    desk.run(RunStatus::Complete, None, &vec![SeedItem::new(Fate::Imported); 20]).await;
    desk.look().await;
    let posted = ["deliveries_given_up firing many_items_failed", "deliveries_given_up resolved many_items_failed"];
    assert_eq!(desk.posted(), posted);
}

#[tokio::test]
async fn a_jump_of_what_was_never_captured_is_posted() {
    let desk = Desk::open().await;
    let jump = r#"{"since":"2026-11-22T02:00:00Z","last":"2026-11-22T02:00:00Z","messages":40}"#;
    desk.seed.ledger.set_meta("captures.jump", Some(jump)).await.unwrap();
    desk.look().await;
    assert_eq!(desk.posted(), ["silence firing never_captured"]);
    assert!(desk.last_text().contains("refer to 40 messages that were never captured"), "{}", desk.last_text());
}
