//! Durations and sizes as people write them: `24h`, `1h30m`, `500ms`; `10 MiB`, `150 MB`.

use std::time::Duration;

/// The longest duration that is taken: a hundred years, so that adding it to a date can't overflow.
const MAX_DURATION: Duration = Duration::from_hours(36_500 * 24);

/// The largest size that is taken: what fits a signed 64-bit column of a database.
const MAX_SIZE: u64 = i64::MAX as u64;

/// Reads a duration: one or more of a whole number with a unit.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "not a duration: a whole number with a unit (ms, s, m, h, d, w) is expected";
    const TOO_LONG: &str = "too long: a duration is at most 36500d";
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(FORM);
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, unit, next) = number_and_unit(rest).ok_or(FORM)?;
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return Err(FORM),
        };
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms)).ok_or(TOO_LONG)?;
        total =
            total.checked_add(Duration::from_millis(part)).filter(|total| *total <= MAX_DURATION).ok_or(TOO_LONG)?;
        rest = next;
    }
    Ok(total)
}

/// Reads a size in bytes: a whole number, with or without a unit. Capitals don't matter: `b` is always a byte.
pub(crate) fn size(text: &str) -> Result<u64, &'static str> {
    const FORM: &str = "not a size: a whole number with a unit (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB) is expected";
    let (number, unit, rest) = number_and_unit(text.trim()).ok_or(FORM)?;
    if !rest.is_empty() {
        return Err(FORM);
    }
    let unit_bytes: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(FORM),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_bytes))
        .filter(|size| *size <= MAX_SIZE)
        .ok_or("too large: a size is at most 8388607 TiB")
}

/// Splits `12 MiB and more` into the digits, the letters after them, and what follows. `None` where there are no digits.
fn number_and_unit(text: &str) -> Option<(&str, &str, &str)> {
    let (number, rest) = split_after(text, |character| character.is_ascii_digit());
    let (unit, rest) = split_after(rest.trim_start(), |character| character.is_ascii_alphabetic());
    (!number.is_empty()).then(|| (number, unit, rest.trim_start()))
}

fn split_after(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|character| !belongs(character)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        for (text, ms) in [
            ("500ms", 500),
            ("90s", 90_000),
            ("15m", 900_000),
            ("24h", 86_400_000),
            ("30d", 2_592_000_000),
            ("1w", 604_800_000),
            ("1h30m", 5_400_000),
            (" 1h 30m ", 5_400_000),
            ("2 h", 7_200_000),
            ("0s", 0),
            ("36500d", 3_153_600_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration() {
        for text in ["", " ", "h", "24", "24 hours", "1.5h", "-1h", "1h-", "1h30", "٣h", "1H", "1h30m!", "36501d"] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["18446744073709551616s", "18446744073709551615w", "36500d1ms", "9999999999999999999999d"] {
            assert!(duration(text).unwrap_err().starts_with("too long"), "{text}");
        }
    }

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("10 MiB", 10_485_760),
            ("10MiB", 10_485_760),
            ("150 MB", 150_000_000),
            ("2 GiB", 2_147_483_648),
            ("1 kB", 1_000),
            ("1 KiB", 1_024),
            ("10485760", 10_485_760),
            ("10 b", 10),
            ("0", 0),
            ("9223372036854775807", i64::MAX as u64),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size() {
        for text in ["", "MB", "10 M", "1.5 GiB", "-1", "10 MB 3", "10 MB!", "1e6"] {
            assert!(size(text).is_err(), "{text}");
        }
        for text in ["9223372036854775808", "18446744073709551616", "18446744073709551615 TiB", "8388608 TiB"] {
            assert!(size(text).unwrap_err().starts_with("too large"), "{text}");
        }
    }
}
