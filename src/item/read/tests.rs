//! What is read of items, and what of them is shown as it came.

use chrono::TimeZone as _;

use super::*;
use crate::item::{DeletionScope, MAX_AHEAD};

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap()
}

fn read(json: &str) -> Result<Item, Malformed> {
    Item::read(json.as_bytes(), now())
}

#[test]
fn empty_content_is_the_bytes_of_an_empty_file_alone() {
    let inline = |fields: &str| {
        let item = read(&format!(
            r#"{{"id":7,"body":{{"messageTime":1763700000123,"attachment":[{{"name":"a",{fields}}}]}}}}"#
        ));
        item.unwrap().attachments[0].inline
    };
    assert!(inline(r#""content":"aGk=""#));
    assert!(inline(r#""content":"","attachmentSize":0"#));
    for fields in [
        r#""content":"""#,
        r#""content":" \n","attachmentSize":48211"#,
        r#""content":"","attachmentSize":"48211""#,
        r#""content":null,"attachmentSize":0"#,
        r#""attachmentSize":0"#,
    ] {
        assert!(!inline(fields), "{fields}");
    }
}

#[test]
fn coordinates_are_kept_digit_by_digit() {
    let location = |latitude: &str, text: &str| {
        let body = format!(r#"{{"messageTime":1763700000123,"text":{text},"location":{{"latitude":{latitude}}}}}"#);
        read(&format!(r#"{{"id":7,"body":{body}}}"#)).unwrap().location.and_then(|location| location.latitude)
    };
    // The second text has to be repaired before it can be read.
    for text in [r#""hi""#, r#""\ud800""#] {
        for number in ["52.520006599999997", "-0.10", "13", "1e1", "48.12345678901234567890"] {
            assert_eq!(location(number, text).as_deref(), Some(number), "{text}");
        }
        assert_eq!(location(r#""52.5200""#, text).as_deref(), Some("52.5200"));
        assert_eq!(location("null", text), None);
        assert_eq!(location("[1.50]", text).as_deref(), Some("1.50"));
        assert_eq!(location("[1,2]", text), None);
    }
}

#[test]
fn a_peek_sees_what_the_reader_sees() {
    let received = |raw: &str| peek_received(raw.as_bytes(), now()).map(|at| at.timestamp_millis());
    assert_eq!(received(r#"{"gatewayReceivedDate":"1763700000123"}"#), Some(1_763_700_000_123));
    for impossible in ["9223372036854775807", "8210266876799999", "-1", "0", "null", "{}"] {
        assert_eq!(received(&format!(r#"{{"gatewayReceivedDate":{impossible}}}"#)), None, "{impossible}");
    }
    assert_eq!(peek_id(br#"{"id":"7"}"#), Some(ItemId(7)));
    assert_eq!(peek_id(br#"{"id":7.0}"#), Some(ItemId(7)));
    assert_eq!(peek_id(br#"{"id":null}"#), None);
    assert_eq!(peek_product(br#"{"sourceType":"WHATSAPP_ARCHIVER"}"#), Some(Product::PhoneArchiver));
    assert_eq!(peek_product(b"{}"), None);
}

#[test]
fn participants_and_attachments_are_bounded() {
    let with = |field: &str, entry: &str, count: usize| {
        let (open, close) =
            if entry.contains("\":") && field == "participantEnrichments" { ('{', '}') } else { ('[', ']') };
        let entries: Vec<String> = (0..count).map(|number| entry.replace('#', &number.to_string())).collect();
        let list = entries.join(",");
        read(&format!(r#"{{"id":7,"body":{{"messageTime":1763700000123,"{field}":{open}{list}{close}}}}}"#))
    };
    for (field, entry) in [
        ("recipients", r#"{"value":"1555#"}"#),
        ("attachment", r#"{"name":"f#"}"#),
        ("attachment", "null"),
        ("sent", r##"{"value":"#@lid","phone":"1555010#"}"##),
        ("participantEnrichments", r#""1555#":{"email":"a@contoso.example"}"#),
    ] {
        assert!(with(field, entry, 10_000).is_ok(), "{field}");
        let error = with(field, entry, 10_001).unwrap_err().to_string();
        assert!(error.contains("at most 10000 participants or attachments"), "{field}: {error}");
    }
    assert!(read(r#"{"id":7,"body":{"messageTime":1763700000123,"recipients":null,"attachment":null}}"#).is_ok());
}

fn with_times(message_time: &str, received: &str) -> Result<Item, Malformed> {
    read(&format!(r#"{{"id":7,"gatewayReceivedDate":{received},"body":{{"messageTime":{message_time}}}}}"#))
}

#[test]
fn an_impossible_time_is_replaced_by_the_receiving_time() {
    let received = 1_763_700_000_123;
    for impossible in ["null", "0", "-5", "1230767999999", "9e18", "1795564800000", r#""soon""#] {
        let item = with_times(impossible, &received.to_string()).unwrap();
        assert_eq!(item.time.at.timestamp_millis(), received, "{impossible}");
        assert!(item.time.substituted.is_some(), "{impossible}");
    }
    // Staged weeks after it was received, it is still not later than that.
    let ahead = received + MAX_AHEAD.num_milliseconds();
    let times = [ahead, ahead + 1].map(|time| with_times(&time.to_string(), &received.to_string()).unwrap().time);
    assert_eq!(times.map(|time| time.at.timestamp_millis()), [ahead, received]);
    let item = with_times("1230768000000", "null").unwrap();
    assert_eq!((item.time.at.timestamp_millis(), item.time.substituted), (1_230_768_000_000, None));
    for (message_time, received, told) in [
        (
            "0",
            "-1",
            "messageTime is 0 (epoch milliseconds), which is impossible, gatewayReceivedDate is -1 (epoch milliseconds), which is impossible",
        ),
        ("null", r#""Secret""#, "messageTime is missing, gatewayReceivedDate can't be read"),
    ] {
        let error = with_times(message_time, received).unwrap_err().to_string();
        assert_eq!(error, format!("the item has no possible time: {told}"));
    }
}

#[test]
fn a_time_that_cannot_be_read_is_not_called_missing() {
    let substituted = |time: &str| with_times(time, "1763700000123").unwrap().time.substituted;
    assert_eq!(substituted("{}"), Some(ImpossibleTime::Missing));
    assert_eq!(substituted("12"), Some(ImpossibleTime::Impossible(12)));
    assert_eq!(
        substituted(r#"{"$long": "1763700000000"}"#),
        Some(ImpossibleTime::Unreadable(r#"{"$long": "1763700000000"}"#.into()))
    );
    assert_eq!(substituted(r#""2025-11-21 04:40""#), Some(ImpossibleTime::Unreadable("2025-11-21 04:40".into())));
    assert_eq!(substituted(r#""2025-11-21T04:40:00Z""#), None);
}

#[test]
fn hostile_text_is_read_and_the_last_key_counts() {
    let item = read(
        r#"{"id":7,"id":8,"gatewayReceivedDate":1763700000123,"body":{"text":"a\ud800b\u0000","text":"c\udfff"}}"#,
    )
    .unwrap();
    assert_eq!((item.id, item.text.as_str()), (ItemId(8), "c\u{fffd}"));
    let item = Item::read(b"{\"id\":7,\"gatewayReceivedDate\":1763700000123,\"body\":{\"text\":\"a\xffb\"}}", now());
    assert_eq!(item.unwrap().text, "a\u{fffd}b");
}

#[test]
fn an_empty_message_id_is_replaced_by_the_id() {
    assert_eq!(with_times("1763700000000", "null").unwrap().message_id, "7");
}

#[test]
fn enrichment_keys_are_compared_as_values() {
    let item = read(
        r#"{"id":1,"gatewayReceivedDate":1763700000123,"body":{"owner":{"value":"+15550100","type":"PHONE"},
            "participantEnrichments":{"{ \"type\" : \"PHONE\", \"value\":\"15550100\"}":{"email":"ana@contoso.example"}}}}"#,
    )
    .unwrap();
    let owner = item.owner.as_ref().unwrap();
    assert_eq!(item.person(owner).unwrap().email.as_deref(), Some("ana@contoso.example"));
}

#[test]
fn what_is_not_a_raw_message_is_malformed() {
    for json in ["", "[]", "null", r#"{"id":1}"#, r#"{"body":{}}"#, r#"{"id":"x","body":{}}"#] {
        assert!(matches!(read(json), Err(Malformed::NotARawMessage(_))), "{json}");
    }
    assert_eq!(peek_id(br#"{"id":5,"body":[]}"#), Some(ItemId(5)));
}

#[test]
fn why_an_item_is_malformed_is_reported_without_a_word_of_it() {
    for json in [
        r#"{"id":1,"body":"Secret text"}"#,
        r#"{"id":"Secret text","body":{}}"#,
        r#"{"id":1,"body":{"messageTime":1763700000123,"sender":[["Secret text"]]}}"#,
        r#"{"id":1,"body":{"messageTime":"Secret text"}}"#,
        r#"{"id":1,"body":"Secret text"#,
    ] {
        let error = read(json).unwrap_err();
        assert!(!error.to_string().contains("Secret"), "{error}");
    }
    assert_eq!(
        read(r#"{"id":1,"body":"Secret text"}"#).unwrap_err().to_string(),
        "the item is not a RawMessage: expected the item's `body`, which is an object"
    );
}

fn body(fields: &str) -> Item {
    read(&format!(r#"{{"id":1,"gatewayReceivedDate":1763700000123,"body":{{"messageTime":1763700000123,{fields}}}}}"#))
        .unwrap_or_else(|error| panic!("{fields}: {error}"))
}

fn others(item: &Item) -> Vec<(&str, String)> {
    item.other.iter().map(|other| (other.path.as_str(), other.shown())).collect()
}

#[test]
fn whatever_the_archive_does_not_know_is_kept_as_it_came() {
    let item = body(
        r#""messageType":"APP_MESSAGE","zeta":0.10,"poll":{"q":"\u00fc?","n":[1e400]},"empty":{},"none":null,"no":false,
           "sender":{"value":"15550101","type":"PHONE","pushName":"Bo"},"callInfo":{"members":["Ana"]},
           "attachment":[{"name":"a","caption":"See"}],"text":"a","text":"b""#,
    );
    let expected = [
        ("sender.pushName", "Bo"),
        ("callInfo.members", r#"["Ana"]"#),
        ("attachment[0].caption", "See"),
        ("zeta", "0.10"),
        ("poll", r#"{"q": "ü?", "n": [1e400]}"#),
        ("no", "false"),
        ("text", "a"),
    ];
    assert_eq!(others(&item), expected.map(|(path, value)| (path, value.to_owned())));
    assert_eq!((item.text.as_str(), item.whole), ("b", None));
}

#[test]
fn one_unreadable_field_never_makes_an_item_malformed() {
    for fields in [
        r#""viewOnce":"perhaps""#,
        r#""forwarded":[1,2]"#,
        r#""participantEnrichments":["Ana"]"#,
        r#""participantEnrichments":{"15550100":"Ana"}"#,
        r#""groupData":7"#,
        r#""callInfo":"none""#,
        r#""location":[1,2]"#,
        r#""event":{"members":[[1]]}"#,
        r#""quoted":{"sender":[[]],"text":{"a":1}}"#,
        r#""attachment":[[1]]"#,
        r#""subject":{"a":1}"#,
        r#""owner":"15550100","sender":[[1]]"#,
        r#""callInfo":{"startTime":"noon"}"#,
    ] {
        let item = body(&format!(r#""messageType":"APP_MESSAGE",{fields}"#));
        assert_eq!(item.other.len(), 1, "{fields}: {:?}", item.other);
    }
}

#[test]
fn participants_come_bare_single_or_listed() {
    let item = body(
        r#""owner":15550100,"sender":[{"value":"+1 555 0101"}],"recipients":"{\"value\":\"Contoso\",\"type\":\"alphanumeric\"}",
           "event":{"members":{"value":15550102,"type":"phone"},"actor":{"value":"15550103","type":"USERNAME"}}"#,
    );
    assert_eq!(item.owner, Some(Participant::phone("15550100")));
    assert_eq!(item.sender, Some(Participant::phone("+1 555 0101")));
    assert_eq!(item.recipients[0].key(), "Contoso");
    let event = item.event.as_ref().unwrap();
    assert_eq!(event.members, [Participant::phone("15550102")]);
    assert_eq!(event.actor.as_ref().unwrap().phone_number(), None);
    assert_eq!(others(&item), [("event.actor.type", "USERNAME".to_owned())]);
}

#[test]
fn a_body_may_come_as_text() {
    let body = r#"{"messageTime":1763700000123,"messageType":"ODD","text":"a\"b\ud83d","attachment":[{"name":"f","content":"aGk="}]}"#;
    let packed = format!(r#"{{"id":7,"body":{},"extra":1}}"#, serde_json::Value::from(body));
    let item = read(&packed).unwrap();
    assert_eq!((item.text.as_str(), item.attachments.len()), ("a\"b\u{fffd}", 1));
    assert_eq!(
        inline_contents(packed.as_bytes(), |index, base64| (index, base64.to_owned())).unwrap(),
        [Some((0, "aGk=".to_owned()))]
    );
    assert!(!String::from_utf8_lossy(item.whole.as_ref().unwrap()).contains("aGk="));
    assert!(matches!(read(r#"{"id":7,"body":"{"}"#), Err(Malformed::NotARawMessage(_))));
}

#[test]
fn content_that_is_not_encrypted_says_so_in_many_forms() {
    let encrypted = |value: &str| {
        let json = format!(r#"{{"id":7,"securityContent":{value},"body":{{"messageTime":1763700000123}}}}"#);
        read(&json).unwrap().encrypted
    };
    for none in ["null", "false", "0", r#""false""#, r#""0""#, r#""""#, "{}", "[]", "[false]"] {
        assert!(!encrypted(none), "{none}");
    }
    for some in ["true", "1", r#""AES""#, r#"{"alg":"AES"}"#] {
        assert!(encrypted(some), "{some}");
    }
}

#[test]
fn an_impossible_time_stands_as_it_came() {
    let item =
        body(r#""callInfo":{"startTime":"9999-12-31T23:59:59Z","endTime":0},"messageTime":"1970-01-01T00:00:01Z""#);
    assert_eq!(
        others(&item),
        [
            ("callInfo.startTime", "9999-12-31T23:59:59Z".to_owned()),
            ("messageTime", "1763700000123".to_owned()),
            ("messageTime", "1970-01-01T00:00:01Z".to_owned())
        ]
    );
    assert_eq!(item.time.substituted, Some(ImpossibleTime::Impossible(1000)));
}

#[test]
fn what_is_empty_is_absent() {
    let item = body(
        r#""groupData":[],"callInfo":{},"originalMessageData":[{}],"quoted":{"messageId":"","sender":{}},"attachment":[{},null],
           "location":{"latitude":null,"name":" "},"event":"","participantEnrichments":[],"recipients":[null,{}]"#,
    );
    assert_eq!((item.chat, item.call, item.original, item.quoted), (Chat::Direct, None, None, None));
    assert_eq!((item.location, item.event), (None, None));
    assert!(item.attachments.is_empty() && item.other.is_empty() && item.recipients.is_empty());
}

#[test]
fn names_of_a_list_come_in_another_case() {
    let item = body(r#""messageType":"Voice_Call","direction":"out","groupData":{"id":"1","type":"Broadcast"}"#);
    assert_eq!((item.kind, item.direction), (Kind::Call, Some(Direction::Out)));
    assert!(matches!(item.chat, Chat::Broadcast(_)));
    assert_eq!(body(r#""messageType":"event","event":{"type":"reaction"}"#).kind, Kind::Reaction);
}

#[test]
fn text_comes_in_other_forms() {
    for (text, read) in [
        (r#"{"body":"Pay now","preview":true}"#, "Pay now"),
        (r#"["one","two"]"#, "one\ntwo"),
        ("0.10", "0.10"),
        (r#"" x""#, " x"),
    ] {
        assert_eq!(body(&format!(r#""text":{text}"#)).text, read, "{text}");
    }
    let item = body(r#""text":{"parts":[{"t":"Pay"}]}"#);
    assert_eq!((item.text.as_str(), others(&item)), ("", vec![("text", r#"{"parts": [{"t": "Pay"}]}"#.to_owned())]));
}

#[test]
fn an_item_is_kept_whole_where_its_other_fields_have_no_room_value_by_value() {
    let with = |fields: usize| {
        let values: Vec<String> = (0..100).map(|value| value.to_string()).collect();
        let field = |number| format!(r#","{}{number}":[{}]"#, "n".repeat(40), values.join(","));
        let fields: String = (0..fields).map(field).collect();
        read(&format!(
            r#"{{"id":7,"body":{{"messageTime":1763700000123,"messageType":"APP_MESSAGE","text":"a"{fields}}}}}"#
        ))
        .unwrap()
    };
    assert!(with(1).whole.is_none());
    assert!(with(4).whole.is_some(), "each of 400 values is shown with its path of 45 bytes");
}

#[test]
fn an_item_of_an_unknown_type_is_kept_whole_digit_by_digit() {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let item = body(&format!(
        r#""messageType":"ORDER","z":{{"id":12345678901234567890123,"price":0.1000}},"a":1e400,"deep":{deep},
           "attachment":[{{"content":"U2VjcmV0","name":"a"}},{{"content":null}}]"#
    ));
    let whole = String::from_utf8(item.whole.unwrap().to_vec()).unwrap();
    assert!(
        whole.contains("12345678901234567890123") && whole.contains("0.1000") && whole.contains("1e400"),
        "{whole}"
    );
    assert!(whole.find("\"z\"") < whole.find("\"a\"") && whole.contains(&"[".repeat(400)));
    assert!(whole.contains("(left out here; it is an attachment)") && !whole.contains("U2VjcmV0"));
}

#[test]
fn any_sign_of_a_group_makes_one() {
    let body = |fields: &str| {
        let json =
            format!(r#"{{"id":1,"gatewayReceivedDate":1763700000123,"body":{{"groupMessage":false,{fields}}}}}"#);
        read(&json).unwrap().chat
    };
    assert!(matches!(body(r#""groupName":"Desk""#), Chat::Group(_)));
    assert!(matches!(body(r#""groupId":"1@g.us""#), Chat::Group(_)));
    assert!(matches!(body(r#""groupData":{"id":"1","type":"BROADCAST"}"#), Chat::Broadcast(_)));
    assert_eq!(body(r#""groupName":"","groupId":null"#), Chat::Direct);
}

#[test]
fn kinds_follow_the_message_id_first() {
    let kind = |fields: &str| {
        read(&format!(r#"{{"id":1,"gatewayReceivedDate":1763700000123,"body":{{{fields}}}}}"#)).unwrap().kind
    };
    assert_eq!(kind(r#""messageId":"EDIT-3EB0-x-2","messageType":"APP_MESSAGE""#), Kind::Edit(Some(2)));
    assert_eq!(kind(r#""messageId":"DELETE_FOR_ALL-3EB0""#), Kind::Deletion(DeletionScope::ForAll));
    assert_eq!(kind(r#""messageType":"EVENT","event":{"type":"Reaction"}"#), Kind::Reaction);
    assert_eq!(kind(r#""messageType":"EVENT","event":{"type":"Poll"}"#), Kind::Unknown("EVENT Poll".into()));
    assert_eq!(kind(r#""messageType":"POLL""#), Kind::Unknown("POLL".into()));
    assert_eq!(kind(r#""messageType":"APP_MESSAGE","subject":"STATUS - x""#), Kind::StatusPost);
}
