//! The token endpoint's reply: a token, or why there is none.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;

use super::SignInError;
use super::refusal::{code_in, passes, remedy};
use super::token::AccessToken;
use crate::clock::Clock;
use crate::http::{HttpClient, HttpError, Remote, Reply, retry_after};

/// The largest reply that is read, in bytes.
const MAX_REPLY: u64 = 1024 * 1024;
/// The longest part of a remote message that is shown, in characters.
const MAX_DETAIL: usize = 300;
/// The longest lifetime that a token is given, in seconds.
const MAX_LIFE: u64 = 24 * 3_600;

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// In seconds. Managed identity writes it as a string.
    expires_in: Option<Number>,
    /// Epoch seconds; App Service writes this one alone.
    expires_on: Option<Number>,
    refresh_in: Option<Number>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u64),
    Text(String),
}

impl Number {
    fn value(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

#[derive(Deserialize, Default)]
struct Refused {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
    #[serde(default)]
    error_codes: Vec<u64>,
}

/// Sends `request` and reads the token.
pub(super) async fn ask(
    http: &HttpClient,
    request: RequestBuilder,
    clock: &dyn Clock,
) -> Result<AccessToken, SignInError> {
    let asked = clock.now();
    let reply = match http.send(Remote::SignIn, request, MAX_REPLY).await {
        Ok(reply) => reply,
        Err(HttpError::Invalid { detail }) => return Err(SignInError::Unusable(detail)),
        Err(error) => return Err(SignInError::Unavailable(error.to_string())),
    };
    if reply.status == StatusCode::OK { granted(&reply, asked) } else { Err(refused(&reply, clock.now())) }
}

fn granted(reply: &Reply, asked: DateTime<Utc>) -> Result<AccessToken, SignInError> {
    // The error of the parser would show a part of the token.
    let granted: Granted = serde_json::from_slice(&reply.body)
        .map_err(|_| SignInError::Unexpected("a reply of 200 without an access token".to_owned()))?;
    if granted.access_token.is_empty() {
        return Err(SignInError::Unexpected("an empty access token".to_owned()));
    }
    let life = granted.expires_in.as_ref().and_then(Number::value).or_else(|| {
        let until = i64::try_from(granted.expires_on.as_ref()?.value()?).ok()?;
        u64::try_from(until - asked.timestamp()).ok()
    });
    let life = life.ok_or_else(|| SignInError::Unexpected("an access token without its lifetime".to_owned()))?;
    let life = seconds(life.min(MAX_LIFE));
    let early = granted.refresh_in.as_ref().and_then(Number::value).map(|after| seconds(after.min(MAX_LIFE)));
    // A request that is about to be sent needs a moment to arrive; the rest of the time is for an outage of the sign-in.
    let expires = asked + life - TimeDelta::seconds(30).min(life / 10);
    let refresh = asked + early.unwrap_or(life * 4 / 5).min(life * 4 / 5);
    Ok(AccessToken { value: granted.access_token.into(), obtained: asked, expires, refresh })
}

fn seconds(seconds: u64) -> TimeDelta {
    i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds).unwrap_or(TimeDelta::MAX)
}

fn refused(reply: &Reply, now: DateTime<Utc>) -> SignInError {
    let said: Refused = serde_json::from_slice(&reply.body).unwrap_or_default();
    let code = said.error_codes.first().copied().or_else(|| code_in(&said.error_description));
    let detail = detail(reply.status, &said);
    let pause = retry_after(&reply.headers, now);
    match reply.status {
        StatusCode::TOO_MANY_REQUESTS => SignInError::Throttled { after: pause, detail },
        status if status.is_server_error() => unavailable(pause, detail),
        StatusCode::REQUEST_TIMEOUT | StatusCode::GONE => unavailable(pause, detail),
        _ if said.error == "temporarily_unavailable" || code.is_some_and(passes) => unavailable(pause, detail),
        StatusCode::NOT_FOUND if said.error.is_empty() => SignInError::Refused {
            detail,
            remedy: "Check microsoft.login_url, or the endpoint of the managed identity".to_owned(),
        },
        status if status.is_client_error() => {
            let known = code.and_then(remedy);
            let remedy = known.unwrap_or("Look the code up in the directory's sign-in log of the application");
            SignInError::Refused { detail, remedy: remedy.to_owned() }
        }
        _ => SignInError::Unexpected(detail),
    }
}

fn unavailable(pause: Option<Duration>, detail: String) -> SignInError {
    match pause {
        Some(_) => SignInError::Throttled { after: pause, detail },
        None => SignInError::Unavailable(detail),
    }
}

/// The status and the first line of what was said.
fn detail(status: StatusCode, said: &Refused) -> String {
    let words = if said.error_description.is_empty() { &said.error } else { &said.error_description };
    let line: String = words.lines().next().unwrap_or_default().chars().take(MAX_DETAIL).collect();
    let line = line.trim_end_matches('.');
    if line.is_empty() { format!("status {}", status.as_u16()) } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;
    use crate::scrub::Scrubber;

    fn reply(status: u16, body: &str) -> Reply {
        let status = StatusCode::from_u16(status).unwrap();
        Reply { status, headers: HeaderMap::new(), body: body.to_owned().into(), sent: Scrubber::default() }
    }

    fn asked() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[test]
    fn a_lifetime_comes_in_three_forms() {
        for body in [
            r#"{"access_token":"t","expires_in":3600}"#,
            r#"{"access_token":"t","expires_in":"3600","expires_on":"1"}"#,
            r#"{"access_token":"t","expires_on":"1800003600"}"#,
        ] {
            let token = granted(&reply(200, body), asked()).unwrap();
            assert_eq!(token.expires, asked() + TimeDelta::seconds(3_570), "{body}");
            assert_eq!(token.refresh, asked() + TimeDelta::seconds(2_880), "{body}");
        }
    }

    #[test]
    fn a_reply_without_a_token_shows_nothing_of_itself() {
        for body in ["", "{}", r#"{"access_token":7,"expires_in":1}"#, r#"{"access_token":"secret"}"#] {
            let error = granted(&reply(200, body), asked()).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn refusals_say_what_to_do() {
        let body = r#"{"error":"invalid_client","error_description":"AADSTS7000222: The provided client secret keys for app are expired.\r\nTrace ID: x","error_codes":[7000222]}"#;
        let error = refused(&reply(401, body), asked()).to_string();
        assert_eq!(
            error,
            "Microsoft refuses the sign-in: AADSTS7000222: The provided client secret keys for app are expired. The \
             client secret has expired: create a new one for the application and put it in its place"
        );
    }

    #[test]
    fn passing_faults_are_not_refusals() {
        let transient =
            r#"{"error":"invalid_request","error_description":"AADSTS90033: A transient error has occurred."}"#;
        assert!(matches!(refused(&reply(400, transient), asked()), SignInError::Unavailable(_)));
        assert!(matches!(refused(&reply(503, "<html>"), asked()), SignInError::Unavailable(_)));
        assert!(matches!(refused(&reply(429, ""), asked()), SignInError::Throttled { after: None, .. }));
    }
}
