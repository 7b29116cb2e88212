//! Signing in to Microsoft: access tokens by client secret, certificate, workload identity or managed identity.
//!
//! [`SignIn`] keeps one token for each scope and gets a new one early, one request at a time; while the old one is good,
//! nobody waits for the new one. A token that a server refuses is given to [`SignIn::invalidate`], so that the next
//! [`SignIn::token`] signs in again. A failure is cached for a short while, or for the pause that was asked for, unless
//! the credential changes, so that a thousand deliveries don't sign in a thousand times.
//!
//! It asks once and reports what happened; it never repeats. Tokens and secrets are never shown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::Instrument as _;

use crate::clock::SharedClock;
use crate::digest::Digest;
use crate::http::HttpClient;

mod azure;
mod certificate;
mod cloud;
mod credential;
mod managed_identity;
mod refusal;
mod reply;
mod token;

pub use azure::AzureCredential;
pub use certificate::{certificate_end, check_certificate};
pub use cloud::{Audience, Cloud, Endpoints, InvalidEndpoint, Scope};
pub use credential::{Credential, SignInSettings};
pub use managed_identity::ManagedIdentity;
pub use refusal::SignInError;
pub use token::AccessToken;

/// How long a refusal is cached while the credential stays the same.
const REFUSAL_CACHE: TimeDelta = TimeDelta::seconds(30);

/// How long throttling is cached where no pause is named, and the longest for a named one.
const THROTTLING_CACHE: TimeDelta = TimeDelta::seconds(30);
const MAX_FAILURE_CACHE: TimeDelta = TimeDelta::hours(1);
/// How long an outage is cached.
const OUTAGE_CACHE: TimeDelta = TimeDelta::seconds(5);

/// Signs in and keeps the tokens.
#[derive(Debug)]
pub struct SignIn(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: SignInSettings,
    http: HttpClient,
    clock: SharedClock,
    slots: Mutex<HashMap<Scope, Arc<Slot>>>,
}

/// The token of one scope.
#[derive(Debug, Default)]
struct Slot {
    current: Mutex<Option<Arc<AccessToken>>>,
    /// Locked while signing in. Has the last failure.
    refresh: Arc<tokio::sync::Mutex<Option<Failure>>>,
}

/// Why there was no token, cached so that a thousand deliveries don't sign in a thousand times.
#[derive(Debug)]
struct Failure {
    error: SignInError,
    credential: Digest,
    at: DateTime<Utc>,
    believed: TimeDelta,
}

impl Failure {
    fn new(error: SignInError, credential: Digest, at: DateTime<Utc>) -> Option<Self> {
        let believed = match &error {
            SignInError::Refused { .. } => REFUSAL_CACHE,
            SignInError::Throttled { after, .. } => {
                let named = after.map(|after| TimeDelta::from_std(after).unwrap_or(MAX_FAILURE_CACHE));
                named.unwrap_or(THROTTLING_CACHE).min(MAX_FAILURE_CACHE)
            }
            SignInError::Unavailable(_) => OUTAGE_CACHE,
            SignInError::Unusable(_) | SignInError::Unexpected(_) => return None,
        };
        Some(Self { error, credential, at, believed })
    }

    /// The error while it is cached; a pause that was asked for gets shorter.
    fn still(&self, now: DateTime<Utc>) -> Option<SignInError> {
        let age = (now - self.at).abs();
        let left = (self.believed - age).to_std().ok().filter(|left| !left.is_zero())?;
        Some(match &self.error {
            SignInError::Throttled { detail, .. } => {
                SignInError::Throttled { after: Some(left), detail: detail.clone() }
            }
            error => error.clone(),
        })
    }
}

impl SignIn {
    /// Signs in as `settings` say. Sends nothing yet.
    pub fn new(settings: SignInSettings, http: HttpClient, clock: SharedClock) -> Self {
        Self(Arc::new(Inner { settings, http, clock, slots: Mutex::default() }))
    }

    /// Where to sign in and whom to call.
    pub fn endpoints(&self) -> &Endpoints {
        &self.0.settings.endpoints
    }

    /// A token for `audience`, from the cache where there is a good one.
    pub async fn token_for(&self, audience: Audience) -> Result<Arc<AccessToken>, SignInError> {
        self.token(&self.0.settings.endpoints.scope(audience)).await
    }

    /// A token for `scope`, from the cache where there is a good one.
    pub async fn token(&self, scope: &Scope) -> Result<Arc<AccessToken>, SignInError> {
        let slot = self.0.slot(scope);
        let now = self.0.clock.now();
        if let Some(token) = slot.current().filter(|token| token.is_good(now)) {
            if now >= token.refresh {
                self.renew_meanwhile(&slot, scope, now);
            }
            return Ok(token);
        }
        let mut failure = slot.refresh.lock().await;
        self.0.renew(&slot, scope, &mut failure).await
    }

    /// Gets a new token in the background while the old one is used.
    fn renew_meanwhile(&self, slot: &Arc<Slot>, scope: &Scope, now: DateTime<Utc>) {
        // Another task may be doing it already.
        let Ok(mut failure) = Arc::clone(&slot.refresh).try_lock_owned() else { return };
        if failure.as_ref().is_some_and(|failure| failure.still(now).is_some()) {
            return;
        }
        let (inner, slot, scope) = (Arc::clone(&self.0), Arc::clone(slot), scope.clone());
        let renewal = async move {
            if let Err(error) = inner.renew(&slot, &scope, &mut failure).await {
                tracing::warn!(event = "sign_in_failed", error = %error, "no new access token was obtained; the old one is still valid");
            }
        };
        tokio::spawn(renewal.in_current_span());
    }

    /// Forgets `token`: the server it was sent to refused it.
    pub fn invalidate(&self, scope: &Scope, token: &Arc<AccessToken>) {
        let slot = self.0.slot(scope);
        let mut current = slot.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Another task may have got a new one meanwhile.
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, token)) {
            *current = None;
        }
    }
}

impl Inner {
    async fn renew(
        &self,
        slot: &Slot,
        scope: &Scope,
        failure: &mut Option<Failure>,
    ) -> Result<Arc<AccessToken>, SignInError> {
        let now = self.clock.now();
        // The previous holder of the lock may have got one.
        if let Some(token) = slot.current().filter(|token| token.is_good(now) && now < token.refresh) {
            return Ok(token);
        }
        let proof = self.settings.credential.proof(&self.settings, scope, now).await?;
        if let Some(error) =
            failure.as_ref().filter(|known| known.credential == proof.fingerprint).and_then(|known| known.still(now))
        {
            return Err(error);
        }
        let result = reply::ask(&self.http, proof.request(&self.http), self.clock.as_ref()).await;
        match result {
            Ok(token) => {
                let token = Arc::new(token);
                *failure = None;
                *slot.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&token));
                tracing::debug!(event = "signed_in", scope = %scope, expires = %token.expires, "got an access token");
                Ok(token)
            }
            Err(error) => {
                *failure = Failure::new(error.clone(), proof.fingerprint, self.clock.now());
                Err(error)
            }
        }
    }

    fn slot(&self, scope: &Scope) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(scope.clone()).or_default())
    }
}

impl Slot {
    fn current(&self) -> Option<Arc<AccessToken>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
