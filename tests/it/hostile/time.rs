//! Time for the real program: a library (`time.c`) that is preloaded makes its clocks run faster, or shows it a wrong time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::daemon::bench::Files;
use crate::daemon::process::Process;

/// How the program's time differs from the true one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    speed: u32,
    days_ahead: i64,
}

impl Time {
    /// So many times as fast.
    pub(super) fn faster(speed: u32) -> Self {
        Self { speed, days_ahead: 0 }
    }

    /// A wall clock that is ahead, or behind.
    pub(super) fn days_ahead(days_ahead: i64) -> Self {
        Self { speed: 1, days_ahead }
    }

    /// Starts the program with it.
    pub(super) fn start(self, files: &Files, arguments: &[&str]) -> Process {
        let (speed, ahead) = (self.speed.to_string(), (self.days_ahead * 24 * 60 * 60).to_string());
        let environment =
            [("LD_PRELOAD", LIBRARY.to_str().unwrap()), ("TEST_CLOCK_SPEED", &speed), ("TEST_CLOCK_AHEAD", &ahead)];
        Process::with_environment(files, arguments, &environment)
    }
}

static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/hostile/time.c");
    // Of this process's own, because another one may be writing its own.
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("time-{}.so", std::process::id()));
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]).status().unwrap();
    assert!(compiled.success(), "the C compiler makes {}", library.display());
    library
});
