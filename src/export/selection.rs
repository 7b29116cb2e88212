//! Which messages an export takes: by time, owner, participant, mailbox and thread.
//!
//! A filter that is given several times takes what fits any of its values; several filters take what fits all of them.

use chrono::{Duration, SecondsFormat};

use crate::identity::Thread;
use crate::item::{Item, Participant};
use crate::resolution::{Resolution, ResolvedTo};
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
    /// Numbers, names or addresses of which an item's owner has one. Empty: any owner.
    pub owners: Vec<String>,
    /// The same of any participant.
    pub participants: Vec<String>,
    /// Addresses of mailboxes of which an item was resolved to one.
    pub mailboxes: Vec<String>,
    /// Ids or names of groups, TeleMessage's thread ids, or the Message-ID that `References` begins with.
    pub threads: Vec<String>,
}

/// How far ahead of its receiving time a message's own time can be: what is further ahead is replaced.
const MAX_AHEAD_DAYS: i64 = 2;

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
                let from = self.window.from.checked_sub_signed(Duration::days(MAX_AHEAD_DAYS));
                let to = chrono::DateTime::<chrono::Utc>::MAX_UTC;
                Window { from: from.unwrap_or(chrono::DateTime::<chrono::Utc>::MIN_UTC), to }
            }
        }
    }

    /// Whether it takes an item.
    pub fn takes(&self, item: &Item, resolution: &Resolution) -> bool {
        let at = match self.by {
            By::Received => item.received.unwrap_or(item.time.at),
            By::Sent => item.time.at,
        };
        let known = |participant: &Participant, sought: &str| is(item, resolution, participant, sought);
        let owned = |sought: &String| item.owner.as_ref().is_some_and(|owner| known(owner, sought));
        let took_part = |sought: &String| item.participants().into_iter().any(|one| known(one, sought));
        self.window.contains(at)
            && any(&self.owners, owned)
            && any(&self.participants, took_part)
            && any(&self.mailboxes, |sought| has_mailbox(resolution, sought))
            && any(&self.threads, |sought| is_in_thread(item, sought))
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

fn any(sought: &[String], fits: impl Fn(&String) -> bool) -> bool {
    sought.is_empty() || sought.iter().any(fits)
}

/// Whether a participant is who is sought: by number, by a LID that the item says to be the number, by the value as it came, or by an
/// address.
fn is(item: &Item, resolution: &Resolution, participant: &Participant, sought: &str) -> bool {
    let sought = sought.trim();
    if item.key_of(participant) == item.key_of(&Participant::phone(sought))
        || participant.value.eq_ignore_ascii_case(sought)
    {
        return true;
    }
    let own = item.person(participant).and_then(|person| person.email.as_deref());
    if own.is_some_and(|email| email.trim().eq_ignore_ascii_case(sought)) {
        return true;
    }
    let resolved = resolution.of(participant).map(|resolved| &resolved.outcome);
    matches!(resolved, Some(ResolvedTo::Mailbox { mailbox, .. }) if mailbox.address.eq_ignore_ascii_case(sought))
}

fn has_mailbox(resolution: &Resolution, sought: &str) -> bool {
    let sought = sought.trim();
    resolution.mailboxes().iter().any(|(mailbox, _)| mailbox.address.eq_ignore_ascii_case(sought))
}

fn is_in_thread(item: &Item, sought: &str) -> bool {
    let sought = sought.trim();
    let chat = item.chat.name();
    let named = chat.into_iter().flat_map(|chat| [&chat.id, &chat.data_id, &chat.name]).flatten();
    if named.chain(&item.thread_id).any(|name| name == sought) {
        return true;
    }
    let root = Thread::of(item).root;
    let bare = sought.trim_start_matches('<').trim_end_matches('>');
    bare == root.as_str() || bare == root.local_part()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolution::{Mailbox, MailboxId, Resolved, ResolvedBy};

    fn item() -> Item {
        let json = br#"{"id":1,"gatewayReceivedDate":1763712000000,"body":{"messageId":"a","messageTime":1763625600000,
            "owner":{"value":"15550100"},"sender":{"value":"15550101"},"recipients":[{"value":"15550100"}],
            "participantEnrichments":{"15550101":{"email":"ben@fabrikam.example"}},
            "groupId":"1@g.us","groupName":"Desk","threadID":"tm-9","text":"x"}}"#;
        Item::read(json, "2025-12-01T00:00:00Z".parse().unwrap()).unwrap()
    }

    fn resolution() -> Resolution {
        let mailbox = Mailbox { id: MailboxId("1".to_owned()), address: "ana@contoso.example".to_owned() };
        let outcome = ResolvedTo::Mailbox { mailbox, by: ResolvedBy::Csv };
        Resolution(vec![Resolved { participant: Participant::phone("15550100"), outcome, rule: None, late: false }])
    }

    fn day(from: &str, to: &str) -> Selection {
        let at = |day: &str| format!("{day}T00:00:00Z").parse().unwrap();
        Selection::received(Window { from: at(from), to: at(to) })
    }

    #[test]
    fn a_window_is_measured_on_the_receiving_time_or_on_the_message_s_own() {
        let takes = |selection: Selection| selection.takes(&item(), &resolution());
        let (sent, received) = (day("2025-11-20", "2025-11-21"), day("2025-11-21", "2025-11-22"));
        assert!(!takes(sent.clone()) && takes(received.clone()));
        assert!(takes(Selection { by: By::Sent, ..sent }) && !takes(Selection { by: By::Sent, ..received }));
    }

    #[test]
    fn every_filter_takes_what_fits_any_of_its_values() {
        let all = day("2025-11-01", "2025-12-01");
        let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        let takes = |selection: &Selection| selection.takes(&item(), &resolution());
        for (owner, expected) in
            [("+1 555 0100", true), ("ANA@contoso.example", true), ("15550101", false), ("ben@fabrikam.example", false)]
        {
            assert_eq!(takes(&Selection { owners: values(&["x", owner]), ..all.clone() }), expected, "{owner}");
        }
        for (who, expected) in [("0015550101", true), ("ben@fabrikam.example", true), ("15550102", false)] {
            assert_eq!(takes(&Selection { participants: values(&[who]), ..all.clone() }), expected, "{who}");
        }
        for (mailbox, expected) in [("Ana@Contoso.example", true), ("ben@fabrikam.example", false)] {
            assert_eq!(takes(&Selection { mailboxes: values(&[mailbox]), ..all.clone() }), expected, "{mailbox}");
        }
        let root = Thread::of(&item()).root;
        for (thread, expected) in [
            ("1@g.us", true),
            ("tm-9", true),
            ("Desk", true),
            (&root.to_string(), true),
            (root.local_part(), true),
            ("2", false),
        ] {
            assert_eq!(takes(&Selection { threads: values(&[thread]), ..all.clone() }), expected, "{thread}");
        }
        let both = Selection { owners: values(&["15550100"]), threads: values(&["other"]), ..all };
        assert!(!takes(&both), "all filters count");
    }

    #[test]
    fn the_record_of_an_export_masks_numbers() {
        let mut selection = day("2025-11-20", "2025-11-21");
        selection.owners = vec!["+15550100".to_owned()];
        selection.mailboxes = vec!["ana@contoso.example".to_owned()];
        assert_eq!(
            selection.description(),
            "received 2025-11-20T00:00:00Z to 2025-11-21T00:00:00Z; owner +1•••••0100; mailbox ana@contoso.example"
        );
    }

    #[test]
    fn whoever_is_sought_by_number_is_found_by_a_lid_and_the_other_way_round() {
        let json = r#"{"id":7,"body":{"messageTime":1763700000123,"messageId":"A","text":"x","owner":{"value":"15550101"},
            "sender":{"value":"98765432101234@lid","phoneNumber":"+1 555 0100"}}}"#;
        let item = Item::read(json.as_bytes(), chrono::DateTime::from_timestamp(1_763_800_000, 0).unwrap()).unwrap();
        let window = Window { from: item.time.at - Duration::days(1), to: item.time.at + Duration::days(1) };
        let takes = |sought: &str| {
            let selection = Selection { participants: vec![sought.to_owned()], ..Selection::received(window) };
            selection.takes(&item, &Resolution::default())
        };
        assert!(takes("+1 555 0100") && takes("98765432101234@lid") && takes("15550101"));
        assert!(!takes("+1 555 0102") && !takes("98765432101235@lid"));
    }
}
