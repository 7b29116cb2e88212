//! Phone numbers as people and spreadsheets write them.

use crate::item::PhoneNumber;
use crate::resolve::address::named;

/// The fewest digits of a number with its country's code.
const MIN_DIGITS: usize = 7;
/// The most digits of a number (E.164).
const MAX_DIGITS: usize = 15;

/// A number of at most [`MAX_DIGITS`] digits, packed: the digits behind a 1, so that zeros in front count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64);

impl Key {
    /// The key of a number; `None` where it has more digits than any number of a mapping.
    pub(super) fn of(number: &PhoneNumber) -> Option<Self> {
        let digits = number.digits();
        if digits.len() > MAX_DIGITS {
            return None;
        }
        digits.bytes().try_fold(1_u64, |key, digit| Some(key * 10 + u64::from(digit.checked_sub(b'0')?))).map(Self)
    }

    /// The number, masked.
    pub(super) fn masked(self) -> String {
        let packed = self.0.to_string();
        let digits = packed.strip_prefix('1').unwrap_or(&packed);
        // Digits alone are always a number; a leading `00` is no prefix any more, so `+` is put before it.
        PhoneNumber::read(&format!("+{digits}")).map(|number| number.masked()).unwrap_or_default()
    }
}

/// Why text is not a number of a mapping.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The character that is wrong, from 0.
    pub(super) offset: usize,
    /// What is wrong, and what to write instead.
    pub(super) message: String,
}

/// The key of the number that the text is, with a warning where it is perhaps not the number that was meant.
pub(super) fn check(text: &str) -> Result<(Key, Option<String>), Problem> {
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
        Some(key) if digits >= MIN_DIGITS => Ok((key, doubt(text, &number))),
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
    let is_digitless = !text.bytes().any(|byte| byte.is_ascii_digit());
    let wrong = text.char_indices().zip(0..).find_map(|((place, character), offset)| {
        let (_, from) = text.split_at_checked(place)?;
        let length = character.len_utf8();
        let alone = from.get(..length)?;
        let is_plus_in_front = character == '+' && offset == 0;
        // With a digit beside it, the character is judged alone.
        (PhoneNumber::read(&format!("0{alone}0")).is_none() && !is_plus_in_front).then_some((offset, character))
    });
    match wrong {
        Some((offset, character)) if character.is_alphabetic() && character.is_ascii() => {
            Problem { offset, message: format!("`{character}` is a letter: write digits, such as 445204334324") }
        }
        Some((offset, character)) => {
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
    text.contains("(0)")
        .then(|| "the 0 in brackets counts as a digit: leave it out where it is not dialled from abroad".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> Key {
        check(text).unwrap_or_else(|problem| panic!("{text}: {}", problem.message)).0
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
        ] {
            assert_eq!(key(form), key("445204334324"), "{form}");
            assert_eq!(check(form).unwrap().1, None, "{form}");
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
            ("\u{202a}+445204334324", 0, "U+202A"),
            ("44+5204334324", 2, "`+`"),
            ("٤٤٥٢٠٤٣٣٤٣٢٤", 0, "U+0664"),
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
    fn doubts_are_told() {
        assert!(check("05204334324").unwrap().1.is_some());
        assert!(check("+44 (0)5204 334324").unwrap().1.is_some());
    }

    proptest! {
        #[test]
        fn keys_tell_numbers_apart(one in "[01]{7,9}", other in "[01]{7,9}") {
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
                    Ok((_, warning)) => warning.unwrap_or_default(),
                    Err(problem) => problem.message,
                };
                prop_assert!(!message.contains(&digits));
            }
        }
    }
}
