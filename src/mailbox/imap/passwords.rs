//! Passwords that the server refused: not tried over and over, because that locks accounts.
//!
//! A password that nobody signed in with yet is tried one mailbox at a time, and after a few refusals for none any more; one
//! that is known to be good is refused for a mailbox alone. Either is forgotten when the password changes, or after a while.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Mutex, MutexGuard};

use crate::digest::Digest;
use crate::mailbox::ImportError;

/// How long a refusal is cached while the password stays the same.
const REFUSAL_CACHE: TimeDelta = TimeDelta::minutes(10);
/// How many mailboxes may refuse a password that never worked before no other is tried.
const MAX_REFUSED: usize = 3;

/// What is known of the password.
#[derive(Debug, Default)]
pub(super) struct RefusedPasswords(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    password: Option<Digest>,
    /// Whether it has opened a mailbox.
    is_good: bool,
    /// The log-ins that it was refused for, and when.
    refused: HashMap<String, (DateTime<Utc>, ImportError)>,
}

/// The right to try a password. One that never worked is held by one attempt at a time.
pub(super) struct Attempt<'a> {
    refused: &'a RefusedPasswords,
    trial: Option<MutexGuard<'a, Known>>,
    fingerprint: Digest,
    login: String,
    password: SecretString,
    now: DateTime<Utc>,
}

impl RefusedPasswords {
    /// Asks to try `password` for `login`; the refusal where it is known.
    pub(super) async fn attempt(
        &self,
        login: &str,
        password: SecretString,
        now: DateTime<Utc>,
    ) -> Result<Attempt<'_>, ImportError> {
        let fingerprint = Digest::of(password.expose_secret().as_bytes());
        let mut known = self.0.lock().await;
        if known.password != Some(fingerprint) {
            *known = Known { password: Some(fingerprint), ..Known::default() };
        }
        known.refused.retain(|_, (at, _)| (now - *at).abs() < REFUSAL_CACHE);
        if let Some((_, error)) = known.refused.get(login) {
            return Err(error.clone());
        }
        let attempt = |trial| Attempt { refused: self, trial, fingerprint, login: login.to_owned(), password, now };
        if known.is_good {
            return Ok(attempt(None));
        }
        match known.refused.values().next() {
            Some((_, error)) if known.refused.len() >= MAX_REFUSED => Err(ImportError::Forbidden(format!(
                "the password was refused for {MAX_REFUSED} mailboxes and is not tried for others yet: {error}"
            ))),
            _ => Ok(attempt(Some(known))),
        }
    }
}

impl Attempt<'_> {
    pub(super) fn password(&self) -> &SecretString {
        &self.password
    }

    /// Takes note of how it ended.
    pub(super) async fn ended(self, result: &Result<(), ImportError>) {
        let mut known = match self.trial {
            Some(known) => known,
            None => self.refused.0.lock().await,
        };
        // Another password may have come meanwhile.
        if known.password != Some(self.fingerprint) {
            return;
        }
        match result {
            Ok(()) => known.is_good = true,
            Err(error @ ImportError::Forbidden(_)) => {
                known.refused.insert(self.login, (self.now, error.clone()));
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    async fn try_one(refused: &RefusedPasswords, login: &str, password: &str, good: bool, minute: i64) -> bool {
        let Ok(attempt) = refused.attempt(login, SecretString::from(password), at(minute)).await else { return false };
        let result = if good { Ok(()) } else { Err(ImportError::Forbidden("no".to_owned())) };
        attempt.ended(&result).await;
        true
    }

    #[tokio::test]
    async fn a_password_that_never_worked_is_tried_for_a_few_mailboxes() {
        let refused = RefusedPasswords::default();
        for login in ["a", "b", "c"] {
            assert!(try_one(&refused, login, "old", false, 0).await);
        }
        assert!(!try_one(&refused, "d", "old", true, 9).await);
        assert!(try_one(&refused, "a", "new", false, 9).await);
        assert!(!try_one(&refused, "a", "new", true, 10).await);
        assert!(try_one(&refused, "a", "new", true, 20).await);
    }

    #[tokio::test]
    async fn a_password_that_works_is_refused_for_a_mailbox_alone() {
        let refused = RefusedPasswords::default();
        assert!(try_one(&refused, "a", "p", true, 0).await);
        for login in ["b", "c", "d", "e", "f"] {
            assert!(try_one(&refused, login, "p", false, 0).await);
            assert!(!try_one(&refused, login, "p", false, 1).await);
        }
        assert!(try_one(&refused, "a", "p", true, 1).await);
    }
}
