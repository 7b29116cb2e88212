//! What is within a field that the archive doesn't know: value by value, for a reader.

use super::json::{self, Fields};
use super::participant::{Participant, read_participant};
use super::reading::{Object, OtherField};

/// How deep the values of a field are taken apart, and into how many at most.
const MAX_DEPTH: usize = 8;
const MAX_LEAVES: usize = 100;

impl OtherField {
    /// The values within it that hold something, each with its path; the field itself where it can't be read, or where there
    /// are too many of them.
    pub fn leaves(&self) -> Vec<Self> {
        let mut leaves = Vec::new();
        let is_whole = !self.is_unreadable && take_apart(&self.path, &self.raw, MAX_DEPTH, &mut leaves);
        if is_whole && !leaves.is_empty() { leaves } else { vec![self.clone()] }
    }

    /// The participant that it is: an object of a value, and of a type or none.
    pub fn participant(&self) -> Option<Participant> {
        let mut others = Vec::new();
        let fields = Fields::read(&self.raw)?;
        let is_participant = fields.0.iter().all(|(name, _)| matches!(name.as_ref(), "value" | "type"));
        is_participant.then(|| read_participant(Object::new(String::new(), fields), &mut others)).flatten()
    }
}

/// Collects the values in `raw` that hold something, and the participants; false where there are too many.
fn take_apart(path: &str, raw: &str, depth: usize, leaves: &mut Vec<OtherField>) -> bool {
    let leaf = OtherField { path: path.to_owned(), raw: raw.to_owned(), is_unreadable: false };
    if json::is_hollow(raw) {
        return true;
    }
    let within: Vec<(String, &str)> = match (Fields::read(raw), json::elements(raw)) {
        _ if depth == 0 || leaf.participant().is_some() => Vec::new(),
        (Some(fields), _) => fields.0.into_iter().map(|(name, raw)| (format!("{path}.{name}"), raw)).collect(),
        (_, Some(elements)) => {
            elements.into_iter().enumerate().map(|(place, raw)| (format!("{path}[{place}]"), raw)).collect()
        }
        _ => Vec::new(),
    };
    if within.is_empty() {
        leaves.push(leaf);
        return leaves.len() <= MAX_LEAVES;
    }
    within.iter().all(|(path, raw)| take_apart(path, raw, depth - 1, leaves))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_taken_apart_into_what_it_holds() {
        let leaves = |raw: &str| {
            let field = OtherField { path: "poll".to_owned(), raw: raw.to_owned(), is_unreadable: false };
            field.leaves().into_iter().map(|leaf| format!("{}: {}", leaf.path, leaf.shown())).collect::<Vec<_>>()
        };
        assert_eq!(
            leaves(
                r#"{"name":"Lunch?","options":[{"name":"Rye","n":0.10},{"name":""}],"by":[{"value":"15550100","type":"PHONE"}]}"#
            ),
            [
                "poll.name: Lunch?",
                "poll.options[0].name: Rye",
                "poll.options[0].n: 0.10",
                r#"poll.by[0]: {"value": "15550100", "type": "PHONE"}"#
            ]
        );
        assert_eq!(leaves("[1,[2]]"), ["poll[0]: 1", "poll[1][0]: 2"]);
        let many = format!("[{}1]", "1,".repeat(MAX_LEAVES));
        assert_eq!(leaves(&many).len(), 1, "too many are shown as they came");
        let deep = "[".repeat(5000) + "1" + &"]".repeat(5000);
        assert_eq!(leaves(&deep).len(), 1);
    }
}
