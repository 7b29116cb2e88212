//! Mailboxes under the ids that the ledger knows them by.
//!
//! A user list knows a mailbox by its primary address. When that is renamed, and the list states the former address as
//! such, the mailbox keeps its id, so that nothing it has is imported into it again. A plain alias never does that: it may
//! be a leaver's address, and what was meant for the leaver is not for whoever takes their mail.

use std::sync::Arc;

use async_trait::async_trait;

use crate::ledger::Ledger;
use crate::resolution::{Mailbox, MailboxId};
use crate::resolve::users::{Answer, DirectoryError, UserDirectory};

/// A user directory whose mailboxes keep their ids.
pub(super) struct KnownMailboxes {
    directory: Arc<dyn UserDirectory>,
    ledger: Ledger,
}

impl KnownMailboxes {
    pub(super) fn new(directory: Arc<dyn UserDirectory>, ledger: Ledger) -> Self {
        Self { directory, ledger }
    }

    /// The mailbox under its own id where the ledger has copies for that, or else under the first former one that has.
    async fn under_known_id(&self, mailbox: Mailbox) -> Result<Mailbox, DirectoryError> {
        let former = self.directory.former_ids(&mailbox.id);
        if former.is_empty() {
            return Ok(mailbox);
        }
        for id in std::iter::once(&mailbox.id).chain(former) {
            let known = self.ledger.has_copies_for(id).await;
            if known.map_err(|error| DirectoryError::Unavailable(format!("the ledger does not answer: {error}")))? {
                return Ok(Mailbox { id: id.clone(), address: mailbox.address });
            }
        }
        Ok(mailbox)
    }
}

#[async_trait]
impl UserDirectory for KnownMailboxes {
    fn name(&self) -> String {
        self.directory.name()
    }

    async fn look_up(&self, addresses: &[String]) -> Vec<Result<Answer, DirectoryError>> {
        let answers = self.directory.look_up(addresses).await;
        let mut known = Vec::with_capacity(answers.len());
        for answer in answers {
            known.push(match answer {
                Ok(Answer::Valid(mailbox)) => self.under_known_id(mailbox).await.map(Answer::Valid),
                other => other,
            });
        }
        known
    }

    fn former_ids(&self, mailbox: &MailboxId) -> &[MailboxId] {
        self.directory.former_ids(mailbox)
    }

    fn other_ids(&self, mailbox: &MailboxId) -> &[MailboxId] {
        self.directory.other_ids(mailbox)
    }

    async fn find_again(&self, mailboxes: &[Mailbox]) -> Vec<Result<Answer, DirectoryError>> {
        self.directory.find_again(mailboxes).await
    }
}
