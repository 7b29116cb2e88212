//! The forms that values have: from a value as it is written to one that can be used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use super::document::Value;
use super::quantity;
use super::schema::{self, Choice, Shape};
use crate::secret::Secret;

/// What is wrong with a value. Doesn't say what the value is: whoever reports it knows whether it may be shown.
pub(super) struct Invalid {
    pub(super) what: String,
    pub(super) instead: Suggestion,
}

/// What to write instead of what is wrong.
pub(super) enum Suggestion {
    /// The key with its worked value.
    Example,
    /// The key with one of these values.
    Values(Vec<String>),
    /// What these words say.
    Words(String),
}

impl Invalid {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), instead: Suggestion::Example }
    }

    pub(super) fn with(what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self { what: what.into(), instead: Suggestion::Words(instead.into()) }
    }

    fn form(expected: &str, value: &Value) -> Self {
        let found = match value {
            Value::Text(_) => "a text",
            Value::Integer(_) => "a whole number",
            Value::HugeInteger => "a whole number that is too large",
            Value::Float => "a fraction",
            Value::Boolean(_) => "true or false",
            Value::Datetime(_) => "a date or time",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        };
        Self::new(format!("{expected} is expected here, not {found}"))
    }
}

/// Text of one line: not empty, not over 1,024 characters, no control characters, no space at either end.
pub(super) fn text(value: &Value) -> Result<String, Invalid> {
    const MAX_LENGTH: usize = 1024;
    let Value::Text(text) = value else { return Err(Invalid::form("a text in quotes", value)) };
    let wrong = if text.is_empty() {
        "must not be empty"
    } else if text.chars().nth(MAX_LENGTH).is_some() {
        "too long: at most 1,024 characters"
    } else if text.chars().any(char::is_control) {
        "must not hold control characters, such as line breaks"
    } else if text.trim() != text {
        "must not begin or end with a space"
    } else {
        return Ok(text.clone());
    };
    Err(Invalid::new(wrong))
}

/// A whole number within the bounds that a key states.
pub(super) fn number<T: TryFrom<i64>>(value: &Value, shape: Shape) -> Result<T, Invalid> {
    let Shape::Integer(least, most) = shape else { return Err(Invalid::new("this key takes no number")) };
    let number = match value {
        Value::Integer(number) => Some(*number),
        Value::HugeInteger => None,
        _ => return Err(Invalid::form("a whole number", value)),
    };
    let number = number.filter(|number| (least..=most).contains(number)).and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| Invalid::new(format!("must lie between {least} and {most}")))
}

pub(super) fn boolean(value: &Value) -> Result<bool, Invalid> {
    match value {
        Value::Boolean(value) => Ok(*value),
        _ => Err(Invalid::form("true or false, without quotes,", value)),
    }
}

/// One of a choice's names.
pub(super) fn choice<T: Choice>(value: &Value) -> Result<T, Invalid> {
    let Value::Text(text) = value else { return Err(Invalid::form("a text in quotes", value)) };
    let chosen = T::NAMES.iter().find(|(name, _)| name == text);
    chosen.map(|(_, chosen)| *chosen).ok_or_else(|| not_a_choice::<T>(text))
}

fn not_a_choice<T: Choice>(text: &str) -> Invalid {
    let names = schema::names::<T>();
    let all = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let near: Vec<String> = schema::near(text, names).into_iter().map(|name| format!("\"{name}\"")).collect();
    let instead = if near.is_empty() { Suggestion::Example } else { Suggestion::Values(near) };
    Invalid { what: format!("must be one of {all}"), instead }
}

pub(super) fn duration(value: &Value) -> Result<Duration, Invalid> {
    match value {
        Value::Text(text) => quantity::duration(text).map_err(Invalid::new),
        Value::Integer(_) => Err(Invalid::new("a duration needs a unit (ms, s, m, h, d, w), in quotes")),
        _ => Err(Invalid::form("a duration in quotes", value)),
    }
}

/// A duration of at least `shortest`.
pub(super) fn duration_from(shortest: Duration, named: &str) -> impl Fn(&Value) -> Result<Duration, Invalid> {
    move |value| {
        let too_short = || Invalid::new(format!("too short: at least {named}"));
        duration(value).and_then(|duration| Some(duration).filter(|it| *it >= shortest).ok_or_else(too_short))
    }
}

/// What `read` reads, of at most `longest`.
pub(super) fn duration_to(
    longest: Duration,
    named: &str,
    read: impl Fn(&Value) -> Result<Duration, Invalid>,
) -> impl Fn(&Value) -> Result<Duration, Invalid> {
    move |value| {
        let too_long = || Invalid::new(format!("too long: at most {named}"));
        read(value).and_then(|duration| Some(duration).filter(|it| *it <= longest).ok_or_else(too_long))
    }
}

/// A size in bytes, not nothing.
pub(super) fn size(value: &Value) -> Result<u64, Invalid> {
    let size = match value {
        Value::Text(text) => quantity::size(text).map_err(Invalid::new)?,
        Value::Integer(number) => u64::try_from(*number).map_err(|_| Invalid::new("a size can't be negative"))?,
        _ => return Err(Invalid::form("a size in quotes", value)),
    };
    if size == 0 {
        Err(Invalid::new("must be larger than zero: a limit of zero would let nothing through"))
    } else {
        Ok(size)
    }
}

/// A time of day: `02:00`.
pub(super) fn time_of_day(value: &Value) -> Result<NaiveTime, Invalid> {
    const FORM: &str = "not a time of day: hours and minutes in UTC are expected, from 00:00 to 23:59";
    let text = match value {
        Value::Text(text) => text.clone(),
        Value::Datetime(datetime) if datetime.date.is_none() => datetime.to_string(),
        _ => return Err(Invalid::form("a time of day in quotes", value)),
    };
    let time = ["%H:%M", "%H:%M:%S"].iter().find_map(|form| NaiveTime::parse_from_str(text.trim(), form).ok());
    // chrono takes 23:59:60 for a leap second, which no schedule can keep to.
    time.filter(|time| chrono::Timelike::nanosecond(time) == 0).ok_or_else(|| Invalid::new(FORM))
}

/// An instant from 1970 to 9999: RFC 3339, or a date, which is its midnight in UTC.
pub(super) fn instant(value: &Value) -> Result<DateTime<Utc>, Invalid> {
    const FORM: &str = "not an instant: a date, or a date with a time and Z or an offset, is expected, from 1970 on";
    let text = match value {
        Value::Text(text) => text.trim().to_owned(),
        Value::Datetime(datetime) if datetime.date.is_some() => datetime.to_string(),
        _ => return Err(Invalid::form("an instant", value)),
    };
    let date = || text.parse::<NaiveDate>().ok().map(|date| date.and_time(NaiveTime::MIN).and_utc());
    let instant = DateTime::parse_from_rfc3339(&text).ok().map(|it| it.with_timezone(&Utc)).or_else(date);
    let possible = |it: &DateTime<Utc>| (0..=253_402_300_799).contains(&it.timestamp());
    instant.filter(possible).ok_or_else(|| Invalid::new(FORM))
}

/// A list of chosen names: at least one, each once.
pub(super) fn choices<T: Choice>(value: &Value) -> Result<Vec<T>, Invalid> {
    let Value::List(values) = value else { return Err(Invalid::form("a list in square brackets", value)) };
    if values.is_empty() {
        return Err(Invalid::new("must not be empty"));
    }
    let is_name = |value: &Value, name: &str| matches!(value, Value::Text(text) if text == name);
    for (name, _) in T::NAMES {
        if values.iter().filter(|value| is_name(value, name)).count() > 1 {
            return Err(Invalid::new(format!("\"{name}\" is there more than once")));
        }
    }
    values.iter().map(choice).collect()
}

/// A path; a relative one is relative to `directory`.
pub(super) fn path(value: &Value, directory: &Path) -> Result<PathBuf, Invalid> {
    text(value).map(|path| directory.join(path))
}

/// A secret, `{ env = "NAME" }` or `{ file = "…" }`; one that is needed can be read now.
pub(super) fn secret(
    value: &Value,
    key: &str,
    directory: &Path,
    environment: &BTreeMap<String, String>,
    is_needed: bool,
) -> Result<Secret, Invalid> {
    const FORM: &str = "a secret is named by either env or file, and nothing else";
    let entries = match value {
        Value::Table(entries) => entries,
        Value::Text(_) => return Err(Invalid::new("a secret is never written here: name where it is to be found")),
        _ => return Err(Invalid::form("a table that names a secret", value)),
    };
    let mut entries = entries.iter();
    let (Some((origin, value)), None) = (entries.next(), entries.next()) else { return Err(Invalid::new(FORM)) };
    let secret = match origin.as_str() {
        "env" => {
            let name = text(value)?;
            Secret::variable(key, &name, environment.get(&name).map(String::as_str))
        }
        "file" => Secret::file(key, path(value, directory)?),
        _ => return Err(Invalid::new(FORM)),
    };
    if !is_needed {
        return Ok(secret);
    }
    match secret.read() {
        Ok(_) => Ok(secret),
        Err(error) => Err(Invalid::with(error.fault.to_string(), error.fault.remedy())),
    }
}
