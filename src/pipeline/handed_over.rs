//! What lies in a mailbox already under another of its addresses.
//!
//! An address that moved to another mailbox was that mailbox's own, before it was renamed, or a leaver's, whose mail
//! somebody else takes now. The two look the same. What tells them apart is the participants: a copy that was recorded
//! under the other address counts as this mailbox's where everybody who has this mailbox now had that one then. So a
//! message isn't doubled by a renaming, and whoever takes a leaver's address gets what they took part in themselves. Nothing
//! is ever sent to a mailbox that was recorded before unless the directory finds it again.

use std::collections::HashSet;

use super::RunError;
use super::prepare::Preparer;
use crate::identity::Identities;
use crate::resolution::{Mailbox, MailboxId, Resolution, ResolvedBy, ResolvedTo};

impl Preparer {
    /// The mailboxes of an item; where one has the message already under another of its addresses, the mailbox as it was then, so that the
    /// item is a duplicate there.
    pub(super) async fn as_recorded(
        &self,
        mailboxes: Vec<(Mailbox, ResolvedBy)>,
        resolution: &Resolution,
        identities: Option<Identities>,
    ) -> Result<Vec<(Mailbox, ResolvedBy)>, RunError> {
        let Some(identities) = identities else { return Ok(mailboxes) };
        let mut recorded = Vec::with_capacity(mailboxes.len());
        for (mailbox, by) in mailboxes {
            let mailbox = match self.known_elsewhere(&mailbox, resolution, &identities).await? {
                Some(known) => self.at_present(&known, self.finder.find_one(&known).await),
                None => mailbox,
            };
            if !recorded.iter().any(|(other, _): &(Mailbox, _)| other.id == mailbox.id) {
                recorded.push((mailbox, by));
            }
        }
        Ok(recorded)
    }

    async fn known_elsewhere(
        &self,
        mailbox: &Mailbox,
        resolution: &Resolution,
        identities: &Identities,
    ) -> Result<Option<Mailbox>, RunError> {
        let deps = &self.pipeline.deps;
        let others: Vec<MailboxId> =
            deps.resolver.other_ids(&mailbox.id).iter().filter(|other| **other != mailbox.id).cloned().collect();
        if others.is_empty() {
            return Ok(None);
        }
        self.recorded().await?;
        let now = who_has(&mailbox.id, resolution);
        for (item, known) in deps.ledger.copies_under(&others, identities).await? {
            let items = deps.ledger.items(&[item]).await?;
            let then = items.get(&item).and_then(|record| record.resolution.as_ref());
            if then.is_some_and(|then| now.is_subset(&who_has(&known.id, then))) {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }
}

/// The participants that have a mailbox, by their keys.
fn who_has(mailbox: &MailboxId, resolution: &Resolution) -> HashSet<String> {
    let has_it =
        |outcome: &ResolvedTo| matches!(outcome, ResolvedTo::Mailbox { mailbox: found, .. } if found.id == *mailbox);
    let resolved = resolution.0.iter().filter(|resolved| has_it(&resolved.outcome));
    resolved.map(|resolved| resolved.participant.key().into_owned()).collect()
}
