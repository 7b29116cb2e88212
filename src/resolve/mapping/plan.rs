//! Numbering plans, as far as they make a number look right that isn't: a trunk 0 left behind the country's code, and the
//! countries of whose numbers WhatsApp knows some in another form than the one that is dialled.

use super::key::Key;
use crate::item::PhoneNumber;

/// Codes of countries whose numbers are dialled with a 0 at home and without it from abroad. Where the 0 belongs to the
/// number (Italy, Ivory Coast, Gabon, Congo), the code is not here.
const TRUNK_ZERO: [&str; 57] = [
    "20", "27", "31", "32", "33", "40", "41", "43", "44", "46", "49", "51", "54", "55", "58", "60", "61", "62", "63",
    "64", "66", "81", "82", "84", "90", "91", "92", "93", "94", "95", "98", "212", "213", "233", "234", "249", "251",
    "254", "255", "256", "260", "263", "353", "358", "359", "381", "385", "386", "387", "389", "880", "962", "963",
    "966", "971", "972", "977",
];

/// The country's code after which a 0 stands that isn't dialled from abroad.
pub(super) fn code_before_trunk_zero(digits: &str) -> Option<&'static str> {
    TRUNK_ZERO.into_iter().find(|code| digits.strip_prefix(code).is_some_and(|rest| rest.starts_with('0')))
}

/// Another form of a number, in which WhatsApp may know the same subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OtherForm {
    /// The number in that form.
    pub(super) key: Key,
    /// What an administrator is to do about it.
    pub(super) advice: &'static str,
}

const MEXICO: &str = "WhatsApp knows some Mexican numbers with a 1 after 52 and some without it: add the other form, with the same mailbox, unless you know which it is";
const BRAZIL: &str = "WhatsApp knows some Brazilian mobile numbers with a 9 before the last eight digits and some without it: add the other form, with the same mailbox, unless you know which it is";
const ARGENTINA: &str = "WhatsApp knows Argentinian mobile numbers with a 9 after 54, without it they are dialled at home only: add the other form, with the same mailbox, unless you know which it is";

/// The other form of a number of Mexico, Brazil or Argentina.
pub(super) fn other_form(digits: &str) -> Option<OtherForm> {
    let (other, advice) = match (digits.len(), digits.get(..2)?, digits.get(2..)?) {
        (13, "52", rest) => (format!("52{}", rest.strip_prefix('1')?), MEXICO),
        (12, "52", rest) => (format!("521{rest}"), MEXICO),
        (13, "54", rest) => (format!("54{}", rest.strip_prefix('9')?), ARGENTINA),
        (12, "54", rest) => (format!("549{rest}"), ARGENTINA),
        (13, "55", rest) => {
            let (area, subscriber) = rest.split_at_checked(2)?;
            let short = subscriber.strip_prefix('9').filter(|short| is_mobile(short))?;
            (format!("55{area}{short}"), BRAZIL)
        }
        (12, "55", rest) => {
            let (area, subscriber) = rest.split_at_checked(2)?;
            (format!("55{area}9{}", Some(subscriber).filter(|short| is_mobile(short))?), BRAZIL)
        }
        _ => return None,
    };
    let key = Key::of(&PhoneNumber::read(&other)?)?;
    Some(OtherForm { key, advice })
}

/// Whether the eight digits of a Brazilian subscriber are those of a mobile number.
fn is_mobile(subscriber: &str) -> bool {
    subscriber.starts_with(['6', '7', '8', '9'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(digits: &str) -> Option<Key> {
        other_form(digits).map(|form| form.key)
    }

    #[test]
    fn each_form_names_the_other() {
        for (one, two) in
            [("525512345678", "5215512345678"), ("541123456789", "5491123456789"), ("554191234567", "5541991234567")]
        {
            let key = |digits| PhoneNumber::read(digits).and_then(|number| Key::of(&number));
            assert_eq!((other(one), other(two)), (key(two), key(one)), "{one}");
        }
        for fixed in ["554132123456", "4915550199", "52551234567", "5541932123456"] {
            assert_eq!(other(fixed), None, "{fixed}");
        }
    }
}
