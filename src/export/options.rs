//! How an export is written.

use chrono_tz::Tz;

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One RFC 5322 file for each message, in a folder for each day.
    Eml,
    /// One mbox file of the `mboxrd` kind.
    Mbox,
    /// Relativity Short Message Format 2.0: one file for each chat and day.
    Rsmf,
    /// One page for each chat and day, to read and to print, with the attachments beside them.
    Html,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Eml, Self::Mbox, Self::Rsmf, Self::Html];

    /// The format's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eml => "eml",
            Self::Mbox => "mbox",
            Self::Rsmf => "rsmf",
            Self::Html => "html",
        }
    }

    /// The format of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// How an export is written.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The form.
    pub format: Format,
    /// In which days begin, and times are shown.
    pub time_zone: Tz,
    /// The largest RSMF file, in bytes. A chat and day that has more is split.
    pub max_file_size: Option<u64>,
}

impl Options {
    /// This form, with days and times in UTC.
    pub fn new(format: Format) -> Self {
        Self { format, time_zone: Tz::UTC, max_file_size: None }
    }
}
