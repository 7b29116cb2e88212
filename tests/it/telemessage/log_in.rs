//! The log-in, and what becomes of the credential.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Duration;
use whatsapp_archiver::source::{Source as _, SourceError};

use super::{Bench, at, shown};
use crate::servers::telemessage::{ArchivedItem, Asked, Fault, PASSWORD, PageFault, TeleMessageServer, USERNAME};

#[tokio::test]
async fn a_log_in_reads_the_time_and_no_item() {
    let bench = Bench::with_messages([1]);
    let time = bench.source.log_in().await.unwrap();
    assert_eq!(time, Some(at(0) + Duration::days(2)));
    let requests = bench.server.page_requests();
    assert_eq!((requests.len(), requests[0].limit), (1, 0));
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_named_but_never_shown() {
    let bench = Bench::new();
    *bench.password.lock().unwrap() = Ok("hunter2".to_owned());
    let error = bench.source.log_in().await.unwrap_err();
    assert!(matches!(error, SourceError::Refused { .. }), "{error}");
    let shown = shown(&error);
    assert!(shown.contains(USERNAME) && shown.contains("source.password"), "{shown}");
    assert!(shown.contains(&bench.server.base_url()), "{shown}");
    // Neither as it is nor in base64.
    assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMg"), "{shown}");
    assert_eq!(bench.server.requests().len(), 1, "a refused credential is not tried again");
}

#[tokio::test]
async fn a_password_that_changes_is_read_anew() {
    let bench = Bench::with_messages([1]);
    bench.page(0, 500).await.unwrap();
    bench.server.set_password("new");
    assert!(matches!(bench.page_error().await, SourceError::Refused { .. }));
    *bench.password.lock().unwrap() = Ok("new".to_owned());
    assert_eq!(bench.page(0, 500).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_password_that_cannot_be_read_sends_nothing() {
    let bench = Bench::new();
    *bench.password.lock().unwrap() = Err("/run/secrets/x: permission denied".to_owned());
    let error = bench.source.log_in().await.unwrap_err();
    assert!(matches!(error, SourceError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("/run/secrets/x: permission denied"), "{error}");
    assert!(bench.server.requests().is_empty());
}

#[tokio::test]
async fn every_sign_of_a_refused_credential_is_one() {
    let bench = Bench::new();
    let statuses = [401, 403].map(Fault::Status);
    let codes = [300, 301, 308, 309].map(Fault::Code);
    let wrapped = [300, 309].map(Fault::WrappedCode);
    let both = [(401, 0), (200, 301), (400, 300), (500, 308), (429, 309)];
    let both = both.map(|(status, code)| Fault::StatusAndCode(status, code));
    for fault in statuses.into_iter().chain(codes).chain(wrapped).chain(both) {
        bench.server.fail_page(fault.clone());
        let error = bench.source.log_in().await.unwrap_err();
        assert!(matches!(error, SourceError::Refused { .. }), "{fault:?}: {error}");
        bench.server.fail_page(fault.clone());
        let error = bench.page_error().await;
        assert!(matches!(error, SourceError::Refused { .. }), "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn what_the_source_says_is_shown_without_numbers() {
    let bench = Bench::new();
    bench.server.fail_page(Fault::Code(301));
    let shown = shown(&bench.page_error().await);
    assert!(shown.contains("result code 301 (Failed for •••••)"), "{shown}");
    assert!(!shown.contains("15550100"), "{shown}");
}

#[tokio::test]
async fn an_answer_that_is_no_log_in_is_not_one() {
    let bench = Bench::impatient();
    for fault in [PageFault::NotJson, PageFault::ForeignJson, PageFault::Truncated, PageFault::Stall] {
        bench.server.fail_page(fault.clone());
        let error = bench.source.log_in().await.unwrap_err();
        assert!(matches!(error, SourceError::Unavailable(_)), "{fault:?}: {error}");
    }
    let bench = Bench::new();
    bench.server.fail_page(PageFault::InvalidToken);
    assert!(matches!(bench.source.log_in().await.unwrap_err(), SourceError::SessionEnded));
}

#[tokio::test]
async fn the_credential_goes_to_the_configured_origin_alone() {
    let bench = Bench::new();
    let bytes = b"not yet there".as_slice();
    bench.server.add([ArchivedItem::message(1, at(0)).attachment("a.bin", "application/octet-stream", bytes)]);
    let elsewhere = TeleMessageServer::start(bench.clock());
    let target = format!("{}/basicsecured/api/rest/archive/getmessages?token=secret", elsewhere.base_url());
    bench.server.fail_page(Fault::Redirect(target.clone()));
    let error = bench.page_error().await;
    assert!(matches!(error, SourceError::Contract(_)), "{error}");
    assert!(error.to_string().contains(&elsewhere.base_url()), "{error}");
    assert!(!shown(&error).contains("secret"), "{error}");

    bench.server.fail_page(Fault::Redirect(target.clone()));
    assert!(matches!(bench.source.log_in().await.unwrap_err(), SourceError::Contract(_)));

    bench.server.fail_attachment(1, 0, Fault::Redirect(target));
    let error = bench.bytes(1, 0).await.unwrap_err();
    assert!(matches!(error, SourceError::Contract(_)), "{error}");

    assert!(elsewhere.requests().is_empty(), "nothing follows the redirect, with or without the credential");
    assert_eq!(bench.bytes(1, 0).await.unwrap(), bytes, "and the attachment is there all the same");
}

#[tokio::test]
async fn requests_carry_the_credential_and_say_who_asks() {
    let bench = Bench::with_messages([1]);
    bench.page(0, 500).await.unwrap();
    let request = &bench.server.requests()[0];
    assert!(matches!(request.asked, Asked::Page(_)));
    let encoded = STANDARD.encode(format!("{USERNAME}:{PASSWORD}"));
    assert_eq!(request.authorization, Some(format!("Basic {encoded}")));
    assert!(request.user_agent.starts_with("whatsapp-archiver/"), "{}", request.user_agent);
    assert!(request.accept_encoding.contains("gzip"), "{}", request.accept_encoding);
}
