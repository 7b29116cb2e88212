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
fn a_proof_holds_when_verify_md_is_followed_and_fails_when_anything_was_changed() {
    let trial = signed();
    let folder = prove(&trial, "proof", &["--item", "918210"]);
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
    let bare = prove(&trial, "bare", &["--message-id", id, "--without-page"]);
    assert!(!bare.join("capture-1/page.json").exists() && follows(&bare));

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
