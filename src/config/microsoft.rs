//! `[microsoft]`: the tenant, and how the daemon signs in to it.

use std::path::PathBuf;

use super::Secret;
use super::Url;

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
    /// With a client secret.
    ClientSecret {
        /// The application's id.
        client_id: String,
        /// The secret.
        secret: Secret,
    },
    /// With a certificate.
    Certificate {
        /// The application's id.
        client_id: String,
        /// Certificate and private key, PEM.
        certificate: Secret,
    },
    /// With the token that a cluster gives the daemon.
    WorkloadIdentity {
        /// The application's id.
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

/// Microsoft's national clouds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// The global cloud.
    Global,
    /// US Government L4 (GCC High).
    UsGovHigh,
    /// US Government L5 (Department of Defense).
    UsGovDod,
    /// China, operated by 21Vianet.
    China,
}

impl Cloud {
    /// The host that users and applications log in at.
    pub fn login_host(self) -> &'static str {
        match self {
            Self::Global => "login.microsoftonline.com",
            Self::UsGovHigh | Self::UsGovDod => "login.microsoftonline.us",
            Self::China => "login.chinacloudapi.cn",
        }
    }

    /// The host of Microsoft Graph.
    pub fn graph_host(self) -> &'static str {
        match self {
            Self::Global => "graph.microsoft.com",
            Self::UsGovHigh => "graph.microsoft.us",
            Self::UsGovDod => "dod-graph.microsoft.us",
            Self::China => "microsoftgraph.chinacloudapi.cn",
        }
    }

    /// What the host of a blob service ends in.
    pub fn blob_suffix(self) -> &'static str {
        match self {
            Self::Global => "blob.core.windows.net",
            Self::UsGovHigh | Self::UsGovDod => "blob.core.usgovcloudapi.net",
            Self::China => "blob.core.chinacloudapi.cn",
        }
    }

    /// Whether Graph has upload sessions for attachments of 3 MB and more.
    pub fn has_upload_sessions(self) -> bool {
        !matches!(self, Self::UsGovHigh | Self::UsGovDod)
    }
}
