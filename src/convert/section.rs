//! The parts of a body: labelled values and texts, the same for plain text and HTML.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use crate::digits::grouped;
use crate::item::StatedTime;
use crate::item::text::printable;

/// A labelled value, on one line.
pub(super) struct Fact {
    pub(super) label: Cow<'static, str>,
    pub(super) value: String,
}

impl Fact {
    pub(super) fn new(label: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        Self { label: label.into(), value: value.into() }
    }
}

/// A text of any number of lines, with a label unless it is what the item itself says.
pub(super) struct Passage {
    pub(super) label: Cow<'static, str>,
    pub(super) text: String,
    pub(super) look: Look,
}

impl Passage {
    /// Nothing where there is no text.
    pub(super) fn of(label: impl Into<Cow<'static, str>>, text: Option<&str>, look: Look) -> Option<Self> {
        let text = text.filter(|text| !text.is_empty())?;
        Some(Self { label: label.into(), text: printable(text).into_owned(), look })
    }
}

/// How a text is shown in HTML.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// What was said.
    Bubble,
    /// The same, marked: the text after an edit.
    New,
    /// Struck through: the text before an edit.
    Old,
    /// Beside a bar: what was said earlier, or deleted, and JSON.
    Quote,
    /// Large.
    Emoji,
}

/// Names that are too many for a line.
pub(super) struct PeopleList {
    pub(super) heading: String,
    pub(super) names: Vec<String>,
}

impl PeopleList {
    /// The most names on one line.
    const MAX_ON_A_LINE: usize = 5;

    /// The names on one line; of more than a few their number, and then the names go to `lists`.
    pub(super) fn fold(label: &str, names: Vec<String>, lists: &mut Vec<Self>) -> Option<String> {
        match names.len() {
            0 => None,
            1..=Self::MAX_ON_A_LINE => Some(names.join(", ")),
            count => {
                lists.push(Self { heading: format!("{label} ({count} people)"), names });
                Some(format!("{count} people, all named below"))
            }
        }
    }
}

/// One part of the body.
pub(super) struct Section {
    pub(super) heading: Cow<'static, str>,
    pub(super) facts: Vec<Fact>,
    pub(super) passages: Vec<Passage>,
    /// A link to follow: its target.
    pub(super) link: Option<String>,
}

impl Section {
    pub(super) fn new(heading: impl Into<Cow<'static, str>>, facts: Vec<Fact>) -> Self {
        Self { heading: heading.into(), facts, passages: Vec::new(), link: None }
    }

    /// `None` where there is nothing in it.
    pub(super) fn filled(self) -> Option<Self> {
        let is_filled = !self.facts.is_empty() || !self.passages.is_empty() || self.link.is_some();
        is_filled.then_some(self)
    }
}

/// An instant for the reader, to the millisecond where it has any.
pub(super) fn utc(instant: DateTime<Utc>) -> String {
    format!("{} UTC", instant.naive_utc())
}

/// The same of a time that the item states; one that is impossible as it came.
pub(super) fn utc_of_stated(time: StatedTime) -> String {
    match (time.instant(), time.millis) {
        (Some(instant), _) => utc(instant),
        (None, 0) => "0, no possible time".to_owned(),
        (None, millis) => format!("{millis}, impossible (epoch milliseconds)"),
    }
}

/// A duration for the reader; a negative one as it came.
pub(super) fn duration(millis: i64) -> String {
    let Ok(positive) = u64::try_from(millis) else { return format!("{millis} milliseconds") };
    let (seconds, rest) = (positive / 1000, positive % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:03}") };
    match (hours, minutes) {
        (0, 0) => format!("{seconds}{fraction} s"),
        (0, _) => format!("{minutes} min {seconds}{fraction} s"),
        _ => format!("{hours} h {minutes} min {seconds}{fraction} s"),
    }
}

/// A size for the reader: exact, with separators.
pub(super) fn bytes(size: u64) -> String {
    format!("{} {}", grouped(size, ','), if size == 1 { "byte" } else { "bytes" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_durations_and_sizes_are_exact() {
        let stated = |millis, is_possible| utc_of_stated(StatedTime { millis, is_possible });
        assert_eq!(stated(1_763_700_000_123, true), "2025-11-21 04:40:00.123 UTC");
        assert_eq!(stated(1_763_700_000_000, true), "2025-11-21 04:40:00 UTC");
        assert_eq!(stated(1_763_700_000, false), "1763700000, impossible (epoch milliseconds)");
        assert_eq!(stated(0, false), "0, no possible time");
        assert_eq!(duration(0), "0 s");
        assert_eq!(duration(65_250), "1 min 5.250 s");
        assert_eq!(duration(3_723_000), "1 h 2 min 3 s");
        assert_eq!(duration(-5), "-5 milliseconds");
        assert_eq!(
            [bytes(0), bytes(1), bytes(999), bytes(1_048_576)],
            ["0 bytes", "1 byte", "999 bytes", "1,048,576 bytes"]
        );
    }
}
