//! Characters: what JSON can smuggle in and mail can't carry becomes U+FFFD, never an error and never a loss of the rest.

use std::borrow::Cow;

/// The JSON text with escapes of lone surrogates (`\ud800` without its partner) replaced by `\ufffd`, so that a strict
/// parser takes it. Everything else, well-formed pairs included, stays as it is.
pub fn replace_surrogate_escapes(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let mut repaired: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == b'\\')) {
        let escape = at + found;
        let Some(unit) = utf16_escape(bytes, escape) else {
            at = escape + 2;
            continue;
        };
        let paired = (0xd800..0xdc00).contains(&unit)
            && utf16_escape(bytes, escape + 6).is_some_and(|next| (0xdc00..0xe000).contains(&next));
        if paired {
            at = escape + 12;
            continue;
        }
        if (0xd800..0xe000).contains(&unit) {
            let copy = repaired.get_or_insert_with(|| bytes.to_vec());
            if let Some(place) = copy.get_mut(escape..escape + 6) {
                place.copy_from_slice(b"\\ufffd");
            }
        }
        at = escape + 6;
    }
    match repaired {
        None => Cow::Borrowed(json),
        Some(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// The JSON text with what a strict parser refuses inside strings repaired: lone surrogates become `\ufffd`, bare control
/// characters their escapes (a NUL and the like `\ufffd`).
pub fn repair_json(json: &str) -> Cow<'_, str> {
    let repaired = replace_surrogate_escapes(json);
    if !repaired.chars().any(|character| character < ' ') {
        return repaired;
    }
    let mut out = String::with_capacity(repaired.len() + 16);
    let mut in_string = false;
    let mut escaped = false;
    for character in repaired.chars() {
        match character {
            '\n' if in_string => out.push_str("\\n"),
            '\r' if in_string => out.push_str("\\r"),
            '\t' if in_string => out.push_str("\\t"),
            control if in_string && control < ' ' => out.push_str("\\ufffd"),
            other => out.push(other),
        }
        if character == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = character == '\\' && !escaped;
    }
    Cow::Owned(out)
}

/// The UTF-16 code unit of the escape `\uXXXX` at `at`, where there is one.
fn utf16_escape(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The text with characters that a mail body can't carry (NUL and the other C0 and C1 controls but tab and the line
/// ends) replaced by U+FFFD, and every line end made LF.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !may_hold(text, |byte| byte < b' ' && byte != b'\n' && byte != b'\t') {
        return Cow::Borrowed(text);
    }
    let unix = text.replace("\r\n", "\n");
    Cow::Owned(
        unix.chars()
            .map(|character| match character {
                '\r' => '\n',
                character if is_unprintable(character) => char::REPLACEMENT_CHARACTER,
                character => character,
            })
            .collect(),
    )
}

/// The text on one line, for headers, names and logs: line ends and tabs become spaces, what can't be printed U+FFFD.
pub fn single_line(text: &str) -> Cow<'_, str> {
    if !may_hold(text, |byte| byte < b' ' || byte == b'\xe2') {
        return Cow::Borrowed(text.trim());
    }
    let line: String = text
        .trim()
        .chars()
        .map(|character| match character {
            character if is_line_break(character) || character == '\t' => ' ',
            character if is_unprintable(character) => char::REPLACEMENT_CHARACTER,
            character => character,
        })
        .collect();
    Cow::Owned(line)
}

/// JSON in which what ends a line, moves a cursor, or turns the direction of text stands as its escape: the same value.
pub(crate) fn harmless_json(json: String) -> String {
    let is_harmful =
        |character: char| ('\u{7f}'..='\u{9f}').contains(&character) || matches!(character, '\u{2028}' | '\u{2029}');
    if !json.chars().any(|character| is_harmful(character) || turns_direction(character)) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if is_harmful(character) || turns_direction(character) {
            // All of them are in the basic plane.
            escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Marks, embeddings, overrides and isolates (UAX #9).
pub(crate) fn turns_direction(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a text may hold a character to be replaced: a byte that `is_suspect`, DEL, or the first byte of a C1 control
/// (`U+0080`–`U+009F` begin with C2 in UTF-8). Looks at bytes, all of them, which is many times as fast as characters.
fn may_hold(text: &str, is_suspect: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(false, |found, byte| found | (is_suspect(byte) || byte == 0x7f || byte == 0xc2))
}

fn is_line_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_unprintable(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\r' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_the_same_in_harmless_characters() {
        let value = "a\u{1b}\u{9b}\u{7f}\u{202e}\u{2066}\u{2028}\u{85}ü👍";
        let json = harmless_json(serde_json::to_string(value).unwrap());
        assert_eq!(json, r#""a\u001b\u009b\u007f\u202e\u2066\u2028\u0085ü👍""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value);
    }

    #[test]
    fn lone_surrogates_become_replacement_characters() {
        for (json, repaired) in [
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\ude00x""#, r#""\ufffdx""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\ud8""#, r#""\ud8""#),
            (r#""\"#, r#""\"#),
        ] {
            assert_eq!(replace_surrogate_escapes(json), repaired);
        }
    }

    #[test]
    fn bare_controls_in_strings_are_escaped_and_others_stay() {
        assert_eq!(repair_json("{\n\"a\": \"b\nc\u{0}d\\\"\u{1}\"\n}"), "{\n\"a\": \"b\\nc\\ufffdd\\\"\\ufffd\"\n}");
    }

    #[test]
    fn controls_are_replaced_and_line_ends_unified() {
        assert_eq!(printable("a\0b\r\nc\rd\te"), "a\u{fffd}b\nc\nd\te");
        assert_eq!(single_line("a\r\nBcc: x\u{2028}y"), "a  Bcc: x y");
        assert!(matches!(printable("plain"), Cow::Borrowed(_)));
    }
}
