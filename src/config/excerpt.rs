//! The offending line of the file, with carets beneath what is wrong in it.
//!
//! A value is shown only where its key takes no secret and the value doesn't look like one that was put in the wrong
//! place ([`is_plain`]). Comments are never shown, nor is a value that goes on over several lines.

use std::fmt;

use super::place::Place;

/// What stands for a value that is not shown.
const HIDDEN: &str = "…";

/// A line of the file as it may be shown, with the part of it that is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Excerpt {
    line: usize,
    text: String,
    /// In characters.
    start: usize,
    length: usize,
}

impl Excerpt {
    /// `key = value` with the key marked. `None` where the place is not a line of the file.
    pub(super) fn of_key(place: &Place, key: &str, value: Option<&str>) -> Option<Self> {
        Self::new(place, setting(key, value), 0, key.chars().count())
    }

    /// `key = value` with the value marked.
    pub(super) fn of_value(place: &Place, key: &str, value: Option<&str>) -> Option<Self> {
        let length = value.unwrap_or(HIDDEN).chars().count();
        Self::new(place, setting(key, value), key.chars().count() + " = ".len(), length)
    }

    /// `[section]`, marked.
    pub(super) fn of_header(place: &Place, section: &str) -> Option<Self> {
        let text = format!("[{section}]");
        let length = text.chars().count();
        Self::new(place, text, 0, length)
    }

    /// A line that is not TOML, with the character at `column` (from 1) marked. `is_public` says whether a key takes no
    /// secret. `None` where nothing of the line may be shown.
    pub(super) fn of_syntax(
        place: &Place,
        line: &str,
        column: usize,
        is_public: impl Fn(&str) -> bool,
    ) -> Option<Self> {
        let line = line.trim_end();
        if line.starts_with('[') {
            return is_plain(line).then(|| Self::new(place, line.to_owned(), column - 1, 1))?;
        }
        let (key, value) = line.split_once('=')?;
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') || key.len() > 40 {
            return None;
        }
        if is_public(key) && is_plain(value) {
            return Self::new(place, line.to_owned(), column - 1, 1);
        }
        let in_key = column <= key.chars().count();
        if in_key { Self::of_key(place, key, None) } else { Self::of_value(place, key, None) }
    }

    fn new(place: &Place, text: String, start: usize, length: usize) -> Option<Self> {
        let Place::Line { line, .. } = place else { return None };
        Some(Self { line: *line, text, start, length: length.max(1) })
    }
}

fn setting(key: &str, value: Option<&str>) -> String {
    format!("{key} = {}", value.unwrap_or(HIDDEN))
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, text) = (self.line, &self.text);
        let (before, carets) = (" ".repeat(self.start), "^".repeat(self.length));
        write!(f, "{line:>6} | {text}\n       | {before}{carets}")
    }
}

/// Whether a value, as it is written, can be shown: short words and numbers with the usual signs between them. Passwords,
/// tokens and signatures are longer, mix letters with digits or capitals, or hold other signs; so does whatever an address
/// has beyond its path, and a user before its host.
pub(super) fn is_plain(written: &str) -> bool {
    const MAX_LENGTH: usize = 72;
    const SIGNS: &str = " .:/_+-,[]{}\"'";
    let usual = |character: char| character.is_ascii_alphanumeric() || SIGNS.contains(character);
    written.len() <= MAX_LENGTH
        && written.chars().all(usual)
        && written.split(|character: char| !character.is_ascii_alphanumeric()).all(is_plain_word)
}

fn is_plain_word(word: &str) -> bool {
    const MIXED: usize = 6;
    let count = |is: fn(&u8) -> bool| word.bytes().filter(is).count();
    let (digits, capitals) = (count(u8::is_ascii_digit), count(u8::is_ascii_uppercase));
    let letters = word.len() - digits;
    let first_is_capital = usize::from(word.starts_with(|first: char| first.is_ascii_uppercase()));
    let is_mixed = digits > 0 && letters > 0;
    let has_inner_capitals = capitals > first_is_capital && capitals < letters;
    word.len() < MIXED || (!is_mixed && !has_inner_capitals && letters <= 16 && digits <= 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_values_are_shown_and_what_may_be_a_secret_is_not() {
        for shown in [
            "\"telemesage\"",
            "99999999999999999999",
            "\"30 days\"",
            "2026-11-01T00:00:00Z",
            "\"10 MiB\"",
            "\"http://archive.example/a\"",
            "[\"signal\"]",
            "\"11111111-2222-3333-4444-555555555555\"",
            "-1.5",
        ] {
            assert!(is_plain(shown), "{shown}");
        }
        for hidden in [
            "\"hunter2\"",
            "\"kXJ8Q~q1vT\"",
            "\"correcthorsebatterystaple\"",
            "\"swordFish\"",
            "\"https://ana:pw@a.example\"",
            "\"https://a.example/?sig=x\"",
            "\"swordfish!\"",
            "\"a\" # b",
            "\"é\u{202e}\"",
        ] {
            assert!(!is_plain(hidden), "{hidden}");
        }
    }

    #[test]
    fn carets_stand_beneath_what_is_meant() {
        let place = Place::Line { line: 7, column: None };
        let shown = |excerpt: Option<Excerpt>| excerpt.unwrap().to_string();
        let value = shown(Excerpt::of_value(&place, "at", Some("\"25:00\"")));
        assert_eq!(value, "     7 | at = \"25:00\"\n       |      ^^^^^^^");
        assert_eq!(shown(Excerpt::of_key(&place, "at", None)), "     7 | at = …\n       | ^^");
        assert_eq!(shown(Excerpt::of_header(&place, "http")), "     7 | [http]\n       | ^^^^^^");
        assert!(Excerpt::of_key(&Place::File, "at", None).is_none());
    }

    #[test]
    fn a_line_that_is_no_toml_shows_no_secret() {
        let place = Place::Line { line: 3, column: None };
        let shown = |line: &str, column| {
            let excerpt = Excerpt::of_syntax(&place, line, column, |key| key != "password");
            excerpt.map(|excerpt| excerpt.to_string())
        };
        assert_eq!(shown("level = info", 9).unwrap(), "     3 | level = info\n       |         ^");
        assert_eq!(shown("password = info", 12).unwrap(), "     3 | password = …\n       |            ^");
        assert_eq!(shown("level = \"hunter2", 17).unwrap(), "     3 | level = …\n       |         ^");
        assert_eq!(shown("[source", 8).unwrap(), "     3 | [source\n       |        ^");
        assert_eq!(shown("hunter", 1), None);
        assert_eq!(shown("hunter2 = 1 = 2", 1), None);
    }
}
