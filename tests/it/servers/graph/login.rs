//! The token endpoints: the log-in's own, and the two of managed identity.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::fault::{Act, with_retry_after};
use super::http::{Answer, Request};
use super::{CLIENT_ID, CLIENT_SECRET, TENANT, World};

/// What the log-in knows, and what it has given.
pub(crate) struct Login {
    token_url: String,
    /// The secrets that are accepted.
    pub(crate) secrets: Vec<String>,
    /// The secrets that have expired.
    pub(crate) expired_secrets: Vec<String>,
    /// The certificates that are registered: `x5t#S256` and the public key (PEM).
    pub(crate) certificates: HashMap<String, String>,
    /// The federated tokens that are accepted.
    pub(crate) federated: Vec<String>,
    /// The roles that tokens for Graph carry.
    pub(crate) roles: Vec<&'static str>,
    /// The resource that tokens for Graph must be for; `None` takes any.
    pub(crate) graph_audience: Option<&'static str>,
    /// How long a token is good.
    pub(crate) lifetime: TimeDelta,
    /// What the next requests for a token meet.
    pub(crate) next: Vec<Act>,
    /// The assertions that were used; each may be used once.
    used_assertions: Vec<String>,
    issued: HashMap<String, Token>,
}

#[derive(Debug, Clone)]
struct Token {
    audience: String,
    expires: DateTime<Utc>,
    roles: Vec<&'static str>,
}

impl Login {
    pub(super) fn new(origin: &str) -> Self {
        Self {
            token_url: format!("{origin}/{TENANT}/oauth2/v2.0/token"),
            secrets: vec![CLIENT_SECRET.to_owned()],
            expired_secrets: Vec::new(),
            certificates: HashMap::new(),
            federated: Vec::new(),
            roles: vec!["User.Read.All", "Mail.ReadWrite"],
            graph_audience: Some("https://graph.microsoft.com"),
            lifetime: TimeDelta::minutes(60),
            next: Vec::new(),
            used_assertions: Vec::new(),
            issued: HashMap::new(),
        }
    }

    /// Takes all tokens back: each is refused from now on.
    pub(crate) fn revoke(&mut self) {
        self.issued.clear();
    }

    /// How many tokens were given.
    pub(crate) fn issued(&self) -> usize {
        self.issued.len()
    }

    fn issue(&mut self, audience: &str, now: DateTime<Utc>) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({ "aud": audience, "roles": self.roles, "jti": self.issued.len() });
        let token = format!("{}.{}.c2lnbmF0dXJl", part(&json!({ "alg": "RS256" })), part(&claims));
        let expires = now + self.lifetime;
        self.issued.insert(token.clone(), Token { audience: audience.to_owned(), expires, roles: self.roles.clone() });
        token
    }

    /// The roles of a token for Graph; `None` where it is no good.
    pub(super) fn roles_of(&self, authorization: Option<&str>, now: DateTime<Utc>) -> Option<Vec<&'static str>> {
        let token = self.issued.get(authorization?.strip_prefix("Bearer ")?)?;
        let for_graph = self.graph_audience.is_none_or(|audience| token.audience == audience);
        (for_graph && token.expires > now).then(|| token.roles.clone())
    }
}

impl World {
    /// The answer of a token endpoint; `None` where the path is none.
    pub(super) fn log_in(&mut self, request: &Request) -> Option<Answer> {
        let path: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        let is_form = matches!(path.as_slice(), [_, "oauth2", "v2.0", "token"]);
        let is_metadata = matches!(path.as_slice(), ["metadata", "identity", "oauth2", "token"]);
        let is_app_service = matches!(path.as_slice(), ["msi", "token"]);
        if !is_form && !is_metadata && !is_app_service {
            return None;
        }
        if !self.login.next.is_empty() {
            let Act::Reply { status, code, retry_after } = self.login.next.remove(0) else {
                panic!("the log-in fails with replies only")
            };
            let answer = Answer::json(status, &json!({ "error": code, "error_description": code }));
            return Some(with_retry_after(answer, retry_after, self.now()));
        }
        Some(if is_form { self.by_form(request) } else { self.by_identity(request, is_metadata) })
    }

    fn by_form(&mut self, request: &Request) -> Answer {
        let form = Request::of("POST", &format!("/?{}", String::from_utf8_lossy(&request.body)));
        let field = |name: &str| form.query(name).unwrap_or_default().to_owned();
        if request.method != "POST" || field("grant_type") != "client_credentials" {
            return refused(400, 70_003, "unsupported_grant_type", "The app requested an unsupported grant type.");
        }
        if request.segments[0] != TENANT {
            return refused(400, 90_002, "invalid_request", &format!("Tenant '{}' not found.", request.segments[0]));
        }
        if field("client_id") != CLIENT_ID {
            let text = format!("Application with identifier '{}' was not found.", field("client_id"));
            return refused(400, 700_016, "unauthorized_client", &text);
        }
        let scope = field("scope");
        let Some(audience) = scope.strip_suffix("/.default") else {
            return refused(400, 1_002_012, "invalid_scope", "The provided value for scope is not valid.");
        };
        let proof = if form.query("client_assertion").is_some() {
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            assert_eq!(field("client_assertion_type"), kind);
            self.check_assertion(&field("client_assertion"))
        } else {
            self.check_secret(&field("client_secret"))
        };
        match proof {
            Ok(()) => self.grant(audience, |life| json!(life)),
            Err(answer) => answer,
        }
    }

    fn check_secret(&self, secret: &str) -> Result<(), Answer> {
        if self.login.secrets.iter().any(|known| known == secret) {
            return Ok(());
        }
        if self.login.expired_secrets.iter().any(|known| known == secret) {
            return Err(refused(401, 7_000_222, "invalid_client", "The provided client secret keys are expired."));
        }
        Err(refused(401, 7_000_215, "invalid_client", "Invalid client secret provided."))
    }

    fn check_assertion(&mut self, assertion: &str) -> Result<(), Answer> {
        let refuse = |text: &str| Err(refused(401, 700_027, "invalid_client", text));
        if self.login.federated.iter().any(|known| known == assertion) {
            return Ok(());
        }
        let Ok(header) = jsonwebtoken::decode_header(assertion) else {
            return Err(refused(401, 700_211, "invalid_client", "No matching federated identity record found."));
        };
        let certificate = header.x5t_s256.and_then(|thumbprint| self.login.certificates.get(&thumbprint));
        let Some(public_key) = certificate else { return refuse("The certificate is not registered.") };
        let key = DecodingKey::from_rsa_pem(public_key.as_bytes()).unwrap();
        let mut validation = Validation::new(Algorithm::PS256);
        // The times are checked on the server's own clock.
        validation.validate_exp = false;
        validation.set_audience(&[&self.login.token_url]);
        validation.set_issuer(&[CLIENT_ID]);
        let Ok(token) = jsonwebtoken::decode::<Value>(assertion, &key, &validation) else {
            return refuse("Client assertion failed signature validation.");
        };
        let time = |name: &str| token.claims[name].as_i64().unwrap_or_default();
        let now = self.now().timestamp();
        let in_time = time("nbf") <= now && now < time("exp") && time("exp") - time("nbf") <= 600;
        if !in_time || token.claims["sub"] != CLIENT_ID {
            return Err(refused(
                401,
                700_024,
                "invalid_client",
                "Client assertion is not within its valid time range.",
            ));
        }
        let id = token.claims["jti"].as_str().unwrap_or_default().to_owned();
        if id.is_empty() || self.login.used_assertions.contains(&id) {
            return refuse("The assertion was used before.");
        }
        self.login.used_assertions.push(id);
        Ok(())
    }

    fn by_identity(&mut self, request: &Request, is_metadata: bool) -> Answer {
        let allowed = if is_metadata {
            request.header("metadata") == Some("true") && request.query("api-version") == Some("2018-02-01")
        } else {
            request.header("x-identity-header") == Some("header-secret")
                && request.query("api-version") == Some("2019-08-01")
        };
        let Some(resource) = request.query("resource").filter(|_| allowed && request.method == "GET") else {
            return Answer::json(400, &json!({ "error": "invalid_request", "error_description": "bad request" }));
        };
        // Managed identity writes numbers as strings.
        let resource = resource.to_owned();
        self.grant(&resource, |life| json!(life.to_string()))
    }

    fn grant(&mut self, audience: &str, lifetime: fn(i64) -> Value) -> Answer {
        let now = self.now();
        let token = self.login.issue(audience, now);
        let life = lifetime(self.login.lifetime.num_seconds());
        Answer::json(200, &json!({ "token_type": "Bearer", "expires_in": life, "access_token": token }))
    }
}

fn refused(status: u16, code: u64, error: &str, text: &str) -> Answer {
    let description = format!("AADSTS{code}: {text}\r\nTrace ID: 0\r\nCorrelation ID: 0");
    Answer::json(status, &json!({ "error": error, "error_description": description, "error_codes": [code] }))
}
