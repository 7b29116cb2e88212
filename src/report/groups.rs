//! What is not imported, with equal causes together: a thousand copies that one full mailbox refuses are one line.

use std::collections::HashMap;

use super::lists::Rows;
use crate::ledger::{DeliveryState, Failure, LedgerError, PendingCause};

/// Most causes that are told apart; the rows of further ones are only counted.
const MAX_GROUPS: usize = 1000;

/// The first items of a group that are named.
const NAMED_ITEMS: usize = 3;

/// Rows with the same mailbox (or owner, where there is none), state, reason and detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The mailbox; none where an item failed before it had copies.
    pub mailbox: Option<String>,
    /// Whose items they are, where there is no mailbox: the owner's number or name as it came.
    pub owner: Option<String>,
    /// Where the rows stand.
    pub state: DeliveryState,
    /// Why they failed.
    pub reason: Option<String>,
    /// Why they are pending.
    pub cause: Option<PendingCause>,
    /// The same in the words of the step that failed.
    pub detail: Option<String>,
    /// How many rows.
    pub rows: u64,
    /// The first of their items.
    pub items: Vec<String>,
}

/// Groups, the most frequent first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    pub groups: Vec<Group>,
    /// All rows, those without a group among them.
    pub rows: u64,
    /// Rows of causes beyond `MAX_GROUPS`.
    pub ungrouped: u64,
}

/// What the rows of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    mailbox: Option<String>,
    owner: Option<String>,
    state: &'static str,
    reason: Option<String>,
    cause: Option<PendingCause>,
    detail: Option<String>,
}

impl Groups {
    /// Puts rows together.
    ///
    /// # Errors
    ///
    /// The ledger failed.
    pub async fn of(mut rows: Rows<'_>) -> Result<Self, LedgerError> {
        let mut found = Self::default();
        let mut places: HashMap<Key, usize> = HashMap::new();
        while let Some(row) = rows.next().await? {
            found.add(row, &mut places);
        }
        // Equal numbers stay in the order in which they came.
        found.groups.sort_by_key(|group| std::cmp::Reverse(group.rows));
        Ok(found)
    }

    fn add(&mut self, row: Failure, places: &mut HashMap<Key, usize>) {
        self.rows += 1;
        let item = row.item_name();
        // A directory that gives no answer is one cause, whoever is asked for.
        let is_of_nobody = row.mailbox.is_some() || row.cause == Some(PendingCause::Directory);
        let owner = row.owner.filter(|_| !is_of_nobody);
        let Failure { mailbox, state, reason, cause, detail, .. } = row;
        let key = Key { mailbox, owner, state: state.name(), reason, cause, detail };
        if let Some(group) = places.get(&key).and_then(|place| self.groups.get_mut(*place)) {
            group.rows += 1;
            if group.items.len() < NAMED_ITEMS && !group.items.contains(&item) {
                group.items.push(item);
            }
            return;
        }
        if self.groups.len() == MAX_GROUPS {
            self.ungrouped += 1;
            return;
        }
        places.insert(key.clone(), self.groups.len());
        let Key { mailbox, owner, reason, cause, detail, .. } = key;
        self.groups.push(Group { mailbox, owner, state, reason, cause, detail, rows: 1, items: vec![item] });
    }
}

impl Group {
    /// Its reason, or the cause of what is pending; else where it stands.
    pub fn why(&self) -> String {
        why(self.state, self.reason.as_deref(), self.cause)
    }

    /// Its first items, on one line.
    pub fn first_items(&self) -> String {
        let more = if self.rows > self.items.len() as u64 { ", …" } else { "" };
        format!("{}{more}", self.items.join(", "))
    }
}

/// A row's reason, or the cause where it is pending; else where it stands.
pub fn why(state: DeliveryState, reason: Option<&str>, cause: Option<PendingCause>) -> String {
    match (reason, cause) {
        (Some(reason), _) => reason.to_owned(),
        (None, Some(cause)) => format!("{}: {}", state.name(), cause.name()),
        (None, None) => state.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{ItemNo, ListPlace};

    fn row(item: i64, mailbox: &str, cause: Option<PendingCause>, detail: &str) -> Failure {
        Failure {
            place: ListPlace::default(),
            no: ItemNo(item),
            item: (item < 100).then_some(item),
            message_id: None,
            owner: None,
            mailbox: Some(mailbox.to_owned()),
            state: DeliveryState::Pending,
            reason: None,
            cause,
            detail: Some(detail.to_owned()),
        }
    }

    #[test]
    fn equal_causes_are_one_group_with_its_first_items() {
        let (mut found, mut places) = (Groups::default(), HashMap::new());
        for item in 1..=5 {
            found.add(row(item, "ana@x", Some(PendingCause::Mailbox), "full"), &mut places);
        }
        found.add(row(6, "ben@x", Some(PendingCause::Mailbox), "full"), &mut places);
        found.add(row(107, "ben@x", Some(PendingCause::OutcomeUnknown), "full"), &mut places);
        let shown: Vec<String> =
            found.groups.iter().map(|one| format!("{} {} {}", one.rows, one.why(), one.first_items())).collect();
        assert_eq!(shown, ["5 pending: mailbox 1, 2, 3, …", "1 pending: mailbox 6", "1 pending: outcome_unknown #107"]);
        assert_eq!((found.rows, found.ungrouped), (7, 0));
    }

    #[test]
    fn causes_without_end_are_counted() {
        let (mut found, mut places) = (Groups::default(), HashMap::new());
        for item in 0..1500 {
            found.add(row(item, "ana@x", None, &item.to_string()), &mut places);
        }
        assert_eq!((found.groups.len(), found.rows, found.ungrouped), (MAX_GROUPS, 1500, 500));
    }
}
