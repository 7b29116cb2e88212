//! Media types: what a file is declared as, checked against the bytes' signature.
//!
//! A declaration that the bytes bear out is kept. One that they contradict is not: the file gets the type of its bytes
//! where that is a picture, sound, film or PDF, else `application/octet-stream`, so that nothing opens it on the
//! strength of a false label.

mod iso_media;

use super::vcard::without_byte_order_mark;

/// A message as a file (RFC 2046, 5.2.1).
pub(super) const RFC822: &str = "message/rfc822";

const OCTET_STREAM: &str = "application/octet-stream";
const VCARD: &str = "text/vcard";
const MS_WORD: &str = "application/msword";
const PROGRAM: &str = "application/vnd.microsoft.portable-executable";

/// A file's type after the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MediaType {
    /// The type alone: `image/jpeg`.
    pub(super) essence: String,
    /// Its `charset`, for text.
    pub(super) charset: Option<String>,
    /// What the reader should know of a contradiction.
    pub(super) note: Option<String>,
}

impl MediaType {
    /// The value of `Content-Type`.
    pub(super) fn header_value(&self) -> String {
        match &self.charset {
            Some(charset) => format!("{}; charset={charset}", self.essence),
            None => self.essence.clone(),
        }
    }
}

/// The type of a declaration alone, where there are no bytes to check it against.
pub(super) fn declared_essence(declared: Option<&str>) -> String {
    declared.and_then(essence).unwrap_or_else(|| OCTET_STREAM.to_owned())
}

/// The type of a file. `extension` helps where neither declaration nor bytes say anything.
pub(super) fn check(declared: Option<&str>, extension: Option<&str>, bytes: &[u8]) -> MediaType {
    let claim = declared.and_then(essence).filter(|claim| !says_nothing(claim));
    let found = signature(bytes);
    let (kept, note) = match (claim, found) {
        (Some(claim), Some(found)) if agree(&claim, found, bytes) => (claim, None),
        (Some(claim), Some(found)) => {
            let note = format!("declared as {claim}, but its bytes are those of {found}");
            (if is_passive(found) { found } else { OCTET_STREAM }.to_owned(), Some(note))
        }
        (Some(claim), None) if has_signature(&claim) && !bytes.is_empty() => {
            let note = format!("declared as {claim}, but its bytes are not those of that type");
            (OCTET_STREAM.to_owned(), Some(note))
        }
        (Some(claim), None) => (claim, None),
        (None, Some(found)) => (if is_passive(found) { found } else { OCTET_STREAM }.to_owned(), None),
        (None, None) => (guess(extension), None),
    };
    let kept = enclosable(kept, bytes);
    let charset = kept.starts_with("text/").then(|| charset(declared, bytes)).flatten();
    MediaType { essence: kept, charset, note }
}

/// The usual extension of a type.
pub(super) fn extension(essence: &str) -> Option<&'static str> {
    const USUAL: &[(&str, &str)] = &[
        ("image/jpeg", "jpg"),
        ("image/png", "png"),
        ("image/gif", "gif"),
        ("image/webp", "webp"),
        ("image/heif", "heic"),
        ("image/heic", "heic"),
        ("video/mp4", "mp4"),
        ("video/3gpp", "3gp"),
        ("audio/3gpp", "3gp"),
        ("video/quicktime", "mov"),
        ("audio/ogg", "ogg"),
        ("audio/amr", "amr"),
        ("audio/mp4", "m4a"),
        ("audio/mpeg", "mp3"),
        ("audio/aac", "aac"),
        ("audio/wav", "wav"),
        ("application/pdf", "pdf"),
        ("application/zip", "zip"),
        (VCARD, "vcf"),
        ("text/plain", "txt"),
        (RFC822, "eml"),
    ];
    USUAL.iter().find(|(known, _)| *known == essence).map(|(_, extension)| *extension)
}

/// Type and subtype in lower case, under their usual name; `None` where it isn't a media type (RFC 2045, 5.1).
fn essence(declared: &str) -> Option<String> {
    const MAX_NAME_LENGTH: usize = 127;
    let is_token = |text: &str| {
        let token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        !text.is_empty() && text.len() <= MAX_NAME_LENGTH && text.bytes().all(token_byte)
    };
    let bare = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (kind, subtype) = bare.split_once('/')?;
    if !is_token(kind) || !is_token(subtype) {
        return None;
    }
    Some(usual_name(&bare).map_or(bare.clone(), str::to_owned))
}

/// Whether a type says only that it isn't known.
fn says_nothing(essence: &str) -> bool {
    const NOTHING: [&str; 8] = [
        OCTET_STREAM,
        "application/binary",
        "application/download",
        "application/force-download",
        "application/unknown",
        "application/x-download",
        "binary/octet-stream",
        "unknown/unknown",
    ];
    NOTHING.contains(&essence)
}

/// One name for what has many.
fn usual_name(essence: &str) -> Option<&'static str> {
    Some(match essence {
        "image/jpg" | "image/pjpeg" | "image/jpe" | "image/jfif" | "image/x-jpeg" => "image/jpeg",
        "image/x-png" | "image/apng" | "image/vnd.mozilla.apng" => "image/png",
        "image/dng" | "image/x-dng" => "image/x-adobe-dng",
        "image/x-ms-bmp" | "image/x-bmp" => "image/bmp",
        "image/tif" | "image/x-tiff" => "image/tiff",
        "image/x-icon" | "image/ico" => "image/vnd.microsoft.icon",
        "image/psd" | "image/x-psd" | "application/x-photoshop" => "image/vnd.adobe.photoshop",
        "audio/opus" | "application/ogg" | "audio/x-opus" => "audio/ogg",
        "audio/m4a" | "audio/x-m4a" | "audio/mp4a-latm" | "audio/m4b" | "audio/x-m4b" => "audio/mp4",
        "image/jpeg2000" | "image/jpeg2000-image" | "image/x-jp2" | "image/jpx" | "image/jpm" => "image/jp2",
        "audio/mp3" | "audio/x-mpeg" | "audio/mpeg3" => "audio/mpeg",
        "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => "audio/wav",
        "audio/x-aac" | "audio/aacp" => "audio/aac",
        "audio/amr-nb" | "audio/x-amr" => "audio/amr",
        "audio/x-amr-wb" => "audio/amr-wb",
        "audio/x-flac" => "audio/flac",
        "audio/mid" | "audio/x-midi" => "audio/midi",
        "audio/aiff" => "audio/x-aiff",
        "video/x-m4v" => "video/mp4",
        "video/3gp" | "video/3gpp2" => "video/3gpp",
        "audio/3gp" | "audio/3gpp2" => "audio/3gpp",
        "video/avi" | "video/msvideo" => "video/x-msvideo",
        "application/x-gzip" => "application/gzip",
        "application/x-rar-compressed" | "application/x-rar" => "application/vnd.rar",
        "text/rtf" | "text/richtext" | "application/x-rtf" => "application/rtf",
        "application/x-bzip" => "application/x-bzip2",
        "application/x-sqlite3" => "application/vnd.sqlite3",
        "application/x-msdownload" | "application/x-dosexec" | "application/x-msdos-program" => PROGRAM,
        "text/x-vcard" | "text/directory" => VCARD,
        "application/x-pdf" => "application/pdf",
        "application/x-zip-compressed" | "application/x-zip" => "application/zip",
        _ => return None,
    })
}

/// The type that the bytes show, under its usual name: a small table for what `infer` misses or mistakes (it takes AMR for
/// a shell script), then `infer`.
fn signature(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"#!AMR") {
        return Some("audio/amr");
    }
    if let Some(found) = iso_media::main_type(bytes) {
        return Some(found);
    }
    if is_vcard(bytes) {
        return Some(VCARD);
    }
    let found = infer::get(bytes)?.mime_type();
    Some(usual_name(found).unwrap_or(found))
}

fn is_vcard(bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"BEGIN:VCARD";
    const HEAD: usize = 128;
    let head = bytes.get(..HEAD.min(bytes.len())).unwrap_or_default();
    let head = without_byte_order_mark(head);
    head.trim_ascii_start().get(..BEGIN.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(BEGIN))
}

/// Whether bytes of type `found` bear out `claim`: the same, or a container that `claim` is made of.
fn agree(claim: &str, found: &str, bytes: &[u8]) -> bool {
    const ISO_MEDIA: &[&str] = &["video/mp4", "audio/mp4", "video/quicktime", "video/3gpp", "audio/3gpp", "audio/aac"];
    const MATROSKA: &[&str] = &["video/webm", "audio/webm", "video/x-matroska", "audio/x-matroska"];
    const OGG: &[&str] = &["audio/ogg", "video/ogg"];
    const ASF: &[&str] = &["video/x-ms-wmv", "audio/x-ms-wma", "video/x-ms-asf", "application/vnd.ms-asf"];
    const GZIP: &[&str] = &["application/gzip", "application/x-tgz", "application/x-compressed-tar"];
    const FONT: &[&str] =
        &["application/font-sfnt", "font/ttf", "font/otf", "font/sfnt", "font/collection", "application/x-font-ttf"];
    // What is armoured or in DER is not told apart by its first bytes.
    const CERTIFICATE: &[&str] = &[
        "application/x-x509-ca-cert",
        "application/pkix-cert",
        "application/x-pkcs12",
        "application/pkcs7-mime",
        "application/pkcs7-signature",
        "application/x-pkcs7-certificates",
        "application/pgp-signature",
        "application/pgp-keys",
        "application/pgp-encrypted",
        "application/x-pem-file",
    ];
    const HEIF: &[&str] = &["image/heif", "image/heic", "image/heif-sequence", "image/heic-sequence"];
    // Raw pictures of cameras are TIFF inside.
    const TIFF_BASED: &[&str] = &[
        "image/x-adobe-dng",
        "image/x-canon-cr2",
        "image/x-nikon-nef",
        "image/x-sony-arw",
        "image/x-panasonic-rw2",
        "image/x-pentax-pef",
    ];
    let same_family = |family: &[&str]| family.contains(&claim) && family.contains(&found);
    // Texts can begin like nearly anything, and in any charset.
    let is_text = || claim.starts_with("text/") && !bytes.iter().any(|byte| is_binary(*byte));
    claim == found
        || same_family(ISO_MEDIA)
        || ISO_MEDIA.contains(&found) && (claim == "application/mp4" || is_other_media(claim))
        || OGG.contains(&found) && (claim.ends_with("+ogg") || is_other_media(claim))
        || same_family(MATROSKA)
        || same_family(OGG)
        || same_family(ASF)
        || same_family(GZIP)
        || same_family(FONT)
        || same_family(CERTIFICATE)
        || same_family(HEIF)
        || iso_media::bears_out(claim.strip_suffix("-sequence").unwrap_or(claim), bytes)
        || is_zip(found) && (may_be_zip(claim) || claim.ends_with("+zip"))
        || found == "application/gzip" && claim.ends_with("+gzip")
        || found == "audio/amr" && claim == "audio/amr-wb"
        || TIFF_BASED.contains(&claim) && found == "image/tiff"
        || match found {
            "application/x-ole-storage" | "application/vnd.ms-excel" | "application/vnd.ms-powerpoint" | MS_WORD => {
                claim == "application/x-msi" || is_other_application(claim)
            }
            "text/xml" => claim.ends_with("xml") || claim.starts_with("text/"),
            "text/html" | "text/x-shellscript" => claim.starts_with("text/") || claim == "application/xhtml+xml",
            _ => is_text(),
        }
}

/// What no text holds, whatever its charset: control characters but for white space and escape.
fn is_binary(byte: u8) -> bool {
    byte < b' ' && !byte.is_ascii_whitespace() && byte != 0x1b
}

/// Zip, and what is a zip archive of a certain content.
fn is_zip(found: &str) -> bool {
    const PREFIXES: [&str; 2] = ["application/vnd.openxmlformats-", "application/vnd.oasis.opendocument."];
    matches!(found, "application/zip" | "application/epub+zip")
        || PREFIXES.iter().any(|prefix| found.starts_with(prefix))
}

/// Whether a type of sound or film has no signature of its own: it says what is in a container, not which one it is.
fn is_other_media(claim: &str) -> bool {
    (claim.starts_with("audio/") || claim.starts_with("video/")) && !has_signature(claim)
}

/// Documents of nearly every program are zip archives today, and those of older ones often bear the older type.
fn may_be_zip(claim: &str) -> bool {
    claim == "application/zip" || is_other_application(claim)
}

/// Whether a type is a program's own, and not one that is known to be something else than that program's container.
fn is_other_application(claim: &str) -> bool {
    const OTHERS: [&str; 18] = [
        PROGRAM,
        "application/gzip",
        "application/vnd.rar",
        "application/rtf",
        "application/postscript",
        "application/json",
        "application/xml",
        "application/javascript",
        "application/ogg",
        "application/x-7z-compressed",
        "application/x-bzip2",
        "application/x-xz",
        "application/x-tar",
        "application/x-sh",
        "application/x-executable",
        "application/x-sharedlib",
        "application/x-mach-binary",
        "application/x-msi",
    ];
    claim.starts_with("application/") && !has_signature(claim) && !OTHERS.contains(&claim)
}

/// Types whose files all begin with a signature that [`signature`] knows.
fn has_signature(essence: &str) -> bool {
    matches!(
        essence,
        "image/jpeg"
            | "image/png"
            | "image/gif"
            | "image/webp"
            | "image/bmp"
            | "image/tiff"
            | "image/heif"
            | "image/heic"
            | "video/mp4"
            | "video/3gpp"
            | "video/quicktime"
            | "video/webm"
            | "audio/ogg"
            | "audio/3gpp"
            | "audio/amr"
            | "audio/mp4"
            | "audio/wav"
            | "application/pdf"
            | "application/zip"
            | VCARD
    )
}

/// What a reader can open without running anything.
fn is_passive(essence: &str) -> bool {
    essence == "application/pdf"
        || essence == VCARD
        || ["image/", "audio/", "video/"].iter().any(|kind| essence.starts_with(kind))
}

/// By the file's extension; nothing that its bytes would have shown.
fn guess(extension: Option<&str>) -> String {
    let guessed = extension.and_then(|extension| mime_guess::from_ext(extension).first_raw());
    let guessed = guessed.filter(|guessed| !has_signature(guessed) && essence(guessed).is_some());
    guessed.unwrap_or(OCTET_STREAM).to_owned()
}

/// A type that a single part can have. `multipart` can't be; of `message` only a whole message whose bytes can go as
/// they are (RFC 2046, 5.1 and 5.2).
fn enclosable(essence: String, bytes: &[u8]) -> String {
    let composite = essence.starts_with("multipart/") || essence.starts_with("message/");
    if is_tnef(&essence) {
        return OCTET_STREAM.to_owned();
    }
    if !composite || (essence == RFC822 && is_clean_message(bytes)) { essence } else { OCTET_STREAM.to_owned() }
}

/// Outlook's own envelope: Exchange unpacks a part of that type, or drops it.
fn is_tnef(essence: &str) -> bool {
    matches!(essence, "application/ms-tnef" | "application/vnd.ms-tnef")
}

/// Whether bytes are a message that can be enclosed without any encoding: it begins with a header field, all lines end
/// with CRLF and have at most 998 octets, all of them ASCII without NUL (RFC 5322, 2.1; RFC 2045, 2.7).
fn is_clean_message(bytes: &[u8]) -> bool {
    const LINE_OCTETS: usize = 998;
    let clean_line = |line: &[u8]| {
        line.len() <= LINE_OCTETS && line.iter().all(|&byte| byte.is_ascii() && !matches!(byte, 0 | b'\r'))
    };
    let Some(text) = bytes.strip_suffix(b"\r\n") else { return false };
    let first = text.split(|&byte| byte == b':').next().unwrap_or_default();
    let begins_with_field = !first.is_empty() && first.len() < text.len() && first.iter().all(u8::is_ascii_graphic);
    let mut lines = text.split(|&byte| byte == b'\n').peekable();
    let mut all_clean = true;
    while let Some(line) = lines.next() {
        let line = if lines.peek().is_some() { line.strip_suffix(b"\r") } else { Some(line) };
        all_clean &= line.is_some_and(clean_line);
    }
    begins_with_field && all_clean
}

/// The declared charset, else UTF-8 where the bytes are that.
fn charset(declared: Option<&str>, bytes: &[u8]) -> Option<String> {
    const MAX_NAME_LENGTH: usize = 40;
    let parameters = declared.unwrap_or_default().split(';').skip(1);
    let named = parameters.filter_map(|parameter| parameter.split_once('='));
    let named = named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let mut named = named.map(|(_, value)| value.trim().trim_matches('"').to_ascii_lowercase());
    let is_name = |name: &String| {
        let name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !name.is_empty() && name.len() <= MAX_NAME_LENGTH && name.bytes().all(name_byte)
    };
    named.find(is_name).or_else(|| std::str::from_utf8(bytes).is_ok().then(|| "utf-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\x00\x10JFIF\0";
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const EXE: &[u8] = b"MZ\x90\0\x03\0\0\0";

    fn type_of(declared: &str, bytes: &[u8]) -> (String, bool) {
        let found = check(Some(declared), None, bytes);
        (found.header_value(), found.note.is_some())
    }

    #[test]
    fn a_declaration_that_the_bytes_bear_out_is_kept() {
        for (declared, bytes, kept) in [
            ("image/jpeg", JPEG, "image/jpeg"),
            ("IMAGE/JPG; name=x", JPEG, "image/jpeg"),
            ("audio/ogg; codecs=opus", b"OggS\0\x02".as_slice(), "audio/ogg"),
            ("audio/amr", b"#!AMR\n\x3c", "audio/amr"),
            ("video/3gpp", b"\0\0\0\x18ftyp3gp5", "video/3gpp"),
            ("text/x-vcard", b"BEGIN:VCARD\r\n", "text/vcard; charset=utf-8"),
            ("text/plain; charset=\"windows-1252\"", b"caf\xe9", "text/plain; charset=windows-1252"),
            ("text/plain", b"BM is short for\n", "text/plain; charset=utf-8"),
            (
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                b"PK\x03\x04",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ),
        ] {
            assert_eq!(type_of(declared, bytes), (kept.to_owned(), false), "{declared}");
        }
    }

    #[test]
    fn a_false_label_is_reported_and_not_kept() {
        assert_eq!(type_of("image/jpeg", PNG), ("image/png".to_owned(), true));
        assert_eq!(type_of("image/jpeg", EXE), (OCTET_STREAM.to_owned(), true));
        assert_eq!(type_of("application/pdf", b"no pdf"), (OCTET_STREAM.to_owned(), true));
    }

    #[test]
    fn other_names_and_containers_are_no_contradictions() {
        const OOXML: &[u8] = b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0\0\0\0\0\0\0\0\0\0\0\0\0\x0b\0\0\0word/a.xml+";
        const ZIP: &[u8] = b"PK\x03\x04\x14\0";
        const AVI: &[u8] = b"RIFF\0\0\0\0AVI LIST";
        for (declared, bytes, kept) in [
            ("application/vnd.ms-excel.sheet.macroEnabled.12", OOXML, "application/vnd.ms-excel.sheet.macroenabled.12"),
            (
                "application/vnd.openxmlformats-officedocument.wordprocessingml.template",
                OOXML,
                "application/vnd.openxmlformats-officedocument.wordprocessingml.template",
            ),
            ("application/zip", OOXML, "application/zip"),
            ("application/vnd.android.package-archive", ZIP, "application/vnd.android.package-archive"),
            ("application/x-gzip", b"\x1f\x8b\x08", "application/gzip"),
            ("application/x-rar-compressed", b"Rar!\x1a\x07\0", "application/vnd.rar"),
            ("text/rtf", b"{\\rtf1", "application/rtf"),
            ("audio/flac", b"fLaC\0", "audio/flac"),
            ("video/avi", AVI, "video/x-msvideo"),
            ("image/x-icon", b"\0\0\x01\0", "image/vnd.microsoft.icon"),
            ("text/csv", b"BM;Gr\xf6\xdfe\r\n1;2\r\n", "text/csv"),
            ("audio/3gpp", b"\0\0\0\x18ftyp3gp5", "audio/3gpp"),
            ("application/x-msdownload", EXE, PROGRAM),
            ("audio/x-m4b", b"\0\0\0\x10ftypM4B \0\0\0\0", "audio/mp4"),
            ("video/hevc", b"\0\0\0\x10ftypisom\0\0\0\0", "video/hevc"),
            ("audio/vorbis", b"OggS\0\x02", "audio/vorbis"),
            ("application/vnd.visio", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "application/vnd.visio"),
            ("font/ttf", b"\0\x01\0\0\0", "font/ttf"),
            ("application/pgp-signature", b"-----BEGIN PGP SIGNATURE", "application/pgp-signature"),
            ("binary/octet-stream", PNG, "image/png"),
        ] {
            assert_eq!(type_of(declared, bytes), (kept.to_owned(), false), "{declared}");
        }
        assert_eq!(type_of("application/x-msdownload", ZIP), (OCTET_STREAM.to_owned(), true));
        assert_eq!(type_of("application/pdf", ZIP), (OCTET_STREAM.to_owned(), true));
        assert_eq!(type_of("text/csv", b"BM\0\0"), ("image/bmp".to_owned(), true));
    }

    #[test]
    fn what_is_no_type_is_not_written() {
        for declared in ["", "x", "a/b\r\nBcc: x", "text/", "/plain", "a b/c", "multipart/mixed", "message/partial"] {
            assert_eq!(type_of(declared, b"hello"), (OCTET_STREAM.to_owned(), false), "{declared:?}");
        }
        assert_eq!(check(None, Some("txt"), b"hello").essence, "text/plain");
        assert_eq!(check(None, None, PNG).essence, "image/png");
        assert_eq!(check(None, None, EXE).essence, OCTET_STREAM);
    }

    #[test]
    fn only_a_message_that_needs_no_encoding_is_enclosed_as_one() {
        let clean = b"From: a@b.example\r\nSubject: x\r\n\r\nHello\r\n";
        assert_eq!(type_of(RFC822, clean), (RFC822.to_owned(), false));
        let long = [b"A: ".as_slice(), &[b'x'; 999], b"\r\n"].concat();
        for dirty in [b"A: b\n\nc\n".as_slice(), b"A: \xe9\r\n", b"A: \0\r\n", b"A: b\rc\r\n", b"no header\r\n", &long]
        {
            assert_eq!(type_of(RFC822, dirty), (OCTET_STREAM.to_owned(), false), "{dirty:?}");
        }
    }
}
