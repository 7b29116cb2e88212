//! `export` of the sample: what its filters take, and what the chain says of it.

use std::collections::BTreeSet;

use crate::export_manifest::read_manifest;

use super::{Ended, Trial};

/// Exports to a directory of this name, and ends well.
fn export(trial: &Trial, out: &str, arguments: &[&str]) -> Ended {
    let ended = exports(trial, out, arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.out, ended.log);
    ended
}

fn exports(trial: &Trial, out: &str, arguments: &[&str]) -> Ended {
    let folder = trial.path(out).to_str().unwrap().to_owned();
    let all = ["export", "--from", "2009-01-01", "--to", "2100-01-01", "--out", folder.as_str()];
    let all: Vec<&str> = all.into_iter().chain(arguments.iter().copied()).collect();
    trial.run(&all)
}

/// The Message-IDs that an export has which ends well.
fn exported(trial: &Trial, out: &str, arguments: &[&str]) -> BTreeSet<String> {
    export(trial, out, &[&["--format", "eml"], arguments].concat());
    messages(trial, out)
}

fn messages(trial: &Trial, out: &str) -> BTreeSet<String> {
    let rows = read_manifest(&trial.path(out)).into_iter().filter(|row| !row["path"].is_empty());
    rows.map(|row| row["message_id"].clone()).collect()
}

#[test]
fn filters_take_a_part_of_all_messages() {
    let trial = Trial::imported();
    let all = exported(&trial, "all", &[]);
    let mailbox = exported(&trial, "mailbox", &["--mailbox", "ANA.berg@contoso.example"]);
    let owner = exported(&trial, "owner", &["--owner", "ana.berg@contoso.example"]);
    let sent = exported(&trial, "sent", &["--by", "sent"]);
    assert_eq!(sent, all, "the window is wide enough for both times");
    assert!(owner.is_subset(&mailbox) && mailbox.is_subset(&all) && !owner.is_empty() && mailbox.len() < all.len());
    let copies = trial.copies()["ana.berg@contoso.example"];
    assert_eq!(mailbox.len(), copies, "what is exported of a mailbox is what is in it");
}

#[test]
fn people_mailboxes_and_chats_are_found_by_each_of_their_names() {
    let trial = Trial::imported();
    let sets: [&[[&str; 2]]; 4] = [
        &[
            ["--owner", "12025550100"],
            ["--owner", "ana.berg@contoso.example"],
            ["--owner", "Ana Berg"],
            ["--owner", "ANA  berg"],
        ],
        &[
            ["--mailbox", "omar.haddad@contoso.example"],
            ["--mailbox", "omar@contoso.example"],
            ["--mailbox", "O.Haddad@contoso.example"],
        ],
        &[["--participant", "+447700900103"], ["--participant", "omar@contoso.example"], ["--participant", "عمر حداد"]],
        &[["--thread", "فريق الخليج"], ["--thread", " فريق  الخليج "]],
    ];
    for (set, values) in sets.iter().enumerate() {
        let found: Vec<BTreeSet<String>> = values
            .iter()
            .enumerate()
            .map(|(place, arguments)| exported(&trial, &format!("{set}-{place}"), arguments))
            .collect();
        assert!(!found[0].is_empty(), "{values:?}");
        for (found_by, values) in found.iter().zip(*values) {
            assert_eq!(*found_by, found[0], "{values:?}");
        }
    }
}

#[test]
fn a_value_that_nothing_fits_is_named_and_the_exit_status_says_so() {
    let trial = Trial::imported();
    let ana = exported(&trial, "ana", &["--owner", "Ana Berg"]);
    let misspelt =
        ["--format", "eml", "--owner", "Ana Berg", "--owner", "Ana Birg", "--participant", "+1 000 000 0000"];
    let nothing = exports(&trial, "nothing", &misspelt);
    assert_eq!(nothing.code, Some(1), "{}{}", nothing.out, nothing.log);
    assert!(
        nothing.out.starts_with("0 messages in 0 files") && messages(&trial, "nothing").is_empty(),
        "{}",
        nothing.out
    );
    for named in ["--owner \"Ana Birg\" fits nothing in this window", "--participant \"+1•••••0000\" fits nothing"]
    {
        assert!(nothing.log.contains(named), "{}", nothing.log);
    }
    assert!(!nothing.log.contains("\"Ana Berg\""), "{}", nothing.log);
    let some = exports(&trial, "some", &["--format", "eml", "--owner", "Ana Berg", "--owner", "Ana Birg"]);
    assert_eq!(some.code, Some(1), "{}{}", some.out, some.log);
    assert_eq!(messages(&trial, "some"), ana, "what does fit is exported");
    assert_eq!(
        trial.run(&["export", "--from", "2026-01-01", "--to", "2026-01-02", "--dry-run", "--owner", " "]).code,
        Some(2)
    );
}

#[test]
fn a_dry_run_counts_what_an_export_writes_and_writes_nothing() {
    let trial = Trial::imported();
    for filters in [&[][..], &["--owner", "Ana Berg"], &["--thread", "فريق الخليج"]] {
        let window = ["export", "--from", "2009-01-01", "--to", "2100-01-01", "--dry-run"];
        let dry = trial.run(&[&window[..], filters].concat());
        let name = format!("out-{}", filters.concat());
        let written = export(&trial, &name, &[&["--format", "mbox"], filters].concat());
        let first = |text: &str| text.split(' ').next().unwrap().to_owned();
        assert_eq!(dry.code, Some(0), "{}{}", dry.out, dry.log);
        assert_eq!(first(&dry.out), first(&written.out), "{}{}", dry.out, written.out);
        let further = written.out.split("; ").nth(1).unwrap();
        assert!(dry.out.contains(&format!("and {further} would be exported")), "{}{}", dry.out, written.out);
        let left_out = written.out.split("; ").nth(2).unwrap().lines().next().unwrap();
        assert!(dry.out.contains(left_out), "{}{}", dry.out, written.out);
    }
    let missing =
        trial.run(&["export", "--from", "2009-01-01", "--to", "2100-01-01", "--dry-run", "--mailbox", "x@y.example"]);
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.out.starts_with("0 messages") && missing.log.contains("x@y.example"),
        "{}{}",
        missing.out,
        missing.log
    );
    let without_out = trial.run(&["export", "--from", "2009-01-01", "--to", "2100-01-01", "--format", "eml"]);
    assert_eq!(without_out.code, Some(2), "{}", without_out.log);
}

#[test]
fn an_export_is_an_action_of_the_chain_with_its_filters_and_the_digest_of_its_manifest() {
    let trial = Trial::imported();
    let ended =
        export(&trial, "out", &["--format", "mbox", "--owner", "+1 202 555 0100", "--time-zone", "Europe/London"]);
    let manifest = std::fs::read(trial.path("out/manifest.csv")).unwrap();
    let digest = whatsapp_archiver::digest::Digest::of(&manifest).to_string();
    assert!(ended.out.contains(&digest), "{}", ended.out);
    trial.prints(&["run", "--once"]);
    let reports = trial.path("local-data/staging/reports");
    let reports = std::fs::read_dir(reports).unwrap().map(|entry| entry.unwrap().path());
    let reports = reports.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let last = reports.max().unwrap();
    let last: serde_json::Value = serde_json::from_slice(&std::fs::read(last).unwrap()).unwrap();
    let actions: Vec<&serde_json::Value> =
        last["actions"].as_array().unwrap().iter().filter(|action| action["action"] == "export").collect();
    let details: Vec<&str> = actions.iter().map(|action| action["detail"].as_str().unwrap()).collect();
    assert_eq!(details.len(), 2, "{details:?}");
    assert!(details[0].starts_with("begun: mbox in Europe/London, received 2009-01-01T00:00:00Z to"), "{details:?}");
    assert!(details[1].starts_with("done: ") && details[1].contains(&digest), "{details:?}");
    assert!(details.iter().all(|detail| detail.contains("owner +1•••••0100") && !detail.contains("202")));
}
