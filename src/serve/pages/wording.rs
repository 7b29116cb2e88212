//! Words and figures as the pages show them.

use std::borrow::Borrow;

use chrono::{DateTime, Utc};

use crate::digits;
use crate::ledger::RunStatus;
use crate::report::lists::Numbers;
use crate::status::{ConnectorState, Status};

/// A number as people read it: 1,234,567.
pub(super) fn grouped(number: impl Borrow<u64>) -> String {
    digits::grouped(*number.borrow(), ',')
}

/// Bytes as people read them.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return digits::counted(bytes, "byte", "bytes");
    }
    let (mut tenths, mut unit) = (bytes.saturating_mul(10) / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS.get(unit).copied().unwrap_or_default())
}

/// A time as people read it, to the second, in UTC.
pub(super) fn time(instant: &DateTime<Utc>) -> String {
    instant.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A time as machines read it.
pub(super) fn machine_time(instant: &DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// A participant, masked.
pub(super) fn masked(value: &str) -> String {
    Numbers::Masked.of(value)
}

/// How a run's status looks.
pub(super) fn look(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Running => "busy",
        RunStatus::Complete => "ok",
        RunStatus::Incomplete => "warn",
        RunStatus::Failed => "bad",
    }
}

/// How the connector's state looks.
pub(super) fn look_of(status: &Status) -> &'static str {
    match status.state {
        ConnectorState::Running => "busy",
        ConnectorState::Idle if status.needs_attention() => "warn",
        ConnectorState::Idle => "ok",
        ConnectorState::Stopped | ConnectorState::Pending => "warn",
        ConnectorState::Overdue | ConnectorState::Failed => "bad",
        ConnectorState::New => "plain",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_read_well() {
        let numbers: Vec<String> = [0_u64, 7, 999, 1000, 123_456, 1_234_567].map(grouped).into_iter().collect();
        assert_eq!(numbers, ["0", "7", "999", "1,000", "123,456", "1,234,567"]);
        let sizes: Vec<String> = [0_u64, 1023, 1024, 1536, 10 * 1024 * 1024, u64::MAX].map(size).into_iter().collect();
        assert_eq!(sizes, ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "10.0 MiB", "1638.3 PiB"]);
    }
}
