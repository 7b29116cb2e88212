//! What the program says of an outage, in the words that a document has room for.

use std::fmt::Write as _;

use serde_json::Value;

/// All that it says.
pub(super) struct Shown {
    /// What wakes somebody.
    pub(super) log: Vec<Value>,
    pub(super) page: Vec<String>,
    pub(super) metrics: Vec<String>,
    pub(super) posts: Vec<Value>,
}

/// The fields of a line of the log that are shown beside its message.
const FIELDS: [&str; 9] =
    ["cause", "deliveries", "mailboxes", "mailbox", "remote", "credential", "pause_seconds", "attempt", "item.no"];

impl Shown {
    /// The words that are missing: in the log, on the page, in metrics, in what is posted.
    pub(super) fn missing(&self, words: &[&[&str]; 4]) -> Vec<String> {
        let parts =
            [("log", self.log()), ("page", self.page()), ("metrics", self.metrics()), ("webhook", self.posts())];
        let mut missing = Vec::new();
        for ((name, text), words) in parts.iter().zip(words) {
            let absent = words.iter().filter(|word| !text.contains(*word));
            missing.extend(absent.map(|word| format!("{word:?} is not in the {name}: {text}")));
        }
        missing
    }

    pub(super) fn section(&self) -> String {
        format!(
            "\n**Log**\n\n```text\n{}```\n\n**Page**\n\n{}\n**Metrics**\n\n```text\n{}```\n\n**Webhook**\n\n```json\n{}```\n",
            self.log(),
            self.page(),
            self.metrics(),
            self.posts()
        )
    }

    /// The first line of each event and cause.
    fn log(&self) -> String {
        let mut text = String::new();
        let mut seen: Vec<(&Value, &Value)> = Vec::new();
        for line in &self.log {
            let kind = (&line["event"], &line["cause"]);
            // These people have made-up numbers, and the test's own files are everybody's.
            let is_aside = line["event"] == "mapping_warning" || line["event"] == "permissions_repaired";
            if is_aside || seen.contains(&kind) {
                continue;
            }
            seen.push(kind);
            let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            write!(text, "{} {}", word("level"), word("event")).unwrap();
            for field in FIELDS {
                match &line[field] {
                    Value::Null => {}
                    Value::String(value) => write!(text, " {field}={value}").unwrap(),
                    // How long a pause was is chance.
                    Value::Number(_) if field == "pause_seconds" => write!(text, " {field}=…").unwrap(),
                    value => write!(text, " {field}={value}").unwrap(),
                }
            }
            write!(text, "\n  {}", word("message")).unwrap();
            if !word("error").is_empty() {
                write!(text, "\n  error: {}", word("error")).unwrap();
            }
            text.push('\n');
        }
        neutral(&text)
    }

    fn page(&self) -> String {
        neutral(&lines(self.page.iter().map(|line| format!("- {line}"))))
    }

    fn metrics(&self) -> String {
        lines(self.metrics.iter().cloned())
    }

    fn posts(&self) -> String {
        let mut text = String::new();
        for post in &self.posts {
            let mut post = post.clone();
            for name in ["run", "time", "since"] {
                if post[name].is_string() {
                    post[name] = "…".into();
                }
            }
            writeln!(text, "{post}").unwrap();
        }
        neutral(&text)
    }
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.fold(String::new(), |text, line| text + &line + "\n")
}

/// What a page says of a trouble: its headline, errors, warnings, remotes that don't work, and causes.
pub(super) fn words(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let main = page.split_once("<main").unwrap().1;
    let headline = main.split_once("<p class=\"lead\">").unwrap().1;
    found.push(plain(headline.split_once("</p>").unwrap().0));
    for error in main.split("<p class=\"error").skip(1) {
        found.push(plain(error.split_once('>').unwrap().1.split_once("</p>").unwrap().0));
    }
    let rows = main.split("<tr>").skip(1).filter_map(|row| Some(row.split_once("</tr>")?.0));
    let is_trouble = |row: &&str| row.contains("does not work") || row.contains("data-label=\"Copies\"");
    // A cause that every participant shares has a row for each.
    found.extend(rows.filter(is_trouble).take(2).map(plain));
    found
}

/// The text of a piece of a page, on one line.
fn plain(html: &str) -> String {
    let mut text = String::new();
    for piece in html.split('<') {
        text.push(' ');
        text.push_str(piece.split_once('>').map_or(piece, |(_, text)| text));
    }
    let named = [("&#39;", "'"), ("&#34;", "\""), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")];
    let text = named.iter().fold(text, |text, (name, character)| text.replace(name, character));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The metrics that are not as on a good day.
pub(super) fn wrong_metrics(scrape: &str) -> Vec<String> {
    let is_wrong = |name: &str, value: &str| match name.split('{').next().unwrap_or_default() {
        "last_run_status" => value == "1" && !name.contains("\"complete\""),
        "remote_up" | "reload_ok" | "books_balanced" => value == "0",
        "pending_deliveries_by_cause" | "source_silent" | "silent_owners" => value != "0",
        "credential_expiry_timestamp_seconds" => true,
        _ => false,
    };
    let lines = scrape.lines().filter_map(|line| line.strip_prefix("whatsapp_archiver_"));
    let wrong = lines.filter(|line| line.rsplit_once(' ').is_some_and(|(name, value)| is_wrong(name, value)));
    wrong.map(|line| format!("whatsapp_archiver_{line}")).collect()
}

/// Without ports, directories, times and ids, which differ from run to run and would only be noise in a document.
fn neutral(text: &str) -> String {
    let without_ids =
        replaced(text, |part| part.is_ascii_hexdigit() || "-•".contains(part), |run| (run.len() >= 32).then_some("…"));
    let of_time = |part: char| part.is_ascii_digit() || "-:.TZ".contains(part);
    let without_times = replaced(&without_ids, of_time, |run| {
        let (dashes, colons) = (run.matches('-').count(), run.matches(':').count());
        let is_time = run.len() >= 8 && (colons == 2 || (run.starts_with("20") && dashes == 2));
        if run.starts_with("127.0.0.1:") { Some("127.0.0.1:…") } else { is_time.then_some("…") }
    });
    let mut shown = without_times.replace("… … UTC", "…");
    while let Some((before, path)) = shown.split_once("/tmp/") {
        let path = path.split_once('/').map_or(path, |(_, path)| path);
        shown = format!("{before}/var/lib/whatsapp-archiver/{path}");
    }
    shown
}

/// A text in which the runs of such characters are replaced that `by` has something for.
fn replaced(text: &str, is_part: impl Fn(char) -> bool, by: impl Fn(&str) -> Option<&'static str>) -> String {
    let (mut shown, mut run) = (String::new(), String::new());
    // A character that is no part ends the last run.
    for character in text.chars().chain(std::iter::once('\0')) {
        if is_part(character) {
            run.push(character);
            continue;
        }
        shown.push_str(by(&run).unwrap_or(&run));
        run.clear();
        shown.push(character);
    }
    shown.pop();
    shown
}
