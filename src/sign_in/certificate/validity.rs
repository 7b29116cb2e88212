//! When a certificate ends: the one field of X.509 (RFC 5280, 4.1.2.5) that is needed here, read from its DER.

use chrono::{DateTime, NaiveDate, Utc};

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// The explicit version at the beginning; certificates of version 1 have none.
const VERSION: u8 = 0xa0;

/// The end (`notAfter`) of a certificate; nothing where it can't be read.
pub(super) fn not_after(der: &[u8]) -> Option<DateTime<Utc>> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if let Some((_, after)) = element(rest, VERSION) {
        rest = after;
    }
    // Serial number, signature algorithm, issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = element(rest, tag)?;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_, after_begin) = time(validity)?;
    time(after_begin).map(|(end, _)| end)
}

/// The content of the element that `bytes` begin with, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    if *found != tag {
        return None;
    }
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (octets, rest) =
            rest.split_at_checked(usize::from(*first & 0x7f)).filter(|(octets, _)| octets.len() <= 4)?;
        (octets.iter().fold(0_usize, |length, octet| (length << 8) | usize::from(*octet)), rest)
    };
    rest.split_at_checked(length)
}

/// A time, and what follows it.
fn time(bytes: &[u8]) -> Option<(DateTime<Utc>, &[u8])> {
    if let Some((text, rest)) = element(bytes, UTC_TIME) {
        // Two digits of the year: 50 to 99 are of the last century.
        let (year, text) = number(text, 2)?;
        let century = if year < 50 { 2000 } else { 1900 };
        return Some((instant(century + year, text)?, rest));
    }
    let (text, rest) = element(bytes, GENERALIZED_TIME)?;
    let (year, text) = number(text, 4)?;
    Some((instant(year, text)?, rest))
}

/// `MMDDHHMMSSZ`, the only form that RFC 5280 allows.
fn instant(year: u32, text: &[u8]) -> Option<DateTime<Utc>> {
    let (month, text) = number(text, 2)?;
    let (day, text) = number(text, 2)?;
    let (hour, text) = number(text, 2)?;
    let (minute, text) = number(text, 2)?;
    let (second, text) = number(text, 2)?;
    if text != b"Z" {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    Some(date.and_hms_opt(hour, minute, second)?.and_utc())
}

fn number(text: &[u8], digits: usize) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(digits)?;
    let mut value = 0;
    for digit in digits {
        value = value * 10 + char::from(*digit).to_digit(10)?;
    }
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(year: i32) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec![]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(year, 12, 3);
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_is_read_in_both_forms() {
        for year in [2026, 2049, 2050, 2126] {
            let expected = format!("{year}-12-03T00:00:00Z").parse::<DateTime<Utc>>().unwrap();
            assert_eq!(not_after(&certificate(year)), Some(expected));
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end_and_breaks_nothing() {
        let whole = certificate(2026);
        for cut in 0..whole.len().min(400) {
            let _ = not_after(&whole[..cut]);
            let mut damaged = whole.clone();
            damaged[cut] ^= 0xff;
            let _ = not_after(&damaged);
        }
        assert_eq!(not_after(&whole[..60]), None);
        assert_eq!(not_after(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(not_after(b""), None);
    }
}
