//! `docs/outages.md`: twelve outages, each with what the program says of it: in the log, on the page, in metrics, by webhook.
//!
//! Each is really there: the program itself runs against servers that fail so. The document is written with
//! `WHATSAPP_ARCHIVER_BLESS=1 cargo test --features fail-points --test it outages`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use chrono::{Datelike as _, Duration};
use futures_util::future::BoxFuture;
use whatsapp_archiver::clock::{Clock as _, SystemClock};
use whatsapp_archiver::ledger::{Ledger, RunStatus};

use super::mailboxes::Town;
use super::site::{self, Staged};
use crate::kill::unreliable_disk;
use crate::serve::seed::{Fate, Seed, SeedItem};
use crate::servers::graph::{Act, CLIENT_SECRET, Fault, GraphServer, RetryAfter};

mod place;
mod shown;

use place::Place;
use shown::Shown;

/// An outage, and the words that must be there, in this order: log, page, metrics, webhook.
struct Outage {
    title: &'static str,
    what: &'static str,
    words: [&'static [&'static str]; 4],
    meet: fn() -> BoxFuture<'static, Shown>,
}

async fn with_graph() -> Place {
    Place::new(Town::graph(GraphServer::start(), "create-message"), Staged::Locally).await
}

async fn with_maildirs() -> Place {
    Place::new(Town::Maildirs, Staged::Locally).await
}

async fn refused_credential() -> Shown {
    let place = with_maildirs().await;
    place.site.source.set_password("changed by them");
    place.run(&[]).await
}

async fn expired_secret() -> Shown {
    let place = with_graph().await;
    place.site.town.tenant().with(|world| {
        world.login.secrets.clear();
        world.login.expired_secrets = vec![CLIENT_SECRET.to_owned()];
    });
    place.run(&[]).await
}

async fn ending_certificate() -> Shown {
    use base64::Engine as _;
    let place = with_graph().await;
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec![]).unwrap();
    let end = SystemClock.now() + Duration::days(10);
    let [month, day] = [end.month(), end.day()].map(|number| u8::try_from(number).unwrap());
    parameters.not_after = rcgen::date_time_ymd(end.year(), month, day);
    let certificate = parameters.self_signed(&key).unwrap();
    let digest = whatsapp_archiver::digest::Digest::of(certificate.der());
    let thumbprint = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest.as_bytes());
    place.site.town.tenant().with(|world| world.login.certificates.insert(thumbprint, key.public_key_pem()));
    place.site.write("app.pem", &format!("{}{}", key.serialize_pem(), certificate.pem()));
    place.site.change_configuration(
        "client_secret = { file = \"client-secret\" }",
        "sign_in = \"certificate\"\ncertificate = { file = \"app.pem\" }",
    );
    place.run(&[]).await
}

async fn no_dns() -> Shown {
    let name = "https://archive.contoso.invalid".to_owned();
    with_maildirs().await.run(&[("WHATSAPP_ARCHIVER__SOURCE__BASE_URL", name)]).await
}

async fn directory_answers(status: u16, code: &'static str) -> Shown {
    let place = with_graph().await;
    place.site.town.tenant().fail(Fault::always("$batch", Act::reply(status, code)).of("POST"));
    place.run(&[]).await
}

/// One person's mailbox answers so.
async fn mailbox_answers(act: Act) -> Shown {
    let place = with_graph().await;
    let somebody = place.site.town.tenant().with(|world| world.users[0].id.clone());
    place.site.town.tenant().fail(Fault::always(format!("{somebody}/mailFolders/"), act).of("POST"));
    place.run(&[]).await
}

async fn staging_is_down() -> Shown {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    Place::new(Town::Maildirs, Staged::AtAzure(port)).await.run(&[]).await
}

async fn disk_is_full() -> Shown {
    let fault = format!("write:28:/staging/:0:{}", u32::MAX);
    let library = unreliable_disk().display().to_string();
    with_maildirs().await.run(&[("DISK_FAULT", fault), ("LD_PRELOAD", library)]).await
}

/// This one needs the daemon: a run that begins with a wrong mapping is refused (exit status 78).
async fn broken_mapping() -> Shown {
    let place = with_maildirs().await;
    let mut daemon = place.daemon();
    daemon.wait_for("run_finished").await;
    place.site.write("mapping.csv", "External User ID,Microsoft 365 User Mailbox\n4.45E+11,susan@contoso.example\n");
    daemon.wait_for("reload_failed").await;
    daemon.wait_for("notified").await;
    place.shown(daemon.end()).await
}

async fn source_is_empty() -> Shown {
    // All that the source still has is of days that were read.
    let now = SystemClock.now();
    let census = site::Census { first: now - Duration::hours(90), ..site::census(40, "outage", 3) };
    let place = Place::of(&census, Town::Maildirs, Staged::Locally).await;
    let mut seed = Seed::new(Ledger::open(place.site.ledger()).await.unwrap());
    let staging = place.site.directory.path().join("staging");
    fs::create_dir(&staging).unwrap();
    fs::write(staging.join("ledger-id"), seed.ledger.id()).unwrap();
    for day in (2..=9).rev() {
        let items = vec![SeedItem::new(Fate::Imported); 20];
        seed.run(now - Duration::days(day), RunStatus::Complete, &items).await;
    }
    seed.run(now - Duration::minutes(10), RunStatus::Complete, &[]).await;
    place.run(&[]).await
}

const FAILED: &str = "last_run_status{status=\"failed\"} 1";
const DIRECTORY: &str = "pending_deliveries_by_cause{cause=\"directory\"}";
const MAILBOX: &str = "pending_deliveries_by_cause{cause=\"mailbox\"}";

fn of_credentials_and_names() -> Vec<Outage> {
    vec![
        Outage {
            title: "TeleMessage refuses the credential",
            what: "Somebody changed the account's password.",
            words: [
                &["ERROR run_finished", "refuses the credential", "source.password"],
                &["The last run failed", "refuses the credential"],
                &[FAILED, "remote_up{remote=\"source\"} 0"],
                &["credential_refused", "refuses the credential"],
            ],
            meet: || Box::pin(refused_credential()),
        },
        Outage {
            title: "The client secret has expired",
            what: "Microsoft refuses the sign-in of the application. What TeleMessage has is staged all the same.",
            words: [
                &["WARN copies_pending", "7000222", "create a new one", "WARN run_finished"],
                &["have no outcome yet", "directory", "create a new one"],
                &[DIRECTORY, "remote_up{remote=\"directory\"} 0"],
                &["run_incomplete", "directory"],
            ],
            meet: || Box::pin(expired_secret()),
        },
        Outage {
            title: "The certificate ends soon",
            what: "In ten days; everything works until then.",
            words: [
                &["WARN credential_expires", "microsoft.certificate"],
                &["credential_expires", "microsoft.certificate"],
                &["credential_expiry_timestamp_seconds{credential=\"microsoft.certificate\"}"],
                &["credential_expires", "firing"],
            ],
            meet: || Box::pin(ending_certificate()),
        },
        Outage {
            title: "A name can't be resolved",
            what: "DNS doesn't know the source's host.",
            words: [
                &["WARN retrying", "ERROR run_finished", "tried 4 times", "check source.base_url, and DNS"],
                &["The last run failed", "the source is not available"],
                &[FAILED, "remote_up{remote=\"source\"} 0"],
                &["run_failed", "the source is not available"],
            ],
            meet: || Box::pin(no_dns()),
        },
    ]
}

fn of_the_directory_and_mailboxes() -> Vec<Outage> {
    vec![
        Outage {
            title: "The user directory refuses (403)",
            what: "The application lost its permission to look users up.",
            words: [
                &["WARN copies_pending", "cause=directory", "User.Read.All"],
                &["have no outcome yet", "directory", "User.Read.All"],
                &[DIRECTORY, "remote_up{remote=\"directory\"} 0"],
                &["run_incomplete", "directory"],
            ],
            meet: || Box::pin(directory_answers(403, "Authorization_RequestDenied")),
        },
        Outage {
            title: "The user directory is down (503)",
            what: "It is asked several times, then its participants wait for the next run.",
            words: [
                &["WARN retrying", "WARN copies_pending", "cause=directory", "503"],
                &["have no outcome yet", "directory"],
                &[DIRECTORY, "remote_up{remote=\"directory\"} 0"],
                &["run_incomplete", "directory"],
            ],
            meet: || Box::pin(directory_answers(503, "serviceNotAvailable")),
        },
        Outage {
            title: "One mailbox refuses (403)",
            what: "The others get their copies.",
            words: [
                &[
                    "ERROR delivery_held",
                    "WARN mailbox_left",
                    "WARN copies_pending",
                    "grant the application Mail.ReadWrite",
                ],
                &["have no outcome yet", "mailbox", "grant the application Mail.ReadWrite"],
                &[MAILBOX],
                &["run_incomplete", "mailbox"],
            ],
            meet: || Box::pin(mailbox_answers(Act::reply(403, "ErrorAccessDenied"))),
        },
        Outage {
            title: "One mailbox is full",
            what: "The others get their copies.",
            words: [
                &["WARN copies_pending", "the mailbox is full; give it more room"],
                &["have no outcome yet", "the mailbox is full; give it more room"],
                &[MAILBOX],
                &["run_incomplete", "mailbox"],
            ],
            meet: || Box::pin(mailbox_answers(Act::reply(507, "ErrorQuotaExceeded"))),
        },
        Outage {
            title: "A mailbox is throttled for hours",
            what: "Exchange Online asks for a pause of two hours. The run doesn't wait for it.",
            words: [
                &["WARN mailbox_left", "asks for a pause", "WARN copies_pending"],
                &["have no outcome yet", "asks for a pause"],
                &[MAILBOX],
                &["run_incomplete", "mailbox"],
            ],
            meet: || Box::pin(mailbox_answers(Act::throttle(RetryAfter::Seconds(7200)))),
        },
    ]
}

fn of_this_side() -> Vec<Outage> {
    vec![
        Outage {
            title: "Staging is down",
            what: "Nobody answers at its endpoint.",
            words: [
                &["WARN retrying", "ERROR run_finished", "staging is not available", "staging.endpoint"],
                &["The last run failed", "staging is not available"],
                &[FAILED, "remote_up{remote=\"staging\"} 0"],
                &["run_failed", "staging is not available"],
            ],
            meet: || Box::pin(staging_is_down()),
        },
        Outage {
            title: "The disk is full",
            what: "Local staging can't be written to.",
            words: [
                &["ERROR run_finished", "the disk is full", "free space there"],
                &["The last run failed", "the disk is full"],
                &[FAILED, "remote_up{remote=\"staging\"} 0"],
                &["run_failed", "the disk is full"],
            ],
            meet: || Box::pin(disk_is_full()),
        },
        Outage {
            title: "The mapping became invalid",
            what: "Somebody saved it from a spreadsheet while the daemon ran. The last good one is in force.",
            words: [
                &["ERROR reload_failed", "mapping.csv:2:1"],
                &["mapping_refused", "mapping.csv:2:1"],
                &["reload_ok{input=\"mapping\"} 0"],
                &["reload_refused", "firing"],
            ],
            meet: || Box::pin(broken_mapping()),
        },
        Outage {
            title: "The source brings nothing",
            what: "Every run succeeds, and nothing is captured any more.",
            words: [
                &["WARN nothing_arrived"],
                &["nothing_arrived", "Ask TeleMessage"],
                &["source_silent 1"],
                &["silence", "firing"],
            ],
            meet: || Box::pin(source_is_empty()),
        },
    ]
}

fn outages() -> Vec<Outage> {
    let all = [of_credentials_and_names(), of_the_directory_and_mailboxes(), of_this_side()];
    all.into_iter().flatten().collect()
}

/// The document's beginning.
const HEAD: &str = "# Outages\n\nWhat an outage looks like: the warnings and errors of the log (the first of each event and cause), \
    what the status page says, the metrics that are not as they should be, and what the webhook is posted. All of it is what the \
    program really says: a test makes each outage and writes this file. Times, ids and ports are left out, and the retries \
    are short. Most are runs of `run --once`, so that the page says that no daemon is alive. What to do is in the [runbook](runbook.md) and in \
    [operations.md](operations.md).\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_in_the_log_on_the_page_in_metrics_and_posted() {
    let mut document = HEAD.to_owned();
    let mut wrong = Vec::new();
    for Outage { title, what, words, meet } in outages() {
        let shown = meet().await;
        wrong.extend(shown.missing(&words).into_iter().map(|missing| format!("{title}: {missing}")));
        write!(document, "\n## {title}\n\n{what}\n{}", shown.section()).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/outages.md");
    if std::env::var_os("WHATSAPP_ARCHIVER_BLESS").is_some() {
        fs::write(&path, &document).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The document has them too: it was not left behind.
    let written = fs::read_to_string(&path).unwrap();
    for Outage { title, words, .. } in outages() {
        let section = written.split_once(&format!("\n## {title}\n")).unwrap_or_else(|| panic!("{title}")).1;
        let section = section.split("\n## ").next().unwrap();
        for word in words.into_iter().flatten() {
            assert!(section.contains(word), "{title}: docs/outages.md is out of date: {word}");
        }
    }
}
