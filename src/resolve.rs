//! Whose mailboxes an item belongs in.
//!
//! For each participant the administrator's mapping is looked at first; where that yields no valid user, the item's
//! e-mail property; where neither does, the item is not imported for that participant. "Valid" means that the user
//! directory says so. No answer of the directory is no answer, never "not valid".

use serde::{Deserialize, Serialize};

use crate::item::Participant;

pub mod address;
pub mod mapping;
mod table;
pub mod users;

/// The directory's own id of a mailbox: the same for all its addresses, and after it is renamed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailboxId(pub String);

impl std::fmt::Display for MailboxId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A mailbox that copies are imported into.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mailbox {
    /// What tells mailboxes apart.
    pub id: MailboxId,
    /// Its primary address: valid (RFC 5321), without a display name.
    pub address: String,
}

/// What named a participant's mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResolvedBy {
    /// The administrator's mapping file.
    Csv,
    /// The item's e-mail property.
    Email,
}

/// What resolution found for one participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// A valid user.
    Mailbox {
        /// The user's mailbox.
        mailbox: Mailbox,
        /// What named it.
        by: ResolvedBy,
    },
    /// Certainly no valid user.
    NoValidUser {
        /// What was tried, for the administrator; no phone number.
        detail: String,
    },
    /// The directory did not answer: pending.
    Unanswered {
        /// What it said instead.
        detail: String,
    },
}

/// One participant and what resolution found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The participant.
    pub participant: Participant,
    /// What was found.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Found only after a first copy was sent: this address stays out of the headers, so that all copies are the same bytes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

/// What resolution found for all participants of an item, in the order of [`Item::participants`](crate::item::Item::participants). Recorded with the item before the first
/// copy is sent, and never changed for a participant that has a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Resolution(pub Vec<Resolved>);

impl Resolution {
    /// The mailboxes, each once, in the order of the participants, with what named each.
    pub fn mailboxes(&self) -> Vec<(&Mailbox, ResolvedBy)> {
        let mut found: Vec<(&Mailbox, ResolvedBy)> = Vec::new();
        for resolved in &self.0 {
            if let Outcome::Mailbox { mailbox, by } = &resolved.outcome
                && !found.iter().any(|(other, _)| other.id == mailbox.id)
            {
                found.push((mailbox, *by));
            }
        }
        found
    }

    /// What was found for a participant.
    pub fn of(&self, participant: &Participant) -> Option<&Resolved> {
        let key = participant.key();
        self.0.iter().find(|resolved| resolved.participant.key() == key)
    }
}
