//! Whom the client trusts.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::{StatusCode, Url};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use whatsapp_archiver::http::{HttpClient, HttpError, HttpOptions, Remote};

/// A server on this machine whose certificate, for `name`, is by a CA that nobody knows; and the CA's certificate (PEM).
async fn server(name: &str) -> (Url, String) {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key.into()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://localhost:{}/", listener.local_addr().unwrap().port())).unwrap();
    tokio::spawn(answer_each(listener, TlsAcceptor::from(Arc::new(config))));
    (url, ca.pem())
}

async fn answer_each(listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        // A client that doesn't trust us leaves here.
        let Ok(mut connection) = acceptor.accept(connection).await else { continue };
        let mut request = [0; 4096];
        if connection.read(&mut request).await.is_ok_and(|length| length > 0) {
            let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
            connection.write_all(reply).await.unwrap();
            connection.shutdown().await.unwrap();
        }
    }
}

async fn send(url: Url, extra_roots_pem: Option<String>) -> Result<StatusCode, HttpError> {
    let options = HttpOptions { extra_roots_pem: extra_roots_pem.map(String::into_bytes), ..HttpOptions::default() };
    let client = HttpClient::build(&options).unwrap();
    client.send(Remote::Mailbox, client.get(url), 10).await.map(|reply| reply.status)
}

#[tokio::test]
async fn an_additional_ca_is_trusted_and_only_when_configured() {
    let (url, ca) = server("localhost").await;
    assert_eq!(send(url.clone(), Some(ca)).await.unwrap(), StatusCode::OK);
    let error = send(url, None).await.unwrap_err();
    assert!(error.is_certainly_unsent(), "{error}");
    assert!(error.to_string().contains("certificate"), "the cause is named: {error}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (url, ca) = server("archive.example").await;
    let error = send(url, Some(ca)).await.unwrap_err();
    assert!(error.is_certainly_unsent(), "{error}");
}

#[tokio::test]
async fn another_ca_is_no_help() {
    let (url, _) = server("localhost").await;
    let (_, other_ca) = server("localhost").await;
    assert!(send(url, Some(other_ca)).await.unwrap_err().is_certainly_unsent());
}
