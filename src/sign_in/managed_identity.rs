//! Managed identity: the token endpoint that Azure puts beside the program, on a virtual machine (IMDS) or in App
//! Service and Container Apps.

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Scope, SignInError};

/// Where the instance metadata service listens on every virtual machine.
const METADATA_HOST: &str = "http://169.254.169.254";

/// The token endpoint of a managed identity.
#[derive(Debug, Clone)]
pub struct ManagedIdentity {
    endpoint: Endpoint,
    client_id: Option<String>,
}

#[derive(Debug, Clone)]
enum Endpoint {
    /// The instance metadata service, by its origin.
    Metadata { host: String },
    /// App Service and Container Apps: the endpoint and the secret that keeps others away from it.
    AppService { endpoint: String, secret: SecretString },
}

impl ManagedIdentity {
    /// The endpoint that the environment names: `IDENTITY_ENDPOINT` with `IDENTITY_HEADER`, else the instance metadata
    /// service, at `AZURE_POD_IDENTITY_AUTHORITY_HOST` where that is set. `client_id` picks a user-assigned identity.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>, client_id: Option<String>) -> Self {
        let filled = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let endpoint = match (filled("IDENTITY_ENDPOINT"), filled("IDENTITY_HEADER")) {
            (Some(endpoint), Some(secret)) => Endpoint::AppService { endpoint, secret: secret.into() },
            _ => Endpoint::Metadata {
                host: filled("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or_else(|| METADATA_HOST.to_owned()),
            },
        };
        Self { endpoint, client_id }
    }

    /// The request for a token: its URL and the one header it needs.
    pub(super) fn request(&self, scope: &Scope) -> Result<(Url, (&'static str, String)), SignInError> {
        let (text, version, header) = match &self.endpoint {
            Endpoint::Metadata { host } => {
                let path = format!("{}/metadata/identity/oauth2/token", host.trim_end_matches('/'));
                (path, "2018-02-01", ("Metadata", "true".to_owned()))
            }
            Endpoint::AppService { endpoint, secret } => {
                (endpoint.clone(), "2019-08-01", ("X-IDENTITY-HEADER", secret.expose_secret().to_owned()))
            }
        };
        let mut url = Url::parse(&text).map_err(|error| {
            SignInError::Unusable(format!("the endpoint of the managed identity is not a URL: {error}"))
        })?;
        url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", scope.resource());
        if let Some(client_id) = &self.client_id {
            url.query_pairs_mut().append_pair("client_id", client_id);
        }
        Ok((url, header))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(variables: &[(&str, &str)], client_id: Option<&str>) -> (String, (&'static str, String)) {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let identity = ManagedIdentity::from_environment(variable, client_id.map(str::to_owned));
        let (url, header) = identity.request(&Scope::new("https://graph.microsoft.com/.default")).unwrap();
        (url.to_string(), header)
    }

    #[test]
    fn a_virtual_machine_asks_the_metadata_service() {
        let (url, header) = request(&[], Some("app"));
        assert_eq!(
            url,
            "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01\
             &resource=https%3A%2F%2Fgraph.microsoft.com&client_id=app"
        );
        assert_eq!(header, ("Metadata", "true".to_owned()));
    }

    #[test]
    fn app_service_is_asked_with_its_header() {
        let (url, header) =
            request(&[("IDENTITY_ENDPOINT", "http://127.0.0.1:41000/msi/token"), ("IDENTITY_HEADER", "h")], None);
        assert_eq!(
            url,
            "http://127.0.0.1:41000/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fgraph.microsoft.com"
        );
        assert_eq!(header, ("X-IDENTITY-HEADER", "h".to_owned()));
    }

    #[test]
    fn an_empty_variable_is_no_variable() {
        let (url, _) = request(&[("IDENTITY_ENDPOINT", "http://127.0.0.1/"), ("IDENTITY_HEADER", " ")], None);
        assert!(url.starts_with(METADATA_HOST), "{url}");
    }
}
