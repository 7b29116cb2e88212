//! Splits a list response into its envelope and the places of its items, so that each item is kept byte for byte as it
//! was sent.
//!
//! Only boundaries are found here; whether an item can be read is decided item by item later. So what breaks one item
//! (invalid UTF-8, a bare control character, an escape that JSON doesn't know) doesn't spoil its page. What makes the
//! boundaries themselves uncertain is an error, never a guess: a page is split whole or not at all.

use std::fmt;
use std::ops::Range;

use chrono::{DateTime, TimeZone as _, Utc};
use serde::de::{Deserialize, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use self::mask::mask;

mod mask;

/// The most items that a page of a source may hold: as many as the largest `source.page_size`. Bounds the memory, and the
/// log, that a page of `0,0,0,…` could claim.
const MAX_PAGE_ITEMS: usize = 10_000;

/// The most items that an exported file may hold.
const MAX_EXPORT_ITEMS: usize = 1 << 19;

/// What a list response says besides its items. A field is `None` where it is absent or null.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// `resultCode`: 0 is success.
    pub result_code: Option<i64>,
    /// `resultDescription`, as it came: hostile text.
    pub result_description: Option<String>,
    /// `timeStamp`: the source's own time, in epoch milliseconds.
    pub time_stamp: Option<i64>,
    /// `invalidToken`.
    pub invalid_token: bool,
    /// `lastId`: the cursor after this page.
    pub last_id: Option<i64>,
    /// `endOfMessages`.
    pub end_of_messages: Option<bool>,
}

impl Envelope {
    /// `timeStamp` as an instant, where it is a possible one: 2009, when WhatsApp began, or later.
    pub fn server_time(&self) -> Option<DateTime<Utc>> {
        const FIRST_POSSIBLE: i64 = 1_230_768_000_000;
        let time_stamp = self.time_stamp.filter(|time_stamp| *time_stamp >= FIRST_POSSIBLE)?;
        Utc.timestamp_millis_opt(time_stamp).single()
    }
}

/// Why a page can't be split. Never holds text of an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// It ends too early.
    #[error("it is cut short (line {line}, column {column})")]
    CutShort {
        /// The line of the end, from 1.
        line: usize,
        /// The column of the end, in bytes from 1.
        column: usize,
    },
    #[error("it is not JSON (line {line}, column {column})")]
    NotJson {
        /// The line of the first byte that doesn't fit, from 1.
        line: usize,
        /// Its column, in bytes from 1.
        column: usize,
    },
    /// It is encoded in UTF-16.
    #[error("it is UTF-16, not UTF-8")]
    Utf16,
    /// It is JSON, but not a list response.
    #[error("{0}")]
    NotAListResponse(String),
}

/// Splits a list response: the envelope, plain or as the one element of an array, and where in `body` each element of
/// `messages` lies, in order. Absent or null `messages` are none. Where a key is there twice, the last one counts.
pub fn split_page(body: &[u8]) -> Result<(Envelope, Vec<Range<usize>>), PageError> {
    with_text(body, |text| {
        let document = Document::of(text, MAX_PAGE_ITEMS)?;
        let object = match document {
            Document::Object(object) => object,
            Document::Array(array) => match array.as_slice() {
                [only] if only.starts_with('{') => *only,
                other => {
                    let count = other.len();
                    return Err(not_a_list(format!("it is an array of {count} elements, not one list response")));
                }
            },
        };
        let (envelope, messages) = Fields::of(object)?.read(MAX_PAGE_ITEMS)?;
        Ok((envelope, ranges(text, &messages)))
    })
}

/// Splits a file of exported items: a list response, as for [`split_page`]; an array of `RawMessage`s; or one of them.
/// `None` in place of the envelope where the file has none.
pub fn split_export(body: &[u8]) -> Result<(Option<Envelope>, Vec<Range<usize>>), PageError> {
    with_text(body, |text| {
        let items = match Document::of(text, MAX_EXPORT_ITEMS)? {
            Document::Object(object) => vec![object],
            Document::Array(array) => array,
        };
        if let [only] = items.as_slice()
            && only.starts_with('{')
        {
            let fields = Fields::of(only)?;
            if fields.are_a_list_response() {
                let (envelope, messages) = fields.read(MAX_EXPORT_ITEMS)?;
                return Ok((Some(envelope), ranges(text, &messages)));
            }
        }
        Ok((None, ranges(text, &items)))
    })
}

/// Splits `body` as it is, and where that fails in a form of the same length in which the bytes that no JSON parser
/// takes are masked.
fn with_text<T>(body: &[u8], split: impl Fn(&str) -> Result<T, PageError>) -> Result<T, PageError> {
    if body.starts_with(b"\xff\xfe") || body.starts_with(b"\xfe\xff") {
        return Err(PageError::Utf16);
    }
    if let Ok(text) = std::str::from_utf8(body)
        && let Ok(done) = split(text)
    {
        return Ok(done);
    }
    split(&mask(body)).map_err(|error| place_in(body, error))
}

/// The error with the line and column in `body`. Masked text is all one line, so that its column is an offset.
fn place_in(body: &[u8], error: PageError) -> PageError {
    let place = |offset: usize| {
        let mut lines = body.get(..offset).unwrap_or(body).split(|&byte| byte == b'\n');
        let column = lines.next_back().map_or(0, <[u8]>::len);
        (lines.count() + 1, column)
    };
    match error {
        PageError::CutShort { column, .. } => {
            let (line, column) = place(column);
            PageError::CutShort { line, column }
        }
        PageError::NotJson { column, .. } => {
            let (line, column) = place(column);
            PageError::NotJson { line, column }
        }
        other => other,
    }
}

/// Where each part lies in the text it was borrowed from.
fn ranges(text: &str, parts: &[&str]) -> Vec<Range<usize>> {
    let start = text.as_ptr().addr();
    let range = |part: &&str| {
        let from = part.as_ptr().addr() - start;
        from..from + part.len()
    };
    parts.iter().map(range).collect()
}

/// The outermost value of a page.
enum Document<'a> {
    Object(&'a str),
    Array(Vec<&'a str>),
}

impl<'a> Document<'a> {
    fn of(text: &'a str, max_items: usize) -> Result<Self, PageError> {
        let document = text.trim_matches([' ', '\t', '\n', '\r']);
        match document.as_bytes().first() {
            Some(b'{') => Ok(Self::Object(document)),
            Some(b'[') => elements(text, max_items).map(Self::Array),
            Some(_) => Err(PageError::NotJson { line: 1, column: 1 }),
            None => Err(PageError::CutShort { line: 1, column: 0 }),
        }
    }
}

/// The text of each element of a JSON array.
fn elements(array: &str, max: usize) -> Result<Vec<&str>, PageError> {
    struct Elements {
        max: usize,
    }
    impl<'de> Visitor<'de> for Elements {
        type Value = Result<Vec<&'de str>, PageError>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = list.next_element::<&'de RawValue>()? {
                if elements.len() < self.max {
                    elements.push(element.get());
                } else {
                    // The parser wants the list's end before it takes an answer.
                    while list.next_element::<IgnoredAny>()?.is_some() {}
                    return Ok(Err(not_a_list(format!("it holds more than {} items", self.max))));
                }
            }
            Ok(Ok(elements))
        }
    }
    let mut parser = serde_json::Deserializer::from_str(array);
    let elements = parser.deserialize_seq(Elements { max }).map_err(|error| error_of(&error))??;
    parser.end().map_err(|error| error_of(&error))?;
    Ok(elements)
}

/// The fields of a list response as JSON text, each the last of its name.
#[derive(Default)]
struct Fields<'a> {
    result_code: Option<&'a str>,
    result_description: Option<&'a str>,
    time_stamp: Option<&'a str>,
    invalid_token: Option<&'a str>,
    last_id: Option<&'a str>,
    end_of_messages: Option<&'a str>,
    messages: Option<&'a str>,
    body: Option<&'a str>,
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Key {
    ResultCode,
    ResultDescription,
    TimeStamp,
    InvalidToken,
    LastId,
    EndOfMessages,
    Messages,
    Body,
    #[serde(other)]
    Other,
}

impl<'a> Fields<'a> {
    fn of(object: &'a str) -> Result<Self, PageError> {
        serde_json::from_str(object).map_err(|error| error_of(&error))
    }

    /// A `RawMessage` has a `body`, a list response has `messages`, or only a code where it reports an error.
    fn are_a_list_response(&self) -> bool {
        self.body.is_none() && (self.messages.is_some() || self.result_code.is_some())
    }

    /// The envelope, and the text of each message. A field that can't be read is an error: to take an unreadable
    /// `resultCode` for success, or an unreadable `endOfMessages` for the end, could lose items.
    fn read(self, max_items: usize) -> Result<(Envelope, Vec<&'a str>), PageError> {
        let envelope = Envelope {
            result_code: field("resultCode", self.result_code, integer)?,
            result_description: field("resultDescription", self.result_description, |value| Some(text(value)))?,
            time_stamp: field("timeStamp", self.time_stamp, integer)?,
            invalid_token: field("invalidToken", self.invalid_token, flag)?.unwrap_or_default(),
            last_id: field("lastId", self.last_id, integer)?,
            end_of_messages: field("endOfMessages", self.end_of_messages, flag)?,
        };
        let messages = match self.messages {
            None | Some("null") => Vec::new(),
            Some(array) if array.starts_with('[') => elements(array, max_items)?,
            Some(_) => return Err(not_a_list("its \"messages\" is not an array".to_owned())),
        };
        Ok((envelope, messages))
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LastOfEach;
        impl<'de> Visitor<'de> for LastOfEach {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields::default();
                while let Some(key) = map.next_key::<Key>()? {
                    let value = Some(map.next_value::<&'de RawValue>()?.get());
                    match key {
                        Key::ResultCode => fields.result_code = value,
                        Key::ResultDescription => fields.result_description = value,
                        Key::TimeStamp => fields.time_stamp = value,
                        Key::InvalidToken => fields.invalid_token = value,
                        Key::LastId => fields.last_id = value,
                        Key::EndOfMessages => fields.end_of_messages = value,
                        Key::Messages => fields.messages = value,
                        Key::Body => fields.body = value,
                        Key::Other => {}
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(LastOfEach)
    }
}

fn field<T>(name: &str, json: Option<&str>, read: impl FnOnce(&Value) -> Option<T>) -> Result<Option<T>, PageError> {
    let Some(json) = json else { return Ok(None) };
    let value: Value = serde_json::from_str(json).map_err(|_| unreadable(name))?;
    if value.is_null() {
        return Ok(None);
    }
    read(&value).map(Some).ok_or_else(|| unreadable(name))
}

/// An integer of 64 bits, as a number or as text.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A flag, as itself or as text.
fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        _ => None,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn unreadable(name: &str) -> PageError {
    not_a_list(format!("its {name:?} can't be read"))
}

fn not_a_list(detail: String) -> PageError {
    PageError::NotAListResponse(detail)
}

/// Place and kind alone: the parser's own words could quote an item.
fn error_of(error: &serde_json::Error) -> PageError {
    let (line, column) = (error.line(), error.column());
    if error.is_eof() { PageError::CutShort { line, column } } else { PageError::NotJson { line, column } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(body: &[u8]) -> Vec<&[u8]> {
        let (_, ranges) = split_page(body).unwrap();
        ranges.into_iter().map(|range| &body[range]).collect()
    }

    fn exported(body: &[u8]) -> Vec<&[u8]> {
        let (_, ranges) = split_export(body).unwrap();
        ranges.into_iter().map(|range| &body[range]).collect()
    }

    #[test]
    fn items_keep_their_bytes() {
        let body = br#" {"resultCode":0,"messages":[ {"id" : 1 , "x":[1,{}]} ,{"id":2} , null,7 ],"lastId":2} "#;
        assert_eq!(items(body), [&br#"{"id" : 1 , "x":[1,{}]}"#[..], br#"{"id":2}"#, b"null", b"7"]);
    }

    #[test]
    fn the_envelope_is_read_plain_or_in_an_array() {
        let plain = r#"{"resultCode":"0","resultDescription":"Success","timeStamp":1746403201000,"invalidToken":false,
            "lastId":918273,"endOfMessages":true,"messages":null,"new":{"deep":[[]]}}"#;
        let wanted = Envelope {
            result_code: Some(0),
            result_description: Some("Success".into()),
            time_stamp: Some(1_746_403_201_000),
            invalid_token: false,
            last_id: Some(918_273),
            end_of_messages: Some(true),
        };
        assert_eq!(split_page(plain.as_bytes()).unwrap(), (wanted.clone(), vec![]));
        assert_eq!(split_page(format!(" [\n{plain} ] ").as_bytes()).unwrap(), (wanted, vec![]));
        assert_eq!(split_page(b"{}").unwrap(), (Envelope::default(), vec![]));
    }

    #[test]
    fn the_last_of_a_doubled_key_counts() {
        let body = br#"{"lastId":1,"messages":[1],"lastId":2,"mess\u0061ges":[2,3]}"#;
        assert_eq!(split_page(body).unwrap().0.last_id, Some(2));
        assert_eq!(items(body), [b"2", b"3"]);
    }

    #[test]
    fn hostile_bytes_break_no_boundary() {
        let hostile: [&[u8]; 8] = [
            b"\xff\xfe{\"id\":1}",
            b"{\"t\":\"\xff\xf0\x9f\x98,]}\"}",
            b"{\"t\":\"a\0b\nc\x1f\"}",
            br#"{"t":"\ud800 \udfff \ud83d\ude00"}"#,
            br#"{"t":"\x \u12 \u"}"#,
            br#"{"t":"\\\" ]}"}"#,
            b"{\"t\":\"\xe2\x80\"}",
            br#"{"t":"\q\\"}"#,
        ];
        for item in &hostile[1..] {
            let body = [&b"\xef\xbb\xbf{\"messages\":[{\"id\":1}, "[..], item, b" ,{\"id\":3}]}"].concat();
            assert_eq!(items(&body), [&br#"{"id":1}"#[..], item, br#"{"id":3}"#], "{}", item.escape_ascii());
        }
        assert_eq!(split_page(hostile[0]), Err(PageError::Utf16));
    }

    #[test]
    fn deep_nesting_is_no_trouble() {
        let deep = "[".repeat(200_000) + &"]".repeat(200_000);
        assert_eq!(items(format!(r#"{{"x":{deep},"messages":[{deep}]}}"#).as_bytes()), [deep.as_bytes()]);
    }

    #[test]
    fn what_cannot_be_split_is_an_error_that_says_where() {
        let fails = |body: &[u8]| split_page(body).unwrap_err();
        assert_eq!(fails(b"{\"messages\":[\n{\"id\":1},"), PageError::CutShort { line: 2, column: 9 });
        assert_eq!(fails(b"{\"messages\":[\n{\"id\":\xff}]}"), PageError::NotJson { line: 2, column: 7 });
        assert!(matches!(fails(b""), PageError::CutShort { .. }));
        assert!(matches!(fails(b"<html>"), PageError::NotJson { .. }));
        assert!(matches!(fails(b"{} {}"), PageError::NotJson { .. }));
        assert!(matches!(fails(b"[{},{}]"), PageError::NotAListResponse(_)));
        assert!(matches!(fails(b"[]"), PageError::NotAListResponse(_)));
        for unreadable in [
            r#""resultCode":"ERR""#,
            r#""resultCode":1e99"#,
            r#""lastId":1.5"#,
            r#""lastId":99999999999999999999"#,
            r#""endOfMessages":1"#,
            r#""messages":{}"#,
        ] {
            let error = fails(format!("{{{unreadable}}}").as_bytes());
            assert!(matches!(error, PageError::NotAListResponse(_)), "{unreadable}");
        }
    }

    #[test]
    fn errors_never_quote_an_item() {
        for body in [r#"{"messages":[{"t":"secret"}]"#, r#"{"messages":"secret"}"#, r#"{"messages":[{"secret"]}"#] {
            let error = split_page(body.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn a_page_of_crumbs_is_refused() {
        let body = format!(r#"{{"messages":[{}0]}}"#, "0,".repeat(MAX_PAGE_ITEMS));
        assert!(matches!(split_page(body.as_bytes()), Err(PageError::NotAListResponse(_))));
    }

    #[test]
    fn an_export_has_any_of_four_forms() {
        let response = br#"{"resultCode":0,"messages":[{"id":1,"body":{}},{"id":2,"body":{}}]}"#;
        let wrapped = [b"[", &response[..], b"]"].concat();
        let array = br#"[{"id":1,"body":{}},{"id":2,"body":{}}]"#;
        let both = [&br#"{"id":1,"body":{}}"#[..], br#"{"id":2,"body":{}}"#];
        assert_eq!(exported(response), both);
        assert_eq!(exported(&wrapped), both);
        assert_eq!(exported(array), both);
        assert_eq!(exported(b"\n {\"id\":1,\"body\":{}}\n"), [br#"{"id":1,"body":{}}"#]);
        assert_eq!(exported(br#"[{"id":1,"body":{}}]"#), [br#"{"id":1,"body":{}}"#]);
        assert_eq!(exported(br#"[{"odd":1}]"#), [br#"{"odd":1}"#]);
        assert!(exported(b"[]").is_empty());
        let (envelope, _) = split_export(br#"[{"resultCode":301}]"#).unwrap();
        assert_eq!(envelope.unwrap().result_code, Some(301));
    }
}
