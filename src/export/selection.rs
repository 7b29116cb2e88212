//! Which messages an export takes, as somebody asks for them: by time, owner, participant, mailbox and thread.

use chrono::SecondsFormat;

use crate::item::{Item, MAX_AHEAD, Participant};
use crate::window::Window;

/// The time that a window is measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum By {
    /// When the archiver received the item.
    #[default]
    Received,
    /// When the message was sent.
    Sent,
}

impl By {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Received, Self::Sent];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Sent => "sent",
        }
    }
}

/// What an export takes.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The time that `window` is measured on.
    pub by: By,
    /// From when to when.
    pub window: Window,
    /// Numbers, LIDs, names or addresses of which an item's owner has one. Empty: any owner.
    pub owners: Vec<String>,
    /// The same of any participant.
    pub participants: Vec<String>,
    /// Addresses of mailboxes of which an item was resolved to one.
    pub mailboxes: Vec<String>,
    /// Ids or names of groups, TeleMessage's thread ids, or the Message-ID that `References` begins with.
    pub threads: Vec<String>,
}

impl Selection {
    /// Everything that was received in a window.
    pub fn received(window: Window) -> Self {
        let (owners, participants, mailboxes, threads) = Default::default();
        Self { by: By::Received, window, owners, participants, mailboxes, threads }
    }

    /// The earliest receiving time of an item that may belong to it, and the end of the receiving times, where there is one.
    pub fn received_in(&self) -> Window {
        match self.by {
            By::Received => self.window,
            By::Sent => {
                let from = self.window.from.checked_sub_signed(MAX_AHEAD);
                let to = chrono::DateTime::<chrono::Utc>::MAX_UTC;
                Window { from: from.unwrap_or(chrono::DateTime::<chrono::Utc>::MIN_UTC), to }
            }
        }
    }

    /// Whether an item is of the window.
    pub(super) fn is_within(&self, item: &Item) -> bool {
        let at = match self.by {
            By::Received => item.received.unwrap_or(item.time.at),
            By::Sent => item.time.at,
        };
        self.window.contains(at)
    }

    /// In words, for the record of what was exported; phone numbers are masked.
    pub fn description(&self) -> String {
        let time = |instant: chrono::DateTime<chrono::Utc>| instant.to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut words = format!("{} {} to {}", self.by.name(), time(self.window.from), time(self.window.to));
        let masked = |values: &[String]| -> Vec<String> {
            values.iter().map(|value| Participant::phone(value.as_str()).masked()).collect()
        };
        for (name, values) in [
            ("owner", masked(&self.owners)),
            ("participant", masked(&self.participants)),
            ("mailbox", self.mailboxes.clone()),
            ("thread", masked(&self.threads)),
        ] {
            if !values.is_empty() {
                words.push_str(&format!("; {name} {}", values.join(", ")));
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_an_export_masks_numbers() {
        let at = |day: &str| format!("{day}T00:00:00Z").parse().unwrap();
        let mut selection = Selection::received(Window { from: at("2025-11-20"), to: at("2025-11-21") });
        selection.owners = vec!["+15550100".to_owned()];
        selection.mailboxes = vec!["ana@contoso.example".to_owned()];
        assert_eq!(
            selection.description(),
            "received 2025-11-20T00:00:00Z to 2025-11-21T00:00:00Z; owner +1•••••0100; mailbox ana@contoso.example"
        );
    }
}
