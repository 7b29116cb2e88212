//! The stream to an IMAP server: TCP, and TLS over it from the start or after STARTTLS.
//!
//! Guarantees: without TLS only a loopback address is spoken to, and never because a server offers none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

use super::connection::Transport;
use super::settings::{ImapSettings, SettingsError, TlsMode};
use crate::mailbox::ImportError;

/// Opens streams to one server.
pub(super) struct Endpoint {
    host: String,
    port: u16,
    mode: TlsMode,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// For how long the system may try to deliver what was handed to it.
    patience: Duration,
}

impl Endpoint {
    /// The server of `settings`. Reads the platform's roots, unless there is no TLS.
    pub(super) fn new(settings: &ImapSettings) -> Result<Self, SettingsError> {
        let tls = match settings.tls {
            TlsMode::None => None,
            TlsMode::Implicit | TlsMode::StartTls => {
                let name = ServerName::try_from(settings.host.clone())
                    .map_err(|_| SettingsError::Host { host: settings.host.clone() })?;
                Some((TlsConnector::from(Arc::new(client_config(settings.extra_roots_pem.as_deref())?)), name))
            }
        };
        Ok(Self {
            host: settings.host.clone(),
            port: settings.port,
            mode: settings.tls,
            tls,
            patience: settings.timeouts.silence,
        })
    }

    /// The server's address, for messages.
    pub(super) fn name(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Whether TLS begins with STARTTLS.
    pub(super) fn starts_tls(&self) -> bool {
        self.mode == TlsMode::StartTls
    }

    /// Connects, with TLS where it is implicit.
    pub(super) async fn connect(&self) -> Result<Box<dyn Transport>, ImportError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| ImportError::Unavailable(format!("no connection to {}: {error}", self.name())))?;
        let unavailable = |error: std::io::Error| ImportError::Unavailable(format!("{}: {error}", self.name()));
        let peer = stream.peer_addr().map_err(unavailable)?;
        self.check_clear_text(peer)?;
        // Commands go out whole; waiting for more would only delay them.
        stream.set_nodelay(true).map_err(unavailable)?;
        self.bound_delivery(&stream);
        let stream: Box<dyn Transport> = Box::new(stream);
        if self.mode == TlsMode::Implicit { self.secure(stream).await } else { Ok(stream) }
    }

    /// What the network loses is sent again by the system, for minutes and even after the connection was left. Beyond our
    /// patience it isn't: `mailbox.settle`, after which a message counts as absent, is longer than that.
    fn bound_delivery(&self, stream: &TcpStream) {
        let millis = u32::try_from(self.patience.as_millis()).unwrap_or(u32::MAX);
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, millis) {
            tracing::debug!(event = "time_out_not_set", error = %error, "the system's own time-out of an IMAP connection can't be set");
        }
    }

    /// A host's name may lead anywhere: what counts is where the connection ends.
    fn check_clear_text(&self, peer: SocketAddr) -> Result<(), ImportError> {
        if self.mode != TlsMode::None || peer.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        let host = &self.host;
        Err(ImportError::Forbidden(format!("mailbox.tls = \"none\" is for this machine alone, and {host} is {peer}")))
    }

    /// Begins TLS on a stream.
    pub(super) async fn secure(&self, stream: Box<dyn Transport>) -> Result<Box<dyn Transport>, ImportError> {
        let Some((connector, name)) = &self.tls else { return Ok(stream) };
        match connector.connect(name.clone(), stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(ImportError::Unavailable(format!("no TLS with {}: {error}", self.name()))),
        }
    }
}

fn client_config(extra_roots_pem: Option<&[u8]>) -> Result<ClientConfig, SettingsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let extra_roots = extra_roots_pem.map(certificates).transpose()?.unwrap_or_default();
    let roots = |error: tokio_rustls::rustls::Error| SettingsError::Roots { detail: error.to_string() };
    let verifier = Verifier::new_with_extra_roots(extra_roots, Arc::clone(&provider)).map_err(roots)?;
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(roots)?;
    Ok(config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| SettingsError::Roots { detail: format!("the CA file isn't PEM: {error}") })?;
    if found.is_empty() {
        return Err(SettingsError::Roots { detail: "the CA file holds no certificate".to_owned() });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_only_this_machine_is_spoken_to() {
        let endpoint =
            |mode| Endpoint { host: "imap.example".to_owned(), port: 143, mode, tls: None, patience: Duration::ZERO };
        for (peer, is_here) in [
            ("127.0.0.1:143", true),
            ("127.3.2.1:143", true),
            ("[::1]:143", true),
            ("[::ffff:127.0.0.1]:143", true),
            ("10.0.0.1:143", false),
            ("192.0.2.1:143", false),
            ("0.0.0.0:143", false),
            ("[::]:143", false),
            ("[2001:db8::1]:143", false),
            ("[::ffff:192.0.2.1]:143", false),
        ] {
            let peer = peer.parse().unwrap();
            let checked = endpoint(TlsMode::None).check_clear_text(peer);
            assert_eq!(checked.is_ok(), is_here, "{peer}");
            assert!(is_here || matches!(checked, Err(ImportError::Forbidden(_))));
            assert!(endpoint(TlsMode::StartTls).check_clear_text(peer).is_ok());
        }
    }
}
