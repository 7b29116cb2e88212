use serde_json::Value;

use super::*;
use crate::identity::Identity;

fn mail() -> Mail {
    let message_id = |n: u8| Identity(Digest::of(&[n])).message_id();
    let address = |name: &str| Address { name: Some(name.to_owned()), address: format!("{name}@contoso.example") };
    Mail {
        message_id: message_id(1),
        in_reply_to: Some(message_id(2)),
        references: vec![message_id(3), message_id(2)],
        date: "2026-11-21T08:00:00Z".parse().unwrap(),
        from: address("ana"),
        to: vec![address("bo"), address("cy")],
        subject: "Chat with \"bo\"".to_owned(),
        thread_topic: "Chat".to_owned(),
        extra_headers: vec![
            ("X-WhatsApp-Archiver-1", "one".to_owned()),
            ("X-WhatsApp-Archiver-2", " ".to_owned()),
            ("Y-Other", "no".to_owned()),
            ("X-WhatsApp-Archiver-3", "three".to_owned()),
            ("X-WhatsApp-Archiver-4", "four".to_owned()),
            ("X-WhatsApp-Archiver-5", "five".to_owned()),
            ("X-WhatsApp-Archiver-6", "six".to_owned()),
            ("X-WhatsApp-Archiver-7", "seven".to_owned()),
        ],
        text: "hello <world>\n".to_owned(),
        html: "<p>hello &lt;world&gt;</p>".to_owned(),
        attachments: vec![],
    }
}

fn file(name: &str, bytes: usize) -> MailAttachment {
    MailAttachment {
        name: name.to_owned(),
        content_type: "application/pdf".to_owned(),
        bytes: vec![7; bytes].into(),
        digest: Digest::of(&vec![7; bytes]),
        content_id: None,
    }
}

const FORM: Form<'static> =
    Form { message_class: Some("IPM.ExternalData.WhatsAppArchiver"), foreign_from: true, inline: true };

fn json(plan: &Plan) -> Value {
    serde_json::from_slice(&plan.json).unwrap()
}

fn property<'a>(json: &'a Value, id: &str) -> Option<&'a str> {
    let properties = json["singleValueExtendedProperties"].as_array().unwrap();
    properties.iter().find(|property| property["id"] == id).and_then(|property| property["value"].as_str())
}

fn names(plan: &Plan) -> (Vec<String>, Vec<String>) {
    let json = json(plan);
    let inline = json["attachments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let inline = inline.iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect();
    (inline, plan.apart.iter().map(|file| file.name.clone()).collect())
}

#[test]
fn everything_that_can_not_be_changed_later_is_in_the_post() {
    let mail = mail();
    let json = json(&Plan::of(&mail, FORM).unwrap());
    assert_eq!(json["subject"], "Chat with \"bo\"");
    assert_eq!(json["body"], serde_json::json!({"contentType": "html", "content": mail.html}));
    assert_eq!(json["from"]["emailAddress"], serde_json::json!({"name": "ana", "address": "ana@contoso.example"}));
    assert_eq!(json["sender"], json["from"]);
    assert_eq!(json["toRecipients"][1]["emailAddress"]["address"], "cy@contoso.example");
    assert_eq!(json["isRead"], true);
    assert_eq!(property(&json, MESSAGE_FLAGS), Some("1"));
    assert_eq!(property(&json, CLIENT_SUBMIT_TIME), Some("2026-11-21T08:00:00Z"));
    assert_eq!(property(&json, DELIVERY_TIME), Some("2026-11-21T08:00:00Z"));
    assert_eq!(property(&json, INTERNET_MESSAGE_ID), Some(mail.message_id.to_string().as_str()));
    assert_eq!(property(&json, IN_REPLY_TO), Some(mail.references[1].to_string().as_str()));
    let references = format!("{} {}", mail.references[0], mail.references[1]);
    assert_eq!(property(&json, REFERENCES), Some(references.as_str()));
    assert_eq!(property(&json, MESSAGE_CLASS), Some("IPM.ExternalData.WhatsAppArchiver"));
    assert!(json.get("attachments").is_none());
}

#[test]
fn the_first_five_x_headers_go_along() {
    let json = json(&Plan::of(&mail(), FORM).unwrap());
    let headers = json["internetMessageHeaders"].as_array().unwrap();
    let values: Vec<&str> = headers.iter().map(|header| header["value"].as_str().unwrap()).collect();
    assert_eq!(values, ["one", "three", "four", "five", "six"]);
}

#[test]
fn without_a_foreign_from_it_stands_in_the_transport_headers() {
    let mut mail = mail();
    mail.from.name = Some("An\"a\r\nBcc: <x@y.example>".to_owned());
    let json = json(&Plan::of(&mail, Form { foreign_from: false, ..FORM }).unwrap());
    assert!(json.get("from").is_none() && json.get("sender").is_none());
    let expected = "From: \"AnaBcc: x@y.example\" <ana@contoso.example>\r\nSender: \"AnaBcc: x@y.example\" <ana@contoso.example>\r\n";
    assert_eq!(property(&json, TRANSPORT_HEADERS), Some(expected));
}

#[test]
fn files_go_along_while_the_request_stays_small() {
    let mut mail = mail();
    mail.attachments =
        vec![file("a", 1_000_000), file("b", 2_999_999), file("c", 1_000_000), file("d", 3_000_000), file("e", 10)];
    let plan = Plan::of(&mail, FORM).unwrap();
    assert!(plan.json.len() < MAX_REQUEST);
    let (inline, apart) = names(&plan);
    assert_eq!(inline, ["a", "c", "e"]);
    assert_eq!(apart, ["b", "d"]);

    let plan = Plan::of(&mail, Form { inline: false, ..FORM }).unwrap();
    assert_eq!(names(&plan).1, ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_request_is_never_too_large_whatever_the_names() {
    let mut mail = mail();
    mail.attachments = (0..2_000).map(|n| file(&format!("{n}{}", "\"\\\u{1}".repeat(60)), 2_000)).collect();
    let plan = Plan::of(&mail, FORM).unwrap();
    assert!(plan.json.len() <= MAX_REQUEST, "{}", plan.json.len());
    assert!(plan.has_inline && !plan.apart.is_empty());
}

#[test]
fn a_body_too_large_for_one_request_goes_along_as_a_file() {
    let mut mail = mail();
    mail.text = "ä&".repeat(2_500_000);
    mail.html = format!("<pre>{}</pre>", mail.text);
    mail.attachments = vec![file("a", 10)];
    let plan = Plan::of(&mail, FORM).unwrap();
    assert!(plan.json.len() <= MAX_REQUEST);
    let (inline, apart) = names(&plan);
    assert_eq!((inline, apart), (vec!["a".to_owned()], vec![WHOLE_BODY_FILE.to_owned()]));
    assert_eq!(plan.apart[0].bytes, mail.html.as_bytes());
    assert_eq!(files_of(&mail).len(), 2);
    assert!(json(&plan)["body"]["content"].as_str().unwrap().contains("ä&amp;"));
}

#[test]
fn recipients_alone_can_be_too_many() {
    let mut mail = mail();
    mail.to = std::iter::repeat_n(mail.to[0].clone(), 60_000).collect();
    assert!(Plan::of(&mail, FORM).is_err());
}
