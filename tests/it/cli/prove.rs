//! `prove`: its zip is checked by following `VERIFY.md` literally, with the tools of any system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::Trial;

/// A trial whose reports are signed, after its first run.
fn signed() -> Trial {
    let trial = Trial::new();
    let key = trial.path("config/report.pem");
    let made = Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&key).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    trial.edit("config/local.toml", |text| format!("{text}\n[report]\nsigning_key = {{ file = \"report.pem\" }}\n"));
    trial.prints(&["run", "--once"]);
    trial
}

fn prove(trial: &Trial, out: &str, arguments: &[&str]) -> PathBuf {
    let zip = trial.path(&format!("{out}.zip"));
    let path = zip.to_str().unwrap().to_owned();
    trial.prints(&[&["prove", "--out", &path], arguments].concat());
    let folder = trial.path(out);
    zip::ZipArchive::new(fs::File::open(&zip).unwrap()).unwrap().extract(&folder).unwrap();
    folder
}

/// The commands of `VERIFY.md`, as they are there.
fn commands(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("VERIFY.md")).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
    blocks.collect()
}

/// Whether every command ends well, one after the other.
fn follows(folder: &Path) -> bool {
    let run = Command::new("sh").arg("-ec").arg(commands(folder)).current_dir(folder).output().unwrap();
    if !run.status.success() {
        eprintln!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    }
    run.status.success()
}

#[test]
fn an_item_that_cannot_be_read_is_named_by_the_ledger_s_number_or_its_key_and_its_bytes_are_given_out() {
    let trial = signed();
    let listing = trial.prints(&["failures", "--each", "--reason", "malformed"]);
    let id = listing.split_whitespace().find(|word| word.starts_with('#')).unwrap().to_owned();
    let facts = |folder: &Path| -> Value {
        serde_json::from_slice(&fs::read(folder.join("capture-1/capture.json")).unwrap()).unwrap()
    };
    let by_id = prove(&trial, "by-id", &["--item", &id]);
    let known = facts(&by_id);
    assert!(known["malformed"].is_string() && follows(&by_id), "{known}");
    let (no, key) = (format!("#{}", known["item_no"]), known["item_sha256"].as_str().unwrap());
    for (out, named) in [("by-no", no.as_str()), ("by-key", key)] {
        let folder = prove(&trial, out, &["--item", named]);
        assert_eq!(facts(&folder)["item_sha256"], key);
        let bytes = fs::read(folder.join("capture-1/item.json")).unwrap();
        assert_eq!(bytes, fs::read(by_id.join("capture-1/item.json")).unwrap());
    }
    for unknown in ["#70x", "seventy", "#99999"] {
        let out = trial.path("none.zip");
        assert_eq!(trial.run(&["prove", "--out", out.to_str().unwrap(), "--item", unknown]).code, Some(2), "{unknown}");
    }
}

/// As spreadsheets save it; and the item alone says whose number the LID is.
#[test]
fn the_line_of_the_mapping_that_named_a_mailbox_is_found_as_the_resolver_found_it() {
    let trial = Trial::new();
    trial.edit("config/sample/export/20261120-phone-archiver.json", |text| {
        let lid = r#""value": "98765432101234@lid", "phoneNumber": "447700900101""#;
        text.replace(r#""value": "447700900101""#, lid)
    });
    let mapping = trial.path("config/sample/mapping.csv");
    let text = fs::read_to_string(&mapping).unwrap();
    let utf_16: Vec<u8> =
        format!("\u{feff}{text}").replace('\n', "\r").encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(&mapping, utf_16).unwrap();
    trial.prints(&["run", "--once"]);
    let folder = prove(&trial, "proof", &["--item", "918203"]);
    let facts: Value = serde_json::from_slice(&fs::read(folder.join("capture-1/capture.json")).unwrap()).unwrap();
    let lines = facts["mapping"]["lines"].as_array().unwrap();
    assert!(lines.contains(&"447700900101,susan.okafor@contoso.example".into()), "{facts:#}");
}

#[test]
fn a_proof_holds_when_verify_md_is_followed_and_fails_when_anything_was_changed() {
    let trial = signed();
    let folder = prove(&trial, "proof", &["--item", "918210", "--with-page"]);
    let commands = commands(&folder);
    for checked in
        ["sha256sum --check", "cmp - capture-1/item.json", "message.eml", "attachments/1-", "openssl pkeyutl"]
    {
        assert!(commands.contains(checked), "{checked} is not among the commands:\n{commands}");
    }
    assert!(follows(&folder));
    let facts: Value = serde_json::from_slice(&fs::read(folder.join("capture-1/capture.json")).unwrap()).unwrap();
    assert_eq!(facts["item"], "918210");
    let copies = facts["copies"].as_array().unwrap();
    assert!(copies.iter().any(|copy| copy["mailbox"] == "ana.berg@contoso.example" && copy["state"] == "imported"));
    let lines = facts["mapping"]["lines"].as_array().unwrap();
    assert!(lines.iter().all(|line| line.as_str().unwrap().contains('@')), "{lines:?}");

    let id = facts["message_id"].as_str().unwrap();
    let again = prove(&trial, "again", &["--message-id", id]);
    assert_eq!(
        fs::read(again.join("capture-1/item.json")).unwrap(),
        fs::read(folder.join("capture-1/item.json")).unwrap()
    );

    let report = fs::read_dir(folder.join("reports")).unwrap().map(|entry| entry.unwrap().path());
    let report = report.into_iter().find(|path| path.extension().is_some_and(|it| it == "json")).unwrap();
    for file in [
        folder.join("capture-1/item.json"),
        folder.join("capture-1/message.eml"),
        folder.join("capture-1/page.json"),
        report,
    ] {
        let whole = fs::read(&file).unwrap();
        let mut changed = whole.clone();
        let last = changed.len() - 3;
        changed[last] ^= 1;
        fs::write(&file, &changed).unwrap();
        // A forger who makes the sums anew is found out too.
        let sums = "find . -type f ! -name SHA256SUMS ! -name statement -exec sha256sum {} + > SHA256SUMS";
        assert!(Command::new("sh").arg("-ec").arg(sums).current_dir(&folder).status().unwrap().success());
        assert!(!follows(&folder), "{} was changed", file.display());
        fs::write(&file, &whole).unwrap();
    }
}

/// The texts of all items of the sample, by the item's number.
fn texts(folder: &Path) -> Vec<(String, String)> {
    let page: Value = serde_json::from_slice(&fs::read(folder.join("capture-1/page.json")).unwrap()).unwrap();
    let items = page["messages"].as_array().unwrap().iter();
    let text = |item: &Value| (item["id"].to_string(), item["body"]["text"].as_str().unwrap_or_default().to_owned());
    items.map(text).filter(|(_, text)| text.len() > 12).collect()
}

#[test]
fn a_proof_discloses_no_other_message_unless_the_page_is_asked_for() {
    let trial = signed();
    let whole = prove(&trial, "whole", &["--item", "918210", "--with-page"]);
    let own = fs::read_to_string(whole.join("capture-1/item.json")).unwrap();
    let others: Vec<String> = texts(&whole)
        .into_iter()
        .filter(|(id, text)| id != "918210" && !own.contains(text))
        .map(|(_, text)| text)
        .collect();
    assert!(others.len() > 3, "{others:?}");
    for (out, arguments) in [("default", &["--item", "918210"][..]), ("named", &["--item", "918210", "--without-page"])]
    {
        let bare = prove(&trial, out, arguments);
        let files = Command::new("find").arg(&bare).args(["-type", "f"]).output().unwrap().stdout;
        let files = String::from_utf8(files).unwrap();
        assert!(files.contains("item.json") && !files.contains("page.json"), "{files}");
        for file in files.lines() {
            let bytes = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
            for other in &others {
                let escaped = serde_json::to_string(other).unwrap();
                assert!(!bytes.contains(escaped.trim_matches('"')), "{file} has {other:?}");
            }
        }
        assert!(follows(&bare));
        // What an expert who is shown the page later has to run is there too.
        let directions = fs::read_to_string(bare.join("VERIFY.md")).unwrap();
        let later: Vec<&str> =
            directions.lines().filter(|line| line.starts_with("    ") && line.contains("page.json")).collect();
        assert_eq!(later.len(), 2, "{directions}");
        fs::copy(whole.join("capture-1/page.json"), bare.join("page.json")).unwrap();
        let run = Command::new("sh").arg("-ec").arg(later.join("\n")).current_dir(&bare).status().unwrap();
        assert!(run.success());
    }
    let both = ["prove", "--item", "918210", "--with-page", "--without-page", "--out", "both.zip"];
    assert_eq!(trial.run(&both).code, Some(2));
}

#[test]
fn a_proof_with_anything_that_was_altered_in_staging_is_refused_by_its_name() {
    let trial = signed();
    let staging = trial.path("local-data/staging");
    let folder = prove(&trial, "whole", &["--item", "918210", "--with-page"]);
    let facts: Value = serde_json::from_slice(&fs::read(folder.join("capture-1/capture.json")).unwrap()).unwrap();
    let (page, length) = (facts["page"]["name"].as_str().unwrap(), facts["page"]["length"].as_u64().unwrap() as usize);
    let offset = facts["page"]["offset"].as_u64().unwrap() as usize;
    let attachments = facts["attachments"].as_array().unwrap().iter();
    let blob =
        attachments.filter_map(|attachment| attachment["blob"].as_str().or(attachment["state"]["blob"].as_str()));
    let attachment = blob.map(str::to_owned).next().unwrap_or_else(|| panic!("{}", facts["attachments"]));
    let reports = fs::read_dir(folder.join("reports")).unwrap().map(|entry| entry.unwrap().path());
    let report = reports.into_iter().find(|path| path.extension().is_some_and(|it| it == "json")).unwrap();
    let report = report.file_name().unwrap().to_str().unwrap();
    // Outside the item's own bytes.
    let elsewhere = if offset > 0 { 0 } else { length };
    for (blob, at, arguments) in [
        (page.to_owned(), elsewhere, &["--with-page"][..]),
        (attachment, 0, &[]),
        (format!("reports/{report}"), 0, &[]),
        (format!("reports/{report}.sig"), 0, &[]),
    ] {
        let file = staging.join(&blob);
        let whole = fs::read(&file).unwrap();
        let mut altered = whole.clone();
        altered[at] ^= 1;
        fs::write(&file, &altered).unwrap();
        let out = trial.path("altered.zip");
        let command = ["prove", "--item", "918210", "--out", out.to_str().unwrap()];
        let ended = trial.run(&[&command[..], arguments].concat());
        assert_eq!(ended.code, Some(1), "{blob}: {}{}", ended.out, ended.log);
        assert!(ended.log.contains(&blob) && ended.log.contains("damaged") && !out.exists(), "{blob}: {}", ended.log);
        if !arguments.is_empty() {
            // The item's own bytes are as they were, and so is all that a proof without the page has, and an export.
            assert!(follows(&prove(&trial, "without-page", &["--item", "918210"])));
            let out = trial.path("exported").to_str().unwrap().to_owned();
            let window = ["export", "--from", "2009-01-01", "--to", "2100-01-01", "--format", "eml", "--out", &out];
            let exported = trial.prints(&window);
            assert!(!exported.starts_with("0 messages"), "{exported}");
        }
        fs::write(&file, &whole).unwrap();
    }
    prove(&trial, "whole-again", &["--item", "918210", "--with-page"]);
}

#[test]
fn a_proof_of_nothing_is_refused_and_leaves_no_file() {
    let trial = Trial::imported();
    let out = trial.path("proof.zip");
    let path = out.to_str().unwrap().to_owned();
    let refused = trial.run(&["prove", "--item", "1", "--out", &path]);
    assert_eq!(refused.code, Some(2), "{}{}", refused.out, refused.log);
    assert!(refused.log.contains("no such message") && !out.exists(), "{}", refused.log);
    let both = trial.run(&["prove", "--item", "1", "--message-id", "x", "--out", &path]);
    assert_eq!(both.code, Some(2), "{}", both.log);
}
