//! Mailboxes that keep what they are sent, and fail as they are told.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use tokio::sync::{Notify, watch};
use whatsapp_archiver::clock::{Clock as _, ManualClock};
use whatsapp_archiver::convert::{Manifest, Message};
use whatsapp_archiver::identity::MessageId;
use whatsapp_archiver::mailbox::{Destination, DestinationLimits, ImportError, RemoteId, SendPermit, Verdict};
use whatsapp_archiver::resolution::Mailbox;

use crate::oracle::{Found, Mailboxes};

/// What a mailbox does with one message instead of taking it.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Refuses it for good.
    Reject,
    /// Takes it, and the answer is lost.
    TakeAndLoseTheAnswer,
    /// Takes it without one of its files.
    TakeWithoutAFile,
    /// The request is lost.
    LoseTheRequest,
    /// Asks for a pause.
    Throttle(Duration),
    /// Can't be reached.
    Down,
    /// A permission is missing.
    Forbid,
    /// Answers with an unexpected error.
    Surprise,
}

impl Act {
    fn error(&self) -> ImportError {
        let reported = |what: &str| what.to_owned();
        match self {
            Self::TakeWithoutAFile => ImportError::Incomplete {
                remote: RemoteId("there".to_owned()),
                detail: reported("\"a.exe\": not here"),
            },
            Self::Reject => ImportError::Rejected(reported("it has a virus")),
            Self::TakeAndLoseTheAnswer | Self::LoseTheRequest => ImportError::OutcomeUnknown(reported("no answer")),
            Self::Throttle(after) => {
                ImportError::Throttled { after: Some(*after), detail: reported("too many requests") }
            }
            Self::Down => ImportError::Unavailable(reported("no connection")),
            Self::Forbid => ImportError::Forbidden(reported("access is denied")),
            Self::Surprise => ImportError::Unexpected(reported("418")),
        }
    }
}

/// A call of the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To import so many messages.
    Import(usize),
    /// To look one up.
    LookUp,
}

/// A call, by the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) at: DateTime<Utc>,
    pub(crate) mailbox: String,
    pub(crate) asked: Asked,
}

#[derive(Default)]
struct State {
    held: BTreeMap<String, Vec<(MessageId, Vec<u8>)>>,
    once: BTreeMap<String, VecDeque<Act>>,
    always: BTreeMap<String, Act>,
    no_look_ups: Option<Act>,
    closed: BTreeMap<String, DateTime<Utc>>,
    calls: Vec<Call>,
    at_work: usize,
    most_at_work: usize,
}

/// The destination.
pub(crate) struct ScriptedDestination {
    clock: Arc<ManualClock>,
    limits: DestinationLimits,
    settle: Mutex<Duration>,
    /// Whether it says of many copies at once that they are not there.
    tells_absence: AtomicBool,
    state: Mutex<State>,
    /// So many calls go on; those after them wait.
    admitted: watch::Sender<usize>,
    arrived: Notify,
}

impl ScriptedDestination {
    pub(crate) fn new(clock: &Arc<ManualClock>, limits: DestinationLimits) -> Self {
        let (clock, settle) = (Arc::clone(clock), Mutex::new(Duration::from_mins(2)));
        let admitted = watch::Sender::new(usize::MAX);
        Self {
            clock,
            limits,
            settle,
            tells_absence: AtomicBool::new(false),
            state: Mutex::default(),
            admitted,
            arrived: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What a mailbox does with the next message that it isn't told about yet.
    pub(crate) fn next(&self, mailbox: &str, act: Act) {
        self.state().once.entry(mailbox.to_owned()).or_default().push_back(act);
    }

    /// What a mailbox does with every message, until `None` ends that.
    pub(crate) fn always(&self, mailbox: &str, act: Option<Act>) {
        let mut state = self.state();
        match act {
            Some(act) => state.always.insert(mailbox.to_owned(), act),
            None => state.always.remove(mailbox),
        };
    }

    /// What look-ups are answered with, until `None` ends that.
    pub(crate) fn fail_look_ups(&self, act: Option<Act>) {
        self.state().no_look_ups = act;
    }

    /// The destination knows that a mailbox takes nothing until then.
    pub(crate) fn close(&self, mailbox: &str, until: DateTime<Utc>) {
        self.state().closed.insert(mailbox.to_owned(), until);
    }

    /// It settles after so long, and says of many copies at once that they are not there.
    pub(crate) fn settle_after(&self, settle: Duration) {
        *self.settle.lock().unwrap() = settle;
        self.tells_absence.store(true, Ordering::SeqCst);
    }

    /// From now on calls wait.
    pub(crate) fn shut(&self) {
        // A call of before is none that waits.
        let _ = self.arrived.notified().now_or_never();
        let calls = self.state().calls.len();
        self.admitted.send_replace(calls);
    }

    /// Calls go on.
    pub(crate) fn reopen(&self) {
        self.admitted.send_replace(usize::MAX);
    }

    /// While it is shut, one more call goes on.
    pub(crate) fn admit_one(&self) {
        self.admitted.send_modify(|admitted| *admitted += 1);
    }

    /// Returns when a call waits.
    pub(crate) async fn until_asked(&self) {
        self.arrived.notified().await;
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// How many messages were sent to a mailbox, whether it took them or not.
    pub(crate) fn sent_to(&self, mailbox: &str) -> usize {
        let sent = |call: &Call| match call.asked {
            Asked::Import(count) if call.mailbox == mailbox => count,
            _ => 0,
        };
        self.state().calls.iter().map(sent).sum()
    }

    /// How many copies were looked up.
    pub(crate) fn look_ups(&self) -> usize {
        self.state().calls.iter().filter(|call| call.asked == Asked::LookUp).count()
    }

    /// The most mailboxes that were worked on at the same time.
    pub(crate) fn most_at_work(&self) -> usize {
        self.state().most_at_work
    }

    /// What the mailboxes hold, by address.
    pub(crate) fn mailboxes(&self) -> Mailboxes {
        let state = self.state();
        let read = |copies: &Vec<(MessageId, Vec<u8>)>| {
            let mut found: Vec<Found> = copies.iter().map(|(_, mime)| Found::read(mime)).collect();
            found.sort();
            found
        };
        state.held.iter().map(|(address, copies)| (address.clone(), read(copies))).collect()
    }

    /// The bytes of a mailbox's messages, in order of their arrival.
    pub(crate) fn mimes(&self, mailbox: &str) -> Vec<Vec<u8>> {
        let state = self.state();
        state.held.get(mailbox).into_iter().flatten().map(|(_, mime)| mime.clone()).collect()
    }

    async fn enter(&self, mailbox: &Mailbox, asked: Asked) {
        let place = {
            let mut state = self.state();
            state.calls.push(Call { at: self.clock.now(), mailbox: mailbox.address.clone(), asked });
            state.at_work += 1;
            state.most_at_work = state.most_at_work.max(state.at_work);
            state.calls.len() - 1
        };
        self.arrived.notify_one();
        self.admitted.subscribe().wait_for(|admitted| *admitted > place).await.unwrap();
        self.state().at_work -= 1;
    }
}

impl State {
    fn take(&mut self, mailbox: &str, message: &Message) -> Result<RemoteId, ImportError> {
        let once = self.once.get_mut(mailbox).and_then(VecDeque::pop_front);
        let act = once.or_else(|| self.always.get(mailbox).cloned());
        if matches!(act, None | Some(Act::TakeAndLoseTheAnswer | Act::TakeWithoutAFile)) {
            let held = self.held.entry(mailbox.to_owned()).or_default();
            held.push((message.mail.message_id.clone(), message.mime().to_vec()));
        }
        match act {
            Some(act) => Err(act.error()),
            None => Ok(RemoteId(message.mail.message_id.to_string())),
        }
    }
}

#[async_trait]
impl Destination for ScriptedDestination {
    fn name(&self) -> String {
        "scripted".to_owned()
    }

    fn limits(&self) -> DestinationLimits {
        self.limits
    }

    fn settle(&self) -> Duration {
        *self.settle.lock().unwrap()
    }

    async fn absent(&self, mailbox: &Mailbox, ids: &[MessageId]) -> Result<HashSet<MessageId>, ImportError> {
        if !self.tells_absence.load(Ordering::SeqCst) {
            return Ok(HashSet::new());
        }
        let state = self.state();
        let is_there =
            |id: &MessageId| state.held.get(&mailbox.address).into_iter().flatten().any(|(held, _)| held == id);
        Ok(ids.iter().filter(|id| !is_there(id)).cloned().collect())
    }

    fn closed_until(&self, mailbox: &Mailbox) -> Option<DateTime<Utc>> {
        self.state().closed.get(&mailbox.address).copied().filter(|until| *until > self.clock.now())
    }

    async fn import(
        &self,
        mailbox: &Mailbox,
        messages: &[Arc<Message>],
        _permit: &SendPermit,
    ) -> Vec<Result<RemoteId, ImportError>> {
        self.enter(mailbox, Asked::Import(messages.len())).await;
        let mut state = self.state();
        messages.iter().map(|message| state.take(&mailbox.address, message)).collect()
    }

    async fn recover(
        &self,
        mailbox: &Mailbox,
        message: &Message,
        _permit: &SendPermit,
    ) -> Result<Option<RemoteId>, ImportError> {
        self.enter(mailbox, Asked::LookUp).await;
        let state = self.state();
        if let Some(act) = &state.no_look_ups {
            return Err(act.error());
        }
        let held = state.held.get(&mailbox.address).into_iter().flatten();
        let is_there = held.into_iter().any(|(id, _)| *id == message.mail.message_id);
        Ok(is_there.then(|| RemoteId(message.mail.message_id.to_string())))
    }

    async fn verify(&self, _mailbox: &Mailbox, sent: &[Manifest]) -> Result<Vec<Verdict>, ImportError> {
        Ok(sent.iter().map(|_| Verdict::Intact).collect())
    }

    async fn count(&self, mailbox: &Mailbox, ids: &[MessageId]) -> Result<Vec<usize>, ImportError> {
        let state = self.state();
        let held = state.held.get(&mailbox.address).map(Vec::as_slice).unwrap_or_default();
        Ok(ids.iter().map(|id| held.iter().filter(|(held, _)| held == id).count()).collect())
    }

    async fn inventory(&self, _mailbox: &Mailbox) -> Result<Vec<MessageId>, ImportError> {
        Ok(Vec::new())
    }
}
