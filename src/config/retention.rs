//! For how long something is kept.

use std::fmt;
use std::time::Duration;

use super::document::Value;
use super::form::{self, Invalid};

/// For how long something is kept. What is kept for longer is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retention {
    /// So long.
    For(Duration),
    /// For good.
    Forever,
}

impl Retention {
    /// How long that is; nothing for ever.
    pub fn limit(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::For(duration) => Some(duration),
        }
    }

    pub(super) fn read(value: &Value) -> Result<Self, Invalid> {
        match value {
            Value::Text(text) if text == "forever" => Ok(Self::Forever),
            _ => form::duration(value).map(Self::For),
        }
    }
}

impl fmt::Display for Retention {
    /// As it may be written in the configuration, in the largest unit that needs no fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u128, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        let Self::For(duration) = self else { return f.write_str("forever") };
        let ms = duration.as_millis();
        let unit = UNITS.iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit));
        let (unit, name) = unit.copied().unwrap_or((1, "ms"));
        write!(f, "{}{name}", ms / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_reads_as_it_is_shown() {
        for text in ["forever", "0ms", "1500ms", "90s", "5m", "36h", "30d"] {
            let read = Retention::read(&Value::Text(text.to_owned())).ok().unwrap();
            assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn for_ever_is_the_longest() {
        let [day, week] = [1, 7].map(|days| Retention::For(Duration::from_hours(24 * days)));
        assert!(day < week && week < Retention::Forever);
    }
}
