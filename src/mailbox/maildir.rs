//! Copies as files: a Maildir++ for each mailbox, for Dovecot, mutt and every other program that reads one.
//!
//! A success is on the disk: content, name and directory. A message that is delivered twice meets its own file and
//! stays one. Nothing that is there is ever changed or overwritten. The work is done on threads that may block, a
//! batch at a time; the happy path lists no directory.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::self_test::{ByteExact, Finding, SelfTest, try_out};
use super::{Destination, DestinationLimits, ImportError, RemoteId, SendPermit, Verdict};
use crate::convert::{Manifest, Message};
use crate::identity::MessageId;
use crate::panics;
use crate::resolution::Mailbox;

mod deliver;
mod file_name;
mod io_error;
mod layout;
mod look;

pub use layout::InvalidFolder;
use layout::Layout;

/// The day of the message of a self-test: any that is past.
const SELF_TEST_DATE: DateTime<Utc> = DateTime::from_timestamp_nanos(1_767_225_600_000_000_000);

/// How many mailboxes are remembered as having their folder. Beyond that, they are checked again.
const MAX_KNOWN: usize = 100_000;

/// The Maildirs below one directory.
#[derive(Debug, Clone)]
pub struct Maildirs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    layout: Layout,
    /// The addresses whose folder was there when it was last used.
    known: Mutex<HashSet<String>>,
}

impl Maildirs {
    /// The Maildirs below `root`, with archive folders named `folder`. The name is encoded as Maildir++ does it; `/` and
    /// `.` in it stand for the next level of a hierarchy of folders. Nothing is made before it is needed.
    pub fn new(root: PathBuf, folder: &str) -> Result<Self, InvalidFolder> {
        let layout = Layout::new(root, folder)?;
        Ok(Self(Arc::new(Shared { layout, known: Mutex::default() })))
    }

    /// One message in an archive folder, for whoever wants to see one: the first by name of the first mailbox that has any.
    pub fn sample(&self) -> Option<PathBuf> {
        self.0.layout.sample()
    }

    /// Reads a mailbox on a thread that may block.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Layout) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, ImportError> {
        let shared = Arc::clone(&self.0);
        let looked = panics::blocking(move || look(&shared.layout)).await;
        let looked = looked.map_err(|error| ImportError::Unexpected(format!("the mailbox was not read: {error}")))?;
        looked.map_err(|error| io_error::import_error(&error, "the mailbox can't be read"))
    }
}

impl Shared {
    fn deliver(
        &self,
        address: &str,
        messages: &[Arc<Message>],
        permit: &SendPermit,
    ) -> Vec<Result<RemoteId, ImportError>> {
        let is_known = self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(address);
        let results = deliver::deliver(&self.layout, address, is_known, messages, permit);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !results.iter().all(Result::is_ok) {
            known.remove(address);
        } else if !is_known {
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert(address.to_owned());
        }
        results
    }
}

#[async_trait]
impl Destination for Maildirs {
    fn name(&self) -> String {
        "maildir".to_owned()
    }

    /// The files of a batch are open at the same time, so that the disk can take them together.
    fn limits(&self) -> DestinationLimits {
        DestinationLimits { batch_messages: 64, batch_bytes: 16 * 1024 * 1024, mailboxes: 4 }
    }

    /// The name of a file is a function of its message: even an attempt that ends late makes no second one.
    fn settle(&self) -> Duration {
        Duration::ZERO
    }

    async fn import(
        &self,
        mailbox: &Mailbox,
        messages: &[Arc<Message>],
        permit: &SendPermit,
    ) -> Vec<Result<RemoteId, ImportError>> {
        if messages.is_empty() {
            return Vec::new();
        }
        let (shared, address, batch) = (Arc::clone(&self.0), mailbox.address.clone(), messages.to_vec());
        let permit = permit.clone();
        match panics::blocking(move || shared.deliver(&address, &batch, &permit)).await {
            Ok(results) => results,
            Err(error) => {
                let unknown = ImportError::OutcomeUnknown(format!("the delivery was broken off: {error}"));
                messages.iter().map(|_| Err(unknown.clone())).collect()
            }
        }
    }

    async fn recover(
        &self,
        mailbox: &Mailbox,
        message: &Message,
        _permit: &SendPermit,
    ) -> Result<Option<RemoteId>, ImportError> {
        let (address, id) = (mailbox.address.clone(), message.mail.message_id.clone());
        self.look(move |layout| look::recover(layout, &address, &id)).await
    }

    async fn absent(&self, mailbox: &Mailbox, ids: &[MessageId]) -> Result<HashSet<MessageId>, ImportError> {
        let (address, ids) = (mailbox.address.clone(), ids.to_vec());
        self.look(move |layout| look::absent(layout, &address, ids)).await
    }

    async fn verify(&self, mailbox: &Mailbox, sent: &[Manifest]) -> Result<Vec<Verdict>, ImportError> {
        let (address, sent) = (mailbox.address.clone(), sent.to_vec());
        self.look(move |layout| look::verify(layout, &address, &sent)).await
    }

    async fn count(&self, mailbox: &Mailbox, ids: &[MessageId]) -> Result<Vec<usize>, ImportError> {
        let (address, ids) = (mailbox.address.clone(), ids.to_vec());
        self.look(move |layout| look::count(layout, &address, &ids)).await
    }

    async fn inventory(&self, mailbox: &Mailbox) -> Result<Vec<MessageId>, ImportError> {
        let address = mailbox.address.clone();
        self.look(move |layout| look::inventory(layout, &address)).await
    }
}

#[async_trait]
impl ByteExact for Maildirs {
    async fn take_back(&self, mailbox: &Mailbox, id: &MessageId) -> Result<(), ImportError> {
        let (address, id) = (mailbox.address.clone(), id.clone());
        self.look(move |layout| look::remove(layout, &address, &id)).await
    }
}

#[async_trait]
impl SelfTest for Maildirs {
    async fn self_test(&self, mailbox: &Mailbox) -> Vec<Finding> {
        try_out(self, mailbox, SELF_TEST_DATE).await
    }
}
