//! Phone numbers as people and spreadsheets write them.

use super::key::{Key, MAX_DIGITS};
use crate::item::PhoneNumber;
use crate::item::characters::{ascii_digit, is_between_digits};
use crate::resolve::address::named;
use crate::resolve::mapping::plan::{self, OtherForm};

/// The fewest digits of a number with its country's code.
const MIN_DIGITS: usize = 7;

/// From how many zeros at its end a number is doubted.
const MANY_ZEROS: usize = 5;

/// Why text is not a number of a mapping.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The character that is wrong, from 0.
    pub(super) offset: usize,
    /// What is wrong, and what to write instead.
    pub(super) message: String,
}

/// A number of a mapping, and why it is perhaps not the one that was meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) key: Key,
    pub(super) doubt: Option<String>,
    /// The form in which WhatsApp may know the same subscriber.
    pub(super) other_form: Option<OtherForm>,
}

/// Reads the number that the text is.
pub(super) fn check(text: &str) -> Result<Checked, Problem> {
    let problem = |offset, message: &str| Problem { offset, message: message.to_owned() };
    if text.is_empty() {
        return Err(problem(0, "no number is given: write it with its country's code, such as 445204334324"));
    }
    if is_scientific(text) {
        return Err(problem(
            0,
            "a spreadsheet turned the number into the form 4.45E+11, which lost digits: make the column text, then enter the number again",
        ));
    }
    if is_decimal(text) {
        return Err(problem(
            0,
            "a spreadsheet turned the number into a decimal: take the point and what follows it away",
        ));
    }
    let Some(number) = PhoneNumber::read(text) else {
        return Err(unreadable(text));
    };
    let digits = number.digits().len();
    match Key::of(&number) {
        Some(key) if digits >= MIN_DIGITS => {
            Ok(Checked { key, doubt: doubt(text, &number), other_form: plan::other_form(number.digits()) })
        }
        _ => Err(Problem {
            offset: 0,
            message: format!(
                "a number with its country's code has {MIN_DIGITS} to {MAX_DIGITS} digits, this one has {digits}"
            ),
        }),
    }
}

/// Whether a spreadsheet showed the number as `4.45E+11` or `4,45E+11`.
fn is_scientific(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['E', 'e']) else { return false };
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa = mantissa.trim_start_matches(['+', '-']);
    let (whole, fraction) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, "0"));
    is_number(whole) && is_number(fraction) && is_number(exponent)
}

/// Whether a program wrote the number as `445204334324.0`, whose last zero would count as a digit.
fn is_decimal(text: &str) -> bool {
    let Some((whole, fraction)) = text.split_once(['.', ',']) else { return false };
    let whole = whole.strip_prefix('+').unwrap_or(whole);
    let all = |text: &str, accept: fn(&u8) -> bool| !text.is_empty() && text.as_bytes().iter().all(accept);
    all(whole, u8::is_ascii_digit) && all(fraction, |byte| *byte == b'0')
}

/// Finds the character for which a text is no number.
fn unreadable(text: &str) -> Problem {
    let is_digitless = !text.chars().any(|character| ascii_digit(character).is_some());
    let plus = text.chars().take_while(|character| is_between_digits(*character)).count();
    let wrong = text.chars().zip(0..).find(|(character, offset)| {
        let belongs = ascii_digit(*character).is_some() || is_between_digits(*character);
        !(belongs || *character == '+' && *offset == plus)
    });
    match wrong {
        Some((character, offset)) if character.is_alphabetic() && character.is_ascii() => {
            Problem { offset, message: format!("`{character}` is a letter: write digits, such as 445204334324") }
        }
        Some((character, offset)) => {
            Problem { offset, message: format!("{} is no digit: write digits, such as 445204334324", named(character)) }
        }
        None if is_digitless => {
            Problem { offset: 0, message: "there is no digit: write digits, such as 445204334324".to_owned() }
        }
        None => Problem { offset: 0, message: "not a phone number: write digits, such as 445204334324".to_owned() },
    }
}

/// Why the number is perhaps not the one that was meant.
fn doubt(text: &str, number: &PhoneNumber) -> Option<String> {
    if number.digits().starts_with('0') {
        return Some("the number begins with 0, which no number with its country's code does: it will match only the same digits".to_owned());
    }
    if text.contains("(0)") {
        return Some(
            "the 0 in brackets counts as a digit: leave it out where it is not dialled from abroad".to_owned(),
        );
    }
    if let Some(code) = plan::code_before_trunk_zero(number.digits()) {
        return Some(format!(
            "a 0 follows the country's code {code}, which is not dialled from abroad: leave it out, or it will match only the same digits"
        ));
    }
    let zeros = number.digits().bytes().rev().take_while(|digit| *digit == b'0').count();
    (zeros >= MANY_ZEROS).then(|| {
        format!("the number ends in {zeros} zeros, as where a spreadsheet lost the last digits: compare it with the real one")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> Key {
        check(text).unwrap_or_else(|problem| panic!("{text}: {}", problem.message)).key
    }

    #[test]
    fn forms_of_one_number() {
        for form in [
            "+445204334324",
            "00445204334324",
            "+44 (520) 433-4324",
            "44 5204 334324",
            "44.5204.334.324",
            "(44)5204334324",
            "٤٤٥٢٠٤٣٣٤٣٢٤",
            "\u{202a}+44\u{a0}5204334324\u{202c}",
            "445204334324:3@s.whatsapp.net",
            "445204334324@c.us",
        ] {
            assert_eq!(key(form), key("445204334324"), "{form}");
            assert_eq!(check(form).unwrap().doubt, None, "{form}");
        }
        assert_ne!(key("05204334324"), key("5204334324"));
    }

    #[test]
    fn what_spreadsheets_do_is_named() {
        for form in ["4.45E+11", "4,45E+11", "4.45204334324E+11", "4e11", "4.45e11"] {
            let problem = check(form).unwrap_err();
            assert!(problem.message.contains("spreadsheet"), "{form}: {}", problem.message);
            assert!(!problem.message.contains("4.45204334324"));
        }
        for form in ["445204334324.0", "+445204334324.00", "445204334324,0"] {
            assert!(check(form).unwrap_err().message.contains("decimal"), "{form}");
        }
    }

    #[test]
    fn the_character_that_is_wrong_is_pointed_at() {
        for (form, offset, part) in [
            ("44O204334324", 2, "`O` is a letter"),
            ("'445204334324", 0, "`'`"),
            ("\u{202a}+44*5204334324", 4, "`*`"),
            ("44520433ⅷ324", 8, "U+2177"),
            ("44+5204334324", 2, "`+`"),
            ("44520433\u{fffd}4324", 8, "not UTF-8"),
            ("susan@contoso.example", 0, "`s` is a letter"),
            ("+", 0, "no digit"),
            ("-", 0, "no digit"),
            ("", 0, "no number"),
        ] {
            let problem = check(form).unwrap_err();
            assert_eq!(problem.offset, offset, "{form}");
            assert!(problem.message.contains(part), "{form}: {}", problem.message);
        }
    }

    #[test]
    fn the_length_is_that_of_the_digits() {
        for form in ["123456", "+12-34-56", "00123456", "1234567890123456", "123456789012345678901234567890"] {
            assert!(check(form).unwrap_err().message.contains("7 to 15 digits"), "{form}");
        }
        for form in ["1234567", "001234567", "123456789012345", "+00123456789"] {
            assert!(check(form).is_ok(), "{form}");
        }
    }

    #[test]
    fn doubts_are_reported() {
        for (form, part) in [
            ("05204334324", "begins with 0"),
            ("+44 (0)5204 334324", "in brackets"),
            ("49 0 1555 0199", "code 49"),
            ("3530861234567", "code 353"),
            ("491555000000", "6 zeros"),
        ] {
            let doubt = check(form).unwrap().doubt.unwrap_or_default();
            assert!(doubt.contains(part), "{form}: {doubt}");
        }
        for form in ["390612345678", "2250712345678", "4915550000"] {
            assert_eq!(check(form).unwrap().doubt, None, "{form}");
        }
    }

    proptest! {
        #[test]
        fn keys_distinguish_numbers(one in "[01]{7,9}", other in "[01]{7,9}") {
            let (one, other) = (PhoneNumber::read(&one).unwrap(), PhoneNumber::read(&other).unwrap());
            prop_assert_eq!(Key::of(&one) == Key::of(&other), one == other);
        }

        #[test]
        fn no_text_is_too_strange(text in ".*") {
            let _ = check(&text);
        }

        #[test]
        fn messages_never_show_the_number(digits in "[2-9]{8,12}", broken in "[xé'*]") {
            for text in [format!("{digits}{broken}"), format!("0{digits}"), format!("{digits}E+11"), format!("{digits}.0")] {
                let message = match check(&text) {
                    Ok(checked) => checked.doubt.unwrap_or_default(),
                    Err(problem) => problem.message,
                };
                prop_assert!(!message.contains(&digits));
            }
        }
    }
}
