//! ISO base media (ISO/IEC 14496-12): MP4, `QuickTime`, HEIF, AVIF, camera files. A file names the brand that it is best read as,
//! and all that it is compatible with; any of them bears out a declaration.

/// The type of the main brand; of the compatible ones where the main one says only that it is a picture.
pub(super) fn main_type(bytes: &[u8]) -> Option<&'static str> {
    let mut brands = brands(bytes)?;
    let main = brands.next()?;
    let is_general = matches!(&main, b"mif1" | b"msf1" | b"miaf");
    let told = if is_general { brands.map(type_of).find(|found| *found == "image/avif") } else { None };
    Some(told.unwrap_or_else(|| type_of(main)))
}

/// Whether one of the brands is of the type that is claimed.
pub(super) fn bears_out(claim: &str, bytes: &[u8]) -> bool {
    brands(bytes).is_some_and(|mut brands| brands.any(|brand| type_of(brand) == claim))
}

/// The main brand and the compatible ones, as far as the first box goes.
fn brands(bytes: &[u8]) -> Option<impl Iterator<Item = [u8; 4]>> {
    const MAX_BRANDS: usize = 256;
    if bytes.get(4..8) != Some(b"ftyp".as_slice()) {
        return None;
    }
    let length = bytes.first_chunk().map(|length| u32::from_be_bytes(*length)).unwrap_or_default();
    let length = usize::try_from(length).unwrap_or(MAX_BRANDS).clamp(12, MAX_BRANDS).min(bytes.len());
    let main = *bytes.get(8..12)?.first_chunk()?;
    let compatible = bytes.get(16..length).unwrap_or_default().as_chunks::<4>().0;
    Some(std::iter::once(main).chain(compatible.iter().copied()))
}

fn type_of(brand: [u8; 4]) -> &'static str {
    match &brand {
        b"crx " => "image/x-canon-cr3",
        [b'a', b'v', b'i', b'f' | b's' | b'o'] => "image/avif",
        b"mif1" | b"msf1" | b"mif2" | b"miaf" | [b'h', b'e', b'i' | b'v', _] => "image/heif",
        [b'3', b'g', b'p' | b'2', _] => "video/3gpp",
        [b'M', b'4', b'A' | b'B', _] => "audio/mp4",
        b"qt  " => "video/quicktime",
        b"jxl " => "image/jxl",
        _ => "video/mp4",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(brands: &[&[u8; 4]]) -> Vec<u8> {
        let length = u32::try_from(12 + 4 * brands.len()).unwrap();
        let mut bytes = [length.to_be_bytes().as_slice(), b"ftyp", brands[0], &[0; 4]].concat();
        brands[1..].iter().for_each(|brand| bytes.extend(*brand));
        [bytes.as_slice(), b"mdat"].concat()
    }

    #[test]
    fn compatible_brands_count() {
        let picture = file(&[b"mif1", b"mif1", b"avif", b"miaf"]);
        assert_eq!(main_type(&picture), Some("image/avif"));
        assert!(bears_out("image/avif", &picture) && bears_out("image/heif", &picture));
        assert!(!bears_out("video/mp4", &picture));
        assert_eq!(main_type(&file(&[b"hevc", b"msf1"])), Some("image/heif"));
        assert_eq!(main_type(&file(&[b"miaf", b"avif"])), Some("image/avif"));
        assert_eq!(main_type(&file(&[b"isom", b"mp41"])), Some("video/mp4"));
        assert_eq!(main_type(b"\0\0\0\x14ftyp"), None);
    }
}
