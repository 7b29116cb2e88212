//! The file and the environment, brought together: sections, keys and values, each with the place that it comes from.
//!
//! Knows which sections and keys there are, not what their values mean.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use super::problem::{Place, Problem};
use super::schema::{self, Key, SECTIONS, SectionSchema, Shape};

/// What the name of a variable that overrides a key begins with.
pub(super) const PREFIX: &str = "WHATSAPP_ARCHIVER__";

/// The most syntax errors that are told: after the first few, most are only its echo.
const SYNTAX_ERRORS: usize = 10;

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

/// A value and where it is written.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// A section as it is written.
pub(super) struct Written {
    pub(super) header: Place,
    pub(super) entries: BTreeMap<String, Entry>,
}

/// The sections by name: known ones only, their keys as they are written.
pub(super) type Document = BTreeMap<&'static str, Written>;

/// Reads the file's text and what overrides it. What is not known is told and left out; after a syntax error nothing
/// of the file can be trusted, so that its problems are all that is returned.
pub(super) fn read(
    text: &str,
    environment: &BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> Result<Document, Vec<Problem>> {
    let lines = Lines::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().take(SYNTAX_ERRORS).map(|error| lines.syntax_problem(error)).collect());
    }
    let mut document = Document::new();
    for (name, value) in table.get_ref() {
        read_section(name.get_ref(), value.get_ref(), &lines, lines.place(name.span()), &mut document, problems);
    }
    override_from(environment, &mut document, problems);
    Ok(document)
}

fn read_section(
    name: &str,
    value: &DeValue<'_>,
    lines: &Lines<'_>,
    header: Place,
    document: &mut Document,
    problems: &mut Vec<Problem>,
) {
    let Some(section) = schema::section(name) else {
        problems.push(unknown_section(name, value, header));
        return;
    };
    let DeValue::Table(entries) = value else {
        let what = match value {
            DeValue::Array(_) => "there is one such section, in single brackets",
            _ => "this is a section, not a key",
        };
        let (key, instead) = (format!("[{name}]"), Some(format!("[{name}]")));
        problems.push(Problem { place: header, key, what: what.to_owned(), instead });
        return;
    };
    let entry = |key: &toml::Spanned<std::borrow::Cow<'_, str>>, value: &toml::Spanned<DeValue<'_>>| {
        (key.get_ref().to_string(), Entry { value: own(value.get_ref()), place: lines.place(key.span()) })
    };
    let entries = entries.iter().map(|(key, value)| entry(key, value)).collect();
    document.insert(section.name, Written { header, entries });
}

fn unknown_section(name: &str, value: &DeValue<'_>, place: Place) -> Problem {
    let problem = |what: &str, instead| Problem { place, key: shown(name), what: what.to_owned(), instead };
    if value.is_table() || value.is_array() {
        let likeliest = schema::likeliest(name, SECTIONS.iter().map(|section| section.name));
        let instead = likeliest.map_or("nothing".to_owned(), |name| format!("[{name}]"));
        return problem("unknown section", Some(instead));
    }
    let home = SECTIONS.iter().find_map(|section| Some((section.name, section.key(name)?)));
    let instead = home
        .map_or("nothing, or the key below the [section] that it belongs to".to_owned(), |(section, key)| {
            format!("in [{section}]: {} = {}", key.name, key.example)
        });
    problem("a key outside any section", Some(instead))
}

/// Puts the values of variables in the place of those in the file.
fn override_from(environment: &BTreeMap<String, String>, document: &mut Document, problems: &mut Vec<Problem>) {
    let after_prefix = (std::ops::Bound::Included(PREFIX), std::ops::Bound::Unbounded);
    let ours = environment.range::<str, _>(after_prefix).take_while(|(name, _)| name.starts_with(PREFIX));
    for (name, text) in ours {
        let place = Place::Variable(name.clone());
        match known_variable(name) {
            Some((section, key)) => {
                let written = document
                    .entry(section.name)
                    .or_insert_with(|| Written { header: Place::File, entries: BTreeMap::new() });
                written.entries.insert(key.name.to_owned(), Entry { value: from_variable(text, key.shape), place });
            }
            None => problems.push(unknown_variable(name, place)),
        }
    }
}

fn variables() -> impl Iterator<Item = (String, &'static SectionSchema, &'static Key)> {
    let of_section =
        |section: &'static SectionSchema| section.keys.iter().map(move |key| (variable(section, key), section, key));
    SECTIONS.into_iter().flat_map(of_section)
}

/// The variable that overrides a key.
pub(super) fn variable(section: &SectionSchema, key: &Key) -> String {
    format!("{PREFIX}{}__{}", section.name.to_uppercase(), key.name.to_uppercase())
}

fn known_variable(name: &str) -> Option<(&'static SectionSchema, &'static Key)> {
    variables().find(|(known, ..)| known == name).map(|(_, section, key)| (section, key))
}

fn unknown_variable(name: &str, place: Place) -> Problem {
    let known: Vec<String> = variables().map(|(known, ..)| known).collect();
    let likeliest = schema::likeliest(name, known.iter().map(String::as_str));
    let what = "this variable overrides no key of the configuration".to_owned();
    Problem { place, key: String::new(), what, instead: Some(likeliest.unwrap_or("nothing").to_owned()) }
}

/// The value of a variable: TOML where it has the key's form so, else the text itself.
fn from_variable(text: &str, shape: Shape) -> Value {
    match DeValue::parse(text.trim()) {
        Ok(value) if fits(value.get_ref(), shape) => own(value.get_ref()),
        _ => Value::Text(text.to_owned()),
    }
}

fn fits(value: &DeValue<'_>, shape: Shape) -> bool {
    match (value, shape) {
        (DeValue::String(_), Shape::Secret) => false,
        (DeValue::String(_), _)
        | (DeValue::Boolean(_), Shape::Boolean)
        | (DeValue::Integer(_), Shape::Integer | Shape::Size | Shape::Duration)
        | (DeValue::Datetime(_), Shape::TimeOfDay | Shape::Instant)
        | (DeValue::Array(_), Shape::List)
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

/// A name from the file, bounded and without control characters, as it can be shown.
pub(super) fn shown(name: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = name.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if name.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// Where the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    /// The line, from 1, that holds the byte at `offset`.
    fn number(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).max(1)
    }

    fn place(&self, span: Range<usize>) -> Place {
        Place::Line { line: self.number(span.start), column: None }
    }

    /// Only the parser's own words: its rendering of the error would show the line.
    fn syntax_problem(&self, error: &toml::de::Error) -> Problem {
        let offset = error.span().map_or(0, |span| span.start);
        let line = self.number(offset);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(1, |before| before.chars().count() + 1);
        Problem {
            place: Place::Line { line, column: Some(column) },
            key: String::new(),
            what: format!("not TOML: {}", error.message()),
            instead: None,
        }
    }
}
