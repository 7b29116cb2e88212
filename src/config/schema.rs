//! The table of all sections and keys: what is unknown, what belongs to which kind, what the form of a value is, and a
//! worked value of each.

/// A section of the file.
#[derive(Debug)]
pub(super) struct SectionSchema {
    pub(super) name: &'static str,
    pub(super) keys: &'static [Key],
}

/// A key of a section.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// A worked value, in TOML.
    pub(super) example: &'static str,
    /// What must hold for the key to have a meaning: all of these.
    pub(super) only: &'static [Condition],
}

/// Another key of the same section has this value. The other key's [`Shape`] is a choice.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) key: &'static str,
    pub(super) value: &'static str,
}

/// What a value looks like.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Text,
    Integer,
    Boolean,
    Duration,
    Size,
    TimeOfDay,
    Instant,
    List,
    Secret,
    /// One of these names; the first is what counts without the key.
    Choice(fn() -> Vec<&'static str>),
}

impl Key {
    pub(super) const fn new(name: &'static str, shape: Shape, example: &'static str) -> Self {
        Self { name, shape, example, only: &[] }
    }

    pub(super) const fn only(self, only: &'static [Condition]) -> Self {
        Self { only, ..self }
    }
}

impl Condition {
    pub(super) const fn new(key: &'static str, value: &'static str) -> Self {
        Self { key, value }
    }
}

/// Values that are chosen by name. The first is what counts without the key.
pub(super) trait Choice: Copy + 'static {
    const NAMES: &'static [(&'static str, Self)];
}

/// The names of a choice.
pub(super) fn names<T: Choice>() -> Vec<&'static str> {
    T::NAMES.iter().map(|(name, _)| *name).collect()
}

impl SectionSchema {
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// All sections, in the order of the example.
pub(super) const SECTIONS: [&SectionSchema; 14] = [
    &super::source::SCHEMA,
    &super::schedule::SCHEMA,
    &super::staging::SCHEMA,
    &super::mapping::SCHEMA,
    &super::users::SCHEMA,
    &super::microsoft::SCHEMA,
    &super::mailbox::SCHEMA,
    &super::ledger::SCHEMA,
    &super::http::SCHEMA,
    &super::report::SCHEMA,
    &super::notify::SCHEMA,
    &super::network::SCHEMA,
    &super::retry::SCHEMA,
    &super::log::SCHEMA,
];

/// The section of this name.
pub(super) fn section(name: &str) -> Option<&'static SectionSchema> {
    SECTIONS.into_iter().find(|section| section.name == name)
}

/// The known name that `unknown` most likely stands for.
pub(super) fn likeliest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Far longer than any known name: comparing would only cost time.
    if unknown.len() > 100 {
        return None;
    }
    let unknown = unknown.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&unknown, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}
