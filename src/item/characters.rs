//! Characters that matter in numbers and names: which show nothing, and which are digits.

/// The zeros of the decimal digits of Unicode (general category Nd, version 14): each is followed by its one to nine.
const ZEROS: [char; 66] = [
    '\u{30}',
    '\u{660}',
    '\u{6f0}',
    '\u{7c0}',
    '\u{966}',
    '\u{9e6}',
    '\u{a66}',
    '\u{ae6}',
    '\u{b66}',
    '\u{be6}',
    '\u{c66}',
    '\u{ce6}',
    '\u{d66}',
    '\u{de6}',
    '\u{e50}',
    '\u{ed0}',
    '\u{f20}',
    '\u{1040}',
    '\u{1090}',
    '\u{17e0}',
    '\u{1810}',
    '\u{1946}',
    '\u{19d0}',
    '\u{1a80}',
    '\u{1a90}',
    '\u{1b50}',
    '\u{1bb0}',
    '\u{1c40}',
    '\u{1c50}',
    '\u{a620}',
    '\u{a8d0}',
    '\u{a900}',
    '\u{a9d0}',
    '\u{a9f0}',
    '\u{aa50}',
    '\u{abf0}',
    '\u{ff10}',
    '\u{104a0}',
    '\u{10d30}',
    '\u{11066}',
    '\u{110f0}',
    '\u{11136}',
    '\u{111d0}',
    '\u{112f0}',
    '\u{11450}',
    '\u{114d0}',
    '\u{11650}',
    '\u{116c0}',
    '\u{11730}',
    '\u{118e0}',
    '\u{11950}',
    '\u{11c50}',
    '\u{11d50}',
    '\u{11da0}',
    '\u{16a60}',
    '\u{16ac0}',
    '\u{16b50}',
    '\u{1d7ce}',
    '\u{1d7d8}',
    '\u{1d7e2}',
    '\u{1d7ec}',
    '\u{1d7f6}',
    '\u{1e140}',
    '\u{1e2f0}',
    '\u{1e950}',
    '\u{1fbf0}',
];

/// The ASCII digit that a decimal digit of any script stands for.
pub(crate) fn ascii_digit(character: char) -> Option<char> {
    if character.is_ascii() {
        return character.is_ascii_digit().then_some(character);
    }
    let place = ZEROS.partition_point(|zero| *zero <= character);
    let zero = ZEROS.get(place.checked_sub(1)?)?;
    char::from_digit(u32::from(character) - u32::from(*zero), 10)
}

/// Whether a character shows nothing wherever it stands: what Unicode says to ignore, variation selectors and fillers.
pub(crate) fn is_ignorable(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a character is none of a number's: one that shows nothing, or a format (general category Cf) of some script.
pub(crate) fn is_invisible(character: char) -> bool {
    is_ignorable(character)
        || matches!(character,
            '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}')
}

/// Whether a character may stand between the digits of a phone number without changing it: blanks, dashes, brackets,
/// dots and whatever shows nothing.
pub(crate) fn is_between_digits(character: char) -> bool {
    character.is_whitespace()
        || is_invisible(character)
        || is_dash(character)
        || is_combining(character)
        || is_dot(character)
        || matches!(
            character,
            '(' | ')'
                | '['
                | ']'
                | '.'
                | '/'
                | '\u{ff08}'
                | '\u{ff09}'
                | '\u{ff0e}'
                | '\u{ff0f}'
                | '\u{ff3b}'
                | '\u{ff3d}'
                | '\u{fe59}'
                | '\u{fe5a}'
        )
}

/// Dots in the middle of a line and at its foot, but for the full stop.
pub(super) fn is_dot(character: char) -> bool {
    matches!(
        character,
        '\u{b7}' | '\u{2022}' | '\u{2024}' | '\u{2027}' | '\u{2219}' | '\u{22c5}' | '\u{30fb}' | '\u{ff65}'
    )
}

/// The blocks of marks that are set over, under or around the character before them.
fn is_combining(character: char) -> bool {
    matches!(character, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
        | '\u{fe20}'..='\u{fe2f}')
}

/// General category Pd, and the minus sign.
fn is_dash(character: char) -> bool {
    matches!(
        character,
        '-' | '\u{58a}' | '\u{5be}' | '\u{1400}' | '\u{1806}' | '\u{2010}'
            ..='\u{2015}'
                | '\u{2043}'
                | '\u{2212}'
                | '\u{2e17}'
                | '\u{2e1a}'
                | '\u{2e3a}'
                | '\u{2e3b}'
                | '\u{2e40}'
                | '\u{2e5d}'
                | '\u{301c}'
                | '\u{3030}'
                | '\u{30a0}'
                | '\u{30fc}'
                | '\u{fe31}'
                | '\u{fe32}'
                | '\u{fe58}'
                | '\u{fe63}'
                | '\u{ff0d}'
                | '\u{10ead}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_any_script_are_read() {
        for (text, digits) in [("0123456789", "0123456789"), ("٠١٢٣٤٥٦٧٨٩", "0123456789"), ("１５", "15"), ("०९", "09")]
        {
            let read: Option<String> = text.chars().map(ascii_digit).collect();
            assert_eq!(read.as_deref(), Some(digits), "{text}");
        }
        for character in ['a', '²', '①', 'Ⅷ', '\u{66a}', '\u{ff1a}'] {
            assert_eq!(ascii_digit(character), None, "{character}");
        }
        assert!(ZEROS.is_sorted() && ZEROS.iter().all(|zero| zero.is_numeric()));
    }
}
