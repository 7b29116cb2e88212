//! The HTTP client on the wire: caps, time-outs, what an error tells, and what it doesn't show.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use reqwest::{StatusCode, Url};
use whatsapp_archiver::clock::SystemClock;
use whatsapp_archiver::http::{HttpClient, HttpError, HttpOptions, Remote};

use crate::servers::telemessage::{ArchivedItem, Fault, MediaFault, PASSWORD, PageFault, TeleMessageServer, USERNAME};

mod tls;

const BODY: &[u8] = b"0123456789";

fn client() -> HttpClient {
    HttpClient::build(&HttpOptions::default()).unwrap()
}

fn impatient() -> HttpClient {
    let moment = Duration::from_millis(250);
    let options = HttpOptions { read_timeout: moment, request_timeout: moment, ..HttpOptions::default() };
    HttpClient::build(&options).unwrap()
}

/// A server with one attachment of ten bytes.
fn server() -> TeleMessageServer {
    let server = TeleMessageServer::start(Arc::new(SystemClock));
    let received = chrono::DateTime::UNIX_EPOCH;
    server.add([ArchivedItem::message(1, received).attachment("a.bin", "application/octet-stream", BODY)]);
    server
}

/// The attachment's URL, with the credential and a query that no error may show.
fn url(server: &TeleMessageServer) -> Url {
    let mut url = Url::parse(&server.base_url()).unwrap();
    url.set_path("/basicsecured/api/rest/archive/attachment");
    url.set_query(Some("id=1&index=0&sig=top-secret"));
    url.set_username(USERNAME).unwrap();
    url.set_password(Some(PASSWORD)).unwrap();
    url
}

async fn send(client: &HttpClient, server: &TeleMessageServer, cap: u64) -> Result<Vec<u8>, HttpError> {
    let reply = client.send(Remote::Source, client.get(url(server)), cap).await?;
    assert_eq!(reply.status, StatusCode::OK);
    Ok(reply.body.to_vec())
}

/// What a log could show of an error.
fn shown(error: &HttpError) -> String {
    format!("{error} {error:?}")
}

fn assert_redacted(error: &HttpError) {
    let shown = shown(error);
    assert!(shown.contains("/basicsecured/api/rest/archive/attachment"), "{shown}");
    for secret in ["top-secret", "archive-admin", "corr", "index=0"] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
}

#[tokio::test]
async fn a_body_may_be_as_long_as_the_cap() {
    let server = server();
    assert_eq!(send(&client(), &server, 10).await.unwrap(), BODY);
    let error = send(&client(), &server, 9).await.unwrap_err();
    assert!(matches!(error, HttpError::BodyTooLarge { status: StatusCode::OK, cap: 9, .. }), "{error}");
    assert_redacted(&error);
}

#[tokio::test]
async fn a_connection_that_fails_was_certainly_not_used() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = Url::parse(&format!("http://{}/path?sig=top-secret", socket.local_addr().unwrap())).unwrap();
    let client = client();
    let error = client.send(Remote::Mailbox, client.post(url), 10).await.unwrap_err();
    assert!(error.is_certainly_unsent(), "{error}");
    assert!(!shown(&error).contains("top-secret"), "{error}");
    assert!(error.to_string().contains("refused"), "the cause is named: {error}");
}

#[tokio::test]
async fn a_lost_reply_leaves_the_outcome_unknown() {
    let server = server();
    server.fail_attachment(1, 0, Fault::Drop);
    let error = send(&client(), &server, 10).await.unwrap_err();
    assert!(matches!(error, HttpError::OutcomeUnknown { timed_out: false, .. }), "{error}");
    assert!(!error.is_certainly_unsent());
    assert_redacted(&error);
    assert_eq!(server.requests().len(), 1, "a lost reply is not asked for again");
}

#[tokio::test]
async fn silence_times_out_and_leaves_the_outcome_unknown() {
    let server = server();
    server.fail_attachment(1, 0, Fault::Silence);
    let error = send(&impatient(), &server, 10).await.unwrap_err();
    assert!(matches!(error, HttpError::OutcomeUnknown { timed_out: true, .. }), "{error}");
    assert_redacted(&error);
    server.fail_attachment(1, 0, MediaFault::Stall);
    let error = send(&impatient(), &server, 10).await.unwrap_err();
    assert!(error.timed_out(), "{error}");
}

#[tokio::test]
async fn a_body_that_breaks_off_reports_the_status() {
    let server = server();
    server.fail_attachment(1, 0, MediaFault::BreakOff);
    let error = send(&client(), &server, 10).await.unwrap_err();
    assert!(matches!(error, HttpError::BodyBroken { timed_out: false, .. }), "{error}");
    assert_eq!(error.status(), Some(StatusCode::OK));
    assert_redacted(&error);
}

#[tokio::test]
async fn a_streamed_body_comes_piece_by_piece_and_with_its_length() {
    let server = server();
    let client = client();
    let reply = client.stream(Remote::Source, client.get(url(&server))).await.unwrap();
    assert_eq!((reply.status, reply.length), (StatusCode::OK, Some(10)));
    let pieces: Vec<_> = reply.body.try_collect().await.unwrap();
    assert_eq!(pieces.concat(), BODY);

    server.fail_attachment(1, 0, MediaFault::BreakOff);
    let reply = client.stream(Remote::Source, client.get(url(&server))).await.unwrap();
    let error = reply.body.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(error, HttpError::BodyBroken { .. }), "{error}");
}

#[tokio::test]
async fn redirects_are_replies() {
    let server = server();
    server.fail_attachment(1, 0, Fault::Redirect("/elsewhere".to_owned()));
    let client = client();
    let reply = client.send(Remote::Source, client.get(url(&server)), 10).await.unwrap();
    assert_eq!(reply.status, StatusCode::FOUND);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn nothing_is_sent_in_clear_text_to_another_machine() {
    let client = client();
    // A test network (RFC 5737): a connection to it would hang, not fail.
    let url = Url::parse("http://192.0.2.1/path").unwrap();
    let error = client.send(Remote::Source, client.get(url), 10).await.unwrap_err();
    assert!(matches!(&error, HttpError::Invalid { detail } if detail.contains("loopback")), "{error}");
    assert!(error.is_certainly_unsent());
}

#[tokio::test]
async fn every_request_is_observed_once() {
    let server = server();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let observed = Arc::clone(&seen);
    let client = client().observed_by(Arc::new(move |remote, result, _| {
        let result = result.map(|status| status.as_u16()).map_err(HttpError::label);
        observed.lock().unwrap().push((remote.name(), result));
    }));
    send(&client, &server, 10).await.unwrap();
    send(&client, &server, 9).await.unwrap_err();
    server.fail_attachment(1, 0, Fault::Status(503));
    client.stream(Remote::Staging, client.get(url(&server))).await.map(|_| ()).unwrap();
    server.fail_attachment(1, 0, Fault::Drop);
    send(&client, &server, 10).await.unwrap_err();
    let expected =
        [("source", Ok(200)), ("source", Err("body_too_large")), ("staging", Ok(503)), ("source", Err("dropped"))];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn an_unusable_ca_file_is_reported() {
    for pem in [&b"not a certificate"[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b""] {
        let options = HttpOptions { extra_roots_pem: Some(pem.to_vec()), ..HttpOptions::default() };
        let built = HttpClient::build(&options);
        assert!(matches!(built, Err(HttpError::Invalid { .. })), "{}", pem.escape_ascii());
    }
}

#[tokio::test]
async fn a_gzip_body_that_is_damaged_is_broken() {
    let server = server();
    server.fail_page(PageFault::BadGzip);
    let mut url = Url::parse(&server.base_url()).unwrap();
    url.set_path("/basicsecured/api/rest/archive/getmessages");
    let client = client();
    let list = r#"{"sourceTypes":[],"fromDate":0,"toDate":1,"lastId":0,"limit":1}"#;
    let request = client.post(url).basic_auth(USERNAME, Some(PASSWORD)).body(list);
    let error = client.send(Remote::Source, request, 1000).await.unwrap_err();
    assert!(matches!(error, HttpError::BodyBroken { .. }), "{error}");
}
