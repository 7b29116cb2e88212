//! A [`Mail`] as MIME (RFC 5322, RFC 2045–2047, RFC 2231): CRLF throughout, ASCII headers, lines within the limits.
//!
//! Written by `mail-builder`; what it leaves open is decided here. Everything that would be random or read from a clock
//! is given (Message-ID, Date, boundaries), text reaches it with the line ends that MIME wants, and attachments go as
//! base64 straight into the output whatever their type, so that no byte of them depends on what a mail server does to
//! text. It does not repair hostile values: the fields of a [`Mail`] are clean when it is made.

use std::borrow::Cow;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use mail_builder::IoWriter;
use mail_builder::MessageBuilder;
use mail_builder::headers::HeaderType;
use mail_builder::headers::address::Address as MailboxHeader;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::date::Date;
use mail_builder::headers::message_id::MessageId as IdHeader;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;
use mail_builder::mime::{BodyPart, MimePart};

use super::mail::{Address, Mail, MailAttachment};
use super::media_type::RFC822;
use crate::identity::MessageId;

/// The MIME form of a mail. The same mail gives the same bytes.
pub(super) fn write(mail: &Mail) -> Bytes {
    let mut output = Vec::new();
    builder(mail).serialize(&mut output);
    Bytes::from(output)
}

/// Writes the MIME form piece by piece, so that it is nowhere whole.
pub(super) fn write_to(mail: &Mail, output: impl io::Write) -> io::Result<()> {
    const PIECE: usize = 64 * 1024;
    let mut output = IoWriter::with_capacity(PIECE, output);
    builder(mail).serialize(&mut output);
    output.finish().map(|_| ())
}

fn builder(mail: &Mail) -> MessageBuilder<'_> {
    let mut builder = MessageBuilder::new()
        .from(mailbox(&mail.from))
        .to(recipients(&mail.to))
        .header("Subject", unstructured(mail.subject.as_str()))
        .date(Date::new(mail.date.timestamp()))
        .message_id(mail.message_id.as_str());
    if let Some(original) = &mail.in_reply_to {
        builder = builder.in_reply_to(original.as_str());
    }
    if !mail.references.is_empty() {
        builder = builder.references(IdHeader::new_list(mail.references.iter().map(MessageId::as_str)));
    }
    builder = builder.header("Thread-Topic", unstructured(mail.thread_topic.as_str()));
    for (name, value) in &mail.extra_headers {
        builder = builder.header(*name, unstructured(value.as_str()));
    }
    builder.body(body(mail))
}

fn mailbox(address: &Address) -> MailboxHeader<'_> {
    MailboxHeader::new_address(address.name.as_deref(), address.address.as_str())
}

/// The recipients, or the empty group that stands for none (RFC 5322, 3.4 and A.1.3).
fn recipients(to: &[Address]) -> MailboxHeader<'_> {
    if to.is_empty() {
        return MailboxHeader::new_group(Some("undisclosed-recipients"), Vec::new());
    }
    MailboxHeader::new_list(to.iter().map(mailbox).collect())
}

/// An unstructured header. ASCII text that looks like an encoded word would be decoded by its readers, so it is encoded
/// itself.
pub(crate) fn unstructured<'x>(text: impl Into<Cow<'x, str>>) -> HeaderType<'x> {
    let text = text.into();
    if text.contains("=?") && text.is_ascii() { Raw::new(encoded_words(&text)).into() } else { Text::new(text).into() }
}

/// ASCII text as encoded words (RFC 2047) of at most 75 characters, separated by spaces to fold at.
fn encoded_words(ascii: &str) -> String {
    const BYTES_OF_A_WORD: usize = 45;
    let words = ascii.as_bytes().chunks(BYTES_OF_A_WORD);
    words.map(|word| format!("=?us-ascii?B?{}?=", BASE64.encode(word))).collect::<Vec<_>>().join(" ")
}

/// `mixed` around `related` around `alternative`, each only where there is something to put in it.
fn body(mail: &Mail) -> MimePart<'_> {
    let boundary = Boundary::of(mail);
    let texts = vec![text("plain", &mail.text), text("html", &mail.html)];
    let mut whole = multipart("alternative", &boundary, texts);
    let (inline, attached): (Vec<_>, Vec<_>) = mail.attachments.iter().partition(|file| file.content_id.is_some());
    if !inline.is_empty() {
        let parts = std::iter::once(whole).chain(inline.into_iter().map(file)).collect();
        whole = multipart("related", &boundary, parts);
    }
    if !attached.is_empty() {
        let parts = std::iter::once(whole).chain(attached.into_iter().map(file)).collect();
        whole = multipart("mixed", &boundary, parts);
    }
    whole
}

fn multipart<'x>(subtype: &str, boundary: &Boundary, parts: Vec<MimePart<'x>>) -> MimePart<'x> {
    let mut content_type =
        ContentType::new(format!("multipart/{subtype}")).attribute("boundary", boundary.for_level(subtype));
    if subtype == "related" {
        content_type = content_type.attribute("type", "multipart/alternative");
    }
    MimePart::new(content_type, BodyPart::Multipart(parts))
}

/// A file. Its type is written as a raw header, which makes `mail-builder` take base64 for every type; it would write
/// clean-looking `text` as it is, NUL and lone CR included. `message/rfc822` alone may not be base64 (RFC 2046, 5.2.1);
/// [`media_type`](super::media_type) gives that type only to bytes that can go as they are.
fn file(file: &MailAttachment) -> MimePart<'_> {
    let disposition = if file.content_id.is_some() { "inline" } else { "attachment" };
    let mut part = MimePart::raw(BodyPart::Binary(Cow::Borrowed(&file.bytes)))
        .header("Content-Type", Raw::new(format!("{}; name=\"{}\"", file.content_type, name_parameter(&file.name))))
        .header("Content-Disposition", ContentType::new(disposition).attribute("filename", file.name.as_str()));
    if let Some(content_id) = &file.content_id {
        part = part.cid(content_id.as_str());
    }
    if file.content_type == RFC822 {
        part = part.transfer_encoding("7bit");
    }
    part
}

/// A file's name for the parameter `name`, which Outlook and Exchange read where they pass over the continuations of `filename`
/// (RFC 2231). What isn't ASCII, or looks encoded, stands in encoded words, which those programs expect there. A safe name
/// holds neither a quotation mark nor a backslash.
fn name_parameter(name: &str) -> Cow<'_, str> {
    const BYTES_OF_A_WORD: usize = 45;
    if name.is_ascii() && !name.contains("=?") {
        return Cow::Borrowed(name);
    }
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for character in name.chars() {
        if word.len() + character.len_utf8() > BYTES_OF_A_WORD {
            words.push(std::mem::take(&mut word));
        }
        word.push(character);
    }
    words.push(word);
    words.iter().map(|word| format!("=?utf-8?B?{}?=", BASE64.encode(word))).collect::<Vec<_>>().join(" ").into()
}

/// A text: as it is where any mail system carries it so, which is shorter by its encoding's header and marks; else encoded. ASCII
/// is what a text is in that names no character set (RFC 2046, 4.1.2).
fn text<'x>(subtype: &str, text: &'x str) -> MimePart<'x> {
    if !goes_as_it_is(text) {
        return MimePart::new(ContentType::new(format!("text/{subtype}")), BodyPart::Text(crlf(text)));
    }
    // A part without headers is written as it is, so its own stand in its content.
    let head = format!("Content-Type: text/{subtype}\r\n\r\n");
    MimePart::raw(BodyPart::Text(Cow::Owned(head + &text.replace('\n', "\r\n"))))
}

/// Whether a text may be written without an encoding (RFC 2045, 2.7): ASCII in lines within the limit, with nothing in it that
/// some mail system changes, which are blanks at the end of a line and `From ` at its begin.
fn goes_as_it_is(text: &str) -> bool {
    const MAX_LINE: usize = 990;
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~' | b'\n');
    let is_kept = |line: &str| line.len() <= MAX_LINE && !line.ends_with(' ') && !line.starts_with("From ");
    text.bytes().all(is_plain) && text.split('\n').all(is_kept)
}

/// The text so that it goes out with the line ends of MIME's canonical form (RFC 2046, 4.1.1). `mail-builder` writes CRLF
/// itself but in base64, which it takes where quoted-printable would be longer: never for text that is nearly all
/// printable ASCII. Most text is, and is not copied.
fn crlf(text: &str) -> Cow<'_, str> {
    const RARE: usize = 12;
    if count_to_escape(text) * RARE < text.len() { Cow::Borrowed(text) } else { Cow::Owned(text.replace('\n', "\r\n")) }
}

/// How many bytes quoted-printable would escape, line ends among them. Counted in pieces whose count fits into a byte, which
/// the compiler makes vector instructions of: several times as fast as one count of the whole.
fn count_to_escape(text: &str) -> usize {
    const PIECE: usize = u8::MAX as usize;
    let is_escaped = |byte: u8| !matches!(byte, b' '..=b'~') || byte == b'=';
    let count = |piece: &[u8]| piece.iter().fold(0_u8, |count, &byte| count + u8::from(is_escaped(byte)));
    text.as_bytes().chunks(PIECE).map(|piece| usize::from(count(piece))).sum()
}

/// The boundaries' common stem, which is in no part that goes unencoded.
struct Boundary(String);

impl Boundary {
    /// `=_` is in neither quoted-printable nor base64 (RFC 2045, 6.7); only unencoded text can hold it. A line of such text
    /// that looks like a boundary of ours gets a stem that it doesn't hold, made of the message's digest: nobody can write a
    /// text for which the search goes on and on.
    fn of(mail: &Mail) -> Self {
        const MARK: &str = "\n--=_";
        let mut stem = "=_".to_owned();
        let enclosed = mail.attachments.iter().filter(|file| file.content_type == RFC822);
        let unencoded: Vec<&str> = [mail.text.as_str(), mail.html.as_str()]
            .into_iter()
            .chain(enclosed.filter_map(|file| std::str::from_utf8(&file.bytes).ok()))
            .filter(|text| text.contains(MARK) || text.starts_with("--=_"))
            .collect();
        let local = mail.message_id.local_part();
        let mut number = 0_u32;
        while unencoded.iter().any(|text| text.contains(&stem)) {
            number += 1;
            stem = format!("=_{local}.{number}");
        }
        Self(stem)
    }

    /// The boundary of one `multipart`: none is the beginning of another.
    fn for_level(&self, subtype: &str) -> String {
        let level: String = subtype.chars().take(1).collect();
        format!("{}{level}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts on both sides of every choice that `crlf` and `mail-builder` make.
    #[test]
    fn every_transfer_encoding_has_canonical_line_ends() {
        for unit in ["=", "\u{e4}", "\u{65e5}", " ", "x", "= ", "a "] {
            for others in 0..40 {
                let text = format!("{unit}{}\n", "a".repeat(others)).repeat(30);
                let mut output = Vec::new();
                MimePart::new("text/plain", BodyPart::Text(crlf(&text))).write_part(&mut output);
                let part = mail_parser::MessageParser::new().parse(&output).unwrap();
                assert!(output.windows(2).all(|pair| pair[1] != b'\n' || pair[0] == b'\r'), "{text}");
                assert_eq!(
                    part.parts[0].contents(),
                    text.replace('\n', "\r\n").as_bytes(),
                    "{}",
                    String::from_utf8_lossy(&output)
                );
            }
        }
    }

    fn mail(text: &str, enclosed: &'static [u8]) -> Mail {
        let message_id = crate::identity::Identity(crate::digest::Digest::of(b"x")).message_id();
        let someone = Address { name: None, address: "ana@contoso.example".to_owned() };
        Mail {
            message_id,
            in_reply_to: None,
            references: Vec::new(),
            date: chrono::DateTime::UNIX_EPOCH,
            from: someone.clone(),
            to: vec![someone],
            subject: "x".to_owned(),
            thread_topic: "x".to_owned(),
            extra_headers: Vec::new(),
            text: text.to_owned(),
            html: "<p>x</p>".to_owned(),
            attachments: vec![MailAttachment {
                name: "a.eml".to_owned(),
                content_type: RFC822.to_owned(),
                bytes: Bytes::from_static(enclosed),
                digest: crate::digest::Digest::of(enclosed),
                content_id: None,
            }],
        }
    }

    #[test]
    fn no_text_can_end_its_own_part() {
        let plain = write(&mail("x", b"A: b\r\n\r\nc\r\n"));
        let plain = String::from_utf8_lossy(&plain).into_owned();
        let (_, from_boundary) = plain.split_once("boundary=\"").unwrap();
        let (boundary, _) = from_boundary.split_once('"').unwrap();
        assert_eq!(boundary, "=_m");
        let mut mail = mail("x", b"A: b\r\n\r\nc\r\n");
        let local = mail.message_id.local_part().to_owned();
        let forged = format!("x\n--=_m--\n--=_a--\n--=_{local}.1m--\n");
        let enclosed: &'static [u8] = format!("A: b\r\n\r\n--=_{local}.2m--\r\n").into_bytes().leak();
        forged.clone_into(&mut mail.text);
        mail.attachments[0].bytes = Bytes::from_static(enclosed);
        let written = write(&mail);
        let parsed = mail_parser::MessageParser::new().parse(&written[..]).unwrap();
        assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n").trim_end(), forged.trim_end());
        assert_eq!(parsed.attachments().count(), 1);
        assert!(written.windows(enclosed.len()).any(|window| window == enclosed), "enclosed as it is");
        assert!(String::from_utf8_lossy(&written).contains(&format!("boundary=\"=_{local}.3m\"")));
    }

    #[test]
    fn every_file_has_its_name_beside_its_type() {
        assert_eq!(name_parameter("board pack.pdf"), "board pack.pdf");
        for name in
            ["报告第三季度.pdf", "=?x?=.txt", "Überweisung Nr. 4711 für Müller & Söhne (Entwurf, bitte prüfen).pdf"]
        {
            let parameter = name_parameter(name);
            let words = parameter.split(' ').map(|word| {
                assert!(word.len() <= 75, "{word}");
                let base64 = word.strip_prefix("=?utf-8?B?").and_then(|rest| rest.strip_suffix("?=")).unwrap();
                String::from_utf8(BASE64.decode(base64).unwrap()).unwrap()
            });
            assert_eq!(words.collect::<String>(), name);
        }
        let written = String::from_utf8(write(&mail("x", b"A: b\r\n\r\nc\r\n")).to_vec()).unwrap();
        assert!(written.contains("Content-Type: message/rfc822; name=\"a.eml\"\r\n"), "{written}");
    }

    #[test]
    fn nobody_is_an_empty_group() {
        let written = write(&Mail { to: Vec::new(), ..mail("x", b"A: b\r\n") });
        assert!(String::from_utf8_lossy(&written).contains("\r\nTo: \"undisclosed-recipients\":;\r\n"));
    }

    #[test]
    fn what_looks_encoded_is_encoded() {
        let long = "=?utf-8?Q?x?= ".repeat(20);
        let HeaderType::Raw(raw) = unstructured(long.as_str()) else { panic!("not encoded") };
        assert!(raw.raw.split(' ').all(|word| word.len() <= 75 && word.starts_with("=?us-ascii?B?")));
        assert!(matches!(unstructured("plain"), HeaderType::Text(_)));
    }
}
