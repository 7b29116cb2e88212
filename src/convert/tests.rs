//! What a message says of items that the golden ones don't show.

use bytes::Bytes;
use chrono::DateTime;
use serde_json::{Value, json};

use super::*;
use crate::digest::Digest;

fn item_of(mut body: Value) -> Item {
    body["messageTime"] = 1_763_700_000_000_i64.into();
    let raw = json!({"id": 1, "gatewayReceivedDate": 1_763_700_000_123_i64, "body": body}).to_string();
    Item::read(raw.as_bytes(), DateTime::from_timestamp(1_763_700_000, 0).unwrap()).unwrap()
}

fn message_of(body: Value, files: &[&'static [u8]]) -> (Item, Message) {
    let item = item_of(body);
    let present = |bytes: &&'static [u8]| StagedAttachment::Present {
        bytes: Bytes::from_static(bytes),
        digest: Digest::of(bytes),
    };
    let staged: Vec<StagedAttachment> = files.iter().map(present).collect();
    let message = convert(&item, &staged, &Resolution::default(), "whatsapp.invalid");
    (item, message)
}

#[test]
fn an_item_of_an_unknown_type_is_shown_as_it_came() {
    let poll = json!({"messageType": "POLL", "poll": {"question": "Lunch?", "options": ["Soup", "Salad"]},
        "attachment": [{"name": "a.txt", "content": "U2VjcmV0"}]});
    let (_, message) = message_of(poll, &[b"Secret"]);
    for shown in ["Lunch?", "Soup", "Salad"] {
        assert!(message.mail.text.contains(shown) && message.mail.html.contains(shown), "{}", message.mail.text);
    }
    assert!(!message.mail.text.contains("U2VjcmV0"));
    assert_eq!(message.mail.attachments.len(), 1);
}

#[test]
fn a_long_item_of_an_unknown_type_is_attached() {
    let long = format!("{}the end", "é".repeat(20_000));
    let poll = json!({"messageType": "POLL", "poll": {"question": "Lunch?", "long": long},
        "attachment": [{"name": "item.json", "content": "U2VjcmV0"}]});
    let (item, message) = message_of(poll, &[b"{}"]);
    assert!(message.mail.text.len() < 40_000 && message.mail.text.contains("all of it is attached"));
    let [_, whole] = message.mail.attachments.as_slice() else { panic!("{:?}", message.mail.attachments) };
    assert_eq!((whole.name.as_str(), whole.content_type.as_str()), ("item (2).json", "application/json"));
    let read: Value = serde_json::from_slice(&whole.bytes).unwrap();
    assert!(read["body"]["poll"]["long"].as_str().unwrap().ends_with("the end"));
    assert_eq!(whole.digest, Digest::of(&whole.bytes));
    assert!(message.missing().is_empty());
    assert!(remarks(&item, &message).iter().any(|(label, _)| label == "File item (2).json"));
}

#[test]
fn a_known_item_shows_its_thread_name_and_status_and_no_json() {
    let body = json!({"messageType": "APP_MESSAGE", "threadName": "Desk", "messageStatus": "DELIVERED", "text": "x"});
    let (item, message) = message_of(body, &[]);
    assert!(
        message.mail.text.contains("Thread name: Desk\n") && message.mail.text.contains("Message status: DELIVERED\n")
    );
    assert_eq!(item.whole, None);
    let (_, message) = message_of(json!({"messageType": "APP_MESSAGE", "messageStatus": "NA"}), &[]);
    assert!(!message.mail.text.contains("Message status"));
}

#[test]
fn a_digest_that_cannot_be_read_is_reported() {
    let body = json!({"messageType": "APP_MESSAGE", "attachment": [{"name": "a.txt", "digest": "md5:d41d8cd9"}]});
    let (_, message) = message_of(body, &[b"a"]);
    assert!(message.mail.text.contains("can't be read") && message.mail.text.contains("md5:d41d8cd9"));
    let of = |digest: &str| item_of(json!({"attachment": [{"digest": digest}]})).attachments.remove(0).digest;
    assert_eq!(of("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="), Some(Digest::of(b"")));
}

#[test]
fn a_status_post_goes_to_nobody_by_name() {
    let body = json!({"messageType": "APP_MESSAGE", "groupId": "status@broadcast", "text": "x",
        "sender": {"value": "15550101"}, "recipients": [{"value": "status@broadcast"}]});
    let (_, message) = message_of(body, &[]);
    assert_eq!(message.mail.subject, "STATUS - WhatsApp message from +15550101");
    assert_eq!(message.mail.thread_topic, "WhatsApp chat status");
    assert!(message.mail.text.contains("Chat: status\n"));
}

#[test]
fn a_name_of_digits_is_another_s_address() {
    let body = json!({"messageType": "APP_MESSAGE", "sender": {"value": "15550100", "type": "ALPHANUMERIC"},
        "recipients": [{"value": "15550100", "type": "PHONE"}],
        "participantEnrichments": {"15550100": {"firstName": "Ana", "email": "ana@contoso.example"}}});
    let (_, message) = message_of(body, &[]);
    assert_ne!(message.mail.from.address, "ana@contoso.example");
    assert_eq!(message.mail.to.len(), 1);
    assert_eq!(message.mail.to[0].address, "ana@contoso.example");
    assert_ne!(message.mail.from.address, "15550100@whatsapp.invalid");
}

#[test]
fn remarks_say_what_only_the_body_says() {
    let card: &'static [u8] = b"BEGIN:VCARD\r\nFN:Nina Kovalenko\r\nTEL:+15550109\r\nEND:VCARD\r\n";
    let body = json!({"messageType": "MULTIMEDIA_MESSAGE", "forwarded": true, "viewOnce": true, "subject": "Own subject",
        "threadName": "Desk", "attachment": [{"name": "../a.vcf", "contentType": "image/png"}]});
    let (item, message) = message_of(body, &[card]);
    let remarks = remarks(&item, &message);
    let told =
        |label: &str, value: &str| remarks.iter().any(|(one, other)| one.contains(label) && other.contains(value));
    let digest = Digest::of(card).to_string();
    for (label, value) in [
        ("Subject", "Own subject"),
        ("Forwarded", "yes"),
        ("View once", "yes"),
        ("Thread name", "Desk"),
        ("File a.vcf", "declared as image/png"),
        ("File a.vcf", "Named by its sender: ../a.vcf"),
        ("File a.vcf", digest.as_str()),
        ("Contact card a.vcf", "Nina Kovalenko"),
        ("Contact card a.vcf", "+15550109"),
    ] {
        assert!(told(label, value), "{label} {value}: {remarks:?}");
    }
}

/// An item of a chat between two people, with these fields besides.
fn said(fields: &Value) -> Message {
    let mut body = json!({"messageType": "APP_MESSAGE", "messageId": "3EB01", "threadID": "tm-1",
        "sender": {"value": "15550101"}, "recipients": [{"value": "15550100"}], "owner": {"value": "15550100"},
        "participantEnrichments": {"15550101": {"firstName": "Ben"}, "15550100": {"firstName": "Ana"}}});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    message_of(body, &[]).1
}

/// Where each stands in the text, which must hold all of them in this order.
fn assert_order(text: &str, parts: &[&str]) {
    let mut from = 0;
    for part in parts {
        let Some(at) = text.get(from..).and_then(|rest| rest.find(part)) else {
            panic!("{part:?} is not after the others in {text}")
        };
        from += at + part.len();
    }
}

#[test]
fn the_message_comes_first() {
    let message = said(&json!({"text": "Are we on for ten?\nBen"}));
    assert!(
        message
            .mail
            .text
            .starts_with("Ben wrote: Are we on for ten?\n| Ben\n\nText message, from Ben (+15550101) to Ana")
    );
    let html = &message.mail.html;
    assert_order(
        html,
        &[
            "display:none",
            "Are we on",
            "Ben (+15550101)",
            " to ",
            "Ana (+15550100)",
            "2025-11-21",
            "class=b",
            "Are we on",
            "3EB01",
        ],
    );
    let deleted = said(&json!({"messageId": "DELETE_FOR_ALL-1", "originalMessageData": {"text": "Sell all"}}));
    assert!(deleted.mail.text.starts_with("Ben deleted: Sell all\n"), "{}", deleted.mail.text);
    let reaction = said(&json!({"messageType": "EVENT", "event": {"type": "Reaction", "emoji": "👍"}}));
    assert!(reaction.mail.text.starts_with("Ben reacted: 👍\n"), "{}", reaction.mail.text);
    assert_order(&reaction.mail.html, &["font-size:40px", "👍"]);
}

#[test]
fn an_edit_shows_the_old_text_struck_and_the_new_one_marked() {
    let message = said(&json!({"messageId": "EDIT-1", "text": "",
        "originalMessageData": {"text": "ten o'clock", "previousText": "nine o'clock"}}));
    assert!(message.mail.text.starts_with("Ben edited: ten o'clock\n"), "{}", message.mail.text);
    assert!(message.mail.text.contains("Previous text:\n| nine o'clock\n"));
    assert_order(&message.mail.html, &["<s>nine o'clock</s>", "<mark>ten o'clock</mark>"]);
}

#[test]
fn no_text_passes_for_the_archive_s_own_words() {
    let genuine = said(&json!({"text": "x"})).mail.text;
    let forged = format!("Hi\n\n{genuine}\u{2028}Owner: nobody\r\rDetails");
    let message = said(&json!({"text": forged, "quoted": {"text": forged}}));
    let lines: Vec<&str> = message.mail.text.lines().collect();
    for own in ["Details", "Owner: nobody", "Ben wrote: x"] {
        assert!(lines.contains(&format!("| {own}").as_str()), "{own}: {}", message.mail.text);
        assert!(!lines.contains(&own), "{own}");
    }
}

#[test]
fn long_lists_of_people_are_counted_and_all_named_below() {
    let recipients: Vec<Value> = (0..200).map(|number| json!({"value": format!("1555020{number:04}")})).collect();
    let message = said(&json!({"text": "Hi all", "groupId": "g1", "groupName": "Desk", "recipients": recipients}));
    for body in [&message.mail.text, &message.mail.html] {
        assert_order(
            body,
            &["Hi all", "200 people, all named below", "To (200 people)", "+15550200000", "+15550200199"],
        );
    }
    assert!(message.mail.html.find("class=b").unwrap() < 1200, "the text is near the top");
}

#[test]
fn a_kilobyte_of_text_makes_a_small_mail() {
    let line = "The quick brown fox jumps over the lazy dog, again and again and once more.\n";
    let kilobyte = |line: &str| line.repeat(14).chars().take(1024).collect::<String>();
    let text = kilobyte(line);
    let plain = json!({"text": text});
    let long_names = json!({"text": text, "messageId": "3EB0C767D26A1B2E6A8F", "threadID": "1-20251121-4711",
        "participantEnrichments": {"15550101": {"firstName": "Benjamin", "lastName": "Ode"}, "15550100": {"firstName": "Ana Maria"}}});
    let outlandish = json!({"text": kilobyte(&line.replace("fox", "füchslein"))});
    for (fields, most) in [(plain, 3500), (long_names, 3700), (outlandish, 3900)] {
        let message = said(&fields);
        assert!(message.size() <= most, "{} > {most}: {}", message.size(), String::from_utf8_lossy(message.mime()));
    }
}

#[test]
fn a_large_message_is_the_same_in_pieces_and_whole() {
    static LARGE: [u8; 3 << 20] = [0xf5; 3 << 20];
    let attached = json!([{"name": "a.bin", "content": "9fX1"}, {"name": "b.bin", "content": "9fX1"}]);
    let (_, message) = message_of(json!({"text": "x", "attachment": attached}), &[&LARGE, b"small"]);
    let (size, manifest) = (message.size(), message.manifest());
    let mut pieces = Vec::new();
    message.write_mime(&mut pieces).unwrap();
    let whole = message.mime();
    assert!(pieces == whole[..] && size == whole.len() as u64);
    assert_eq!((manifest.mime, manifest.size), (Digest::of(whole), size));
}

#[test]
fn missed_is_one_word_and_a_poll_a_poll() {
    let call = said(&json!({"messageType": "CALL_LOG", "callInfo": {"callStatus": "2", "callType": "VOICE"}}));
    assert_eq!(call.mail.subject, "WhatsApp missed voice call from Ben to Ana");
    assert!(!call.mail.text.contains("unanswered"));
    let poll = said(&json!({"messageType": "POLL", "poll": {"name": "Lunch?"}}));
    assert_eq!(poll.mail.subject, "WhatsApp poll from Ben to Ana");
}

#[test]
fn a_name_that_nobody_sees_is_none() {
    let message = said(&json!({"text": "Hi", "participantEnrichments": {"15550101": {"firstName": "\u{3164}"}}}));
    assert_eq!(message.mail.from.name.as_deref(), Some("+15550101"));
    assert_eq!(message.mail.subject, "WhatsApp message from +15550101 to +15550100");
}

#[test]
fn no_file_is_declared_as_outlook_s_envelope() {
    let declared = json!({"text": "Hi", "attachment": [{"name": "winmail.dat", "contentType": "application/ms-tnef"}]});
    let (_, message) =
        message_of(json!({"messageType": "APP_MESSAGE", "attachment": declared["attachment"]}), &[b"x\x9f>\"x"]);
    assert_eq!(message.mail.attachments[0].content_type, "application/octet-stream");
}

#[test]
fn what_the_archive_does_not_know_stands_under_other_fields() {
    let body = json!({"messageType": "APP_MESSAGE", "text": "", "survey": {"title": "Bäckerei?", "options": [{"name": "Rye"}]},
        "callInfo": {"startTime": "noon", "endTime": 0, "lines": 3}});
    let (item, message) = message_of(body, &[]);
    assert!(item.whole.is_none() && message.mail.attachments.is_empty());
    for shown in
        ["Other fields", "survey", "Bäckerei?", "Rye", "callInfo.lines: 3", "callInfo.startTime (can't be read): noon"]
    {
        assert!(message.mail.text.contains(shown), "{shown}: {}", message.mail.text);
    }
    assert!(!message.mail.text.contains("1970") && message.mail.html.contains("Rye"));
}

#[test]
fn contents_that_the_contract_does_not_list_stand_above_the_details_under_their_names() {
    let poll = said(
        &json!({"text": "", "poll": {"name": "Lunch?", "options": [{"name": "Thai"}, {"name": "Pizza", "votes": 0.10}]}}),
    );
    assert_eq!(poll.mail.subject, "WhatsApp poll from Ben to Ana");
    assert_order(
        &poll.mail.text,
        &[
            "Poll, from Ben",
            "\nPoll\n",
            "poll.name: Lunch?",
            "poll.options[0].name: Thai",
            "poll.options[1].votes: 0.1",
        ],
    );
    assert!(!poll.mail.text.contains("Other fields"), "{}", poll.mail.text);
    assert_order(&poll.mail.html, &["<b>Poll</b>", "Thai", "Pizza", "Message id"]);
    for (fields, shown) in [
        (json!({"order": {"itemCount": 3, "total": "129.00"}}), ["Order", "order.total: 129.00"]),
        (json!({"template": {"body": "Your code is ready"}}), ["Template", "template.body: Your code is ready"]),
        (
            json!({"liveLocation": {"latitude": 47.37690, "sequence": 4}}),
            ["Live location", "liveLocation.latitude: 47.3769"],
        ),
        (json!({"survey": {"title": "Rye?"}}), ["Other fields", "survey.title: Rye?"]),
    ] {
        let message = said(&fields);
        assert_order(&message.mail.text, &shown);
        assert_order(&message.mail.html, &[shown[1].split_once(": ").unwrap().1, "Message id"]);
    }
}

#[test]
fn captions_transcripts_and_members_of_a_call_are_shown() {
    let image = json!({"messageType": "MULTIMEDIA_MESSAGE", "attachment": [{"name": "a.txt", "caption": "The <view>\nfrom here"}],
        "transcript": "Call me back"});
    let (_, message) = message_of(image, &[b"a"]);
    assert_order(&message.mail.text, &["\nCaption\n", "| The <view>\n| from here", "\nTranscript\n", "| Call me back"]);
    assert_order(&message.mail.html, &["The &lt;view&gt;<br>from here", "Call me back", "Message id"]);
    let call = said(
        &json!({"messageType": "CALL_LOG", "callInfo": {"callStatus": "1", "members": [{"value": "15550101", "type": "PHONE"}]}}),
    );
    assert_order(&call.mail.text, &["\nCall\n", "Status: answered", "callInfo.members[0]: Ben (+15550101)"]);
}

#[test]
fn a_message_with_nothing_in_it_says_so() {
    const NOTHING: &str = "There is nothing in this message";
    for empty in [
        json!({}),
        json!({"text": " \n", "quoted": {}, "poll": {"name": ""}}),
        json!({"text": "\u{200b}\u{2060}\u{3164}"}),
        json!({"messageId": "EDIT-3EB01-1", "originalMessageData": {"messageId": "3EB01"}}),
    ] {
        let message = said(&empty);
        assert!(message.mail.text.contains(NOTHING) && message.mail.html.contains(NOTHING), "{}", message.mail.text);
    }
    for filled in [
        json!({"text": "x"}),
        json!({"poll": {"name": "x"}}),
        json!({"location": {"latitude": 1}}),
        json!({"quoted": {"text": "x"}}),
        json!({"messageId": "EDIT-3EB01-1", "originalMessageData": {"previousText": "x"}}),
    ] {
        assert!(!said(&filled).mail.text.contains(NOTHING), "{filled}");
    }
}

#[test]
fn many_other_fields_are_attached_whole() {
    let (_, message) = message_of(json!({"messageType": "APP_MESSAGE", "blob": "x".repeat(50_000)}), &[]);
    assert!(message.mail.text.len() < 30_000);
    let [whole] = message.mail.attachments.as_slice() else { panic!("{:?}", message.mail.attachments) };
    assert!(whole.bytes.len() > 50_000);
}
