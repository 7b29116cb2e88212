//! How a section and its keys are declared: what belongs to which kind, what the form of a value is, and a worked value.

#[derive(Debug)]
pub(super) struct SectionSchema {
    pub(super) name: &'static str,
    pub(super) keys: &'static [Key],
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// A worked value, in TOML.
    pub(super) example: &'static str,
    /// What counts without the key, in TOML. That of a choice is its first name.
    pub(super) default: Option<&'static str>,
    /// What must hold for the key to have a meaning: all of these.
    pub(super) only: &'static [Condition],
    /// Whether the worked value is only a placeholder, which is never right.
    pub(super) is_placeholder: bool,
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
    /// A whole number from the first to the second.
    Integer(i64, i64),
    Boolean,
    Duration,
    /// A duration, or `forever`.
    DurationOrForever,
    Size,
    /// A whole number of percent, up to 100.
    Percent,
    TimeOfDay,
    Instant,
    /// A list of these names.
    List(fn() -> Vec<&'static str>),
    Secret,
    /// One of these names; the first is what counts without the key.
    Choice(fn() -> Vec<&'static str>),
}

impl Key {
    pub(super) const fn new(name: &'static str, shape: Shape, example: &'static str) -> Self {
        Self { name, shape, example, default: None, only: &[], is_placeholder: false }
    }

    /// Whether its value is no secret.
    pub(super) fn is_public(&self) -> bool {
        !matches!(self.shape, Shape::Secret)
    }

    pub(super) const fn only(self, only: &'static [Condition]) -> Self {
        Self { only, ..self }
    }

    /// The worked value counts without the key.
    pub(super) const fn default(self) -> Self {
        Self { default: Some(self.example), ..self }
    }

    /// Another value counts without the key.
    pub(super) const fn default_to(self, value: &'static str) -> Self {
        Self { default: Some(value), ..self }
    }

    pub(super) const fn placeholder(self) -> Self {
        Self { is_placeholder: true, ..self }
    }

    /// Whether a value is the placeholder that the template has for the key.
    pub(super) fn is_placeholder(&self, text: &str) -> bool {
        self.is_placeholder && self.example.trim_matches('"') == text
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

/// The sections that a file may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sections(pub(super) &'static [&'static SectionSchema]);

impl Sections {
    pub(super) fn iter(self) -> impl Iterator<Item = &'static SectionSchema> {
        self.0.iter().copied()
    }

    /// The section of this name.
    pub(super) fn named(self, name: &str) -> Option<&'static SectionSchema> {
        self.iter().find(|section| section.name == name)
    }
}

/// The known names that `unknown` may stand for: the nearest first, and those that are about as near.
pub(super) fn near<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    const MIN_SIMILARITY: f64 = 0.8;
    const TIE_MARGIN: f64 = 0.03;
    // Far longer than any known name: comparing would only cost time.
    if unknown.len() > 100 {
        return Vec::new();
    }
    let unknown = unknown.to_lowercase();
    let likeness = |name: &str| strsim::jaro_winkler(&unknown, &name.to_lowercase());
    let mut near: Vec<(f64, &str)> = known
        .into_iter()
        .map(|name| (likeness(name), name))
        .filter(|(likeness, _)| *likeness > MIN_SIMILARITY)
        .collect();
    near.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let nearest = near.first().map_or(0.0, |(likeness, _)| *likeness);
    near.into_iter().take_while(|(likeness, _)| *likeness >= nearest - TIE_MARGIN).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        assert_eq!(near("pasword", ["username", "password", "path"]), ["password"]);
        assert_eq!(near("base-url", ["base_url", "username"]), ["base_url"]);
        assert_eq!(near("Kind", ["kind", "container"]), ["kind"]);
        assert_eq!(near("usgov", ["global", "us-gov-high", "us-gov-dod", "china"]), ["us-gov-dod", "us-gov-high"]);
        assert_eq!(near("zzz", ["username", "password"]), [""; 0]);
        assert_eq!(near(&"p".repeat(1_000_000), ["password"]), [""; 0]);
    }
}
