//! Folder names as IMAP and Maildir++ write them: modified UTF-7 (RFC 3501, 5.1.3).
//!
//! Printable US-ASCII stands for itself, `&` is written `&-`, and everything else is UTF-16 in base64 (with `,` for `/`,
//! without padding) between `&` and `-`.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;

const BASE64: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// The name in modified UTF-7.
pub fn to_modified_utf7(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    let mut shifted = Vec::new();
    for character in name.chars() {
        if !matches!(character, ' '..='~') {
            let mut units = [0; 2];
            shifted.extend(character.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
            continue;
        }
        end_shift(&mut encoded, &mut shifted);
        encoded.push(character);
        if character == '&' {
            encoded.push('-');
        }
    }
    end_shift(&mut encoded, &mut shifted);
    encoded
}

fn end_shift(encoded: &mut String, shifted: &mut Vec<u8>) {
    if shifted.is_empty() {
        return;
    }
    encoded.push('&');
    BASE64.encode_string(&shifted, encoded);
    encoded.push('-');
    shifted.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};

    const LENIENT_BASE64: GeneralPurpose = GeneralPurpose::new(
        &IMAP_MUTF7,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );

    /// The name that modified UTF-7 stands for; `None` where the text is none.
    fn from_modified_utf7(encoded: &str) -> Option<String> {
        let mut name = String::with_capacity(encoded.len());
        let mut rest = encoded;
        while let Some((plain, shifted)) = rest.split_once('&') {
            let (shifted, after) = shifted.split_once('-')?;
            name.push_str(plain);
            if shifted.is_empty() {
                name.push('&');
            } else {
                name.push_str(&unshifted(shifted)?);
            }
            rest = after;
        }
        name.push_str(rest);
        name.chars().all(|character| character != '\0').then_some(name)
    }

    fn unshifted(base64: &str) -> Option<String> {
        let bytes = LENIENT_BASE64.decode(base64).ok()?;
        let (units, []) = bytes.as_chunks::<2>() else { return None };
        let units: Vec<u16> = units.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
        String::from_utf16(&units).ok()
    }
    use proptest::prelude::*;

    #[test]
    fn known_names() {
        // The second is the example of RFC 3501.
        for (name, encoded) in [
            ("WhatsApp Archiver", "WhatsApp Archiver"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("R&D", "R&-D"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("👋", "&2D3cSw-"),
            ("", ""),
        ] {
            assert_eq!(to_modified_utf7(name), encoded);
            assert_eq!(from_modified_utf7(encoded).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_is_no_modified_utf7_is_refused() {
        for text in ["&", "a&b", "&2D0-", "&!!-", "&AA-"] {
            assert_eq!(from_modified_utf7(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in "[^\0]*") {
            let encoded = to_modified_utf7(&name);
            prop_assert!(encoded.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            prop_assert_eq!(from_modified_utf7(&encoded), Some(name));
        }
    }
}
