//! What proves that a browser has shown the token: a cookie that says until when it holds, signed with the token.
//!
//! Nothing is kept here, so that a session outlives a restart and holds at every replica; it ends with its time, or when
//! the token is changed. The token itself is never in the cookie.

use aws_lc_rs::hmac;
use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use chrono::{DateTime, Duration, Utc};
use secrecy::{ExposeSecret as _, SecretString};

const NAME: &str = "whatsapp_archiver_session";

/// How long a session holds.
const LIFETIME: Duration = Duration::hours(12);

/// The cookie of a new session, as the value of `Set-Cookie`.
pub(super) fn begin(token: &SecretString, now: DateTime<Utc>, secure: bool) -> String {
    let until = (now + LIFETIME).timestamp();
    let signature = hex::encode(hmac::sign(&key(token), &signed(until)));
    let seconds = LIFETIME.num_seconds();
    format!("{NAME}={until}.{signature}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{}", attribute(secure))
}

/// The cookie that ends a session.
pub(super) fn end(secure: bool) -> String {
    format!("{NAME}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict{}", attribute(secure))
}

/// Whether a request comes with a session that holds.
pub(super) fn holds(headers: &HeaderMap, token: &SecretString, now: DateTime<Utc>) -> bool {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values = cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().strip_prefix(NAME)?.strip_prefix('='));
    values.any(|value| is_valid(value, token, now))
}

fn is_valid(value: &str, token: &SecretString, now: DateTime<Utc>) -> bool {
    let Some((until, signature)) = value.split_once('.') else { return false };
    let (Ok(until), Ok(signature)) = (until.parse::<i64>(), hex::decode(signature)) else { return false };
    // A session from the future was made by a clock that was ahead; it would hold for longer than one may.
    let holds = until > now.timestamp() && until <= (now + LIFETIME).timestamp();
    holds && hmac::verify(&key(token), &signed(until), &signature).is_ok()
}

fn key(token: &SecretString) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, token.expose_secret().as_bytes())
}

fn signed(until: i64) -> Vec<u8> {
    format!("whatsapp-archiver session 1 {until}").into_bytes()
}

fn attribute(secure: bool) -> &'static str {
    if secure { "; Secure" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> SecretString {
        SecretString::from(text)
    }

    fn now() -> DateTime<Utc> {
        "2026-11-22T02:00:00Z".parse().unwrap()
    }

    fn with(cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, cookie.parse().unwrap());
        headers
    }

    fn value() -> String {
        begin(&token("open"), now(), true).split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_session_holds_for_its_time_and_its_token() {
        let cookie = with(&format!("a=b; {}; c=d", value()));
        assert!(holds(&cookie, &token("open"), now()));
        assert!(holds(&cookie, &token("open"), now() + Duration::minutes(719)));
        assert!(!holds(&cookie, &token("open"), now() + Duration::hours(12)));
        assert!(!holds(&cookie, &token("open"), now() - Duration::seconds(1)), "no clock makes it longer");
        assert!(!holds(&cookie, &token("changed"), now()));
    }

    #[test]
    fn what_was_altered_is_no_session() {
        let value = value();
        let (head, signature) = value.split_once('.').unwrap();
        let (name, until) = head.split_once('=').unwrap();
        let later: i64 = until.parse::<i64>().unwrap() - 1;
        for forged in [
            format!("{name}={later}.{signature}"),
            format!("{name}={until}."),
            format!("{name}={until}"),
            format!("{name}={until}.zz"),
            format!("{name}={until}.{}", signature.chars().skip(2).collect::<String>()),
            format!("{name}x={until}.{signature}"),
            format!("{name}="),
        ] {
            assert!(!holds(&with(&forged), &token("open"), now()), "{forged}");
        }
    }

    #[test]
    fn the_cookie_reveals_no_token() {
        let cookie = begin(&token("hunter2-hunter2"), now(), true);
        assert!(!cookie.contains("hunter2"));
        assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"), "{cookie}");
    }
}
