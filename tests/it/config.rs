//! The configuration, as administrators write it: right, wrong, and hostile.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret as _;
use whatsapp_archiver::config::{
    AzureAuth, Config, EXAMPLE, ImapAuthConfig, ImapTls, LedgerUrl, MailboxKind, NeededSecrets, Place, Retention,
    SignInConfig, SourceKind, StagingKind, UsersKind,
};
use whatsapp_archiver::item::Product;
use whatsapp_archiver::schedule::Begin;

mod hostile;
mod refusals;
mod schema;

const PATH: &str = "/etc/whatsapp-archiver/config.toml";

/// The least that a configuration for Microsoft 365 must say.
const MINIMAL: &str = r#"
[source]
username = "archive-admin@fabrikam.example"
password = { env = "TELEMESSAGE_PASSWORD" }
[staging]
endpoint = "https://fabrikam.blob.core.windows.net"
[microsoft]
tenant_id = "0a1b2c3d-0001-4000-8000-00000000ca11"
client_id = "0a1b2c3d-0002-4000-8000-00000000a99a"
client_secret = { env = "CLIENT_SECRET" }
"#;

/// The least that a configuration without any account must say.
const LOCAL: &str = r#"
[source]
kind = "directory"
path = "export"
[staging]
kind = "local"
path = "staging"
[users]
kind = "list"
path = "users.csv"
[mailbox]
kind = "maildir"
path = "mailboxes"
[ledger]
url = "sqlite://ledger.db"
"#;

fn environment() -> BTreeMap<String, String> {
    [
        ("TELEMESSAGE_PASSWORD", "right horse"),
        ("CLIENT_SECRET", "battery staple"),
        ("STAGING_SAS", "?sv=1&sig=2"),
        ("IMAP_PASSWORD", "imap"),
        ("LEDGER_PASSWORD", "ledger"),
        ("STATUS_TOKEN", "a token of sixteen"),
        ("ALERT_WEBHOOK", "https://alerts.example/T0K3N"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn environment_with(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut environment = environment();
    environment.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    environment
}

fn read(text: &str) -> Config {
    Config::from_text(text, Path::new(PATH), &environment()).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

fn read_with(text: &str, changes: &[(&str, &str)]) -> Config {
    Config::from_text(text, Path::new(PATH), &environment_with(changes)).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The problems as text, each as its line, its key and what is wrong.
fn problems(text: &str, environment: &BTreeMap<String, String>) -> Vec<String> {
    let Err(reported) = Config::from_text(text, Path::new(PATH), environment) else { panic!("not refused:\n{text}") };
    let shown = |place: &Place| match place {
        Place::File => "-".to_owned(),
        Place::Line { line, .. } => line.to_string(),
        Place::Variable(name) => name.clone(),
    };
    reported.problems().iter().map(|it| format!("{} {}: {}", shown(&it.place), it.key, it.what)).collect()
}

/// `base` with lines added to sections, in the place of those that set the same key.
fn with(base: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(base.to_owned(), |text, (section, line)| with_line(&text, section, line))
}

fn with_line(text: &str, section: &str, line: &str) -> String {
    let header = format!("[{section}]");
    let (mut lines, mut within, mut added) = (Vec::new(), false, false);
    for old in text.lines() {
        within = if old.starts_with('[') { old == header } else { within };
        if !(within && key_of(old) == key_of(line)) {
            lines.push(old);
        }
        if old == header {
            lines.push(line);
            added = true;
        }
    }
    if !added {
        lines.extend([header.as_str(), line]);
    }
    lines.join("\n") + "\n"
}

fn key_of(line: &str) -> &str {
    line.split_once(" = ").map_or("", |(key, _)| key)
}

/// Exactly one problem, of this key, that says this.
#[track_caller]
fn assert_only_problem(base: &str, changes: &[(&str, &str)], key: &str, says: &str) {
    let text = with(base, changes);
    match problems(&text, &environment()).as_slice() {
        [only] if only.contains(&format!(" {key}: ")) && only.contains(says) => {}
        reported => panic!("{key}, {says}: {reported:#?}\n{text}"),
    }
}

/// The example as an organisation fills it in.
fn example() -> String {
    let value = |key: &str| MINIMAL.lines().find(|line| key_of(line) == key).unwrap();
    let line = |line: &str| match key_of(line) {
        key @ ("username" | "endpoint" | "tenant_id" | "client_id") => value(key).to_owned(),
        _ => line.to_owned(),
    };
    EXAMPLE.lines().map(|it| line(it) + "\n").collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_least_is_enough_and_the_example_shows_what_then_counts() {
    let secret_in_environment = [("WHATSAPP_ARCHIVER__MICROSOFT__CLIENT_SECRET", "{ env = \"CLIENT_SECRET\" }")];
    let example = read_with(&example(), &secret_in_environment);
    let least = read(MINIMAL);
    let shown = |it: &Config| {
        format!("{:#?}", (&it.source, &it.staging, &it.users, &it.microsoft, &it.mailbox, &it.retry, &it.log))
    };
    assert_eq!(shown(&least), shown(&example));
    assert_eq!(format!("{:?}", least.ledger), format!("{:?}", example.ledger));

    assert_eq!(least.schedule.at, None, "without a time of day, runs follow the last start");
    assert_eq!(example.schedule.at, Some("02:00:00".parse().unwrap()));
    assert_eq!((example.schedule.every, example.schedule.overlap), (least.schedule.every, least.schedule.overlap));
    assert_eq!((example.schedule.settle, example.schedule.begin), (least.schedule.settle, least.schedule.begin));
    assert_eq!(least.mapping.custom, None);
    assert_eq!(example.mapping.custom.as_deref(), Some(Path::new("/etc/whatsapp-archiver/mapping.csv")));
    assert!(least.mapping.automatic && example.mapping.automatic);
    assert!(least.http.is_none());
    assert_eq!(example.http.unwrap().listen, SocketAddr::from(([127, 0, 0, 1], 8080)));
    assert!(least.warnings.is_empty() && example.warnings.is_empty());
}

#[test]
fn the_values_that_count_without_a_key_are_the_documented_ones() {
    let config = read(MINIMAL);
    let SourceKind::TeleMessage(telemessage) = &config.source.kind else { panic!("{:?}", config.source.kind) };
    assert_eq!(telemessage.base_url.as_str(), "https://archive.telemessage.com/");
    assert_eq!(telemessage.messages_path, "/basicsecured/api/rest/archive/getmessages");
    assert_eq!(telemessage.attachment_path, "/basicsecured/api/rest/archive/attachment");
    assert_eq!(telemessage.password.read().unwrap().expose_secret(), "right horse");
    assert_eq!(telemessage.password.key(), "source.password");
    assert_eq!(config.source.products, [Product::PhoneArchiver, Product::CloudArchiver]);
    assert_eq!((config.source.page_size, config.source.downloads), (500, 4));
    assert_eq!(config.source.max_attachment_size, 2_147_483_648);
    assert_eq!(config.source.attachment_wait, Duration::from_hours(24));
    assert_eq!(config.schedule.every, chrono::Duration::hours(24));
    assert_eq!(config.schedule.overlap, chrono::Duration::hours(24));
    assert_eq!(config.schedule.settle, chrono::Duration::minutes(5));
    assert_eq!(config.schedule.begin, Begin::Lookback(chrono::Duration::hours(24)));
    assert_eq!(config.staging.retain, Retention::For(Duration::from_hours(30 * 24)));
    assert_eq!(config.users.caching.cache, Duration::from_hours(12));
    assert_eq!(config.users.caching.negative_cache, Duration::from_mins(15));
    assert_eq!(config.mailbox.folder, "WhatsApp Archiver");
    assert_eq!(config.mailbox.max_item_size, 10_485_760);
    assert_eq!(config.mailbox.placeholder_address_domain, "whatsapp.invalid");
    let MailboxKind::Graph(graph) = &config.mailbox.kind else { panic!("{:?}", config.mailbox.kind) };
    assert_eq!((graph.limits.per_mailbox, graph.limits.concurrency, graph.limits.requests_per_10m), (4, 64, 10_000));
    assert_eq!((graph.settle, graph.limits.upload_per_5m), (Duration::from_mins(2), 150_000_000));
    assert_eq!(graph.message_class.as_deref(), Some("IPM.ExternalData.WhatsAppArchiver"));
    let microsoft = config.microsoft.unwrap();
    assert_eq!(microsoft.login_url.as_str(), "https://login.microsoftonline.com/");
    assert_eq!(microsoft.graph_url.as_str(), "https://graph.microsoft.com/");
    assert_eq!(microsoft.client_id(), Some("0a1b2c3d-0002-4000-8000-00000000a99a"));
    assert_eq!((config.ledger.lease, config.ledger.retain), (Duration::from_mins(1), Retention::Forever));
    assert_eq!((config.retry.attempts, config.retry.initial), (6, Duration::from_millis(500)));
    assert_eq!((config.retry.max, config.retry.give_up), (Duration::from_secs(30), Duration::from_hours(7 * 24)));
    assert_eq!(config.log.level, tracing::Level::INFO);
}

#[test]
fn the_trial_on_one_machine_is_right_and_keeps_to_its_folders() {
    let path = root().join("config/local.toml");
    let config =
        Config::load(&path, &BTreeMap::new(), NeededSecrets::All).unwrap_or_else(|problems| panic!("{problems}"));
    let folder = root().join("config");
    let SourceKind::Directory { path } = &config.source.kind else { panic!("{:?}", config.source.kind) };
    assert_eq!(*path, folder.join("sample/export/"));
    let StagingKind::Local { path } = &config.staging.kind else { panic!("{:?}", config.staging.kind) };
    assert_eq!(*path, folder.join("../local-data/staging/"));
    let MailboxKind::Maildir { path } = &config.mailbox.kind else { panic!("{:?}", config.mailbox.kind) };
    assert_eq!(*path, folder.join("../local-data/mailboxes/"));
    let LedgerUrl::Sqlite(path) = &config.ledger.url else { panic!("{:?}", config.ledger.url) };
    assert_eq!(*path, folder.join("../local-data/ledger.db"));
    let ignored = std::fs::read_to_string(root().join(".gitignore")).unwrap();
    assert!(ignored.lines().any(|line| line == "/local-data"), "its data stays out of the repository");
}

#[test]
fn every_configuration_that_is_shipped_is_right() {
    const CLIENT_SECRET: (&str, &str) = ("WHATSAPP_ARCHIVER__MICROSOFT__CLIENT_SECRET", "{ env = \"CLIENT_SECRET\" }");
    let mut read = 0;
    for entry in std::fs::read_dir(root().join("config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        if path.ends_with("example.toml") {
            continue; // Its placeholders are refused: see `the_template_is_refused_until_it_is_filled_in`.
        }
        let has_secret_file = std::fs::read_to_string(&path).unwrap().contains("\nclient_secret = ");
        let environment = if has_secret_file { environment_with(&[CLIENT_SECRET]) } else { environment() };
        Config::load(&path, &environment, NeededSecrets::All).unwrap_or_else(|problems| panic!("{problems}"));
        read += 1;
    }
    assert!(read >= 2, "compose.toml and local.toml at least");
}

#[test]
fn other_kinds_are_read() {
    let imap = read(&with(
        MINIMAL,
        &[
            ("mailbox", "kind = \"imap\""),
            ("mailbox", "host = \"127.0.0.1\""),
            ("mailbox", "port = 1143"),
            ("mailbox", "tls = \"none\""),
            ("mailbox", "auth = \"password\""),
            ("mailbox", "login = \"{mailbox}*archiver\""),
            ("mailbox", "password = { env = \"IMAP_PASSWORD\" }"),
            ("staging", "auth = \"sas\""),
            ("staging", "sas = { env = \"STAGING_SAS\" }"),
            ("staging", "endpoint = \"http://127.0.0.1:10000/devstoreaccount1\""),
            ("staging", "prefix = \"a/b\""),
            ("staging", "retain = \"forever\""),
            ("ledger", "url = \"postgres://archiver@db.example/archiver?sslmode=verify-full\""),
            ("ledger", "password = { env = \"LEDGER_PASSWORD\" }"),
            ("microsoft", "cloud = \"us-gov-dod\""),
        ],
    ));
    let MailboxKind::Imap(destination) = &imap.mailbox.kind else { panic!("{:?}", imap.mailbox.kind) };
    assert_eq!(
        (destination.host.as_str(), destination.port, destination.tls, destination.connections),
        ("127.0.0.1", 1143, ImapTls::None, 8)
    );
    assert_eq!(destination.login.as_str(), "{mailbox}*archiver");
    assert!(matches!(&destination.auth, ImapAuthConfig::Password(secret) if secret.key() == "mailbox.password"));
    let StagingKind::Azure(azure) = &imap.staging.kind else { panic!("{:?}", imap.staging.kind) };
    assert_eq!(azure.endpoint.as_str(), "http://127.0.0.1:10000/devstoreaccount1");
    assert!(matches!(&azure.auth, AzureAuth::Sas(secret) if secret.read().unwrap().expose_secret() == "?sv=1&sig=2"));
    assert_eq!((imap.staging.prefix.as_str(), imap.staging.retain), ("a/b/", Retention::Forever));
    assert!(matches!(&imap.ledger.url, LedgerUrl::Postgres { url, password: Some(_) } if url.username() == "archiver"));
    assert_eq!(imap.microsoft.unwrap().graph_url.as_str(), "https://dod-graph.microsoft.us/");

    let local = read(LOCAL);
    assert!(local.microsoft.is_none());
    assert!(
        matches!(&local.users.kind, UsersKind::List { path } if path == Path::new("/etc/whatsapp-archiver/users.csv"))
    );
    for (url, path) in [
        ("sqlite:///var/x.db", "/var/x.db"),
        ("sqlite://x.db", "/etc/whatsapp-archiver/x.db"),
        ("sqlite:x/y.db", "/etc/whatsapp-archiver/x/y.db"),
    ] {
        let config = read(&with(LOCAL, &[("ledger", &format!("url = \"{url}\""))]));
        assert!(
            matches!(&config.ledger.url, LedgerUrl::Sqlite(it) if it == Path::new(path)),
            "{:?}",
            config.ledger.url
        );
    }
    for (line, port) in [("tls = \"implicit\"", 993), ("tls = \"starttls\"", 143)] {
        let lines = [("mailbox", "kind = \"imap\""), ("mailbox", "host = \"imap.example\""), ("mailbox", line)];
        let config = read(&with(MINIMAL, &lines));
        assert!(matches!(&config.mailbox.kind, MailboxKind::Imap(imap) if imap.port == port));
    }
}

#[test]
fn sign_ins_are_read() {
    let certificate = root().join("Cargo.toml");
    let without_secret = MINIMAL.replace("client_secret = { env = \"CLIENT_SECRET\" }\n", "");
    let line = format!("certificate = {{ file = \"{}\" }}", certificate.display());
    let config = read(&with(&without_secret, &[("microsoft", "sign_in = \"certificate\""), ("microsoft", &line)]));
    assert!(matches!(config.microsoft.unwrap().sign_in, SignInConfig::Certificate { .. }));

    let config =
        read(&with(&without_secret, &[("microsoft", "sign_in = \"managed-identity\"")]).replace("client_id", "#"));
    assert!(matches!(config.microsoft.unwrap().sign_in, SignInConfig::ManagedIdentity { client_id: None }));

    let workload = with(&without_secret, &[("microsoft", "sign_in = \"workload-identity\"")]);
    let bare = workload.replace("client_id", "#").replace("tenant_id", "#");
    let cluster = [
        ("AZURE_CLIENT_ID", "0a1b2c3d-0003-4000-8000-00000000a99a"),
        ("AZURE_TENANT_ID", "fabrikam.example"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/var/token"),
    ];
    let microsoft = read_with(&bare, &cluster).microsoft.unwrap();
    assert_eq!(
        (microsoft.client_id(), microsoft.tenant_id.as_str()),
        (Some("0a1b2c3d-0003-4000-8000-00000000a99a"), "fabrikam.example")
    );
    assert!(
        matches!(microsoft.sign_in, SignInConfig::WorkloadIdentity { token_file, .. } if token_file == Path::new("/var/token"))
    );
    let reported = problems(&bare, &environment());
    assert_eq!(reported.len(), 3, "{reported:#?}");
    assert!(reported.iter().any(|it| it.contains("AZURE_FEDERATED_TOKEN_FILE")), "{reported:#?}");
}

#[test]
fn the_environment_overrides_any_key() {
    let config = read_with(
        MINIMAL,
        &[
            ("WHATSAPP_ARCHIVER__SOURCE__USERNAME", "12345"),
            ("WHATSAPP_ARCHIVER__SOURCE__PASSWORD", "{ env = \"IMAP_PASSWORD\" }"),
            ("WHATSAPP_ARCHIVER__SOURCE__PAGE_SIZE", "50"),
            ("WHATSAPP_ARCHIVER__SOURCE__PRODUCTS", "[\"cloud-archiver\"]"),
            ("WHATSAPP_ARCHIVER__SOURCE__MAX_ATTACHMENT_SIZE", "1 GiB"),
            ("WHATSAPP_ARCHIVER__SCHEDULE__EVERY", "\"12h\""),
            ("WHATSAPP_ARCHIVER__SCHEDULE__AT", "03:30"),
            ("WHATSAPP_ARCHIVER__SCHEDULE__START_FROM", "2026-11-01T01:00:00+01:00"),
            ("WHATSAPP_ARCHIVER__MAPPING__AUTOMATIC", " true "),
            ("WHATSAPP_ARCHIVER__MAILBOX__MAX_ITEM_SIZE", "1000"),
            ("WHATSAPP_ARCHIVER__HTTP__LISTEN", "127.0.0.1:0"),
            ("WHATSAPP_ARCHIVER_CONFIG", "not an override"),
        ],
    );
    let SourceKind::TeleMessage(telemessage) = &config.source.kind else { panic!("{:?}", config.source.kind) };
    assert_eq!(telemessage.username, "12345", "a text that looks like a number is still a text");
    assert_eq!(telemessage.password.read().unwrap().expose_secret(), "imap");
    assert_eq!((config.source.page_size, config.source.max_attachment_size), (50, 1 << 30));
    assert_eq!(config.source.products, [Product::CloudArchiver]);
    assert_eq!(config.schedule.every, chrono::Duration::hours(12));
    assert_eq!(config.schedule.at, Some("03:30:00".parse().unwrap()));
    assert_eq!(config.schedule.begin, Begin::At("2026-11-01T00:00:00Z".parse().unwrap()));
    assert_eq!(config.mailbox.max_item_size, 1000);
    assert_eq!(config.http.unwrap().listen.port(), 0);

    let wrong = environment_with(&[
        ("WHATSAPP_ARCHIVER__SOURCE__PAGE_SIZE", "many"),
        ("WHATSAPP_ARCHIVER__SOURCE__PAGESIZE", "hunter2"),
        ("WHATSAPP_ARCHIVER__USERS__PATH", "users.csv"),
    ]);
    let reported = Config::from_text(MINIMAL, Path::new(PATH), &wrong).unwrap_err().to_string();
    assert_eq!(
        reported,
        "the configuration has 3 problems\n\
         WHATSAPP_ARCHIVER__SOURCE__PAGESIZE (environment): this variable overrides no key of the configuration\n    \
         instead: WHATSAPP_ARCHIVER__SOURCE__PAGE_SIZE\n\
         WHATSAPP_ARCHIVER__SOURCE__PAGE_SIZE (environment): source.page_size: a whole number is expected here, not a text (found \"many\")\n    \
         instead: WHATSAPP_ARCHIVER__SOURCE__PAGE_SIZE='500'\n\
         WHATSAPP_ARCHIVER__USERS__PATH (environment): users.path: this key is for kind = \"list\", which is not what is chosen here\n    \
         instead: nothing, or kind = \"list\" in [users]"
    );
}

#[test]
fn an_override_supplies_what_the_file_lacks() {
    let without = MINIMAL.replace("username", "#");
    assert_eq!(problems(&without, &environment()), ["2 source.username: missing: kind = \"telemessage\" needs it"]);
    read_with(&without, &[("WHATSAPP_ARCHIVER__SOURCE__USERNAME", "ana")]);
}

#[test]
fn warnings_say_what_a_cloud_lacks() {
    let config = read(&with(MINIMAL, &[("microsoft", "cloud = \"us-gov-high\"")]));
    let warned: Vec<&str> = config.warnings.iter().map(|warning| warning.what.as_str()).collect();
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(warned[0].contains("no attachment of 3 MB"));
    assert!(warned[1].contains("another cloud"));
}

#[test]
fn a_file_is_read_with_its_digest_and_a_byte_order_mark_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    for text in [MINIMAL.to_owned(), format!("\u{feff}{MINIMAL}"), MINIMAL.replace('\n', "\r\n")] {
        std::fs::write(&path, &text).unwrap();
        let config =
            Config::load(&path, &environment(), NeededSecrets::All).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(config.sha256, whatsapp_archiver::digest::Digest::of(text.as_bytes()));
        assert_eq!(config.path, path);
    }
}

#[test]
fn a_settle_as_long_as_an_attempt_is_enough_and_the_class_can_be_left_out() {
    let lines = [("mailbox", "settle = \"40s\""), ("mailbox", "message_class = \"\"")];
    let config = Config::from_text(&with(MINIMAL, &lines), Path::new(PATH), &environment()).unwrap();
    let MailboxKind::Graph(graph) = &config.mailbox.kind else { panic!("{:?}", config.mailbox.kind) };
    assert_eq!((graph.settle, graph.message_class.as_deref()), (Duration::from_secs(40), None));
}
