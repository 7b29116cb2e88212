//! Numbers for people.

/// A number and what is counted: `1 item`, `2 items`.
pub fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// The number with `separator` between its groups of three digits.
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
