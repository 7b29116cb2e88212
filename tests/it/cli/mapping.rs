//! Who held an identifier when a message was sent: mapping files with validities, LIDs and user names, through the program.

use std::fs;

use serde_json::{Value, json};

use super::{Trial, ended, program};

const HEADER: &str = "External User ID,Microsoft 365 User Mailbox,Valid From,Valid Until\n";

/// An item that was sent at an instant and received long after.
fn item(id: i64, sent: &str, sender: &Value, recipient: &Value) -> Value {
    let sent: chrono::DateTime<chrono::Utc> = sent.parse().unwrap();
    json!({"typ": "RawMessage", "id": id, "gatewayReceivedDate": 1_795_163_401_737_i64, "sourceType": "WHATSAPP_ARCHIVER",
        "networkType": "WHATSAPP_ARCHIVER", "body": {"messageId": format!("3EB0{id}"), "messageType": "APP_MESSAGE",
        "messageTime": sent.timestamp_millis(), "text": format!("Item {id}"), "owner": sender, "sender": sender,
        "recipients": [recipient], "direction": "OUT"}})
}

/// A trial with these items and this mapping file.
fn trial(items: &[Value], mapping: &str) -> Trial {
    let trial = Trial::new();
    let export = trial.path("config/sample/export");
    fs::remove_dir_all(&export).unwrap();
    fs::create_dir(&export).unwrap();
    fs::write(export.join("items.json"), json!(items).to_string()).unwrap();
    fs::write(trial.path("config/sample/mapping.csv"), format!("{HEADER}{mapping}")).unwrap();
    trial
}

fn susan_and_zoe_have_one_copy_each(trial: &Trial) {
    let copies = trial.copies();
    assert_eq!(copies.get("susan.okafor@contoso.example"), Some(&1), "{copies:?}");
    assert_eq!(copies.get("zoe.marchetti@contoso.example"), Some(&1), "{copies:?}");
    assert_eq!(copies.values().sum::<usize>(), 2, "{copies:?}");
}

#[test]
fn a_number_that_changed_hands_in_mid_month_goes_to_whoever_held_it_when_the_message_was_sent() {
    let (number, stranger) = (json!({"value": "15550190", "type": "PHONE"}), json!({"value": "4915550199"}));
    let items = [
        item(1, "2026-11-14T23:59:59Z", &stranger, &number),
        item(2, "2026-11-15T00:00:00Z", &number, &stranger),
        item(3, "2026-10-31T23:59:59Z", &number, &stranger),
    ];
    let mapping = "15550190,susan.okafor@contoso.example,2026-11-01,2026-11-15\n\
                   +1 555 0190,zoe@contoso.example,2026-11-15T00:00:00Z,\n";
    let trial = trial(&items, mapping);
    trial.prints(&["run", "--once"]);
    susan_and_zoe_have_one_copy_each(&trial);
    let failures = trial.prints(&["failures", "--format", "json"]);
    assert!(failures.contains("in the mapping file for other times only"), "{failures}");

    let out = trial.path("proof.zip");
    trial.prints(&["prove", "--item", "1", "--out", out.to_str().unwrap()]);
    let mut zip = zip::ZipArchive::new(fs::File::open(out).unwrap()).unwrap();
    let facts: Value = serde_json::from_reader(zip.by_name("capture-1/capture.json").unwrap()).unwrap();
    let rules: Vec<&str> =
        facts["resolution"].as_array().unwrap().iter().filter_map(|resolved| resolved["rule"].as_str()).collect();
    assert_eq!(rules, ["mapping file: +1•••••0190, valid from 2026-11-01 until 2026-11-15"]);

    let checked = trial.run(&["mapping", "check", trial.path("config/sample/mapping.csv").to_str().unwrap()]);
    assert!(
        checked.out.contains(
            "+1•••••0190: susan.okafor@contoso.example from 2026-11-01 until 2026-11-15, zoe@contoso.example from 2026-11-15\n"
        ) && checked.out.contains("ok, 1 number, 0 warnings"),
        "{}",
        checked.out
    );
}

#[test]
fn participants_are_found_by_lid_and_user_name_and_a_type_that_nobody_knows_makes_no_number() {
    let (lid, name) =
        (json!({"value": "98765432101234:2@lid", "type": "LID"}), json!({"value": "@Zoe.M", "type": "USERNAME"}));
    let (unknown, stranger) = (json!({"value": "15550190", "type": "ACCOUNT"}), json!({"value": "4915550199"}));
    let items = [item(1, "2026-11-15T00:00:00Z", &lid, &name), item(2, "2026-11-15T00:00:00Z", &stranger, &unknown)];
    let mapping = "98765432101234@lid,susan.okafor@contoso.example,,\n@zoe.m,zoe@contoso.example,,\n\
                   15550190,yael.cohen@contoso.example,,\n";
    let trial = trial(&items, mapping);
    trial.prints(&["run", "--once"]);
    susan_and_zoe_have_one_copy_each(&trial);
}

#[test]
fn one_person_known_by_number_and_lid_is_one_person() {
    let (number, lid) = ("15550190", "98765432101234@lid");
    let stranger = json!({"value": "4915550199"});
    let mut both =
        item(1, "2026-11-15T00:00:00Z", &stranger, &json!({"value": lid, "type": "LID", "phoneNumber": number}));
    both["body"]["recipients"].as_array_mut().unwrap().push(json!({"value": number, "type": "PHONE"}));
    let mut said_elsewhere = item(2, "2026-11-15T00:00:00Z", &stranger, &json!({"value": lid, "type": "LID"}));
    said_elsewhere["body"]["participantEnrichments"] = json!({(lid): {"firstName": "Zoe", "phoneNumber": number}});
    let trial = trial(&[both, said_elsewhere], &format!("{number},zoe@contoso.example,,\n"));
    trial.prints(&["run", "--once"]);
    let copies = crate::oracle::read_maildirs(&trial.path("local-data/mailboxes"));
    assert_eq!(trial.copies().into_iter().collect::<Vec<_>>(), [("zoe.marchetti@contoso.example".to_owned(), 2)]);
    assert_eq!(copies.len(), 1);
    let report = trial.report();
    assert_eq!(report["unmapped_total"], 1, "the stranger alone: {report}");
}

#[test]
fn a_lid_gets_its_copy_when_the_number_that_the_item_names_is_mapped_later() {
    let (number, lid) = ("15550190", "98765432101234@lid");
    let to = json!({"value": lid, "type": "LID", "phoneNumber": number});
    let trial = trial(&[item(1, "2026-11-15T00:00:00Z", &json!({"value": "4915550199"}), &to)], "");
    trial.prints(&["run", "--once"]);
    assert!(trial.copies().is_empty());
    fs::write(trial.path("config/sample/mapping.csv"), format!("{HEADER}{number},zoe@contoso.example,,\n")).unwrap();
    let replayed = trial.prints(&["retry", "--reason", "no_valid_user"]);
    assert!(replayed.contains("1 copy was added"), "{replayed}");
    assert_eq!(trial.copies().into_iter().collect::<Vec<_>>(), [("zoe.marchetti@contoso.example".to_owned(), 1)]);
}

#[test]
fn overlaps_are_errors_with_both_lines() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("mapping.csv");
    let check = |lines: &str| {
        fs::write(&file, format!("{HEADER}{lines}")).unwrap();
        ended(program().args(["mapping", "check"]).arg(&file))
    };
    let wrong = check(
        "15550190,a@contoso.example,2026-11-01,2026-12-01\n15550190,b@contoso.example,2026-11-30,\n\
         15550191,a@contoso.example,,\n15550191,b@contoso.example,2026-11-30,\n\
         15550192,a@contoso.example,2026-11-30,2026-11-30\n15550193,a@contoso.example,30.11.2026,\n\
         @zoe,a@contoso.example,2026-01-01,2027-01-01\n@Zoe,b@contoso.example,,2026-02-01\n",
    );
    assert_eq!(wrong.code, Some(78), "{}", wrong.out);
    for part in [
        "mapping.csv:3:1: error: +1•••••0190 is valid from 2026-11-30, and on line 2 from 2026-11-01 until 2026-12-01",
        "mapping.csv:5:1: error: +1•••••0191 is valid from 2026-11-30, and on line 4 always",
        "mapping.csv:6:39: error: the line ends before it begins",
        "mapping.csv:7:28: error: not a date: write it like 2026-11-15",
        "mapping.csv:9:1: error: @zoe is valid until 2026-02-01, and on line 8 from 2026-01-01 until 2027-01-01",
    ] {
        assert!(wrong.out.contains(part), "{part}: {}", wrong.out);
    }
    let right = check(
        "15550190,a@contoso.example,,2026-11-01\n15550190,b@contoso.example,2026-11-01,2026-12-01\n\
         15550190,a@contoso.example,2026-12-01,\n98765432101234@lid,a@contoso.example,,\n",
    );
    assert_eq!(right.code, Some(0), "{}", right.out);
    assert!(right.out.contains("ok, 2 numbers, 0 warnings"), "{}", right.out);
}
