//! Who takes part in a chat on a day: each person once, however many events name them.
//!
//! Gathered while the events are read back, in any order, so that an event needn't keep hundreds of participants.

use std::collections::HashMap;

use super::event::{Act, Captured, CapturedPerson, EventPosition};

/// The people of a chat and day.
#[derive(Debug, Default)]
pub(super) struct Roster {
    people: HashMap<String, Listed>,
}

#[derive(Debug)]
struct Listed {
    /// The first event that names the person, and where among those it names.
    first: (EventPosition, usize),
    person: CapturedPerson,
    /// The first event at which they are there without coming to it.
    present: Option<EventPosition>,
    /// The first event at which they join.
    joins: Option<EventPosition>,
}

impl Roster {
    /// Takes the people of an event out of it.
    pub(super) fn take_from(&mut self, event: &mut Captured) {
        let place = event.place();
        for (index, person) in std::mem::take(&mut event.others).into_iter().enumerate() {
            let joins =
                matches!(&event.act, Act::Joins { members } if members.iter().any(|member| member.key == person.key));
            self.list((place, index), person, joins);
        }
    }

    fn list(&mut self, first: (EventPosition, usize), person: CapturedPerson, joins: bool) {
        let place = first.0;
        let listed = self.people.entry(person.key.clone()).or_insert_with(|| Listed {
            first,
            person: person.clone(),
            present: None,
            joins: None,
        });
        let mut person = person;
        if first < listed.first {
            listed.first = first;
            std::mem::swap(&mut listed.person, &mut person);
        }
        // A name counts more than a number that stands for one.
        if person.is_named && !listed.person.is_named {
            (listed.person.name, listed.person.is_named) = (person.name.clone(), true);
        }
        // A recorded address counts more than what an item says, whichever comes first, and any more than none.
        let is_better = person.is_recorded && !listed.person.is_recorded;
        if is_better || listed.person.email.is_empty() {
            (listed.person.email, listed.person.is_recorded) = (person.email, person.is_recorded);
        }
        let seen = if joins { &mut listed.joins } else { &mut listed.present };
        *seen = Some(seen.map_or(place, |seen| seen.min(place)));
    }

    /// The most bytes that the people can take in a file: in the manifest, in the header, and what surrounds them.
    pub(super) fn file_bytes(&self) -> u64 {
        const PERSON_BYTES: u64 = 128;
        const FIXED_BYTES: u64 = 16 * 1024;
        let one = |listed: &Listed| {
            let person = &listed.person;
            (person.key.len() + person.name.len() + person.email.len()) as u64 + PERSON_BYTES
        };
        // In the manifest as base64, and the names in a header, encoded.
        FIXED_BYTES + 5 * self.people.values().map(one).sum::<u64>()
    }

    /// Everybody, in the order of their first events.
    pub(super) fn people(&self) -> Vec<&CapturedPerson> {
        let mut listed: Vec<&Listed> = self.people.values().collect();
        listed.sort_unstable_by_key(|listed| listed.first);
        listed.into_iter().map(|listed| &listed.person).collect()
    }

    /// Whether somebody comes to the chat with a join at `start` or later, and is not seen in it before.
    pub(super) fn comes_after(&self, key: &str, start: EventPosition) -> bool {
        let Some(listed) = self.people.get(key) else { return false };
        let Some(joins) = listed.joins else { return false };
        joins >= start && listed.present.is_none_or(|present| joins <= present)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str, email: &str, is_recorded: bool) -> CapturedPerson {
        let is_named = !name.starts_with('+');
        CapturedPerson {
            key: "15550100".to_owned(),
            name: name.to_owned(),
            is_named,
            email: email.to_owned(),
            is_recorded,
        }
    }

    #[test]
    fn somebody_has_the_first_name_and_the_best_address_in_whatever_order_they_come() {
        let (none, told, recorded) = (
            person("Ana", "", false),
            person("A.", "told@contoso.example", false),
            person("A", "r@contoso.example", true),
        );
        let listed = |people: &[(i64, &CapturedPerson)]| {
            let mut roster = Roster::default();
            for (millis, person) in people {
                roster.list(((*millis, 0), 0), (*person).clone(), false);
            }
            let [listed] = roster.people()[..] else { panic!() };
            (listed.name.clone(), listed.email.clone())
        };
        let expected = |email: &str| ("Ana".to_owned(), email.to_owned());
        assert_eq!(listed(&[(1, &none), (2, &told)]), expected("told@contoso.example"));
        assert_eq!(listed(&[(2, &told), (1, &none)]), expected("told@contoso.example"));
        assert_eq!(listed(&[(2, &told), (3, &recorded), (1, &none)]), expected("r@contoso.example"));
        assert_eq!(listed(&[(3, &recorded), (1, &none), (2, &told)]), expected("r@contoso.example"));
        let number = person("+15550100", "", false);
        for events in [[(1, &number), (2, &none)], [(2, &none), (1, &number)]] {
            assert_eq!(listed(&events), expected(""), "a name is better than a number");
        }
    }
}
