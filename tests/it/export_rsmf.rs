//! RSMF as review tools take it: reactions, names, custodians and the size of files.

use serde_json::Value;
use whatsapp_archiver::export::{Exporter, Format, Options};

use crate::export::{Exported, events_of, exported, files_in, read_rsmf, said, said_with};

const GROUP: &str = r#","groupId":"1@g.us","groupName":"Desk""#;

fn reaction(id: &str, who: &str, minute: i64, emoji: &str) -> Exported {
    let event = format!(
        r#"{GROUP},"messageType":"EVENT","event":{{"type":"Reaction","actor":{{"value":"{who}"}},"emoji":"{emoji}",
           "targetMessageId":"a","targetSender":{{"value":"15550101"}}}}"#
    );
    said(id, who, minute, &event)
}

#[test]
fn a_reaction_is_its_person_s_last_and_one_taken_back_hangs_on_its_original() {
    let messages = [
        said("a", "15550101", 1, &format!(r#"{GROUP},"text":"first""#)),
        reaction("r1", "447700900103", 2, "👍"),
        reaction("r2", "447700900103", 3, ""),
        reaction("r3", "15550100", 4, "👍"),
        reaction("r4", "15550100", 5, "❤️"),
    ];
    let (rsmf, events) = events_of(&messages);
    let people = rsmf.manifest["participants"].as_array().unwrap();
    let ana = people.iter().find(|person| person["account_id"] == "15550100").unwrap();
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0]["reactions"], serde_json::json!([{"value": "❤️", "count": 1, "participants": [ana["id"]]}]));
    assert_eq!(events[1]["parent"], events[0]["id"], "the one that was taken back");
    let history: Vec<&str> = events[0]["custom"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|custom| custom["name"] == "Reaction")
        .map(|custom| custom["value"].as_str().unwrap().split(" by ").next().unwrap())
        .collect();
    assert_eq!(history, ["👍", "taken back", "👍", "❤️"]);
}

fn named(id: &str, minute: i64, first_name: &str, last_name: &str) -> Exported {
    let time = 1_763_712_000_000 + minute * 60_000;
    exported(
        &format!(
            r#"{{"messageId":"{id}","messageType":"APP_MESSAGE","messageTime":{time},"text":"{id}","owner":{{"value":"15550100"}},
               "sender":{{"value":"15550100"}},"recipients":[{{"value":"15550101"}}],
               "participantEnrichments":{{"15550100":{{"firstName":"{first_name}","lastName":"{last_name}"}}}}}}"#
        ),
        &[],
    )
}

#[test]
fn a_participant_has_the_best_name_of_all_events() {
    let (rsmf, _) = events_of(&[named("a", 1, "", ""), named("b", 2, "Ana", "Berg"), named("c", 3, "", "")]);
    assert_eq!(rsmf.from, ("Ana Berg".to_owned(), "15550100@whatsapp.invalid".to_owned()));
    assert_eq!(rsmf.headers["X-RSMF-Custodian"], "Ana Berg");
    assert_eq!(rsmf.headers["X-RSMF-Participants"], "+15550101, Ana Berg");
}

#[test]
fn a_name_with_a_comma_is_one_name() {
    let (rsmf, _) = events_of(&[named("a", 1, "Berg, Ana", "(Dr.)")]);
    assert_eq!(rsmf.from.0, "Berg, Ana (Dr.)");
    assert_eq!(rsmf.headers["X-RSMF-Participants"], "+15550101, Berg Ana (Dr.)");
    let people = rsmf.manifest["participants"].as_array().unwrap();
    assert!(people.iter().any(|person| person["display"] == "Berg, Ana (Dr.)"));
}

#[test]
fn a_custodian_who_joined_that_day_is_among_the_participants() {
    let join = r#","messageType":"EVENT","event":{"type":"Join","members":[{"value":"15550100"}]}"#;
    let (rsmf, _) = events_of(&[
        said("j", "15550101", 1, &format!("{GROUP}{join}")),
        said("a", "15550101", 2, &format!(r#"{GROUP},"text":"welcome""#)),
    ]);
    assert_eq!(rsmf.headers["X-RSMF-Custodian"], "Ana");
    assert_eq!(rsmf.from, ("Ana".to_owned(), "ana@contoso.example".to_owned()));
}

#[test]
fn no_file_is_larger_than_was_asked_for() {
    const MAX: u64 = 1024 * 1024;
    // Bytes that can't be compressed.
    let file = |seed: u32| -> Vec<u8> {
        let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        std::iter::successors(Some(seed), next).take(300_000).map(|state| (state >> 24) as u8).collect()
    };
    let attachment = r#","attachment":[{"name":"a.bin"}]"#;
    let text = "ü".repeat(60_000);
    let mut messages: Vec<Exported> = (0_i64..4)
        .map(|minute| {
            said_with(&format!("f{minute}"), "15550101", minute, attachment, &[&file(u32::try_from(minute).unwrap())])
        })
        .collect();
    messages
        .extend((4..14).map(|minute| said(&format!("t{minute}"), "15550101", minute, &format!(r#","text":"{text}""#))));
    let options = Options { max_file_size: Some(MAX), ..Options::new(Format::Rsmf) };
    let export = |messages: &[Exported]| {
        let folder = tempfile::TempDir::new().unwrap();
        let mut exporter = Exporter::new(&options, folder.path()).unwrap();
        for message in messages {
            exporter.add(&message.item, &message.resolution, &message.message).unwrap();
        }
        let finished = exporter.finish().unwrap();
        (folder, finished)
    };
    let (folder, finished) = export(&messages);
    assert!(finished.oversized.is_empty() && finished.summary.files > 3, "{finished:?}");
    let mut events = 0;
    for path in files_in(folder.path()) {
        assert!(path.metadata().unwrap().len() <= MAX, "{}", path.display());
        events += read_rsmf(&path).manifest["events"].as_array().map_or(0, Vec::<Value>::len);
    }
    assert_eq!(events, messages.len());

    let large: Vec<Vec<u8>> = (9..13).map(file).collect();
    let large: Vec<&[u8]> = large.iter().map(Vec::as_slice).collect();
    let attachments = r#","attachment":[{"name":"a"},{"name":"b"},{"name":"c"},{"name":"d"}]"#;
    let (folder, finished) = export(&[said_with("l", "15550101", 1, attachments, &large)]);
    assert_eq!(finished.oversized.len(), 1, "one message can't be split");
    assert_eq!(read_rsmf(&files_in(folder.path())[0]).files.len(), 4);
}
