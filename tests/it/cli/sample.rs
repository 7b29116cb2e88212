//! The sample export, run by run: the account of `config/sample/README.md`.

use std::fs;

use serde_json::Value;

use super::{Trial, outcomes};
use crate::oracle;

#[test]
fn the_sample_runs_to_its_documented_account() {
    let trial = Trial::imported();
    let report = trial.report();
    assert_eq!(outcomes(&report), [118, 102, 2, 10, 4, 0]);
    assert_eq!(report["items"]["available_from_source"], 70);
    assert_eq!(report["items"]["repeated_by_source"], 1);
    assert_eq!(report["failed_by_reason"], serde_json::json!({"encrypted": 1, "malformed": 1, "no_valid_user": 2}));
    let partial = serde_json::json!({"attachment_corrupt": 1, "attachment_missing": 1});
    assert_eq!(report["partial_by_reason"], partial);
    let copies: Vec<(String, usize)> = trial.copies().into_iter().collect();
    let expected = [
        ("ana.berg", 44),
        ("lukas.novak", 5),
        ("mei.tanaka", 6),
        ("omar.haddad", 5),
        ("susan.okafor", 27),
        ("yael.cohen", 7),
        ("zoe.marchetti", 10),
    ];
    assert_eq!(copies, expected.map(|(name, count)| (format!("{name}@contoso.example"), count)));
}

#[test]
fn the_first_run_ends_with_a_message_to_open() {
    let trial = Trial::new();
    let out = trial.prints(&["run", "--once"]);
    let line = out.lines().last().unwrap();
    let path = line.split_once("less '").and_then(|(_, path)| path.strip_suffix('\'')).expect(line);
    let message = fs::read_to_string(path).unwrap();
    assert!(message.contains("Message-ID: ") && message.contains("Subject: "), "{message}");
}

#[test]
fn reports_say_nothing_of_the_servers_folders() {
    let trial = Trial::imported();
    let folder = trial.path("").display().to_string();
    for format in ["json", "csv", "html"] {
        let report = trial.prints(&["report", "--format", format]);
        assert!(report.contains("users.csv") && !report.contains(folder.trim_end_matches('/')), "{report}");
    }
}

#[test]
fn no_mailbox_has_a_message_twice_but_for_its_versions() {
    let trial = Trial::imported();
    for (address, found) in oracle::read_maildirs(&trial.path("local-data/mailboxes")) {
        let before = found.len();
        let mut distinct = found;
        distinct.dedup();
        assert_eq!(distinct.len(), before, "{address}");
    }
}

#[test]
fn a_second_run_imports_nothing_and_says_so() {
    let trial = Trial::imported();
    let before = trial.copies();
    let out = trial.prints(&["run", "--once"]);
    assert!(out.contains("The source had no new items."), "{out}");
    let report = trial.report();
    assert_eq!((outcomes(&report), &report["status"]), ([0; 6], &Value::from("complete")));
    assert_eq!(report["items"]["repeated_by_source"], 71);
    assert_eq!(trial.copies(), before);
}

const ANA: &str = "ana.berg@contoso.example";

/// Every item is another capture, with bytes of its own, of the same message.
fn capture_again(trial: &Trial) {
    for export in ["20261120-cloud-archiver.json", "20261120-phone-archiver.json"] {
        let again = |text: String| text.replace("\"typ\": \"RawMessage\"", "\"typ\":  \"RawMessage\"");
        trial.edit(&format!("config/sample/export/{export}"), again);
    }
}

/// Ana's mailbox is renamed, and its former address becomes an alias: what comes again isn't imported into it again.
#[test]
fn a_renamed_mailbox_is_the_same_mailbox() {
    for columns in ["address,aliases", "address,former"] {
        let trial = Trial::imported();
        let before = trial.copies();
        let renamed = "ana.quist@contoso.example";
        trial.edit("config/sample/users.csv", |text| {
            text.replace("address,aliases", columns).replace(&format!("{ANA},"), &format!("{renamed},{ANA}"))
        });
        let mailboxes = trial.path("local-data/mailboxes");
        fs::rename(mailboxes.join(ANA), mailboxes.join(renamed)).unwrap();
        capture_again(&trial);
        trial.prints(&["run", "--once"]);
        assert!(outcomes(&trial.report())[3] > 0, "there were captures to compare");
        let after = trial.copies();
        assert_eq!(after.get(renamed), before.get(ANA));
        assert_eq!(after.get(ANA), None);
    }
}

/// What was pending for a mailbox goes to where it is now, and what is verified is looked for there.
#[test]
fn a_former_address_that_is_stated_takes_what_waits_along() {
    let trial = Trial::new();
    let mailboxes = trial.path("local-data/mailboxes");
    fs::create_dir_all(&mailboxes).unwrap();
    fs::write(mailboxes.join(ANA), "not a Maildir").unwrap();
    assert_eq!(trial.run(&["run", "--once"]).code, Some(1));
    let pending = outcomes(&trial.report())[5];
    assert!(pending > 0);
    let renamed = "ana.quist@contoso.example";
    trial.edit("config/sample/users.csv", |text| {
        text.replace("address,aliases", "address,former").replace(&format!("{ANA},"), &format!("{renamed},{ANA}"))
    });
    trial.prints(&["run", "--once"]);
    fs::remove_file(mailboxes.join(ANA)).unwrap();
    assert_eq!(trial.copies().get(renamed), Some(&44));
    trial.prints(&["verify"]);
}

/// Ana leaves, and a new colleague takes her address: nothing that was Ana's comes to the colleague, who gets what they
/// took part in themselves.
#[test]
fn whoever_takes_a_leavers_address_gets_nothing_that_was_the_leavers() {
    const NORA: &str = "nora.falk@contoso.example";
    // Nora has Susan's number now.
    let all_captured_again = |users: &dyn Fn(String) -> String| {
        let trial = Trial::imported();
        trial.edit("config/sample/users.csv", users);
        trial.edit("config/sample/mapping.csv", |text| text.replace("susan.okafor@contoso.example", NORA));
        capture_again(&trial);
        trial
    };
    let beside_ana = all_captured_again(&|text| text + &format!("{NORA},\n"));
    beside_ana.prints(&["run", "--once"]);
    let mailboxes = oracle::read_maildirs(&beside_ana.path("local-data/mailboxes"));
    let (own, shared) = (&mailboxes[NORA], mailboxes[NORA].iter().filter(|mail| mailboxes[ANA].contains(mail)).count());
    assert!(shared > 0, "some of them Ana took part in too");

    let trial = all_captured_again(&|text| text.replace(&format!("{ANA},"), &format!("{NORA},{ANA}")));
    let before = trial.copies();
    fs::remove_dir_all(trial.path("local-data/mailboxes").join(ANA)).unwrap();
    trial.prints(&["run", "--once"]);
    assert_eq!(oracle::read_maildirs(&trial.path("local-data/mailboxes"))[NORA], *own);
    let verified = trial.run(&["verify", "--restore"]);
    assert!(verified.code == Some(1) && verified.log.contains("mailbox_not_verified"), "{}", verified.log);
    let after = trial.copies();
    assert_eq!((after.get(NORA), after.get(ANA)), (Some(&own.len()), None), "the address is Nora's");

    // What is Ana's comes back where she has her address again.
    trial.edit("config/sample/users.csv", |text| text.replace(&format!("{NORA},{ANA}"), &format!("{NORA},\n{ANA},")));
    trial.run(&["verify", "--restore"]);
    let after = trial.copies();
    assert_eq!((after.get(NORA), after.get(ANA)), (Some(&own.len()), before.get(ANA)));
}

#[test]
fn a_report_has_every_field_of_the_interface() {
    let trial = Trial::imported();
    let report = trial.report();
    let is_instant = |value: &Value| chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap();
    assert_eq!(report["connector"], "whatsapp-archiver");
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(report["status"], "complete");
    assert!(!report["run"].as_str().unwrap().is_empty());
    let (from, to) = (is_instant(&report["window"]["from"]), is_instant(&report["window"]["to"]));
    assert!(from < to && is_instant(&report["started"]) <= is_instant(&report["finished"]));
    for digest in ["config_sha256", "mapping_sha256"] {
        assert_eq!(report["inputs"][digest].as_str().unwrap().len(), 64);
    }
    assert_eq!(report["inputs"]["converter"], "4");
    for count in ["available_from_source", "repeated_by_source", "late"] {
        assert!(report["items"][count].is_u64(), "{count}");
    }
    let [available, imported, partial, skipped, failed, pending] = outcomes(&report);
    assert_eq!(available, imported + partial + skipped + failed + pending);
    assert!(report["deliveries"]["carried_over"].is_u64());
    assert!(report["bytes"]["downloaded"].as_u64().unwrap() > 0 && report["bytes"]["imported"].as_u64().unwrap() > 0);
    assert_eq!(report["failures"].as_array().unwrap().len() as u64, failed);
    assert!(report["replayed"].as_array().unwrap().is_empty(), "no replay");
    assert_eq!(report["partials"].as_array().unwrap().len() as u64, partial);
    for failure in report["failures"].as_array().unwrap() {
        let fields: Vec<&String> = failure.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["detail", "item", "mailbox", "message_id", "reason", "source_user"]);
        assert!(failure["reason"].is_string() && failure["detail"].is_string());
        let item = failure["item"].as_str().unwrap();
        assert_eq!(item == "#70", failure["reason"] == "malformed", "{failure}");
    }
    for partial in report["partials"].as_array().unwrap() {
        let fields: Vec<&String> = partial.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["detail", "item", "mailbox", "reason"]);
        assert!(partial["mailbox"].as_str().unwrap().contains('@'));
    }
    let unmapped = report["unmapped_participants"].as_array().unwrap();
    assert_eq!(report["unmapped_total"].as_u64().unwrap(), unmapped.len() as u64);
    assert!(unmapped.iter().all(|entry| entry["number"].is_string() && entry["items"].as_u64().unwrap() > 0));
    let items: Vec<u64> = unmapped.iter().map(|entry| entry["items"].as_u64().unwrap()).collect();
    assert!(items.is_sorted_by(|more, less| more >= less), "the most frequent first: {items:?}");
}

#[test]
fn a_report_says_which_lines_of_the_mapping_named_mailboxes() {
    let trial = Trial::new();
    trial.edit("config/sample/mapping.csv", |text| {
        let always = text.replace('\n', ",,\n").replace("Mailbox,,", "Mailbox,Valid From,Valid Until");
        always.replace("susan.okafor@contoso.example,,", "susan.okafor@contoso.example,2020-01-01,2030-01-01")
    });
    trial.prints(&["run", "--once"]);
    let report = trial.report();
    let rules = report["mapping_rules"].as_array().unwrap();
    assert_eq!(report["mapping_rules_total"].as_u64().unwrap(), rules.len() as u64);
    let of = |mailbox: &str| rules.iter().find(|rule| rule["mailbox"] == mailbox).unwrap();
    let susan = of("susan.okafor@contoso.example");
    assert_eq!(susan["rule"], "mapping file: +4•••••0101, valid from 2020-01-01 until 2030-01-01");
    assert_eq!(of("omar.haddad@contoso.example")["rule"], "mapping file: +4•••••0103, valid always");
    let copies = oracle::read_maildirs(&trial.path("local-data/mailboxes"))["susan.okafor@contoso.example"].len();
    assert_eq!((susan["deliveries"].as_u64(), copies), (Some(29), 27), "two are captures of messages that she has");
    let table = trial.prints(&["report"]);
    assert!(table.contains("Rule that named a mailbox") && table.contains("valid from 2020-01-01"), "{table}");
    let page = trial.prints(&["report", "--format", "html"]);
    assert!(page.contains("What named the mailboxes") && page.contains("valid from 2020-01-01"), "{page}");

    // What the mapping says afterwards changes nothing in the account of this run.
    trial.edit("config/sample/mapping.csv", |text| text.replace("2030", "2031"));
    trial.prints(&["retry"]);
    let run = report["run"].as_str().unwrap();
    assert_eq!(trial.json(&["report", "--run", run, "--format", "json"])["mapping_rules"], report["mapping_rules"]);
}

#[test]
fn a_replay_after_the_mapping_was_corrected_adds_only_what_is_missing() {
    let trial = Trial::imported();
    let before = oracle::read_maildirs(&trial.path("local-data/mailboxes"));
    let peter = "12025550107,peter.quist@contoso.example\n";
    trial.edit("config/sample/mapping.csv", |text| {
        // What is imported already is not routed again, whatever the mapping says by now.
        text.replace("susan.okafor@contoso.example", "zoe.marchetti@contoso.example") + peter
    });
    trial.edit("config/sample/users.csv", |text| text + "peter.quist@contoso.example,\n");
    let dry = trial.prints(&["retry", "--reason", "no_valid_user", "--dry-run"]);
    assert_eq!(dry, "5 items would be replayed, which would add 5 copies. No run was started.\n");
    let out = trial.prints(&["retry", "--reason", "no_valid_user"]);
    assert!(out.ends_with("5 copies were added.\n"), "{out}");
    let report = trial.report();
    assert_eq!((outcomes(&report)[1..].to_vec(), &report["kind"]), (vec![5, 0, 0, 0, 0], &Value::from("retry")));
    let replayed = report["replayed"].as_array().unwrap();
    assert!(
        replayed.len() == 5 && replayed.iter().all(|copy| copy["mailbox"] == "peter.quist@contoso.example"),
        "{report}"
    );
    assert_eq!(trial.prints(&["report", "--format", "csv"]).matches(",imported,").count(), 5);
    let mut after = oracle::read_maildirs(&trial.path("local-data/mailboxes"));
    assert_eq!(after.remove("peter.quist@contoso.example").unwrap().len(), 5);
    assert_eq!(after, before, "nothing else moved");

    let failures = trial.json(&["failures", "--format", "json"]);
    let reasons: Vec<&str> = failures.as_array().unwrap().iter().map(|row| row["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["encrypted", "malformed"]);
    trial.prints(&["retry"]);
    assert_eq!(outcomes(&trial.report())[1..], [0, 0, 0, 2, 0], "what a rule keeps out stays out");
}

#[test]
fn status_reports_the_state() {
    let trial = Trial::new();
    trial.prints(&["run", "--once"]);
    let status = trial.json(&["status", "--json"]);
    let fields: Vec<&String> = status.as_object().unwrap().keys().collect();
    for field in ["state", "run", "last_run", "daemon", "next_run", "overdue_since", "watermark", "held", "remotes"] {
        assert!(fields.iter().any(|other| *other == field), "{field} in {fields:?}");
    }
    assert_eq!((&status["state"], &status["pending"], &status["held"]), (&"stopped".into(), &0.into(), &4.into()));
    for remote in ["source", "staging", "directory", "mailbox"] {
        assert_eq!(status["remotes"][remote]["ok"], true, "{remote}");
        assert!(status["remotes"][remote]["since"].is_string());
    }
    let next = status["next_run"].as_str().unwrap();
    assert!(next > status["watermark"].as_str().unwrap());
    let shown = trial.prints(&["status"]);
    assert!(
        shown.contains("stopped") && shown.contains("none was ever seen") && shown.contains("Held items      4"),
        "{shown}"
    );
}

#[test]
fn reports_are_written_as_tables_json_and_csv() {
    let trial = Trial::imported();
    let table = trial.prints(&["report"]);
    for part in ["complete", "118", "102", "no_valid_user", "8 participants have no valid user"] {
        assert!(table.contains(part), "{part} in {table}");
    }
    // Whom to look for in the mapping: masked, the most frequent first, whole for whoever asks.
    let (_, unmapped) = table.split_once("Without a valid user").unwrap();
    let counts: Vec<u64> = unmapped
        .lines()
        .filter(|line| line.starts_with('│'))
        .filter_map(|line| {
            line.split(|character: char| !character.is_ascii_digit()).rfind(|text| !text.is_empty())?.parse().ok()
        })
        .collect();
    assert!(counts.len() == 8 && counts.is_sorted_by(|one, next| one >= next), "{table}");
    assert!(unmapped.contains("+1•••••0107") && !unmapped.contains("2025550107"), "{table}");
    assert!(trial.prints(&["report", "--show-numbers"]).contains("+12025550107"));
    let csv = trial.prints(&["report", "--format", "csv"]);
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    let header = ["item", "message_id", "source_user", "mailbox", "state", "reason", "detail"];
    assert_eq!(rows.headers().unwrap(), header.to_vec());
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 6);
    assert!(rows.iter().any(|row| &row[0] == "918412" && &row[5] == "attachment_corrupt"));

    let run = trial.report()["run"].as_str().unwrap().to_owned();
    trial.prints(&["run", "--once"]);
    assert_eq!(outcomes(&trial.json(&["report", "--run", &run, "--format", "json"])), [118, 102, 2, 10, 4, 0]);
    let of_run = trial.json(&["failures", "--run", &run, "--format", "json", "--reason", "no_valid_user"]);
    assert_eq!(of_run.as_array().unwrap().len(), 2);
    assert!(trial.prints(&["failures", "--reason", "size_exceeded"]).contains("Nothing is open that matches"));
    assert_eq!(trial.prints(&["failures", "--format", "csv"]).lines().count(), 5);
}

#[test]
fn what_is_staged_is_byte_for_byte_what_the_export_has() {
    let trial = Trial::imported();
    let staged: Vec<Vec<u8>> = files_below(&trial.path("local-data/staging/windows"));
    for entry in fs::read_dir(trial.path("config/sample/export/attachments")).unwrap() {
        for file in fs::read_dir(entry.unwrap().path()).unwrap() {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            assert!(staged.contains(&bytes));
        }
    }
    let page = fs::read(trial.path("config/sample/export/20261120-cloud-archiver.json")).unwrap();
    assert!(staged.contains(&page));
}

fn files_below(directory: &std::path::Path) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(fs::read(path).unwrap()) }
    }
    files
}

#[test]
fn a_run_that_fails_much_of_what_came_is_a_warning() {
    let trial = Trial::new();
    // A directory that has lost nearly all its users.
    trial.edit("config/sample/users.csv", |text| text.lines().take(2).map(|line| line.to_owned() + "\n").collect());
    let run = trial.run(&["run", "--once"]);
    assert_eq!(run.code, Some(0), "failing by rule is no failure of the run: {}{}", run.out, run.log);
    assert_eq!(run.log.matches("\"event\":\"many_items_failed\"").count(), 1, "{}", run.log);
    assert!(run.out.contains("report.max_failed_share allows 20 %"), "{}", run.out);
    let report = trial.report();
    let detail = report["many_failed"].as_str().unwrap();
    assert!(detail.contains("no_valid_user"), "{detail}");
    let warned = |trial: &Trial| {
        let status = trial.json(&["status", "--json"]);
        let warnings = status["warnings"].as_array().unwrap().clone();
        warnings.into_iter().find(|warning| warning["kind"] == "many_items_failed")
    };
    assert_eq!(warned(&trial).unwrap()["detail"], detail);
    assert!(trial.prints(&["report", "--format", "html"]).contains("report.max_failed_share"));

    // A replay meets the same failures again, which is nothing new; the last run that read the source says it still.
    let retry = trial.run(&["retry"]);
    assert!(!retry.log.contains("many_items_failed"), "{}", retry.log);
    assert!(warned(&trial).is_some());
}

#[test]
fn how_much_may_fail_is_configured() {
    let trial = Trial::new();
    trial.edit("config/sample/users.csv", |text| text.lines().take(2).map(|line| line.to_owned() + "\n").collect());
    trial.edit("config/local.toml", |text| text + "\n[report]\nmax_failed_share = \"100%\"\n");
    let run = trial.run(&["run", "--once"]);
    assert!(!run.log.contains("many_items_failed") && !run.out.contains("max_failed_share"), "{}", run.log);
    assert!(trial.report().get("many_failed").is_none());
}

#[test]
fn an_item_that_cannot_be_read_is_replayed_and_given_up_by_its_number() {
    let trial = Trial::imported();
    let failures: Value = serde_json::from_str(&trial.prints(&["failures", "--format", "json"])).unwrap();
    assert_eq!(failures.as_array().unwrap().iter().filter(|row| row["reason"] == "malformed").count(), 1);
    let number = "#70";
    assert!(trial.prints(&["failures", "--each"]).contains(number));
    let preview = trial.prints(&["retry", "--item", number, "--dry-run"]);
    assert!(preview.contains("1 item would be replayed, which would add 0 copies"), "{preview}");
    assert!(trial.prints(&["retry", "--item", "#69", "--dry-run"]).contains("0 items"), "an item that has its copies");
    let listed = trial.prints(&["release", "--item", number]);
    assert!(listed.contains("1 malformed") && listed.contains("Nothing was released"), "{listed}");
    assert!(trial.prints(&["release", "--item", number, "--yes"]).contains("1 malformed"));
    assert!(trial.prints(&["release", "--item", number]).contains("No held items match"));
}
