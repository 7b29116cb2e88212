//! The real program on the sample export, as an administrator meets it: what it prints, logs, leaves and exits with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

mod commands;
mod damaged_files;
pub(crate) mod echo;
mod export;
mod failing;
mod mapping;
mod privacy;
mod prove;
mod sample;
mod signed_report;

/// The configuration of the trial, in a directory of its own.
struct Trial {
    directory: TempDir,
}

/// What a command left behind.
struct Ended {
    code: Option<i32>,
    out: String,
    log: String,
}

impl Trial {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config"), &directory.path().join("config"));
        Self { directory }
    }

    /// A trial whose first run has ended well.
    fn imported() -> Self {
        let trial = Self::new();
        let first = trial.run(&["run", "--once"]);
        assert_eq!(first.code, Some(0), "{}{}", first.out, first.log);
        trial
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.arg("--config").arg(self.path("config/local.toml")).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        ended(&mut self.command(arguments))
    }

    /// What a command prints that ends well.
    fn prints(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.out, ended.log);
        ended.out
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.prints(arguments)).unwrap()
    }

    fn report(&self) -> Value {
        self.json(&["report", "--format", "json"])
    }

    fn edit(&self, file: &str, change: impl FnOnce(String) -> String) {
        let path = self.path(file);
        let text = fs::read_to_string(&path).unwrap();
        let changed = change(text.clone());
        assert_ne!(text, changed, "{file} changes");
        fs::write(path, changed).unwrap();
    }

    /// How many copies each mailbox holds.
    fn copies(&self) -> BTreeMap<String, usize> {
        let mailboxes = crate::oracle::read_maildirs(&self.path("local-data/mailboxes"));
        let counts = mailboxes.into_iter().map(|(address, found)| (address, found.len()));
        counts.collect()
    }
}

/// The program, without anything of the environment that it reads. One that doesn't end has no exit status.
fn program() -> Command {
    let mut command = Command::cargo_bin("whatsapp-archiver").unwrap();
    command.timeout(Duration::from_mins(3));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WHATSAPP_ARCHIVER")) {
        command.env_remove(name);
    }
    command.env_remove("RUST_LOG");
    command
}

fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        log: String::from_utf8(output.stderr).unwrap(),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The outcomes of a report: all, imported, partially imported, duplicates, failed, pending.
fn outcomes(report: &Value) -> [u64; 6] {
    ["available_for_import", "imported", "partially_imported", "skipped_duplicate", "failed", "pending"]
        .map(|name| report["deliveries"][name].as_u64().unwrap())
}
