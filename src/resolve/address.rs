//! Which text is an e-mail address that a mailbox can have.

use email_address::{EmailAddress, Error, Options};

/// The longest address, in bytes (RFC 5321, 4.5.3.1.3, less the angle brackets).
pub const MAX_LENGTH: usize = 254;

/// The text is not an address that a mailbox can have; says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAnAddress(String);

/// Checks that `text` is a bare address of RFC 5321 in a domain of at least two levels: US-ASCII, without a display name,
/// without an IP address for a domain. Whether there is such a mailbox is for the user directory to say.
pub fn check(text: &str) -> Result<(), NotAnAddress> {
    if text.len() > MAX_LENGTH {
        return Err(NotAnAddress(format!("it is longer than {MAX_LENGTH} characters")));
    }
    if let Some(character) = text.chars().find(|character| !character.is_ascii() || character.is_ascii_control()) {
        return Err(NotAnAddress(format!("{} does not belong in an address", named(character))));
    }
    let options = Options::default().without_display_text().without_domain_literal().with_required_tld();
    EmailAddress::parse_with_options(text, options).map(drop).map_err(|error| NotAnAddress(explained(&error)))
}

/// A character as a message shows it: itself where it can be seen, always with its code point where it isn't ASCII,
/// because many look alike.
pub(super) fn named(character: char) -> String {
    let code = u32::from(character);
    match character {
        '!'..='~' => format!("`{character}`"),
        ' ' => "a space".to_owned(),
        char::REPLACEMENT_CHARACTER => "a character that is not UTF-8".to_owned(),
        _ if character.is_alphanumeric() => format!("`{character}` (U+{code:04X})"),
        _ => format!("the character U+{code:04X}"),
    }
}

fn explained(error: &Error) -> String {
    match error {
        Error::MissingSeparator => "it has no `@`".to_owned(),
        Error::LocalPartEmpty => "nothing stands before the `@`".to_owned(),
        Error::DomainEmpty => "nothing stands after the `@`".to_owned(),
        Error::DomainTooFew => "its domain has no dot".to_owned(),
        Error::UnsupportedDisplayName | Error::MissingDisplayName | Error::MissingEndBracket => {
            "it has more than the address itself".to_owned()
        }
        Error::UnsupportedDomainLiteral | Error::InvalidIPAddress => "its domain is an IP address".to_owned(),
        Error::InvalidCharacter => "it has a character that does not belong there".to_owned(),
        other => other.to_string().trim_end_matches('.').to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses() {
        for address in ["susan@contoso.example", "O'Brien+x@mail.contoso.example", "a@b.co", "1@2.example"] {
            assert_eq!(check(address), Ok(()), "{address}");
        }
        for text in [
            "",
            "susan",
            "@contoso.example",
            "susan@",
            "susan@contoso",
            "susan@[127.0.0.1]",
            "Susan <susan@contoso.example>",
            "<susan@contoso.example>",
            "susan @contoso.example",
            " susan@contoso.example",
            "susan@contoso.example\r\nBcc: x@y.example",
            "a@b.example>X: y",
            "a@b.example;c@d.example",
            "susan@contоso.example", // a Cyrillic o
            "susan@contoso..example",
            "a\0@contoso.example",
        ] {
            assert!(check(text).is_err(), "{text:?}");
        }
        assert!(check(&format!("a@{}.example", "b".repeat(63))).is_ok());
        assert!(check(&format!("a@{}example", "b.".repeat(130))).is_err());
    }

    proptest! {
        #[test]
        fn what_passes_is_one_printable_word_around_one_at(text in "[ -~\u{e9}\n]{0,12}@[ -~]{0,12}") {
            if check(&text).is_ok() {
                prop_assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
                prop_assert!(!text.starts_with(' ') && !text.ends_with([' ', '>', ',']));
            }
        }
    }
}
