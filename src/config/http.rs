//! `[http]`: the status pages, health and metrics.

use std::net::SocketAddr;

use secrecy::ExposeSecret as _;

use super::document::Value;
use super::form::{self, Invalid};
use super::reader::Section;
use super::schema::{Key, SectionSchema, Shape};
use crate::secret::Secret;

/// The least that a token has, in characters, where others than this machine can try to guess it.
const MIN_TOKEN: usize = 16;

/// The status pages, health and metrics.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Where they are served.
    pub listen: SocketAddr,
    /// What a reader of the pages must show; there where `listen` is not a loopback address.
    pub token: Option<Secret>,
}

pub(super) const SCHEMA: SectionSchema = SectionSchema {
    name: "http",
    keys: &[
        Key::new("listen", Shape::Text, "\"127.0.0.1:8080\"").default(),
        Key::new("token", Shape::Secret, "{ env = \"STATUS_TOKEN\" }"),
    ],
};

pub(super) fn read(section: &mut Section<'_>) -> Option<HttpConfig> {
    let listen = section.or_default("listen", socket_address);
    let token = section.secret("token");
    let is_open = listen.is_some_and(|listen| !listen.ip().is_loopback());
    if is_open && !section.has("token") {
        section.wrong("token", Invalid::new("missing: it is required where listen is not a loopback address"));
    }
    if let Some(Ok(token)) = token.as_ref().map(Secret::read)
        && is_open
        && token.expose_secret().chars().count() < MIN_TOKEN
    {
        let what = format!("too short: at least {MIN_TOKEN} characters where listen is not a loopback address");
        section.wrong("token", Invalid::with(what, "put a random one there, such as of `openssl rand -hex 32`"));
    }
    Some(HttpConfig { listen: listen?, token })
}

fn socket_address(value: &Value) -> Result<SocketAddr, Invalid> {
    let what = "not an IP address with a port";
    form::text(value)?
        .parse()
        .map_err(|_| Invalid::with(what, "listen = \"127.0.0.1:8080\" (or \"0.0.0.0:8080\", \"[::]:8080\")"))
}
