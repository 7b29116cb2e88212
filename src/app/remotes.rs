//! Everything that is spoken to, built as the configuration says: source, staging, user directory, mailboxes, and the sign-in they share.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use crate::clock::SharedClock;
use crate::config::{
    AzureAuth, Config, GraphConfig, ImapAuthConfig, ImapConfig, MailboxKind, MicrosoftConfig, SignInConfig, SourceKind,
    StagingKind,
};
use crate::graph::Graph;
use crate::http::HttpClient;
use crate::mailbox::Destination;
use crate::mailbox::graph::{GraphMailboxes, GraphSettings};
use crate::mailbox::imap::{Imap, ImapAuth, ImapSettings, ImapTimeouts, MicrosoftTokens};
use crate::mailbox::maildir::Maildirs;
use crate::mailbox::self_test::SelfTest;
use crate::resolve::users::UserDirectory;
use crate::resolve::users::graph::GraphUsers;
use crate::resolve::users::list::UserList;
use crate::sign_in::{AzureCredential, Credential, Endpoints, ManagedIdentity, SignIn, SignInSettings};
use crate::source::Source;
use crate::source::directory::DirectorySource;
use crate::source::telemessage::{TeleMessage, TeleMessageSettings};
use crate::staging::Staging;
use crate::staging::azure::{AzureSettings, AzureStaging, ContainerAuth};
use crate::staging::local::LocalStaging;
use crate::throttle::{Limits, Throttle};

/// Everything that is spoken to.
#[derive(Clone)]
pub struct Remotes {
    /// Where items come from.
    pub source: Arc<dyn Source>,
    /// Where raw items lie.
    pub staging: Arc<dyn Staging>,
    /// Who is a valid user.
    pub users: Arc<dyn UserDirectory>,
    /// Where copies go.
    pub destination: Arc<dyn Destination>,
    /// The destination again, to try it out on a mailbox.
    pub self_test: Arc<dyn SelfTest>,
    /// Microsoft Graph, where a sign-in to it is configured.
    pub graph: Option<Graph>,
    /// The sign-in to Microsoft, where one is configured.
    pub sign_in: Option<Arc<SignIn>>,
    /// The mailboxes' budgets at Graph.
    pub throttle: Arc<Throttle>,
}

impl Remotes {
    /// Builds all of them. Nothing is sent.
    pub fn build(
        config: &Config,
        environment: &BTreeMap<String, String>,
        http: &HttpClient,
        clock: &SharedClock,
        user_list: Option<UserList>,
    ) -> anyhow::Result<Self> {
        let sign_in =
            (config.microsoft.as_ref()).map(|microsoft| sign_in(microsoft, environment, http, clock)).transpose()?;
        let graph = sign_in.as_ref().map(|sign_in| Graph::new(http.clone(), Arc::clone(sign_in), Arc::clone(clock)));
        let limits = match &config.mailbox.kind {
            MailboxKind::Graph(graph) => graph.limits,
            _ => Limits::default(),
        };
        let throttle = Arc::new(Throttle::new(limits, Arc::clone(clock)));

        let users: Arc<dyn UserDirectory> = match (user_list, &graph) {
            (Some(list), _) => Arc::new(list),
            (None, Some(graph)) => {
                let throttle = Some(Arc::clone(&throttle));
                Arc::new(GraphUsers::new(graph.clone(), throttle, config.users.caching, Arc::clone(clock)))
            }
            (None, None) => return Err(anyhow!("users.kind = \"graph\" needs the section [microsoft]")),
        };
        let (destination, self_test): (Arc<dyn Destination>, Arc<dyn SelfTest>) = match &config.mailbox.kind {
            MailboxKind::Maildir { path } => both(Maildirs::new(path.clone(), &config.mailbox.folder)?),
            MailboxKind::Imap(imap) => {
                both(Imap::new(imap_settings(config, imap, sign_in.as_ref())?, Arc::clone(clock))?)
            }
            MailboxKind::Graph(settings) => {
                let graph = graph.clone().context("mailbox.kind = \"graph\" needs the section [microsoft]")?;
                both(GraphMailboxes::new(graph, Arc::clone(&throttle), destination_settings(config, settings)))
            }
        };
        Ok(Self {
            source: source(config, http, clock)?,
            staging: staging(config, http, clock, sign_in.as_ref())?,
            users,
            destination,
            graph,
            self_test,
            sign_in,
            throttle,
        })
    }
}

/// Staging alone, for commands that read nothing else. Nothing is sent.
pub(super) fn staging_alone(
    config: &Config,
    environment: &BTreeMap<String, String>,
    http: &HttpClient,
    clock: &SharedClock,
) -> anyhow::Result<Arc<dyn Staging>> {
    let sign_in =
        (config.microsoft.as_ref()).map(|microsoft| sign_in(microsoft, environment, http, clock)).transpose()?;
    staging(config, http, clock, sign_in.as_ref())
}

fn both<D: Destination + SelfTest + 'static>(destination: D) -> (Arc<dyn Destination>, Arc<dyn SelfTest>) {
    let destination = Arc::new(destination);
    (Arc::<D>::clone(&destination), destination)
}

fn sign_in(
    config: &MicrosoftConfig,
    environment: &BTreeMap<String, String>,
    http: &HttpClient,
    clock: &SharedClock,
) -> anyhow::Result<Arc<SignIn>> {
    let credential = match &config.sign_in {
        SignInConfig::ClientSecret { secret, .. } => Credential::ClientSecret(secret.reader()),
        SignInConfig::Certificate { certificate, .. } => Credential::Certificate(certificate.reader()),
        SignInConfig::WorkloadIdentity { token_file, .. } => {
            Credential::WorkloadIdentity { token_file: token_file.clone() }
        }
        SignInConfig::ManagedIdentity { client_id } => {
            let variable = |name: &str| environment.get(name).cloned();
            Credential::ManagedIdentity(ManagedIdentity::from_environment(variable, client_id.clone()))
        }
    };
    let settings = SignInSettings {
        endpoints: endpoints(config)?,
        tenant_id: config.tenant_id.clone(),
        client_id: config.client_id().unwrap_or_default().to_owned(),
        credential,
    };
    Ok(Arc::new(SignIn::new(settings, http.clone(), Arc::clone(clock))))
}

/// Where Microsoft is.
pub fn endpoints(config: &MicrosoftConfig) -> anyhow::Result<Endpoints> {
    // What the cloud says is no other place: its tokens are for the cloud's own Graph.
    let own = |url: &reqwest::Url, clouds: &str| {
        let is_clouds = reqwest::Url::parse(clouds).is_ok_and(|clouds| clouds.origin() == url.origin());
        (!is_clouds).then(|| url.as_str().to_owned())
    };
    let login = own(&config.login_url, config.cloud.login());
    let graph = own(&config.graph_url, config.cloud.graph());
    Ok(Endpoints::new(config.cloud, login.as_deref(), graph.as_deref())?)
}

fn destination_settings(config: &Config, graph: &GraphConfig) -> GraphSettings {
    GraphSettings {
        folder: config.mailbox.folder.clone(),
        method: graph.method,
        settle: graph.settle,
        message_class: graph.message_class.clone(),
    }
}

fn source(config: &Config, http: &HttpClient, clock: &SharedClock) -> anyhow::Result<Arc<dyn Source>> {
    let source = &config.source;
    Ok(match &source.kind {
        SourceKind::Directory { path } => {
            Arc::new(DirectorySource::new(path.clone(), source.page_size).of_products(source.products.clone()))
        }
        SourceKind::TeleMessage(account) => {
            let settings = TeleMessageSettings {
                base_url: account.base_url.clone(),
                messages_path: account.messages_path.clone(),
                attachment_path: account.attachment_path.clone(),
                username: account.username.clone(),
                password: account.password.reader(),
                source_types: source.products.iter().map(|product| product.source_type().to_owned()).collect(),
                page_size: source.page_size,
            };
            Arc::new(TeleMessage::new(http.clone(), Arc::clone(clock), settings)?)
        }
    })
}

fn staging(
    config: &Config,
    http: &HttpClient,
    clock: &SharedClock,
    sign_in: Option<&Arc<SignIn>>,
) -> anyhow::Result<Arc<dyn Staging>> {
    Ok(match &config.staging.kind {
        StagingKind::Local { path } => Arc::new(LocalStaging::new(path.join(&config.staging.prefix))),
        StagingKind::Azure(azure) => {
            let auth = match &azure.auth {
                AzureAuth::Sas(secret) => ContainerAuth::Sas(secret.reader()),
                AzureAuth::Entra => {
                    let sign_in = sign_in.context("staging.auth = \"entra\" needs the section [microsoft]")?;
                    ContainerAuth::Entra(Arc::new(AzureCredential::new(Arc::clone(sign_in))))
                }
            };
            let settings = AzureSettings {
                endpoint: azure.endpoint.clone(),
                container: azure.container.clone(),
                prefix: config.staging.prefix.trim_end_matches('/').to_owned(),
            };
            Arc::new(AzureStaging::new(&settings, auth, http.clone(), Arc::clone(clock))?)
        }
    })
}

fn imap_settings(config: &Config, imap: &ImapConfig, sign_in: Option<&Arc<SignIn>>) -> anyhow::Result<ImapSettings> {
    let auth = match &imap.auth {
        ImapAuthConfig::Password(secret) => ImapAuth::Password(secret.reader()),
        ImapAuthConfig::XOAuth2 => {
            let sign_in = sign_in.context("mailbox.auth = \"xoauth2\" needs the section [microsoft]")?;
            ImapAuth::XOAuth2(Arc::new(MicrosoftTokens::new(Arc::clone(sign_in))))
        }
    };
    let extra_roots_pem = config.network.ca_file.as_deref().map(super::files::read_ca_file).transpose()?;
    Ok(ImapSettings {
        host: imap.host.clone(),
        port: imap.port,
        tls: imap.tls,
        auth,
        login: imap.login.as_str().to_owned(),
        folder: config.mailbox.folder.clone(),
        connections: imap.connections,
        extra_roots_pem,
        timeouts: ImapTimeouts::within(config.ledger.lease),
        settle: imap.settle,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign_in::{Audience, Cloud};

    #[test]
    fn another_port_is_another_place() {
        let url = |text: &str| reqwest::Url::parse(text).unwrap();
        for (graph_url, scope) in [
            ("https://graph.microsoft.com", "https://graph.microsoft.com/.default"),
            ("https://graph.microsoft.com:443/", "https://graph.microsoft.com/.default"),
            ("https://graph.microsoft.com:8443", "https://graph.microsoft.com:8443/.default"),
            ("https://graph.example", "https://graph.example/.default"),
        ] {
            let config = MicrosoftConfig {
                cloud: Cloud::Global,
                tenant_id: "contoso.example".to_owned(),
                sign_in: SignInConfig::ManagedIdentity { client_id: None },
                login_url: url("https://login.microsoftonline.com"),
                graph_url: url(graph_url),
                redirect_uri: None,
            };
            let endpoints = endpoints(&config).unwrap();
            assert_eq!(endpoints.graph().origin(), url(graph_url).origin());
            assert_eq!(endpoints.scope(Audience::Graph).as_str(), scope);
        }
    }
}
