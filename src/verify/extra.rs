//! Messages of ours in an archive folder that the ledger doesn't know.

use std::collections::HashSet;

use crate::identity::{Identity, MessageId};

/// What an archive folder holds, in the order of the ledger's identities, less what the ledger knows.
pub(super) struct Extra(std::iter::Peekable<std::vec::IntoIter<MessageId>>);

impl Extra {
    pub(super) fn new(mut inventory: Vec<MessageId>) -> Self {
        inventory.sort_unstable();
        inventory.dedup();
        Self(inventory.into_iter().peekable())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Leaves out what the ledger knows by another Message-ID than that of its identity.
    pub(super) fn leave_out(&mut self, known: &[Identity]) {
        if known.is_empty() {
            return;
        }
        let known: HashSet<MessageId> = known.iter().map(Identity::message_id).collect();
        let rest: Vec<MessageId> = self.0.by_ref().filter(|id| !known.contains(id)).collect();
        self.0 = rest.into_iter().peekable();
    }

    /// What comes before a message that the ledger knows; that one is taken out.
    pub(super) fn before(&mut self, known: &MessageId) -> Vec<MessageId> {
        let mut unknown = Vec::new();
        while let Some(id) = self.0.next_if(|id| id < known) {
            unknown.push(id);
        }
        self.0.next_if_eq(known);
        unknown
    }

    pub(super) fn rest(self) -> impl Iterator<Item = MessageId> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> MessageId {
        MessageId::from_local_part(&digit.to_string().repeat(32)).unwrap()
    }

    #[test]
    fn what_the_ledger_does_not_know_is_extra() {
        let mut extra = Extra::new(vec![id('c'), id('a'), id('e'), id('a'), id('b')]);
        assert_eq!(extra.before(&id('b')), [id('a')]);
        assert_eq!(extra.before(&id('d')), [id('c')]);
        assert_eq!(extra.rest().collect::<Vec<_>>(), [id('e')]);
        assert_eq!(Extra::new(Vec::new()).rest().count(), 0);
        let mut extra = Extra::new(vec![id('c'), id('a'), id('b')]);
        let known = Identity([0xaa; 32].into());
        assert_eq!(known.message_id(), id('a'));
        extra.leave_out(&[known, Identity([0x99; 32].into())]);
        assert_eq!(extra.before(&id('c')), [id('b')]);
        assert_eq!(extra.rest().count(), 0);
    }

    #[test]
    fn two_known_copies_of_one_message_id_are_both_known() {
        let mut extra = Extra::new(vec![id('a'), id('b')]);
        assert!(extra.before(&id('a')).is_empty());
        assert!(extra.before(&id('a')).is_empty());
        assert_eq!(extra.rest().collect::<Vec<_>>(), [id('b')]);
    }
}
