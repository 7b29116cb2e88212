//! The file and the environment, brought together: sections, keys and values, each with the place that it comes from.
//!
//! Knows which sections and keys there are, as they are declared, not what their values mean.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use super::excerpt::{Excerpt, is_plain};
use super::lines::{Lines, Name, is_duplicate, shown};
use super::place::Place;
use super::problem::Problem;
use super::schema::{self, Key, SectionSchema, Sections, Shape};

/// What the name of a variable that overrides a key begins with.
pub(super) const PREFIX: &str = "WHATSAPP_ARCHIVER__";

/// The most syntax errors that are reported: after the first few, most are only its echo.
const MAX_SYNTAX_ERRORS: usize = 10;

/// A value, of whatever form.
#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    Datetime(Datetime),
    List(Vec<Value>),
    Table(BTreeMap<String, Value>),
    /// A number that no key takes.
    Float,
    HugeInteger,
}

impl Value {
    /// The value in JSON; `None` for one that no key takes.
    pub(super) fn to_json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Self::Text(text) => text.as_str().into(),
            Self::Integer(number) => (*number).into(),
            Self::Boolean(value) => (*value).into(),
            Self::Datetime(datetime) => datetime.to_string().into(),
            Self::List(values) => values.iter().filter_map(Self::to_json).collect(),
            Self::Table(_) | Self::Float | Self::HugeInteger => return None,
        })
    }
}

/// A value and where it is written.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) place: Place,
    /// The value as it is written, where it may be shown.
    pub(super) shown: Option<String>,
}

/// A section as it is written.
pub(super) struct Written {
    pub(super) header: Place,
    /// The header's own line, where it has one.
    pub(super) excerpt: Option<Excerpt>,
    pub(super) entries: BTreeMap<String, Entry>,
}

impl Written {
    /// A section that is not in the file.
    pub(super) fn nowhere() -> Self {
        Self { header: Place::File, excerpt: None, entries: BTreeMap::new() }
    }
}

/// The sections by name: known ones only, their keys as they are written.
pub(super) type Document = BTreeMap<&'static str, Written>;

/// What is found besides the values.
#[derive(Default)]
pub(super) struct Found {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

/// Reads the file's text and what overrides it. What is not known is reported and left out, and of a key that is set twice
/// the first counts; after any other syntax error nothing of the file can be trusted, so that its problems are all that
/// is returned.
pub(super) fn read(
    text: &str,
    environment: &BTreeMap<String, String>,
    sections: Sections,
    found: &mut Found,
) -> Result<Document, Vec<Problem>> {
    let lines = Lines::new(text, sections);
    let (table, errors) = DeTable::parse_recoverable(text);
    let problems = errors.iter().take(MAX_SYNTAX_ERRORS).map(|error| lines.syntax_problem(error));
    if !errors.iter().all(is_duplicate) {
        return Err(problems.collect());
    }
    found.problems.extend(problems);
    let mut document = Document::new();
    for (name, value) in table.get_ref() {
        read_section(name, value, &lines, &mut document, &mut found.problems);
    }
    override_from(environment, sections, &mut document, &mut found.problems);
    found.warnings.extend(single_underscores(environment, sections));
    Ok(document)
}

fn read_section(
    name: &Name<'_>,
    value: &toml::Spanned<DeValue<'_>>,
    lines: &Lines<'_>,
    document: &mut Document,
    problems: &mut Vec<Problem>,
) {
    let (header, excerpt) = (lines.place(name.span()), lines.header(name));
    let (name, value_span, value) = (name.get_ref(), value.span(), value.get_ref());
    let Some(section) = lines.sections.named(name) else {
        let shows_key = excerpt.is_none() && !value.is_table();
        let excerpt = if shows_key { Excerpt::of_key(&header, &shown(name), None) } else { excerpt };
        problems.push(unknown_section(name, value, header, lines.sections).showing(excerpt));
        return;
    };
    let DeValue::Table(entries) = value else {
        let what = match value {
            DeValue::Array(_) => "there is one such section, in single brackets",
            _ => "this is a section, not a key",
        };
        let shown = lines.shown(value_span);
        let excerpt = excerpt.or_else(|| Excerpt::of_key(&header, name, shown.as_deref()));
        problems.push(Problem::new(header, format!("[{name}]"), what).instead(format!("[{name}]")).showing(excerpt));
        return;
    };
    let entry = |key: &Name<'_>, value: &toml::Spanned<DeValue<'_>>| {
        let is_public = section.key(key.get_ref()).is_some_and(Key::is_public);
        let shown = if is_public { lines.shown(value.span()) } else { None };
        (key.get_ref().to_string(), Entry { value: own(value.get_ref()), place: lines.place(key.span()), shown })
    };
    let entries = entries.iter().map(|(key, value)| entry(key, value)).collect();
    document.insert(section.name, Written { header, excerpt, entries });
}

fn unknown_section(name: &str, value: &DeValue<'_>, place: Place, sections: Sections) -> Problem {
    let problem = |what: &str, instead: String| Problem::new(place, shown(name), what).instead(instead);
    if value.is_table() || value.is_array() {
        let near = schema::near(name, sections.iter().map(|section| section.name));
        return problem("unknown section", any_of(near.iter().map(|name| format!("[{name}]"))));
    }
    let homes: Vec<String> = sections
        .iter()
        .filter_map(|section| {
            section.key(name).map(|key| format!("in [{}]: {} = {}", section.name, key.name, key.example))
        })
        .collect();
    let nowhere = "nothing, or the key below the [section] that it belongs to".to_owned();
    problem("a key outside any section", if homes.is_empty() { nowhere } else { any_of(homes) })
}

/// Alternatives for a key, or "nothing".
pub(super) fn any_of(alternatives: impl IntoIterator<Item = String>) -> String {
    let alternatives: Vec<String> = alternatives.into_iter().collect();
    if alternatives.is_empty() { "nothing".to_owned() } else { alternatives.join("  or  ") }
}

/// Puts the values of variables in the place of those in the file.
fn override_from(
    environment: &BTreeMap<String, String>,
    sections: Sections,
    document: &mut Document,
    problems: &mut Vec<Problem>,
) {
    for (name, text) in beginning_with(environment, PREFIX) {
        let place = Place::Variable(name.clone());
        match known_variable(name, sections) {
            Some((section, key)) => {
                let written = document.entry(section.name).or_insert_with(Written::nowhere);
                let shown = Some(format!("\"{text}\"")).filter(|text| key.is_public() && is_plain(text));
                let entry = Entry { value: from_variable(text, key.shape), place, shown };
                written.entries.insert(key.name.to_owned(), entry);
            }
            None => problems.push(unknown_variable(name, place, sections)),
        }
    }
}

fn beginning_with<'a>(
    environment: &'a BTreeMap<String, String>,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a String, &'a String)> {
    let from_prefix = (std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded);
    environment.range::<str, _>(from_prefix).take_while(move |(name, _)| name.starts_with(prefix))
}

/// Warns of variables that lack the second underscore, and so override nothing. Those of other origin are left alone: a
/// cluster sets `WHATSAPP_ARCHIVER_PORT` and the like for a service of this name.
fn single_underscores(environment: &BTreeMap<String, String>, sections: Sections) -> Vec<Problem> {
    const ONE: &str = "WHATSAPP_ARCHIVER_";
    let meant = |name: &str| {
        let words: Vec<&str> = name.strip_prefix(ONE)?.split('_').filter(|word| !word.is_empty()).collect();
        let (section, key) = words.split_first()?;
        let section = sections.iter().find(|known| known.name.eq_ignore_ascii_case(section))?;
        let near = schema::near(&key.join("_"), section.keys.iter().map(|key| key.name));
        let near: Vec<String> = near.iter().filter_map(|name| Some(variable(section, section.key(name)?))).collect();
        (!near.is_empty()).then(|| any_of(near))
    };
    let what = "this variable overrides nothing: two underscores belong before the section and before the key";
    beginning_with(environment, ONE)
        .filter(|(name, _)| !name.starts_with(PREFIX))
        .filter_map(|(name, _)| Some(Problem::new(Place::Variable(name.clone()), "", what).instead(meant(name)?)))
        .collect()
}

fn variables(sections: Sections) -> impl Iterator<Item = (String, &'static SectionSchema, &'static Key)> {
    let of_section =
        |section: &'static SectionSchema| section.keys.iter().map(move |key| (variable(section, key), section, key));
    sections.iter().flat_map(of_section)
}

/// The variable that overrides a key.
pub(super) fn variable(section: &SectionSchema, key: &Key) -> String {
    format!("{PREFIX}{}__{}", section.name.to_uppercase(), key.name.to_uppercase())
}

fn known_variable(name: &str, sections: Sections) -> Option<(&'static SectionSchema, &'static Key)> {
    variables(sections).find(|(known, ..)| known == name).map(|(_, section, key)| (section, key))
}

fn unknown_variable(name: &str, place: Place, sections: Sections) -> Problem {
    let known: Vec<String> = variables(sections).map(|(known, ..)| known).collect();
    let bare = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    let bare_known: Vec<String> = known.iter().map(|name| bare(name)).collect();
    let near = schema::near(&bare(name), bare_known.iter().map(String::as_str));
    let what = "this variable overrides no key of the configuration";
    Problem::new(place, "", what).instead(any_of(near.iter().map(|name| format!("{PREFIX}{name}"))))
}

/// The value of a variable: TOML where it has the key's form so, else the text itself.
fn from_variable(text: &str, shape: Shape) -> Value {
    match DeValue::parse(text.trim()) {
        Ok(value) if fits(value.get_ref(), shape) => own(value.get_ref()),
        _ => Value::Text(text.to_owned()),
    }
}

/// A value that the program itself states in TOML.
pub(super) fn stated(text: &str) -> Option<Value> {
    DeValue::parse(text).ok().map(|value| own(value.get_ref()))
}

fn fits(value: &DeValue<'_>, shape: Shape) -> bool {
    match (value, shape) {
        (DeValue::String(_), Shape::Secret) => false,
        (DeValue::String(_), _)
        | (DeValue::Boolean(_), Shape::Boolean)
        | (DeValue::Integer(_), Shape::Integer(..) | Shape::Size | Shape::Duration | Shape::DurationOrForever)
        | (DeValue::Datetime(_), Shape::TimeOfDay | Shape::Instant)
        | (DeValue::Array(_), Shape::List(_))
        | (DeValue::Table(_), Shape::Secret) => true,
        _ => false,
    }
}

fn own(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::HugeInteger, Value::Integer)
        }
        DeValue::Float(_) => Value::Float,
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(datetime) => Value::Datetime(*datetime),
        DeValue::Array(values) => Value::List(values.iter().map(|value| own(value.get_ref())).collect()),
        DeValue::Table(entries) => {
            Value::Table(entries.iter().map(|(key, value)| (key.get_ref().to_string(), own(value.get_ref()))).collect())
        }
    }
}
