//! The width of a picture in pixels, from its first bytes: PNG, GIF and JPEG.
//!
//! The Word engine of Outlook knows no `max-width`; a photograph without a stated width would push the page aside.

/// The widest that a picture is shown, in pixels.
const MAX_SHOWN_WIDTH: u32 = 600;

/// The width to state for a picture; `None` where its bytes don't say.
pub(super) fn shown_width(bytes: &[u8]) -> Option<u32> {
    let width = png(bytes).or_else(|| gif(bytes)).or_else(|| jpeg(bytes))?;
    (width > 0).then_some(width.min(MAX_SHOWN_WIDTH))
}

/// `IHDR` is the first chunk (W3C PNG, 11.2.1).
fn png(bytes: &[u8]) -> Option<u32> {
    let after_signature = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    let header = after_signature.get(4..)?.strip_prefix(b"IHDR")?;
    Some(u32::from_be_bytes(*header.first_chunk()?))
}

/// The logical screen's width (GIF 89a, 18).
fn gif(bytes: &[u8]) -> Option<u32> {
    let screen = bytes.strip_prefix(b"GIF89a").or_else(|| bytes.strip_prefix(b"GIF87a"))?;
    Some(u16::from_le_bytes(*screen.first_chunk()?).into())
}

/// The first start-of-frame segment (ITU-T T.81, B.2.2).
fn jpeg(bytes: &[u8]) -> Option<u32> {
    let mut rest = bytes.strip_prefix(b"\xff\xd8")?;
    loop {
        let (&[0xff, marker], after) = rest.split_first_chunk::<2>()? else { return None };
        if marker == 0xff {
            rest = rest.get(1..)?;
            continue;
        }
        let length = usize::from(u16::from_be_bytes(*after.first_chunk()?));
        let is_frame = matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
        if is_frame {
            return Some(u16::from_be_bytes(*after.get(5..)?.first_chunk()?).into());
        }
        // A length counts itself, so that each turn moves on.
        rest = after.get(length.max(2)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_read_and_capped() {
        assert_eq!(shown_width(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\xf0\0\0\0\x96"), Some(240));
        assert_eq!(shown_width(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x0f\xa0"), Some(MAX_SHOWN_WIDTH));
        assert_eq!(shown_width(b"GIF89a\x10\x01\x08\0"), Some(272));
        let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc0\0\x0b\x08\0\x10\0\x20\x01";
        assert_eq!(shown_width(jpeg), Some(32));
        for cut in 0..jpeg.len() - 1 {
            assert_eq!(shown_width(&jpeg[..cut]), None);
        }
        for broken in [b"".as_slice(), b"GIF89a\0\0", b"\xff\xd8\xff\xe0\0\0\xff\xe0\0\0", b"\xff\xd8abc"] {
            assert_eq!(shown_width(broken), None);
        }
    }
}
