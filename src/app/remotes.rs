//! Everything that is spoken to, built as the configuration says: source, staging, user directory, mailboxes, and the sign-in they share.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use crate::clock::SharedClock;
use crate::config::{
    AzureAuth as AzureAuthConfig, Config, GraphConfig, GraphMethod, ImapAuth as ImapAuthConfig, ImapConfig, ImapTls,
    MailboxKind, MicrosoftConfig, Secret, SignInConfig, SourceKind, StagingKind,
};
use crate::graph::Graph;
use crate::http::HttpClient;
use crate::mailbox::MailboxDoor;
use crate::mailbox::graph::{GraphDoor, GraphDoorSettings, Method};
use crate::mailbox::imap::{Imap, ImapAuth, ImapSettings, ImapTimeouts, MicrosoftTokens, TlsMode};
use crate::mailbox::maildir::Maildirs;
use crate::resolve::users::UserDirectory;
use crate::resolve::users::graph::{GraphUsers, GraphUsersSettings};
use crate::resolve::users::list::UserList;
use crate::sign_in::{
    AzureCredential, Cloud, Credential, Endpoints, ManagedIdentity, SecretSource, SignIn, SignInSettings,
};
use crate::source::Source;
use crate::source::directory::DirectorySource;
use crate::source::telemessage::{TeleMessage, TeleMessageSettings};
use crate::staging::Staging;
use crate::staging::azure::{AzureAuth, AzureSettings, AzureStaging};
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
    pub door: Arc<dyn MailboxDoor>,
    /// Microsoft Graph, where a sign-in to it is configured.
    pub graph: Option<Graph>,
    /// The door again, where it is Graph's: for its self-test.
    pub graph_door: Option<Arc<GraphDoor>>,
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
            MailboxKind::Graph(settings) => limits(settings),
            _ => Limits::default(),
        };
        let throttle = Arc::new(Throttle::new(limits, Arc::clone(clock)));

        let users: Arc<dyn UserDirectory> = match (user_list, &graph) {
            (Some(list), _) => Arc::new(list),
            (None, Some(graph)) => {
                let settings =
                    GraphUsersSettings { cache: config.users.cache, negative_cache: config.users.negative_cache };
                Arc::new(GraphUsers::new(graph.clone(), Some(Arc::clone(&throttle)), settings, Arc::clone(clock)))
            }
            (None, None) => return Err(anyhow!("users.kind = \"graph\" needs the section [microsoft]")),
        };
        let mut graph_door = None;
        let door: Arc<dyn MailboxDoor> = match &config.mailbox.kind {
            MailboxKind::Maildir { path } => Arc::new(Maildirs::new(path.clone(), &config.mailbox.folder)?),
            MailboxKind::Imap(imap) => {
                Arc::new(Imap::new(imap_settings(config, imap, sign_in.as_ref())?, Arc::clone(clock))?)
            }
            MailboxKind::Graph(settings) => {
                let graph = graph.clone().context("mailbox.kind = \"graph\" needs the section [microsoft]")?;
                let door = Arc::new(GraphDoor::new(graph, Arc::clone(&throttle), door_settings(config, settings)));
                graph_door = Some(Arc::clone(&door));
                door
            }
        };
        Ok(Self {
            source: source(config, http, clock)?,
            staging: staging(config, http, clock, sign_in.as_ref())?,
            users,
            door,
            graph,
            graph_door,
            throttle,
        })
    }
}

/// A secret that is read at each use, because it may change while the program runs.
fn read_each_time(secret: &Secret) -> SecretSource {
    let secret = secret.clone();
    Arc::new(move || secret.read().map_err(|error| error.to_string()))
}

fn sign_in(
    config: &MicrosoftConfig,
    environment: &BTreeMap<String, String>,
    http: &HttpClient,
    clock: &SharedClock,
) -> anyhow::Result<Arc<SignIn>> {
    let credential = match &config.sign_in {
        SignInConfig::ClientSecret { secret, .. } => Credential::ClientSecret(read_each_time(secret)),
        SignInConfig::Certificate { certificate, .. } => Credential::Certificate(read_each_time(certificate)),
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
    use crate::config::Cloud as Named;
    let cloud = match config.cloud {
        Named::Global => Cloud::Global,
        Named::UsGovHigh => Cloud::UsGovHigh,
        Named::UsGovDod => Cloud::UsGovDod,
        Named::China => Cloud::China,
    };
    let own = |url: &reqwest::Url, host: &str| (url.host_str() != Some(host)).then(|| url.as_str().to_owned());
    let login = own(&config.login_url, config.cloud.login_host());
    let graph = own(&config.graph_url, config.cloud.graph_host());
    Ok(Endpoints::new(cloud, login.as_deref(), graph.as_deref())?)
}

fn limits(config: &GraphConfig) -> Limits {
    Limits {
        per_mailbox: config.per_mailbox,
        requests_per_10m: config.requests_per_10m,
        upload_per_5m: config.upload_per_5m,
        concurrency: config.concurrency,
    }
}

fn door_settings(config: &Config, graph: &GraphConfig) -> GraphDoorSettings {
    GraphDoorSettings {
        folder: config.mailbox.folder.clone(),
        method: match graph.method {
            GraphMethod::CreateMessage => Method::CreateMessage,
            GraphMethod::ImportMime => Method::ImportMime,
        },
        settle: graph.settle,
        message_class: graph.message_class.clone(),
    }
}

fn source(config: &Config, http: &HttpClient, clock: &SharedClock) -> anyhow::Result<Arc<dyn Source>> {
    let source = &config.source;
    Ok(match &source.kind {
        SourceKind::Directory { path } => Arc::new(DirectorySource::new(path.clone(), source.page_size)),
        SourceKind::TeleMessage(account) => {
            let settings = TeleMessageSettings {
                base_url: account.base_url.clone(),
                messages_path: account.messages_path.clone(),
                attachment_path: account.attachment_path.clone(),
                username: account.username.clone(),
                password: read_each_time(&account.password),
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
                AzureAuthConfig::Sas(secret) => AzureAuth::Sas(read_each_time(secret)),
                AzureAuthConfig::Entra => {
                    let sign_in = sign_in.context("staging.auth = \"entra\" needs the section [microsoft]")?;
                    AzureAuth::Entra(Arc::new(AzureCredential::new(Arc::clone(sign_in))))
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
        ImapAuthConfig::Password(secret) => ImapAuth::Password(read_each_time(secret)),
        ImapAuthConfig::XOAuth2 => {
            let sign_in = sign_in.context("mailbox.auth = \"xoauth2\" needs the section [microsoft]")?;
            ImapAuth::XOAuth2(Arc::new(MicrosoftTokens::new(Arc::clone(sign_in))))
        }
    };
    let extra_roots_pem = config.network.ca_file.as_deref().map(super::read_ca_file).transpose()?;
    Ok(ImapSettings {
        host: imap.host.clone(),
        port: imap.port,
        tls: match imap.tls {
            ImapTls::Implicit => TlsMode::Implicit,
            ImapTls::StartTls => TlsMode::StartTls,
            ImapTls::None => TlsMode::None,
        },
        auth,
        login: imap.login.as_str().to_owned(),
        folder: config.mailbox.folder.clone(),
        connections: imap.connections,
        extra_roots_pem,
        timeouts: ImapTimeouts::within(config.ledger.lease),
        settle: imap.settle,
    })
}
