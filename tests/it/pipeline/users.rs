//! A directory of users that can fall silent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use whatsapp_archiver::resolution::{Mailbox, MailboxId};
use whatsapp_archiver::resolve::users::{Answer, DirectoryError, UserDirectory};

#[derive(Default)]
struct State {
    /// Addresses, and the primary address of whose they are.
    users: BTreeMap<String, String>,
    /// The ids of mailboxes by their primary addresses, where they aren't made of those.
    ids: BTreeMap<String, String>,
    /// How many mailboxes were looked for again.
    looked_for: usize,
    silent: BTreeSet<String>,
    /// For whom it asks for a pause, and how long.
    throttled: BTreeMap<String, Duration>,
    /// Asked now, it never answers; the token tells that it was.
    hangs: Option<CancellationToken>,
}

/// The directory.
#[derive(Default)]
pub(crate) struct ScriptedUsers(Mutex<State>);

impl ScriptedUsers {
    /// Makes these addresses valid users' own.
    pub(crate) fn add(&self, addresses: &[&str]) {
        let mut state = self.0.lock().unwrap();
        state.users.extend(addresses.iter().map(|&address| (address.to_owned(), address.to_owned())));
    }

    /// Makes an address another one of a user's.
    pub(crate) fn add_alias(&self, alias: &str, primary: &str) {
        self.0.lock().unwrap().users.insert(alias.to_owned(), primary.to_owned());
    }

    /// Gives a primary address to a new mailbox.
    pub(crate) fn give_to_somebody_else(&self, primary: &str) {
        self.0.lock().unwrap().ids.insert(primary.to_owned(), format!("another id of {primary}"));
    }

    /// Gives it back.
    pub(crate) fn give_back(&self, primary: &str) {
        self.0.lock().unwrap().ids.remove(primary);
    }

    /// Gives a mailbox another primary address.
    pub(crate) fn rename(&self, primary: &str, renamed: &str) {
        let mut state = self.0.lock().unwrap();
        state.users.remove(primary);
        state.users.insert(renamed.to_owned(), renamed.to_owned());
        state.ids.insert(renamed.to_owned(), format!("id of {primary}"));
    }

    /// How many mailboxes were looked for again so far.
    pub(crate) fn looked_for(&self) -> usize {
        self.0.lock().unwrap().looked_for
    }

    /// Whether the directory gives no answer for an address.
    pub(crate) fn set_silent(&self, address: &str, silent: bool) {
        let mut state = self.0.lock().unwrap();
        if silent {
            state.silent.insert(address.to_owned());
        } else {
            state.silent.remove(address);
        }
    }
}

impl ScriptedUsers {
    /// Makes the directory ask for a pause when it is asked for an address.
    pub(crate) fn throttle(&self, address: &str, pause: Duration) {
        self.0.lock().unwrap().throttled.insert(address.to_owned(), pause);
    }

    /// Makes it ask for no pauses any more.
    pub(crate) fn answer_again(&self) {
        self.0.lock().unwrap().throttled.clear();
    }

    /// Makes the directory answer nobody any more; the token tells when it was asked.
    pub(crate) fn hang(&self) -> CancellationToken {
        self.0.lock().unwrap().hangs.insert(CancellationToken::new()).clone()
    }

    /// Makes it answer again.
    pub(crate) fn go_on(&self) {
        self.0.lock().unwrap().hangs = None;
    }
}

#[async_trait]
impl UserDirectory for ScriptedUsers {
    fn name(&self) -> String {
        "scripted".to_owned()
    }

    async fn look_up(&self, addresses: &[String]) -> Vec<Result<Answer, DirectoryError>> {
        let hangs = self.0.lock().unwrap().hangs.clone();
        if let Some(asked) = hangs {
            asked.cancel();
            std::future::pending::<()>().await;
        }
        let state = self.0.lock().unwrap();
        let answer = |address: &String| {
            if state.silent.contains(address) {
                return Err(DirectoryError::Unavailable("no connection".to_owned()));
            }
            if let Some(&pause) = state.throttled.get(address) {
                return Err(DirectoryError::Throttled { after: Some(pause), detail: "slow down".to_owned() });
            }
            Ok(match state.users.get(address) {
                Some(primary) => Answer::Valid(state.mailbox(primary)),
                None => Answer::NotValid { detail: "no such user".to_owned() },
            })
        };
        addresses.iter().map(answer).collect()
    }

    async fn find_again(&self, mailboxes: &[Mailbox]) -> Vec<Result<Answer, DirectoryError>> {
        let mut state = self.0.lock().unwrap();
        state.looked_for += mailboxes.len();
        let answer = |known: &Mailbox| {
            if state.silent.contains(&known.address) {
                return Err(DirectoryError::Unavailable("no connection".to_owned()));
            }
            let mut all = state.users.values().map(|primary| state.mailbox(primary));
            let gone = || Answer::NotValid { detail: format!("no user has the id {}", known.id) };
            Ok(all.find(|mailbox| mailbox.id == known.id).map_or_else(gone, Answer::Valid))
        };
        mailboxes.iter().map(answer).collect()
    }
}

impl State {
    fn mailbox(&self, primary: &String) -> Mailbox {
        let id = self.ids.get(primary).cloned().unwrap_or_else(|| format!("id of {primary}"));
        Mailbox { id: MailboxId(id), address: primary.clone() }
    }
}
