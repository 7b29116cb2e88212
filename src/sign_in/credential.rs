//! What proves that it is the application that signs in, and the request that carries the proof.

use std::fmt;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret as _, SecretString};

use super::managed_identity::ManagedIdentity;
use super::{Endpoints, Scope, SignInError, certificate};
use crate::bounded_file::read_regular;
use crate::digest::Digest;
use crate::http::HttpClient;
use crate::panics;
use crate::secret::SecretReader;

/// A federated token is at most this large, in bytes.
const MAX_FEDERATED_TOKEN: u32 = 64 * 1024;

/// What proves that it is the application.
#[derive(Clone)]
pub enum Credential {
    ClientSecret(SecretReader),
    /// A certificate and its private key, both in one PEM text.
    Certificate(SecretReader),
    /// A token that the platform writes into a file and rotates (workload identity).
    WorkloadIdentity {
        /// The file: `AZURE_FEDERATED_TOKEN_FILE`.
        token_file: PathBuf,
    },
    /// The identity that Azure gives the machine.
    ManagedIdentity(ManagedIdentity),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientSecret(_) => "ClientSecret",
            Self::Certificate(_) => "Certificate",
            Self::WorkloadIdentity { .. } => "WorkloadIdentity",
            Self::ManagedIdentity(_) => "ManagedIdentity",
        })
    }
}

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

/// A proof, ready to be sent.
pub(super) struct Proof {
    /// Changes when the credential does.
    pub(super) fingerprint: Digest,
    carrier: Carrier,
}

enum Carrier {
    /// A POST to the token endpoint.
    Form { url: Url, fields: Vec<(&'static str, String)> },
    /// A GET of managed identity.
    Query { url: Url, header: (&'static str, String) },
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl Credential {
    /// The proof for a token of `scope`.
    pub(super) async fn proof(
        &self,
        settings: &SignInSettings,
        scope: &Scope,
        now: DateTime<Utc>,
    ) -> Result<Proof, SignInError> {
        match self {
            Self::ClientSecret(secret) => {
                let url = settings.token_url()?;
                let text = read(secret)?.expose_secret().trim().to_owned();
                let fingerprint = Digest::of(text.as_bytes());
                Ok(Proof::by_form(fingerprint, url, settings, scope, [("client_secret", text)]))
            }
            Self::Certificate(pem) => {
                let (url, pem) = (settings.token_url()?, read(pem)?);
                let fingerprint = Digest::of(pem.expose_secret().as_bytes());
                let assertion = certificate::assertion(&pem, &settings.client_id, &url, now)?;
                Ok(Proof::by_form(fingerprint, url, settings, scope, by_assertion(assertion)))
            }
            Self::WorkloadIdentity { token_file } => {
                let (url, token) = (settings.token_url()?, federated_token(token_file).await?);
                let fingerprint = Digest::of(token.as_bytes());
                Ok(Proof::by_form(fingerprint, url, settings, scope, by_assertion(token)))
            }
            Self::ManagedIdentity(identity) => {
                let (url, header) = identity.request(scope)?;
                let fingerprint = Digest::of(url.as_str().as_bytes());
                Ok(Proof { fingerprint, carrier: Carrier::Query { url, header } })
            }
        }
    }
}

impl SignInSettings {
    fn token_url(&self) -> Result<Url, SignInError> {
        let url = self.endpoints.token_url(&self.tenant_id);
        url.map_err(|invalid| SignInError::Unusable(invalid.to_string()))
    }
}

impl Proof {
    fn by_form(
        fingerprint: Digest,
        url: Url,
        settings: &SignInSettings,
        scope: &Scope,
        proof: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        let mut fields = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", settings.client_id.clone()),
            ("scope", scope.as_str().to_owned()),
        ];
        fields.extend(proof);
        Self { fingerprint, carrier: Carrier::Form { url, fields } }
    }

    pub(super) fn request(&self, http: &HttpClient) -> RequestBuilder {
        match &self.carrier {
            Carrier::Form { url, fields } => http.post(url.clone()).form(fields),
            Carrier::Query { url, header: (name, value) } => http.get(url.clone()).header(*name, value),
        }
    }
}

fn by_assertion(assertion: String) -> [(&'static str, String); 2] {
    [("client_assertion_type", ASSERTION_TYPE.to_owned()), ("client_assertion", assertion)]
}

fn read(source: &SecretReader) -> Result<SecretString, SignInError> {
    let secret = source().map_err(SignInError::Unusable)?;
    if secret.expose_secret().trim().is_empty() {
        return Err(SignInError::Unusable("the secret is empty".to_owned()));
    }
    Ok(secret)
}

async fn federated_token(file: &std::path::Path) -> Result<String, SignInError> {
    let unusable = |detail: String| {
        SignInError::Unusable(format!("the federated token {} can't be used: {detail}", file.display()))
    };
    let path = file.to_owned();
    let bytes = panics::blocking(move || read_regular(&path, MAX_FEDERATED_TOKEN)).await;
    let bytes = bytes.map_err(|error| unusable(error.to_string()))?.map_err(|error| unusable(format!("it {error}")))?;
    let token = String::from_utf8(bytes).map_err(|_| unusable("it is not UTF-8 text".to_owned()))?;
    match token.trim() {
        "" => Err(unusable("it is empty".to_owned())),
        token => Ok(token.to_owned()),
    }
}
