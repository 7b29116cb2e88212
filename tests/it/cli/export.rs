//! `export` of the sample: what its filters take, and what the chain says of it.

use std::collections::BTreeSet;

use crate::export_manifest::read_manifest;

use super::{Ended, Trial};

/// Exports to a directory of this name.
fn export(trial: &Trial, out: &str, arguments: &[&str]) -> Ended {
    let folder = trial.path(out).to_str().unwrap().to_owned();
    let all = ["export", "--from", "2009-01-01", "--to", "2100-01-01", "--out", folder.as_str()];
    let all: Vec<&str> = all.into_iter().chain(arguments.iter().copied()).collect();
    let ended = trial.run(&all);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.out, ended.log);
    ended
}

/// The Message-IDs that an export has.
fn exported(trial: &Trial, out: &str, arguments: &[&str]) -> BTreeSet<String> {
    export(trial, out, &[&["--format", "eml"], arguments].concat());
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
    let nobody = exported(&trial, "nobody", &["--participant", "+1 000 000 0000"]);
    assert!(nobody.is_empty());
    assert_eq!(sent, all, "the window is wide enough for both times");
    assert!(owner.is_subset(&mailbox) && mailbox.is_subset(&all) && !owner.is_empty() && mailbox.len() < all.len());
    let copies = trial.copies()["ana.berg@contoso.example"];
    assert_eq!(mailbox.len(), copies, "what is exported of a mailbox is what is in it");
}

#[test]
fn an_export_is_an_action_of_the_chain_with_its_filters_and_the_digest_of_its_manifest() {
    let trial = Trial::imported();
    let ended = export(&trial, "out", &["--format", "mbox", "--owner", "+15550100", "--time-zone", "Europe/London"]);
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
    assert!(details.iter().all(|detail| detail.contains("owner +1•••••0100") && !detail.contains("15550100")));
}
