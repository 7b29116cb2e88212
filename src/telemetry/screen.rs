//! The terminal that log lines and a progress bar share: while a line is written, the bar is not there, so that neither
//! leaves pieces of the other.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;
use tracing_subscriber::fmt::MakeWriter;

/// The bar on standard error, where there is one.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn bar() -> MutexGuard<'static, Option<ProgressBar>> {
    BAR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, this bar is out of the way while a log line is written.
pub fn share_with(shown: &ProgressBar) {
    *bar() = Some(shown.clone());
}

/// The bar is gone.
pub fn release() {
    *bar() = None;
}

/// Writes log lines to standard error.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogLines;

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The bar's own locks may be held by whoever panicked.
        if std::thread::panicking() {
            return io::stderr().write(line);
        }
        let bar = bar();
        match &*bar {
            Some(bar) => bar.suspend(|| io::stderr().write(line)),
            None => io::stderr().write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
