//! Texts and values as they stand in a body.
//!
//! In HTML everything is escaped, runs of blanks survive programs that fold them, and numbers and ids keep their order beside
//! text that runs from right to left. In plain text the lines of a text stand after a bar (`| `), but for its first one where the
//! archive's words go before it on the same line: so no text can have a line that looks like one of the archive's own.

use std::fmt::{self, Write as _};

use askama::filters::HtmlSafe;

use crate::convert::direction::{END, ISOLATE, unmarked};

/// Text of any number of lines in HTML: escaped, each line end a `<br>`, blanks beside blanks and at the begin of a line kept.
/// The markup has line ends of its own where a line of it grows long, so that the message needs no encoding for its length.
pub(super) struct Lines<'a>(pub(super) &'a str);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONG_LINE: usize = 600;
        let mut plain_from = 0;
        let mut line_from = 0;
        let mut before = b'\n';
        for (at, byte) in self.0.bytes().enumerate() {
            let is_foldable = matches!(before, b' ' | b'\t' | b'\n');
            let is_long = at - line_from > LONG_LINE;
            before = byte;
            let replacement = match byte {
                b' ' if is_foldable => "&nbsp;",
                b' ' if is_long => "\n",
                b'\t' => "&nbsp;&nbsp;&nbsp;&nbsp;",
                b'\n' if is_long => "<br>\n",
                b'\n' => "<br>",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'&' => "&amp;",
                _ => continue,
            };
            if replacement.ends_with('\n') {
                line_from = at;
            }
            f.write_str(self.0.get(plain_from..at).unwrap_or_default())?;
            f.write_str(replacement)?;
            plain_from = at + 1;
        }
        f.write_str(self.0.get(plain_from..).unwrap_or_default())
    }
}

impl HtmlSafe for Lines<'_> {}

/// A value on one line in HTML: escaped, what stands between marks isolated, and in one without marks beside letters that run from right to left each number and id isolated.
pub(super) struct Value<T>(pub(super) T);

impl<T: AsRef<str>> fmt::Display for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.as_ref();
        if text.contains(ISOLATE) {
            return marked(f, text);
        }
        if !text.chars().any(is_right_to_left) {
            return escape(f, text);
        }
        let is_outside = |character: char| !character.is_ascii_graphic() || "(),".contains(character);
        for piece in text.split_inclusive(is_outside) {
            let word = piece.trim_end_matches(is_outside);
            if word.bytes().any(|byte| byte.is_ascii_digit()) {
                f.write_str("<bdi>")?;
                escape(f, word)?;
                f.write_str("</bdi>")?;
                escape(f, piece.get(word.len()..).unwrap_or_default())?;
            } else {
                escape(f, piece)?;
            }
        }
        Ok(())
    }
}

/// Text with marks: an element for each pair.
fn marked(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for piece in text.split_inclusive([ISOLATE, END]) {
        let (words, element) = match (piece.strip_suffix(ISOLATE), piece.strip_suffix(END)) {
            (Some(words), _) => (words, "<bdi>"),
            (None, Some(words)) => (words, "</bdi>"),
            (None, None) => (piece, ""),
        };
        escape(f, words)?;
        f.write_str(element)?;
    }
    Ok(())
}

fn escape(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for piece in text.split_inclusive(['<', '>', '&']) {
        let escaped = match piece.bytes().last() {
            Some(b'<') => "&lt;",
            Some(b'>') => "&gt;",
            Some(b'&') => "&amp;",
            _ => {
                f.write_str(piece)?;
                continue;
            }
        };
        f.write_str(piece.get(..piece.len() - 1).unwrap_or_default())?;
        f.write_str(escaped)?;
    }
    Ok(())
}

impl<T: AsRef<str>> HtmlSafe for Value<T> {}

/// A value among others on one line in HTML: as [`Value`], and where it isn't all ASCII and has no marks its direction is its own.
pub(super) struct Isolated<T>(pub(super) T);

impl<T: AsRef<str>> fmt::Display for Isolated<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.as_ref();
        if text.is_ascii() || text.contains(ISOLATE) {
            write!(f, "{}", Value(text))
        } else {
            write!(f, "<bdi>{}</bdi>", Value(text))
        }
    }
}

impl<T: AsRef<str>> HtmlSafe for Isolated<T> {}

/// A value in plain text: without marks.
pub(super) struct Plain<T>(pub(super) T);

impl<T: AsRef<str>> fmt::Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&unmarked(self.0.as_ref()))
    }
}

/// The first lines of the plain text: who said what (the archive's words, and the text), and an empty line.
pub(super) struct FirstLines<'a>(pub(super) Option<(&'a str, &'a str)>);

impl fmt::Display for FirstLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((words, text)) = self.0 else { return Ok(()) };
        f.write_str(words)?;
        let mut lines = text.split(is_line_end);
        if let Some(first) = lines.next().filter(|first| !first.is_empty()) {
            write!(f, " {first}")?;
        }
        f.write_char('\n')?;
        lines.try_for_each(|line| bar(f, line))?;
        f.write_char('\n')
    }
}

/// Text in plain text: each line after a bar.
pub(super) struct Barred<'a>(pub(super) &'a str);

impl fmt::Display for Barred<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.split(is_line_end).try_for_each(|line| bar(f, line))
    }
}

fn bar(f: &mut fmt::Formatter<'_>, line: &str) -> fmt::Result {
    f.write_str(if line.is_empty() { "|" } else { "| " })?;
    writeln!(f, "{line}")
}

/// Where some reader begins a new line.
fn is_line_end(character: char) -> bool {
    matches!(character, '\n' | '\u{2028}' | '\u{2029}')
}

/// An attribute for the direction of a text: right to left where its first letter is. `auto` leaves the rest to the reader's
/// program; the Word engine knows no `auto` and reads from the left. Nothing where all of it is ASCII, or where values stand
/// between marks among the archive's words, which run from left to right.
pub(super) fn direction(text: &str) -> &'static str {
    if text.is_ascii() || text.contains(ISOLATE) {
        return "";
    }
    let first_letter = text.chars().take(1000).find(|character| character.is_alphabetic());
    if first_letter.is_some_and(is_right_to_left) { " dir=rtl" } else { " dir=auto" }
}

fn is_right_to_left(character: char) -> bool {
    matches!(character,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_escaped_and_broken() {
        assert_eq!(Lines("a<b>\n\"&'c").to_string(), "a&lt;b&gt;<br>\"&amp;'c");
        assert_eq!(Lines("").to_string(), "");
    }

    #[test]
    fn runs_of_blanks_survive() {
        assert_eq!(Lines("a  b c\n d\te").to_string(), "a &nbsp;b c<br>&nbsp;d&nbsp;&nbsp;&nbsp;&nbsp;e");
    }

    #[test]
    fn long_lines_of_markup_are_broken_where_nothing_changes() {
        for text in ["ten letters ".repeat(300), "a\n".repeat(2000), "a &  b".repeat(900)] {
            let html = Lines(&text).to_string();
            let unbroken = html.replace("<br>\n", "<br>").replace('\n', " ");
            let expected = text.replace('\n', "<br>");
            assert_eq!(unbroken.replace("&nbsp;", " ").replace("&amp;", "&"), expected);
        }
        assert!(Lines(&"word ".repeat(300)).to_string().split('\n').all(|line| line.len() < 998));
    }

    #[test]
    fn numbers_beside_right_to_left_text_are_isolated() {
        assert_eq!(Value("דנה (+15550101), 3EB0").to_string(), "דנה (<bdi>+15550101</bdi>), <bdi>3EB0</bdi>");
        assert_eq!(Value("Dana (+15550101)").to_string(), "Dana (+15550101)");
    }

    #[test]
    fn what_stands_between_marks_is_an_element_of_its_own() {
        let text = format!("a < {ISOLATE}דנה <b>{END} ({ISOLATE}+15550101{END}) and b");
        let html = "a &lt; <bdi>דנה &lt;b&gt;</bdi> (<bdi>+15550101</bdi>) and b";
        assert_eq!((Value(&text).to_string(), Isolated(&text).to_string()), (html.to_owned(), html.to_owned()));
        assert_eq!(Plain(&text).to_string(), "a < דנה <b> (+15550101) and b");
        assert_eq!((direction(&text), direction("דנה")), ("", " dir=rtl"));
    }

    #[test]
    fn every_line_of_a_text_has_a_bar() {
        assert_eq!(Barred("a\n\nDetails\u{2028}Owner: b").to_string(), "| a\n|\n| Details\n| Owner: b\n");
    }

    #[test]
    fn direction_follows_the_first_letter() {
        assert_eq!(direction("1. שלום hello"), " dir=rtl");
        assert_eq!(direction("hello שלום"), " dir=auto");
        assert_eq!(direction("مرحبا"), " dir=rtl");
        assert_eq!(direction("…"), " dir=auto");
        assert_eq!(direction("hello"), "");
    }
}
