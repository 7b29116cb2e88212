//! How many lines one kind of trouble of a run is worth: a mailbox that rejects ten thousand copies is told of as well by the
//! first seven. What is left out is counted by `run_finished` and `copies_pending`, and `log.level = "debug"` leaves nothing out.

use std::collections::HashMap;
use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

/// Most lines about one event of a run that wake somebody.
const MAX_LINES: u32 = 7;

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
struct Lines(HashMap<String, u32>);

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
    let (Some(run), Some(name)) = (run_of(scope), name_of(event)) else { return true };
    let mut extensions = run.extensions_mut();
    if extensions.get_mut::<Lines>().is_none() {
        extensions.insert(Lines::default());
    }
    let Some(Lines(lines)) = extensions.get_mut() else { return true };
    let had = lines.entry(name).or_default();
    *had = had.saturating_add(1);
    *had <= MAX_LINES
}

/// The innermost run of a scope.
fn run_of<'a, S: LookupSpan<'a> + 'a>(scope: Option<impl Iterator<Item = SpanRef<'a, S>>>) -> Option<SpanRef<'a, S>> {
    scope?.find(|span| span.name() == RUN)
}

/// Whether this line of an event is the last of its run.
pub(super) fn is_last<'a, S: LookupSpan<'a> + 'a>(
    event: &Event<'_>,
    scope: Option<impl Iterator<Item = SpanRef<'a, S>>>,
) -> bool {
    let (Some(run), Some(name)) = (run_of(scope), name_of(event)) else { return false };
    let extensions = run.extensions();
    extensions.get::<Lines>().is_some_and(|Lines(lines)| lines.get(&name) == Some(&MAX_LINES))
}

fn name_of(event: &Event<'_>) -> Option<String> {
    let mut name = Name(None);
    event.record(&mut name);
    name.0
}

/// The field `event`.
struct Name(Option<String>);

impl Visit for Name {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event" {
            self.0 = Some(value.to_owned());
        }
    }
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
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
    fn who_asks_for_everything_gets_everything() {
        assert_eq!(lines(false).len(), 2 * 301 + 100);
    }
}
