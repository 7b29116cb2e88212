//! How the numbers and names of a mapping are ordered and compared.

use crate::item::PhoneNumber;

/// The most digits of a number (E.164).
pub(super) const MAX_DIGITS: usize = 15;

/// What is set in the keys of identifiers that aren't numbers: more than any number of [`MAX_DIGITS`] digits.
const NAMED: u64 = 1 << 63;

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

    /// The key of the `place`-th identifier that isn't a number, beyond those of all numbers.
    pub(super) fn named(place: u32) -> Self {
        Self(NAMED | u64::from(place))
    }

    /// The place of an identifier that isn't a number.
    pub(super) fn place(self) -> Option<usize> {
        (self.0 & NAMED != 0).then(|| usize::try_from(self.0 & !NAMED).ok()).flatten()
    }

    /// The number, masked.
    pub(super) fn masked(self) -> String {
        let packed = self.0.to_string();
        let digits = packed.strip_prefix('1').unwrap_or(&packed);
        // Digits alone are always a number; a leading `00` is no prefix any more, so `+` is put before it.
        PhoneNumber::read(&format!("+{digits}")).map(|number| number.masked()).unwrap_or_default()
    }
}
