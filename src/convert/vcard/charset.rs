//! The charsets of contact cards: those of the Web, and what old telephones and programs write besides.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// The upper halves of the code pages of DOS, which the Web doesn't know.
const CODE_PAGE_850: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐\
    └┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}";
const CODE_PAGE_437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
    └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// Bytes as text: in the charset that is named, else UTF-8, else in that of the file, else Windows-1252.
pub(super) fn decoded(bytes: &[u8], named: Option<&str>, of_file: Option<&str>) -> String {
    if let Some(text) = named.filter(|name| !is_utf_8(name)).and_then(|name| in_charset(bytes, name)) {
        return text;
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let of_file = of_file.filter(|name| !is_utf_8(name)).and_then(|name| in_charset(bytes, name));
    of_file.unwrap_or_else(|| WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned())
}

fn in_charset(bytes: &[u8], name: &str) -> Option<String> {
    let name = plain(name);
    let upper = match name.as_str() {
        "ibm850" | "cp850" | "850" => Some(CODE_PAGE_850),
        "ibm437" | "cp437" | "437" => Some(CODE_PAGE_437),
        _ => None,
    };
    if let Some(upper) = upper {
        let character = |&byte: &u8| match byte.checked_sub(128) {
            None => Some(char::from(byte)),
            Some(place) => upper.chars().nth(usize::from(place)),
        };
        return bytes.iter().map(character).collect();
    }
    let encoding = Encoding::for_label(name.as_bytes())?;
    Some(encoding.decode_without_bom_handling(bytes).0.into_owned())
}

fn is_utf_8(name: &str) -> bool {
    Encoding::for_label(plain(name).as_bytes()) == Some(UTF_8)
}

fn plain(name: &str) -> String {
    name.trim().trim_matches('"').to_ascii_lowercase()
}

/// A file in UTF-16 or UTF-32, with a byte-order mark or without, as UTF-8; any other as it is, without a mark.
pub(in crate::convert) fn without_byte_order_mark(bytes: &[u8]) -> Cow<'_, [u8]> {
    let units = |unit: fn([u8; 4]) -> u32| {
        let characters = bytes.as_chunks::<4>().0.iter().map(|four| char::from_u32(unit(*four)));
        let text: String = characters.map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        Cow::Owned(text.trim_start_matches('\u{feff}').to_owned().into_bytes())
    };
    let utf_16 = |encoding: &'static Encoding| Cow::Owned(encoding.decode(bytes).0.into_owned().into_bytes());
    match bytes {
        [0xff, 0xfe, 0, 0, ..] => units(u32::from_le_bytes),
        [0, 0, 0xfe, 0xff, ..] => units(u32::from_be_bytes),
        [0xff, 0xfe, ..] | [b'B' | b'b', 0, b'E' | b'e', 0, ..] => utf_16(UTF_16LE),
        [0xfe, 0xff, ..] | [0, b'B' | b'b', 0, b'E' | b'e', ..] => utf_16(UTF_16BE),
        [0xef, 0xbb, 0xbf, rest @ ..] => Cow::Borrowed(rest),
        _ => Cow::Borrowed(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_pages_are_whole() {
        assert_eq!((CODE_PAGE_850.chars().count(), CODE_PAGE_437.chars().count()), (128, 128));
        assert_eq!(decoded(b"J\x94rg \xe1", Some("IBM850"), None), "Jörg ß");
        assert_eq!(decoded(b"J\x94rg", Some("\"cp437\""), None), "Jörg");
    }

    #[test]
    fn the_file_s_charset_comes_before_a_guess() {
        assert_eq!(decoded(b"\xc8\xe2\xe0\xed", None, Some("windows-1251")), "Иван");
        assert_eq!(decoded("Иван".as_bytes(), None, Some("windows-1251")), "Иван");
        assert_eq!(decoded(b"\xe9", Some("no-such"), None), "é");
    }

    #[test]
    fn wide_files_are_narrowed() {
        let card = "BEGIN:VCARD\nFN:Łucja\n";
        let wide = |bytes: fn(u32) -> [u8; 4]| -> Vec<u8> {
            std::iter::once('\u{feff}').chain(card.chars()).flat_map(|it| bytes(u32::from(it))).collect()
        };
        let of_16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> { card.encode_utf16().flat_map(bytes).collect() };
        for bytes in [
            wide(u32::to_le_bytes),
            wide(u32::to_be_bytes),
            of_16(u16::to_le_bytes),
            of_16(u16::to_be_bytes),
            card.as_bytes().to_vec(),
        ] {
            assert_eq!(without_byte_order_mark(&bytes), card.as_bytes());
        }
    }
}
