//! One person known by a LID and by a phone number, where an item says so: a participant, or what is known of one, that has
//! the other form beside its own.

use super::json::{self, Fields};
use super::participant::{Identifier, read_participant};
use super::phone_number::PhoneNumber;
use super::reading::{self, Object};

/// How deep participants are looked for.
const MAX_DEPTH: usize = 4;

/// Fields that have another form of a participant, in lower case.
const FORMS: [&str; 8] = ["lid", "phone", "phonenumber", "number", "pn", "msisdn", "jid", "alt"];

/// The LIDs that a body says to be somebody's number, in order, each once. One that it says to be two people's numbers is nobody's.
pub(super) fn lids(body: &str) -> Vec<(String, PhoneNumber)> {
    let has_sign = body.contains('@') || body.contains("\\u0040");
    if !has_sign || !(body.contains("lid") || body.contains("LID")) {
        return Vec::new();
    }
    let mut found = Vec::new();
    collect(reading::only(body.trim()), None, MAX_DEPTH, &mut found);
    found.sort();
    found.dedup();
    let of_one = |same: &[(String, PhoneNumber)]| same.first().filter(|_| same.len() == 1).cloned();
    found.chunk_by(|(one, _), (next, _)| one == next).filter_map(of_one).collect()
}

/// Looks through a value. `own` is the participant that it is said of, where its field's name has it.
fn collect(raw: &str, own: Option<Identifier>, depth: usize, found: &mut Vec<(String, PhoneNumber)>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    if let Some(elements) = json::elements(raw) {
        for element in elements {
            collect(element, None, depth, found);
        }
        return;
    }
    let Some(fields) = Fields::read(raw) else { return };
    let own = own.or_else(|| identifier(raw));
    let forms =
        fields.0.iter().filter(|(name, _)| is_form(name)).filter_map(|(_, raw)| Identifier::read(&reading::text(raw)?));
    for form in forms {
        match (own.clone(), form) {
            (Some(Identifier::Name(lid)), Identifier::Number(number))
            | (Some(Identifier::Number(number)), Identifier::Name(lid))
                if lid.ends_with("@lid") && is_whole(&number) =>
            {
                found.push((lid, number));
            }
            _ => {}
        }
    }
    for (name, raw) in fields.0 {
        collect(raw, identifier(&name).or_else(|| Identifier::read(&name)), depth, found);
    }
}

/// The participant that an object is.
fn identifier(raw: &str) -> Option<Identifier> {
    let fields = Fields::read(raw.trim())?;
    read_participant(Object::new(String::new(), fields), &mut Vec::new())?.identifier()
}

fn is_form(name: &str) -> bool {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    FORMS.contains(&name.as_str())
}

/// Whether a number has the digits of one with its country's code.
fn is_whole(number: &PhoneNumber) -> bool {
    (7..=15).contains(&number.digits().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_participant_and_what_is_known_of_one_may_have_the_other_form() {
        let known = [("98765432101234@lid".to_owned(), PhoneNumber::read("15550100").unwrap())];
        for body in [
            r#"{"sender":{"value":"98765432101234@lid","type":"LID","phoneNumber":"+1 555 0100"}}"#,
            r#"{"recipients":[{"value":"1"},{"value":"15550100","type":"PHONE","lid":"98765432101234:3@lid"}]}"#,
            r#"{"participantEnrichments":{"98765432101234@lid":{"firstName":"Ana","phone_number":15550100}}}"#,
            r#"{"participantEnrichments":{"{\"value\":\"15550100\"}":{"lid":"98765432101234@lid"}}}"#,
            r#"{"event":{"members":[{"value":"98765432101234@lid","pn":"15550100@s.whatsapp.net"}]}}"#,
        ] {
            assert_eq!(lids(body), known, "{body}");
        }
        for body in [
            r#"{"sender":{"value":"98765432101234@lid","phone":"123"}}"#,
            r#"{"sender":{"value":"15550100","type":"ACCOUNT","lid":"98765432101234@lid"}}"#,
            r#"{"sender":{"value":"98765432101234@lid","phone":"15550100"},"owner":{"value":"98765432101234@lid","phone":"15550101"}}"#,
            r#"{"text":"98765432101234@lid","phone":"15550100"}"#,
        ] {
            assert_eq!(lids(body), [], "{body}");
        }
    }
}
