//! Golden vectors, and what counts as the same message.

use super::*;

fn item(body: &str) -> Item {
    let json = format!(r#"{{"id":1,"gatewayReceivedDate":1763712000000,"body":{body}}}"#);
    Item::read(json.as_bytes(), "2025-12-01T00:00:00Z".parse().unwrap()).unwrap()
}

fn identity(body: &str) -> String {
    Identity::of(&item(body), &[]).to_string()
}

/// Computed by a second implementation, in another language. They never change.
#[test]
fn frozen_vectors() {
    let plain = item(
        r#"{"messageId":"3EB0A1","sender":{"value":"15550101"},"recipients":[{"value":"15550102"},{"value":"15550100"}],
            "messageType":"APP_MESSAGE","text":"Hi, Ünal","owner":{"value":"15550100"},"direction":"IN"}"#,
    );
    let digests = [Some("ab".repeat(32).parse().unwrap()), None];
    assert_vector(
        &plain,
        &digests,
        [
            "482a3363e15106a66ea58cf61f444b43052037e46cf9d72c239ae1ca5cd4d41b",
            "a1ed74ac4efc16ae338ead1d8966bab1",
            "70fb14e7eb72dd68edc091ee71c2b52b",
        ],
    );
    assert_eq!(
        Identity::of(&plain, &digests).message_id().as_str(),
        "482a3363e15106a66ea58cf61f444b43@whatsapp-archiver.invalid"
    );
    let full = item(
        r#"{"messageId":"3EB0A2","sender":{"value":"15550101"},"recipients":[{"value":"15550100"}],"groupId":"120363020304@g.us",
            "messageType":"EVENT","text":"t","quoted":{"messageId":"q1","sender":{"value":"15550102"},"text":"q"},
            "originalMessageData":{"messageId":"o1","sender":{"value":"15550103"},"text":"new","previousText":"old",
              "messageTime":1763712000000,"readStatus":"READ"},
            "callInfo":{"startTime":1,"endTime":2,"callStatus":"1","callDurationInMillis":3,"callType":"VOICE"},
            "event":{"type":"Reaction","actor":{"value":"15550101"},"members":[{"value":"2"},{"value":"1"}],"emoji":"👍",
              "targetMessageId":"3EB0A1","targetSender":{"value":"15550101"},"oldValue":"a","newValue":"b"},
            "location":{"latitude":47.3769,"longitude":8.5417,"name":"HB","address":"Zürich"}}"#,
    );
    assert_vector(
        &full,
        &[],
        [
            "0a8daa69739deb956f22c1938aae9d285bb42bcd13f3768a3e62950b5aeb40d3",
            "3e98d3652a42744577dd7534337aa29f",
            "6119b0da9b9c1cf38a84fba1211a18a7",
        ],
    );
    assert_eq!(Thread::of(&full).original, Some(Thread::of(&plain).own), "a reaction hangs under its message");
    let private = item(
        r#"{"messageId":"DELETE_FOR_ME-3EB0A1","sender":{"value":"15550100"},"recipients":[{"value":"15550101"}],
            "messageType":"APP_MESSAGE","owner":{"value":"15550100"},
            "originalMessageData":{"sender":{"value":"15550101"},"readStatus":"READ"}}"#,
    );
    assert_vector(
        &private,
        &[],
        [
            "9c4a1c5bba4e7a76a5300f121602f07a3f736eef6ca9889b5ca130f807fe5798",
            "59a33524c7e1c019f2d6b7c21195553b",
            "70b110501b0dbe2d4bf1d684c229af81",
        ],
    );
}

fn assert_vector(item: &Item, digests: &[Option<Digest>], [identity, reference, root]: [&str; 3]) {
    assert_eq!(Identity::of_version_1(item, digests).to_string(), identity);
    assert_eq!(Identity::of(item, digests).to_string(), identity, "the same, because it comes in the usual form");
    let thread = Thread::of(item);
    assert_eq!(thread.own.as_str(), format!("{reference}@whatsapp-archiver.invalid"));
    assert_eq!(thread.root.as_str(), format!("{root}@whatsapp-archiver.invalid"));
}

#[test]
fn who_captured_it_makes_no_difference() {
    let captured = |owner: &str, direction: &str, thread: &str| {
        identity(&format!(
            r#"{{"messageId":"m","sender":{{"value":"1"}},"recipients":[{{"value":"2"}}],"text":"t",
                "owner":{{"value":"{owner}"}},"direction":"{direction}","threadID":"{thread}"}}"#
        ))
    };
    assert_eq!(captured("1", "OUT", "a"), captured("2", "IN", "b"));
}

#[test]
fn a_private_act_is_its_owners_and_a_deletion_for_all_is_everybodys() {
    let deleted = |prefix: &str, owner: &str, read: &str| {
        identity(&format!(
            r#"{{"messageId":"{prefix}m","sender":{{"value":"1"}},"recipients":[{{"value":"2"}}],
                "owner":{{"value":"{owner}"}},"originalMessageData":{{"readStatus":"{read}"}}}}"#
        ))
    };
    for private in ["DELETE_FOR_ME-", "DELETE_ALL_MESSAGES-"] {
        assert_ne!(deleted(private, "1", "READ"), deleted(private, "2", "READ"), "{private}");
        assert_ne!(deleted(private, "1", "READ"), deleted(private, "1", "UNREAD"), "{private}");
    }
    assert_eq!(deleted("DELETE_FOR_ALL-", "1", "READ"), deleted("DELETE_FOR_ALL-", "2", "UNREAD"));
}

#[test]
fn any_other_content_is_another_message() {
    let bodies = [
        r#"{"messageId":"m"}"#,
        r#"{"messageId":"m","text":"t"}"#,
        r#"{"messageId":"mt"}"#,
        r#"{"messageId":"m","messageType":"t"}"#,
        r#"{"messageId":"m","groupId":"t"}"#,
        r#"{"messageId":"m","sender":{"value":"t"}}"#,
        r#"{"messageId":"m","recipients":[{"value":"t"}]}"#,
        r#"{"messageId":"m","quoted":{"text":"t"}}"#,
        r#"{"messageId":"m","originalMessageData":{"text":"t"}}"#,
        r#"{"messageId":"m","originalMessageData":{"previousText":"t"}}"#,
        r#"{"messageId":"m","callInfo":{"callStatus":"t"}}"#,
        r#"{"messageId":"m","callInfo":{"callType":"t"}}"#,
        r#"{"messageId":"m","event":{"emoji":"t"}}"#,
        r#"{"messageId":"m","event":{"members":[{"value":"t"}]}}"#,
        r#"{"messageId":"m","event":{"oldValue":"t"}}"#,
        r#"{"messageId":"m","event":{"newValue":"t"}}"#,
        r#"{"messageId":"m","location":{"name":"t"}}"#,
    ];
    let mut identities: Vec<String> = bodies.iter().map(|body| identity(body)).collect();
    let plain = item(r#"{"messageId":"m"}"#);
    identities.push(Identity::of(&plain, &[None]).to_string());
    identities.push(Identity::of(&plain, &[Some(Digest::of(b""))]).to_string());
    let distinct: std::collections::BTreeSet<&String> = identities.iter().collect();
    assert_eq!(distinct.len(), identities.len());
}

/// What version 1 made of items that come in other forms, and of one that its readers read otherwise. By that second
/// implementation too: they never change either.
#[test]
fn frozen_vectors_of_other_forms() {
    let version_1 =
        |body: &str, attachments: &[Option<Digest>]| Identity::of_version_1(&item(body), attachments).to_string();
    assert_eq!(
        version_1(
            r#"{"messageId":"3EB0A3","sender":{"value":"+1 555-0101"},"recipients":[{"value":"0015550100"}],"messageType":"APP_MESSAGE",
                "text":"one\r\ntwo","groupData":{"id":"120363020304@g.us","name":"Desk"}}"#,
            &[]
        ),
        "9faaacdebf4d2e91d2d61cf110971c584203914ba61925eace9a5242dabdd7d6"
    );
    assert_eq!(
        version_1(
            r#"{"messageId":"3EB0A4","sender":{"value":"15550101"},"recipients":[{"value":"15550100"}],"messageType":"event",
                "text":{"body":"t"},"event":{"type":"clearchat","oldValue":0.10,"members":[{"value":7},null]},"owner":{"value":"15550100"},
                "callInfo":{"startTime":"2025-11-21T08:00:00Z","endTime":1763712000000.0,"callDurationInMillis":"3.0"},
                "originalMessageData":{"readStatus":"read","messageTime":"1763712000000"},"attachment":[{}]}"#,
            &[]
        ),
        "39bae48b17c5b3c8a96dd6e71d0acc28c7bf41f94a4c48490c3954a027ca04fc"
    );
}

#[test]
fn the_form_of_an_item_makes_no_difference() {
    let usual = r#"{"messageId":"m","sender":{"value":"15550101"},"recipients":[{"value":"15550100"},{"value":"98765432101234@lid"}],
        "text":"one\ntwo","quoted":{"messageId":"q","sender":{"value":"15550102"},"text":"a\nb"},
        "event":{"members":[{"value":"15550103"},{"value":"15550104"}]}}"#;
    let forms: [&[(&str, &str)]; 6] = [
        &[("15550101", "+1 555 0101"), ("15550103", "+15550103")],
        &[("15550101", "15550101:7@s.whatsapp.net"), ("15550100", "0015550100"), ("15550102", "١٥٥٥٠١٠٢")],
        &[("15550100", "\\u20661 (555) 01-00\\u2069"), ("15550104", "15550104@c.us")],
        &[("98765432101234@lid", "98765432101234:3@LID")],
        &[("one\\ntwo", "one\\r\\ntwo"), ("a\\nb", "a\\u2028b")],
        &[("one\\ntwo", "one\\rtwo")],
    ];
    let expected = identity(usual);
    assert_eq!(expected, Identity::of_version_1(&item(usual), &[]).to_string());
    for form in forms {
        let other = form.iter().fold(usual.to_owned(), |body, (from, to)| {
            assert!(body.contains(from), "{from}");
            body.replace(from, to)
        });
        assert_eq!(identity(&other), expected, "{other}");
        assert_ne!(Identity::of_version_1(&item(&other), &[]).to_string(), expected, "{other}");
    }
    for (from, to) in [("15550101", "5550101"), ("15550101", "15550101@lid"), ("one\\ntwo", "one\\n\\ntwo")] {
        assert_ne!(identity(&usual.replace(from, to)), expected, "{to}");
    }
}

#[test]
fn what_one_capture_knows_and_another_does_not_makes_no_difference() {
    let lid = r#"{"messageId":"m","sender":{"value":"98765432101234@lid","type":"LID"},"recipients":[{"value":"15550100"}],"text":"t""#;
    let known = r#","participantEnrichments":{"98765432101234@lid":{"firstName":"Zoe","phoneNumber":"15550190"}}}"#;
    assert_eq!(identity(&format!("{lid}}}")), identity(&format!("{lid}{known}")));
    let typed = |kind: &str| format!(r#"{{"messageId":"m","sender":{{"value":"15550190"{kind}}},"text":"t"}}"#);
    for kind in [r#","type":"PHONE""#, r#","type":"ALPHANUMERIC""#, r#","type":"ACCOUNT""#] {
        assert_eq!(identity(&typed(kind)), identity(&typed("")), "{kind}");
    }
    let broadcast = |to: &str, list: &str| {
        format!(
            r#"{{"messageId":"m","chatMode":"BROADCAST","sender":{{"value":"15550190"}},"recipients":[{{"value":"{to}"}}],"text":"t"{list}}}"#
        )
    };
    let list = r#","groupData":{"id":"1@broadcast","type":"BROADCAST"}"#;
    assert_eq!(identity(&broadcast("1", list)), identity(&broadcast("1", "")));
    assert_ne!(identity(&broadcast("1", list)), identity(&broadcast("2", list)), "one item a recipient");
}

#[test]
fn version_1_that_left_something_out_proves_nothing() {
    let edit = |text: &str| item(&format!(r#"{{"messageId":"EDIT-m","sender":{{"value":"1"}},"text":{text}}}"#));
    let of = |text: &str, recorded| Identities::of(&edit(text), &[], recorded);
    let (one, two) = (of(r#"{"body":"one"}"#, None), of(r#"{"body":"two"}"#, None));
    assert!(one.key != two.key && one.version_1.is_none() && two.version_1.is_none());
    let earlier = Identity::of_version_1(&edit(r#"{"body":"one"}"#), &[]);
    assert_eq!(of(r#"{"body":"one"}"#, Some(earlier)).sent_as, earlier, "its own copies keep their Message-ID");
}

#[test]
fn a_group_is_named_by_its_data_where_it_has_no_other_id() {
    let thread = |fields: &str| {
        let body = format!(r#"{{"messageId":"m","sender":{{"value":"2"}},"recipients":[{{"value":"1"}}],{fields}}}"#);
        Thread::of(&item(&body)).root
    };
    assert_eq!(thread(r#""groupId":"a""#), thread(r#""groupData":{"id":"a"}"#));
    assert_eq!(thread(r#""groupId":"a","groupData":{"id":"b"}"#), thread(r#""groupId":"a","groupData":{"id":"c"}"#));
    assert_ne!(thread(r#""groupData":{"id":"a"}"#), thread(r#""groupData":{"id":"b"}"#));
    let answer = item(r#"{"messageId":"n","sender":{"value":"1"},"recipients":[{"value":"2"}]}"#);
    assert_eq!(thread(r#""text":"t""#), Thread::of(&answer).root, "both directions of a chat are one thread");
}

#[test]
fn copies_keep_the_identity_that_is_recorded() {
    let of = |body: &str, recorded| Identities::of(&item(body), &[], recorded);
    let usual = of(r#"{"messageId":"m","sender":{"value":"15550101"},"text":"t"}"#, None);
    assert_eq!((usual.sent_as, usual.version_1, usual.other()), (usual.key, None, None));
    let other = r#"{"messageId":"m","sender":{"value":"+15550101"},"text":"t"}"#;
    let new = of(other, None);
    let version_1 = new.version_1.unwrap();
    assert_eq!((new.key, new.sent_as, new.other()), (usual.key, usual.key, Some(version_1)));
    let old = of(other, Some(version_1));
    assert_eq!((old.key, old.sent_as, old.other()), (usual.key, version_1, Some(usual.key)));
    assert_eq!(of(other, Some(usual.key)).sent_as, usual.key);
    assert_eq!(of(other, Some(Identity(Digest::of(b"another")))).sent_as, usual.key, "its attachments came meanwhile");
}

#[test]
fn edits_deletions_and_answers_name_their_original() {
    let own = Thread::of(&item(r#"{"messageId":"3EB0-x","sender":{"value":"1"}}"#)).own;
    for body in [
        r#"{"messageId":"EDIT-3EB0-x-3","sender":{"value":"1"}}"#,
        r#"{"messageId":"EDIT-3EB0-x-3","sender":{"value":"1"},"originalMessageData":{"sender":{"value":""}}}"#,
        r#"{"messageId":"EDIT-?-1","sender":{"value":"1"},"originalMessageData":{"messageId":"3EB0-x"}}"#,
        r#"{"messageId":"DELETE_FOR_ALL-3EB0-x","sender":{"value":"1"}}"#,
        r#"{"messageId":"DELETE_FOR_ME-3EB0-x","sender":{"value":"2"},"originalMessageData":{"sender":{"value":"1"}}}"#,
        r#"{"messageId":"z","sender":{"value":"2"},"quoted":{"messageId":"3EB0-x","sender":{"value":"1"}}}"#,
        r#"{"messageId":"z","messageType":"EVENT","event":{"type":"Reaction","targetMessageId":"3EB0-x","targetSender":{"value":"1"}}}"#,
    ] {
        assert_eq!(Thread::of(&item(body)).original.as_ref(), Some(&own), "{body}");
    }
    assert_eq!(Thread::of(&item(r#"{"messageId":"DELETE_ALL_MESSAGES-1"}"#)).original, None);
}

#[test]
fn only_ids_of_ours_are_read() {
    let id = Identity(Digest::of(b"x")).message_id();
    assert_eq!(MessageId::parse(&id.to_string()), Some(id.clone()));
    assert_eq!(MessageId::parse(id.as_str()), Some(id));
    for other in ["", "<a@b>", "<0123@whatsapp-archiver.invalid>", "x".repeat(32).as_str()] {
        assert_eq!(MessageId::parse(other), None, "{other}");
    }
}
