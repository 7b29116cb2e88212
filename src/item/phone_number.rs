//! Phone numbers: the one reader that mapping, masking, addresses, display and identity share.
//!
//! A number is its digits, however they are written: after `+` or `00`, with blanks and marks of any kind between them,
//! in any script, or as WhatsApp's own address of an account (a JID). No country is guessed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::characters::{ascii_digit, is_between_digits, is_dot, is_invisible};

/// The servers of WhatsApp on which an account's name is its phone number.
const NUMBER_SERVERS: [&str; 3] = ["s.whatsapp.net", "c.us", "hosted"];

/// The servers on which accounts are known by a LID, a name of digits that is no phone number. The first is its usual one.
const LID_SERVERS: [&str; 2] = ["lid", "hosted.lid"];

/// A phone number as its digits alone, without `+`, `00` or punctuation. Two numbers are the same when all their
/// digits are: no country is guessed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// Reads digits of any script with what people and programs put between them; a leading `+` or `00` is taken off.
    /// `<digits>@s.whatsapp.net`, `<digits>:<device>@s.whatsapp.net` and `<digits>@c.us` are their digits. `None` where
    /// there is anything else, or no digit.
    pub fn read(text: &str) -> Option<Self> {
        if text.contains('@') {
            let (account, server) = account_and_server(text)?;
            return NUMBER_SERVERS.contains(&server.as_str()).then(|| Self::of_digits(account)).flatten();
        }
        Self::of_digits(text)
    }

    fn of_digits(text: &str) -> Option<Self> {
        let mut digits = String::with_capacity(text.len());
        let mut has_plus = false;
        let mut follows_dot = false;
        for character in text.chars() {
            // Dots in a row stand for digits that are hidden: a number without them would be somebody else's.
            if is_dot(character) && std::mem::replace(&mut follows_dot, true) {
                return None;
            }
            follows_dot &= is_dot(character);
            if let Some(digit) = ascii_digit(character) {
                digits.push(digit);
            } else if is_plus(character) && digits.is_empty() && !has_plus {
                has_plus = true;
            } else if !is_between_digits(character) {
                return None;
            }
        }
        if digits.starts_with("00") {
            digits.drain(..2);
        }
        (!digits.is_empty()).then_some(Self(digits))
    }

    pub fn digits(&self) -> &str {
        &self.0
    }

    /// The number for logs and pages: `+1•••••0101`.
    pub fn masked(&self) -> String {
        format!("+{}", mask(&self.0))
    }

    pub(super) fn into_digits(self) -> String {
        self.0
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

/// The LID that a text is, without a device: `98765432101234@lid`.
pub(super) fn read_lid(text: &str) -> Option<String> {
    let (account, server) = account_and_server(text)?;
    let digits: Option<String> = account.chars().filter(|&it| !is_between_digits(it)).map(ascii_digit).collect();
    let digits = digits.filter(|digits| !digits.is_empty() && LID_SERVERS.contains(&server.as_str()))?;
    Some(format!("{digits}@{}", LID_SERVERS.first()?))
}

/// The two sides of WhatsApp's address of an account, `<account>[.<agent>][:<device>]@<server>` (older programs set the agent off
/// by `_`), the server in lower case.
fn account_and_server(text: &str) -> Option<(&str, String)> {
    let text = text.trim_matches(|character: char| character.is_whitespace() || is_invisible(character));
    let (account, server) = text.rsplit_once('@')?;
    let account = match account.split_once(':') {
        Some((account, device)) if device.bytes().all(|byte| byte.is_ascii_digit()) => account,
        Some(_) => return None,
        None => account,
    };
    let account = account.split_once(['.', '_']).map_or(account, |(account, _agent)| account);
    let server: String = server.chars().filter(|&character| !is_invisible(character)).collect();
    Some((account, server.to_ascii_lowercase()))
}

fn is_plus(character: char) -> bool {
    matches!(character, '+' | '\u{ff0b}' | '\u{fe62}')
}

/// Whether a text holds anything that may be a digit of a number, in any script.
pub(super) fn has_digit(text: &str) -> bool {
    text.chars().any(char::is_numeric)
}

/// Keeps the first character and the last four of a text of eight characters or more, of a shorter one the last two at
/// most. Five dots stand for the rest, however long it is.
pub(super) fn mask(text: &str) -> String {
    const HIDDEN: &str = "•••••";
    let length = text.chars().count();
    let (head, tail) = if length >= 8 { (1, 4) } else { (0, (length / 2).min(2)) };
    let head: String = text.chars().take(head).collect();
    let tail: String = text.chars().skip(length - tail).collect();
    format!("{head}{HIDDEN}{tail}")
}

/// A text with what may be a phone number in it (seven digits or more, whatever stands between them, but for a date) replaced by
/// dots.
pub(crate) fn mask_numbers_in(text: &str) -> String {
    const MIN_DIGITS: usize = 7;
    let mut masked = String::with_capacity(text.len());
    let mut number = String::new();
    for character in text.chars().map(Some).chain([None]) {
        match character {
            Some(digit) if digit.is_numeric() => number.push(digit),
            Some(between) if !number.is_empty() && is_between_digits(between) => number.push(between),
            other => {
                let digits = number.trim_end_matches(is_between_digits);
                let bare: String = digits.chars().filter(|digit| digit.is_numeric()).collect();
                let is_number = bare.chars().count() >= MIN_DIGITS && !is_date(&bare);
                masked.push_str(if is_number { "•••••" } else { digits });
                masked.extend(number.strip_prefix(digits));
                masked.extend(other);
                number.clear();
            }
        }
    }
    masked
}

/// Whether digits are those of a day of these decades, as in names of files. With a time after it they could be a number too: those of
/// Egypt begin with 20.
fn is_date(digits: &str) -> bool {
    let number = |range: std::ops::Range<usize>| digits.get(range).and_then(|part| part.parse::<u32>().ok());
    digits.len() == 8
        && number(0..4).is_some_and(|year| (1990..2100).contains(&year))
        && number(4..6).is_some_and(|month| (1..=12).contains(&month))
        && number(6..8).is_some_and(|day| (1..=31).contains(&day))
}

/// A text with the numbers of WhatsApp's addresses of accounts in it (`15550100:2@c.us`) replaced by dots. The ids of groups stay,
/// but for those that begin with the number of whoever made the group.
pub(crate) fn mask_accounts_in(text: &str) -> String {
    const MIN_DIGITS: usize = 7;
    let is_of_account = |character: char| character.is_numeric() || is_between_digits(character) || character == ':';
    let mut masked = String::with_capacity(text.len());
    let mut pieces = text.split('@').peekable();
    while let Some(piece) = pieces.next() {
        let Some(server) = pieces.peek() else {
            masked.push_str(piece);
            break;
        };
        let name = piece.trim_end_matches(is_of_account);
        let account = piece.strip_prefix(name).unwrap_or_default();
        let is_number = account.chars().filter(|character| character.is_numeric()).count() >= MIN_DIGITS;
        let is_group = server.starts_with("g.us") && !account.contains('-');
        masked.push_str(name);
        masked.push_str(if is_number && !is_group { "•••••" } else { account });
        masked.push('@');
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_match_digit_by_digit_after_plus_or_double_zero() {
        let plain = PhoneNumber::read("445204334324").unwrap();
        for form in ["+445204334324", "00445204334324", "+44 (520) 433-4324", " 0044 5204.334324 "] {
            assert_eq!(PhoneNumber::read(form).unwrap(), plain, "{form}");
        }
        assert_ne!(PhoneNumber::read("05204334324").unwrap(), plain);
        for form in
            ["", "+", "4.45E+11", "44x", "--", "44+5204334324", "++445204334324", "①②③", "+1•••••0101", "+1∙∙∙∙67"]
        {
            assert_eq!(PhoneNumber::read(form), None, "{form}");
        }
    }

    #[test]
    fn what_shows_nothing_and_how_digits_are_written_does_not_count() {
        let plain = PhoneNumber::read("4915550199").unwrap();
        for form in [
            "\u{2066}+49 1555 0199\u{2069}",
            "+49\u{2060}1555\u{200d}0199",
            "\u{feff}\u{200f}4915550199\u{202c}",
            "+49\u{3000}1555\u{2009}0199\u{a0}",
            "4\u{fe0f}\u{20e3}915550199",
            "+49\u{2013}1555\u{2212}0199",
            "+४९१५५५०१९९",
            "\u{ff0b}４９１５５５０１９９",
            "00۴۹۱۵۵۵۰۱۹۹",
            "4\u{332}9\u{20dd}15550199",
            "49\u{30fb}1555\u{2219}0199",
        ] {
            assert_eq!(PhoneNumber::read(form).as_ref(), Some(&plain), "{form:?}");
        }
    }

    #[test]
    fn an_address_of_an_account_is_its_number_unless_it_is_a_lid() {
        let plain = PhoneNumber::read("4915550199").unwrap();
        for form in [
            "4915550199@s.whatsapp.net",
            "4915550199:7@s.whatsapp.net",
            "4915550199.0:31@S.WhatsApp.net",
            "4915550199@c.us",
            "+4915550199@c.us ",
            "4915550199_1:7@s.whatsapp.net",
            "4915550199@hosted",
            "٤٩١٥٥٥٠١٩٩@c.\u{200b}us",
        ] {
            assert_eq!(PhoneNumber::read(form).as_ref(), Some(&plain), "{form}");
            assert_eq!(read_lid(form), None, "{form}");
        }
        for form in
            ["4915550199@lid", "4915550199-1@g.us", "4915550199@g.us", "x@c.us", "4915550199@contoso.example", "@c.us"]
        {
            assert_eq!(PhoneNumber::read(form), None, "{form}");
        }
        assert_eq!(read_lid("4915550199:7@lid").as_deref(), Some("4915550199@lid"));
        for form in ["4915550199@hosted.lid", "\u{2066}４９１５５５０１９９@lid\u{2069}", "49 1555 0199_1:2@LID"]
        {
            assert_eq!(read_lid(form).as_deref(), Some("4915550199@lid"), "{form}");
            assert_eq!(PhoneNumber::read(form), None, "{form}");
        }
        assert_eq!(read_lid("name@lid"), None);
    }

    #[test]
    fn accounts_within_an_id_are_masked() {
        for (id, masked) in [
            ("true_4915550199@c.us_3EB0940005", "true_•••••@c.us_3EB0940005"),
            ("4915550199:12@s.whatsapp.net", "•••••@s.whatsapp.net"),
            ("false_٤٩١٥٥٥٠١٩٩@lid", "false_•••••@lid"),
            ("4915550199-1600000000@g.us", "•••••@g.us"),
            ("120363020304@g.us", "120363020304@g.us"),
            ("3EB01234567890", "3EB01234567890"),
            ("@susan", "@susan"),
        ] {
            assert_eq!(mask_accounts_in(id), masked);
        }
    }

    #[test]
    fn numbers_within_a_text_are_masked() {
        for (text, masked) in [
            ("Column 365 4915550199", "Column •••••"),
            ("Column 365, +49 1555 0199 (x)", "Column 365, +••••• (x)"),
            ("Spalte ٤٩١٥٥٥٠١٩٩.", "Spalte •••••."),
            ("Microsoft 365", "Microsoft 365"),
            ("2026-11-20", "2026-11-20"),
            ("20261120T101458.json", "20261120T101458.json"),
            ("Chat with +49 1555 0199.txt", "Chat with +•••••.txt"),
            ("20261320", "•••••"),
            ("+20 10 1225 1234", "+•••••"),
            ("20101225123456", "•••••"),
        ] {
            assert_eq!(mask_numbers_in(text), masked);
        }
    }
}
