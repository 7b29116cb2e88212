//! The user directory of Microsoft 365, through Graph.
//!
//! An address is looked for as a user's principal name, then as a primary address, then among all addresses; whoever is
//! found is valid when Graph can open the inbox. "Not valid" is said only where Graph said so with certainty. Addresses
//! are looked up in batches, each once however many ask at the same time; answers are kept for a while, errors never.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Answer, DirectoryError, UserDirectory};
use crate::clock::SharedClock;
use crate::graph::Graph;
use crate::resolution::Mailbox;
use crate::throttle::Throttle;

mod cache;
mod lookup;

pub use cache::GraphUsersSettings;
use cache::{Cache, Entry};
use lookup::LookUp;

/// The users of a Microsoft 365 tenant.
#[derive(Debug)]
pub struct GraphUsers {
    graph: Graph,
    throttle: Option<Arc<Throttle>>,
    cache: Arc<Cache>,
}

impl GraphUsers {
    /// The users that `graph` knows. Looking at an inbox counts against the mailbox's budget in `throttle`.
    pub fn new(
        graph: Graph,
        throttle: Option<Arc<Throttle>>,
        settings: GraphUsersSettings,
        clock: SharedClock,
    ) -> Self {
        Self { graph, throttle, cache: Arc::new(Cache::new(settings, clock)) }
    }

    /// Looks up what nobody else is looking up already, and answers those who wait.
    async fn ask(&self, places: Vec<cache::Flight>) {
        let addresses: Vec<String> = places.iter().map(|flight| flight.address().to_owned()).collect();
        let answers = LookUp { graph: &self.graph, throttle: self.throttle.as_deref() }.all(&addresses).await;
        for (flight, answer) in places.into_iter().zip(answers) {
            flight.land(answer);
        }
    }
}

#[async_trait]
impl UserDirectory for GraphUsers {
    fn name(&self) -> String {
        format!("Microsoft Graph at {}", self.graph.endpoints().graph().origin().ascii_serialization())
    }

    async fn look_up(&self, addresses: &[String]) -> Vec<Result<Answer, DirectoryError>> {
        let keys: Vec<String> = addresses.iter().map(|address| address.trim().to_lowercase()).collect();
        let mut answers: HashMap<&str, Result<Answer, DirectoryError>> = HashMap::new();
        // More than one round only where somebody who was asking gave up without an answer.
        loop {
            let mut mine = Vec::new();
            let mut others = Vec::new();
            for key in &keys {
                if answers.contains_key(key.as_str()) {
                    continue;
                }
                match self.cache.entry(key) {
                    Entry::Known(answer) => {
                        answers.insert(key, Ok(answer));
                    }
                    Entry::UnderWay(receiver) => others.push((key, receiver)),
                    Entry::Free(flight) => {
                        others.push((key, flight.subscribe()));
                        mine.push(flight);
                    }
                }
            }
            if mine.is_empty() && others.is_empty() {
                break;
            }
            if !mine.is_empty() {
                self.ask(mine).await;
            }
            for (key, mut receiver) in others {
                if let Ok(answer) = receiver.wait_for(Option::is_some).await
                    && let Some(answer) = answer.clone()
                {
                    answers.insert(key, answer);
                }
            }
        }
        let no_answer = || Err(DirectoryError::Unexpected("no answer for an address".to_owned()));
        keys.iter().map(|key| answers.get(key.as_str()).cloned().unwrap_or_else(no_answer)).collect()
    }

    async fn find_again(&self, mailboxes: &[Mailbox]) -> Vec<Result<Answer, DirectoryError>> {
        // What was answered for an address before must not send what is found now elsewhere.
        self.cache.forget(&mailboxes.iter().map(|mailbox| &mailbox.id).collect());
        LookUp { graph: &self.graph, throttle: self.throttle.as_deref() }.again(mailboxes).await
    }
}
