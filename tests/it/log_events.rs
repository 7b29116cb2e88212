//! `docs/logs.md` is the closed list of log events: every event of the source is in it, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The events that the source files under `folder` log.
fn logged(folder: &Path, events: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            logged(&path, events);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for macro_name in ["trace!(", "debug!(", "info!(", "warn!(", "error!("] {
            for (place, _) in lines.match_indices(macro_name) {
                let logged = lines[place + macro_name.len()..].trim_start();
                let shown: String = logged.chars().take(80).collect();
                assert!(logged.starts_with("event = "), "{}: a line without an event: {shown}", path.display());
            }
        }
        for (place, _) in lines.match_indices("event = ") {
            if ["let ", "mut ", "."].iter().any(|word| lines[..place].ends_with(word)) {
                continue;
            }
            let name = lines[place + "event = ".len()..].strip_prefix('"').and_then(|rest| rest.split('"').next());
            let name = name.unwrap_or_else(|| panic!("{}: an event's name is a literal", path.display()));
            events.insert(name.to_owned());
        }
    }
}

#[test]
fn the_list_of_events_is_closed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut events = BTreeSet::new();
    logged(&root.join("src"), &mut events);
    assert!(events.len() > 20, "{events:?}");
    let list = fs::read_to_string(root.join("docs/logs.md")).unwrap();
    let rows: Vec<&str> = list.lines().filter_map(|line| line.strip_prefix("| `")).collect();
    let names: Vec<&str> = rows.iter().map(|row| row.split('`').next().unwrap()).collect();
    let documented: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(documented.len(), names.len(), "an event is listed twice");
    let missing: Vec<&String> = events.difference(&documented).collect();
    let stale: Vec<&String> = documented.difference(&events).collect();
    assert!(missing.is_empty() && stale.is_empty(), "not in docs/logs.md: {missing:?}; no longer logged: {stale:?}");
}
