//! Sessions: at most so many at once, kept for their mailbox while they may be of use again.
//!
//! Guarantees: no more than `connections` are open, idle ones included; a session serves one mailbox under one address all its
//! life; one that went away while nobody used it is noticed before a message is sent on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use imap_codec::imap_types::command::CommandBody;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::folder::{Layout, layout};
use super::passwords::RefusedPasswords;
use super::session::Session;
use super::settings::{ImapAuth, ImapSettings};
use super::sign_in;
use super::transport::Endpoint;
use crate::clock::{Clock, SharedClock};
use crate::mailbox::ImportError;
use crate::resolution::Mailbox;

/// A session that was idle for longer is asked whether it is still there.
const PROBE_AFTER: TimeDelta = TimeDelta::seconds(10);

/// The sessions with one server.
pub(super) struct Pool {
    endpoint: Endpoint,
    settings: ImapSettings,
    clock: SharedClock,
    permits: Semaphore,
    refused: RefusedPasswords,
    sessions: Arc<Mutex<IdleSessions>>,
}

/// The idle sessions, and what is known of their mailboxes.
#[derive(Default)]
struct IdleSessions {
    /// The longest idle first.
    idle: Vec<Idle>,
    known: HashMap<Mailbox, Known>,
    is_watched: bool,
}

struct Idle {
    mailbox: Mailbox,
    session: Session,
    since: DateTime<Utc>,
}

/// What is known of a mailbox.
#[derive(Clone)]
struct Known {
    layout: Layout,
    folder_is_made: bool,
}

impl Pool {
    pub(super) fn new(endpoint: Endpoint, settings: ImapSettings, clock: SharedClock) -> Self {
        let permits = Semaphore::new(settings.connections.clamp(1, Semaphore::MAX_PERMITS));
        Self { endpoint, settings, clock, permits, refused: RefusedPasswords::default(), sessions: Arc::default() }
    }

    /// The most sessions at once.
    pub(super) fn connections(&self) -> usize {
        self.settings.connections.max(1)
    }

    pub(super) fn settings(&self) -> &ImapSettings {
        &self.settings
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The server's address, for messages.
    pub(super) fn server(&self) -> String {
        self.endpoint.name()
    }

    /// A session in `mailbox`, for the caller alone. Waits where `connections` are in use.
    pub(super) async fn check_out(&self, mailbox: &Mailbox) -> Result<Checkout<'_>, ImportError> {
        let permit = self.permits.acquire().await;
        let permit = permit.map_err(|_| ImportError::Unavailable("the sessions are closed".to_owned()))?;
        let session = match self.kept(mailbox).await {
            Some(session) => session,
            None => self.open(&self.settings.login_for(&mailbox.address)).await?,
        };
        Ok(Checkout { pool: self, mailbox: mailbox.clone(), session, _permit: permit })
    }

    /// A new session. A password that is refused is remembered.
    async fn open(&self, login: &str) -> Result<Session, ImportError> {
        let attempt = match &self.settings.auth {
            ImapAuth::XOAuth2(_) => None,
            ImapAuth::Password(source) => {
                let password = source().map_err(ImportError::Forbidden)?;
                Some(self.refused.attempt(login, password, self.clock.now()).await?)
            }
        };
        sign_in::open(&self.endpoint, &self.settings, login, attempt).await
    }

    /// The kept session of a mailbox, where it is still there.
    async fn kept(&self, mailbox: &Mailbox) -> Option<Session> {
        let Idle { mut session, since, .. } = self.take(mailbox)?;
        // Lets the runtime notice what came from the network, such as the end of the stream.
        tokio::task::yield_now().await;
        let age = self.clock.now() - since;
        if !session.connection.is_quiet() || age < TimeDelta::zero() || age >= time_delta(self.settings.timeouts.idle) {
            return None;
        }
        if age >= PROBE_AFTER {
            session.run(CommandBody::Noop).await.ok()?;
        }
        Some(session)
    }

    /// Takes the idle session of a mailbox. Without one, those go that were idle for longest and would make one
    /// too many.
    fn take(&self, mailbox: &Mailbox) -> Option<Idle> {
        let mut kept = lock(&self.sessions);
        if let Some(place) = kept.idle.iter().rposition(|idle| idle.mailbox == *mailbox) {
            return Some(kept.idle.remove(place));
        }
        // Each session in use has a permit, the caller's new one among them; the others may be idle.
        let surplus = kept.idle.len().saturating_sub(self.permits.available_permits());
        kept.idle.drain(..surplus);
        None
    }

    fn keep(&self, mailbox: Mailbox, session: Session) {
        let mut kept = lock(&self.sessions);
        kept.idle.push(Idle { mailbox, session, since: self.clock.now() });
        if !std::mem::replace(&mut kept.is_watched, true) {
            let watch = watch(Arc::downgrade(&self.sessions), Arc::clone(&self.clock), self.settings.timeouts.idle);
            tokio::spawn(watch);
        }
    }
}

/// Closes sessions that nobody uses, and ends with the last of them.
async fn watch(sessions: Weak<Mutex<IdleSessions>>, clock: Arc<dyn Clock>, idle: Duration) {
    loop {
        clock.sleep(idle).await;
        let Some(sessions) = sessions.upgrade() else { return };
        let mut sessions = lock(&sessions);
        let now = clock.now();
        sessions.idle.retain(|kept| kept.since <= now && now - kept.since < time_delta(idle));
        if sessions.idle.is_empty() {
            sessions.is_watched = false;
            return;
        }
    }
}

fn lock(sessions: &Mutex<IdleSessions>) -> MutexGuard<'_, IdleSessions> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}

fn time_delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

/// A session in use. Dropped, it is closed; [`Checkout::check_in`] keeps it.
pub(super) struct Checkout<'a> {
    pub(super) session: Session,
    pool: &'a Pool,
    mailbox: Mailbox,
    _permit: SemaphorePermit<'a>,
}

impl Checkout<'_> {
    /// Where the folders of this mailbox are.
    pub(super) async fn layout(&mut self) -> Result<Layout, ImportError> {
        if let Some(known) = lock(&self.pool.sessions).known.get(&self.mailbox) {
            return Ok(known.layout.clone());
        }
        let layout = layout(&mut self.session, &self.pool.settings.folder).await?;
        let known = Known { layout: layout.clone(), folder_is_made: false };
        lock(&self.pool.sessions).known.insert(self.mailbox.clone(), known);
        Ok(layout)
    }

    /// Whether the archive folder was there when it was last spoken of.
    pub(super) fn folder_is_made(&self) -> bool {
        lock(&self.pool.sessions).known.get(&self.mailbox).is_some_and(|known| known.folder_is_made)
    }

    /// Takes note of whether the archive folder is there.
    pub(super) fn note_folder(&self, is_made: bool) {
        if let Some(known) = lock(&self.pool.sessions).known.get_mut(&self.mailbox) {
            known.folder_is_made = is_made;
        }
    }

    /// Gives the session back to the pool.
    pub(super) fn check_in(self) {
        let Self { session, pool, mailbox, _permit } = self;
        pool.keep(mailbox, session);
    }
}
