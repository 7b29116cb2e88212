//! Signing in to Microsoft, by every kind of credential, and what refusals say.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azure_core::credentials::TokenCredential as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use secrecy::ExposeSecret as _;
use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::secret::SecretReader;
use whatsapp_archiver::sign_in::{
    Audience, AzureCredential, Cloud, Credential, Endpoints, ManagedIdentity, Scope, SignIn, SignInError,
    SignInSettings,
};

use crate::servers::graph::client::{Connection, http, secret};
use crate::servers::graph::{Act, CLIENT_ID, CLIENT_SECRET, RetryAfter, TENANT};

fn issued(connection: &Connection) -> usize {
    connection.server.with(|world| world.login.issued())
}

/// A secret that a test changes.
fn changing(text: &str) -> (Arc<Mutex<String>>, SecretReader) {
    let text = Arc::new(Mutex::new(text.to_owned()));
    let source = Arc::clone(&text);
    (text, Arc::new(move || Ok(source.lock().unwrap().clone().into())))
}

#[tokio::test]
async fn a_client_secret_gives_a_token_that_is_kept() {
    let connection = Connection::standing();
    let sign_in = connection.sign_in();
    let first = sign_in.token_for(Audience::Graph).await.unwrap();
    let second = sign_in.token_for(Audience::Graph).await.unwrap();
    assert_eq!(first.secret().expose_secret(), second.secret().expose_secret());
    assert_eq!(first.roles(), ["User.Read.All", "Mail.ReadWrite"]);
    assert_eq!(issued(&connection), 1);
    sign_in.token_for(Audience::Storage).await.unwrap();
    assert_eq!(issued(&connection), 2, "each scope has its own");
    assert!(!format!("{first:?} {sign_in:?}").contains(first.secret().expose_secret()));
}

#[tokio::test]
async fn a_token_is_replaced_before_it_ends() {
    let connection = Connection::standing();
    let sign_in = connection.sign_in();
    let token = sign_in.token_for(Audience::Graph).await.unwrap();
    connection.clock.advance(Duration::from_mins(47));
    sign_in.token_for(Audience::Graph).await.unwrap();
    assert_eq!(issued(&connection), 1);
    connection.clock.advance(Duration::from_mins(2));
    assert!(connection.clock.now() < token.expires());
    // Nobody waits for the new one, even where the sign-in doesn't answer.
    connection.server.hold();
    for _ in 0..10 {
        let same = sign_in.token_for(Audience::Graph).await.unwrap();
        assert_eq!(same.secret().expose_secret(), token.secret().expose_secret());
    }
    connection.server.wait_for_in_flight(1).await;
    connection.server.release();
    while sign_in.token_for(Audience::Graph).await.unwrap().expires() == token.expires() {
        tokio::task::yield_now().await;
    }
    assert_eq!(issued(&connection), 2);
}

#[tokio::test]
async fn an_outage_of_the_sign_in_is_bridged_by_the_old_token() {
    let connection = Connection::standing();
    let sign_in = connection.sign_in();
    let token = sign_in.token_for(Audience::Graph).await.unwrap();
    connection.clock.advance(Duration::from_mins(50));
    let fail = |count: usize| {
        let act = Act::reply(503, "temporarily_unavailable");
        connection.server.with(|world| world.login.next = vec![act; count]);
    };
    fail(2);
    let same = sign_in.token_for(Audience::Graph).await.unwrap();
    assert_eq!(same.secret().expose_secret(), token.secret().expose_secret());
    while connection.server.with(|world| world.login.next.len() > 1) {
        tokio::task::yield_now().await;
    }
    connection.clock.advance(Duration::from_mins(10));
    // Whoever needs a new token waits for the renewal that is under way.
    sign_in.token_for(Audience::Graph).await.unwrap_err();
    connection.clock.advance(Duration::from_secs(6));
    fail(1);
    // An outage is believed for some seconds: not everybody knocks.
    connection.server.clear_log();
    for _ in 0..10 {
        let error = sign_in.token_for(Audience::Graph).await.unwrap_err();
        assert!(matches!(error, SignInError::Unavailable(_)), "{error}");
    }
    assert_eq!(connection.server.log().len(), 1);
    connection.clock.advance(Duration::from_secs(6));
    sign_in.token_for(Audience::Graph).await.unwrap();
}

#[tokio::test]
async fn one_sign_in_serves_everybody_who_waits() {
    let connection = Connection::standing();
    let sign_in = connection.sign_in();
    connection.server.hold();
    let all: Vec<_> = (0..50)
        .map(|_| {
            let sign_in = Arc::clone(&sign_in);
            tokio::spawn(async move { sign_in.token_for(Audience::Graph).await })
        })
        .collect();
    connection.server.wait_for_in_flight(1).await;
    connection.server.release();
    for token in join_all(all).await {
        token.unwrap().unwrap();
    }
    assert_eq!(issued(&connection), 1);
}

#[tokio::test]
async fn a_token_that_was_refused_is_forgotten_and_no_newer_one() {
    let connection = Connection::standing();
    let sign_in = connection.sign_in();
    let scope = sign_in.endpoints().scope(Audience::Graph);
    let old = sign_in.token(&scope).await.unwrap();
    sign_in.invalidate(&scope, &old);
    let new = sign_in.token(&scope).await.unwrap();
    assert_ne!(old.secret().expose_secret(), new.secret().expose_secret());
    // Another request was refused with the old one, a little later.
    sign_in.invalidate(&scope, &old);
    sign_in.token(&scope).await.unwrap();
    assert_eq!(issued(&connection), 2);
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let connection = Connection::standing();
    connection.server.with(|world| world.login.expired_secrets.push("old".to_owned()));
    let sign_in = |tenant: &str, client: &str, text: &str| {
        let settings = SignInSettings {
            endpoints: connection.endpoints(),
            tenant_id: tenant.to_owned(),
            client_id: client.to_owned(),
            credential: Credential::ClientSecret(secret(text)),
        };
        SignIn::new(settings, http(), connection.clock())
    };
    for (sign_in, code, advice) in [
        (sign_in(TENANT, CLIENT_ID, "wrong"), "AADSTS7000215", "the secret's value, not its id"),
        (sign_in(TENANT, CLIENT_ID, "old"), "AADSTS7000222", "create a new one"),
        (sign_in(TENANT, "another", CLIENT_SECRET), "AADSTS700016", "microsoft.client_id"),
        (sign_in("nowhere.example", CLIENT_ID, CLIENT_SECRET), "AADSTS90002", "microsoft.tenant_id"),
    ] {
        let error = sign_in.token_for(Audience::Graph).await.unwrap_err();
        assert!(matches!(error, SignInError::Refused { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains(code) && error.contains(advice), "{error}");
        assert!(!error.contains(CLIENT_SECRET) && !error.contains("wrong\""), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_is_not_repeated_until_the_secret_changes_or_time_passes() {
    let connection = Connection::standing();
    let (text, source) = changing("wrong");
    let sign_in = connection.sign_in_by(Credential::ClientSecret(source));
    for _ in 0..100 {
        sign_in.token_for(Audience::Graph).await.unwrap_err();
    }
    assert_eq!(connection.server.log().len(), 1, "a thousand deliveries knock once");
    connection.clock.advance(Duration::from_secs(31));
    sign_in.token_for(Audience::Graph).await.unwrap_err();
    assert_eq!(connection.server.log().len(), 2);
    CLIENT_SECRET.clone_into(&mut text.lock().unwrap());
    sign_in.token_for(Audience::Graph).await.unwrap();
}

#[tokio::test]
async fn throttling_and_passing_faults_are_distinguished_from_refusals() {
    let connection = Connection::standing();
    let sign_in = connection.sign_in();
    let next = |act: Act| connection.server.with(|world| world.login.next.push(act));
    next(Act::Reply { status: 429, code: "slow_down", retry_after: RetryAfter::Seconds(11) });
    let error = sign_in.token_for(Audience::Graph).await.unwrap_err();
    let SignInError::Throttled { after, .. } = error else { panic!("{error}") };
    assert_eq!(after, Some(Duration::from_secs(11)));
    connection.clock.advance(Duration::from_secs(4));
    let error = sign_in.token_for(Audience::Graph).await.unwrap_err();
    let SignInError::Throttled { after, .. } = error else { panic!("{error}") };
    assert_eq!(after, Some(Duration::from_secs(7)));
    assert_eq!(connection.server.log().len(), 1, "the pause is kept");
    connection.clock.advance(Duration::from_secs(7));
    next(Act::reply(400, "temporarily_unavailable"));
    let error = sign_in.token_for(Audience::Graph).await.unwrap_err();
    assert!(matches!(error, SignInError::Unavailable(_)), "{error}");
    connection.clock.advance(Duration::from_secs(6));
    sign_in.token_for(Audience::Graph).await.unwrap();
}

#[tokio::test]
async fn a_secret_that_can_not_be_read_sends_nothing() {
    let connection = Connection::standing();
    for source in [secret("  \n"), Arc::new(|| Err("microsoft.client_secret: no such file".to_owned())) as SecretReader]
    {
        let sign_in = connection.sign_in_by(Credential::ClientSecret(source));
        let error = sign_in.token_for(Audience::Graph).await.unwrap_err();
        assert!(matches!(error, SignInError::Unusable(_)), "{error}");
    }
    assert_eq!(connection.server.log(), Vec::<String>::new());
}

/// A self-signed certificate with its key (PEM), its thumbprint and its public key (PEM).
fn certificate() -> (String, String, String) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
    let thumbprint = URL_SAFE_NO_PAD.encode(Digest::of(certificate.der()).as_bytes());
    (format!("{}{}", key.serialize_pem(), certificate.pem()), thumbprint, key.public_key_pem())
}

#[tokio::test]
async fn a_certificate_proves_itself_with_a_new_statement_each_time() {
    let connection = Connection::standing();
    let (pem, thumbprint, public_key) = certificate();
    let sign_in = connection.sign_in_by(Credential::Certificate(secret(&pem)));
    let error = sign_in.token_for(Audience::Graph).await.unwrap_err().to_string();
    assert!(error.contains("AADSTS700027") && error.contains("upload it"), "{error}");

    connection.server.with(|world| world.login.certificates.insert(thumbprint, public_key));
    connection.clock.advance(Duration::from_mins(1));
    sign_in.token_for(Audience::Graph).await.unwrap();
    // The server takes each statement once only.
    sign_in.token_for(Audience::Outlook).await.unwrap();
    assert_eq!(issued(&connection), 2);
}

#[tokio::test]
async fn a_federated_token_is_read_anew_because_it_rotates() {
    let connection = Connection::standing();
    connection.server.with(|world| world.login.federated = vec!["first".to_owned(), "second".to_owned()]);
    let directory = tempfile::tempdir().unwrap();
    let token_file = directory.path().join("token");
    let sign_in = connection.sign_in_by(Credential::WorkloadIdentity { token_file: token_file.clone() });
    let error = sign_in.token_for(Audience::Graph).await.unwrap_err();
    assert!(matches!(error, SignInError::Unusable(_)), "{error}");

    std::fs::write(&token_file, "first\n").unwrap();
    sign_in.token_for(Audience::Graph).await.unwrap();
    std::fs::write(&token_file, "second").unwrap();
    connection.server.with(|world| world.login.federated.remove(0));
    connection.clock.advance(Duration::from_mins(61));
    sign_in.token_for(Audience::Graph).await.unwrap();
    assert_eq!(issued(&connection), 2);
}

#[tokio::test]
async fn both_forms_of_managed_identity_give_a_token() {
    let connection = Connection::standing();
    let origin = connection.server.origin().to_owned();
    let metadata = {
        let origin = origin.clone();
        ManagedIdentity::from_environment(
            move |name| (name == "AZURE_POD_IDENTITY_AUTHORITY_HOST").then(|| origin.clone()),
            Some(CLIENT_ID.to_owned()),
        )
    };
    let app_service = ManagedIdentity::from_environment(
        move |name| match name {
            "IDENTITY_ENDPOINT" => Some(format!("{origin}/msi/token")),
            "IDENTITY_HEADER" => Some("header-secret".to_owned()),
            _ => None,
        },
        None,
    );
    for identity in [metadata, app_service] {
        let sign_in = connection.sign_in_by(Credential::ManagedIdentity(identity));
        let token = sign_in.token_for(Audience::Graph).await.unwrap();
        assert!(token.expires() > connection.clock.now() + Duration::from_mins(55));
    }
    assert_eq!(issued(&connection), 2);
}

#[tokio::test]
async fn a_token_goes_to_the_azure_libraries() {
    let connection = Connection::standing();
    let credential = AzureCredential::new(connection.sign_in());
    let token = credential.get_token(&["https://storage.azure.com/.default"], None).await.unwrap();
    assert!(!token.token.secret().is_empty());
    assert!(credential.get_token(&[], None).await.is_err());
    assert_eq!(issued(&connection), 1);
}

#[tokio::test]
async fn the_secret_is_read_at_each_sign_in_and_not_at_each_call() {
    let connection = Connection::standing();
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let source: SecretReader = Arc::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(CLIENT_SECRET.to_owned().into())
    });
    let sign_in = connection.sign_in_by(Credential::ClientSecret(source));
    for _ in 0..10 {
        sign_in.token_for(Audience::Graph).await.unwrap();
    }
    assert_eq!(reads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn clear_text_is_refused_but_to_this_machine() {
    for url in ["http://login.example", "http://10.0.0.7:8080"] {
        let error = Endpoints::new(Cloud::Global, Some(url), None).unwrap_err().to_string();
        assert!(error.contains("login_url") && error.contains("loopback"), "{error}");
    }
    let here = Endpoints::new(Cloud::China, Some("http://127.0.0.1:1"), Some("http://[::1]:1")).unwrap();
    assert_eq!(here.scope(Audience::Graph), Scope::new("https://microsoftgraph.chinacloudapi.cn/.default"));
}
