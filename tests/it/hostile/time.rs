//! Time for the real program: a library (`time.c`) that is preloaded makes its clocks run faster, or shows it a wrong time.

use std::path::PathBuf;
use std::sync::LazyLock;

use crate::daemon::bench::Files;
use crate::daemon::process::Process;
use crate::preload;

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
        self.start_with(files, arguments, &[])
    }

    /// Starts the program, whose wall clock is right until there is a file of this name.
    pub(super) fn start_until(self, files: &Files, jump: &str, arguments: &[&str]) -> Process {
        self.start_with(files, arguments, &[("TEST_CLOCK_JUMP", files.path(jump).to_str().unwrap())])
    }

    fn start_with(self, files: &Files, arguments: &[&str], further: &[(&str, &str)]) -> Process {
        let (speed, ahead) = (self.speed.to_string(), (self.days_ahead * 24 * 60 * 60).to_string());
        let environment =
            [("LD_PRELOAD", LIBRARY.to_str().unwrap()), ("TEST_CLOCK_SPEED", &speed), ("TEST_CLOCK_AHEAD", &ahead)];
        Process::with_environment(files, arguments, &[&environment, further].concat())
    }
}

static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| preload::library("hostile/time.c"));
