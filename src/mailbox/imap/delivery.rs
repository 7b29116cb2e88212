//! A batch of messages into one mailbox: what is sent, what is sent again because it was certainly refused, and one
//! result for each message.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::abilities::Abilities;
use super::append::{AppendResult, Appended, append};
use super::batch::groups;
use super::folder::create;
use super::pool::Checkout;
use super::refusal::Meaning;
use super::session::CommandError;
use crate::convert::Message;
use crate::mailbox::{ImportError, RemoteId, SendPermit};

type Results = Vec<Result<RemoteId, ImportError>>;

/// Brings messages into the archive folder of the session's mailbox.
pub(super) async fn deliver(mut checkout: Checkout<'_>, messages: &[Arc<Message>], permit: &SendPermit) -> Results {
    let prepared = prepare(&mut checkout).await;
    match prepared {
        Ok(abilities) => {
            let delivery = Delivery::new(&abilities, messages, permit);
            delivery.run(checkout, &abilities).await
        }
        Err(error) => vec![Err(error); messages.len()],
    }
}

/// Makes the folder where this process hasn't seen it yet.
async fn prepare(checkout: &mut Checkout<'_>) -> Result<Abilities, ImportError> {
    let layout = checkout.layout().await?;
    if !checkout.folder_is_made() {
        create(&mut checkout.session, &layout).await?;
        checkout.note_folder(true);
    }
    checkout.session.abilities().await.map_err(|error| error.because("asking what the server can do"))
}

struct Delivery<'a> {
    permit: &'a SendPermit,
    messages: &'a [Arc<Message>],
    results: Vec<Option<Result<RemoteId, ImportError>>>,
    waiting: VecDeque<Range<usize>>,
    /// Whether the folder was made again: once in a batch is enough.
    made_again: bool,
}

impl<'a> Delivery<'a> {
    fn new(abilities: &Abilities, messages: &'a [Arc<Message>], permit: &'a SendPermit) -> Self {
        let sizes: Vec<u64> = messages.iter().map(|message| message.size()).collect();
        let mut delivery = Self {
            permit,
            messages,
            results: vec![None; messages.len()],
            waiting: groups(&sizes, abilities.multi_append()).into(),
            made_again: false,
        };
        delivery.reject_too_large(abilities, &sizes);
        delivery
    }

    /// Rejects what the server said beforehand that it doesn't take.
    fn reject_too_large(&mut self, abilities: &Abilities, sizes: &[u64]) {
        let Some(limit) = abilities.append_limit() else { return };
        let is_too_large = |place: &usize| sizes.get(*place).is_some_and(|size| *size > limit);
        if !(0..sizes.len()).any(|place| is_too_large(&place)) {
            return;
        }
        let (too_large, fitting): (Vec<usize>, Vec<usize>) = (0..sizes.len()).partition(is_too_large);
        for place in too_large {
            let detail = format!("the server takes messages of up to {limit} bytes (APPENDLIMIT)");
            self.set_result(place..place + 1, &Err(ImportError::Rejected(detail)));
        }
        self.waiting = fitting.into_iter().map(|place| place..place + 1).collect();
    }

    async fn run(mut self, mut checkout: Checkout<'_>, abilities: &Abilities) -> Results {
        let mut doubtful = false;
        while !self.waiting.is_empty() {
            match self.round(&mut checkout, abilities).await {
                Ok(appended) => {
                    doubtful |= appended.doubtful;
                    if !appended.connected {
                        self.set_waiting(&ImportError::Unavailable("the connection was lost".to_owned()));
                        return self.finish();
                    }
                }
                Err(error) => {
                    self.set_waiting(&error);
                    return self.finish();
                }
            }
        }
        if !doubtful {
            checkout.check_in();
        }
        self.finish()
    }

    /// Sends all that waits. What may be sent again after a certain refusal waits anew.
    async fn round(&mut self, checkout: &mut Checkout<'_>, abilities: &Abilities) -> Result<Appended, ImportError> {
        let layout = checkout.layout().await?;
        if !abilities.multi_append() {
            // A server that opens the folder for each single APPEND is several times slower.
            match checkout.session.select(&layout.archive).await {
                Ok(()) => {}
                Err(CommandError::Refused(refusal)) if !self.made_again && refusal.is_about_the_folder() => {
                    self.make_again(checkout).await?;
                    checkout
                        .session
                        .select(&layout.archive)
                        .await
                        .map_err(|error| error.because("opening the folder"))?;
                }
                Err(error) => return Err(error.because("opening the folder")),
            }
        }
        let waiting = std::mem::take(&mut self.waiting);
        let mut appended = append(&mut checkout.session, abilities, &layout, self.messages, waiting, self.permit).await;
        let mut folder_is_gone = false;
        for (group, outcome) in std::mem::take(&mut appended.outcomes) {
            folder_is_gone |= self.take(group, outcome);
        }
        if folder_is_gone && appended.connected {
            self.make_again(checkout).await?;
        }
        Ok(appended)
    }

    /// Sets the result of a group, or lets it wait for another round. Whether the folder has to be made again first.
    fn take(&mut self, group: Range<usize>, outcome: AppendResult) -> bool {
        match outcome {
            AppendResult::Arrived(ids) => {
                for (place, id) in group.zip(ids) {
                    self.set_result(place..place + 1, &Ok(id));
                }
            }
            AppendResult::Unknown(detail) => self.set_result(group, &Err(ImportError::OutcomeUnknown(detail))),
            AppendResult::Unsent(error) => self.set_result(group, &Err(error)),
            AppendResult::Refused(refusal) if refusal.meaning() == Meaning::NoFolder && !self.made_again => {
                self.waiting.push_back(group);
                return true;
            }
            // All or none arrive: which of them is refused shows when each goes alone.
            AppendResult::Refused(refusal) if group.len() > 1 && refusal.is_about_one_of_several() => {
                self.waiting.extend(group.map(|place| place..place + 1));
            }
            AppendResult::Refused(refusal) => self.set_result(group, &Err(refusal.of_message())),
        }
        false
    }

    async fn make_again(&mut self, checkout: &mut Checkout<'_>) -> Result<(), ImportError> {
        self.made_again = true;
        checkout.note_folder(false);
        checkout.session.forget_selected();
        let layout = checkout.layout().await?;
        create(&mut checkout.session, &layout).await?;
        checkout.note_folder(true);
        Ok(())
    }

    fn set_result(&mut self, group: Range<usize>, result: &Result<RemoteId, ImportError>) {
        for slot in self.results.get_mut(group).unwrap_or_default() {
            *slot = Some(result.clone());
        }
    }

    fn set_waiting(&mut self, error: &ImportError) {
        for group in std::mem::take(&mut self.waiting) {
            self.set_result(group, &Err(error.clone()));
        }
    }

    fn finish(self) -> Results {
        let no_result = || Err(ImportError::OutcomeUnknown("the server's answer named no outcome".to_owned()));
        self.results.into_iter().map(|result| result.unwrap_or_else(no_result)).collect()
    }
}
