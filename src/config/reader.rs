//! Hands out the values of one section after another, and collects what is wrong with them.
//!
//! A value that is missing, or wrong, or belongs to another kind is reported once, with its place and a worked value, and
//! reading goes on: whoever reads a section asks for all of it before giving up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::document::{self, Document, Entry, Found, Value, Written, any_of};
use super::excerpt::{Excerpt, is_plain};
use super::form;
use super::form::{Invalid, Suggestion};
use super::lines::shown;
use super::place::Place;
use super::problem::{NamedTables, Problem};
use super::schema::{self, Choice, Condition, Key, SectionSchema, Sections, Shape};
use crate::secret::Secret;

/// Which secrets a command uses: those must be readable when the configuration is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeededSecrets {
    /// Every one.
    All,
    /// The ledger's password.
    OfLedger,
    /// Those of these sections. The sign-in's is read where something signs in.
    Of(&'static [&'static str]),
    None,
}

impl NeededSecrets {
    fn include(self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::OfLedger => key.starts_with("ledger."),
            Self::Of(sections) => key.split_once('.').is_some_and(|(section, _)| sections.contains(&section)),
            Self::None => false,
        }
    }
}

/// All sections, and what is wrong with them.
pub(super) struct Reader<'a> {
    sections: Sections,
    document: Document,
    /// What relative paths are relative to.
    directory: PathBuf,
    environment: &'a BTreeMap<String, String>,
    /// The secrets that must be readable.
    needed: NeededSecrets,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    /// The tables that are named, whatever else is wrong.
    pub(super) tables: NamedTables,
}

impl Reader<'_> {
    /// Whether the section is written at all.
    pub(super) fn has(&self, schema: &SectionSchema) -> bool {
        self.document.contains_key(schema.name)
    }

    /// Opens a section; one that is not written is empty.
    pub(super) fn section(&mut self, schema: &'static SectionSchema) -> Section<'_> {
        let written = self.document.remove(schema.name);
        let Written { header, excerpt, entries } = written.unwrap_or_else(Written::nowhere);
        let mut section = Section {
            sections: self.sections,
            schema,
            header,
            excerpt,
            entries,
            directory: &self.directory,
            environment: self.environment,
            needed: self.needed,
            problems: &mut self.problems,
            warnings: &mut self.warnings,
        };
        section.drop_unknown_keys();
        section.drop_keys_of_other_kinds();
        section
    }
}

pub(super) struct Section<'a> {
    sections: Sections,
    schema: &'static SectionSchema,
    header: Place,
    excerpt: Option<Excerpt>,
    entries: BTreeMap<String, Entry>,
    /// What relative paths are relative to.
    pub(super) directory: &'a Path,
    environment: &'a BTreeMap<String, String>,
    needed: NeededSecrets,
    problems: &'a mut Vec<Problem>,
    warnings: &'a mut Vec<Problem>,
}

impl<'a> Section<'a> {
    /// The value of a key, where it is there and right.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        form: impl FnOnce(&Value) -> Result<T, Invalid>,
    ) -> Option<T> {
        debug_assert!(self.schema.key(key).is_some(), "{key} is not in the table");
        let value = &self.entries.get(key)?.value;
        if let (Value::Text(text), Some(schema)) = (value, self.schema.key(key))
            && schema.is_placeholder(text)
        {
            let what = "this is the placeholder of the template";
            self.wrong(key, Invalid::with(what, format!("{key} = the value of your organisation")));
            return None;
        }
        match form(value) {
            Ok(value) => Some(value),
            Err(mut wrong) => {
                if let Some(shown) = self.entries.get(key).and_then(|entry| entry.shown.as_ref()) {
                    wrong.what = format!("{} (found {shown})", wrong.what);
                }
                self.wrong(key, wrong);
                None
            }
        }
    }

    /// The value of a key, or its default, also where the value is wrong, which is reported. `None` only for a key
    /// without a default.
    pub(super) fn or_default<T>(
        &mut self,
        key: &'static str,
        form: impl Fn(&Value) -> Result<T, Invalid>,
    ) -> Option<T> {
        let default = self.schema.key(key)?.default;
        debug_assert!(default.is_some(), "{key} has no default");
        self.optional(key, &form).or_else(|| form(&document::stated(default?)?).ok())
    }

    /// A whole number within the bounds that the key states, where it is there and right.
    pub(super) fn optional_number<T: TryFrom<i64>>(&mut self, key: &'static str) -> Option<T> {
        let shape = self.schema.key(key)?.shape;
        self.optional(key, |value| form::number(value, shape))
    }

    /// A whole number within the bounds that the key states, or its default.
    pub(super) fn number<T: TryFrom<i64>>(&mut self, key: &'static str) -> Option<T> {
        let shape = self.schema.key(key)?.shape;
        self.or_default(key, |value| form::number(value, shape))
    }

    /// A duration, or the key's default.
    pub(super) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        self.or_default(key, form::duration)
    }

    /// The value of a key that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        form: impl FnOnce(&Value) -> Result<T, Invalid>,
    ) -> Option<T> {
        if !self.has(key) {
            let because = self.conditions_of(key);
            self.wrong(key, Invalid::new(format!("missing{because}")));
        }
        self.optional(key, form)
    }

    /// The value of a key that is chosen by name.
    pub(super) fn choice<T: Choice>(&mut self, key: &'static str) -> Option<T> {
        if self.has(key) { self.optional(key, form::choice) } else { T::NAMES.first().map(|(_, first)| *first) }
    }

    /// A path, relative to the configuration file's directory.
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let directory = self.directory;
        self.optional(key, |value| form::path(value, directory))
    }

    /// A path that must be there.
    pub(super) fn required_path(&mut self, key: &'static str) -> Option<PathBuf> {
        let directory = self.directory;
        self.required(key, |value| form::path(value, directory))
    }

    /// A secret, which can be read.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<Secret> {
        let form = self.secret_form(key);
        self.optional(key, form)
    }

    /// A secret that must be there.
    pub(super) fn required_secret(&mut self, key: &'static str) -> Option<Secret> {
        let form = self.secret_form(key);
        self.required(key, form)
    }

    fn secret_form(&self, key: &'static str) -> impl FnOnce(&Value) -> Result<Secret, Invalid> + use<'a> {
        let (directory, environment, name) = (self.directory, self.environment, self.name_of(key));
        let is_needed = self.needed.include(&name);
        move |value| form::secret(value, &name, directory, environment, is_needed)
    }

    /// Whether the key is there, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// A variable of the environment that isn't an override.
    pub(super) fn variable(&self, name: &str) -> Option<&'a str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Reports what is wrong with a key; without advice of its own, the key's worked value is what to write instead.
    pub(super) fn wrong(&mut self, key: &'static str, wrong: Invalid) {
        let problem = self.problem(key, wrong);
        self.problems.push(problem);
    }

    /// Reports what is worth knowing about a key, though nothing is wrong with it.
    pub(super) fn warn(&mut self, key: &'static str, wrong: Invalid) {
        let problem = self.problem(key, wrong);
        self.warnings.push(problem);
    }

    fn problem(&self, key: &'static str, wrong: Invalid) -> Problem {
        let entry = self.entries.get(key);
        let place = entry.map_or(&self.header, |entry| &entry.place).clone();
        let excerpt = match entry {
            Some(entry) => Excerpt::of_value(&entry.place, key, entry.shown.as_deref()),
            None => self.excerpt.clone(),
        };
        let worked = |value: &str| self.schema.key(key).map(|key| self.worked(key, value, &place));
        let instead = match wrong.instead {
            Suggestion::Words(words) => Some(words),
            Suggestion::Values(values) => Some(any_of(values.iter().filter_map(|value| worked(value)))),
            Suggestion::Example => self.schema.key(key).and_then(|key| worked(key.example)),
        };
        Problem { instead, excerpt, ..Problem::new(place, self.name_of(key), wrong.what) }
    }

    fn name_of(&self, key: &str) -> String {
        format!("{}.{key}", self.schema.name)
    }

    /// A key with a value as it would be written at `place`.
    fn worked(&self, key: &Key, value: &str, place: &Place) -> String {
        match (place, key.shape) {
            (Place::Variable(name), Shape::Secret | Shape::List(_)) => format!("{name}='{value}'"),
            (Place::Variable(name), _) => format!("{name}='{}'", value.trim_matches('"')),
            (Place::File, _) => format!("in [{}]: {} = {value}", self.schema.name, key.name),
            (Place::Line { .. }, Shape::Secret) => {
                format!("{0} = {value}  or  {0} = {1}", key.name, other_origin(key))
            }
            (Place::Line { .. }, _) => format!("{} = {value}", key.name),
        }
    }

    fn drop_unknown_keys(&mut self) {
        let schema = self.schema;
        let unknown: Vec<(String, Entry)> = self.entries.extract_if(.., |key, _| schema.key(key).is_none()).collect();
        for (key, entry) in unknown {
            let near = schema::near(&key, schema.keys.iter().map(|key| key.name));
            let near: Vec<&Key> = near.into_iter().filter_map(|name| schema.key(name)).collect();
            let may_be_secret = sounds_secret(&key) || near.iter().any(|key| !key.is_public());
            let own = if may_be_secret { None } else { own_value(&entry.value) };
            let worked = |key: &&Key| self.worked(key, own.as_deref().unwrap_or(key.example), &entry.place);
            let mut instead: Vec<String> = near.iter().map(worked).collect();
            if instead.is_empty() {
                let elsewhere = self.sections.iter().filter(|section| section.key(&key).is_some());
                instead = elsewhere.map(|section| format!("the same key in [{}]", section.name)).collect();
            }
            let excerpt = Excerpt::of_key(&entry.place, &shown(&key), None);
            let problem = Problem::new(entry.place, self.name_of(&shown(&key)), "unknown key");
            self.problems.push(problem.instead(any_of(instead)).showing(excerpt));
        }
    }

    fn drop_keys_of_other_kinds(&mut self) {
        let misplaced: Vec<(&'static Key, &'static Condition)> =
            self.schema.keys.iter().filter_map(|key| Some((key, self.broken_condition(key)?))).collect();
        for (key, condition) in misplaced {
            let Some(entry) = self.entries.remove(key.name) else { continue };
            let needed = format!("{} = \"{}\"", condition.key, condition.value);
            let excerpt = Excerpt::of_key(&entry.place, key.name, entry.shown.as_deref());
            let what = format!("this key is for {needed}, which is not what is chosen here");
            let problem = Problem::new(entry.place, self.name_of(key.name), what);
            let instead = format!("nothing, or {needed} in [{}]", self.schema.name);
            self.problems.push(problem.instead(instead).showing(excerpt));
        }
    }

    /// The first condition of a written key that certainly doesn't hold.
    fn broken_condition(&self, key: &'static Key) -> Option<&'static Condition> {
        if !self.has(key.name) {
            return None;
        }
        key.only.iter().find(|condition| self.chosen(condition.key).is_some_and(|chosen| chosen != condition.value))
    }

    /// What is chosen for a key: `None` where it is no valid choice, which is reported when it is read.
    fn chosen(&self, key: &str) -> Option<&'static str> {
        let Shape::Choice(names) = self.schema.key(key)?.shape else { return None };
        match self.entries.get(key) {
            None => names().first().copied(),
            Some(Entry { value: Value::Text(text), .. }) => names().into_iter().find(|name| name == text),
            Some(_) => None,
        }
    }

    fn conditions_of(&self, key: &str) -> String {
        let conditions = self.schema.key(key).map_or(&[][..], |key| key.only);
        let named: Vec<String> = conditions.iter().map(|it| format!("{} = \"{}\"", it.key, it.value)).collect();
        if named.is_empty() { String::new() } else { format!(": {} needs it", named.join(" with ")) }
    }
}

/// Whether an unknown key may stand for a secret, whatever known key it is most like.
fn sounds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["pass", "pw", "secret", "key", "token", "sas", "credential"].iter().any(|word| key.contains(word))
}

/// The value that stands under a mistyped key, for the right one; nothing where it can't be written out as it came.
fn own_value(value: &Value) -> Option<String> {
    let written = match value {
        Value::Text(text) => format!("\"{text}\""),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
        _ => return None,
    };
    (is_plain(&written) && !written.contains('\\')).then_some(written)
}

/// The worked value of a secret's key with the other of the two origins.
fn other_origin(key: &Key) -> String {
    if key.example.contains("file =") {
        format!("{{ env = \"{}\" }}", key.name.to_uppercase())
    } else {
        format!("{{ file = \"/run/secrets/{}\" }}", key.name)
    }
}

/// Reads the text into a reader of its sections.
pub(super) fn open<'a>(
    text: &str,
    directory: PathBuf,
    environment: &'a BTreeMap<String, String>,
    sections: Sections,
    needed: NeededSecrets,
) -> Result<Reader<'a>, Vec<Problem>> {
    let mut found = Found::default();
    let document = document::read(text, environment, sections, &mut found)?;
    let Found { problems, warnings } = found;
    let tables = NamedTables::default();
    Ok(Reader { sections, document, directory, environment, needed, problems, warnings, tables })
}
