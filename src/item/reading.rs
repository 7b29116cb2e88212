//! The lenient readers of an item's fields.
//!
//! A value is *read*, *absent* (null, or nothing in it), or *unreadable*. Whatever is not read, known to the archive or
//! not, is collected as an [`OtherField`], so that a reader of the message sees it as it came.

use std::borrow::Cow;

use super::json::{self, Fields};

/// A value of an item that has no other place in its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherField {
    /// Where it stands: the names of the fields down to it, with points between them, and the places in lists in brackets.
    pub path: String,
    /// The value as JSON, as it came.
    pub raw: String,
    /// Whether the archive knows the field, but can't read this value.
    pub is_unreadable: bool,
}

impl OtherField {
    /// The value for a reader: text without quotation marks, anything else as JSON on one line.
    pub fn shown(&self) -> String {
        json::shown(&self.raw)
    }
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading<'a, T> {
    Read(T),
    Absent,
    Unreadable(&'a str),
}

/// One object of an item: hands out its fields by name, and collects what was not asked for.
pub(super) struct Object<'a> {
    path: String,
    fields: Fields<'a>,
}

impl<'a> Object<'a> {
    pub(super) fn new(path: String, fields: Fields<'a>) -> Self {
        Self { path, fields }
    }

    /// The path of a field.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The raw value of a field; `None` where it is absent.
    pub(super) fn raw(&mut self, name: &str) -> Option<&'a str> {
        self.fields.take(name).filter(|raw| !json::is_hollow(raw))
    }

    /// Puts a value back, so that it is shown as it came.
    pub(super) fn put_back(&mut self, name: &'static str, raw: &'a str) {
        self.fields.0.push((Cow::Borrowed(name), raw));
    }

    /// A field by one of the readers below.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        others: &mut Vec<OtherField>,
        reader: impl FnOnce(&'a str) -> Option<T>,
    ) -> Option<T> {
        match self.reading(name, reader) {
            Reading::Read(value) => Some(value),
            Reading::Absent => None,
            Reading::Unreadable(raw) => {
                unreadable(others, self.path_of(name), raw);
                None
            }
        }
    }

    pub(super) fn reading<T>(&mut self, name: &str, reader: impl FnOnce(&'a str) -> Option<T>) -> Reading<'a, T> {
        let Some(raw) = self.raw(name) else { return Reading::Absent };
        reader(raw).map_or(Reading::Unreadable(raw), Reading::Read)
    }

    /// Text; a number or a flag as it is written.
    pub(super) fn text(&mut self, name: &'static str, others: &mut Vec<OtherField>) -> Option<String> {
        self.text_alone(name).or_else(|| self.read(name, others, text))
    }

    /// Text that is text in JSON too. Where it is blank it is read all the same: identity is computed from it.
    pub(super) fn text_alone(&mut self, name: &str) -> Option<String> {
        let (_, raw) = self.fields.0.iter().rev().find(|(key, _)| key == name)?;
        let text = json::string(raw)?;
        self.fields.take(name);
        Some(text)
    }

    /// Text that has no place of its own where another one, which says the same, is shown.
    pub(super) fn text_beside(
        &mut self,
        name: &'static str,
        shown: Option<&str>,
        others: &mut Vec<OtherField>,
    ) -> Option<String> {
        let &(_, raw) = self.fields.0.iter().rev().find(|(key, _)| key == name)?;
        let text = self.text(name, others)?;
        if shown.is_some_and(|shown| shown != text) {
            self.put_back(name, raw);
        }
        Some(text)
    }

    /// Whether a field is one of these names, in any case. If not, it stays where it is.
    pub(super) fn is_one_of(&mut self, name: &str, names: &[&str]) -> bool {
        let last = self.fields.0.iter().rev().find(|(key, _)| key == name);
        let said = last.and_then(|(_, raw)| text(raw)).unwrap_or_default();
        let is_one = names.iter().any(|name| name.eq_ignore_ascii_case(said.trim()));
        if is_one {
            self.fields.take(name);
        }
        is_one
    }

    /// Whether there is anything in a field.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.0.iter().any(|(key, raw)| key == name && !json::is_hollow(raw))
    }

    /// The last field of this name, whatever it holds.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a str> {
        self.fields.take(name)
    }

    pub(super) fn into_fields(self) -> Vec<(Cow<'a, str>, &'a str)> {
        self.fields.0
    }

    /// A flag: any number but 0, and `true`. What is neither that nor 0 or `false` is shown as it came, and so is a number
    /// that says more than that the flag is set.
    pub(super) fn flag(&mut self, name: &'static str, others: &mut Vec<OtherField>) -> bool {
        let Some(raw) = self.raw(name) else { return false };
        let said = text(raw).unwrap_or_default();
        let said = said.trim();
        match said.parse::<f64>() {
            _ if is_unset(raw) => false,
            _ if said.eq_ignore_ascii_case("true") => true,
            Ok(number) if number.is_finite() => {
                if number.abs() > 1.0 || number.fract() != 0.0 {
                    self.put_back(name, raw);
                }
                true
            }
            _ => {
                unreadable(others, self.path_of(name), raw);
                false
            }
        }
    }

    /// An object; also where it is the only one of a list.
    pub(super) fn object(&mut self, name: &'static str, others: &mut Vec<OtherField>) -> Option<Self> {
        let fields = self.read(name, others, |raw| Fields::read(only(raw)))?;
        Some(Self::new(self.path_of(name), fields))
    }

    /// Collects what was not asked for.
    pub(super) fn finish(self, others: &mut Vec<OtherField>) {
        let Self { path, fields } = self;
        others.extend(fields.0.into_iter().filter(|(_, raw)| !json::is_hollow(raw)).map(|(key, raw)| {
            let path = if path.is_empty() { key.into_owned() } else { format!("{path}.{key}") };
            OtherField { path, raw: raw.to_owned(), is_unreadable: false }
        }));
    }
}

/// Whether a value is the word or number for what isn't set.
pub(super) fn is_unset(raw: &str) -> bool {
    let said = text(raw).unwrap_or_default();
    let said = said.trim();
    said.eq_ignore_ascii_case("false") || said.parse::<f64>().is_ok_and(|number| number == 0.0)
}

/// Collects a value that can't be read.
pub(super) fn unreadable(others: &mut Vec<OtherField>, path: String, raw: &str) {
    others.push(OtherField { path, raw: raw.to_owned(), is_unreadable: true });
}

/// The only element of a list; anything else as it is.
pub(super) fn only(raw: &str) -> &str {
    match json::elements(raw).as_deref() {
        Some([only]) => only,
        _ => raw,
    }
}

/// The elements of a list; a single value is a list of one.
pub(super) fn list(raw: &str) -> Vec<&str> {
    json::elements(raw).unwrap_or_else(|| vec![raw])
}

/// Text; a number or a flag as it is written; also where it is the only one of a list.
pub(super) fn text(raw: &str) -> Option<String> {
    scalar(only(raw))
}

/// The same, not copied where it need not be.
pub(super) fn text_within(raw: &str) -> Option<Cow<'_, str>> {
    let raw = only(raw);
    if raw.starts_with('"') { json::string_within(raw) } else { scalar(raw).map(Cow::Owned) }
}

/// Text; a number or a flag as it is written.
pub(super) fn scalar(raw: &str) -> Option<String> {
    match raw.bytes().next()? {
        b'"' => json::string(raw),
        b'{' | b'[' => None,
        _ => Some(raw.to_owned()),
    }
}

/// The text of a message: also a list of texts, one a line.
pub(super) fn lines(raw: &str) -> Option<String> {
    if let Some(elements) = json::elements(raw) {
        let lines: Option<Vec<String>> = elements.into_iter().map(text).collect();
        return lines.map(|lines| lines.join("\n"));
    }
    text(raw)
}

/// A whole number, also in text.
pub(super) fn integer(raw: &str) -> Option<i64> {
    let said = text(raw)?;
    let said = said.trim();
    said.parse().ok().or_else(|| {
        let (whole, is_whole) = whole_part(said)?;
        is_whole.then_some(whole)
    })
}

/// The whole part of a decimal number, where it is exact, and whether it is the whole number.
pub(super) fn whole_part(said: &str) -> Option<(i64, bool)> {
    // Larger floats are not exact, so they name no instant and no size.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let is_number = said.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let value: f64 = said.parse().ok().filter(|_| is_number)?;
    #[expect(clippy::cast_possible_truncation, reason = "within the exact range")]
    let whole = (value.abs() <= EXACT).then_some(value.floor() as i64)?;
    Some((whole, value.fract() == 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(raw: &str) -> (bool, Vec<OtherField>) {
        let json = format!(r#"{{"f":{raw}}}"#);
        let mut object = Object::new("body".to_owned(), Fields::read(&json).unwrap());
        let mut others = Vec::new();
        let flag = object.flag("f", &mut others);
        object.finish(&mut others);
        (flag, others)
    }

    #[test]
    fn flags_come_in_many_forms() {
        for set in ["true", r#""TRUE""#, "1", "1.0", r#""1""#, r#"" true ""#] {
            assert_eq!(flag(set), (true, Vec::new()), "{set}");
        }
        for unset in ["false", "null", "0", "0.0", r#""0""#, r#""False""#, r#""""#, "[]", "{}"] {
            assert_eq!(flag(unset), (false, Vec::new()), "{unset}");
        }
        let (set, others) = flag("127");
        assert!(set && others[0].raw == "127" && !others[0].is_unreadable);
        for neither in [r#""perhaps""#, "[1,2]", r#"{"a":1}"#, r#""NaN""#] {
            let (set, others) = flag(neither);
            assert!(
                !set && others[0].raw == neither && others[0].is_unreadable && others[0].path == "body.f",
                "{neither}"
            );
        }
    }

    #[test]
    fn whole_numbers_and_lines() {
        for (raw, number) in [("7", Some(7)), (r#"" 7.0""#, Some(7)), ("7e2", Some(700)), ("7.5", None), ("1e30", None)]
        {
            assert_eq!(integer(raw), number, "{raw}");
        }
        assert_eq!(lines(r#"["a",1]"#).as_deref(), Some("a\n1"));
        assert_eq!(lines(r#"["a",{}]"#), None);
        assert_eq!(text("0.1000").as_deref(), Some("0.1000"));
    }
}
