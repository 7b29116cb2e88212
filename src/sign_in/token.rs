//! An access token, for as long as it is good.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::refusal::SignInError;

pub struct AccessToken {
    pub(super) value: SecretString,
    pub(super) obtained: DateTime<Utc>,
    pub(super) expires: DateTime<Utc>,
    /// From then on a new one is asked for.
    pub(super) refresh: DateTime<Utc>,
}

impl AccessToken {
    pub fn secret(&self) -> &SecretString {
        &self.value
    }

    pub fn expires(&self) -> DateTime<Utc> {
        self.expires
    }

    /// The value of an `Authorization` header, marked as sensitive.
    pub fn authorization(&self) -> Result<HeaderValue, SignInError> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.value.expose_secret())).map_err(|_| {
            SignInError::Unexpected("the access token has characters that no header can carry".to_owned())
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The application permissions that the token carries (its `roles` claim, read without checking the signature: for
    /// people to look at). Roles given by RBAC for Applications are not among them.
    pub fn roles(&self) -> Vec<String> {
        roles(self.value.expose_secret()).unwrap_or_default()
    }

    pub(super) fn is_good(&self, now: DateTime<Utc>) -> bool {
        // A clock that was set back makes the token look younger than it is.
        now < self.expires && now >= self.obtained - TimeDelta::minutes(5)
    }
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessToken").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// The `roles` claim of a JWT.
fn roles(token: &str) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Claims {
        #[serde(default)]
        roles: Vec<String>,
    }
    let payload = token.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some(claims.roles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_from_the_middle_part() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"roles":["Mail.ReadWrite"]}"#);
        assert_eq!(roles(&format!("h.{payload}.s")), Some(vec!["Mail.ReadWrite".to_owned()]));
        assert_eq!(roles("opaque"), None);
        assert_eq!(roles(&format!("h.{}.s", URL_SAFE_NO_PAD.encode("{}"))), Some(vec![]));
    }
}
