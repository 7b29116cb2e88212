//! Why there is no token: Microsoft's AADSTS codes, and what to do about each.

use std::time::Duration;

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// Microsoft refuses the application or its credential: a matter of configuration.
    #[error("Microsoft refuses the sign-in: {detail}. {remedy}")]
    Refused {
        /// What it said: the code and the first line.
        detail: String,
        remedy: String,
    },
    /// The credential can't be read or used, so nothing was sent.
    #[error("the sign-in can't be used: {0}")]
    Unusable(String),
    #[error("the sign-in asks for a pause: {detail}")]
    Throttled { after: Option<Duration>, detail: String },
    /// The token endpoint can't be reached or fails; it may well answer later.
    #[error("the sign-in is not available: {0}")]
    Unavailable(String),
    #[error("unexpected answer of the sign-in: {0}")]
    Unexpected(String),
}

/// What to do about an AADSTS code; `None` where that isn't known.
pub(super) fn remedy(code: u64) -> Option<&'static str> {
    Some(match code {
        7_000_215 => {
            "The client secret is wrong: put the secret's value, not its id, where microsoft.client_secret points"
        }
        7_000_222 => "The client secret has expired: create a new one for the application and put it in its place",
        7_000_218 | 900_144 => {
            "The request carried no credential: set microsoft.sign_in to how the application signs in"
        }
        700_016 => {
            "The directory doesn't know the application: check microsoft.client_id, microsoft.tenant_id and microsoft.cloud"
        }
        65_001 | 650_056 | 650_051 => {
            "Nobody has granted consent: let an administrator open the link that `whatsapp-archiver consent-url` prints"
        }
        90_002 | 900_023 => "There is no such directory: check microsoft.tenant_id and microsoft.cloud",
        700_027 | 700_030 | 7_000_214 => {
            "The certificate isn't registered with the application, or has expired: upload it, or fix microsoft.certificate"
        }
        700_024 | 700_023 => {
            "The time or audience of the assertion is wrong: check this machine's clock and microsoft.login_url"
        }
        70_021 | 700_211 | 700_212 | 700_213 => {
            "No federated credential of the application matches: check its issuer, subject and audience"
        }
        7_000_112 => "The application is disabled in the directory: enable it",
        53_003 | 530_035 => "Conditional access blocks the application: let an administrator allow it",
        500_011 | 650_052 => "The directory has no such service: check microsoft.cloud and microsoft.graph_url",
        900_382 | 900_381 => "The application belongs to another cloud: check microsoft.cloud",
        _ => return None,
    })
}

/// Whether a code means a transient fault.
pub(super) fn passes(code: u64) -> bool {
    matches!(code, 90_012 | 90_033 | 90_055 | 50_196)
}

/// The code in `AADSTS7000215: …`.
pub(super) fn code_in(description: &str) -> Option<u64> {
    let (_, rest) = description.split_once("AADSTS")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).take(12).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_codes_have_a_remedy() {
        for code in [7_000_215, 7_000_222, 700_016, 65_001, 90_002] {
            assert!(remedy(code).is_some(), "{code}");
        }
        assert_eq!(remedy(1), None);
    }

    #[test]
    fn the_code_is_found_in_the_description() {
        assert_eq!(code_in("AADSTS7000215: Invalid client secret provided."), Some(7_000_215));
        assert_eq!(code_in("something else"), None);
        assert_eq!(code_in("AADSTS"), None);
    }
}
