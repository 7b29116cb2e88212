//! What the program itself logs in a run, for those who have nothing else: it names the cause, the harm and the remedy, and is
//! no flood.

use std::process::{Command, Output};

use serde_json::Value;

use super::site::Site;

/// Most lines that wake somebody, for one cause, however many copies it keeps from their mailboxes.
const MAX_LINES: usize = 40;

/// A run's log.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) lines: Vec<Value>,
}

impl Heard {
    /// A run, and what is heard of it.
    pub(super) async fn run(site: &Site) -> Self {
        Self::of(site.run_once()).await
    }

    pub(super) async fn of(mut command: Command) -> Self {
        // The servers of the test answer meanwhile.
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        Self::read(&output)
    }

    pub(super) fn read(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stderr);
        // What ends a command before there is a log is plain text.
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| Value::from(line)));
        Self { lines: lines.collect() }
    }

    /// The lines that wake somebody.
    pub(super) fn woken(&self) -> Vec<&Value> {
        let wakes = |line: &&Value| line["level"] == "WARN" || line["level"] == "ERROR";
        self.lines.iter().filter(wakes).collect()
    }

    /// Whether one line of this event has all these words.
    fn says(&self, event: &str, words: &[&str]) -> bool {
        let of_event = self.lines.iter().filter(|line| line["event"] == event);
        let has_all = |line: &Value| words.iter().all(|word| line.to_string().contains(word));
        of_event.into_iter().any(has_all)
    }

    /// What is wrong with the log; nothing where one line of this event has all these words, and few others wake somebody.
    pub(super) fn wrong(&self, event: &str, words: &[&str]) -> Option<String> {
        let woken = self.woken();
        if !self.says(event, words) {
            return Some(format!("no {event} with {words:?} in {:#?}", self.shown()));
        }
        if woken.len() > MAX_LINES {
            return Some(format!("{} lines: {:#?}", woken.len(), self.shown()));
        }
        self.wrong_in_run()
    }

    /// Those that wake somebody, and those that are no lines of a log.
    fn shown(&self) -> Vec<String> {
        let wakes = |line: &&Value| !line.is_object() || line["level"] == "WARN" || line["level"] == "ERROR";
        self.lines.iter().filter(wakes).map(ToString::to_string).collect()
    }

    /// Every line of the last run has the run's id, and the run's end counts what is pending as the lines before it do.
    fn wrong_in_run(&self) -> Option<String> {
        let begin = self.lines.iter().rposition(|line| line["event"] == "run_started")?;
        let (run, lines) = (&self.lines[begin]["run.id"], &self.lines[begin..]);
        let is_end = |line: &Value| line["event"] == "run_finished" && line["run.id"] == *run;
        let has_account = lines.iter().all(|line| line["event"] != "run_not_accounted");
        let end = lines.iter().position(is_end);
        if has_account && end.is_none() {
            return Some(format!("the run has no end: {:#?}", self.shown()));
        }
        // What the command says when it ends is no part of the run.
        let is_of_run = |line: &&Value| line.is_object() && line["event"] != "command_failed";
        let of_run = lines.iter().filter(is_of_run).take(end.unwrap_or(lines.len()));
        if let Some(line) = { of_run }.find(|line| !line["run.id"].is_string()) {
            return Some(format!("a line of the run without its id: {line}"));
        }
        let finished = &lines[end?];
        let count = |name: &str| finished[name].as_u64().unwrap_or_default();
        let pending = count("deliveries.pending");
        let refused = count("failed.mailbox_rejected") + count("failed.mailbox_unavailable");
        let is_left = lines.iter().any(|line| line["event"] == "copies_left_open" && line["run.id"] == *run);
        let leaves_work = is_left || pending > count("pending.attachment_awaited");
        let needs_somebody = finished["run.status"] == "failed" || leaves_work || refused > 0;
        if needs_somebody != (finished["level"] != "INFO") {
            return Some(format!("the level of {finished}"));
        }
        let counted = |event: &str| -> u64 {
            let causes = lines.iter().filter(|line| line["event"] == event && line["run.id"] == *run);
            causes.map(|line| line["deliveries"].as_u64().unwrap()).sum()
        };
        let (told, told_refused) = (counted("copies_pending"), counted("copies_failed"));
        // A run that failed counts only what is pending.
        let is_complete = told == pending && (finished["run.status"] == "failed" || told_refused == refused);
        (!is_complete).then(|| {
            format!(
                "{told} of {pending} pending and {told_refused} of {refused} refused copies are in a line: {:#?}",
                self.shown()
            )
        })
    }
}
