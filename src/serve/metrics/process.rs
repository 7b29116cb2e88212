//! The usual `process_*` metrics, from Linux's `/proc`. What can't be read there is left out.

use std::fmt::Write as _;
use std::fs;

/// Ticks of `/proc/self/stat` a second: what Linux shows to programs on every machine that this one runs on.
const TICKS: f64 = 100.0;

/// Appends the metrics, as OpenMetrics.
pub(super) fn write(out: &mut String) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<f64>().ok().map(|kibibytes| kibibytes * 1024.0)
    };
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name before the closing bracket may hold anything; the fields after it are numbered from 3.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let field = |number: usize| after.split_whitespace().nth(number - 3)?.parse::<f64>().ok();
    let cpu = field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS);
    let began = field(22).zip(boot_time()).map(|(ticks, boot)| boot + ticks / TICKS);
    let open = fs::read_dir("/proc/self/fd").ok().map(std::iter::Iterator::count);
    counter(out, "process_cpu_seconds", "User and system CPU time spent, in seconds.", cpu);
    gauge(out, "process_resident_memory_bytes", "Resident memory size in bytes.", kibibytes("VmRSS:"));
    gauge(out, "process_virtual_memory_bytes", "Virtual memory size in bytes.", kibibytes("VmSize:"));
    let open = open.and_then(|open| u32::try_from(open).ok()).map(f64::from);
    gauge(out, "process_open_fds", "Number of open file descriptors.", open);
    gauge(out, "process_max_fds", "Maximum number of open file descriptors.", max_open());
    gauge(out, "process_start_time_seconds", "Start time of the process since the Unix epoch, in seconds.", began);
}

fn gauge(out: &mut String, name: &str, help: &str, value: Option<f64>) {
    if let Some(value) = value {
        // Writing to a string does not fail.
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    }
}

fn counter(out: &mut String, name: &str, help: &str, value: Option<f64>) {
    if let Some(value) = value {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name}_total {value}\n");
    }
}

/// When the machine started, in seconds since 1970.
fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn max_open() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}
