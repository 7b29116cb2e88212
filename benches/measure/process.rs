//! What a process takes from its start to its end.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What one run took: seconds, seconds, and MiB.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) elapsed: f64,
    pub(crate) processor: f64,
    pub(crate) most_memory: f64,
}

/// A folder in memory, where the system has one.
pub(crate) fn memory_folder() -> &'static Path {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { shared } else { Path::new("/tmp") }
}

/// `median (least–most)`, each with so many decimal places.
pub(crate) fn median(values: impl Iterator<Item = f64>, places: usize) -> String {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    format!("{:.places$} ({:.places$}–{:.places$})", values[values.len() / 2], values[0], values[values.len() - 1])
}

/// Runs a command to its end. Linux tells of the most memory of a process while it is still there.
pub(crate) fn run(command: &mut Command) -> Cost {
    let begun = Instant::now();
    let before = processor_of_children();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut most_memory = 0.0_f64;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        most_memory = most_memory.max(memory_of(child.id()).unwrap_or_default());
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{command:?}: {status}");
    Cost { elapsed: begun.elapsed().as_secs_f64(), processor: processor_of_children() - before, most_memory }
}

/// The most memory of a process so far, in MiB.
fn memory_of(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// The processor time of all children that have ended, in seconds.
fn processor_of_children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = |place: usize| fields.split(' ').nth(place).unwrap().parse::<f64>().unwrap();
    // Linux counts a hundred ticks a second.
    (ticks(13) + ticks(14)) / 100.0
}
