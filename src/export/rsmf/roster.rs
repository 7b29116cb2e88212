//! Who takes part in a chat on a day: each person once, however many events name them.
//!
//! Gathered while the events are read back, in any order, so that an event needn't keep hundreds of participants.

use std::collections::HashMap;

use super::event::{Act, Captured, CapturedPerson};

/// The place of an event in the order of a chat: its time, then its item.
pub(super) type Place = (i64, i64);

/// The people of a chat and day.
#[derive(Debug, Default)]
pub(super) struct Roster {
    people: HashMap<String, Listed>,
}

#[derive(Debug)]
struct Listed {
    /// The first event that names the person, and where among those it names.
    first: (Place, usize),
    person: CapturedPerson,
    /// The first event at which they are there without coming to it.
    present: Option<Place>,
    /// The first event at which they join.
    joins: Option<Place>,
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

    fn list(&mut self, first: (Place, usize), person: CapturedPerson, joins: bool) {
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
        // A recorded address counts more than what an item tells, whichever comes first.
        if person.is_recorded && !listed.person.is_recorded {
            (listed.person.email, listed.person.is_recorded) = (person.email, true);
        }
        let seen = if joins { &mut listed.joins } else { &mut listed.present };
        *seen = Some(seen.map_or(place, |seen| seen.min(place)));
    }

    /// Everybody, in the order of their first events.
    pub(super) fn people(&self) -> Vec<&CapturedPerson> {
        let mut listed: Vec<&Listed> = self.people.values().collect();
        listed.sort_unstable_by_key(|listed| listed.first);
        listed.into_iter().map(|listed| &listed.person).collect()
    }

    /// Whether somebody comes to the chat with a join at `start` or later, and is not seen in it before.
    pub(super) fn comes_after(&self, key: &str, start: Place) -> bool {
        let Some(listed) = self.people.get(key) else { return false };
        let Some(joins) = listed.joins else { return false };
        joins >= start && listed.present.is_none_or(|present| joins <= present)
    }
}
