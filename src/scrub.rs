//! Takes the secrets that were sent to a remote out of what the remote says.
//!
//! Servers repeat what they were sent: a gateway shows the header that it didn't like, a login server the line that it
//! couldn't read. Their words go into logs, the ledger, reports and pages, so they pass through here first. A secret is
//! found as it is, percent-encoded, escaped for JSON or XML, in Base64 (alone or within a longer text), in any case of
//! letters, and in part where `MIN_PART` characters of it stand together.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};

/// What stands in the place of a secret: it means nothing in JSON, XML, a header or an IMAP response.
const MASK: &[u8] = b"***";
/// A shorter secret is not looked for, in characters: it would be found in ordinary words.
const MIN_SECRET: usize = 4;
/// A shorter encoded form is not looked for, in characters.
const MIN_ENCODED: usize = 8;
/// So many characters of a form that stand together are taken for a part of the secret.
const MIN_PART: usize = 16;

/// What a URL shows as it is (RFC 3986, 2.3).
const ENCODED_IN_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Knows the secrets that were sent to a remote.
#[derive(Clone, Default)]
pub struct Scrubber {
    secrets: Vec<SecretString>,
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrubber").field("secrets", &self.secrets.len()).finish()
    }
}

impl Scrubber {
    /// Also takes out this secret. One of fewer than four characters is ignored.
    pub fn add(&mut self, secret: &str) {
        if secret.chars().count() >= MIN_SECRET {
            self.secrets.push(SecretString::from(secret));
        }
    }

    /// The text without the secrets.
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.scrub_bytes(text.as_bytes()) {
            Some(scrubbed) => Cow::Owned(String::from_utf8_lossy(&scrubbed).into_owned()),
            None => Cow::Borrowed(text),
        }
    }

    /// The text without the secrets; `None` where it holds none.
    pub fn scrub_bytes(&self, text: &[u8]) -> Option<Vec<u8>> {
        if self.secrets.is_empty() || text.is_empty() {
            return None;
        }
        let lower = text.to_ascii_lowercase();
        let parts: HashSet<&[u8]> = lower.windows(MIN_PART).collect();
        let mut hidden = vec![false; text.len()];
        let mut found_parts: HashSet<&[u8]> = HashSet::new();
        for secret in &self.secrets {
            for form in forms(secret.expose_secret()) {
                let form = form.expose_secret().as_bytes();
                if form.len() <= MIN_PART {
                    hide(&lower, &mut hidden, form.len(), |window| window == form);
                }
                found_parts.extend(form.windows(MIN_PART).filter_map(|part| parts.get(part)));
            }
        }
        if !found_parts.is_empty() {
            hide(&lower, &mut hidden, MIN_PART, |window| found_parts.contains(window));
        }
        hidden.contains(&true).then(|| masked(text, &hidden))
    }
}

/// Marks each window of `length` bytes that is one to hide.
fn hide(text: &[u8], hidden: &mut [bool], length: usize, is_secret: impl Fn(&[u8]) -> bool) {
    for (start, window) in text.windows(length).enumerate() {
        if is_secret(window) {
            hidden.iter_mut().skip(start).take(length).for_each(|hidden| *hidden = true);
        }
    }
}

/// The text with one mask for each run that is hidden.
fn masked(text: &[u8], hidden: &[bool]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(text.len());
    let mut was_hidden = false;
    for (byte, hidden) in text.iter().zip(hidden) {
        match (*hidden, was_hidden) {
            (true, false) => masked.extend_from_slice(MASK),
            (true, true) => {}
            (false, _) => masked.push(*byte),
        }
        was_hidden = *hidden;
    }
    masked
}

/// The forms in which a secret may come back, in lower case.
fn forms(secret: &str) -> Vec<SecretString> {
    let percent = utf8_percent_encode(secret, ENCODED_IN_URL).to_string();
    let json = serde_json::to_string(secret).unwrap_or_default();
    let json = json.trim_start_matches('"').strip_suffix('"').unwrap_or_default();
    let written = [
        secret.to_owned(),
        percent.replace("%20", "+"),
        percent,
        json.to_owned(),
        json.replace('/', "\\/"),
        escaped(&secret.replace('\\', "\\\\"), |sign| format!("\\u{:04x}", u32::from(sign))),
        escaped(secret, |sign| format!("&#{};", u32::from(sign))),
        escaped(secret, named_entity),
    ];
    let encoded = (0..3).flat_map(|before| [within_base64(secret, before, false), within_base64(secret, before, true)]);
    let encoded = encoded.filter(|form| form.len() >= MIN_ENCODED);
    let distinct: BTreeSet<String> = written.into_iter().chain(encoded).map(|form| form.to_ascii_lowercase()).collect();
    distinct.into_iter().filter(|form| !form.is_empty()).map(SecretString::from).collect()
}

/// The text with those signs escaped that serializers for the web escape.
fn escaped(text: &str, escape: impl Fn(char) -> String) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' | '<' | '>' | '\'' | '"' | '+' => escaped.push_str(&escape(character)),
            other => escaped.push(other),
        }
    }
    escaped
}

fn named_entity(sign: char) -> String {
    match sign {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\'' => "&apos;".to_owned(),
        other => other.to_string(),
    }
}

/// What is always the same of the Base64 of a text in which the secret stands after `before` bytes (modulo 3): the
/// characters that come of the secret alone.
fn within_base64(secret: &str, before: usize, for_urls: bool) -> String {
    let mut text = vec![0; before];
    text.extend_from_slice(secret.as_bytes());
    let encoded = if for_urls { URL_SAFE_NO_PAD.encode(&text) } else { STANDARD_NO_PAD.encode(&text) };
    // Six bits a character: those that share bits with what stands around the secret are left out.
    let (first, end) = ((before * 8).div_ceil(6), text.len() * 8 / 6);
    encoded.get(first..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn scrubbed(secret: &str, text: &str) -> String {
        let mut scrubber = Scrubber::default();
        scrubber.add(secret);
        scrubber.scrub(text).into_owned()
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let secret = "Pa+/ss w&rd<7\">";
        for form in [
            secret.to_owned(),
            secret.to_uppercase(),
            "Pa%2B%2Fss%20w%26rd%3C7%22%3E".to_owned(),
            "pa%2b%2fss+w%26rd%3c7%22%3e".to_owned(),
            r#"Pa+/ss w&rd<7\">"#.to_owned(),
            r#"Pa+\/ss w&rd<7\">"#.to_owned(),
            r"Pa\u002B/ss w\u0026rd\u003C7\u0022\u003E".to_owned(),
            "Pa+/ss w&amp;rd&lt;7&quot;&gt;".to_owned(),
            "Pa&#43;/ss w&#38;rd&#60;7&#34;&#62;".to_owned(),
        ] {
            assert_eq!(scrubbed(secret, &format!("before {form} after")), "before *** after");
        }
    }

    #[test]
    fn a_secret_is_found_within_base64() {
        for user in ["", "a:", "ab:", "abc:", "ana.lopez@contoso.example:"] {
            for after in ["", "\u{1}", "\u{1}\u{1}"] {
                let encoded = STANDARD.encode(format!("{user}swordfish-2026{after}"));
                let shown = scrubbed("swordfish-2026", &format!("Basic {encoded}"));
                assert!(shown.contains("***"), "{shown}");
                let rest: String = shown.trim_start_matches("Basic ").replace("***", "");
                // At most the characters that the secret shares with what stands around it are left of it.
                assert!(rest.len() <= user.len() * 4 / 3 + 8, "{shown}");
            }
        }
    }

    #[test]
    fn a_part_of_a_long_secret_is_found() {
        let token = "eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJncmFwaCJ9.c2lnbmF0dXJlLW9mLXRva2Vu";
        assert_eq!(scrubbed(token, "token eyJ0eXAiOiJKV1QifQ.eyJhdWQ… is malformed"), "token ***… is malformed");
        assert_eq!(scrubbed(token, "…lnbmF0dXJlLW9mLXRva2Vu"), "…***");
        assert_eq!(scrubbed(token, "eyJ0eXAiOiJKV1Q"), "eyJ0eXAiOiJKV1Q", "fifteen characters may be a chance");
    }

    #[test]
    fn several_secrets_go_at_once_and_the_rest_stays() {
        let mut scrubber = Scrubber::default();
        for secret in ["swordfish", "open sesame"] {
            scrubber.add(secret);
        }
        assert_eq!(scrubber.scrub("é swordfish, “open sesame” é"), "é ***, “***” é");
        assert!(matches!(scrubber.scrub("nothing"), Cow::Borrowed("nothing")));
        assert_eq!(scrubber.scrub_bytes(b"\xff swordfish \xfe").unwrap(), b"\xff *** \xfe");
        assert!(scrubber.scrub_bytes(b"").is_none());
    }

    #[test]
    fn a_word_of_three_letters_is_no_secret() {
        assert_eq!(scrubbed("the", "the end"), "the end");
        assert_eq!(scrubbed("", "the end"), "the end");
    }

    #[test]
    fn nothing_shows_the_secrets() {
        let mut scrubber = Scrubber::default();
        scrubber.add("swordfish");
        assert_eq!(format!("{scrubber:?}"), "Scrubber { secrets: 1 }");
    }
}
