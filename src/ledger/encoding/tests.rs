use chrono::{TimeZone as _, Utc};

use super::*;

fn participant(value: &str, kind: ParticipantKind) -> Participant {
    Participant { value: value.to_owned(), kind }
}

fn resolved(participant: Participant, outcome: ResolvedTo, rule: Option<&str>, late: bool) -> Resolved {
    Resolved { participant, outcome, rule: rule.map(str::to_owned), late }
}

/// Everything that a resolution can hold.
fn full() -> Resolution {
    let mailbox = |id: &str, address: &str| Mailbox { id: MailboxId(id.to_owned()), address: address.to_owned() };
    let (ana, ben) = (mailbox("ana", "ana@contoso.example"), mailbox("ben", "ben@contoso.example"));
    Resolution(vec![
        resolved(
            participant("15550100", ParticipantKind::Phone),
            ResolvedTo::Mailbox { mailbox: ana, by: ResolvedBy::Csv },
            Some("mapping file: +1••100"),
            false,
        ),
        resolved(
            participant("Große Bank", ParticipantKind::Alphanumeric),
            ResolvedTo::Mailbox { mailbox: ben, by: ResolvedBy::Email },
            None,
            true,
        ),
        resolved(
            participant("", ParticipantKind::Phone),
            ResolvedTo::NoValidUser { detail: "not mapped".to_owned() },
            None,
            false,
        ),
        resolved(
            participant("15550101", ParticipantKind::Phone),
            ResolvedTo::Unanswered { detail: "request 4711".to_owned() },
            None,
            false,
        ),
    ])
}

/// The names of a resolution with numbers from 1, and the other way round.
fn numbered(resolution: &Resolution) -> (Numbers, HashMap<i64, Arc<str>>) {
    let distinct: BTreeSet<&str> = names(resolution).collect();
    let pairs: Vec<(Arc<str>, i64)> = distinct.into_iter().map(Arc::from).zip(1..).collect();
    let by_number = pairs.iter().map(|(name, number)| (*number, Arc::clone(name))).collect();
    (Numbers::found(pairs), by_number)
}

fn full_manifest() -> Manifest {
    let digest = |text: &str| Digest::of(text.as_bytes());
    Manifest {
        message_id: MessageId::from_local_part("0123456789abcdef0123456789abcdef").unwrap(),
        date: Utc.timestamp_opt(1_763_712_240, 123_456_789).unwrap(),
        subject: digest("subject"),
        text: Some(digest("text")),
        mime: digest("mime"),
        size: 5_000_000_000,
        attachments: vec![
            ManifestAttachment { name: "Bücher.pdf".to_owned(), size: 0, digest: digest("a") },
            ManifestAttachment { name: String::new(), size: u64::MAX, digest: digest("b") },
        ],
    }
}

#[test]
fn a_resolution_is_read_as_it_was_written() {
    for resolution in [full(), Resolution::default()] {
        let (numbers, names) = numbered(&resolution);
        let bytes = of_resolution(&resolution, &numbers).unwrap();
        assert_eq!(super::resolution(&bytes, &names).unwrap(), resolution);
        let mut found = BTreeSet::new();
        numbers_in(&bytes, &mut found).unwrap();
        assert_eq!(found, names.keys().copied().collect());
        assert_eq!(lacks_user(&resolution), !resolution.0.is_empty());
    }
}

#[test]
fn only_who_has_a_mailbox_is_left_of_a_resolution() {
    let (numbers, names) = numbered(&full());
    let left = only_mailboxes(&of_resolution(&full(), &numbers).unwrap()).unwrap().unwrap();
    let mut expected = full();
    expected.0.truncate(2);
    assert_eq!(super::resolution(&left, &names).unwrap(), expected);
    assert_eq!(only_mailboxes(&left).unwrap(), Some(left));
    let mut nobody = full();
    nobody.0.drain(..2);
    for resolution in [nobody, Resolution::default()] {
        assert_eq!(only_mailboxes(&of_resolution(&resolution, &numbers).unwrap()).unwrap(), None);
    }
    assert!(only_mailboxes(&[FORM, 1]).is_err());
}

#[test]
fn a_manifest_is_read_as_it_was_written() {
    let without = Manifest { text: None, attachments: Vec::new(), size: 0, ..full_manifest() };
    let early = Manifest { date: Utc.timestamp_opt(-1, 0).unwrap(), ..full_manifest() };
    for written in [full_manifest(), without, early] {
        assert_eq!(manifest(&of_manifest(&written).unwrap()).unwrap(), written);
    }
}

/// What one version wrote all later ones read: these bytes never change.
#[test]
fn the_form_is_frozen() {
    let (numbers, _) = numbered(&full());
    let bytes = of_resolution(&full(), &numbers).unwrap();
    assert_eq!(
        hex::encode(bytes),
        "010408083135353530313030010205340b47726fc39f652042616e6b030401000602083135353530313031\
         0c726571756573742034373131"
    );
    let written = Manifest { attachments: Vec::new(), ..full_manifest() };
    let digests = [written.subject, written.text.unwrap(), written.mime].map(|digest| digest.to_string()).concat();
    let (head, size) = ("01010123456789abcdef0123456789abcdefe0f380920d959aef3a", "80e497d01200");
    assert_eq!(hex::encode(of_manifest(&written).unwrap()), format!("{head}{digests}{size}"));
}

#[test]
fn what_was_cut_off_changed_or_lengthened_is_refused() {
    let (numbers, names) = numbered(&full());
    let bytes = of_resolution(&full(), &numbers).unwrap();
    let written = of_manifest(&full_manifest()).unwrap();
    for length in 0..bytes.len() {
        assert!(resolution(&bytes[..length], &names).is_err(), "{length}");
    }
    for length in 0..written.len() {
        assert!(manifest(&written[..length]).is_err(), "{length}");
    }
    assert!(resolution(&[bytes.as_slice(), &[0]].concat(), &names).is_err());
    assert!(manifest(&[written.as_slice(), &[0]].concat()).is_err());
    assert!(resolution(&bytes, &HashMap::new()).is_err(), "names that are not there");
    for form in [0, 2, b'['] {
        assert!(resolution(&[&[form], &bytes[1..]].concat(), &names).is_err());
        assert!(manifest(&[&[form], &written[1..]].concat()).is_err());
    }
    // As many as there can be: what is claimed is not believed before it is read.
    assert!(resolution(&[FORM, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], &names).is_err());
    assert!(resolution(&[FORM, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], &names).is_err());
}

#[test]
fn what_nothing_writes_is_refused() {
    let names: HashMap<i64, Arc<str>> = (1..9).map(|number| (number, Arc::from("x"))).collect();
    let read = |bytes: &[u8]| resolution(&[&[FORM, 1], bytes].concat(), &names).is_ok();
    assert!(read(&[BY_EMAIL, 0, 1, 2]) && read(&[NO_VALID_USER, 0, 3]) && read(&[UNANSWERED, 0, 1, b'x']));
    for unknown in [1 << 6, 1 << 7] {
        assert!(!read(&[unknown, 0, 1, 2]), "{unknown}");
    }
    assert!(!read(&[0b11, 0, 1]), "an outcome that there isn't");
    assert!(!read(&[NO_VALID_USER | BY_EMAIL, 0, 3]) && !read(&[UNANSWERED | BY_EMAIL, 0, 1, b'x']));
    // Numbers have one form each, and 64 bits.
    assert!(!read(&[NO_VALID_USER, 0, 0x83, 0]) && !read(&[NO_VALID_USER, 0x80, 0, 3]));

    let number = |bytes: &[u8]| Reader { bytes, what: "a number" }.number().ok();
    assert_eq!(number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Some(u64::MAX));
    for last in [2, 3, 0x7f, 0x81] {
        assert_eq!(number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, last]), None, "{last}");
    }
    assert_eq!((number(&[0]), number(&[0x80, 1]), number(&[0x80, 0])), (Some(0), Some(128), None));

    let written = of_manifest(&Manifest { text: None, ..full_manifest() }).unwrap();
    assert!(manifest(&written).is_ok() && written[1] == 0);
    for has_text in [2, 0xff] {
        assert!(manifest(&[&written[..1], &[has_text], &written[2..]].concat()).is_err());
    }
}
