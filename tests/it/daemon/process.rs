//! The program itself, as operations run it: its signals, its log, its exit status.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::bench::Files;
use crate::servers::telemessage::PASSWORD;

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The longest wait for a line of the log, while others come.
const MAX_WAIT: Duration = Duration::from_mins(5);

/// A process of the program, and its log so far.
pub(crate) struct Process {
    child: Child,
    lines: mpsc::Receiver<Value>,
    log: Vec<Value>,
}

/// How a process ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// From the moment at which the end was waited for.
    pub(crate) after: Duration,
    pub(crate) log: Vec<Value>,
}

impl Process {
    pub(crate) fn start(files: &Files, arguments: &[&str]) -> Self {
        Self::with_environment(files, arguments, &[])
    }

    pub(crate) fn with_environment(files: &Files, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = command(files, arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // Whoever read the log may have seen enough.
                let _ = sender.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        Self { child, lines, log: Vec::new() }
    }

    /// The next line of the log with this event.
    pub(crate) fn wait_for(&mut self, event: &str) -> Value {
        self.wait_for_line(event, |line| line["event"] == event)
    }

    /// The next line of the log that is wanted.
    pub(crate) fn wait_for_line(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < MAX_WAIT, "no {what} in the log, for all that it says: {:#?}", self.log);
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("no {what} in the log ({error}): {:#?}", self.log));
            self.log.push(line.clone());
            if wanted(&line) {
                return line;
            }
        }
    }

    /// What the system says of the process in this file below `/proc`.
    pub(crate) fn proc_file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap()
    }

    /// Watches how much memory the process takes until it ends, in KiB.
    pub(crate) fn watch_memory(&self) -> JoinHandle<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        std::thread::spawn(move || {
            let mut most = 0;
            // A process that has ended has no memory, and then no file.
            while let Some(peak) = std::fs::read_to_string(&path).ok().as_deref().and_then(peak_in) {
                most = peak;
                std::thread::sleep(Duration::from_millis(5));
            }
            most
        })
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end_by(self, signal: &str) -> Ended {
        self.signal(signal);
        self.end()
    }

    /// Waits for the end. The log is in order: every line is an object with what each line has, and nothing that must not be there.
    pub(crate) fn end(mut self) -> Ended {
        let start = Instant::now();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.log.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the process doesn't end: {:#?}", self.log),
            }
        }
        let status = self.child.wait().unwrap();
        let log = std::mem::take(&mut self.log);
        for line in &log {
            for field in ["timestamp", "level", "message", "target", "event"] {
                assert!(line[field].is_string(), "{field} in {line}");
            }
            let text = line.to_string();
            for secret in [PASSWORD, "sig=", "15550100", "15550101", "This is item"] {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
        Ended { status, after: start.elapsed(), log }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The lines of an event.
    pub(crate) fn events(&self, event: &str) -> Vec<&Value> {
        self.log.iter().filter(|line| line["event"] == event).collect()
    }
}

/// The most memory that a process ever had, in KiB, by its `/proc/…/status`.
pub(crate) fn peak_in(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

fn command(files: &Files, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whatsapp-archiver"));
    command.arg("--config").arg(files.config()).args(["--log-format", "json"]).args(arguments).env_remove("RUST_LOG");
    command
}

/// Runs a command to its end.
pub(crate) fn run(files: &Files, arguments: &[&str]) -> Output {
    command(files, arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs a command that must succeed; what it says on standard output.
pub(crate) fn command_output(files: &Files, arguments: &[&str]) -> String {
    let output = run(files, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The same, as JSON.
pub(crate) fn command_json(files: &Files, arguments: &[&str]) -> Value {
    serde_json::from_str(&command_output(files, arguments)).unwrap()
}
