//! What must be in each mailbox, and how what is there differs from it.

use std::collections::BTreeMap;
use std::fmt;

use super::{Found, Mailboxes};

/// A copy, as far as it is the same in all kinds of mailboxes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Copy {
    /// WhatsApp's own id.
    pub(crate) whatsapp_id: String,
    /// What was written.
    pub(crate) text: String,
    /// The contents of its files, sorted.
    pub(crate) files: Vec<Vec<u8>>,
}

/// What must be in each mailbox, sorted, by its address.
pub(crate) type Expected = BTreeMap<String, Vec<Copy>>;

impl Copy {
    /// A text with marks around it, by which it is found in whatever a mailbox makes of it.
    pub(crate) fn marked(text: &str) -> String {
        format!("[[{text}]]")
    }

    /// What was found, by the marks around its text; the last of them, as a preview may hold its beginning.
    fn of(found: &Found) -> Self {
        let marked = found.text.rsplit_once("[[").and_then(|(_, rest)| rest.split_once("]]"));
        // Lines may be broken on the way, words not.
        let words: Vec<&str> = marked.map_or("", |(text, _)| text).split_whitespace().collect();
        let mut files: Vec<Vec<u8>> = found.files.iter().map(|(_, bytes)| bytes.clone()).collect();
        files.sort();
        Self { whatsapp_id: found.whatsapp_id.clone(), text: words.join(" "), files }
    }
}

impl fmt::Debug for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<usize> = self.files.iter().map(Vec::len).collect();
        write!(f, "{} {:?} with files of {sizes:?} bytes", self.whatsapp_id, self.text)
    }
}

/// How what was found differs from what must be there: a line for each copy that is missing, and for each that is altered,
/// misrouted or there once more.
pub(crate) fn differences(expected: &Expected, found: &Mailboxes) -> Vec<String> {
    let mut lines = Vec::new();
    for address in expected.keys().chain(found.keys().filter(|address| !expected.contains_key(*address))) {
        // How much oftener a copy is there than it should be.
        let mut excess: BTreeMap<Copy, i32> = BTreeMap::new();
        for copy in found.get(address).into_iter().flatten().map(Copy::of) {
            *excess.entry(copy).or_default() += 1;
        }
        for copy in expected.get(address).into_iter().flatten() {
            *excess.entry(copy.clone()).or_default() -= 1;
        }
        for (copy, excess) in excess.iter().filter(|(_, excess)| **excess != 0) {
            let what = if *excess < 0 { "lacks" } else { "should not have" };
            lines.push(format!("{address} {what} {copy:?} ({})", excess.abs()));
        }
    }
    lines
}

#[test]
fn every_kind_of_difference_is_reported() {
    let copy = |id: &str| Copy { whatsapp_id: id.to_owned(), text: "a b".to_owned(), files: vec![vec![1]] };
    let found = |id: &str, text: &str| Found {
        whatsapp_id: id.to_owned(),
        text: format!("particulars\n{}", Copy::marked(text)),
        files: vec![("f".to_owned(), vec![1])],
    };
    let expected = Expected::from([("ana".to_owned(), vec![copy("1"), copy("2")])]);
    let reported = |ana: &[Found], ben: &[Found]| {
        let found = Mailboxes::from([("ana".to_owned(), ana.to_vec()), ("ben".to_owned(), ben.to_vec())]);
        differences(&expected, &found).len()
    };
    let (one, two) = (found("1", "a\nb"), found("2", "a b"));
    assert_eq!(reported(&[one.clone(), two.clone()], &[]), 0);
    assert_eq!(reported(std::slice::from_ref(&one), &[]), 1, "missing");
    assert_eq!(reported(&[one.clone(), two.clone(), two.clone()], &[]), 1, "doubled");
    assert_eq!(reported(&[one.clone(), two.clone()], std::slice::from_ref(&two)), 1, "misrouted");
    assert_eq!(reported(&[one, found("2", "a c")], &[]), 2, "altered");
}
