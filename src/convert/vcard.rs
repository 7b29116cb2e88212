//! The fields of a contact card (vCard 2.1, 3.0, 4.0; RFC 6350), for the reader.
//!
//! Reads what a person would look for and passes over what is binary; the card itself is attached whole. A card that
//! breaks the rules gives the fields that can be read. Bounded in bytes, fields and the length of each.

use std::borrow::Cow;

use super::people::display_text;

const CARD_BYTES: usize = 256 * 1024;
const FIELDS: usize = 200;
const VALUE_CHARACTERS: usize = 1000;

/// The fields of the cards in `bytes`, each with a label, in the order of the file; cards one after the other.
pub(super) fn fields(bytes: &[u8]) -> Vec<(Cow<'static, str>, String)> {
    let text = String::from_utf8_lossy(bytes.get(..CARD_BYTES).unwrap_or(bytes));
    let lines = unfolded(&text);
    let cards = lines.split(|line| line.trim().eq_ignore_ascii_case("END:VCARD"));
    cards.flat_map(fields_of_card).take(FIELDS).collect()
}

/// The structured name is shown only where there is no full name.
fn fields_of_card(lines: &[String]) -> impl Iterator<Item = (Cow<'static, str>, String)> {
    let properties: Vec<Property<'_>> = lines.iter().filter_map(|line| Property::read(line)).collect();
    let has_full_name = properties.iter().any(|property| property.name == "FN");
    let shown = properties.into_iter().filter(move |property| !(has_full_name && property.name == "N"));
    shown.filter_map(|property| property.field())
}

/// One logical line per property: folded lines (RFC 6350, 3.2) and soft line breaks of quoted-printable (vCard 2.1) joined.
fn unfolded(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match lines.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => last.push_str(line.get(1..).unwrap_or_default()),
            Some(last) if last.ends_with('=') && is_quoted_printable(last) => {
                last.pop();
                last.push_str(line);
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

fn is_quoted_printable(line: &str) -> bool {
    const PARAMETER_BYTES: usize = 512;
    let colon = line.bytes().take(PARAMETER_BYTES).position(|byte| byte == b':');
    let parameters = colon.and_then(|colon| line.get(..colon)).unwrap_or_default();
    parameters.to_ascii_uppercase().contains("QUOTED-PRINTABLE")
}

/// `[group.]NAME[;parameter…]:value`
struct Property<'a> {
    name: String,
    parameters: Vec<&'a str>,
    value: Cow<'a, str>,
}

impl<'a> Property<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let mut quoted = false;
        let colon = line.find(|character| {
            quoted ^= character == '"';
            character == ':' && !quoted
        })?;
        let (head, value) = line.split_at_checked(colon)?;
        let value = value.strip_prefix(':')?;
        let mut parts = head.split(';');
        let name = parts.next()?.rsplit('.').next()?.trim().to_ascii_uppercase();
        let value = if is_quoted_printable(line) { Cow::Owned(quoted_printable(value)) } else { Cow::Borrowed(value) };
        Some(Self { name, parameters: parts.collect(), value })
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
        let value = display_text(&value, VALUE_CHARACTERS);
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

/// RFC 2045, 6.7, as UTF-8; what isn't an escape stays.
fn quoted_printable(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
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
    String::from_utf8_lossy(&bytes).replace("\r\n", ", ").replace('\n', ", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(card: &str) -> Vec<String> {
        fields(card.as_bytes()).into_iter().map(|(label, value)| format!("{label}: {value}")).collect()
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
    fn hostile_cards_are_bounded() {
        let many = format!("BEGIN:VCARD\n{}", "TEL:1\n".repeat(5000));
        assert_eq!(read(&many).len(), FIELDS);
        assert_eq!(read(&format!("NOTE:{}", "x".repeat(9000))).first().unwrap().chars().count(), VALUE_CHARACTERS + 6);
        for broken in ["", ":", ";;;:", "FN", "FN:\u{202e}", "="] {
            assert!(read(broken).is_empty(), "{broken:?}");
        }
    }
}
