//! `report` of an ended run: the staged document itself, and the page that names its place in the chain.

use std::fs;

use whatsapp_archiver::digest::Digest;

use super::{Trial, ended, program};

#[test]
fn a_verification_is_a_page_and_its_result_is_in_the_next_report() {
    let trial = Trial::imported();
    let page = trial.prints(&["verify", "--format", "html"]);
    assert!(page.contains("<b>no damage</b>") && page.contains("0 missing"), "{page}");
    trial.prints(&["run", "--once"]);
    let actions = trial.report()["actions"].clone();
    let verified = actions.as_array().unwrap().iter().find(|action| action["action"] == "verify").unwrap();
    assert!(verified["detail"].as_str().unwrap().contains("0 damaged"), "{actions}");
}

#[test]
fn a_changed_mapping_and_configuration_are_in_the_next_report() {
    let trial = Trial::imported();
    let mapping = fs::read(trial.path("config/sample/mapping.csv")).unwrap();
    trial.prints(&["run", "--once"]);
    let kinds = |actions: &serde_json::Value| -> Vec<String> {
        actions.as_array().unwrap().iter().map(|action| action["action"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&trial.report()["actions"]), [""; 0], "nothing changed");

    trial.edit("config/sample/mapping.csv", |text| format!("{text}12025550199,ana.berg@contoso.example\n"));
    trial.edit("config/local.toml", |text| format!("{text}\n# another comment\n"));
    let changed = fs::read(trial.path("config/sample/mapping.csv")).unwrap();
    trial.prints(&["run", "--once"]);
    let actions = trial.report()["actions"].clone();
    assert_eq!(kinds(&actions), ["configuration_changed", "mapping_changed"], "{actions}");
    let detail = actions[1]["detail"].as_str().unwrap();
    let reported = format!("from {} to {}, noticed by process ", Digest::of(&mapping), Digest::of(&changed));
    assert!(detail.starts_with(&reported), "{detail}");
}

#[test]
fn the_json_report_of_an_ended_run_is_the_staged_document_byte_for_byte() {
    let trial = Trial::imported();
    trial.prints(&["run", "--once"]);
    let reports = trial.path("local-data/staging/reports");
    let reports = fs::read_dir(reports).unwrap().map(|entry| entry.unwrap().path());
    let mut reports: Vec<_> = reports.filter(|path| path.extension().is_some_and(|it| it == "json")).collect();
    reports.sort();
    let [first, last] = &reports[..] else { panic!("{reports:?}") };
    let printed = trial.prints(&["report", "--format", "json"]);
    assert_eq!(printed.as_bytes(), fs::read(last).unwrap());
    let saved = trial.path("last.json");
    fs::write(&saved, &printed).unwrap();
    let checked = ended(program().arg("verify-report").arg(first).arg(&saved));
    assert_eq!(checked.code, Some(0), "{}{}", checked.out, checked.log);

    let page = trial.prints(&["report", "--format", "html"]);
    for named in [Digest::of(printed.as_bytes()), Digest::of(&fs::read(first).unwrap())] {
        assert!(page.contains(&named.to_string()), "{named} is not on the page");
    }
    assert!(page.contains("<dt>Number in the chain</dt><dd>2</dd>") && page.contains("none: no report.signing_key"));

    fs::write(last, "{}").unwrap();
    let altered = trial.run(&["report", "--format", "json"]);
    assert_eq!(altered.code, Some(1), "{}{}", altered.out, altered.log);
    assert!(altered.log.contains("is not what was written"), "{}", altered.log);
}
