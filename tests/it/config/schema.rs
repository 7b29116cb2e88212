//! The JSON schema of the configuration: it has every key, takes what the program takes, and names the defaults in effect.

use serde_json::{Map, Value as Json, json};
use whatsapp_archiver::config::{Config, EXAMPLE, json_schema};

use super::{LOCAL, MINIMAL, environment, key_of, problems, read, root, with};

/// A configuration with an IMAP server.
fn imap() -> String {
    with(MINIMAL, &[("mailbox", "kind = \"imap\""), ("mailbox", "host = \"imap.example\"")])
}

fn is_valid(text: &str) -> bool {
    let table: toml::Table = text.parse().unwrap();
    jsonschema::validator_for(&json_schema()).unwrap().is_valid(&to_json(&toml::Value::Table(table)))
}

fn to_json(value: &toml::Value) -> Json {
    match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(value) => json!(value),
        toml::Value::Datetime(datetime) => json!(datetime.to_string()),
        toml::Value::Array(values) => values.iter().map(to_json).collect(),
        toml::Value::Table(entries) => {
            Json::Object(entries.iter().map(|(key, value)| (key.clone(), to_json(value))).collect())
        }
    }
}

fn keys(section: &str) -> Map<String, Json> {
    json_schema()["properties"][section]["properties"].as_object().unwrap_or_else(|| panic!("{section}")).clone()
}

/// Each line of the example that sets a key, or would set it without its `#`, with its section.
fn settings_of_example() -> Vec<(&'static str, &'static str)> {
    let (mut section, mut settings) = ("", Vec::new());
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some(setting) = Some(line.strip_prefix('#').unwrap_or(line)).filter(|line| {
            let key = key_of(line);
            !key.is_empty() && !key.contains([' ', '`'])
        }) {
            settings.push((section, setting));
        }
    }
    settings
}

#[test]
fn every_key_of_the_example_is_in_the_schema_and_explained() {
    let settings = settings_of_example();
    assert!(settings.len() > 60, "{}", settings.len());
    for (section, setting) in settings {
        let key = &keys(section)[key_of(setting)];
        assert!(key.is_object(), "{section}: {setting}");
        // What needs no more words than its section: [http] listen.
        let explained = key["description"].as_str().is_some_and(|text| text.len() > 10);
        assert!(explained || setting.starts_with("listen ="), "{section}: {setting}");
    }
    for (name, section) in json_schema()["properties"].as_object().unwrap() {
        let described = section["description"].as_str().unwrap();
        assert!(!described.is_empty() && !described.contains("---"), "{name}: {described}");
    }
    assert_eq!(keys("source")["downloads"]["description"], "How many attachments are downloaded at the same time.");
}

#[test]
fn each_default_of_the_schema_is_the_one_in_effect() {
    // The digest of the file's text is all that may differ.
    let shown = |text: &str| {
        let config = read(text);
        format!("{:#?}", Config { sha256: whatsapp_archiver::digest::Digest::of(b""), ..config })
    };
    let bases = [with(MINIMAL, &[("http", "listen = \"127.0.0.1:8080\"")]), imap()];
    let mut checked = 0;
    for (section, name) in settings_of_example().into_iter().map(|(section, setting)| (section, key_of(setting))) {
        let Some(default) = keys(section)[name].get("default").cloned() else { continue };
        let line = format!("{name} = {default}");
        let base = bases.iter().find(|base| problems_of(&with(base, &[(section, &line)])).is_empty());
        let stated = with(base.unwrap_or_else(|| panic!("{section}.{line}")), &[(section, &line)]);
        let left_out: Vec<&str> = stated.lines().filter(|it| *it != line).collect();
        assert_eq!(shown(&left_out.join("\n")), shown(&stated), "{section}.{line}");
        checked += 1;
    }
    assert!(checked >= 40, "{checked}");
}

fn problems_of(text: &str) -> Vec<String> {
    match Config::from_text(text, std::path::Path::new(super::PATH), &environment()) {
        Ok(_) => Vec::new(),
        Err(_) => problems(text, &environment()),
    }
}

#[test]
fn the_schema_takes_what_is_right() {
    assert!(is_valid(EXAMPLE));
    for name in ["compose.toml", "local.toml"] {
        assert!(is_valid(&std::fs::read_to_string(root().join("config").join(name)).unwrap()), "{name}");
    }
    for text in [MINIMAL, LOCAL, &imap()] {
        assert!(is_valid(text), "{text}");
    }
    for (section, line) in [
        ("schedule", "every = \"1h30m\""),
        ("schedule", "start_from = 2026-11-01T00:00:00Z"),
        ("staging", "retain = \"forever\""),
        ("source", "max_attachment_size = 1048576"),
        ("source", "password = { file = \"/run/secrets/telemessage\" }"),
    ] {
        assert!(is_valid(&with(MINIMAL, &[(section, line)])), "{line}");
    }
}

#[test]
fn the_schema_refuses_what_is_wrong() {
    for (section, line) in [
        ("shedule", "every = \"24h\""),
        ("schedule", "evry = \"24h\""),
        ("schedule", "every = 24"),
        ("schedule", "every = \"forever\""),
        ("source", "kind = \"telemesage\""),
        ("source", "page_size = 0"),
        ("source", "page_size = \"500\""),
        ("source", "products = [\"signal\"]"),
        ("source", "password = \"hunter2\""),
        ("source", "password = { env = \"A\", file = \"b\" }"),
        ("source", "path = \"export\""),
        ("mailbox", "host = \"imap.example\""),
    ] {
        let text = with(MINIMAL, &[(section, line)]);
        assert!(!is_valid(&text), "{line}");
        assert!(!problems_of(&text).is_empty(), "the program takes what the schema refuses: {line}");
    }
}
