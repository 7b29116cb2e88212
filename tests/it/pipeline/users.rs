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
                Some(primary) => {
                    Answer::Valid(Mailbox { id: MailboxId(format!("id of {primary}")), address: primary.clone() })
                }
                None => Answer::NotValid { detail: "no such user".to_owned() },
            })
        };
        addresses.iter().map(answer).collect()
    }
}
