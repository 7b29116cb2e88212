//! What is wrong with JSON, said without a word of what is in it.
//!
//! The parser's own message quotes the value it stumbled over, which can be a message's text, a phone number or a token.
//! A [`JsonFault`] keeps what was expected and where, and nothing else; every error that reaches a log, a page or a
//! report is made of one.

use std::fmt;

use serde_json::error::Category;

/// Why JSON can't be read: what was expected, and where. Never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonFault {
    what: String,
    /// Line and column, from 1; nothing where the value was not read from a text.
    place: Option<(usize, usize)>,
}

impl JsonFault {
    /// Something else than what was expected.
    pub(crate) fn expected(what: &'static str) -> Self {
        Self { what: format!("expected {what}"), place: None }
    }
}

impl std::error::Error for JsonFault {}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match self.place {
            Some((line, column)) => write!(f, ", at line {line} column {column}"),
            None => Ok(()),
        }
    }
}

impl From<serde_json::Error> for JsonFault {
    fn from(error: serde_json::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&serde_json::Error> for JsonFault {
    fn from(error: &serde_json::Error) -> Self {
        let what = match error.classify() {
            Category::Io => "it can't be read to its end".to_owned(),
            Category::Eof => "the JSON is cut short".to_owned(),
            Category::Syntax => "it is not JSON".to_owned(),
            Category::Data => of_data(&message_of(error)),
        };
        Self { what, place: (error.line() > 0).then(|| (error.line(), error.column())) }
    }
}

/// The parser's message without its place.
fn message_of(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&place).map_or(message.clone(), str::to_owned)
}

/// What was expected: the end of the message, which is the program's own words. Messages of any other form are dropped.
fn of_data(message: &str) -> String {
    const QUOTING: [&str; 5] =
        ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant ", "unknown field "];
    const NAMING: [&str; 2] = ["missing field ", "duplicate field "];
    if NAMING.iter().any(|form| message.starts_with(form)) {
        return message.to_owned();
    }
    let quotes = QUOTING.iter().any(|form| message.starts_with(form));
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if quotes => format!("expected {expected}"),
        _ => "a value is not of the expected form".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only ever refused")]
    struct Sample {
        #[serde(default)]
        flag: bool,
        #[serde(default)]
        choice: Option<Choice>,
        #[serde(default)]
        short: Option<[u8; 2]>,
        #[serde(default)]
        time: Option<chrono::DateTime<chrono::Utc>>,
        number: u8,
    }

    #[derive(Debug, serde::Deserialize)]
    enum Choice {
        One,
        Two,
    }

    fn fault_of(json: &str) -> String {
        JsonFault::from(serde_json::from_str::<Sample>(json).unwrap_err()).to_string()
    }

    #[test]
    fn no_value_is_quoted() {
        for json in [
            r#""+15550100 Secret""#,
            r#"{"flag":"+15550100 Secret, expected Secret"}"#,
            r#"{"choice":"+15550100 Secret"}"#,
            r#"{"+15550100 Secret":1}"#,
            r#"{"time":"+15550100 Secret"}"#,
            r#"{"number":15550100}"#,
            r#"{"short":[15550100]}"#,
            r#"{"number":1,"flag":"#,
            r#"{"number":1 +15550100 Secret"#,
        ] {
            let fault = fault_of(json);
            assert!(!fault.contains("Secret") && !fault.contains("15550100"), "{fault}");
            assert!(fault.contains("at line 1 column"), "{fault}");
        }
    }

    #[test]
    fn what_is_expected_and_where_is_reported() {
        assert_eq!(fault_of("{\n\"flag\":\"x\"}"), "expected a boolean, at line 2 column 10");
        assert_eq!(fault_of("{}"), "missing field `number`, at line 1 column 2");
        assert_eq!(fault_of("{"), "the JSON is cut short, at line 1 column 1");
        let value: serde_json::Error = serde_json::from_value::<Sample>(serde_json::json!([])).unwrap_err();
        assert_eq!(JsonFault::from(value).to_string(), "expected struct Sample with 5 elements");
    }
}
