use chrono::Duration;

use super::super::By;
use super::*;
use crate::resolution::Resolved;
use crate::window::Window;

fn read(id: u32, body: &str) -> Item {
    let json = format!(
        r#"{{"id":{id},"gatewayReceivedDate":1763712000000,"body":{{"messageId":"m{id}","messageTime":1763625600000,{body}}}}}"#
    );
    Item::read(json.as_bytes(), "2025-12-01T00:00:00Z".parse().unwrap()).unwrap()
}

fn item() -> Item {
    read(
        1,
        r#""owner":{"value":"15550100"},"sender":{"value":"15550101"},"recipients":[{"value":"15550100"}],
        "participantEnrichments":{"15550100":{"firstName":"Zoë","lastName":"Marchetti"},
            "15550101":{"firstName":"Ben","lastName":"Carter","email":"ben@fabrikam.example"}},
        "groupId":"1@g.us","groupName":"Desk","threadID":"tm-9","threadName":"Desk London","text":"x""#,
    )
}

fn found(number: &str, id: &str, address: &str, by: ResolvedBy) -> Resolution {
    let mailbox = Mailbox { id: MailboxId(id.to_owned()), address: address.to_owned() };
    let outcome = ResolvedTo::Mailbox { mailbox, by };
    Resolution(vec![Resolved { participant: Participant::phone(number), outcome, rule: None, late: false }])
}

fn resolution() -> Resolution {
    found("15550100", "1", "ana@contoso.example", ResolvedBy::Csv)
}

fn day(from: &str, to: &str) -> Selection {
    let at = |day: &str| format!("{day}T00:00:00Z").parse().unwrap();
    Selection::received(Window { from: at(from), to: at(to) })
}

fn all() -> Selection {
    day("2025-11-01", "2025-12-01")
}

fn values(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// Which of the items a selection takes.
fn taken(selection: Selection, items: &[(Item, Resolution)]) -> (Vec<bool>, Filters) {
    let mut filters = Filters::new(selection);
    for (item, resolution) in items {
        filters.learn(item, resolution);
    }
    let taken = items.iter().map(|(item, resolution)| filters.takes(item, resolution)).collect();
    (taken, filters)
}

fn takes(selection: Selection) -> bool {
    taken(selection, &[(item(), resolution())]).0 == [true]
}

#[test]
fn a_window_is_measured_on_the_receiving_time_or_on_the_message_s_own() {
    let (sent, received) = (day("2025-11-20", "2025-11-21"), day("2025-11-21", "2025-11-22"));
    assert!(!takes(sent.clone()) && takes(received.clone()));
    assert!(takes(Selection { by: By::Sent, ..sent }) && !takes(Selection { by: By::Sent, ..received }));
}

#[test]
fn every_filter_takes_what_fits_any_of_its_values() {
    for (owner, expected) in [
        ("+1 555 0100", true),
        ("ANA@contoso.example", true),
        ("zoë  MARCHETTI", true),
        ("Zoe\u{308} Marchetti", true),
        ("ZOË marchetti ", true),
        ("Zoë", false),
        ("Marchetti", false),
        ("Zoe Marchetti", false),
        ("Ben Carter", false),
        ("15550101", false),
        ("ben@fabrikam.example", false),
    ] {
        assert_eq!(takes(Selection { owners: values(&["x", owner]), ..all() }), expected, "{owner}");
    }
    for (who, expected) in
        [("0015550101", true), ("ben@fabrikam.example", true), ("BEN carter", true), ("15550102", false), ("B", false)]
    {
        assert_eq!(takes(Selection { participants: values(&[who]), ..all() }), expected, "{who}");
    }
    for (mailbox, expected) in [("Ana@Contoso.example", true), ("ben@fabrikam.example", false)] {
        assert_eq!(takes(Selection { mailboxes: values(&[mailbox]), ..all() }), expected, "{mailbox}");
    }
    let root = Thread::of(&item()).root;
    for (thread, expected) in [
        ("1@g.us", true),
        ("tm-9", true),
        ("TM-9", false),
        ("Desk", true),
        ("desk", true),
        ("desk LONDON", true),
        (&root.to_string(), true),
        (root.local_part(), true),
        ("2", false),
    ] {
        assert_eq!(takes(Selection { threads: values(&[thread]), ..all() }), expected, "{thread}");
    }
    let both = Selection { owners: values(&["15550100"]), threads: values(&["other"]), ..all() };
    assert!(!takes(both), "all filters count");
}

#[test]
fn whoever_is_sought_by_number_is_found_by_a_lid_and_the_other_way_round() {
    let known =
        read(7, r#""owner":{"value":"15550101"},"sender":{"value":"98765432101234@lid","phoneNumber":"+1 555 0100"}"#);
    let bare = read(8, r#""owner":{"value":"15550101"},"sender":{"value":"98765432101234:2@lid"}"#);
    let items = [(known, Resolution::default()), (bare, Resolution::default())];
    let takes = |sought: &str| taken(Selection { participants: values(&[sought]), ..all() }, &items).0;
    for sought in ["+1 555 0100", "98765432101234@lid", "15550101"] {
        assert_eq!(takes(sought), [true, true], "{sought}");
    }
    for other in ["+1 555 0102", "98765432101235@lid"] {
        assert_eq!(takes(other), [false, false], "{other}");
    }
}

#[test]
fn a_name_finds_those_whom_an_item_leaves_without_one_but_nobody_whom_it_calls_otherwise() {
    let of = |id, who: &str| {
        let body = format!(
            r#""owner":{{"value":"15550109"}},"sender":{{"value":"15550100"}},"participantEnrichments":{{{who}}}"#
        );
        (read(id, &body), Resolution::default())
    };
    let ana = r#""15550100":{"firstName":"Ana","lastName":"Berg"}"#;
    let items = [
        of(1, ""),
        of(2, ana),
        of(3, r#""15550100":{"firstName":"Lukas","lastName":"Novak"}"#),
        of(4, r#""15550109":{"firstName":"Ana","lastName":"Berg"}"#),
    ];
    let (takes, filters) = taken(Selection { participants: values(&["ana berg"]), ..all() }, &items);
    assert_eq!(takes, [true, true, true, true], "15550109 takes part in all of them, and item 4 calls them Ana Berg");
    assert_eq!(filters.shared_names().len(), 1);
    let (takes, filters) = taken(Selection { participants: values(&["ana berg"]), ..all() }, &items[..3]);
    assert_eq!(takes, [true, true, false], "the number was somebody else's");
    assert!(filters.shared_names().is_empty() && filters.without_match().is_empty());
}

#[test]
fn a_chat_is_found_by_every_name_that_it_has_in_the_window() {
    let named = |id, name: &str| {
        let body = format!(r#""sender":{{"value":"15550101"}},"groupId":"1@g.us","groupName":"{name}","text":"x""#);
        (read(id, &body), Resolution::default())
    };
    let other = read(4, r#""sender":{"value":"15550101"},"groupId":"2@g.us","groupName":"desk","text":"x""#);
    let renamed = read(
        5,
        r#""sender":{"value":"15550101"},"groupId":"1@g.us","messageType":"EVENT","event":{"type":"Rename","oldValue":"Floor","newValue":"Desk"}"#,
    );
    let nobody = Resolution::default;
    let items = [named(1, "Desk"), named(2, "Gulf"), named(3, ""), (other, nobody()), (renamed, nobody())];
    let takes = |sought: &str| taken(Selection { threads: values(&[sought]), ..all() }, &items);
    assert_eq!(takes("GULF").0, [true, true, true, false, true]);
    assert_eq!(takes("1@g.us").0, [true, true, true, false, true]);
    let (both, filters) = takes("Desk");
    assert_eq!(both, [true; 5]);
    assert_eq!(filters.shared_names().iter().map(|(_, count)| *count).collect::<Vec<_>>(), [2]);
    assert_eq!(takes("floor").0, [true, true, true, false, true]);
}

#[test]
fn a_mailbox_is_found_by_every_address_that_it_has_or_had() {
    let plain = |id| read(id, r#""owner":{"value":"15550100"},"text":"x""#);
    let alias = read(
        3,
        r#""owner":{"value":"15550100"},"participantEnrichments":{"15550100":{"email":"a.berg@contoso.example"}},"text":"x""#,
    );
    let items = [
        (plain(1), found("15550100", "7", "ana@contoso.example", ResolvedBy::Csv)),
        (plain(2), found("15550100", "7", "ana.berg@contoso.example", ResolvedBy::Csv)),
        (alias, found("15550100", "7", "ana.berg@contoso.example", ResolvedBy::Email)),
        (plain(4), found("15550100", "8", "yael@contoso.example", ResolvedBy::Csv)),
    ];
    let mine = [true, true, true, false];
    for address in ["ana@contoso.example", "ANA.Berg@contoso.example", "a.berg@contoso.example"] {
        assert_eq!(taken(Selection { mailboxes: values(&[address]), ..all() }, &items).0, mine, "{address}");
    }
    for address in ["ana@contoso.example", "ana.berg@contoso.example"] {
        assert_eq!(taken(Selection { owners: values(&[address]), ..all() }, &items).0, mine, "{address}");
    }
    // Whose address it is else, another place says.
    for selection in [
        Selection { mailboxes: values(&["berg@contoso.example"]), ..all() },
        Selection { owners: values(&["berg@contoso.example"]), ..all() },
    ] {
        let (takes, mut filters) = taken(selection, &items);
        assert_eq!(takes, [false; 4]);
        assert_eq!(filters.unknown_addresses().into_iter().collect::<Vec<_>>(), ["berg@contoso.example"]);
        filters.address_names("berg@contoso.example", &[MailboxId("7".to_owned())]);
        let takes: Vec<bool> = items.iter().map(|(item, resolution)| filters.takes(item, resolution)).collect();
        assert_eq!(takes, mine);
    }
}

#[test]
fn values_that_nothing_fits_are_named_each_by_itself() {
    let selection = Selection {
        owners: values(&["zoë marchetti", "15550107"]),
        participants: values(&["Ben Kater"]),
        mailboxes: values(&["ana@contoso.example", "nobody@contoso.example"]),
        threads: values(&["Disk"]),
        ..all()
    };
    let (takes, filters) = taken(selection.clone(), &[(item(), resolution())]);
    let shown: Vec<String> = filters.without_match().iter().map(Value::shown).collect();
    assert_eq!(takes, [false]);
    assert_eq!(
        shown,
        [
            "--owner \"+1•••••0107\"",
            "--participant \"Ben Kater\"",
            "--mailbox \"nobody@contoso.example\"",
            "--thread \"Disk\""
        ]
    );
    let window = Window { from: all().window.to, to: all().window.to + Duration::days(1) };
    let (_, elsewhere) = taken(Selection { window, ..selection }, &[(item(), resolution())]);
    assert_eq!(elsewhere.without_match().len(), 6, "what is outside the window fits nothing");
}

#[test]
fn a_purged_item_may_be_of_whoever_is_not_sought_by_another_number() {
    let may = |owners: &[&str], owner: Option<&str>| {
        let mut filters = Filters::new(Selection { owners: values(owners), ..all() });
        (filters.may_take_of(owner), filters.without_match().len())
    };
    assert_eq!(may(&[], Some("15550100")), (true, 0));
    assert_eq!(may(&["+15550100"], Some("15550100")), (true, 0), "that much is known of them");
    assert_eq!(may(&["15550101"], Some("15550100")), (false, 1));
    for sought in ["ana@contoso.example", "Ana Berg"] {
        assert_eq!(may(&[sought], Some("15550100")), (true, 1), "{sought}");
        assert_eq!(may(&[sought, "15550101"], Some("15550100")), (true, 2), "{sought}");
    }
    for unknown in [None, Some("98765432101234@lid"), Some("Contoso Bank")] {
        assert!(may(&["15550101"], unknown).0, "{unknown:?}");
    }
}
