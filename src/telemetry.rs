//! Logs: JSON lines for machines, text for people at a terminal. `docs/logs.md` lists the events.
//!
//! Never in a log: a message body, an unmasked phone number, a secret, a URL with a token.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

pub mod json;
mod line_budget;
#[cfg(test)]
mod logged;
pub mod screen;
mod text;

use line_budget::WithinBudget;

use crate::panics;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for a terminal.
    Text,
}

impl LogFormat {
    /// The format that fits where the log goes: JSON unless a person looks at it.
    pub fn fitting() -> Self {
        if std::io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// Begins to log to standard error. Libraries are heard from warnings on; `RUST_LOG` says otherwise.
pub fn begin(format: LogFormat, level: Level) {
    let stated =
        std::env::var("RUST_LOG").ok().filter(|levels| !levels.is_empty()).and_then(|levels| levels.parse().ok());
    let filter =
        stated.unwrap_or_else(|| Targets::new().with_default(Level::WARN).with_target("whatsapp_archiver", level));
    // What a database server says of its own accord may repeat the password. Its errors come to us, and are scrubbed.
    let filter = filter.with_target("sqlx::postgres::notice", LevelFilter::OFF);
    // Whoever asks for everything gets everything.
    let is_limited = !filter.would_enable("whatsapp_archiver", &Level::DEBUG);
    let layer = fmt::layer().with_writer(screen::LogLines);
    let layer = match format {
        LogFormat::Json => {
            let lines = WithinBudget { format: json::JsonLines, is_limited };
            layer.event_format(lines).fmt_fields(json::SpanFields).boxed()
        }
        LogFormat::Text => {
            let lines = WithinBudget { format: text::TextLines, is_limited };
            layer.with_ansi(std::io::stderr().is_terminal()).event_format(lines).fmt_fields(json::SpanFields).boxed()
        }
    };
    // A second start within one process (a test) keeps the first one's log.
    let _ = registry().with(layer).with(filter).try_init();
    panics::log();
}
