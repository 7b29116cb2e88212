//! The identifiers of a mapping that aren't numbers, and what is shown of each.

use std::collections::HashMap;

use super::key::Key;
use crate::item::Identifier;

/// The identifiers that aren't numbers, by their keys.
#[derive(Debug, Default)]
pub(super) struct Names {
    places: HashMap<String, u32>,
}

impl Names {
    pub(super) fn key_of(&self, identifier: &Identifier) -> Option<Key> {
        match identifier {
            Identifier::Number(number) => Key::of(number),
            Identifier::Name(name) => self.places.get(name).copied().map(Key::named),
        }
    }

    /// The key of a name, which is new or not.
    pub(super) fn add(&mut self, name: String) -> Option<Key> {
        let next = u32::try_from(self.places.len()).ok()?;
        Some(Key::named(*self.places.entry(name).or_insert(next)))
    }

    /// What is shown of each key: numbers masked.
    pub(super) fn shown(&self) -> Shown<'_> {
        let mut names: Vec<(&str, u32)> = self.places.iter().map(|(name, place)| (name.as_str(), *place)).collect();
        names.sort_unstable_by_key(|(_, place)| *place);
        Shown(names.into_iter().map(|(name, _)| name).collect())
    }
}

/// The names in the order of their keys.
pub(super) struct Shown<'a>(Vec<&'a str>);

impl Shown<'_> {
    pub(super) fn of(&self, key: Key) -> String {
        match key.place() {
            Some(place) => {
                let name = self.0.get(place).copied().unwrap_or_default();
                Identifier::Name(name.to_owned()).masked()
            }
            None => key.masked(),
        }
    }
}
