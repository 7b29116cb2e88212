//! The lines of a message as a browser shows them: in visual order, by the algorithm of Unicode (UAX #9).

use unicode_bidi::{BidiInfo, Level};

use super::*;
use crate::convert::convert;
use crate::item::Item;
use crate::resolution::Resolution;

/// What stands on the lines of an HTML body from left to right.
fn lines_of(html: &str) -> Vec<String> {
    let body = html.split_once("</style>").unwrap().1.replace("</bdi>", "\u{2069}").replace("<bdi>", "\u{2068}");
    let body = body.replace('\n', " ");
    let mut lines = Vec::new();
    let mut line = (String::new(), Level::ltr());
    for piece in body.split('<') {
        let (tag, text) = piece.split_once('>').unwrap_or(("", piece));
        if ["p", "br", "td", "tr", "table", "/table"].contains(&tag.split([' ', '\n']).next().unwrap()) {
            lines.push(std::mem::replace(&mut line, (String::new(), Level::ltr())));
        }
        if tag.ends_with("dir=rtl") {
            line.1 = Level::rtl();
        }
        line.0.push_str(&text.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", " ").replace("&amp;", "&"));
    }
    lines.push(line);
    lines.iter().map(|(text, level)| shown(text.trim(), *level)).filter(|line| !line.is_empty()).collect()
}

fn shown(text: &str, base: Level) -> String {
    let info = BidiInfo::new(text, Some(base));
    let paragraph = info.paragraphs.iter().map(|paragraph| info.reorder_line(paragraph, paragraph.range.clone()));
    paragraph.collect::<Vec<_>>().join(" ").replace([ISOLATE, END], "")
}

/// A name of letters from right to left, as it stands on the line.
fn turned(name: &str) -> String {
    name.chars().rev().collect()
}

const PEOPLE: &str = r#""owner":{"value":"447700900102"},"sender":{"value":"447700900102"},
    "recipients":[{"value":"447700900103"},{"value":"447700900101"},{"value":"447700900104"}],
    "participantEnrichments":{"447700900102":{"firstName":"יעל","lastName":"כהן"},"447700900103":{"firstName":"عمر","lastName":"حداد"},
        "447700900101":{"firstName":"Susan","lastName":"Okafor"},"447700900104":{"firstName":"مها"}}"#;

fn html(more: &str) -> String {
    let json = format!(
        r#"{{"id":1,"gatewayReceivedDate":1763712000000,"body":{{"messageId":"a","direction":"out","messageTime":1763625600000,{PEOPLE},{more}}}}}"#
    );
    let item = Item::read(json.as_bytes(), "2025-12-01T00:00:00Z".parse().unwrap()).unwrap();
    convert(&item, &[], &Resolution::default(), "whatsapp.invalid").mail.html
}

#[test]
fn each_number_stands_behind_the_name_of_its_bearer() {
    let group = r#""groupId":"1@g.us","groupName":"فريق الخليج""#;
    let omar = format!("{} (+447700900103)", turned("عمر حداد"));
    let yael = format!("{} (+447700900102)", turned("יעל כהן"));
    let susan = "Susan Okafor (+447700900101)";
    let maha = format!("{} (+447700900104)", turned("مها"));
    let team = turned("فريق الخليج");
    for (more, expected) in [
        (
            format!(r#""text":"x",{group}"#),
            vec![
                format!("{yael} to {team}, a group of 3 recipients"),
                format!("To: {omar}, {susan}, {maha}"),
                format!("Chat: {team} (group, 1@g.us)"),
                format!("Owner: {yael}, who sent it"),
            ],
        ),
        (r#""text":"x""#.to_owned(), vec![format!("{yael} to {omar}, {susan} and {maha}")]),
        (
            format!(
                r#"{group},"messageType":"EVENT","event":{{"type":"Remove","actor":{{"value":"447700900103"}},"members":[{{"value":"447700900104"}},{{"value":"447700900101"}}]}}"#
            ),
            vec![
                format!(
                    "{} removed {} and Susan Okafor from the group, 2025-11-20 08:00:00 UTC",
                    turned("عمر حداد"),
                    turned("مها")
                ),
                omar.clone(),
                format!("{maha}, {susan}"),
            ],
        ),
        (
            r#""text":"x","quoted":{"messageId":"q","text":"שלום 12","sender":{"value":"447700900103"}}"#.to_owned(),
            vec![format!("In reply to {}", turned("عمر حداد")), omar.clone(), format!("12 {}", turned("שלום"))],
        ),
        (
            format!(r#"{group},"messageType":"VOICE_CALL","callInfo":{{"callStatus":"2","callType":"VOICE"}}"#),
            vec![
                format!("{yael} to {team}, a group of 3 recipients"),
                "Voice call, missed, 2025-11-20 08:00:00 UTC".to_owned(),
            ],
        ),
    ] {
        let html = html(&more);
        let lines = lines_of(&html);
        for line in expected {
            assert!(lines.contains(&line), "{line}\n{lines:#?}\n{html}");
        }
    }
}

#[test]
fn a_direction_is_given_to_what_a_person_wrote_and_to_nothing_else() {
    let of_a_text = html(r#""messageType":"APP_MESSAGE","text":"שלום 12""#);
    assert!(of_a_text.contains("<td class=b bgcolor=#e0f5e6 dir=rtl>שלום 12"), "{of_a_text}");
    assert_eq!(of_a_text.matches("dir=").count(), 1, "{of_a_text}");
    let renamed = html(
        r#""groupId":"1@g.us","groupName":"فريق","messageType":"EVENT","event":{"type":"Rename","actor":{"value":"447700900102"},"oldValue":"Desk","newValue":"فريق"}"#,
    );
    assert_eq!(renamed.matches("dir=rtl>فريق").count(), 1, "{renamed}");
    assert_eq!(renamed.matches("dir=").count(), 1, "{renamed}");
}

#[test]
fn no_value_brings_marks_of_its_own() {
    let of_a_name = html(r#""text":"x","groupId":"1","groupName":"\u2069\u2068\u202eDesk é\u2069""#);
    assert!(of_a_name.contains("<bdi>Desk é</bdi>"), "{of_a_name}");
    assert_eq!(of_a_name.matches("<bdi>").count(), of_a_name.matches("</bdi>").count());
    assert_eq!(unmarked(&name_and_number("é", "1")), "é (1)");
}
