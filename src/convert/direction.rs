//! What keeps names and numbers in their order beside text that runs from right to left.
//!
//! The archive's own words run from left to right. A value from outside that stands among them is put between two marks
//! (FIRST STRONG ISOLATE and POP DIRECTIONAL ISOLATE, UAX #9), so that its direction is its own and turns nothing beside it. In HTML
//! the marks are an element, `<bdi>`; in plain text they are left out. No value brings marks of its own:
//! [`display_text`](crate::output_text::display_text) takes them away.

use std::borrow::Cow;

pub(super) const ISOLATE: char = '\u{2068}';
pub(super) const END: char = '\u{2069}';

/// A value among the archive's words. ASCII turns nothing, and stands as it is.
pub(super) fn isolated(value: &str) -> Cow<'_, str> {
    if value.is_ascii() { Cow::Borrowed(value) } else { Cow::Owned(format!("{ISOLATE}{value}{END}")) }
}

/// A name, and what tells its bearer from others of that name.
pub(super) fn name_and_number(name: &str, number: &str) -> String {
    if name.is_ascii() && number.is_ascii() {
        return format!("{name} ({number})");
    }
    format!("{ISOLATE}{name}{END} ({ISOLATE}{number}{END})")
}

/// The text without marks.
pub(super) fn unmarked(text: &str) -> Cow<'_, str> {
    if text.contains([ISOLATE, END]) { Cow::Owned(text.replace([ISOLATE, END], "")) } else { Cow::Borrowed(text) }
}

/// A text that somebody wrote, each line of it between marks.
pub(super) fn isolated_lines(text: &str) -> String {
    text.split('\n').map(isolated).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
