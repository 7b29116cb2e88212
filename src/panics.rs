//! Panics: an error of the program, or of a library, that ends one task of it.
//!
//! A panic's message may repeat what was being worked on: a secret, or what somebody wrote. So only a message that stands in the
//! program's own text is logged; of any other, the place says which it was.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use std::thread;

use tokio::task::JoinError;
use tracing::Level;

/// A task panicked.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a part of the program ended unexpectedly; the event \"panicked\" in the log says where")]
pub struct TaskEnded;

impl From<JoinError> for TaskEnded {
    /// Drops what the error says of the panic. Nothing here cancels a task that it waits for.
    fn from(_: JoinError) -> Self {
        Self
    }
}

/// From now on panics are log lines, and don't go to standard error as they are.
pub(crate) fn log() {
    std::panic::set_hook(Box::new(log_panic));
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    if !tracing::enabled!(Level::ERROR) {
        // `RUST_LOG` may have turned everything of ours off. This is no matter of taste.
        eprintln!("a part of the program ended unexpectedly at {place}");
        return;
    }
    let thread = thread::current();
    // A message that was formatted is a `String`.
    let said = info.payload().downcast_ref::<&'static str>().copied();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(
        event = "panicked",
        place,
        thread = thread.name(),
        error = said.unwrap_or("its message may hold data, and is left out"),
        backtrace,
        "an error in the program: a part of it ended unexpectedly. Report this, with this line"
    );
}

/// Does `work` on a thread that may wait for a disk, within the span of whoever asks.
///
/// # Errors
///
/// [`TaskEnded`] where it panicked.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, TaskEnded> {
    let span = tracing::Span::current();
    Ok(tokio::task::spawn_blocking(move || span.in_scope(work)).await?)
}
