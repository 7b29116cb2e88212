//! Digits of a number in groups of three, for people.

/// The number with `separator` between its groups.
pub fn grouped(number: u64, separator: char) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(separator);
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_threes() {
        let text = [0, 999, 1000, 123_456, 1_234_567].map(|number| grouped(number, '_'));
        assert_eq!(text, ["0", "999", "1_000", "123_456", "1_234_567"]);
    }
}
