//! Masks what no JSON parser takes, byte for byte, so that the boundaries of the other items can still be found. The
//! result is only measured, never read: items are cut from the original bytes.

use crate::item::text::replace_surrogate_escapes;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// `body` in valid UTF-8 of the same length, every byte of structure in its place: a byte-order mark and control
/// characters become spaces, bytes that aren't UTF-8 become `?`, a backslash that begins no escape becomes a space, and
/// half a surrogate pair becomes the escape of U+FFFD.
pub(super) fn mask(body: &[u8]) -> String {
    let mut masked = Vec::with_capacity(body.len());
    let body = match body.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => {
            masked.resize(BYTE_ORDER_MARK.len(), b' ');
            rest
        }
        None => body,
    };
    for chunk in body.utf8_chunks() {
        masked.extend(chunk.valid().bytes().map(|byte| if byte < b' ' { b' ' } else { byte }));
        masked.resize(masked.len() + chunk.invalid().len(), b'?');
    }
    mask_unknown_escapes(&mut masked);
    // Only ASCII was put in the place of whole characters, so this never has anything to replace.
    let text = String::from_utf8_lossy(&masked);
    replace_surrogate_escapes(&text).into_owned()
}

fn mask_unknown_escapes(text: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == b'\\')) {
        let escape = at + found;
        at = match text.get(escape + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => escape + 2,
            Some(b'u') if has_four_digits(text, escape + 2) => escape + 6,
            _ => {
                if let Some(backslash) = text.get_mut(escape) {
                    *backslash = b' ';
                }
                escape + 1
            }
        };
    }
}

fn has_four_digits(text: &[u8], at: usize) -> bool {
    text.get(at..at + 4).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_stays_and_so_does_valid_text() {
        for (body, masked) in [
            (&b"\xef\xbb\xbf{}"[..], "   {}"),
            (b"\"a\xff\xe2\x82b\"", "\"a???b\""),
            (b"a\0\r\n\tb", "a    b"),
            (br"\x \u12g4 \n \\ \ud800", r" x  u12g4 \n \\ \ufffd"),
            ("é€😀".as_bytes(), "é€😀"),
            (b"\\", " "),
        ] {
            assert_eq!(mask(body), masked);
            assert_eq!(mask(body).len(), body.len());
        }
    }
}
