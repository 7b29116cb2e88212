//! Who took part, as a message's header and body name them: display names and addresses.
//!
//! An address is the recorded mailbox of a participant, else the item's own e-mail property, else a placeholder under a
//! domain that is never delivered to. It is always valid, ASCII, and safe to write into a header.

use std::borrow::Cow;

use email_address::{EmailAddress, Options};

use super::direction::{isolated, name_and_number};
use super::mail::Address;
use crate::digest::Digest;
use crate::digits::counted;
use crate::item::{Direction, Item, Participant, Person};
use crate::output_text;
pub(super) use crate::output_text::{display_text, turns_direction};
use crate::resolution::{Resolution, ResolvedTo};

/// The longest display name in characters; the longest local part of an address in octets (RFC 5321, 4.5.3.1.1).
const MAX_NAME_CHARACTERS: usize = 128;
const MAX_LOCAL_PART_OCTETS: usize = 64;

/// What stands in for a placeholder domain that can't be in an address.
const LAST_RESORT_DOMAIN: &str = "whatsapp.invalid";

/// The participants of one item, with what is known of each.
pub(super) struct People<'a> {
    /// Those who took part, worked out once: most are named many times.
    known: Table<&'a Participant, Known>,
    sources: Sources<'a>,
}

struct Known {
    name: String,
    label: String,
    address: String,
}

/// Where names and addresses come from, by the keys of participants.
struct Sources<'a> {
    item: &'a Item,
    enrichments: Table<Cow<'a, str>, &'a Person>,
    mailboxes: Table<Cow<'a, str>, &'a str>,
    placeholder_domain: &'a str,
}

/// Sorted pairs. Most items have two or three participants, for whom this is several times as fast as hashing.
struct Table<K, V>(Vec<(K, V)>);

impl<K: Ord, V> Table<K, V> {
    fn of(pairs: impl Iterator<Item = (K, V)>) -> Self {
        let mut pairs: Vec<(K, V)> = pairs.collect();
        pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self(pairs)
    }

    /// The value of a key; the first one given where it was given several times.
    fn get(&self, key: &K) -> Option<&V> {
        let place = self.0.partition_point(|(other, _)| other < key);
        self.0.get(place).filter(|(found, _)| found == key).map(|(_, value)| value)
    }
}

impl<'a> People<'a> {
    /// What the item and its recorded resolution say of its participants. A mailbox found only after a first copy was
    /// sent is left out, so that all copies are the same.
    pub(super) fn of(item: &'a Item, resolution: &'a Resolution, placeholder_domain: &'a str) -> Self {
        let sources = Sources::of(item, resolution, placeholder_domain);
        let mut participants: Vec<&Participant> =
            item.owner.iter().chain(&item.sender).chain(&item.recipients).collect();
        participants.sort_unstable();
        participants.dedup();
        let known = participants.into_iter().map(|participant| (participant, sources.look_up(participant)));
        Self { known: Table::of(known), sources }
    }

    /// The participant in a header.
    pub(super) fn address(&self, participant: &Participant) -> Address {
        self.with(participant, |known| Address {
            name: Some(header_phrase(&known.name)),
            address: known.address.clone(),
        })
    }

    /// The display name, else the number or value.
    pub(super) fn name(&self, participant: &Participant) -> String {
        self.with(participant, |known| known.name.clone())
    }

    /// Display name and number, for the body: each between marks where it has to be, see [`direction`](super::direction).
    pub(super) fn label(&self, participant: &Participant) -> String {
        self.with(participant, |known| known.label.clone())
    }

    /// An address that stands for something that has none.
    pub(super) fn stand_in(&self, name: &str, value: &str) -> Address {
        Address {
            name: Some(header_phrase(&display_text(name, MAX_NAME_CHARACTERS))),
            address: self.sources.placeholder(value),
        }
    }

    fn with<T>(&self, participant: &Participant, read: impl Fn(&Known) -> T) -> T {
        match self.known.get(&participant) {
            Some(known) => read(known),
            None => read(&self.sources.look_up(participant)),
        }
    }
}

impl<'a> Sources<'a> {
    fn of(item: &'a Item, resolution: &'a Resolution, placeholder_domain: &'a str) -> Self {
        let enrichments = item.people.iter().map(|(participant, person)| (item.key_of(participant), person));
        let mailboxes = resolution.0.iter().filter_map(|resolved| match &resolved.outcome {
            ResolvedTo::Mailbox { mailbox, .. } if !resolved.late => {
                Some((item.key_of(&resolved.participant), mailbox.address.as_str()))
            }
            _ => None,
        });
        let domain_is_usable = is_usable(&format!("x@{placeholder_domain}"));
        Self {
            item,
            enrichments: Table::of(enrichments),
            mailboxes: Table::of(mailboxes),
            placeholder_domain: if domain_is_usable { placeholder_domain } else { LAST_RESORT_DOMAIN },
        }
    }

    fn look_up(&self, participant: &Participant) -> Known {
        let key = self.item.key_of(participant);
        let person = self.enrichments.get(&key);
        let email = person.and_then(|person| person.email.as_deref()).map(str::trim);
        let address = (self.mailboxes.get(&key).copied().filter(|address| is_usable(address)))
            .or_else(|| email.filter(|address| is_usable(address)));
        let own_name = person.and_then(|person| person.display_name());
        let own_name = own_name.and_then(|name| output_text::name(&name, MAX_NAME_CHARACTERS));
        let value = number_or_value(participant);
        Known {
            address: address.map_or_else(|| self.placeholder(&key), str::to_owned),
            label: match &own_name {
                Some(name) => name_and_number(name, &value),
                None => isolated(&value).into_owned(),
            },
            name: own_name.unwrap_or(value),
        }
    }

    /// The value where it can be a local part, else what of it can, with a digest that distinguishes it from every other value.
    fn placeholder(&self, value: &str) -> String {
        const DIGEST_DIGITS: usize = 12;
        let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
        let domain = self.placeholder_domain;
        if !value.is_empty() && value.len() <= MAX_LOCAL_PART_OCTETS && value.chars().all(fits) {
            return format!("{value}@{domain}");
        }
        let room = MAX_LOCAL_PART_OCTETS - DIGEST_DIGITS - 1;
        let readable: String = value.chars().filter(|&character| fits(character)).take(room).collect();
        let digest = Digest::of(value.as_bytes()).short(DIGEST_DIGITS);
        let separator = if readable.is_empty() { "" } else { "-" };
        format!("{readable}{separator}{digest}@{domain}")
    }
}

/// Who an item is from: its sender; where it names none, the owner who sent it, or who did what an event says.
pub(crate) fn sender_of(item: &Item) -> Option<&Participant> {
    let owner = item.owner.as_ref().filter(|_| item.direction == Some(Direction::Out));
    let actor = item.event.as_ref().and_then(|event| event.actor.as_ref());
    item.sender.as_ref().or(owner).or(actor.filter(|actor| actor.has_value()))
}

/// A given name as it is shown, else the number or value.
pub(crate) fn display_name(name: Option<&str>, participant: &Participant) -> String {
    let name = name.and_then(|name| output_text::name(name, MAX_NAME_CHARACTERS));
    name.unwrap_or_else(|| number_or_value(participant))
}

/// The number with its `+`, or the value on one line.
pub(super) fn number_or_value(participant: &Participant) -> String {
    let shown = match participant.phone_number() {
        Some(number) => output_text::name(&number.to_string(), MAX_NAME_CHARACTERS),
        None => output_text::name(&participant.value, MAX_NAME_CHARACTERS),
    };
    shown.unwrap_or_else(|| "(unnamed)".to_owned())
}

/// Many readers decode an encoded word even in a quoted phrase; one that somebody chose as a name is broken up.
fn header_phrase(name: &str) -> String {
    name.replace("=?", "= ?")
}

/// Whether the address is valid and can stand in a header as it is: ASCII, no quoted local part, no literal.
pub(crate) fn is_usable(address: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"(),:;<>[\\]".contains(&byte);
    let options = Options::default().without_display_text().without_domain_literal().with_required_tld();
    address.bytes().all(plain) && address.len() <= 254 && EmailAddress::parse_with_options(address, options).is_ok()
}

/// People in a sentence: `shown` of them by name, the others by their number.
pub(super) fn listed<'a>(
    people: impl ExactSizeIterator<Item = &'a Participant>,
    name_of: impl Fn(&Participant) -> String,
    shown: usize,
) -> String {
    let others = people.len().saturating_sub(shown);
    let mut names: Vec<String> = people.take(shown).map(name_of).collect();
    if others > 0 {
        names.push(counted(others as u64, "other", "others"));
    }
    let last = names.pop().unwrap_or_default();
    if names.is_empty() { last } else { format!("{} and {last}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::ParticipantKind;

    static NOBODY: Resolution = Resolution(Vec::new());

    fn people_of(item: &Item) -> People<'_> {
        People::of(item, &NOBODY, "whatsapp.invalid")
    }

    fn item(json: &str) -> Item {
        let body = format!(r#"{{"id":1,"gatewayReceivedDate":1763700000123,"body":{json}}}"#);
        Item::read(body.as_bytes(), chrono::DateTime::from_timestamp(1_763_700_000, 0).unwrap()).unwrap()
    }

    #[test]
    fn placeholders_are_valid_and_distinguish_values() {
        let item = item("{}");
        let people = people_of(&item);
        let long = "x".repeat(400);
        let values = ["Contoso Bank", "Contoso-Bank", "contoso\r\nBcc: a@b", "", "✆", "ا", "a@b", "..", long.as_str()];
        let addresses: std::collections::BTreeSet<String> = values
            .iter()
            .map(|value| people.address(&Participant { value: (*value).into(), kind: ParticipantKind::Alphanumeric }))
            .map(|address| address.address)
            .collect();
        assert_eq!(addresses.len(), values.len());
        for address in &addresses {
            assert!(is_usable(address), "{address}");
        }
        assert_eq!(people.address(&Participant::phone("+1 555 0101")).address, "15550101@whatsapp.invalid");
    }

    #[test]
    fn an_unusable_domain_is_replaced() {
        let item = item("{}");
        let people = People::of(&item, &NOBODY, "bad domain\r\n");
        assert_eq!(people.address(&Participant::phone("15550101")).address, "15550101@whatsapp.invalid");
    }

    #[test]
    fn addresses_that_could_break_a_header_are_not_usable() {
        let bad =
            ["a b@c.example", "a@b>x: y.example", "\"a\"@c.example", "a@localhost", "a@[127.0.0.1]", "é@c.example"];
        for address in bad {
            assert!(!is_usable(address), "{address}");
        }
        assert!(is_usable("o'brien+tag@contoso.example"));
    }

    #[test]
    fn the_email_property_is_used_only_where_it_is_an_address() {
        for (email, address) in [
            ("ana@contoso.example", "ana@contoso.example"),
            ("Ana <ana@contoso.example>", "15550100@whatsapp.invalid"),
            ("ana@contoso.example\\r\\nBcc: x@y.example", "15550100@whatsapp.invalid"),
        ] {
            let item = item(&format!(
                r#"{{"owner":{{"value":"15550100"}},"participantEnrichments":{{"15550100":{{"email":"{email}"}}}}}}"#
            ));
            let owner = item.owner.clone().unwrap();
            assert_eq!(people_of(&item).address(&owner).address, address);
        }
    }

    #[test]
    fn a_name_that_looks_encoded_is_broken_up() {
        assert_eq!(header_phrase("=?utf-8?Q?x?="), "= ?utf-8?Q?x?=");
    }
}
