//! The commands that need no run: check, mapping check, convert, init, help.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::{Trial, ended, program};
use crate::oracle::Found;

#[test]
fn help_names_every_command() {
    let help = ended(program().arg("--help"));
    assert_eq!(help.code, Some(0));
    for command in [
        "run",
        "backfill",
        "check",
        "status",
        "report",
        "failures",
        "retry",
        "convert",
        "mapping",
        "consent-url",
        "health",
        "init",
    ] {
        assert!(help.out.lines().any(|line| line.trim_start().starts_with(command)), "{command} in {}", help.out);
        let own = ended(program().args([command, "--help"]));
        assert_eq!(own.code, Some(0), "{command}");
    }
    assert!(ended(program().arg("--version")).out.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_manual_pages_and_the_schema_need_no_configuration() {
    let directory = tempfile::TempDir::new().unwrap();
    let nowhere = directory.path().join("none.toml");
    let run = |arguments: &[&str]| {
        let ended = ended(program().arg("--config").arg(&nowhere).args(arguments));
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.log);
        ended.out
    };
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = run(&["completions", shell]);
        for word in ["failures", "consent-url", "show-numbers"] {
            assert!(script.contains(word), "{word} for {shell}");
        }
        // PowerShell's scripts have no values of options.
        assert!(shell == "powershell" || script.contains("no_valid_user"), "{shell}");
    }
    let schema: serde_json::Value = serde_json::from_str(&run(&["config-schema"])).unwrap();
    assert_eq!(schema["properties"]["schedule"]["properties"]["every"]["default"], "24h");
    assert!(run(&["man"]).contains("exactly once"));
    let pages = directory.path().join("pages");
    assert_eq!(run(&["man", "--out", pages.to_str().unwrap()]), "");
    for (name, holds) in [
        ("whatsapp-archiver", "whatsapp\\-archiver init /etc/whatsapp\\-archiver"),
        ("whatsapp-archiver-failures", "no_valid_user"),
        ("whatsapp-archiver-mapping-check", "line by line"),
    ] {
        let page = fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
        assert!(page.starts_with(".ie") || page.contains(&format!(".TH {name}")), "{page}");
        assert!(page.contains(holds), "{holds} in {page}");
    }
}

#[test]
fn help_lists_reasons_and_shows_examples() {
    for command in ["failures", "retry", "release"] {
        let help = ended(program().args([command, "--help"])).out;
        assert!(help.contains("no_valid_user") && help.contains("mailbox_unavailable"), "{help}");
        assert!(help.contains(&format!("whatsapp-archiver {command} --reason ")), "{help}");
    }
    let wrong = ended(program().args(["failures", "--reason", "no_valid_usr"]));
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.log.contains("similar value") && wrong.log.contains("no_valid_user"), "{}", wrong.log);
}

#[test]
fn a_report_fits_the_terminal() {
    let trial = Trial::imported();
    let shown = ended(trial.command(&["report"]).env("COLUMNS", "80"));
    assert!(shown.out.contains("no_valid_user counts items") && shown.out.contains("omar.haddad"), "{}", shown.out);
    for line in shown.out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(trial.prints(&["report"]).lines().any(|line| line.chars().count() > 80), "else it is whole");
}

#[test]
fn check_reports_line_by_line() {
    let trial = Trial::new();
    let offline = trial.prints(&["check"]);
    let (files, others): (Vec<&str>, Vec<&str>) = offline.lines().partition(|line| line.contains(" ok "));
    assert_eq!((files.len(), others.len()), (3, 2), "{offline}");
    assert!(
        others[0].contains("warning") && others[0].contains("not in the user list: lukas.novak@left."),
        "{offline}"
    );
    assert!(others[1].contains("untried") && others[1].contains("local-data/ledger.db"), "{offline}");
    assert!(!trial.path("local-data").exists(), "an offline check makes nothing");
    let online = trial.prints(&["check", "--online"]);
    assert!(online.lines().any(|line| line.starts_with("ledger ") && line.contains(" untried ")), "{online}");
    for part in ["source", "staging", "directory", "mailboxes"] {
        assert!(online.lines().any(|line| line.starts_with(part) && line.contains(" ok ")), "{part} in {online}");
    }
    assert!(online.contains("no import is tried without --mailbox ADDR"), "{online}");
    assert!(!trial.path("local-data/mailboxes").exists(), "{online}");
    let tried = trial.prints(&["check", "--mailbox", "ana.berg@contoso.example"]);
    for part in ["import", "read back", "look-up by Message-ID", "clean up"] {
        assert!(tried.lines().any(|line| line.starts_with(part) && line.contains(" ok ")), "{part} in {tried}");
    }
    assert!(!tried.lines().any(|line| line.starts_with("mailboxes ")), "{tried}");
    let stranger = trial.run(&["check", "--mailbox", "nobody@contoso.example"]);
    assert_eq!(stranger.code, Some(1));
    assert!(stranger.out.contains("WRONG") && stranger.out.contains("to do"), "{}", stranger.out);
    fs::rename(trial.path("local-data/mailboxes"), trial.path("local-data/before")).unwrap();
    fs::write(trial.path("local-data/mailboxes"), "a file").unwrap();
    let closed = trial.run(&["check", "--online"]);
    assert_eq!(closed.code, Some(1), "{}", closed.out);
    assert!(
        closed.out.lines().any(|line| line.starts_with("mailboxes ") && line.contains(" WRONG ")),
        "{}",
        closed.out
    );
    fs::remove_dir_all(trial.path("config/sample/export")).unwrap();
    let broken = trial.run(&["check", "--online"]);
    assert_eq!(broken.code, Some(1), "{}", broken.out);
    assert!(broken.out.lines().any(|line| line.starts_with("source ") && line.contains(" WRONG ")), "{}", broken.out);
}

#[test]
fn a_mapping_file_is_linted_without_a_configuration() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("mapping.csv");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        ended(program().args(["mapping", "check"]).arg(&file))
    };
    let header = "External User ID,Microsoft 365 User Mailbox\n";
    let clean = check(&format!("{header}445204334324,susan@contoso.example\n"));
    assert_eq!(clean.code, Some(0));
    assert!(clean.out.contains("ok, 1 number, 0 warnings"), "{}", clean.out);
    let warned = check(&format!("{header}0123456789,susan@contoso.example\n"));
    assert_eq!((warned.code, warned.out.contains("mapping.csv:2:1: warning")), (Some(0), true), "{}", warned.out);
    let wrong = check(&format!("{header}4.45E+11,susan@contoso.example\n445204334324,susan\n"));
    assert_eq!(wrong.code, Some(78));
    assert!(
        wrong.out.contains("mapping.csv:2:1: error") && wrong.out.contains("mapping.csv:3:14: error"),
        "{}",
        wrong.out
    );
    assert_eq!(ended(program().args(["mapping", "check", "/nowhere.csv"])).code, Some(78));
}

#[test]
fn convert_writes_messages_without_any_network() {
    let trial = Trial::new();
    let out = trial.path("eml");
    let convert = |file: &str| {
        ended(program().arg("convert").arg(trial.path(&format!("config/sample/export/{file}"))).arg("--out").arg(&out))
    };
    let page = convert("20261120-phone-archiver.json");
    assert_eq!(page.code, Some(0), "{}", page.log);
    let names: Vec<&str> = page.out.lines().collect();
    assert!(names.len() > 10 && names.iter().all(|name| name.contains(".eml")), "{names:?}");
    let first = Found::read(&fs::read(out.join("918201.eml")).unwrap());
    assert_eq!(first.whatsapp_id, "3EB0C23B31A0179B550F8A");

    // The last line is cut short: it is told, and the others are converted all the same.
    let lines = convert("20261121-phone-archiver.jsonl");
    assert_eq!(lines.code, Some(0), "what a rule keeps out is normal");
    assert!(lines.log.contains("is not converted") && lines.out.lines().count() > 10, "{}", lines.log);
    assert_eq!(ended(program().args(["convert", "/nowhere.json"])).code, Some(1));
    fs::write(trial.path("text.json"), "good morning").unwrap();
    assert_eq!(ended(program().arg("convert").arg(trial.path("text.json")).arg("--out").arg(&out)).code, Some(1));
}

#[test]
fn convert_overwrites_nothing_and_names_every_file_that_is_there() {
    let trial = Trial::new();
    let (out, file) = (trial.path("eml"), trial.path("config/sample/export/20261120-phone-archiver.json"));
    let convert = || ended(program().arg("convert").arg(&file).arg("--out").arg(&out));
    let first = convert();
    let names: Vec<String> = first.out.lines().map(str::to_owned).collect();
    fs::write(&names[0], "somebody's own").unwrap();
    fs::remove_file(&names[1]).unwrap();
    let second = convert();
    assert_eq!(second.code, Some(1), "{}{}", second.out, second.log);
    assert_eq!(second.out.lines().collect::<Vec<_>>(), [names[1].as_str()], "what is missing is written");
    assert_eq!(fs::read_to_string(&names[0]).unwrap(), "somebody's own");
    for name in names.iter().filter(|name| **name != names[1]) {
        assert!(second.log.contains(&format!("{name} already exists, and nothing is overwritten")), "{}", second.log);
    }
}

#[test]
fn a_converted_item_is_the_message_that_is_imported() {
    let trial = Trial::imported();
    let out = trial.path("eml");
    let file = trial.path("config/sample/export/20261120-phone-archiver.json");
    ended(program().arg("convert").arg(file).arg("--out").arg(&out));
    let imported = crate::oracle::read_maildirs(&trial.path("local-data/mailboxes"));
    let ana = &imported["ana.berg@contoso.example"];
    let converted = Found::read(&fs::read(out.join("918210.eml")).unwrap());
    let copy = ana.iter().find(|found| found.whatsapp_id == converted.whatsapp_id).unwrap();
    assert_eq!((&copy.text, &copy.files), (&converted.text, &converted.files));
    assert_eq!(copy.files.len(), 1);
}

/// The e-mail properties name another address of Susan Okafor, and none of Omar Haddad.
#[test]
fn an_rsmf_export_names_the_mailboxes_that_the_ledger_recorded() {
    let trial = Trial::imported();
    let out = trial.path("rsmf");
    let window = ["export", "--from", "2026-11-01", "--to", "2026-12-01", "--format", "rsmf", "--out"];
    let export = ended(trial.command(&window).arg(&out));
    assert_eq!(export.code, Some(0), "{}{}", export.out, export.log);
    let mut addresses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in crate::export::files_in(&out) {
        let manifest = crate::export::read_rsmf(&file).manifest;
        for person in manifest["participants"].as_array().unwrap() {
            let address = person.get("email").map_or("", |email| email.as_str().unwrap());
            let number = person["account_id"].as_str().unwrap();
            addresses.entry(number.to_owned()).or_default().insert(address.to_owned());
        }
    }
    for (number, address) in
        [("447700900101", "susan.okafor@contoso.example"), ("447700900103", "omar.haddad@contoso.example")]
    {
        assert_eq!(addresses[number], BTreeSet::from([address.to_owned()]), "{number}");
    }
}

#[test]
fn check_sees_what_no_run_could_do_anything_with() {
    let trial = Trial::imported();
    let check = |words: &[&str]| {
        let check = trial.run(words);
        (check.code, check.out.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let future = |text: String| text + "\n[schedule]\nstart_from = 2999-01-01T00:00:00Z\n";
    trial.edit("config/local.toml", future);
    let (code, found) = check(&["check"]);
    assert!(code == Some(78) && found.contains("schedule WRONG schedule.start_from lies in the future"), "{found}");
    trial.edit("config/local.toml", |text| text.replace("2999", "1999"));

    let typo = "447700900155,typo@contoso.example\n";
    trial.edit("config/sample/mapping.csv", |text| text + typo);
    let (code, found) = check(&["check"]);
    let told = "mapping warning 2 mapped addresses are not in the user list: ";
    assert!(code == Some(0) && found.contains(told) && found.contains(", typo@contoso.example"), "{found}");
    trial.edit("config/sample/users.csv", |text| text.lines().next().unwrap().to_owned() + "\n");
    let (code, found) = check(&["check"]);
    assert!(code == Some(0) && found.contains("users warning the list has no users"), "{found}");

    fs::rename(trial.path("local-data/mailboxes"), trial.path("elsewhere")).unwrap();
    let (code, found) = check(&["check", "--online"]);
    assert!(code == Some(1) && found.contains("is not there, though this ledger has copies in it"), "{found}");
}

#[test]
fn a_first_window_that_begins_in_the_future_is_refused() {
    let trial = Trial::new();
    trial.edit("config/local.toml", |text| text + "\n[schedule]\nstart_from = 2999-01-01T00:00:00Z\n");
    let run = trial.run(&["run", "--once"]);
    assert!(run.code == Some(1) && run.log.contains("schedule.start_from lies in the future"), "{}", run.log);
    trial.edit("config/local.toml", |text| text.replace("2999", "1999"));
    assert_eq!(trial.run(&["run", "--once"]).code, Some(0), "nothing was passed over");
}

#[test]
fn init_writes_a_configuration_once() {
    let directory = tempfile::TempDir::new().unwrap();
    let target = directory.path().join("new");
    let first = ended(program().arg("init").arg(&target));
    assert_eq!(first.code, Some(0), "{}", first.log);
    let written = fs::read_to_string(target.join("config.toml")).unwrap();
    assert!(written.contains("[source]") && target.join("mapping.csv").exists());
    let again = ended(program().arg("init").arg(&target));
    assert_eq!((again.code, again.log.contains("config.toml already exists")), (Some(1), true), "{}", again.log);
    assert_eq!(fs::read_to_string(target.join("config.toml")).unwrap(), written);
    // What it wrote is a configuration, but for the secrets that it names.
    let check = ended(program().arg("--config").arg(target.join("config.toml")).arg("check"));
    assert_eq!(check.code, Some(78));
    let mapping = ended(program().args(["mapping", "check"]).arg(target.join("mapping.csv")));
    assert_eq!(mapping.code, Some(0), "{}", mapping.out);
}

#[test]
fn keys_can_be_set_from_the_environment() {
    let trial = Trial::new();
    let mut command = trial.command(&["run", "--once"]);
    command.env("WHATSAPP_ARCHIVER__MAILBOX__FOLDER", "Archive of WhatsApp");
    assert_eq!(ended(&mut command).code, Some(0));
    assert!(trial.path("local-data/mailboxes/ana.berg@contoso.example/.Archive of WhatsApp/cur").is_dir());
}

#[test]
fn the_runs_are_listed() {
    let trial = Trial::imported();
    trial.prints(&["retry"]);
    let list = trial.json(&["report", "--list", "--format", "json"]);
    let runs = list["runs"].as_array().unwrap();
    let kinds: Vec<_> = runs.iter().map(|run| run["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["retry", "regular"]);
    let first = runs[1]["run"].as_str().unwrap();
    assert_eq!(trial.json(&["report", "--run", first, "--format", "json"])["run"], first);
    let csv = trial.prints(&["report", "--list", "--format", "csv"]);
    assert!(csv.starts_with("run,kind,status,started,from,to,items,") && csv.lines().count() == 3, "{csv}");
    assert!(trial.prints(&["report", "--list"]).contains(first));
    for wrong in [&["--list", "--format", "html"][..], &["--list", "--run", first]] {
        assert_eq!(trial.run(&[&["report"], wrong].concat()).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_release_is_reported_before_it_is_done() {
    let trial = Trial::imported();
    let held = || trial.json(&["status", "--json"])["held"].clone();
    let nothing_named = trial.run(&["release", "--yes"]);
    assert_eq!(nothing_named.code, Some(2), "{}", nothing_named.log);
    let reported = trial.prints(&["release", "--reason", "malformed"]);
    assert!(reported.contains("1 malformed") && reported.contains("Nothing was released"), "{reported}");
    assert_eq!(held(), 4);
    let done = trial.prints(&["release", "--reason", "malformed", "--yes"]);
    assert!(done.contains("Released: 1 malformed (1 row)"), "{done}");
    assert_eq!(held(), 3);
}

/// The files below a folder.
fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn an_export_leaves_out_what_staging_does_not_give_back() {
    let trial = Trial::imported();
    let export = |out: &str| {
        let out = trial.path(out);
        let folder = out.to_str().unwrap().to_owned();
        let ended =
            trial.run(&["export", "--from", "2009-01-01", "--to", "2100-01-01", "--format", "eml", "--out", &folder]);
        let files = files_below(&out).len();
        (ended, files)
    };
    let (whole, files) = export("whole");
    assert_eq!(whole.code, Some(0), "{}{}", whole.out, whole.log);
    assert!(files > 1, "{}", whole.out);

    let staged = files_below(&trial.path("local-data/staging"));
    let attachment = staged.iter().find(|path| path.to_str().unwrap().contains("/attachments/")).unwrap();
    fs::remove_file(attachment).unwrap();
    let (partial, rest) = export("partial");
    assert_eq!(partial.code, Some(1), "{}{}", partial.out, partial.log);
    assert_eq!(rest, files - 1, "all others are exported");
    let named = crate::export_manifest::read_manifest(&trial.path("partial"));
    let named: Vec<_> = named.iter().filter(|row| row["path"].is_empty() && !row["sent"].is_empty()).collect();
    assert!(named.iter().any(|row| row["problem"].contains("is not in staging")), "{named:?}");
    assert!(partial.log.contains("left out: item "), "{}", partial.log);
    assert!(partial.log.contains("is not in staging"), "{}", partial.log);
}

#[test]
fn the_container_recipe_of_the_readme_is_a_configuration() {
    let directory = tempfile::TempDir::new().unwrap();
    let here = directory.path().display().to_string();
    assert_eq!(ended(program().arg("init").arg(directory.path())).code, Some(0));
    let moved = |text: &str| {
        let own = text.replace("contoso", "fabrikam").replace("-4444-", "-4a4a-").replace("-8888-", "-8a8a-");
        own.replace("/run/secrets", &here).replace("/var/lib/whatsapp-archiver", &here)
    };
    let file = directory.path().join("config.toml");
    fs::write(&file, moved(&fs::read_to_string(&file).unwrap())).unwrap();
    let readme = fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for secret in ["telemessage_password", "client_secret", "status_token"] {
        assert!(readme.contains(&format!("`{secret}`")), "{secret}");
        fs::write(directory.path().join(secret), "0123456789abcdef0123456789abcdef").unwrap();
    }
    let mut check = program();
    check.arg("--config").arg(&file).arg("check");
    let variables = readme.lines().filter_map(|line| line.trim().strip_prefix("-e ")?.split_once('='));
    let mut set = 0;
    for (name, value) in variables {
        check.env(name, moved(value.trim_end_matches([' ', '\\']).trim_matches('\'')));
        set += 1;
    }
    let checked = ended(&mut check);
    assert_eq!((set, checked.code), (3, Some(0)), "{}{}", checked.out, checked.log);
}
