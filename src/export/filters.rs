//! What the values of an export's filters stand for, as the items of its window say.
//!
//! A name stands for whoever an item calls so. An item may name a person or a chat otherwise than the next one, or not at all,
//! so that all items are shown to the filters first ([`Filters::learn`]), and only then is any of them judged
//! ([`Filters::takes`]). What is held in memory grows with the people and chats that the values name, not with the window.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization as _;

use super::selection::Selection;
use crate::identity::Thread;
use crate::item::{Item, Kind, Participant, Person};
use crate::output_text::cell;
use crate::resolution::{Mailbox, MailboxId, Resolution, ResolvedBy, ResolvedTo};

/// A selection whose values are being looked for.
#[derive(Debug)]
pub struct Filters {
    selection: Selection,
    owners: Vec<Tried<Who>>,
    participants: Vec<Tried<Who>>,
    mailboxes: Vec<Tried<Mailboxes>>,
    threads: Vec<Tried<Chats>>,
}

/// A value of a filter, as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The filter: `owner`, `participant`, `mailbox` or `thread`.
    pub filter: &'static str,
    /// What was sought.
    pub value: String,
}

impl Value {
    /// The option of the command line that gave it. Phone numbers are masked.
    pub fn shown(&self) -> String {
        let number = Participant::phone(self.value.as_str()).phone_number();
        let value = number.map_or_else(|| cell(&self.value), |number| number.masked());
        format!("--{} \"{value}\"", self.filter)
    }
}

impl Filters {
    /// The filters of a selection, which know nothing but its values yet.
    pub fn new(selection: Selection) -> Self {
        Self {
            owners: Tried::all(&selection.owners, Who::new),
            participants: Tried::all(&selection.participants, Who::new),
            mailboxes: Tried::all(&selection.mailboxes, Mailboxes::new),
            threads: Tried::all(&selection.threads, Chats::new),
            selection,
        }
    }

    /// The selection.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Whether there is anything to learn: without filters every item is taken.
    pub fn are_given(&self) -> bool {
        !(self.owners.is_empty()
            && self.participants.is_empty()
            && self.mailboxes.is_empty()
            && self.threads.is_empty())
    }

    /// Shows them an item, for what it says of names. Items outside the window say nothing.
    pub fn learn(&mut self, item: &Item, resolution: &Resolution) {
        if !self.selection.is_within(item) {
            return;
        }
        for who in self.owners.iter_mut().chain(&mut self.participants) {
            who.of.learn(item, resolution);
        }
        for Tried { of: mailboxes, .. } in &mut self.mailboxes {
            mailboxes.learn(resolution);
            mailboxes.learn_properties(item, resolution);
        }
        for chats in &mut self.threads {
            chats.of.learn(item);
        }
    }

    /// Addresses that no mailbox had which was recorded with an item shown so far: another place may know whose they are.
    pub fn unknown_addresses(&self) -> BTreeSet<String> {
        let who = self.owners.iter().chain(&self.participants).map(|who| &who.of.mailboxes);
        let all = who.chain(self.mailboxes.iter().map(|mailboxes| &mailboxes.of));
        let unknown = all.filter(|mailboxes| mailboxes.ids.is_empty());
        unknown.map(|mailboxes| mailboxes.sought.clone()).filter(|sought| sought.contains('@')).collect()
    }

    /// Says which mailboxes an address names.
    pub fn address_names(&mut self, address: &str, ids: &[MailboxId]) {
        let who = self.owners.iter_mut().chain(&mut self.participants).map(|who| &mut who.of.mailboxes);
        let all = who.chain(self.mailboxes.iter_mut().map(|mailboxes| &mut mailboxes.of));
        for mailboxes in all.filter(|mailboxes| mailboxes.sought == address) {
            mailboxes.ids.extend(ids.iter().cloned());
        }
    }

    /// Whether the export takes an item. Each filter takes what fits any of its values; an item must fit all filters.
    pub fn takes(&mut self, item: &Item, resolution: &Resolution) -> bool {
        if !self.selection.is_within(item) {
            return false;
        }
        // Each filter is asked, whatever the others say: a value that fits an item of the window is no misspelling.
        let owner = item.owner.as_ref();
        let in_archive = any(&mut self.owners, |who| owner.is_some_and(|owner| who.is(item, resolution, owner)));
        let participants = item.participants();
        let is_one = |who: &Who| participants.iter().any(|participant| who.is(item, resolution, participant));
        let took_part = any(&mut self.participants, is_one);
        let recorded = resolution.mailboxes();
        let belongs = any(&mut self.mailboxes, |sought| recorded.iter().any(|(mailbox, _)| sought.is(mailbox)));
        let said_there = any(&mut self.threads, |chats| chats.has(item));
        in_archive && took_part && belongs && said_there
    }

    /// Whether an item that staging doesn't have any more may belong to the export. Only its owner is known of it, and only a
    /// number can be told from another one: whose name or address it is, or whose LID, only the item said.
    pub fn may_take_of(&mut self, owner: Option<&str>) -> bool {
        let owner = owner.map(Participant::phone);
        let Some(owner) = owner.filter(|owner| owner.phone_number().is_some()) else { return true };
        let is_other = |who: &Who| who.number.phone_number().is_some() && who.number.key() != owner.key();
        for who in self.owners.iter_mut().filter(|who| who.of.number.key() == owner.key()) {
            who.is_found = true;
        }
        self.owners.is_empty() || !self.owners.iter().all(|who| is_other(&who.of))
    }

    /// The values that fitted nothing so far.
    pub fn without_match(&self) -> Vec<Value> {
        fn of<T>(
            filter: &'static str,
            values: &[Tried<T>],
            sought: impl Fn(&T) -> &str,
        ) -> impl Iterator<Item = Value> {
            let unfound = values.iter().filter(|value| !value.is_found);
            unfound.map(move |value| Value { filter, value: sought(&value.of).to_owned() })
        }
        of("owner", &self.owners, |who| &who.mailboxes.sought)
            .chain(of("participant", &self.participants, |who| &who.mailboxes.sought))
            .chain(of("mailbox", &self.mailboxes, |mailboxes| &mailboxes.sought))
            .chain(of("thread", &self.threads, |chats| &chats.sought))
            .collect()
    }

    /// The values that are the name of several people or chats, and how many.
    pub fn shared_names(&self) -> Vec<(Value, usize)> {
        let of = |filter, sought: &String, count| (Value { filter, value: sought.clone() }, count);
        let who = |filter, who: &Who| of(filter, &who.mailboxes.sought, who.called.len());
        let owners = self.owners.iter().map(|one| who("owner", &one.of));
        let participants = self.participants.iter().map(|one| who("participant", &one.of));
        let chats = self.threads.iter().map(|one| of("thread", &one.of.sought, one.of.named.len()));
        let all = owners.chain(participants).chain(chats);
        all.filter(|(_, count)| *count > 1).collect()
    }
}

/// What is sought, and whether anything fitted it.
#[derive(Debug)]
struct Tried<T> {
    of: T,
    is_found: bool,
}

impl<T> Tried<T> {
    fn all(values: &[String], of: impl Fn(&str) -> T) -> Vec<Self> {
        values.iter().map(|value| Self { of: of(value), is_found: false }).collect()
    }
}

fn any<T>(values: &mut [Tried<T>], fits: impl Fn(&T) -> bool) -> bool {
    let mut fitted = values.is_empty();
    for value in values {
        if fits(&value.of) {
            value.is_found = true;
            fitted = true;
        }
    }
    fitted
}

/// A person who is sought: by number, LID, user name, display name or address.
#[derive(Debug)]
struct Who {
    name: String,
    number: Participant,
    mailboxes: Mailboxes,
    /// The keys of everybody whom an item calls so.
    called: BTreeSet<String>,
    /// The LIDs that an item says to be the number.
    lids: BTreeSet<String>,
}

impl Who {
    fn new(sought: &str) -> Self {
        let sought = sought.trim();
        Self {
            name: folded(sought),
            number: Participant::phone(sought),
            mailboxes: Mailboxes::new(sought),
            called: BTreeSet::new(),
            lids: BTreeSet::new(),
        }
    }

    fn learn(&mut self, item: &Item, resolution: &Resolution) {
        self.mailboxes.learn(resolution);
        let key = item.key_of(&self.number);
        let same = item.lids.iter().filter(|(_, number)| number.digits() == key);
        self.lids.extend(same.map(|(lid, _)| lid.clone()));
        for (participant, person) in &item.people {
            if person.display_name().is_some_and(|name| folded(&name) == self.name) {
                self.called.insert(item.key_of(participant).into_owned());
            }
        }
    }

    fn is(&self, item: &Item, resolution: &Resolution, participant: &Participant) -> bool {
        let key = item.key_of(participant);
        if key == item.key_of(&self.number)
            || self.lids.contains(participant.key().as_ref())
            || folded(&participant.value) == self.name
        {
            return true;
        }
        let person = item.person(participant);
        let email = person.and_then(|person| person.email.as_deref());
        if email.is_some_and(|email| email.trim().eq_ignore_ascii_case(&self.mailboxes.sought)) {
            return true;
        }
        let mut recorded = resolution.0.iter().filter(|resolved| item.key_of(&resolved.participant) == key);
        let in_mailbox = recorded.any(|resolved| match &resolved.outcome {
            ResolvedTo::Mailbox { mailbox, .. } => self.mailboxes.is(mailbox),
            _ => false,
        });
        // A number that changed hands has the name that this item gives it; without one, that of the other items.
        in_mailbox
            || match person.and_then(Person::display_name) {
                Some(name) => folded(&name) == self.name,
                None => self.called.contains(key.as_ref()),
            }
    }
}

/// The mailboxes that are sought by an address.
#[derive(Debug)]
struct Mailboxes {
    sought: String,
    /// Those that have or had the address.
    ids: BTreeSet<MailboxId>,
}

impl Mailboxes {
    fn new(sought: &str) -> Self {
        Self { sought: sought.trim().to_owned(), ids: BTreeSet::new() }
    }

    fn learn(&mut self, resolution: &Resolution) {
        for (mailbox, _) in resolution.mailboxes() {
            if mailbox.address.eq_ignore_ascii_case(&self.sought) {
                self.ids.insert(mailbox.id.clone());
            }
        }
    }

    /// An item's e-mail property that led to a mailbox is an address of that mailbox.
    fn learn_properties(&mut self, item: &Item, resolution: &Resolution) {
        for resolved in &resolution.0 {
            let ResolvedTo::Mailbox { mailbox, by: ResolvedBy::Email } = &resolved.outcome else { continue };
            let email = item.person(&resolved.participant).and_then(|person| person.email.as_deref());
            if email.is_some_and(|email| email.trim().eq_ignore_ascii_case(&self.sought)) {
                self.ids.insert(mailbox.id.clone());
            }
        }
    }

    fn is(&self, mailbox: &Mailbox) -> bool {
        self.ids.contains(&mailbox.id) || mailbox.address.eq_ignore_ascii_case(&self.sought)
    }
}

/// Chats that are sought by an id or a name.
#[derive(Debug)]
struct Chats {
    sought: String,
    name: String,
    /// The roots of the threads of all chats that an item names so.
    named: BTreeSet<String>,
}

impl Chats {
    fn new(sought: &str) -> Self {
        let sought = sought.trim();
        Self { sought: sought.to_owned(), name: folded(sought), named: BTreeSet::new() }
    }

    fn learn(&mut self, item: &Item) {
        let chat = item.chat.name();
        let mut ids = chat.into_iter().flat_map(|chat| [&chat.id, &chat.data_id]).flatten();
        let renamed = item.event.as_ref().filter(|_| item.kind == Kind::GroupEvent);
        let renamed = renamed.filter(|event| event.kind.as_deref() == Some("Rename"));
        let renamed = renamed.into_iter().flat_map(|event| [&event.old_value, &event.new_value]);
        let names = renamed.chain(chat.map(|chat| &chat.name)).chain([&item.thread_name]).flatten();
        if ids.any(|id| *id == self.sought) || names.into_iter().any(|name| folded(name) == self.name) {
            self.named.insert(Thread::of(item).root.as_str().to_owned());
        }
    }

    fn has(&self, item: &Item) -> bool {
        if item.thread_id.as_deref() == Some(self.sought.as_str()) {
            return true;
        }
        let root = Thread::of(item).root;
        let bare = self.sought.trim_start_matches('<').trim_end_matches('>');
        self.named.contains(root.as_str()) || bare == root.as_str() || bare == root.local_part()
    }
}

/// A name as it is compared: without regard to case, to how its accents are encoded, to what turns the direction of text, and to
/// how many blanks stand between its words.
fn folded(name: &str) -> String {
    let shown: String = cell(name).nfc().collect();
    let words: Vec<&str> = shown.split_whitespace().collect();
    // Upper case first: some letters have several small ones.
    words.join(" ").to_uppercase().to_lowercase()
}

#[cfg(test)]
mod tests;
