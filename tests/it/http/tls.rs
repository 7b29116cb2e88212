//! Whom the client trusts.

use reqwest::{StatusCode, Url};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use whatsapp_archiver::http::{HttpClient, HttpError, HttpOptions, Remote};

use crate::servers::tls;

/// A server on this machine whose certificate, for `name`, is by a CA that nobody knows; and the CA's certificate (PEM).
async fn server(name: &str) -> (Url, String) {
    let (config, ca) = tls::certified(name);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://localhost:{}/", listener.local_addr().unwrap().port())).unwrap();
    tokio::spawn(answer_each(listener, TlsAcceptor::from(config)));
    (url, ca)
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
