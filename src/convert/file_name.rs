//! Names of attached files: hostile until made safe here.
//!
//! A safe name has no path, no control character, none that turns the direction of text (`U+202E` makes `exe.jpg` of
//! `gpj.exe`), none that a file system refuses, isn't a device of Windows, is at most 120 characters and 200 bytes long
//! with its extension kept, and is the only one of that name in its message, whatever the case.

use std::collections::{HashMap, HashSet};

use unicode_segmentation::UnicodeSegmentation as _;

use super::people::turns_direction;
use crate::item::text::single_line;
use crate::output_text;

const MAX_NAME_CHARACTERS: usize = 120;
const MAX_NAME_BYTES: usize = 200;
const MAX_EXTENSION_CHARACTERS: usize = 12;
/// What is kept of a character that is longer than a whole name.
const HARD_CUT: usize = 20;

/// Names of one message, each given once.
#[derive(Default)]
pub(super) struct Names {
    given: HashSet<String>,
    /// The number last tried for each name, so that a thousand files of one name don't take a million tries.
    numbers: HashMap<String, usize>,
}

impl Names {
    /// A safe name for the attachment `index` (from 0), made from its declared name; `extension` is added to a name that
    /// has none.
    pub(super) fn safe(&mut self, declared: Option<&str>, index: usize, extension: Option<&str>) -> String {
        let name = declared.map(cleaned).filter(|name| output_text::name(name, MAX_NAME_CHARACTERS).is_some());
        let name = name.unwrap_or_else(|| format!("attachment-{}", index + 1));
        let (stem, own_extension) = split(&name);
        let extension = own_extension.or(extension);
        let number = self.numbers.entry(joined(stem, 1, extension).to_lowercase()).or_default();
        loop {
            *number += 1;
            let name = joined(stem, *number, extension);
            if self.given.insert(name.to_lowercase()) {
                return name;
            }
        }
    }
}

/// Without path, dangerous characters, and the dots and spaces at its ends that Windows takes off.
fn cleaned(declared: &str) -> String {
    let line = single_line(declared);
    let file = line.rsplit(['/', '\\']).find(|part| !part.trim().is_empty()).unwrap_or_default();
    if output_text::name(file, MAX_NAME_CHARACTERS).is_none() {
        return String::new();
    }
    let safe: String = file.chars().map(|character| if is_unsafe(character) { '_' } else { character }).collect();
    let trimmed = safe.trim_matches([' ', '.']);
    if is_device(trimmed) { format!("_{trimmed}") } else { trimmed.to_owned() }
}

fn is_unsafe(character: char) -> bool {
    let invisible = matches!(character, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}' | '\u{feff}');
    character.is_control() || turns_direction(character) || invisible || "<>:\"|?*".contains(character)
}

/// A device of Windows, with any extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = |prefix| {
        let number = stem.strip_prefix(prefix).unwrap_or_default();
        matches!(number, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") || numbered("COM") || numbered("LPT")
}

fn split(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('.') {
        Some((stem, extension))
            if !stem.is_empty()
                && (1..=MAX_EXTENSION_CHARACTERS).contains(&extension.len())
                && extension.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
        {
            (stem, Some(extension))
        }
        _ => (name, None),
    }
}

fn joined(stem: &str, number: usize, extension: Option<&str>) -> String {
    let tail = match (number, extension) {
        (1, None) => String::new(),
        (1, Some(extension)) => format!(".{extension}"),
        (number, None) => format!(" ({number})"),
        (number, Some(extension)) => format!(" ({number}).{extension}"),
    };
    let mut bytes = tail.len();
    let mut characters = tail.chars().count();
    let clusters = stem.graphemes(true).take_while(|cluster| {
        bytes += cluster.len();
        characters += cluster.chars().count();
        bytes <= MAX_NAME_BYTES && characters <= MAX_NAME_CHARACTERS
    });
    let mut kept: String = clusters.collect();
    if kept.is_empty() {
        // One character with more marks than a name has room for.
        kept = stem.chars().take(HARD_CUT).collect();
    }
    format!("{}{tail}", kept.trim_end_matches([' ', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safe(declared: &str) -> String {
        Names::default().safe(Some(declared), 0, None)
    }

    #[test]
    fn paths_and_dangerous_characters_are_taken_out() {
        for (declared, name) in [
            ("a.jpg", "a.jpg"),
            ("../../etc/passwd", "passwd"),
            ("C:\\temp\\x.doc", "x.doc"),
            ("..", "attachment-1"),
            ("\u{200b}\u{2060}", "attachment-1"),
            ("a/\u{202e}\u{3164}", "attachment-1"),
            ("dir/", "dir"),
            ("a\u{202e}gpj.exe", "a_gpj.exe"),
            ("a\0b\r\nc.txt", "a\u{fffd}b  c.txt"),
            ("what?.pdf", "what_.pdf"),
            ("nul", "_nul"),
            ("COM1.txt", "_COM1.txt"),
            ("trailing. . ", "trailing"),
            ("фото отпуск.jpg", "фото отпуск.jpg"),
            ("عائلة.png", "عائلة.png"),
            ("👨\u{200d}👩\u{200d}👧.png", "👨\u{200d}👩\u{200d}👧.png"),
        ] {
            assert_eq!(safe(declared), name, "{declared:?}");
        }
    }

    #[test]
    fn long_names_keep_their_extension() {
        let name = safe(&format!("{}.docx", "ä".repeat(500)));
        assert!(name.ends_with("ä.docx") && name.len() <= MAX_NAME_BYTES, "{name}");
        assert!(safe(&"x".repeat(5000)).len() <= MAX_NAME_CHARACTERS);
        let marked = safe(&format!("e{}", "\u{301}".repeat(4000)));
        assert!(marked.starts_with('e') && marked.chars().count() == HARD_CUT, "{marked}");
    }

    #[test]
    fn names_are_unique_whatever_the_case() {
        let mut names = Names::default();
        let given: Vec<String> =
            ["a.jpg", "A.JPG", "a.jpg"].iter().map(|name| names.safe(Some(name), 0, None)).collect();
        assert_eq!(given, ["a.jpg", "A (2).JPG", "a (3).jpg"]);
        assert_eq!(names.safe(None, 3, Some("ogg")), "attachment-4.ogg");
        assert_eq!(names.safe(Some("photo"), 4, Some("jpg")), "photo.jpg");
    }
}
