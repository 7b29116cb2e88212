//! The table of all sections.

use super::schema::Sections;
use super::{
    http, ledger, log, mailbox, mapping, microsoft, network, notify, report, retry, schedule, source, staging, users,
};

/// All sections, in the order of the example.
pub(super) const SECTIONS: Sections = Sections(&[
    &source::SCHEMA,
    &schedule::SCHEMA,
    &staging::SCHEMA,
    &mapping::SCHEMA,
    &users::SCHEMA,
    &microsoft::SCHEMA,
    &mailbox::SCHEMA,
    &ledger::SCHEMA,
    &http::SCHEMA,
    &report::SCHEMA,
    &notify::SCHEMA,
    &network::SCHEMA,
    &retry::SCHEMA,
    &log::SCHEMA,
]);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::super::schema::{Condition, Key, SectionSchema, Shape};
    use super::super::{Config, EXAMPLE, Problem};
    use super::SECTIONS;

    /// The example with lines of our choosing: for each, the section, the key and the whole line.
    fn example_with(changes: &[(&str, &str, String)]) -> String {
        let mut section = String::new();
        let mut text = String::new();
        for line in EXAMPLE.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
            }
            let setting = setting_of(line);
            let change = changes.iter().find(|(in_section, key, _)| *in_section == section && Some(*key) == setting);
            text.push_str(change.map_or(line, |(_, _, line)| line));
            text.push('\n');
        }
        text
    }

    /// The key that a line of the example sets, or would set without its `#`.
    fn setting_of(line: &str) -> Option<&str> {
        let line = line.strip_prefix('#').unwrap_or(line);
        let key = line.split_once(" = ")?.0;
        (!key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'))
            .then_some(key)
    }

    fn problems(text: &str) -> Vec<Problem> {
        let environment: BTreeMap<String, String> = [
            "TELEMESSAGE_PASSWORD",
            "STAGING_SAS",
            "IMAP_PASSWORD",
            "LEDGER_PASSWORD",
            "STATUS_TOKEN",
            "ALERT_WEBHOOK",
        ]
        .map(|name| (name.to_owned(), "https://alerts.example/".to_owned()))
        .into();
        match Config::from_text(text, Path::new("/etc/whatsapp-archiver/config.toml"), &environment) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.problems().to_vec(),
        }
    }

    fn chosen(section: &'static SectionSchema, conditions: &[Condition]) -> Vec<(&'static str, &'static str, String)> {
        let line = |it: &Condition| (section.name, it.key, format!("{} = \"{}\"", it.key, it.value));
        conditions.iter().map(line).collect()
    }

    fn all_keys() -> impl Iterator<Item = (&'static SectionSchema, &'static Key)> {
        SECTIONS.iter().flat_map(|section| section.keys.iter().map(move |key| (section, key)))
    }

    #[test]
    fn the_example_has_every_key_once_and_no_other() {
        let mut section = "";
        let mut in_example = Vec::new();
        for line in EXAMPLE.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']');
            } else if let Some(key) = setting_of(line) {
                in_example.push(format!("{section}.{key}"));
            }
        }
        in_example.sort();
        let mut known: Vec<String> =
            all_keys().map(|(section, key)| format!("{}.{}", section.name, key.name)).collect();
        known.sort();
        assert_eq!(in_example, known);
    }

    #[test]
    fn every_worked_value_and_every_line_of_the_example_is_right() {
        for (section, key) in all_keys() {
            let name = format!("{}.{}", section.name, key.name);
            let line = EXAMPLE
                .split(&format!("\n[{}]\n", section.name))
                .nth(1)
                .and_then(|rest| rest.lines().find(|line| setting_of(line) == Some(key.name)))
                .unwrap_or_else(|| panic!("{name}"));
            for line in [line.trim_start_matches('#').to_owned(), format!("{} = {}", key.name, key.example)] {
                let mut changes = chosen(section, key.only);
                changes.push((section.name, key.name, line));
                let wrong: Vec<Problem> = problems(&example_with(&changes))
                    .into_iter()
                    .filter(|problem| problem.key == name)
                    .filter(|problem| !key.is_placeholder || !problem.what.contains("the placeholder of the template"))
                    .filter(|problem| !problem.what.contains("contradicts") && !problem.what.contains("postgres"))
                    .filter(|problem| !problem.what.contains("can't be read: No such file"))
                    .collect();
                assert!(wrong.is_empty(), "{name}: {wrong:?}");
            }
        }
    }

    #[test]
    fn every_key_is_read() {
        for (section, key) in all_keys() {
            let mut changes = chosen(section, key.only);
            changes.push((section.name, key.name, format!("{} = -1.5", key.name)));
            let name = format!("{}.{}", section.name, key.name);
            let wrong = problems(&example_with(&changes));
            assert!(
                wrong.iter().any(|it| it.key == name && it.what.contains("expected here, not a fraction")),
                "{name}: {wrong:?}"
            );
        }
    }

    #[test]
    fn a_key_of_another_kind_says_which() {
        let mut checked = 0;
        for (section, key) in all_keys() {
            let name = format!("{}.{}", section.name, key.name);
            for (position, condition) in key.only.iter().enumerate() {
                let Shape::Choice(names) = section.key(condition.key).unwrap().shape else { panic!("{name}") };
                let other = names().into_iter().find(|name| *name != condition.value).unwrap();
                let mut changes = chosen(section, &key.only[..position]);
                changes.push((section.name, condition.key, format!("{} = \"{other}\"", condition.key)));
                changes.push((section.name, key.name, format!("{} = {}", key.name, key.example)));
                let wrong = problems(&example_with(&changes));
                let said = format!("this key is for {} = \"{}\"", condition.key, condition.value);
                assert!(wrong.iter().any(|it| it.key == name && it.what.starts_with(&said)), "{name}: {wrong:?}");
                checked += 1;
            }
        }
        assert!(checked >= 30, "{checked}");
    }

    #[test]
    fn conditions_name_choices_and_their_values() {
        for (section, key) in all_keys() {
            for condition in key.only {
                let Some(Shape::Choice(names)) = section.key(condition.key).map(|key| key.shape) else {
                    panic!("{}.{}", section.name, key.name)
                };
                assert!(names().contains(&condition.value), "{}.{}", section.name, key.name);
            }
        }
    }
}
