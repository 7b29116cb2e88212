//! The Microsoft clouds: where to sign in, where Graph is, and what a token is for.

use std::fmt;

use reqwest::Url;

use crate::http::require_https_or_loopback;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Cloud {
    /// The worldwide cloud.
    #[default]
    Global,
    /// US Government L4 (GCC High).
    UsGovHigh,
    /// US Government L5 (`DoD`).
    UsGovDod,
    /// China, operated by 21Vianet.
    China,
}

impl Cloud {
    pub const ALL: [Self; 4] = [Self::Global, Self::UsGovHigh, Self::UsGovDod, Self::China];

    /// The cloud's name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::UsGovHigh => "us-gov-high",
            Self::UsGovDod => "us-gov-dod",
            Self::China => "china",
        }
    }

    /// Whether Graph offers upload sessions for attachments (not in US Government L4 and L5).
    pub fn has_upload_sessions(self) -> bool {
        matches!(self, Self::Global | Self::China)
    }

    /// The end of the name of every Blob Storage account.
    pub fn blob_suffix(self) -> &'static str {
        match self {
            Self::Global => "blob.core.windows.net",
            Self::UsGovHigh | Self::UsGovDod => "blob.core.usgovcloudapi.net",
            Self::China => "blob.core.chinacloudapi.cn",
        }
    }

    /// The origin that users and applications log in at.
    pub fn login(self) -> &'static str {
        match self {
            Self::Global => "https://login.microsoftonline.com",
            Self::UsGovHigh | Self::UsGovDod => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }

    /// The origin of Microsoft Graph.
    pub fn graph(self) -> &'static str {
        match self {
            Self::Global => "https://graph.microsoft.com",
            Self::UsGovHigh => "https://graph.microsoft.us",
            Self::UsGovDod => "https://dod-graph.microsoft.us",
            Self::China => "https://microsoftgraph.chinacloudapi.cn",
        }
    }

    fn outlook(self) -> &'static str {
        match self {
            Self::Global => "https://outlook.office365.com",
            Self::UsGovHigh => "https://outlook.office365.us",
            Self::UsGovDod => "https://outlook-dod.office365.us",
            Self::China => "https://partner.outlook.cn",
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    Graph,
    Storage,
    /// IMAP in Exchange Online.
    Outlook,
}

/// The scope of a token: a resource and `/.default`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope(String);

impl Scope {
    /// A scope as text, such as `https://graph.microsoft.com/.default`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The resource, for the endpoints that take one instead of a scope.
    pub fn resource(&self) -> &str {
        self.0.strip_suffix("/.default").unwrap_or(&self.0)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An endpoint can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {detail}")]
pub struct InvalidEndpoint {
    /// Which endpoint, by its key in the configuration.
    pub what: &'static str,
    pub detail: String,
}

/// Where to sign in and where Graph is: a cloud's own, or overrides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    cloud: Cloud,
    login: Url,
    graph: Url,
    graph_scope: Scope,
}

impl Endpoints {
    /// The endpoints of `cloud`, with overrides: origins without a path.
    pub fn new(cloud: Cloud, login_url: Option<&str>, graph_url: Option<&str>) -> Result<Self, InvalidEndpoint> {
        let login = origin("microsoft.login_url", login_url.unwrap_or(cloud.login()))?;
        let graph = origin("microsoft.graph_url", graph_url.unwrap_or(cloud.graph()))?;
        // A Graph elsewhere is a resource of its own; one on this machine stands for the cloud's.
        let resource = match graph_url {
            Some(_) if graph.scheme() == "https" => graph.as_str().trim_end_matches('/').to_owned(),
            _ => cloud.graph().to_owned(),
        };
        Ok(Self { cloud, login, graph, graph_scope: Scope(format!("{resource}/.default")) })
    }

    pub fn cloud(&self) -> Cloud {
        self.cloud
    }

    pub fn graph(&self) -> &Url {
        &self.graph
    }

    /// The scope of tokens for `audience`.
    pub fn scope(&self, audience: Audience) -> Scope {
        match audience {
            Audience::Graph => self.graph_scope.clone(),
            Audience::Storage => Scope::new("https://storage.azure.com/.default"),
            Audience::Outlook => Scope(format!("{}/.default", self.cloud.outlook())),
        }
    }

    /// The token endpoint of a tenant.
    pub(super) fn token_url(&self, tenant: &str) -> Result<Url, InvalidEndpoint> {
        below(&self.login, tenant, &["oauth2", "v2.0", "token"])
    }

    /// The page by which an administrator grants `client_id` its permissions.
    pub fn consent_url(
        &self,
        tenant: &str,
        client_id: &str,
        redirect_uri: Option<&str>,
    ) -> Result<Url, InvalidEndpoint> {
        let mut url = below(&self.login, tenant, &["adminconsent"])?;
        url.query_pairs_mut().append_pair("client_id", client_id);
        if let Some(redirect_uri) = redirect_uri {
            url.query_pairs_mut().append_pair("redirect_uri", redirect_uri);
        }
        Ok(url)
    }
}

fn origin(what: &'static str, text: &str) -> Result<Url, InvalidEndpoint> {
    let invalid = |detail: String| InvalidEndpoint { what, detail };
    let url = Url::parse(text).map_err(|error| invalid(format!("{text:?} is not a URL: {error}")))?;
    require_https_or_loopback(&url).map_err(|insecure| invalid(insecure.to_string()))?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !bare || !url.username().is_empty() || url.password().is_some() {
        let origin = url.origin().ascii_serialization();
        return Err(invalid(format!("an origin is expected, without a version or path: write {origin:?}")));
    }
    Ok(url)
}

fn below(login: &Url, tenant: &str, path: &[&str]) -> Result<Url, InvalidEndpoint> {
    let what = "microsoft.tenant_id";
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if tenant.is_empty() || tenant.starts_with('.') || !tenant.bytes().all(is_safe) {
        let detail = format!("{tenant:?} is neither the id nor a domain of a directory");
        return Err(InvalidEndpoint { what, detail });
    }
    let mut url = login.clone();
    url.path_segments_mut()
        .map_err(|()| InvalidEndpoint { what, detail: format!("{login} takes no path") })?
        .clear()
        .push(tenant)
        .extend(path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cloud_has_its_own_endpoints() {
        let seen: Vec<String> = Cloud::ALL
            .into_iter()
            .map(|cloud| {
                let endpoints = Endpoints::new(cloud, None, None).unwrap();
                let token = endpoints.token_url("contoso.example").unwrap();
                let [graph, outlook] = [Audience::Graph, Audience::Outlook].map(|audience| endpoints.scope(audience));
                format!("{cloud} {token} {graph} {outlook} {}", cloud.blob_suffix())
            })
            .collect();
        assert_eq!(
            seen,
            [
                "global https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token \
                 https://graph.microsoft.com/.default https://outlook.office365.com/.default blob.core.windows.net",
                "us-gov-high https://login.microsoftonline.us/contoso.example/oauth2/v2.0/token \
                 https://graph.microsoft.us/.default https://outlook.office365.us/.default blob.core.usgovcloudapi.net",
                "us-gov-dod https://login.microsoftonline.us/contoso.example/oauth2/v2.0/token \
                 https://dod-graph.microsoft.us/.default https://outlook-dod.office365.us/.default \
                 blob.core.usgovcloudapi.net",
                "china https://login.chinacloudapi.cn/contoso.example/oauth2/v2.0/token \
                 https://microsoftgraph.chinacloudapi.cn/.default https://partner.outlook.cn/.default \
                 blob.core.chinacloudapi.cn",
            ]
        );
    }

    #[test]
    fn a_graph_elsewhere_is_a_resource_of_its_own_but_on_this_machine() {
        let elsewhere = Endpoints::new(Cloud::Global, None, Some("https://graph.sovereign.example/")).unwrap();
        assert_eq!(elsewhere.scope(Audience::Graph).as_str(), "https://graph.sovereign.example/.default");
        let here = Endpoints::new(Cloud::China, None, Some("http://127.0.0.1:8080")).unwrap();
        assert_eq!(here.scope(Audience::Graph).resource(), "https://microsoftgraph.chinacloudapi.cn");
    }

    #[test]
    fn what_is_no_safe_origin_is_refused() {
        for url in ["http://graph.example", "https://graph.example/v1.0", "https://ana:pw@graph.example", "graph", ""] {
            assert!(Endpoints::new(Cloud::Global, None, Some(url)).is_err(), "{url}");
        }
    }

    #[test]
    fn a_tenant_cannot_leave_its_place_in_the_path() {
        let endpoints = Endpoints::new(Cloud::Global, None, None).unwrap();
        for tenant in ["", "..", "a/b", "a?b", "a b", "ä"] {
            assert!(endpoints.token_url(tenant).is_err(), "{tenant}");
        }
    }

    #[test]
    fn the_consent_link_is_encoded() {
        let endpoints = Endpoints::new(Cloud::Global, None, None).unwrap();
        let url = endpoints.consent_url("t", "c&d", Some("https://contoso.example/done?x=1")).unwrap();
        assert_eq!(
            url.as_str(),
            "https://login.microsoftonline.com/t/adminconsent?client_id=c%26d&redirect_uri=https%3A%2F%2Fcontoso.example%2Fdone%3Fx%3D1"
        );
    }
}
