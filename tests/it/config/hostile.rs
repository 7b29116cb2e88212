//! Texts and files that nobody would write: nothing panics, and no secret is shown, wherever it stands.

use std::path::Path;

use proptest::prelude::*;
use whatsapp_archiver::config::{Config, EXAMPLE, NeededSecrets};

use super::{MINIMAL, PATH, assert_only_problem, environment, environment_with, read_with};

#[test]
fn syntax_errors_show_the_line_but_no_secret() {
    let reported = |text: &str| Config::from_text(text, Path::new(PATH), &environment()).unwrap_err().to_string();
    let unquoted = reported("[source]\nusername = \"ana\"\npassword = hunter2\n");
    assert!(unquoted.contains(":3:12: not TOML: "), "{unquoted}");
    assert!(!unquoted.contains("hunter2") && !unquoted.contains("ana"), "{unquoted}");
    assert!(unquoted.ends_with("\n     3 | password = …\n       |            ^"), "{unquoted}");
    let public = reported("[log]\nlevel = loud\n");
    assert!(public.ends_with("\n     2 | level = loud\n       |         ^"), "{public}");
    let unclosed = reported("[source]\npassword = \"hunter2\nusername = \"ana\"\n");
    assert!(unclosed.contains(":2:20: not TOML: "), "{unclosed}");
    assert!(!unclosed.contains("hunter2"), "{unclosed}");
    let twice = reported("[log]\nlevel = \"info\"\nlevel = \"hunter2\"\n");
    assert!(twice.contains(":3:1: log.level: this key is set twice") && !twice.contains("hunter2"), "{twice}");
}

#[test]
fn depth_does_no_harm() {
    for text in [
        "[".repeat(200_000),
        format!("a = {}", "[".repeat(200_000)),
        format!("a = {}", "{a=".repeat(200_000)),
        format!("{}b = 1", "a.".repeat(200_000)),
        format!("[{}b]", "a.".repeat(200_000)),
        format!("[log]\n{}b = 1", "a.".repeat(200_000)),
    ] {
        assert!(Config::from_text(&text, Path::new(PATH), &environment()).is_err());
    }
    let deep = environment_with(&[("WHATSAPP_ARCHIVER__SOURCE__PRODUCTS", &"[".repeat(100_000))]);
    assert!(Config::from_text(MINIMAL, Path::new(PATH), &deep).is_err());
}

/// Texts that are nearly configurations: the example with pieces cut, doubled, and replaced by what often goes wrong.
fn mutated_example() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("= ".to_owned()),
        Just("[".to_owned()),
        Just("\"".to_owned()),
        Just("'''".to_owned()),
        Just("{ env = \"".to_owned()),
        Just("\n[source]\n".to_owned()),
        Just("-9999999999999999999999".to_owned()),
        Just("1979-05-27T07:32:00Z".to_owned()),
        Just("\u{feff}\u{0}é\u{202e}".to_owned()),
        ".{0,8}",
    ];
    let edit = (any::<prop::sample::Index>(), 0_usize..40, piece);
    prop::collection::vec(edit, 1..8).prop_map(|edits| {
        let mut characters: Vec<char> = EXAMPLE.replace("\n#", "\n").chars().collect();
        for (at, removed, piece) in edits {
            let start = at.index(characters.len());
            let end = (start + removed).min(characters.len());
            characters.splice(start..end, piece.chars());
        }
        characters.into_iter().collect()
    })
}

/// A line in which a secret stands where it must not.
fn misplaced_secret() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "[source]\npassword",
        "[source]\nbase_url",
        "[source]\nkind",
        "[source]\npage_size",
        "[source]\nproducts",
        "[microsoft]\nclient_secret",
        "[microsoft]\nclient_id",
        "[microsoft]\ncloud",
        "[microsoft]\nlogin_url",
        "[staging]\nsas",
        "[staging]\nendpoint",
        "[staging]\nretain",
        "[staging]\nprefix",
        "[ledger]\nurl",
        "[ledger]\nlease",
        "[http]\nlisten",
        "[http]\ntoken",
        "[notify]\nwebhook",
        "[mailbox]\nmax_item_size",
        "[mailbox]\nlogin",
        "[schedule]\nat",
        "[schedule]\nstart_from",
        "[mapping]\nautomatic",
        "[log]\nlevel",
        "[unknown]\nx",
        "[log]\nunknown",
    ]);
    let form = prop::sample::select(vec![
        "\"@\"",
        "'@'",
        "@",
        "[\"@\"]",
        "{ value = \"@\" }",
        "{ env = \"@\" }",
        "\"\"\"@\n@\"\"\"",
        "\"@",
        "\"https://u:@@h/\"",
        "\"https://h/?@\"",
        "\"postgres://u:@@h/d\"",
        "\"postgres://h/d?password=@\"",
        "\" @\"",
        "\"@\" # @",
        "\"@\" @",
    ]);
    (key, form).prop_map(|(key, form)| format!("{key} = {}\n", form.replace('@', "hunter2Zx")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics_and_a_refusal_always_says_why(text in mutated_example()) {
        if let Err(problems) = Config::from_text(&text, Path::new(PATH), &environment()) {
            prop_assert!(!problems.problems().is_empty());
            prop_assert!(problems.problems().iter().all(|problem| !problem.what.is_empty()));
            prop_assert!(!problems.to_string().chars().any(|character| character.is_control() && character != '\n'));
        }
    }

    #[test]
    fn no_value_of_a_variable_panics(name in "WHATSAPP_ARCHIVER__[A-Z]{1,8}__[A-Z_]{1,8}|WHATSAPP_ARCHIVER__SOURCE__(PASSWORD|PRODUCTS|PAGE_SIZE)", value in ".{0,40}") {
        let environment = environment_with(&[(&name, &value)]);
        let _ = Config::from_text(MINIMAL, Path::new(PATH), &environment);
    }

    #[test]
    fn a_misplaced_secret_is_never_shown(lines in prop::collection::vec(misplaced_secret(), 1..4)) {
        let text = lines.concat();
        let read = Config::from_text(&text, Path::new(PATH), &environment());
        let Err(problems) = read else { return Ok(()) };
        prop_assert!(!problems.to_string().contains("hunter2Zx"), "{}\n{}", problems, text);
        let shown = format!("{problems:?}");
        prop_assert!(!shown.contains("hunter2Zx"), "{}\n{}", shown, text);
    }

    #[test]
    fn a_configuration_never_shows_its_secrets(value in "[a-z]{30}") {
        let config = read_with(MINIMAL, &[("TELEMESSAGE_PASSWORD", &value)]);
        let shown = format!("{config:?}");
        prop_assert!(!shown.contains(&value));
    }
}

#[test]
fn what_is_no_regular_file_is_reported_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (path, says) in [(pipe.to_str().unwrap(), "a named pipe, not a file"), ("/dev/zero", "a device, not a file")] {
        let (secret, certificates) = (format!("password = {{ file = \"{path}\" }}"), format!("ca_file = \"{path}\""));
        assert_only_problem(MINIMAL, &[("source", &secret)], "source.password", says);
        assert_only_problem(MINIMAL, &[("network", &certificates)], "network.ca_file", says);
    }
}

#[test]
fn a_file_that_is_no_configuration_is_one_clear_problem() {
    let folder = tempfile::tempdir().unwrap();
    let reported = |path: &Path| {
        let reported = Config::load(path, &environment(), NeededSecrets::All).unwrap_err();
        assert_eq!(reported.problems().len(), 1, "{reported}");
        assert!(reported.to_string().contains("whatsapp-archiver init"), "{reported}");
        reported.to_string()
    };
    assert!(reported(&folder.path().join("none.toml")).contains("can't be read: No such file"));
    assert!(reported(folder.path()).contains("can't be read: Is a directory"));
    let path = folder.path().join("config.toml");
    std::fs::write(&path, "# x\n".repeat(300_000)).unwrap();
    assert!(reported(&path).contains("larger than 1 MiB"));
    std::fs::write(&path, b"[source]\nusername = \"\xff\"\n").unwrap();
    assert!(reported(&path).contains("not text in UTF-8"));
}
