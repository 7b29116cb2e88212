//! `[microsoft]`: the tenant, and how the daemon signs in to it.

use std::path::PathBuf;

use super::document::Value;
use super::form::{self, Invalid};
use super::reader::Section;
use super::schema::{Choice, Condition, Key, SectionSchema, Shape, names};
use super::{Url, address};
use crate::secret::Secret;
pub use crate::sign_in::Cloud;

/// The tenant, and how the daemon signs in to it.
#[derive(Debug, Clone)]
pub struct MicrosoftConfig {
    /// The national cloud that the tenant lies in.
    pub cloud: Cloud,
    /// The tenant: its GUID or one of its domains.
    pub tenant_id: String,
    /// How the daemon signs in.
    pub sign_in: SignInConfig,
    /// The log-in origin, without a path: of the cloud, or what overrides it.
    pub login_url: Url,
    /// The Graph origin, without a path or version: of the cloud, or what overrides it.
    pub graph_url: Url,
    /// Where the consent page sends the administrator afterwards.
    pub redirect_uri: Option<Url>,
}

impl MicrosoftConfig {
    /// The application's id; `None` for a managed identity that the system assigned.
    pub fn client_id(&self) -> Option<&str> {
        match &self.sign_in {
            SignInConfig::ClientSecret { client_id, .. }
            | SignInConfig::Certificate { client_id, .. }
            | SignInConfig::WorkloadIdentity { client_id, .. } => Some(client_id),
            SignInConfig::ManagedIdentity { client_id } => client_id.as_deref(),
        }
    }
}

/// How the daemon signs in to Microsoft.
#[derive(Debug, Clone)]
pub enum SignInConfig {
    ClientSecret {
        client_id: String,
        secret: Secret,
    },
    Certificate {
        client_id: String,
        /// Certificate and private key, PEM.
        certificate: Secret,
    },
    /// With the token that a cluster gives the daemon.
    WorkloadIdentity {
        client_id: String,
        /// The token's file (`AZURE_FEDERATED_TOKEN_FILE`), to be read anew for each sign-in, because it rotates.
        token_file: PathBuf,
    },
    /// With the identity of the machine.
    ManagedIdentity {
        /// The id of an identity that the administrator assigned; `None`: the one that the system assigned.
        client_id: Option<String>,
    },
}

impl Choice for Cloud {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("global", Self::Global),
        ("us-gov-high", Self::UsGovHigh),
        ("us-gov-dod", Self::UsGovDod),
        ("china", Self::China),
    ];
}

#[derive(Debug, Clone, Copy)]
enum SignIn {
    ClientSecret,
    Certificate,
    WorkloadIdentity,
    ManagedIdentity,
}

impl Choice for SignIn {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("client-secret", Self::ClientSecret),
        ("certificate", Self::Certificate),
        ("workload-identity", Self::WorkloadIdentity),
        ("managed-identity", Self::ManagedIdentity),
    ];
}

pub(super) const SCHEMA: SectionSchema = SectionSchema {
    name: "microsoft",
    keys: &[
        Key::new("cloud", Shape::Choice(names::<Cloud>), "\"global\""),
        Key::new("tenant_id", Shape::Text, "\"11111111-2222-3333-4444-555555555555\"").placeholder(),
        Key::new("client_id", Shape::Text, "\"66666666-7777-8888-9999-000000000000\"").placeholder(),
        Key::new("sign_in", Shape::Choice(names::<SignIn>), "\"client-secret\""),
        Key::new("client_secret", Shape::Secret, "{ file = \"/run/secrets/client_secret\" }")
            .only(&[Condition::new("sign_in", "client-secret")]),
        Key::new("certificate", Shape::Secret, "{ file = \"/run/secrets/app.pem\" }")
            .only(&[Condition::new("sign_in", "certificate")]),
        Key::new("login_url", Shape::Text, "\"https://login.microsoftonline.com\""),
        Key::new("graph_url", Shape::Text, "\"https://graph.microsoft.com\""),
        Key::new("redirect_uri", Shape::Text, "\"https://contoso.example/consented\""),
    ],
};

pub(super) fn read(section: &mut Section<'_>) -> Option<MicrosoftConfig> {
    let cloud = section.choice("cloud");
    let tenant_id = read_id(section, "tenant_id", "AZURE_TENANT_ID", tenant);
    let sign_in = match section.choice("sign_in") {
        Some(SignIn::ClientSecret) => read_client_secret(section),
        Some(SignIn::Certificate) => read_certificate(section),
        Some(SignIn::WorkloadIdentity) => read_workload_identity(section),
        Some(SignIn::ManagedIdentity) => {
            Some(SignInConfig::ManagedIdentity { client_id: section.optional("client_id", application) })
        }
        None => None,
    };
    let login_url = read_origin(section, "login_url", cloud.map(Cloud::login));
    let graph_url = read_origin(section, "graph_url", cloud.map(Cloud::graph));
    let redirect_uri = section.optional("redirect_uri", address::parse);
    Some(MicrosoftConfig {
        cloud: cloud?,
        tenant_id: tenant_id?,
        sign_in: sign_in?,
        login_url: login_url?,
        graph_url: graph_url?,
        redirect_uri,
    })
}

fn read_client_secret(section: &mut Section<'_>) -> Option<SignInConfig> {
    let (client_id, secret) = (section.required("client_id", application), section.required_secret("client_secret"));
    Some(SignInConfig::ClientSecret { client_id: client_id?, secret: secret? })
}

fn read_certificate(section: &mut Section<'_>) -> Option<SignInConfig> {
    let (client_id, certificate) = (section.required("client_id", application), section.required_secret("certificate"));
    Some(SignInConfig::Certificate { client_id: client_id?, certificate: certificate? })
}

/// The cluster sets variables that say where the token is and, unless the file does, which identity it is for.
fn read_workload_identity(section: &mut Section<'_>) -> Option<SignInConfig> {
    const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
    let client_id = read_id(section, "client_id", "AZURE_CLIENT_ID", application);
    let token_file = section.variable(TOKEN_FILE).map(PathBuf::from);
    if token_file.is_none() {
        let what = format!("workload-identity needs the variable {TOKEN_FILE}, which is not set");
        let instead = "label the pod azure.workload.identity/use: \"true\", or choose another sign_in";
        section.wrong("sign_in", Invalid::with(what, instead));
    }
    Some(SignInConfig::WorkloadIdentity { client_id: client_id?, token_file: token_file? })
}

/// An id of the section, else of the variable with which clusters set it.
fn read_id(
    section: &mut Section<'_>,
    key: &'static str,
    variable: &str,
    form: fn(&Value) -> Result<String, Invalid>,
) -> Option<String> {
    match section.variable(variable) {
        Some(value) if !section.has(key) => match form(&Value::Text(value.to_owned())) {
            Ok(id) => Some(id),
            Err(wrong) => {
                section.wrong(key, Invalid::new(format!("taken from the variable {variable}: {}", wrong.what)));
                None
            }
        },
        _ => section.required(key, form),
    }
}

/// An origin of the section, else of the cloud.
fn read_origin(section: &mut Section<'_>, key: &'static str, of_cloud: Option<&str>) -> Option<Url> {
    if section.has(key) {
        return section.optional(key, address::origin);
    }
    address::protected(of_cloud?).ok()
}

/// A tenant: its GUID, or one of its domains.
fn tenant(value: &Value) -> Result<String, Invalid> {
    let id = form::text(value)?;
    if is_guid(&id) {
        return Ok(id);
    }
    address::mail_domain(value).map_err(|_| Invalid::new("not a tenant: its GUID or one of its domains is expected"))
}

/// An application's id: a GUID.
fn application(value: &Value) -> Result<String, Invalid> {
    let id = form::text(value)?;
    let expected = "not an application's id: a GUID is expected (8-4-4-4-12 hexadecimal digits)";
    if is_guid(&id) { Ok(id) } else { Err(Invalid::new(expected)) }
}

fn is_guid(text: &str) -> bool {
    let is_hex = |group: &str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && text.split('-').all(is_hex)
}
