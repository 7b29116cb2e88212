//! The same sign-in for the Azure libraries.

use std::sync::Arc;

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::{Error, ErrorKind};
use azure_core::time::OffsetDateTime;
use secrecy::ExposeSecret as _;

use super::{Scope, SignIn};

/// A [`SignIn`] as the credential of an Azure client.
#[derive(Debug, Clone)]
pub struct AzureCredential(Arc<SignIn>);

impl AzureCredential {
    pub fn new(sign_in: Arc<SignIn>) -> Self {
        Self(sign_in)
    }
}

#[async_trait::async_trait]
impl TokenCredential for AzureCredential {
    async fn get_token(
        &self,
        scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let [scope] = scopes else {
            let text = format!("one scope is expected, not {}", scopes.len());
            return Err(Error::with_message(ErrorKind::Credential, text));
        };
        let token =
            self.0.token(&Scope::new(*scope)).await.map_err(|error| Error::new(ErrorKind::Credential, error))?;
        let expires = OffsetDateTime::from_unix_timestamp(token.expires().timestamp())
            .map_err(|error| Error::new(ErrorKind::Credential, error))?;
        Ok(AccessToken::new(token.secret().expose_secret().to_owned(), expires))
    }
}
