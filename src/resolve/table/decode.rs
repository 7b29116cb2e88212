//! Bytes to text, in the encodings that spreadsheets save in.

use std::borrow::Cow;

use encoding_rs::{UTF_16BE, UTF_16LE};

/// The text of a file, without its byte-order mark, or what is wrong with the file as a whole. What is not valid in its
/// encoding becomes U+FFFD, which no field that matters may have.
pub(in crate::resolve) fn decode(bytes: &[u8], max_bytes: usize) -> Result<Cow<'_, str>, String> {
    if bytes.len() > max_bytes {
        return Err(format!("the file is larger than {max_bytes} bytes"));
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\xd0\xcf\x11\xe0") {
        return Err("this is a workbook, not a text file: save it as \"CSV UTF-8\"".to_owned());
    }
    match bytes {
        [0xef, 0xbb, 0xbf, text @ ..] => Ok(String::from_utf8_lossy(text)),
        [0xff, 0xfe, text @ ..] => Ok(UTF_16LE.decode_without_bom_handling(text).0),
        [0xfe, 0xff, text @ ..] => Ok(UTF_16BE.decode_without_bom_handling(text).0),
        text if text.iter().take(1_024).any(|byte| *byte == 0) => {
            Err("the file has NUL bytes: save it as \"CSV UTF-8\"".to_owned())
        }
        text => Ok(String::from_utf8_lossy(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings() {
        let text = "né,👋";
        let le: Vec<u8> = "\u{feff}né,👋".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = "\u{feff}né,👋".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [text.as_bytes(), "\u{feff}né,👋".as_bytes(), &le, &be] {
            assert_eq!(decode(bytes, 100).unwrap(), text);
        }
        assert_eq!(decode(b"a\xe9b", 100).unwrap(), "a\u{fffd}b");
        assert_eq!(decode(b"\xff\xfea\0b", 100).unwrap(), "a\u{fffd}");
        assert_eq!(decode(b"\xff\xfe\x00\xd8", 100).unwrap(), "\u{fffd}");
        for bytes in [b"PK\x03\x04zip".as_slice(), b"a\0b\0", &[b'x'; 101]] {
            assert!(decode(bytes, 100).is_err());
        }
    }
}
