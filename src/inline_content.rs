//! The bytes of an inline attachment: base64 as different clients write it.
//!
//! The standard alphabet is read with or without padding and line breaks. A `data:` URL and the URL-safe alphabet are read too,
//! where the declared digest proves that these are the bytes that were meant.

use base64::Engine as _;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::digest::Digest;

const fn lenient(alphabet: &Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config.with_decode_allow_trailing_bits(true))
}

const PLAIN: GeneralPurpose = lenient(&STANDARD);
const OF_URLS: GeneralPurpose = lenient(&URL_SAFE);

/// The bytes that `content` stands for, or in words why it stands for none. `expected` is the declared digest.
pub(crate) fn decode(content: &str, expected: Option<Digest>) -> Result<Vec<u8>, &'static str> {
    const UNPROVED: &str = "its content is not standard base64, and no declared digest proves another reading of it";
    let packed = packed(content);
    if let Ok(bytes) = PLAIN.decode(packed.as_ref()) {
        return Ok(bytes);
    }
    let base64 =
        packed.strip_prefix("data:").and_then(|url| url.split_once(',')).map_or(&*packed, |(_, base64)| base64);
    let base64 = base64.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    let readings = [PLAIN.decode(&base64), OF_URLS.decode(&base64)];
    let proved = readings.into_iter().flatten().find(|bytes| expected == Some(Digest::of(bytes)));
    proved.ok_or(if is_base64_of_any_kind(&base64) { UNPROVED } else { "its content is not base64" })
}

fn packed(content: &str) -> std::borrow::Cow<'_, str> {
    if content.bytes().any(|byte| byte.is_ascii_whitespace()) {
        content.split_ascii_whitespace().collect::<String>().into()
    } else {
        content.into()
    }
}

fn is_base64_of_any_kind(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte))
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
