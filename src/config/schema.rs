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
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::super::{Config, EXAMPLE, Problem};
    use super::*;

    /// The example with lines of our choosing: for each, the section, the key and the whole line.
    fn example_with(changes: &[(&str, &str, String)]) -> String {
        let mut section = String::new();
        let mut text = String::new();
        for line in EXAMPLE.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
            }
            let setting = setting_of(line);
            let change = changes.iter().find(|(in_section, key, _)| *in_section == section && Some(*key) == setting);
            text.push_str(change.map_or(line, |(_, _, line)| line));
            text.push('\n');
        }
        text
    }

    /// The key that a line of the example sets, or would set without its `#`.
    fn setting_of(line: &str) -> Option<&str> {
        let line = line.strip_prefix('#').unwrap_or(line);
        let key = line.split_once(" = ")?.0;
        (!key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'))
            .then_some(key)
    }

    fn problems(text: &str) -> Vec<Problem> {
        let environment: BTreeMap<String, String> = [
            "TELEMESSAGE_PASSWORD",
            "STAGING_SAS",
            "IMAP_PASSWORD",
            "LEDGER_PASSWORD",
            "STATUS_TOKEN",
            "ALERT_WEBHOOK",
        ]
        .map(|name| (name.to_owned(), "https://alerts.example/".to_owned()))
        .into();
        match Config::from_text(text, Path::new("/etc/whatsapp-archiver/config.toml"), &environment) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.problems().to_vec(),
        }
    }

    fn chosen(section: &'static SectionSchema, conditions: &[Condition]) -> Vec<(&'static str, &'static str, String)> {
        let line = |it: &Condition| (section.name, it.key, format!("{} = \"{}\"", it.key, it.value));
        conditions.iter().map(line).collect()
    }

    fn all_keys() -> impl Iterator<Item = (&'static SectionSchema, &'static Key)> {
        SECTIONS.into_iter().flat_map(|section| section.keys.iter().map(move |key| (section, key)))
    }

    #[test]
    fn the_example_has_every_key_once_and_no_other() {
        let mut section = "";
        let mut in_example = Vec::new();
        for line in EXAMPLE.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']');
            } else if let Some(key) = setting_of(line) {
                in_example.push(format!("{section}.{key}"));
            }
        }
        in_example.sort();
        let mut known: Vec<String> =
            all_keys().map(|(section, key)| format!("{}.{}", section.name, key.name)).collect();
        known.sort();
        assert_eq!(in_example, known);
    }

    #[test]
    fn every_worked_value_and_every_line_of_the_example_is_right() {
        for (section, key) in all_keys() {
            let name = format!("{}.{}", section.name, key.name);
            let line = EXAMPLE
                .split(&format!("\n[{}]\n", section.name))
                .nth(1)
                .and_then(|rest| rest.lines().find(|line| setting_of(line) == Some(key.name)))
                .unwrap_or_else(|| panic!("{name}"));
            for line in [line.trim_start_matches('#').to_owned(), format!("{} = {}", key.name, key.example)] {
                let mut changes = chosen(section, key.only);
                changes.push((section.name, key.name, line));
                let wrong: Vec<Problem> = problems(&example_with(&changes))
                    .into_iter()
                    .filter(|problem| problem.key == name)
                    .filter(|problem| !key.is_placeholder || !problem.what.contains("the placeholder of the template"))
                    .filter(|problem| !problem.what.contains("contradicts") && !problem.what.contains("postgres"))
                    .filter(|problem| !problem.what.contains("can't be read: No such file"))
                    .collect();
                assert!(wrong.is_empty(), "{name}: {wrong:?}");
            }
        }
    }

    #[test]
    fn every_key_is_read() {
        for (section, key) in all_keys() {
            let mut changes = chosen(section, key.only);
            changes.push((section.name, key.name, format!("{} = -1.5", key.name)));
            let name = format!("{}.{}", section.name, key.name);
            let wrong = problems(&example_with(&changes));
            assert!(
                wrong.iter().any(|it| it.key == name && it.what.contains("expected here, not a fraction")),
                "{name}: {wrong:?}"
            );
        }
    }

    #[test]
    fn a_key_of_another_kind_says_which() {
        let mut checked = 0;
        for (section, key) in all_keys() {
            let name = format!("{}.{}", section.name, key.name);
            for (position, condition) in key.only.iter().enumerate() {
                let Shape::Choice(names) = section.key(condition.key).unwrap().shape else { panic!("{name}") };
                let other = names().into_iter().find(|name| *name != condition.value).unwrap();
                let mut changes = chosen(section, &key.only[..position]);
                changes.push((section.name, condition.key, format!("{} = \"{other}\"", condition.key)));
                changes.push((section.name, key.name, format!("{} = {}", key.name, key.example)));
                let wrong = problems(&example_with(&changes));
                let said = format!("this key is for {} = \"{}\"", condition.key, condition.value);
                assert!(wrong.iter().any(|it| it.key == name && it.what.starts_with(&said)), "{name}: {wrong:?}");
                checked += 1;
            }
        }
        assert!(checked >= 30, "{checked}");
    }

    #[test]
    fn conditions_name_choices_and_their_values() {
        for (section, key) in all_keys() {
            for condition in key.only {
                let Some(Shape::Choice(names)) = section.key(condition.key).map(|key| key.shape) else {
                    panic!("{}.{}", section.name, key.name)
                };
                assert!(names().contains(&condition.value), "{}.{}", section.name, key.name);
            }
        }
    }

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
