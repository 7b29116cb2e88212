//! Caps how many lines a run logs about one event: the first seven say as much of a mailbox that rejects ten thousand copies
//! as all of them would. Each other cause of the same event still gets a line. What is left out is counted by
//! `run_finished`, `copies_pending` and `copies_failed`, and `log.level = "debug"` leaves nothing out.

use std::collections::{HashMap, HashSet};
use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

/// So many lines about one event of a run wake somebody; then only the first of each other cause.
const MAX_LINES: u32 = 7;

/// So many other causes of an event have a line.
const MAX_OTHER_CAUSES: usize = 10;

/// What ends a run counts causes itself, and is bounded by that.
const COUNTED: [&str; 2] = ["copies_pending", "copies_failed"];

/// The span that a run's lines are within.
const RUN: &str = "run";

/// A format that leaves out lines of the levels *warn* and *error* beyond the first of an event of a run.
#[derive(Debug)]
pub(super) struct WithinBudget<F> {
    pub(super) format: F,
    /// Whether anything is left out.
    pub(super) is_limited: bool,
}

/// The lines that each event has had.
#[derive(Debug, Default)]
struct Lines(HashMap<String, Had>);

/// The lines that an event has had, and the causes that they were about.
#[derive(Debug, Default)]
struct Had {
    lines: u32,
    causes: HashSet<String>,
    /// Causes beyond those of the first lines.
    others: usize,
}

impl Had {
    /// Whether a line more is due for this cause; counts it.
    fn takes(&mut self, cause: String) -> bool {
        if self.lines < MAX_LINES {
            self.lines += 1;
            self.causes.insert(cause);
            return true;
        }
        let is_due = self.others < MAX_OTHER_CAUSES && self.causes.insert(cause);
        self.others += usize::from(is_due);
        is_due
    }
}

impl<S, N, F> FormatEvent<S, N> for WithinBudget<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if self.is_limited && !has_line(event, context.event_scope()) {
            return Ok(());
        }
        self.format.format_event(context, writer, event)
    }
}

/// Whether an event has a line left in its run; takes it.
fn has_line<'a, S: LookupSpan<'a> + 'a>(
    event: &Event<'_>,
    scope: Option<impl Iterator<Item = SpanRef<'a, S>>>,
) -> bool {
    if *event.metadata().level() > Level::WARN {
        return true;
    }
    let Some(run) = run_of(scope) else { return true };
    let About { event: Some(name), cause } = About::of(event) else { return true };
    if COUNTED.contains(&name.as_str()) {
        return true;
    }
    let mut extensions = run.extensions_mut();
    if extensions.get_mut::<Lines>().is_none() {
        extensions.insert(Lines::default());
    }
    let Some(Lines(lines)) = extensions.get_mut() else { return true };
    lines.entry(name).or_default().takes(cause)
}

/// The innermost run of a scope.
fn run_of<'a, S: LookupSpan<'a> + 'a>(scope: Option<impl Iterator<Item = SpanRef<'a, S>>>) -> Option<SpanRef<'a, S>> {
    scope?.find(|span| span.name() == RUN)
}

/// Whether this line is the last of its event and cause in its run.
pub(super) fn is_last<'a, S: LookupSpan<'a> + 'a>(
    event: &Event<'_>,
    scope: Option<impl Iterator<Item = SpanRef<'a, S>>>,
) -> bool {
    let (Some(run), Some(name)) = (run_of(scope), About::of(event).event) else { return false };
    let extensions = run.extensions();
    extensions.get::<Lines>().and_then(|Lines(lines)| lines.get(&name)).is_some_and(|had| had.lines >= MAX_LINES)
}

/// What a line is about.
#[derive(Default)]
struct About {
    /// The field `event`.
    event: Option<String>,
    /// What went wrong, without what differs from copy to copy.
    cause: String,
}

impl About {
    fn of(event: &Event<'_>) -> Self {
        let mut about = Self::default();
        event.record(&mut about);
        about
    }
}

impl Visit for About {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "event" => self.event = Some(value.to_owned()),
            "error" | "reason" | "detail" => {
                self.cause.push_str(&lasting(value));
                self.cause.push('\n');
            }
            // Of a panic. The same error in another place is another.
            "place" => self.cause.push_str(value),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "error" {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}

/// An error's words without those that differ from copy to copy: numbers, ids and addresses.
fn lasting(error: &str) -> String {
    let differs = |word: &str| word.contains('@') || word.chars().any(|character| character.is_ascii_digit());
    let words = error.split_whitespace().filter(|word| is_status(word) || !differs(word));
    words.fold(String::new(), |text, word| text + word + " ")
}

/// Whether a word is a status of HTTP or SMTP, which tells causes apart.
fn is_status(word: &str) -> bool {
    let word = word.trim_end_matches([':', ',', ';', '.', ')']).trim_start_matches('(');
    word.len() == 3 && word.starts_with(['4', '5']) && word.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::json;
    use crate::telemetry::logged::logged;

    fn lines(is_limited: bool) -> Vec<serde_json::Value> {
        let written = logged(WithinBudget { format: json::JsonLines, is_limited }, || {
            for run in ["a", "b"] {
                tracing::error_span!("run", run.id = run).in_scope(|| {
                    for no in 0..100 {
                        tracing::warn!(event = "mailbox_left", no, "left");
                        tracing::info_span!("inner")
                            .in_scope(|| tracing::error!(event = "delivery_failed", no, "failed"));
                        tracing::info!(event = "item_failed", no, "held");
                    }
                    tracing::warn!(event = "run_finished", "the run ended");
                });
            }
            for _ in 0..100 {
                tracing::warn!(event = "run_overdue", "outside a run");
            }
        });
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn each_event_has_its_lines_in_each_run() {
        let lines = lines(true);
        let count = |name: &str| lines.iter().filter(|line| line["event"] == name).count();
        assert_eq!((count("mailbox_left"), count("delivery_failed")), (14, 14));
        assert_eq!((count("item_failed"), count("run_finished")), (200, 2));
        assert_eq!(count("run_overdue"), 100);
        let last: Vec<_> = lines.iter().filter(|line| line["left_out"].is_string()).collect();
        assert_eq!(last.len(), 4, "the last line of an event says that there may be more: {last:?}");
        assert!(last.iter().all(|line| line["no"] == 6 && line["run.id"].is_string()), "{last:?}");
    }

    #[test]
    fn another_cause_has_a_line_however_many_lines_the_first_one_had() {
        let written = logged(WithinBudget { format: json::JsonLines, is_limited: true }, || {
            tracing::error_span!("run", run.id = "a").in_scope(|| {
                let fail =
                    |mailbox: &str, error: &str| tracing::error!(event = "delivery_failed", mailbox, error, "no");
                for no in 0..100 {
                    fail("ana@x", &format!("403 Denied for ana@x (request-id {no})"));
                }
                for no in 0..100 {
                    fail("ben@x", &format!("507 Denied for ben@x (request-id {no})"));
                    fail("eve@x", &format!("the size of {no} is over the limit"));
                }
                for no in 0..100_u8 {
                    let word = char::from(b'A' + no % 26).to_string().repeat(usize::from(no) + 1);
                    fail("joe@x", &format!("cause {word}"));
                }
                for cause in ["mailbox"; 12] {
                    tracing::warn!(event = "copies_pending", cause, "pending");
                }
            });
        });
        let lines: Vec<serde_json::Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |mailbox: &str| lines.iter().filter(|line| line["mailbox"] == mailbox).count();
        assert_eq!((of("ana@x"), of("ben@x"), of("eve@x")), (7, 1, 1));
        assert_eq!(of("joe@x"), 8, "causes without end are no flood either");
        let pending = lines.iter().filter(|line| line["event"] == "copies_pending");
        assert_eq!(pending.clone().count(), 12, "they are counted already");
        assert!(pending.clone().all(|line| line["left_out"].is_null()));
    }

    #[test]
    fn who_asks_for_everything_gets_everything() {
        assert_eq!(lines(false).len(), 2 * 301 + 100);
    }
}
