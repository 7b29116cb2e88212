//! Signing in to Microsoft: access tokens by client secret, certificate, workload identity or managed identity.
//!
//! [`SignIn`] keeps one token for each scope and gets a new one early, one request at a time; while the old one is good,
//! nobody waits for the new one. A token that a server refuses is given to [`SignIn::invalidate`], so that the next
//! [`SignIn::token`] signs in again. A refusal is remembered for a short while, unless the credential changes, so that a
//! thousand deliveries don't knock a thousand times.
//!
//! It asks once and says what happened; it never repeats. Tokens and secrets are shown nowhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

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

pub use azure::AzureCredential;
pub use cloud::{Audience, Cloud, Endpoints, InvalidEndpoint, Scope};
pub use credential::{Credential, SecretSource};
pub use managed_identity::ManagedIdentity;
pub use refusal::SignInError;

/// A refusal is believed for so long while the credential stays the same.
const REFUSAL_BELIEVED: TimeDelta = TimeDelta::seconds(30);

/// Who signs in, and how.
#[derive(Debug, Clone)]
pub struct SignInSettings {
    /// Where to.
    pub endpoints: Endpoints,
    /// The directory (tenant): an id or a domain.
    pub tenant_id: String,
    /// The application (client) id.
    pub client_id: String,
    /// What proves that it is the application.
    pub credential: Credential,
}

/// An access token.
pub struct AccessToken {
    value: SecretString,
    obtained: DateTime<Utc>,
    expires: DateTime<Utc>,
    refresh: DateTime<Utc>,
}

impl AccessToken {
    /// The token itself.
    pub fn secret(&self) -> &SecretString {
        &self.value
    }

    /// When it ends.
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
        reply::roles(self.value.expose_secret()).unwrap_or_default()
    }

    fn is_good(&self, now: DateTime<Utc>) -> bool {
        // A clock that was set back makes the token look younger than it is.
        now < self.expires && now >= self.obtained - TimeDelta::minutes(5)
    }
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessToken").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Signs in and keeps the tokens.
#[derive(Debug)]
pub struct SignIn {
    settings: SignInSettings,
    http: HttpClient,
    clock: SharedClock,
    slots: Mutex<HashMap<Scope, Arc<Slot>>>,
}

/// The token of one scope.
#[derive(Debug, Default)]
struct Slot {
    current: Mutex<Option<Arc<AccessToken>>>,
    /// Held by whoever signs in. Has the last refusal.
    refresh: tokio::sync::Mutex<Option<Refusal>>,
}

#[derive(Debug)]
struct Refusal {
    error: SignInError,
    credential: Digest,
    at: DateTime<Utc>,
}

impl SignIn {
    /// Signs in as `settings` say. Sends nothing yet.
    pub fn new(settings: SignInSettings, http: HttpClient, clock: SharedClock) -> Self {
        Self { settings, http, clock, slots: Mutex::default() }
    }

    /// Where to sign in and whom to call.
    pub fn endpoints(&self) -> &Endpoints {
        &self.settings.endpoints
    }

    /// A token for `audience`, from memory where there is a good one.
    pub async fn token_for(&self, audience: Audience) -> Result<Arc<AccessToken>, SignInError> {
        self.token(&self.settings.endpoints.scope(audience)).await
    }

    /// A token for `scope`, from memory where there is a good one.
    pub async fn token(&self, scope: &Scope) -> Result<Arc<AccessToken>, SignInError> {
        let slot = self.slot(scope);
        let now = self.clock.now();
        let good = slot.current().filter(|token| token.is_good(now));
        if let Some(token) = good {
            if now < token.refresh {
                return Ok(token);
            }
            // Somebody else is at it already: the old one is still good.
            let Ok(mut refusal) = slot.refresh.try_lock() else { return Ok(token) };
            return Ok(self.renew(&slot, scope, &mut refusal).await.unwrap_or_else(|error| {
                tracing::warn!(event = "sign_in_failed", error = %error, "no new access token; the old one is still good");
                token
            }));
        }
        let mut refusal = slot.refresh.lock().await;
        self.renew(&slot, scope, &mut refusal).await
    }

    /// Forgets `token`: the server it was sent to refused it.
    pub fn invalidate(&self, scope: &Scope, token: &Arc<AccessToken>) {
        let slot = self.slot(scope);
        let mut current = slot.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have got a new one meanwhile.
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, token)) {
            *current = None;
        }
    }

    /// The link by which an administrator grants the application its permissions.
    pub fn consent_url(&self, redirect_uri: Option<&str>) -> Result<reqwest::Url, InvalidEndpoint> {
        self.settings.endpoints.consent_url(&self.settings.tenant_id, &self.settings.client_id, redirect_uri)
    }

    async fn renew(
        &self,
        slot: &Slot,
        scope: &Scope,
        refusal: &mut Option<Refusal>,
    ) -> Result<Arc<AccessToken>, SignInError> {
        let now = self.clock.now();
        // Whoever held the lock before may have got one.
        if let Some(token) = slot.current().filter(|token| token.is_good(now) && now < token.refresh) {
            return Ok(token);
        }
        let proof = self.settings.credential.proof(&self.settings, scope, now).await?;
        if let Some(known) = refusal.as_ref()
            && known.credential == proof.fingerprint
            && (now - known.at).abs() < REFUSAL_BELIEVED
        {
            return Err(known.error.clone());
        }
        let result = reply::ask(&self.http, proof.request(&self.http), self.clock.as_ref()).await;
        match result {
            Ok(token) => {
                let token = Arc::new(token);
                *refusal = None;
                *slot.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&token));
                tracing::debug!(event = "signed_in", scope = %scope, expires = %token.expires, "got an access token");
                Ok(token)
            }
            Err(error) => {
                let refused = matches!(error, SignInError::Refused { .. });
                *refusal = refused.then(|| Refusal { error: error.clone(), credential: proof.fingerprint, at: now });
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
