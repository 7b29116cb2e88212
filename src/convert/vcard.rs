//! The fields of a contact card (vCard 2.1, 3.0, 4.0; RFC 6350), for the reader.
//!
//! Reads what a person would look for and passes over what is binary; the card itself is attached whole. A card that
//! breaks the rules gives the fields that can be read. A value is read in the charset that its property names; where it names
//! none, as UTF-8, else in that of the file's type, else as Windows-1252. Bounded in bytes (pictures aside), fields and the length of each; what is left out is
//! said.

use std::borrow::Cow;

use base64::Engine as _;

use self::charset::decoded;
pub(super) use self::charset::without_byte_order_mark;
use super::people::display_text;

mod charset;

/// The most that is read of a file, pictures, sounds and keys not counted.
const MAX_CARD_BYTES: usize = 256 * 1024;
const MAX_FIELDS: usize = 200;
const MAX_VALUE_CHARACTERS: usize = 1000;

/// The fields of the cards in `bytes`, each with a label, in the order of the file; cards one after the other. `charset` is that of
/// the file's type, where it has one.
pub(super) fn fields(bytes: &[u8], charset: Option<&str>) -> Vec<(Cow<'static, str>, String)> {
    let bytes = without_byte_order_mark(bytes);
    let (lines, mut is_cut) = unfolded(&bytes);
    let cards = lines.split(|line| line.trim_ascii().eq_ignore_ascii_case(b"END:VCARD"));
    let mut fields: Vec<_> = cards.flat_map(|lines| fields_of_card(lines, charset)).take(MAX_FIELDS + 1).collect();
    is_cut |= fields.len() > MAX_FIELDS;
    fields.truncate(MAX_FIELDS);
    if is_cut {
        fields.push(("Not shown".into(), "more of the card, which is attached whole".to_owned()));
    }
    fields
}

/// The structured name is shown only where there is no full name.
fn fields_of_card(
    lines: &[Vec<u8>],
    charset: Option<&str>,
) -> impl Iterator<Item = (Cow<'static, str>, String)> + use<> {
    let properties: Vec<Property> = lines.iter().filter_map(|line| Property::read(line, charset)).collect();
    let is_full_name = |property: &Property| property.name == "FN" && !property.value.trim().is_empty();
    let has_full_name = properties.iter().any(is_full_name);
    let shown = properties.into_iter().filter(move |property| !(has_full_name && property.name == "N"));
    shown.filter_map(|property| property.field())
}

/// One logical line per property: folded lines (RFC 6350, 3.2) and soft line breaks of quoted-printable (vCard 2.1) joined,
/// without what is binary. Also whether something was left out.
fn unfolded(bytes: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut left = MAX_CARD_BYTES;
    let mut is_binary = false;
    // Old programs end lines with CR alone.
    let end = if bytes.contains(&b'\n') { b'\n' } else { b'\r' };
    for line in bytes.split(|&byte| byte == end) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_folded = line.starts_with(b" ") || line.starts_with(b"\t");
        // Some programs write base64 without folding it.
        if is_binary && (is_folded || !line.contains(&b':')) {
            continue;
        }
        is_binary = begins_binary(line);
        if is_binary {
            continue;
        }
        let Some(rest) = left.checked_sub(line.len() + 1) else { return (lines, true) };
        left = rest;
        match lines.last_mut() {
            Some(last) if is_folded => last.extend(line.get(1..).unwrap_or_default()),
            Some(last) if last.ends_with(b"=") && is_quoted_printable(last) => {
                last.pop();
                last.extend(line);
            }
            _ if line.is_empty() => {}
            _ => lines.push(line.to_vec()),
        }
    }
    (lines, false)
}

/// Whether a line begins a picture, a sound or a key.
fn begins_binary(line: &[u8]) -> bool {
    let end = line.iter().position(|byte| b":;".contains(byte)).unwrap_or(line.len());
    let name = line.get(..end).unwrap_or_default().rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    let is_known = [b"PHOTO".as_slice(), b"LOGO", b"SOUND", b"KEY"].iter().any(|it| it.eq_ignore_ascii_case(name));
    let is_own = name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"X-"));
    is_known || is_own && has_parameter(line, &[b"BASE64", b"ENCODING=B"])
}

/// Whether a property has one of these parameters, in upper case, or one that begins so.
fn has_parameter(line: &[u8], parameters: &[&[u8]]) -> bool {
    const MAX_PARAMETER_BYTES: usize = 512;
    let colon = line.iter().take(MAX_PARAMETER_BYTES).position(|&byte| byte == b':');
    let head = colon.and_then(|colon| line.get(..colon)).unwrap_or_default().to_ascii_uppercase();
    let mut given = head.split(|&byte| byte == b';').skip(1);
    given.any(|given| parameters.iter().any(|parameter| given.starts_with(parameter)))
}

fn is_quoted_printable(line: &[u8]) -> bool {
    has_parameter(line, &[b"QUOTED-PRINTABLE", b"ENCODING=QUOTED-PRINTABLE"])
}

/// `[group.]NAME[;parameter…]:value`
struct Property {
    name: String,
    parameters: Vec<String>,
    value: String,
}

impl Property {
    fn read(line: &[u8], of_file: Option<&str>) -> Option<Self> {
        let mut quoted = false;
        let colon = line.iter().position(|&byte| {
            quoted ^= byte == b'"';
            byte == b':' && !quoted
        })?;
        let (head, value) = line.split_at_checked(colon)?;
        let head = decoded(head, None, of_file);
        let value = value.strip_prefix(b":")?;
        let mut parts = head.split(';');
        let name = parts.next()?.rsplit('.').next()?.trim().to_ascii_uppercase();
        let parameters: Vec<String> = parts.map(str::to_owned).collect();
        let named = parameters.iter().filter_map(|parameter| parameter.split_once('='));
        let charset =
            named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("CHARSET")).map(|(_, value)| value).next();
        let value = if is_quoted_printable(line) {
            decoded(&quoted_printable(value), charset, of_file).replace("\r\n", ", ").replace('\n', ", ")
        } else if has_parameter(line, &[b"BASE64", b"ENCODING=B"])
            && let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(value.trim_ascii())
        {
            decoded(&bytes, charset, of_file)
        } else {
            decoded(value, charset, of_file)
        };
        Some(Self { name, parameters, value })
    }

    /// Label and value; `None` for what is no concern of a reader.
    fn field(&self) -> Option<(Cow<'static, str>, String)> {
        let label: Cow<'static, str> = match self.name.as_str() {
            "BEGIN" | "END" | "VERSION" | "PRODID" | "REV" | "UID" | "X-ABLABEL" | "SORT-STRING" | "" | "PHOTO"
            | "LOGO" | "SOUND" | "KEY" => return None,
            "FN" | "N" => "Name".into(),
            "NICKNAME" => "Nickname".into(),
            "ORG" => "Organisation".into(),
            "TITLE" => "Title".into(),
            "ROLE" => "Role".into(),
            "TEL" => self.qualified("Telephone"),
            "EMAIL" => self.qualified("E-mail"),
            "ADR" => self.qualified("Address"),
            "URL" => "Web".into(),
            "BDAY" => "Birthday".into(),
            "NOTE" => "Note".into(),
            "X-WA-BIZ-NAME" => "WhatsApp business name".into(),
            "X-WA-BIZ-DESCRIPTION" => "WhatsApp business description".into(),
            other => display_text(other, 40).into(),
        };
        let value = match self.name.as_str() {
            "N" | "ADR" | "ORG" => structured(&self.value),
            "TEL" => unescaped(self.value.trim_start_matches("tel:")),
            _ => unescaped(&self.value),
        };
        let value = display_text(&value, MAX_VALUE_CHARACTERS);
        (!value.is_empty()).then_some((label, value))
    }

    /// The label with the property's types, and the WhatsApp number that WhatsApp writes beside a telephone number.
    fn qualified(&self, label: &str) -> Cow<'static, str> {
        let mut qualities: Vec<String> = Vec::new();
        for parameter in &self.parameters {
            let (name, value) = parameter.split_once('=').unwrap_or(("TYPE", parameter));
            match name.trim().to_ascii_uppercase().as_str() {
                "TYPE" => {
                    let types = value.trim_matches('"').split(',').map(|one| one.trim().to_ascii_lowercase());
                    qualities.extend(types.filter(|one| !matches!(one.as_str(), "" | "pref" | "voice" | "internet")));
                }
                "WAID" => qualities.push(format!("WhatsApp {value}")),
                _ => {}
            }
        }
        qualities.dedup();
        if qualities.is_empty() {
            return label.to_owned().into();
        }
        display_text(&format!("{label} ({})", qualities.join(", ")), 80).into()
    }
}

/// The filled components of a structured value, family name before given name as they stand.
fn structured(value: &str) -> String {
    let mut components = vec![String::new()];
    let mut escaped = false;
    for character in value.chars() {
        if character == ';' && !escaped {
            components.push(String::new());
        } else if let Some(last) = components.last_mut() {
            last.push(character);
        }
        escaped = character == '\\' && !escaped;
    }
    let filled =
        components.iter().map(|component| unescaped(component)).filter(|component| !component.trim().is_empty());
    filled.collect::<Vec<_>>().join(", ")
}

/// RFC 6350, 3.4; a line end within a value becomes a comma.
fn unescaped(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n' | 'N') => plain.push_str(", "),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            other => plain.push(other),
        }
    }
    plain
}

/// RFC 2045, 6.7; what isn't an escape stays.
fn quoted_printable(value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, tail)) = rest.split_first() {
        let escape = (byte == b'=').then(|| tail.get(..2)).flatten();
        let decoded = escape.and_then(|digits| hex::decode(digits).ok());
        if let Some(decoded) = decoded {
            bytes.extend(decoded);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(card: &str) -> Vec<String> {
        fields(card.as_bytes(), None).into_iter().map(|(label, value)| format!("{label}: {value}")).collect()
    }

    #[test]
    fn a_card_as_whatsapp_writes_it() {
        let card = "BEGIN:VCARD\nVERSION:3.0\nN:Ode;Ben;;;\nFN:Ben Ode\nORG:Contoso;Sales\n\
                    item1.TEL;waid=15550101:+1 555-0101\nitem1.X-ABLabel:Mobile\n\
                    EMAIL;type=INTERNET;type=WORK:ben@contoso.example\nPHOTO;ENCODING=b:AAAA\nEND:VCARD\n";
        assert_eq!(
            read(card),
            [
                "Name: Ben Ode",
                "Organisation: Contoso, Sales",
                "Telephone (WhatsApp 15550101): +1 555-0101",
                "E-mail (work): ben@contoso.example"
            ]
        );
    }

    #[test]
    fn folds_escapes_and_quoted_printable_are_undone() {
        let card = "BEGIN:VCARD\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=\r\n=BCller;J=C3=B6rg\r\n\
                    NOTE:one\\, two\\nth\r\n ree\r\nADR;TYPE=home:;;1 Main St\\; rear;Bern;;;CH\r\nEND:VCARD";
        assert_eq!(
            read(card),
            ["Name: Müller, Jörg", "Note: one, two, three", "Address (home): 1 Main St; rear, Bern, CH"]
        );
    }

    #[test]
    fn charsets_and_byte_order_marks_are_read() {
        let read = |card: &[u8]| {
            fields(card, None).into_iter().map(|(label, value)| format!("{label}: {value}")).collect::<Vec<_>>()
        };
        let named = b"BEGIN:VCARD\r\nFN;CHARSET=KOI8-R;ENCODING=QUOTED-PRINTABLE:=E9=D7=C1=CE\r\nEND:VCARD\r\n";
        assert_eq!(read(named), ["Name: Иван"]);
        assert_eq!(read(b"FN;CHARSET=\"EUC-JP\":\xbb\xb3\xc5\xc4\n"), ["Name: 山田"]);
        assert_eq!(read(b"FN;CHARSET=UTF-8:J\xf6rg\n"), ["Name: Jörg"], "not what it says: Windows-1252");
        assert_eq!(read(b"FN:Zo\xeb \x80\n"), ["Name: Zoë €"]);
        let card = "BEGIN:VCARD\r\nFN:Łucja\r\nEND:VCARD\r\n";
        let little: Vec<u8> = "\u{feff}".encode_utf16().chain(card.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "\u{feff}".encode_utf16().chain(card.encode_utf16()).flat_map(u16::to_be_bytes).collect();
        for bytes in [format!("\u{feff}{card}").into_bytes(), little, big] {
            assert_eq!(read(&bytes), ["Name: Łucja"]);
        }
    }

    #[test]
    fn other_line_ends_encodings_and_empty_names_are_read() {
        assert_eq!(read("BEGIN:VCARD\rFN:Mac\rTEL:1234567\rEND:VCARD\r"), ["Name: Mac", "Telephone: 1234567"]);
        assert_eq!(read("FN;CHARSET=UTF-8;ENCODING=B:SsO2cmc=\nNOTE;BASE64:aMOk\n"), ["Name: Jörg", "Note: hä"]);
        assert_eq!(read("FN:\nN:Ode;Ben;;;\n"), ["Name: Ode, Ben"]);
        let own = format!("X-PHOTO;ENCODING=b:{}\nFN:Ben\n", "A".repeat(MAX_CARD_BYTES));
        assert_eq!(read(&own), ["Name: Ben"]);
    }

    #[test]
    fn pictures_do_not_count() {
        let picture = format!("PHOTO;ENCODING=b:{}\n {}\n", "A".repeat(MAX_CARD_BYTES), "B".repeat(MAX_CARD_BYTES));
        assert_eq!(read(&format!("BEGIN:VCARD\n{picture}TEL:+15550101\nEND:VCARD")), ["Telephone: +15550101"]);
        let unfolded = format!("PHOTO;BASE64:\n{}", format!("{}\n", "A".repeat(76)).repeat(5000));
        assert_eq!(read(&format!("{unfolded}item1.TEL:+15550102\n")), ["Telephone: +15550102"]);
        let long = format!("NOTE:{}\nTEL:1234567\n", "x".repeat(MAX_CARD_BYTES));
        assert_eq!(read(&long), ["Not shown: more of the card, which is attached whole"]);
    }

    #[test]
    fn hostile_cards_are_bounded() {
        let many = format!("BEGIN:VCARD\n{}", "TEL:1\n".repeat(5000));
        assert_eq!(read(&many).len(), MAX_FIELDS + 1);
        assert_eq!(read(&many).last().unwrap(), "Not shown: more of the card, which is attached whole");
        assert_eq!(
            read(&format!("NOTE:{}", "x".repeat(9000))).first().unwrap().chars().count(),
            MAX_VALUE_CHARACTERS + 6
        );
        let (lines, is_cut) = unfolded(format!("BEGIN:VCARD\n{}", "\n".repeat(2 * MAX_CARD_BYTES)).as_bytes());
        assert!(lines.len() == 1 && is_cut, "empty lines take no memory, and are not read without end");
        for broken in ["", ":", ";;;:", "FN", "FN:\u{202e}", "="] {
            assert!(read(broken).is_empty(), "{broken:?}");
        }
    }
}
