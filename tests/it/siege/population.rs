//! Made-up people and what they send each other, with what each mailbox must hold of it. The same seed gives the same.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::oracle::{Copy, Expected};
use crate::servers::telemessage::{ArchivedItem, PHONE_ARCHIVER, Who, who};

/// Seeded dice.
pub(super) struct Dice(TestRng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }

    /// A number below `sides`.
    pub(super) fn below(&mut self, sides: usize) -> usize {
        self.0.next_u32() as usize % sides
    }

    pub(super) fn one_in(&mut self, sides: usize) -> bool {
        self.below(sides) == 0
    }
}

/// How many of what there is.
#[derive(Debug, Clone)]
pub(super) struct Census {
    pub(super) messages: i64,
    pub(super) employees: usize,
    /// What tells these people's addresses from those of other tests on the same server.
    pub(super) label: String,
    pub(super) seed: u64,
    /// When the first message was received; the others follow within five hours.
    pub(super) first: DateTime<Utc>,
    /// The largest file, in bytes.
    pub(super) largest_file: usize,
    /// Whether some show up an hour after the twelfth, long after they were received.
    pub(super) some_late: bool,
}

/// People and what they sent.
pub(super) struct Population {
    pub(super) employees: Vec<String>,
    pub(super) items: Vec<ArchivedItem>,
    pub(super) expected: Expected,
    /// Copies that a second capture of a message would make, and must not.
    pub(super) duplicates: u64,
    pub(super) mapping: String,
}

/// Who takes part and has no mailbox.
const OUTSIDERS: usize = 4;

impl Population {
    pub(super) fn new(census: &Census) -> Self {
        let mut dice = Dice::new(census.seed);
        let employees: Vec<String> = (0..census.employees).map(|person| census.address(person)).collect();
        // The other half is found by the address that comes with the item.
        let mapped =
            (0..census.employees).step_by(2).map(|person| format!("{},{}\n", number(person), employees[person]));
        let mapping = format!("External User ID,Microsoft 365 User Mailbox\n{}", mapped.collect::<String>());
        let mut population = Self { employees, items: Vec::new(), expected: BTreeMap::new(), duplicates: 0, mapping };
        for message in 0..census.messages {
            population.add(census, &mut dice, message);
        }
        population.expected.values_mut().for_each(|copies| copies.sort());
        population
    }

    /// Adds one message: its captures, and its copies.
    fn add(&mut self, census: &Census, dice: &mut Dice, message: i64) {
        let in_group = dice.one_in(3);
        let mut people = BTreeSet::from([dice.below(census.employees)]);
        while people.len() < if in_group { 4 } else { 2 } {
            people.insert(dice.below(census.employees + OUTSIDERS));
        }
        let people: Vec<usize> = people.into_iter().collect();
        let sender = people[dice.below(people.len())];
        let is_encrypted = dice.one_in(40);
        let owners = 1 + usize::from(dice.one_in(5));
        let what = What::thrown(dice, message, census.largest_file);
        let mailboxes: Vec<usize> = people.iter().copied().filter(|person| *person < census.employees).collect();
        for (capture, owner) in people.iter().take(owners).enumerate() {
            let id = message * 10 + capture as i64 + 1;
            let item = census.item(id, &what, *owner, sender, &people, in_group);
            self.items.push(if is_encrypted { item.encrypted() } else { item });
        }
        if is_encrypted {
            return;
        }
        self.duplicates += ((owners - 1) * mailboxes.len()) as u64;
        for mailbox in mailboxes {
            self.expected.entry(census.address(mailbox)).or_default().push(what.copy.clone());
        }
    }
}

/// What a message says and carries.
struct What {
    copy: Copy,
    is_edit: bool,
    /// Whether the files come with the item.
    inline: bool,
}

impl What {
    fn thrown(dice: &mut Dice, message: i64, largest_file: usize) -> Self {
        let is_edit = dice.one_in(12);
        let whatsapp_id = if is_edit { format!("EDIT-3EB0{message:012X}-1") } else { format!("3EB0{message:012X}") };
        let text = format!("message {message}{}", ", and more".repeat(dice.below(40)));
        let files = if dice.one_in(6) { 1 + dice.below(2) } else { 0 };
        let file = |place: usize, length: usize| -> Vec<u8> {
            let seed = format!("{message}/{place} ").into_bytes();
            seed.into_iter().cycle().take(length).collect()
        };
        let mut files: Vec<Vec<u8>> = (0..files).map(|place| file(place, 10 + dice.below(largest_file))).collect();
        files.sort();
        Self { copy: Copy { whatsapp_id, text, files }, is_edit, inline: dice.one_in(5) }
    }
}

impl Census {
    fn address(&self, person: usize) -> String {
        format!("employee{person}.{}@contoso.example", self.label)
    }

    fn person(&self, person: usize) -> Who {
        let who = who(&number(person));
        let found_by_item = person < self.employees && person % 2 == 1;
        if found_by_item { who.with_email(&self.address(person)) } else { who }
    }

    fn received(&self, id: i64) -> DateTime<Utc> {
        self.first + Duration::milliseconds(id * 18_000_000 / (10 * self.messages + 10))
    }

    fn item(
        &self,
        id: i64,
        what: &What,
        owner: usize,
        sender: usize,
        people: &[usize],
        in_group: bool,
    ) -> ArchivedItem {
        let recipients: Vec<Who> =
            people.iter().filter(|other| **other != sender).map(|other| self.person(*other)).collect();
        let Copy { whatsapp_id, text, files } = &what.copy;
        let (received, sent) = (self.received(id), self.received(id / 10 * 10) - Duration::seconds(2));
        let item = if what.is_edit {
            let original = whatsapp_id.trim_start_matches("EDIT-").trim_end_matches("-1");
            ArchivedItem::edit(id, received, original, 1, text)
        } else {
            ArchivedItem::message(id, received).field("messageId", whatsapp_id.as_str())
        };
        let item = if id % 2 == 0 { item } else { item.product(PHONE_ARCHIVER) };
        let is_late = self.some_late && id % 7 == 0;
        let item = if is_late { item.visible_from(self.first + Duration::hours(13)) } else { item };
        let item = if in_group { item.group("group-1", "Trading desk") } else { item };
        let item = item
            .sent_at(sent)
            .between(&self.person(owner), &self.person(sender), &recipients)
            .text(&Copy::marked(text));
        files.iter().enumerate().fold(item, |item, (place, file)| {
            let (name, kind) = (format!("file{place}.bin"), "application/octet-stream");
            if what.inline {
                item.inline_attachment(&name, kind, file)
            } else {
                item.attachment(&name, kind, file.clone())
            }
        })
    }
}

fn number(person: usize) -> String {
    format!("1555010{person:04}")
}
