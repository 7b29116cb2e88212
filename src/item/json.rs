//! JSON as it came: the fields of an object in their order, numbers digit by digit, at any depth.
//!
//! One level is parsed at a time and everything below it is kept as raw text, so that no value is lost and no nesting is
//! too deep.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::text::{harmless_json, repair_json, replace_surrogate_escapes};

/// From which depth on nested values are no longer written on lines of their own.
const MAX_INDENTED_DEPTH: usize = 20;

/// The JSON text with what a strict parser would refuse inside strings replaced: invalid UTF-8, lone surrogates, bare
/// control characters.
pub(super) fn cleaned(raw: &[u8]) -> Result<Cow<'_, str>, serde_json::Error> {
    let text = match std::str::from_utf8(raw) {
        Ok(text) => replace_surrogate_escapes(text),
        Err(_) => Cow::Owned(replace_surrogate_escapes(&String::from_utf8_lossy(raw)).into_owned()),
    };
    let Err(error) = serde_json::from_str::<&RawValue>(&text) else { return Ok(text) };
    let repaired = repair_json(&text).into_owned();
    match serde_json::from_str::<&RawValue>(&repaired) {
        Ok(_) => Ok(Cow::Owned(repaired)),
        Err(_) => Err(error),
    }
}

/// The fields of one object in their order. A key can be there several times: the last one counts.
#[derive(Debug, Default)]
pub(super) struct Fields<'a>(pub(super) Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Fields<'a> {
    /// The fields of an object; `None` where the JSON is anything else.
    pub(super) fn read(json: &'a str) -> Option<Self> {
        json.starts_with('{').then(|| serde_json::from_str(json).ok()).flatten()
    }

    /// Takes the last field of this name out.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a str> {
        let place = self.0.iter().rposition(|(key, _)| key == name)?;
        Some(self.0.remove(place).1)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    fields.push((key, value.get()));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The elements of a list; `None` where the JSON is anything else.
pub(super) fn elements(json: &str) -> Option<Vec<&str>> {
    let elements: Vec<&RawValue> = json.starts_with('[').then(|| serde_json::from_str(json).ok()).flatten()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

/// The text of a JSON string; `None` where the JSON is anything else.
pub(super) fn string(json: &str) -> Option<String> {
    json.starts_with('"').then(|| serde_json::from_str(json).ok()).flatten()
}

/// The same, not copied where nothing in it is escaped.
pub(super) fn string_within(json: &str) -> Option<Cow<'_, str>> {
    if json.contains('\\') {
        return string(json).map(Cow::Owned);
    }
    json.starts_with('"').then(|| serde_json::from_str(json).ok()).flatten().map(Cow::Borrowed)
}

/// Whether there is nothing in a value: null, blank text, or lists and objects of nothing else.
pub(super) fn is_hollow(json: &str) -> bool {
    // Most values are plain text or numbers: their first bytes say that they hold something.
    if let [b'"', second, ..] | [second @ (b'0'..=b'9' | b'-' | b't' | b'f'), ..] = json.as_bytes()
        && second.is_ascii_graphic()
        && !matches!(second, b'"' | b'\\')
    {
        return false;
    }
    let mut open_objects = Vec::new();
    let mut is_key_next = false;
    for token in Tokens(json) {
        match token {
            "{" | "[" => {
                open_objects.push(token == "{");
                is_key_next = token == "{";
            }
            "}" | "]" => {
                open_objects.pop();
            }
            ":" => is_key_next = false,
            "," => is_key_next = open_objects.last() == Some(&true),
            "null" => {}
            text if text.starts_with('"') => {
                if !is_key_next && !is_blank(text) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    true
}

/// Whether a text, in its quotation marks, is nothing but blanks. It may hold a file: only one that begins with an escape is read.
fn is_blank(text: &str) -> bool {
    match text.trim_matches('"').trim_start().chars().next() {
        None => true,
        Some('\\') => string(text).is_some_and(|text| text.trim().is_empty()),
        Some(_) => false,
    }
}

/// A value for a reader: text without its quotation marks, anything else as JSON on one line.
pub(super) fn shown(json: &str) -> String {
    string(json).unwrap_or_else(|| written(json, false))
}

/// A value as JSON on indented lines.
pub(super) fn indented(json: &str) -> String {
    written(json, true)
}

/// A value as JSON, token by token: numbers digit by digit, keys in their order, characters as themselves.
fn written(json: &str, on_lines: bool) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 4);
    let mut depth = 0_usize;
    let mut tokens = Tokens(json).peekable();
    while let Some(token) = tokens.next() {
        let is_empty = matches!((token, tokens.peek()), ("{", Some(&"}")) | ("[", Some(&"]")));
        match token {
            "{" | "[" => {
                out.push_str(token);
                depth += 1;
                if is_empty {
                    out.extend(tokens.next());
                    depth -= 1;
                } else if on_lines {
                    break_line(&mut out, depth);
                }
            }
            "}" | "]" => {
                if on_lines {
                    break_line(&mut out, depth.saturating_sub(1));
                }
                depth = depth.saturating_sub(1);
                out.push_str(token);
            }
            "," if on_lines && depth <= MAX_INDENTED_DEPTH => {
                out.push(',');
                break_line(&mut out, depth);
            }
            ":" | "," => {
                out.push_str(token);
                out.push(' ');
            }
            text if text.starts_with('"') => {
                let plain = string(text).and_then(|text| serde_json::to_string(&text).ok());
                out.push_str(&harmless_json(plain.unwrap_or_else(|| text.to_owned())));
            }
            other => out.push_str(other),
        }
    }
    out
}

fn break_line(out: &mut String, depth: usize) {
    if depth <= MAX_INDENTED_DEPTH {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    }
}

/// The tokens of valid JSON.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_start();
        let length = match rest.bytes().next()? {
            b'{' | b'}' | b'[' | b']' | b':' | b',' => 1,
            b'"' => end_of_string(rest),
            _ => rest
                .find(|next: char| {
                    next.is_ascii_whitespace() || matches!(next, '{' | '}' | '[' | ']' | ':' | ',' | '"')
                })
                .unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at_checked(length.max(1)).unwrap_or((rest, ""));
        self.0 = after;
        Some(token)
    }
}

/// The length of the string that a text begins with, its quotation marks included.
fn end_of_string(text: &str) -> usize {
    let mut is_escaped = false;
    for (place, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return place + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_they_came() {
        let raw = r#"{ "z" : 0.1000, "a":[12345678901234567890123 ,1e400,{},[ ]],"t":"\u00fc\"\n\u0001\u202e"}"#;
        assert_eq!(
            shown(raw),
            r#"{"z": 0.1000, "a": [12345678901234567890123, 1e400, {}, []], "t": "ü\"\n\u0001\u202e"}"#
        );
        assert_eq!(
            indented(r#"{"z":[1,{"b":{}}],"a":null}"#),
            "{\n  \"z\": [\n    1,\n    {\n      \"b\": {}\n    }\n  ],\n  \"a\": null\n}"
        );
        assert_eq!(shown(r#""a \u0041\"""#), "a A\"");
    }

    #[test]
    fn no_nesting_is_too_deep() {
        let deep = format!("{}7{}", "[".repeat(50_000), "]".repeat(50_000));
        assert_eq!(shown(&deep), deep);
        assert!(indented(&deep).len() < deep.len() + 2_000);
        assert!(!is_hollow(&deep) && is_hollow(&deep.replace('7', "")));
    }

    #[test]
    fn what_holds_nothing_is_hollow() {
        for hollow in
            ["null", "{}", "[]", r#"" ""#, r#"{"a":null,"b":{"c":[""]}}"#, "[null,{}]", "\"\\n \u{a0}\\u0020\""]
        {
            assert!(is_hollow(hollow), "{hollow}");
        }
        for filled in [
            "0",
            "false",
            r#""a""#,
            r#"{"a":[null,0]}"#,
            r#"{"":"x"}"#,
            r#"["a",{}]"#,
            r#"" a""#,
            r#""\u0061""#,
            r#""\"""#,
            r#""\ud800""#,
        ] {
            assert!(!is_hollow(filled), "{filled}");
        }
    }

    #[test]
    fn the_last_field_of_a_name_is_taken() {
        let mut fields = Fields::read(r#"{"a":1,"\u0062":2,"a":[3]}"#).unwrap();
        assert_eq!((fields.take("a"), fields.take("b"), fields.take("c")), (Some("[3]"), Some("2"), None));
        assert_eq!(fields.0, [(Cow::Borrowed("a"), "1")]);
        assert!(Fields::read("[1]").is_none());
    }
}
