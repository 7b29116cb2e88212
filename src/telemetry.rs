//! Logs: JSON lines for machines, text for people at a terminal. `docs/logs.md` lists the events.
//!
//! Never in a log: a message body, an unmasked phone number, a secret, a URL with a token.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::ChronoUtc;

pub mod json;

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
    let name = level.as_str().to_ascii_lowercase();
    let ours = format!("warn,whatsapp_archiver={name}");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(ours));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start within one process (a test) keeps the first one's log.
    let _ = match format {
        LogFormat::Json => builder.event_format(json::JsonLines).fmt_fields(json::SpanFields).try_init(),
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            builder.with_ansi(colours).with_timer(ChronoUtc::rfc_3339()).with_target(false).try_init()
        }
    };
}
