//! Which mailbox each participant of an item has, as it was found out and is recorded with the item.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::item::Participant;

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
    /// What identifies the mailbox.
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
pub enum ResolvedTo {
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
    pub participant: Participant,
    /// What was found.
    #[serde(flatten)]
    pub outcome: ResolvedTo,
    /// The rule of the mapping file that named the mailbox: the identifier, masked, and its validity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
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
            if let ResolvedTo::Mailbox { mailbox, by } = &resolved.outcome
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

/// What is recorded when an item is resolved once more. Before a copy is sent (`copies_sent` is false) the fresh
/// resolution takes the place of the previous one. Afterwards a participant that has a mailbox keeps it, whatever the
/// directory says by now, and a mailbox that is found only now is added as a late one.
pub fn re_resolve(previous: &Resolution, fresh: Resolution, copies_sent: bool) -> Resolution {
    if !copies_sent {
        return fresh;
    }
    let mut left: HashMap<String, Resolved> = HashMap::with_capacity(fresh.0.len());
    let mut order = Vec::with_capacity(fresh.0.len());
    for resolved in fresh.0 {
        let key = resolved.participant.key().into_owned();
        order.push(key.clone());
        left.insert(key, resolved);
    }
    let mut merged: Vec<Resolved> = Vec::with_capacity(order.len());
    for known in &previous.0 {
        let fresh = left.remove(known.participant.key().as_ref());
        merged.push(match (&known.outcome, fresh) {
            (ResolvedTo::Mailbox { .. }, _) | (_, None) => known.clone(),
            (_, Some(fresh)) => added_late(fresh),
        });
    }
    // An item's participants never change; were there others, they would not be lost.
    merged.extend(order.iter().filter_map(|key| left.remove(key)).map(added_late));
    Resolution(merged)
}

/// A result that comes after the first copy was sent.
fn added_late(resolved: Resolved) -> Resolved {
    let late = matches!(resolved.outcome, ResolvedTo::Mailbox { .. });
    Resolved { late, ..resolved }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(number: &str, address: &str, late: bool) -> Resolved {
        let mailbox = Mailbox { id: MailboxId(address.to_owned()), address: address.to_owned() };
        Resolved {
            participant: Participant::phone(number),
            outcome: ResolvedTo::Mailbox { mailbox, by: ResolvedBy::Csv },
            rule: None,
            late,
        }
    }

    fn unresolved(number: &str, outcome: ResolvedTo) -> Resolved {
        Resolved { participant: Participant::phone(number), outcome, rule: None, late: false }
    }

    fn nobody() -> ResolvedTo {
        ResolvedTo::NoValidUser { detail: "x".to_owned() }
    }

    fn no_answer() -> ResolvedTo {
        ResolvedTo::Unanswered { detail: "x".to_owned() }
    }

    #[test]
    fn before_the_first_copy_the_fresh_resolution_counts() {
        let previous = Resolution(vec![found("15550101", "a@x.example", false)]);
        let fresh = Resolution(vec![unresolved("15550101", nobody())]);
        assert_eq!(re_resolve(&previous, fresh.clone(), false), fresh);
    }

    #[test]
    fn after_the_first_copy_mailboxes_are_only_added() {
        let previous = Resolution(vec![
            found("15550101", "a@x.example", false),
            unresolved("15550102", nobody()),
            unresolved("15550103", no_answer()),
            unresolved("15550104", nobody()),
            found("15550105", "e@x.example", true),
        ]);
        let fresh = Resolution(vec![
            found("+15550101", "other@x.example", false),
            found("15550102", "b@x.example", false),
            unresolved("15550103", nobody()),
            unresolved("15550104", no_answer()),
            unresolved("15550105", nobody()),
        ]);
        let expected = Resolution(vec![
            found("15550101", "a@x.example", false),
            found("15550102", "b@x.example", true),
            unresolved("15550103", nobody()),
            unresolved("15550104", no_answer()),
            found("15550105", "e@x.example", true),
        ]);
        assert_eq!(re_resolve(&previous, fresh, true), expected);
        assert_eq!(re_resolve(&expected, Resolution::default(), true), expected);
        assert_eq!(re_resolve(&Resolution::default(), expected, true).mailboxes().len(), 3);
    }

    #[test]
    fn a_mailbox_that_several_participants_have_is_counted_once() {
        let resolution = Resolution(vec![
            found("15550101", "a@x.example", false),
            found("15550102", "b@x.example", false),
            found("15550103", "a@x.example", false),
        ]);
        let addresses: Vec<&str> = resolution.mailboxes().iter().map(|(mailbox, _)| mailbox.address.as_str()).collect();
        assert_eq!(addresses, ["a@x.example", "b@x.example"]);
    }
}
