//! Text from outside on one line, as headers, names, terminals, CSV and pages may show it.
//!
//! Nothing in it moves a cursor, ends a line, or turns the direction of what stands beside it; what is too long is cut between
//! characters as people see them (UAX #29), not within an emoji or between a letter and its accent.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::item::characters::is_ignorable;
use crate::item::text::single_line;
pub(crate) use crate::item::text::turns_direction;

/// The text on one line of at most `characters` characters: line ends and tabs become spaces, control characters U+FFFD, and
/// the characters that turn the direction of text (UAX #9) are left out.
pub(crate) fn display_text(text: &str, characters: usize) -> String {
    let line = single_line(text);
    if line.is_ascii() && line.len() <= characters {
        return line.into_owned();
    }
    let shown: String = line.chars().filter(|&character| !turns_direction(character)).collect();
    cut(shown.trim(), characters)
}

/// A value whole, for a cell of a table: as [`display_text`], however long.
pub(crate) fn cell(text: &str) -> String {
    display_text(text, usize::MAX)
}

/// A name on one line; `None` where nobody would see anything of it.
pub(crate) fn name(text: &str, characters: usize) -> Option<String> {
    (!is_blank(text)).then(|| display_text(text, characters))
}

/// Whether nobody would see anything of a text.
pub(crate) fn is_blank(text: &str) -> bool {
    !text.chars().any(is_visible)
}

/// At most `characters` characters, the last of them `…` where something is left out.
fn cut(text: &str, characters: usize) -> String {
    if text.len() <= characters || text.chars().count() <= characters {
        return text.to_owned();
    }
    if text.is_ascii() {
        return format!("{}…", text.get(..characters.saturating_sub(1)).unwrap_or_default().trim_end());
    }
    let mut left = characters.saturating_sub(1);
    let mut kept = 0;
    for cluster in text.graphemes(true) {
        let Some(rest) = left.checked_sub(cluster.chars().count()) else { break };
        left = rest;
        kept += cluster.len();
    }
    format!("{}…", text.get(..kept).unwrap_or_default().trim_end())
}

/// Whether a character leaves a mark: no space, no control, none that Unicode says to ignore, no blank letter.
fn is_visible(character: char) -> bool {
    // Those that Unicode says to ignore once it has them.
    let is_reserved = matches!(character, '\u{fff0}'..='\u{fff8}');
    let is_ignored = is_reserved || is_ignorable(character);
    !character.is_whitespace() && !character.is_control() && !is_ignored && character != char::REPLACEMENT_CHARACTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_a_cursor_ends_a_line_or_turns_text() {
        assert_eq!(cell("\u{1b}[H\u{7}\u{9b}x"), "\u{fffd}[H\u{fffd}\u{fffd}x");
        assert_eq!(cell("a\nb\r\nc\u{2028}d"), "a b  c d");
        assert_eq!(cell("\u{202e}evil\u{2066}\u{200f}"), "evil");
        assert_eq!(display_text(" a\u{202e}b\r\nc\u{2068}d\u{2069} ", 50), "ab  cd");
        assert_eq!(display_text("abcdef", 4), "abc…");
    }

    #[test]
    fn a_name_that_nobody_sees_is_none() {
        for blank in [
            "",
            " ",
            "\u{3164}",
            "\u{2800}\u{2800}",
            "\u{200b}\u{200d}",
            "\u{ad}\u{feff}",
            "\u{e0041}",
            "\u{ffa0}",
            "\0",
        ] {
            assert_eq!(name(blank, 50), None, "{blank:?}");
        }
        assert!(is_blank("\u{2060}\n\t") && !is_blank("\u{2060}a"));
        assert_eq!(name("\u{200b}Ana", 50).as_deref(), Some("\u{200b}Ana"));
        assert_eq!(name("❤\u{fe0f}", 50).as_deref(), Some("❤\u{fe0f}"));
    }

    #[test]
    fn cuts_fall_between_characters_as_people_see_them() {
        let family = "👨\u{200d}👩\u{200d}👧";
        assert_eq!(display_text(&format!("ab{family} holiday"), 5), "ab…");
        assert_eq!(display_text(&"e\u{301}".repeat(4), 4), "e\u{301}…");
        assert_eq!(display_text("🇩🇪🇫🇷🇮🇹", 4), "🇩🇪…");
    }
}
