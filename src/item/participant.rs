//! Who takes part in an item: a phone number or a name that stands for one.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::phone_number::{PhoneNumber, has_digit, mask, mask_numbers_in, read_lid};
use super::reading::{Object, OtherField};

/// What a participant's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "UPPERCASE")]
pub enum ParticipantKind {
    /// A phone number.
    #[default]
    Phone,
    /// A name of letters and digits, such as a business sender; and whatever else isn't said to be a phone number.
    Alphanumeric,
}

/// A participant as TeleMessage names it: `{value, type}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Participant {
    /// The number or name, as it came.
    #[serde(default)]
    pub value: String,
    /// What the value is.
    #[serde(rename = "type", default)]
    pub kind: ParticipantKind,
}

/// What a mapping file may name a participant by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identifier {
    /// A phone number.
    Number(PhoneNumber),
    /// A LID without its device (`98765432101234@lid`), or a user name in lower case (`@susan`).
    Name(String),
}

impl Identifier {
    /// Reads a phone number in any form, a LID, or a user name.
    pub fn read(text: &str) -> Option<Self> {
        PhoneNumber::read(text).map(Self::Number).or_else(|| Self::read_name(text))
    }

    fn read_name(text: &str) -> Option<Self> {
        read_lid(text).or_else(|| read_user_name(text)).map(Self::Name)
    }

    /// The identifier for logs and pages: digits masked, a user name as it is.
    pub fn masked(&self) -> String {
        match self {
            Self::Number(number) => number.masked(),
            Self::Name(name) if name.starts_with('@') => mask_numbers_in(name),
            Self::Name(lid) => mask(lid),
        }
    }
}

/// The user name that a text is: what follows `@`, without blanks.
fn read_user_name(text: &str) -> Option<String> {
    const MAX_CHARACTERS: usize = 64;
    let name = text.trim().strip_prefix('@')?;
    let fits = |character: char| !character.is_whitespace() && !character.is_control() && character != '@';
    let is_name = !name.is_empty() && name.chars().count() <= MAX_CHARACTERS && name.chars().all(fits);
    is_name.then(|| format!("@{}", name.to_lowercase()))
}

impl Participant {
    /// A participant with a phone number.
    pub fn phone(value: impl Into<String>) -> Self {
        Self { value: value.into(), kind: ParticipantKind::Phone }
    }

    /// Whether there is anything by which somebody can be told from others.
    pub fn has_value(&self) -> bool {
        !self.value.trim().is_empty()
    }

    /// What makes two participants the same: the digits of a phone number, else the value as it came; in quotes where it is
    /// a name that could be taken for somebody's number.
    pub fn key(&self) -> Cow<'_, str> {
        if is_bare_number(&self.value) && self.kind == ParticipantKind::Phone {
            return Cow::Borrowed(&self.value);
        }
        match (self.kind, PhoneNumber::read(&self.value)) {
            (ParticipantKind::Phone, Some(number)) => Cow::Owned(number.into_digits()),
            (ParticipantKind::Alphanumeric, Some(_)) => Cow::Owned(format!("'{}'", self.value)),
            (_, None) => read_lid(&self.value).map_or(Cow::Borrowed(self.value.as_str()), Cow::Owned),
        }
    }

    /// The value in its usual form, whatever it is said to be: a number as its digits, a LID without its device, else as it
    /// came. It depends on nothing but the value, so that identities can be made of it.
    pub(crate) fn usual_value(&self) -> Cow<'_, str> {
        if is_bare_number(&self.value) {
            return Cow::Borrowed(&self.value);
        }
        match PhoneNumber::read(&self.value) {
            Some(number) => Cow::Owned(number.into_digits()),
            None => read_lid(&self.value).map_or(Cow::Borrowed(self.value.as_str()), Cow::Owned),
        }
    }

    /// The phone number, where the participant has one that can be read.
    pub fn phone_number(&self) -> Option<PhoneNumber> {
        match self.kind {
            ParticipantKind::Phone => PhoneNumber::read(&self.value),
            ParticipantKind::Alphanumeric => None,
        }
    }

    /// What a mapping file can name the participant by. Only what is said to be a phone number is taken for one.
    pub fn identifier(&self) -> Option<Identifier> {
        self.phone_number().map(Identifier::Number).or_else(|| Identifier::read_name(&self.value))
    }

    /// The participant for logs and pages: a phone number masked but for its ends, a name as it is.
    pub fn masked(&self) -> String {
        match self.phone_number() {
            Some(number) => number.masked(),
            None if has_digit(&self.value) => mask(&self.value),
            None => self.value.clone(),
        }
    }
}

/// Whether a number is its own key already, as TeleMessage's are.
fn is_bare_number(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with("00")
}

/// Reads a participant; `None` where it has no value. A type that isn't listed is shown as it came, and its value is never
/// taken for a phone number.
pub(super) fn read_participant(mut object: Object<'_>, others: &mut Vec<OtherField>) -> Option<Participant> {
    let value = object.text("value", others).filter(|value| !value.trim().is_empty());
    let kind = if object.is_one_of("type", &["PHONE"]) || !object.has("type") {
        ParticipantKind::Phone
    } else {
        object.is_one_of("type", &["ALPHANUMERIC"]);
        ParticipantKind::Alphanumeric
    };
    object.finish(others);
    Some(Participant { value: value?, kind })
}

/// What TeleMessage knows of a participant (`participantEnrichments`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Person {
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// The e-mail address property that names a mailbox (automatic user mapping).
    pub email: Option<String>,
}

impl Person {
    /// Given and family name, where there is one.
    pub fn display_name(&self) -> Option<String> {
        let names: Vec<&str> = [&self.first_name, &self.last_name]
            .into_iter()
            .flatten()
            .map(|name| name.trim())
            .filter(|name| !name.is_empty())
            .collect();
        (!names.is_empty()).then(|| names.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_keep_the_ends() {
        assert_eq!(Participant::phone("15550000101").masked(), "+1•••••0101");
        assert_eq!(Participant::phone("+15550101").masked(), "+1•••••0101");
        assert_eq!(Participant::phone("1234").masked(), "+•••••34");
        assert_eq!(Participant::phone("1").masked(), "+•••••");
        let name = Participant { value: "Contoso Bank".into(), kind: ParticipantKind::Alphanumeric };
        assert_eq!(name.masked(), "Contoso Bank");
    }

    #[test]
    fn masks_cover_digits_of_every_script() {
        assert_eq!(Participant::phone("٤٩١٥٥٥٠١٩٩").masked(), "+4•••••0199");
        for value in ["Branch ٤٩١٥٥٥٠١٩٩", "４９１５５５０１９９x", "Ⅷ①②③④⑤⑥⑦", "4915550199@lid"]
        {
            let masked = Participant::phone(value).masked();
            assert!(masked.contains("•••••") && masked.chars().filter(|it| it.is_numeric()).count() <= 5, "{masked}");
        }
    }

    #[test]
    fn a_participant_is_named_by_number_lid_or_user_name() {
        let of = |value: &str, kind| Participant { value: value.into(), kind }.identifier();
        let name = |name: &str| Some(Identifier::Name(name.into()));
        for kind in [ParticipantKind::Phone, ParticipantKind::Alphanumeric] {
            assert_eq!(of("98765432101234:3@LID", kind), name("98765432101234@lid"));
            assert_eq!(of(" @Susan.B ", kind), name("@susan.b"));
            for nothing in ["", "@", "@a b", "@a@b", "Contoso Bank", "susan@contoso.example", "@\u{7}"] {
                assert_eq!(of(nothing, kind), None, "{nothing:?}");
            }
        }
        assert_eq!(of("+1 555 0100", ParticipantKind::Phone), Identifier::read("15550100@c.us"));
        assert_eq!(of("15550100", ParticipantKind::Alphanumeric), None);
        assert_eq!(Identifier::read("98765432101234@lid").unwrap().masked(), "9•••••@lid");
        assert_eq!(Identifier::read("@4915550199").unwrap().masked(), "@•••••");
    }

    #[test]
    fn an_account_is_one_participant_on_all_its_devices() {
        assert_eq!(Participant::phone("4915550199:3@s.whatsapp.net").key(), "4915550199");
        assert_eq!(Participant::phone("4915550199:3@lid").key(), Participant::phone("4915550199@LID").key());
        assert_ne!(Participant::phone("4915550199@lid").key(), Participant::phone("4915550199").key());
    }

    #[test]
    fn a_name_of_digits_is_nobody_s_number() {
        let name = |value: &str| Participant { value: value.into(), kind: ParticipantKind::Alphanumeric };
        assert_ne!(name("15550100").key(), Participant::phone("15550100").key());
        assert_ne!(name("15550100").key(), name("+15550100").key());
        assert_eq!(name("Contoso").key(), "Contoso");
    }

    #[test]
    fn a_number_and_its_other_form_are_one_participant() {
        assert_eq!(Participant::phone("+15550100").key(), Participant::phone("0015550100").key());
        assert_eq!(Participant::phone("15550100").key(), Participant::phone("+1 555 0100").key());
        for value in ["00", "000", "001", "0", "15550100", ""] {
            let participant = Participant::phone(value);
            let digits = participant.phone_number().map_or_else(String::new, |number| number.digits().to_owned());
            let key = if digits.is_empty() { value } else { digits.as_str() };
            assert_eq!(participant.key(), key, "{value:?}");
        }
    }
}
