//! The bytes of an inline attachment: base64 as different clients write it.
//!
//! The standard alphabet is read with or without padding and line breaks. Other spellings (a `data:` URL, the URL-safe alphabet,
//! marks around or within the text) are read too, where the declared digest proves that these are the bytes that were meant.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::digest::Digest;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The bytes that `content` stands for, or in words why it stands for none. `expected` is the declared digest.
pub(crate) fn decode(content: &str, expected: Option<Digest>) -> Result<Vec<u8>, &'static str> {
    const UNPROVED: &str = "its content is not standard base64, and no declared digest proves another reading of it";
    if let Ok(bytes) = BASE64.decode(packed(content).as_ref()) {
        return Ok(bytes);
    }
    let data = data_of(content);
    let unescaped: Vec<u8> = percent_encoding::percent_decode_str(data).collect();
    // In text that came through a form, each `+` is a space.
    let readings = [base64_within(&unescaped, false), base64_within(&unescaped, true), Some(unescaped)];
    let proved =
        readings.into_iter().flatten().find(|bytes| expected.is_some_and(|digest| digest == Digest::of(bytes)));
    proved.ok_or(if is_base64_of_any_kind(data) { UNPROVED } else { "its content is not base64" })
}

fn packed(content: &str) -> Cow<'_, str> {
    if content.bytes().any(|byte| byte.is_ascii_whitespace()) {
        content.split_ascii_whitespace().collect::<String>().into()
    } else {
        content.into()
    }
}

/// What follows the head of a `data:` URL (RFC 2397); anything else as it is.
fn data_of(content: &str) -> &str {
    let is_url = content.trim_start().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    let url = is_url.then(|| content.split_once(',')).flatten();
    url.map_or(content, |(_, data)| data)
}

/// The bytes of the letters of either alphabet, whatever stands between them.
fn base64_within(text: &[u8], space_is_plus: bool) -> Option<Vec<u8>> {
    let letter = |&byte: &u8| match byte {
        b'-' => Some(b'+'),
        b'_' => Some(b'/'),
        b' ' if space_is_plus => Some(b'+'),
        b'+' | b'/' => Some(byte),
        _ => byte.is_ascii_alphanumeric().then_some(byte),
    };
    BASE64.decode(text.iter().filter_map(letter).collect::<Vec<u8>>()).ok()
}

fn is_base64_of_any_kind(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b"+/-_=%".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_are_read_where_the_digest_proves_them() {
        let bytes: &[u8] = b"\xfb\xff\xfe?>";
        let digest = Some(Digest::of(bytes));
        for content in [
            "+//+Pz4=",
            "+//+Pz4",
            "+//+\r\nPz4=",
            "-__-Pz4=",
            "-__-Pz4",
            "data:image/png;base64,+//+Pz4=",
            "data:;base64,-__-Pz4",
            "data:a/b;base64,%2B//%2BPz4%3D",
            "DATA:a/b;BASE64,+//+Pz4=",
            "data:application/octet-stream,%FB%FF%FE?%3E",
            "+/_-Pz4",
            "\"+//+Pz4=\"",
            r"+\/\/+Pz4=",
            "\u{feff}+//+Pz4=\u{200b}",
            " // Pz4=",
        ] {
            assert_eq!(decode(content, digest).as_deref(), Ok(bytes), "{content}");
        }
        for content in ["-__-Pz4=", "data:image/png;base64,+//+Pz4="] {
            assert!(decode(content, None).is_err() && decode(content, Some(Digest::of(b"x"))).is_err(), "{content}");
        }
        assert_eq!(decode("not base64!", digest), Err("its content is not base64"));
        assert_eq!(decode("+//+Pz4", None).as_deref(), Ok(bytes));
    }
}
