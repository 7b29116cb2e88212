//! Staging in Azure: the contract against Azurite, and what happens when the service or the way to it fails.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use bytes::Bytes;
use chrono::{TimeZone as _, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use secrecy::SecretString;
use whatsapp_archiver::clock::ManualClock;
use whatsapp_archiver::http::{HttpClient, HttpOptions};
use whatsapp_archiver::sign_in::SignInError;
use whatsapp_archiver::staging::azure::{AzureSettings, AzureStaging, ContainerAuth};
use whatsapp_archiver::staging::{BlobName, Staging, StagingError};

use crate::servers::azure_wire::{AzureWire, Fault};
use crate::servers::azurite::{self, Azurite};
use crate::staging_contract::staging_contract;

mod protection;

mod contract {
    use super::*;

    async fn on_azurite() -> (Arc<dyn Staging>, ()) {
        let staging = staging(Azurite::shared().port(), &new_container(), "", &azurite::sas());
        staging.prepare().await.unwrap();
        (Arc::new(staging), ())
    }

    staging_contract!(on_azurite());
}

fn name(text: &str) -> BlobName {
    BlobName::parse(text).unwrap()
}

fn new_container() -> String {
    format!("c{}", uuid::Uuid::now_v7().simple())
}

fn settings(port: u16, container: &str, prefix: &str) -> AzureSettings {
    let endpoint = azurite::endpoint(port).parse().unwrap();
    AzureSettings { endpoint, container: container.to_owned(), prefix: prefix.to_owned() }
}

fn staging(port: u16, container: &str, prefix: &str, sas: &str) -> AzureStaging {
    let sas = sas.to_owned();
    let auth = ContainerAuth::Sas(Arc::new(move || Ok(SecretString::from(sas.clone()))));
    build(&settings(port, container, prefix), auth).unwrap()
}

fn build(settings: &AzureSettings, auth: ContainerAuth) -> Result<AzureStaging, StagingError> {
    let http = HttpClient::build(&HttpOptions::default()).unwrap();
    let clock = ManualClock::standing(Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap());
    AzureStaging::new(settings, auth, http, Arc::new(clock))
}

/// A staging area behind a line on which things go wrong.
async fn on_a_bad_line() -> (AzureStaging, AzureWire) {
    let wire = AzureWire::to(Azurite::shared().port()).await;
    let staging = staging(wire.port(), &new_container(), "", &azurite::sas());
    staging.prepare().await.unwrap();
    (staging, wire)
}

fn megabytes(count: usize) -> futures_util::stream::BoxStream<'static, std::io::Result<Bytes>> {
    stream::iter(0..count).map(|number| Ok(Bytes::from(vec![u8::try_from(number % 251).unwrap(); 1 << 20]))).boxed()
}

/// The words of an error, and that they hold no secret.
fn words(error: &StagingError) -> String {
    let words = format!("{error} {error:?}");
    assert!(!words.contains("sig=") && !words.contains("&se="), "{words}");
    words
}

#[tokio::test]
async fn a_container_of_its_own_needs_no_right_to_create() {
    let (port, container) = (Azurite::shared().port(), new_container());
    let limited = staging(port, &container, "", &azurite::container_sas(&container, "racwdl"));
    let refused = limited.prepare().await.unwrap_err();
    assert!(matches!(refused, StagingError::Refused(_)), "{refused}");
    assert!(words(&refused).contains("create it, or grant the right to"), "{refused}");

    staging(port, &container, "", &azurite::sas()).prepare().await.unwrap();
    limited.prepare().await.unwrap();
    limited.put_stream(&name("a/blob"), megabytes(9), u64::MAX).await.unwrap();
    assert_eq!(limited.list("").await.unwrap(), [(name("a/blob"), 9 << 20)]);
    limited.remove(&name("a/blob")).await.unwrap();
}

/// Gives the same token always.
#[derive(Debug)]
struct FixedToken(String);

#[async_trait::async_trait]
impl TokenCredential for FixedToken {
    async fn get_token(
        &self,
        scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        assert_eq!(scopes, ["https://storage.azure.com/.default"]);
        Ok(AccessToken::new(
            self.0.clone(),
            azure_core::time::OffsetDateTime::from_unix_timestamp(4_070_908_800).unwrap(),
        ))
    }
}

/// A credential that can't be had.
#[derive(Debug)]
struct NoToken(SignInError);

#[async_trait::async_trait]
impl TokenCredential for NoToken {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        Err(azure_core::Error::new(azure_core::error::ErrorKind::Credential, self.0.clone()))
    }
}

#[tokio::test]
async fn a_token_opens_the_container_over_https() {
    let folder = tempfile::TempDir::new().unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = certified.cert.pem();
    std::fs::write(folder.path().join("cert.pem"), &certificate).unwrap();
    std::fs::write(folder.path().join("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    let azurite = Azurite::with_tokens(folder.path());
    let endpoint = azurite::endpoint(azurite.port()).replace("http://127.0.0.1", "https://localhost");
    let settings = AzureSettings { endpoint: endpoint.parse().unwrap(), ..settings(1, &new_container(), "archive") };
    let with_token = |token: String| {
        let options = HttpOptions { extra_roots_pem: Some(certificate.clone().into_bytes()), ..HttpOptions::default() };
        let http = HttpClient::build(&options).unwrap();
        let clock = Arc::new(whatsapp_archiver::clock::SystemClock);
        AzureStaging::new(&settings, ContainerAuth::Entra(Arc::new(FixedToken(token))), http, clock).unwrap()
    };

    let staging = with_token(azurite::token("https://storage.azure.com"));
    staging.prepare().await.unwrap();
    let blob = name("a/blob");
    staging.put_stream(&blob, megabytes(9), u64::MAX).await.unwrap();
    assert_eq!(staging.get(&blob, u64::MAX).await.unwrap().len(), 9 << 20);
    assert_eq!(staging.list("a/").await.unwrap(), [(blob, 9 << 20)]);

    let other = azurite::token("https://graph.microsoft.com");
    let error = with_token(other.clone()).prepare().await.unwrap_err();
    assert!(matches!(error, StagingError::Refused(_)), "{error}");
    assert!(!words(&error).contains(&other), "{error}");
}

#[tokio::test]
async fn a_sign_in_that_fails_is_classified_by_its_own_error() {
    let settings = AzureSettings { endpoint: "https://localhost:1/".parse().unwrap(), ..settings(1, "container", "") };
    let fails_with = |error: SignInError| {
        let staging = build(&settings, ContainerAuth::Entra(Arc::new(NoToken(error)))).unwrap();
        async move { staging.prepare().await.unwrap_err() }
    };
    let error = fails_with(SignInError::Refused { detail: "AADSTS7000222".into(), remedy: "Renew it".into() }).await;
    assert!(matches!(&error, StagingError::Refused(words) if words.contains("Renew it")), "{error:?}");
    let error = fails_with(SignInError::Unavailable("no route".into())).await;
    assert!(matches!(&error, StagingError::Unavailable(words) if words.contains("no route")), "{error:?}");
    let pause = Some(Duration::from_secs(3));
    let error = fails_with(SignInError::Throttled { after: pause, detail: "busy".into() }).await;
    assert!(matches!(error, StagingError::Throttled { after, .. } if after == pause), "{error:?}");

    let clear_text = AzureSettings { endpoint: "http://127.0.0.1:1/".parse().unwrap(), ..settings };
    let refused = build(&clear_text, ContainerAuth::Entra(Arc::new(FixedToken(String::new()))));
    assert!(matches!(refused, Err(StagingError::Refused(_))));
}

#[tokio::test]
async fn a_prefix_keeps_areas_in_one_container_apart() {
    let (port, container) = (Azurite::shared().port(), new_container());
    // One signature comes with its question mark, one prefix with its slash.
    let areas = [("", azurite::sas()), ("archive", format!("?{}", azurite::sas())), ("archive/two/", azurite::sas())];
    let areas = areas.map(|(prefix, sas)| staging(port, &container, prefix, &sas));
    for (number, area) in areas.iter().enumerate() {
        area.prepare().await.unwrap();
        area.put(&name("a/blob"), Bytes::from(vec![0; number])).await.unwrap();
    }
    let [whole, one, two] = &areas;
    assert_eq!(two.list("").await.unwrap(), [(name("a/blob"), 2)]);
    assert_eq!(one.list("a/").await.unwrap(), [(name("a/blob"), 1)]);
    let all = [(name("a/blob"), 0), (name("archive/a/blob"), 1), (name("archive/two/a/blob"), 2)];
    assert_eq!(whole.list("").await.unwrap(), all);
    one.remove(&name("a/blob")).await.unwrap();
    assert_eq!(two.get(&name("a/blob"), 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let (port, container) = (Azurite::shared().port(), new_container());
    staging(port, &container, "", &azurite::sas()).prepare().await.unwrap();
    let reader = staging(port, &container, "", &azurite::container_sas(&container, "rl"));
    reader.prepare().await.unwrap();
    let errors = [
        reader.put(&name("a"), Bytes::from_static(b"x")).await.unwrap_err(),
        reader.put_stream(&name("a"), megabytes(9), u64::MAX).await.unwrap_err(),
        reader.remove(&name("a")).await.unwrap_err(),
        staging(port, &container, "", &azurite::container_sas(&container, "rw")).prepare().await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StagingError::Refused(_)), "{error}");
        assert!(words(&error).contains("sp=racwdl"), "{error}");
    }
}

#[tokio::test]
async fn a_signature_that_is_no_good_is_reported_without_being_shown() {
    let (port, container) = (Azurite::shared().port(), new_container());
    let expired = azurite::account_sas("2020-01-01T00:00:00Z");
    let forged = azurite::sas().replace("&sp=racwdlx", "&sp=racwdlxc");
    for (sas, advice) in [
        (expired.as_str(), "expired"),
        (&forged, "staging.sas"),
        ("not-a-signature", "form `sv=…&sig=…`"),
        ("https://x.blob.core.windows.net/c?sv=1&sig=hidden", "is a URL"),
    ] {
        let error = staging(port, &container, "", sas).prepare().await.unwrap_err();
        assert!(matches!(error, StagingError::Refused(_)), "{error}");
        let words = format!("{error} {error:?}");
        assert!(words.contains(advice) && !words.contains("hidden") && !words.contains("%2"), "{words}");
    }
}

#[tokio::test]
async fn a_renewed_signature_is_taken_up() {
    let current = Arc::new(std::sync::Mutex::new(azurite::account_sas("2020-01-01T00:00:00Z")));
    let source = {
        let current = Arc::clone(&current);
        move || Ok(SecretString::from(current.lock().unwrap().clone()))
    };
    let settings = settings(Azurite::shared().port(), &new_container(), "");
    let staging = build(&settings, ContainerAuth::Sas(Arc::new(source))).unwrap();
    assert!(matches!(staging.prepare().await, Err(StagingError::Refused(_))));
    *current.lock().unwrap() = azurite::sas();
    staging.prepare().await.unwrap();
}

#[tokio::test]
async fn a_container_that_has_gone_is_reported() {
    let staging = staging(Azurite::shared().port(), &new_container(), "", &azurite::sas());
    let blob = name("a/blob");
    let errors = [
        staging.get(&blob, 9).await.map(drop),
        staging.list("").await.map(drop),
        staging.put(&blob, Bytes::new()).await,
        staging.remove(&blob).await,
    ];
    for error in errors {
        assert!(
            matches!(&error, Err(StagingError::Refused(words)) if words.contains("create the container")),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_refused() {
    let sas = || ContainerAuth::Sas(Arc::new(|| Err("the variable STAGING_SAS is not set".to_owned())));
    let clear_text = AzureSettings { endpoint: "http://contoso.example/".parse().unwrap(), ..settings(1, "c", "") };
    for settings in [clear_text, settings(1, "c", "../up"), settings(1, "c", "a b/")] {
        assert!(matches!(build(&settings, sas()), Err(StagingError::Refused(_))));
    }
    let error = build(&settings(1, "c", ""), sas()).unwrap().prepare().await.unwrap_err();
    assert!(matches!(&error, StagingError::Refused(words) if words.contains("STAGING_SAS is not set")), "{error}");
}

#[tokio::test]
async fn a_request_for_a_pause_says_how_long() {
    let (staging, wire) = on_a_bad_line().await;
    let blob = name("a/blob");
    for (status, code, header, pause) in [
        (503, "ServerBusy", "retry-after: 7\r\n", Some(Duration::from_secs(7))),
        (429, "TooManyRequests", "retry-after: Sun, 22 Nov 2026 02:01:30 GMT\r\n", Some(Duration::from_secs(90))),
        (503, "ServerBusy", "", None),
    ] {
        wire.fail("PUT", "a%2Fblob", Fault::error(status, code, header, "busy"));
        let error = staging.put(&blob, Bytes::from_static(b"x")).await.unwrap_err();
        assert!(matches!(error, StagingError::Throttled { after, .. } if after == pause), "{error:?}");
        words(&error);
    }
    staging.put(&blob, Bytes::from_static(b"x")).await.unwrap();
}

#[tokio::test]
async fn what_passes_by_itself_is_unavailable_and_tried_once() {
    let (staging, wire) = on_a_bad_line().await;
    let blob = name("a/blob");
    for fault in [
        Fault::error(500, "InternalError", "", "oops"),
        Fault::error(500, "OperationTimedOut", "", "slow"),
        Fault::answer(502, "", "<html>bad gateway</html>"),
        Fault::answer(504, "", ""),
        Fault::error(409, "ContainerBeingDeleted", "", "wait"),
        Fault::Lost,
    ] {
        let before = wire.requests().len();
        wire.fail("PUT", "a%2Fblob", fault.clone());
        let error = staging.put(&blob, Bytes::from_static(b"x")).await.unwrap_err();
        assert!(matches!(error, StagingError::Unavailable(_)), "{fault:?}: {error:?}");
        words(&error);
        assert_eq!(wire.requests().len(), before + 1, "{fault:?}");
    }
    assert_eq!(staging.list("").await.unwrap(), []);
}

#[tokio::test]
async fn nobody_at_the_address_is_unavailable() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = staging(closed, "container", "", &azurite::sas()).prepare().await.unwrap_err();
    assert!(matches!(error, StagingError::Unavailable(_)), "{error}");
    assert!(words(&error).contains("refused"), "the cause is named: {error}");
}

#[tokio::test]
async fn a_lost_answer_is_no_conflict_the_next_time() {
    let (staging, wire) = on_a_bad_line().await;
    let (small, large) = (name("a/small"), name("a/large"));
    wire.fail("PUT", "a%2Fsmall", Fault::AnswerLost);
    let put = || staging.put(&small, Bytes::from_static(b"x"));
    assert!(matches!(put().await, Err(StagingError::Unavailable(_))));
    put().await.unwrap();

    wire.fail("PUT", "comp=blocklist", Fault::AnswerLost);
    let put = || staging.put_stream(&large, megabytes(9), u64::MAX);
    assert!(matches!(put().await, Err(StagingError::Unavailable(_))));
    assert_eq!(put().await.unwrap().length, 9 << 20);
    assert_eq!(staging.list("").await.unwrap(), [(large, 9 << 20), (small, 1)]);
}

#[tokio::test]
async fn an_upload_whose_block_is_lost_leaves_nothing_and_can_be_repeated() {
    let (staging, wire) = on_a_bad_line().await;
    let blob = name("a/blob");
    wire.fail("PUT", "comp=block", Fault::Lost);
    let failed = staging.put_stream(&blob, megabytes(9), u64::MAX).await;
    assert!(matches!(failed, Err(StagingError::Unavailable(_))), "{failed:?}");
    assert_eq!(staging.list("").await.unwrap(), []);
    staging.put_stream(&blob, megabytes(9), u64::MAX).await.unwrap();
}

#[tokio::test]
async fn blocks_that_nobody_committed_keep_no_small_blob_out() {
    let (staging, wire) = on_a_bad_line().await;
    for (blob, content) in [(name("a/empty"), ""), (name("a/small"), "small")] {
        wire.fail("PUT", "comp=blocklist", Fault::Lost);
        staging.put_stream(&blob, megabytes(9), u64::MAX).await.unwrap_err();
        for _ in 0..2 {
            staging.put(&blob, Bytes::from_static(content.as_bytes())).await.unwrap();
        }
        assert_eq!(staging.get(&blob, 9).await.unwrap(), content);
    }
}

#[tokio::test]
async fn an_upload_whose_blocks_another_swept_away_looks_at_what_is_there() {
    let (staging, wire) = on_a_bad_line().await;
    let blob = name("a/blob");
    let swept = || Fault::error(400, "InvalidBlockList", "", "The specified block list is invalid.");
    wire.fail("PUT", "comp=blocklist", swept());
    let nothing_there = staging.put_stream(&blob, megabytes(9), u64::MAX).await;
    assert!(matches!(nothing_there, Err(StagingError::Unavailable(_))), "{nothing_there:?}");
    staging.put_stream(&blob, megabytes(9), u64::MAX).await.unwrap();
    wire.fail("PUT", "comp=blocklist", swept());
    staging.put_stream(&blob, megabytes(9), u64::MAX).await.unwrap();
}

#[tokio::test]
async fn a_download_that_is_cut_is_never_a_shorter_blob() {
    let (staging, wire) = on_a_bad_line().await;
    let blob = name("a/blob");
    staging.put_stream(&blob, megabytes(9), u64::MAX).await.unwrap();
    for _ in 0..2 {
        wire.fail("GET", "a%2Fblob", Fault::AnswerCut(3 << 20));
        let error = staging.get(&blob, u64::MAX).await.unwrap_err();
        assert!(matches!(error, StagingError::Unavailable(_)), "{error:?}");
        words(&error);
    }
    assert_eq!(staging.get(&blob, u64::MAX).await.unwrap().len(), 9 << 20);
}

#[tokio::test]
async fn a_blob_under_a_policy_stays() {
    let (staging, wire) = on_a_bad_line().await;
    let blob = name("a/blob");
    staging.put(&blob, Bytes::from_static(b"x")).await.unwrap();
    for code in ["BlobImmutableDueToPolicy", "BlobImmutableDueToLegalHold"] {
        wire.fail("DELETE", "a%2Fblob", Fault::error(409, code, "", "This operation is not permitted"));
        let error = staging.remove(&blob).await.unwrap_err();
        assert!(matches!(&error, StagingError::Immutable { name, .. } if *name == blob), "{error:?}");
    }
    wire.fail("PUT", "a%2Fblob", Fault::error(409, "BlobImmutableDueToPolicy", "", "not permitted"));
    staging.put(&blob, Bytes::from_static(b"x")).await.unwrap();
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    let (staging, wire) = on_a_bad_line().await;
    for (status, code, advice) in [
        (403, "AuthorizationFailure", "firewall"),
        (403, "AuthorizationPermissionMismatch", "sp=racwdl"),
        (403, "KeyBasedAuthenticationNotPermitted", "entra"),
        (401, "NoAuthenticationInformation", "staging.sas"),
        (412, "LeaseIdMissing", "lease"),
        (409, "BlobArchived", "archive tier"),
        (307, "", "staging.endpoint"),
        (418, "Teapot", "unexpected answer"),
    ] {
        let reported = "The MAC signature found in the HTTP request 'x' is wrong.\nTime:2026";
        wire.fail("PUT", "a%2Fblob", Fault::error(status, code, "location: http://127.0.0.1:1/\r\n", reported));
        let error = staging.put(&name("a/blob"), Bytes::from_static(b"x")).await.unwrap_err();
        assert!(matches!(error, StagingError::Refused(_)), "{code}: {error:?}");
        let words = words(&error);
        assert!(words.contains(advice) && words.contains("request-1") && !words.contains("Time:"), "{words}");
    }
}

#[tokio::test]
async fn every_page_of_a_listing_is_read() {
    let (staging, wire) = on_a_bad_line().await;
    let page = |blob: &str, next: &str| {
        let item =
            format!("<Blob><Name>{blob}</Name><Properties><Content-Length>5</Content-Length></Properties></Blob>");
        let body = format!(
            "<?xml version=\"1.0\"?><EnumerationResults><Blobs>{item}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>"
        );
        Fault::answer(200, "", &body)
    };
    wire.fail("GET", "comp=list", page("b/1", "two"));
    wire.fail("GET", "marker=two", page("not one of ours!", "three"));
    wire.fail("GET", "marker=three", page("a/1", ""));
    assert_eq!(staging.list("").await.unwrap(), [(name("a/1"), 5), (name("b/1"), 5)]);

    wire.fail("GET", "comp=list", page("b/1", "two"));
    wire.fail("GET", "marker=two", Fault::Lost);
    assert!(matches!(staging.list("").await, Err(StagingError::Unavailable(_))));
}

#[tokio::test]
async fn one_request_puts_a_page() {
    let (staging, wire) = on_a_bad_line().await;
    let before = wire.requests().len();
    staging.put(&name("a/page"), vec![1; 500_000].into()).await.unwrap();
    staging.put_stream(&name("a/attachment"), megabytes(3), u64::MAX).await.unwrap();
    assert_eq!(wire.requests().len(), before + 2, "{:?}", wire.requests());
    let read: Vec<Bytes> = staging.open(&name("a/attachment")).await.unwrap().try_collect().await.unwrap();
    assert_eq!(read.concat().len(), 3 << 20);
    assert_eq!(wire.requests().len(), before + 3);
}
