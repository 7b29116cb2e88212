//! What a manifest of RSMF 2.0 must be: Relativity's schema, and the rules that the schema can't say.

use std::collections::BTreeSet;

use mail_parser::MessageParser;
use serde_json::Value;

use super::Rsmf;

/// Relativity's published schema of the manifest.
pub(super) fn check_schema(manifest: &Value) {
    static SCHEMA: std::sync::LazyLock<jsonschema::Validator> = std::sync::LazyLock::new(|| {
        let schema = serde_json::from_str(include_str!("../../rsmf/rsmf_schema_2_0_0.json")).unwrap();
        jsonschema::draft7::options().should_validate_formats(true).build(&schema).unwrap()
    });
    let wrong: Vec<String> =
        SCHEMA.iter_errors(manifest).map(|error| format!("{}: {error}", error.instance_path)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// What Relativity asks for besides the schema: one author, who takes part; a custodian who is in the conversation; no person twice
/// among the reactions to a message; no comma within a listed name.
fn check_unwritten_rules(rsmf: &Rsmf) {
    let manifest = &rsmf.manifest;
    let people = manifest["participants"].as_array().unwrap();
    assert!(people.iter().any(|person| person["display"] == rsmf.from.0.as_str()), "{:?} takes no part", rsmf.from);
    let names: BTreeSet<String> = people
        .iter()
        .map(|person| person["display"].as_str().unwrap().replace(',', " "))
        .map(|name| name.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    // A header that the parser doesn't know isn't decoded by it; a subject is.
    let header = format!("Subject: {}\r\n\r\n", rsmf.headers["X-RSMF-Participants"]);
    let decoded = MessageParser::new().parse(header.as_bytes()).unwrap().subject().unwrap().to_owned();
    let listed: BTreeSet<String> = decoded.split(", ").map(str::to_owned).collect();
    assert_eq!(listed, names);
    for conversation in manifest["conversations"].as_array().unwrap() {
        let Some(custodian) = conversation.get("custodian") else { continue };
        assert!(conversation["participants"].as_array().unwrap().contains(custodian), "the custodian is not there");
        let custodian = people.iter().find(|person| person["id"] == *custodian).unwrap();
        assert_eq!(custodian["display"], rsmf.from.0.as_str(), "the file is from its custodian");
    }
    for event in manifest["events"].as_array().unwrap() {
        let reactions = event.get("reactions").map_or(&[] as &[Value], |list| list.as_array().unwrap());
        let who: Vec<&Value> = reactions.iter().flat_map(|one| one["participants"].as_array().unwrap()).collect();
        let distinct: BTreeSet<&str> = who.iter().map(|who| who.as_str().unwrap()).collect();
        assert_eq!(distinct.len(), who.len(), "a person twice among the reactions: {reactions:?}");
    }
}

fn ids(list: &Value) -> BTreeSet<&str> {
    let ids: Vec<&str> = list.as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap()).collect();
    let distinct: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(distinct.len(), ids.len(), "an id twice: {ids:?}");
    assert!(ids.iter().all(|id| !id.is_empty()));
    distinct
}

/// The rules of RSMF 2.0: required fields, closed lists, and every reference to something that is there.
pub(super) fn check_rules(rsmf: &Rsmf) {
    check_unwritten_rules(rsmf);
    let manifest = &rsmf.manifest;
    assert_eq!(manifest["version"], "2.0.0");
    let participants = ids(&manifest["participants"]);
    let conversations = ids(&manifest["conversations"]);
    let known = |value: &Value| participants.contains(value.as_str().unwrap());
    for conversation in manifest["conversations"].as_array().unwrap() {
        assert!(conversation["platform"] == "WhatsApp" && !conversation["display"].as_str().unwrap().is_empty());
        assert!(["direct", "channel"].contains(&conversation["type"].as_str().unwrap()));
        assert!(conversation["participants"].as_array().unwrap().iter().all(known));
        assert!(conversation.get("custodian").is_none_or(known));
    }
    let events = manifest["events"].as_array().unwrap();
    let event_ids = ids(&manifest["events"]);
    let mut attachments = BTreeSet::new();
    for event in events {
        assert!(
            ["message", "disclaimer", "join", "leave", "history", "unknown"].contains(&event["type"].as_str().unwrap())
        );
        assert!(known(&event["participant"]) && conversations.contains(event["conversation"].as_str().unwrap()));
        assert!(event.get("parent").is_none_or(|parent| event_ids.contains(parent.as_str().unwrap())));
        assert!(event.get("direction").is_none_or(|direction| direction == "incoming" || direction == "outgoing"));
        let timestamp = event["timestamp"].as_str().unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(timestamp).is_ok(), "{timestamp}");
        let list = |name: &str| event.get(name).map_or(&[] as &[Value], |list| list.as_array().unwrap()).iter();
        for reaction in list("reactions") {
            assert!((1..=30).contains(&reaction["value"].as_str().unwrap().chars().count()));
            assert_eq!(reaction["count"], reaction["participants"].as_array().unwrap().len());
            assert!(reaction["participants"].as_array().unwrap().iter().all(known));
        }
        for edit in list("edits") {
            assert!(known(&edit["participant"]));
        }
        for custom in list("custom") {
            assert!(!custom["name"].as_str().unwrap().is_empty() && !custom["value"].as_str().unwrap().is_empty());
        }
        for attachment in list("attachments") {
            let id = attachment["id"].as_str().unwrap();
            assert_eq!(attachment["size"], rsmf.files[id].len());
            assert!(attachments.insert(id), "one file of two attachments: {id}");
        }
    }
    assert_eq!(attachments.len(), rsmf.files.len(), "files that no event names");
    assert_eq!(rsmf.headers["X-RSMF-Version"], "2.0.0");
    assert_eq!(rsmf.headers["X-RSMF-EventCount"], events.len().to_string());
    assert_eq!(rsmf.headers["X-RSMF-AttachmentCount"], attachments.len().to_string());
    assert_eq!(rsmf.headers["X-RSMF-EventCollectionID"], manifest["eventcollectionid"]);
    assert_eq!(rsmf.headers["X-RSMF-BeginDate"], events[0]["timestamp"]);
}
