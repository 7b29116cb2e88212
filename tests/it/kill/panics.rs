//! An error of the program itself, at every named point: the process ends with an error, the log says where and not what, and
//! nothing is lost or doubled by it.

use serde_json::Value;
use whatsapp_archiver::failpoint;

use super::{Trial, reported};
use crate::cli::echo::{assert_clean, assert_files_are_clean};

/// What the panic's message repeats.
const SECRET: &str = "c0rrect-h0rse-battery-staple";

#[tokio::test]
async fn a_panic_ends_the_run_and_repeats_nothing() {
    for (seed, point) in failpoint::ALL.into_iter().enumerate() {
        let trial = Trial::new(seed as u64);
        let mut command = trial.run_once();
        command.env("WHATSAPP_ARCHIVER_FAIL_AT", format!("{point}:1:the password {SECRET} was refused"));
        let output = command.env("RUST_BACKTRACE", "1").env("RUST_LOG", "trace").output().unwrap();
        assert!(output.status.code().is_some_and(|code| code != 0), "{point}: {}", reported(&output));
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        let panicked: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let panicked = panicked.iter().find(|line| line["event"] == "panicked").expect(point);
        assert!(panicked["place"].as_str().unwrap().starts_with("src/failpoint.rs:"), "{panicked}");
        // In a release build our own functions may be part of those that call them.
        assert!(panicked["backtrace"].as_str().unwrap().contains("core::panicking"), "{panicked}");
        assert_clean(point, SECRET, said.as_bytes());
        assert_files_are_clean(SECRET, trial.directory.path());
        trial.finish(point).await;
    }
}
