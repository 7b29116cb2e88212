//! Exit statuses: 0 done, 1 the run failed or left something, 2 usage, 78 the configuration or the mapping.

use std::fs;

use serde_json::Value;

use super::{Trial, ended, program};

#[test]
fn wrong_words_are_usage() {
    let trial = Trial::imported();
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["run", "--twice"],
        &["retry", "--reason", "bad_luck"],
        &["report", "--format", "morse"],
        &["report", "--run", "nobody"],
        &["failures", "--run", "nobody"],
        &["retry", "--run", "nobody"],
        &["backfill", "--from", "2026-11-02", "--to", "2026-11-01"],
        &["backfill", "--from", "yesterday", "--to", "2026-11-01"],
        &["health", "--loud"],
    ] {
        let ended = trial.run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}{}", ended.out, ended.log);
        assert!(ended.out.is_empty() && !ended.log.is_empty(), "{arguments:?}");
    }
}

#[test]
fn all_problems_of_a_configuration_are_reported_at_once() {
    let trial = Trial::new();
    trial.edit("config/local.toml", |text| {
        text.replace("kind = \"directory\"", "kind = \"teleport\"")
            .replace("automatic = true", "automatik = true")
            .replace("url = \"sqlite://../local-data/ledger.db\"", "url = \"mysql://db\"\nlease = \"1s\"")
    });
    // The tables that it names are looked through all the same.
    trial.edit("config/sample/mapping.csv", |text| text + "4.45E+11,susan@contoso.example\n");
    trial.edit("config/sample/users.csv", |text| text.replace("zoe@contoso.example", "zoe at contoso"));
    for arguments in [&["run", "--once"][..], &["check"], &["status"], &["report"], &["failures"], &["retry"], &["run"]]
    {
        let ended = trial.run(arguments);
        assert_eq!(ended.code, Some(78), "{arguments:?}: {}", ended.log);
        for part in ["local.toml:", "source.kind", "automatik", "automatic", "ledger.url", "ledger.lease", "instead:"] {
            assert!(ended.log.contains(part), "{part} in {}", ended.log);
        }
        assert!(ended.log.contains("mapping.csv:") && ended.log.contains("users.csv:"), "{}", ended.log);
    }
    assert!(!trial.path("local-data").exists(), "nothing was begun");
}

#[test]
fn a_configuration_that_is_missing_says_how_to_get_one() {
    let ended = ended(program().args(["--config", "/nowhere/config.toml", "run", "--once"]));
    assert_eq!(ended.code, Some(78));
    assert!(ended.log.contains("/nowhere/config.toml") && ended.log.contains("init"), "{}", ended.log);
}

#[test]
fn a_mapping_with_problems_stops_a_start_with_all_of_them() {
    let trial = Trial::new();
    trial.edit("config/sample/mapping.csv", |text| text + "4.45E+11,susan@contoso.example\n15550100,nobody\n");
    trial.edit("config/sample/users.csv", |text| text.replace("zoe@contoso.example", "zoe at contoso"));
    for arguments in [&["run", "--once"][..], &["retry"], &["backfill", "--from", "2026-11-01", "--to", "2026-11-02"]] {
        let ended = trial.run(arguments);
        assert_eq!(ended.code, Some(78), "{arguments:?}: {}", ended.log);
        assert!(ended.log.contains("mapping.csv:5:") && ended.log.contains("mapping.csv:6:"), "{}", ended.log);
    }
    let check = trial.run(&["check"]);
    assert_eq!(check.code, Some(78));
    for part in ["mapping.csv:5:", "mapping.csv:6:", "users.csv:8:", "to do"] {
        assert!(check.out.contains(part), "{part} in {}", check.out);
    }
    trial.edit("config/local.toml", |text| text.replace("mapping.csv", "no-mapping.csv"));
    let missing = trial.run(&["run", "--once"]);
    assert_eq!(missing.code, Some(78), "{}", missing.log);
    assert!(missing.log.contains("no-mapping.csv"), "{}", missing.log);
    assert!(!trial.path("local-data").exists(), "nothing was begun");
}

#[test]
fn what_is_left_pending_and_a_run_that_failed_are_status_1() {
    let trial = Trial::new();
    trial.edit("config/local.toml", |text| text + "\n[retry]\nattempts = 1\n");
    fs::create_dir_all(trial.path("local-data")).unwrap();
    fs::write(trial.path("local-data/mailboxes"), "a file").unwrap();
    let pending = trial.run(&["run", "--once"]);
    assert_eq!(pending.code, Some(1));
    assert!(pending.out.contains("incomplete") && pending.out.contains("failures"), "{}", pending.out);
    // The log alone names cause, harm and remedy, at a level that somebody hears of, and is no flood.
    let lines: Vec<Value> = pending.log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    let (causes, ended) = (of("copies_pending"), of("run_finished"));
    assert!(causes.len() <= 20 && causes.iter().all(|line| line["level"] == "WARN"), "{}", pending.log);
    let causes: Vec<_> = causes.into_iter().filter(|line| line["cause"] == "mailbox").collect();
    assert!(!causes.is_empty(), "{}", pending.log);
    assert!(causes.iter().all(|line| line["error"].as_str().is_some_and(|error| !error.is_empty())), "{causes:?}");
    assert!(causes.iter().all(|line| line["message"].as_str().unwrap().contains("check --mailbox")), "{causes:?}");
    let counted: u64 = causes.iter().map(|line| line["deliveries"].as_u64().unwrap()).sum();
    assert_eq!(ended.len(), 1);
    assert_eq!((&ended[0]["level"], &ended[0]["pending.mailbox"]), (&"WARN".into(), &counted.into()), "{ended:?}");
    assert_eq!(trial.json(&["status", "--json"])["state"], "pending");
    assert_eq!(trial.json(&["status", "--json"])["remotes"]["mailbox"]["ok"], false);

    fs::rename(trial.path("config/sample/export"), trial.path("config/sample/elsewhere")).unwrap();
    let failed = trial.run(&["run", "--once"]);
    assert_eq!(failed.code, Some(1));
    assert!(failed.out.contains("Error"), "{}", failed.out);
    let status = trial.json(&["status", "--json"]);
    assert_eq!((&status["state"], &status["remotes"]["source"]["ok"]), (&"failed".into(), &false.into()));

    fs::rename(trial.path("config/sample/elsewhere"), trial.path("config/sample/export")).unwrap();
    fs::remove_file(trial.path("local-data/mailboxes")).unwrap();
    trial.prints(&["run", "--once"]);
    assert_eq!(trial.copies().values().sum::<usize>(), 104);
    let status = trial.json(&["status", "--json"]);
    assert_eq!(
        (&status["state"], &status["daemon"]["running"]),
        (&"stopped".into(), &false.into()),
        "no daemon is alive"
    );
}

#[test]
fn a_foreign_staging_area_is_refused_with_what_to_do() {
    let trial = Trial::imported();
    trial.edit("config/local.toml", |text| text.replace("ledger.db", "another.db"));
    let refused = trial.run(&["run", "--once"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.out.contains("belongs to another ledger"), "{}", refused.out);
    assert!(refused.out.contains("rebuild-ledger"), "{}", refused.out);
    assert_eq!(trial.copies().values().sum::<usize>(), 104);
    let staging_is_ok = || trial.json(&["status", "--json"])["remotes"]["staging"]["ok"].clone();
    assert_eq!(staging_is_ok(), false);
    trial.run(&["rebuild-ledger"]);
    assert_eq!(staging_is_ok(), true, "it is this ledger's now");
}

/// With a ledger that is lost or mistyped, nothing may look proved.
#[test]
fn with_another_ledger_nothing_looks_proved() {
    let trial = Trial::imported();
    trial.edit("config/local.toml", |text| text.replace("ledger.db", "another.db"));
    // Only a run makes a ledger, and this one is refused.
    assert_eq!(trial.run(&["run", "--once"]).code, Some(1));
    let out = trial.path("exported").to_str().unwrap().to_owned();
    let export = ["export", "--from", "2009-01-01", "--to", "2100-01-01", "--format", "eml", "--out", &out];
    for arguments in [&["verify"][..], &["verify", "--format", "json"], &export] {
        let refused = trial.run(arguments);
        assert_eq!(refused.code, Some(1), "{arguments:?}: {}{}", refused.out, refused.log);
        assert!(refused.out.is_empty(), "{arguments:?}: {}", refused.out);
        assert!(refused.log.contains("belongs to another ledger"), "{arguments:?}: {}", refused.log);
    }
    let check = trial.run(&["check", "--online"]);
    assert_eq!(check.code, Some(1), "{}", check.out);
    let line = check.out.lines().find(|line| line.starts_with("ledger ")).unwrap();
    assert!(line.contains(" WRONG ") && line.contains("belongs to another ledger"), "{}", check.out);
    // None of them made the staging area this ledger's.
    assert_eq!(trial.run(&["verify"]).code, Some(1));
    trial.edit("config/local.toml", |text| text.replace("another.db", "ledger.db"));
    assert!(trial.prints(&["verify"]).contains("no damage"));
    assert!(trial.prints(&["check", "--online"]).lines().any(|line| line.starts_with("ledger ")));
}

#[test]
fn a_ledger_without_a_run_proves_nothing() {
    let trial = Trial::new();
    fs::rename(trial.path("config/sample/export"), trial.path("config/sample/elsewhere")).unwrap();
    trial.edit("config/local.toml", |text| text + "\n[retry]\nattempts = 1\n");
    assert_eq!(trial.run(&["run", "--once"]).code, Some(1));
    let verify = trial.run(&["verify"]);
    assert_eq!((verify.code, verify.out.as_str()), (Some(1), ""), "{}", verify.log);
    assert!(verify.log.contains("no finished run"), "{}", verify.log);
}

#[test]
fn reading_commands_before_the_first_run_say_so() {
    let trial = Trial::new();
    let out = trial.path("exported").to_str().unwrap().to_owned();
    let export = ["export", "--from", "2009-01-01", "--to", "2100-01-01", "--format", "eml", "--out", &out];
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["report"],
        &["report", "--list"],
        &["failures"],
        &["retry"],
        &["release", "--reason", "encrypted"],
        &["verify"],
        &["ledger", "copy", "--to", "sqlite:copy.db"],
        &export,
    ] {
        let refused = trial.run(arguments);
        assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""), "{arguments:?}: {}", refused.log);
        assert!(refused.log.contains("there is no ledger at") && refused.log.contains("ledger.db"), "{}", refused.log);
        assert!(refused.log.contains("ledger.url"), "{arguments:?}: what to do: {}", refused.log);
        assert!(!trial.path("local-data").exists(), "{arguments:?} makes nothing");
    }
    let online = trial.prints(&["check", "--online"]);
    assert!(online.lines().any(|line| line.starts_with("ledger ") && line.contains("none yet")), "{online}");
    assert!(!trial.path("local-data/ledger.db").exists());

    // A ledger whose only run failed has read nothing, and an empty list is no good news.
    trial.edit("config/local.toml", |text| text + "\n[retry]\nattempts = 1\n");
    fs::rename(trial.path("config/sample/export"), trial.path("config/sample/elsewhere")).unwrap();
    assert_eq!(trial.run(&["run", "--once"]).code, Some(1));
    let failures = trial.prints(&["failures"]);
    assert!(failures.contains("read nothing yet") && !failures.contains("Nothing is open"), "{failures}");
    assert_eq!(trial.prints(&["failures", "--format", "json"]), "[]\n");
}

/// A write-ahead log without its database may be all that is left of a ledger.
#[test]
fn nobody_overwrites_the_log_of_a_lost_database_file() {
    let trial = Trial::imported();
    let (file, log) = (trial.path("local-data/ledger.db"), trial.path("local-data/ledger.db-wal"));
    fs::remove_file(&file).unwrap();
    fs::write(&log, "what was written last").unwrap();
    for arguments in [&["status"][..], &["failures"], &["run", "--once"], &["rebuild-ledger"]] {
        let refused = trial.run(arguments);
        assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""), "{arguments:?}: {}", refused.log);
        assert!(refused.log.contains("ledger.db-wal is there"), "{arguments:?}: {}", refused.log);
        assert!(!file.exists() && fs::read(&log).unwrap() == b"what was written last", "{arguments:?}");
    }
    // An empty file is no ledger either.
    fs::remove_file(&log).unwrap();
    fs::write(&file, "").unwrap();
    let refused = trial.run(&["status"]);
    assert!(refused.code == Some(1) && refused.log.contains("only an empty file"), "{}", refused.log);
    assert_eq!(fs::metadata(&file).unwrap().len(), 0);
}

/// Whoever looks at the state is not stopped by a password that only a run needs.
#[test]
fn commands_need_only_the_secrets_that_they_use() {
    let trial = Trial::imported();
    trial.edit("config/local.toml", |text| text + "\n[notify]\nwebhook = { env = \"NO_SUCH_VARIABLE\" }\n");
    for arguments in
        [&["status"][..], &["report"], &["report", "--list"], &["failures"], &["release", "--reason", "encrypted"]]
    {
        trial.prints(arguments);
    }
    for arguments in [&["run", "--once"][..], &["check"], &["verify", "--restore"]] {
        let refused = trial.run(arguments);
        assert_eq!(refused.code, Some(78), "{arguments:?}");
        assert!(refused.log.contains("notify.webhook"), "{arguments:?}: {}", refused.log);
    }
    trial.prints(&["verify"]);
    // Nor are those that resolve nobody by a mapping or a user list. `verify` asks the list who has another address now.
    fs::write(trial.path("config/sample/users.csv"), "nothing\n").unwrap();
    fs::remove_file(trial.path("config/sample/mapping.csv")).unwrap();
    assert_eq!(trial.run(&["verify"]).code, Some(78));
    let window = ["--from", "2026-11-20", "--to", "2026-11-23"];
    let out = trial.path("exported");
    let exported =
        trial.run(&[&["export"][..], &window, &["--format", "eml", "--out", out.to_str().unwrap()]].concat());
    assert_eq!(exported.code, Some(0), "{}", exported.log);
    let again = trial.run(&[&["export"][..], &window, &["--format", "eml", "--out", out.to_str().unwrap()]].concat());
    assert_eq!(again.code, Some(1));
    assert!(
        again.log.contains("manifest.csv already exists") && again.log.contains("another directory"),
        "{}",
        again.log
    );
    let url = format!("sqlite://{}", trial.path("moved.db").display());
    trial.prints(&["ledger", "copy", "--to", &url]);
}

#[test]
fn a_proof_takes_the_place_of_no_file() {
    let trial = Trial::imported();
    trial.edit("config/local.toml", |text| text + "\n[notify]\nwebhook = { env = \"NO_SUCH_VARIABLE\" }\n");
    let out = trial.path("proof.zip");
    trial.prints(&["prove", "--item", "918210", "--out", out.to_str().unwrap()]);
    let again = trial.run(&["prove", "--item", "918210", "--out", out.to_str().unwrap()]);
    assert_eq!(again.code, Some(1));
    assert!(again.log.contains("proof.zip already exists") && again.log.contains("--out"), "{}", again.log);
}

/// A report that can't be signed isn't written, and nobody would hear of it before an auditor asks.
#[test]
fn a_key_that_can_not_be_used_is_found_by_the_check() {
    let trial = Trial::new();
    let key = trial.path("report.pem");
    let named = format!("{{ file = '{}' }}", key.display());
    let check = || ended(trial.command(&["check"]).env("WHATSAPP_ARCHIVER__REPORT__SIGNING_KEY", &named));
    fs::write(&key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    let wrong = check();
    assert_eq!(wrong.code, Some(78), "{}{}", wrong.out, wrong.log);
    let line = wrong.out.lines().find(|line| line.starts_with("signing key ")).unwrap();
    assert!(line.contains(" WRONG ") && line.contains("report.signing_key"), "{}", wrong.out);
    assert!(wrong.out.contains("openssl genpkey"), "{}", wrong.out);
    for arguments in [&["run"][..], &["run", "--once"]] {
        let refused = ended(trial.command(arguments).env("WHATSAPP_ARCHIVER__REPORT__SIGNING_KEY", &named));
        assert_eq!(refused.code, Some(78), "{arguments:?}: {}{}", refused.out, refused.log);
        assert!(refused.log.contains("report.signing_key"), "{arguments:?}: {}", refused.log);
    }
    assert!(!trial.path("local-data").exists(), "nothing was begun");
    fs::write(&key, SIGNING_KEY).unwrap();
    let right = check();
    assert_eq!(right.code, Some(0), "{}{}", right.out, right.log);
    assert!(right.out.lines().any(|line| line.starts_with("signing key ") && line.contains(" ok ")), "{}", right.out);

    fs::write(trial.path("app.pem"), SIGNING_KEY).unwrap();
    trial.edit("config/local.toml", |text| {
        let mailbox = text.replace("kind = \"maildir\"\npath = \"../local-data/mailboxes/\"", "kind = \"graph\"");
        mailbox
            + "\n[microsoft]\ntenant_id = \"contoso.example\"\nclient_id = \"0a1b2c3d-0002-4000-8000-00000000a99a\"\n\
               sign_in = \"certificate\"\ncertificate = { file = \"../app.pem\" }\n"
    });
    let wrong = trial.run(&["check"]);
    assert_eq!(wrong.code, Some(78), "{}{}", wrong.out, wrong.log);
    let line = wrong.out.lines().find(|line| line.starts_with("certificate ")).unwrap();
    assert!(line.contains(" WRONG ") && line.contains("microsoft.certificate"), "{}", wrong.out);
    fs::write(trial.path("app.pem"), application_key()).unwrap();
    let right = trial.prints(&["check"]);
    assert!(right.lines().any(|line| line.starts_with("certificate ") && line.contains(" ok ")), "{right}");
}

/// Made with OpenSSL (`openssl genpkey -algorithm ed25519`).
const SIGNING_KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIDQzpLV6otyqu7v0GtvO6UbNwy7agAIb6KBxcQIjrecS\n-----END PRIVATE KEY-----\n";

/// A certificate with its private key.
pub(super) fn application_key() -> String {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
    certificate.pem() + &key.serialize_pem()
}

#[test]
fn a_log_as_text_has_no_colours_in_a_file() {
    let trial = Trial::new();
    let run = trial.run(&["--log-format", "text", "run", "--once"]);
    assert!(run.log.contains("INFO") && !run.log.contains('\u{1b}'), "{}", run.log);
}

#[test]
fn the_future_can_not_be_read() {
    let trial = Trial::new();
    let refused = trial.run(&["backfill", "--from", "2026-11-01", "--to", "2999-01-01"]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""), "{}", refused.log);
    assert!(refused.log.contains("--to 2999-01-01T00:00:00Z is in the future"), "{}", refused.log);
    assert!(!trial.path("local-data").exists(), "nothing was begun");
}

#[test]
fn a_replay_of_nothing_starts_no_run() {
    let trial = Trial::imported();
    let runs = || trial.json(&["report", "--format", "json"])["run"].clone();
    let before = runs();
    for arguments in [&["retry", "--item", "999"][..], &["retry", "--reason", "mailbox_unavailable"]] {
        assert!(trial.prints(arguments).contains("Nothing that matches can be replayed"), "{arguments:?}");
    }
    assert_eq!(runs(), before);
    let held = trial.run(&["retry", "--reason", "no_valid_user"]);
    assert_eq!(held.code, Some(0), "{}{}", held.out, held.log);
    assert_ne!(runs(), before);
    trial.edit("config/local.toml", |text| text.replace("ledger.db", "another.db"));
    assert_eq!(trial.run(&["run", "--once"]).code, Some(1));
    let foreign = trial.run(&["retry", "--item", "999"]);
    assert_eq!((foreign.code, foreign.out.as_str()), (Some(1), ""), "{}", foreign.log);
    assert!(foreign.log.contains("belongs to another ledger"), "{}", foreign.log);
}
