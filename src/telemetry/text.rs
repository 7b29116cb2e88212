//! A line of text for a person at a terminal: when, how bad, what, why, and then the other fields. What is said comes first, so that it is
//! seen where lines are cut.

use std::fmt;

use serde_json::Value;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{ChronoUtc, FormatTime as _};
use tracing_subscriber::registry::LookupSpan;

use super::json::fields_of;
use crate::item::text::turns_direction;

/// The format of a line.
pub(super) struct TextLines;

impl<S, N> FormatEvent<S, N> for TextLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = fields_of(context, event);
        ChronoUtc::new("%Y-%m-%dT%H:%M:%SZ".to_owned()).format_time(&mut writer)?;
        let level = event.metadata().level();
        if writer.has_ansi_escapes() {
            write!(writer, " \x1b[{}m{level:>5}\x1b[0m", colour(*level))?;
        } else {
            write!(writer, " {level:>5}")?;
        }
        if let Some(Value::String(message)) = fields.remove("message") {
            writer.write_char(' ')?;
            write_harmless(&mut writer, &message)?;
        }
        let error = fields.remove("error").map(|error| ("error".to_owned(), error));
        for (name, value) in error.into_iter().chain(fields) {
            match &value {
                Value::Null => {}
                Value::String(text)
                    if text.is_empty() || text.contains(|part: char| part.is_whitespace() || part == '"') =>
                {
                    write!(writer, " {name}=\"")?;
                    write_harmless(&mut writer, text)?;
                    writer.write_char('"')?;
                }
                Value::String(text) => {
                    write!(writer, " {name}=")?;
                    write_harmless(&mut writer, text)?;
                }
                value => write!(writer, " {name}={value}")?,
            }
        }
        writeln!(writer)
    }
}

/// Without what moves a terminal's cursor, breaks a line, or turns text around.
fn write_harmless(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    for character in text.chars() {
        if character.is_control() || turns_direction(character) || matches!(character, '\u{2028}' | '\u{2029}') {
            write!(writer, "{}", character.escape_default())?;
        } else {
            writer.write_char(character)?;
        }
    }
    Ok(())
}

fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        _ => 34,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::logged::logged;

    #[test]
    fn what_is_said_comes_first_and_nothing_moves_the_cursor() {
        let written = logged(TextLines, || {
            tracing::error_span!("run", run.id = "r1").in_scope(|| {
                tracing::warn!(
                    event = "mailbox_left",
                    attempt = 3,
                    error = "no \u{1b}[2J room",
                    "the mailbox is\nleft"
                );
            });
        });
        let (time, line) = written.split_once(' ').unwrap();
        assert!(time.ends_with('Z') && time.len() == 20, "{written}");
        assert_eq!(
            line,
            " WARN the mailbox is\\nleft error=\"no \\u{1b}[2J room\" attempt=3 event=mailbox_left run.id=r1\n"
        );
    }
}
