//! Access tokens for Exchange Online's IMAP, from the sign-in with Microsoft.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};

use super::settings::AccessTokens;
use crate::mailbox::ImportError;
use crate::sign_in::{AccessToken, Audience, SignIn};

/// The tokens of `[microsoft]` for XOAUTH2.
pub struct MicrosoftTokens {
    sign_in: Arc<SignIn>,
    last: Mutex<Option<Arc<AccessToken>>>,
}

impl MicrosoftTokens {
    /// Tokens that `sign_in` gets.
    pub fn new(sign_in: Arc<SignIn>) -> Self {
        Self { sign_in, last: Mutex::default() }
    }
}

#[async_trait]
impl AccessTokens for MicrosoftTokens {
    async fn token(&self) -> Result<SecretString, ImportError> {
        let token = self.sign_in.token_for(Audience::Outlook).await.map_err(|error| ImportError::from(&error))?;
        let secret = token.secret().clone();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(secret)
    }

    fn invalidate(&self, refused: &SecretString) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Another session may have got a new one meanwhile: that stays.
        if let Some(token) = last.filter(|token| token.secret().expose_secret() == refused.expose_secret()) {
            self.sign_in.invalidate(&self.sign_in.endpoints().scope(Audience::Outlook), &token);
        }
    }
}
