//! A body as a few lines for a transcript, whose page has the time and the files already: what happened, and whatever else of
//! it the page doesn't say.

use super::Body;
use crate::convert::direction::{isolated, isolated_lines};
use crate::convert::section::{Passage, Section};

impl Body {
    /// The lines. `sentence` takes the place of who, what and to whom where there is one, and of the particulars of the event
    /// whose labels are in `said`. Values stand between marks, see [`direction`](crate::convert::direction).
    pub(in crate::convert) fn told(&self, sentence: Option<String>, said: &[&str]) -> String {
        let first = sentence.unwrap_or_else(|| match &self.to {
            Some(to) => format!("{}, from {} to {to}", self.heading, self.from),
            None => format!("{}, from {}", self.heading, self.from),
        });
        let mut lines = vec![first];
        lines.extend(self.said.iter().map(passage));
        lines.extend(self.notices.iter().map(|notice| format!("Note: {notice}")));
        for section in self.sections.iter().chain(&self.references) {
            let own = if section.heading == "Event" { said } else { &[] };
            lines.extend(section_lines(section, own));
        }
        let file = |file: &super::FileRow| format!("File {}: {}", isolated(&file.name), file.lines.join("; "));
        lines.extend(self.files.iter().map(file));
        // The page's head names the chat; whom a sentence doesn't name is among the participants there.
        let shown = self.facts.iter().filter(|fact| fact.label != "Chat");
        lines.extend(shown.map(|fact| format!("{}: {}", fact.label, value(&fact.value))));
        lines.extend(self.people.iter().map(|list| format!("{}: {}", list.heading, list.names.join(", "))));
        lines.join("\n")
    }
}

fn section_lines(section: &Section, said: &[&str]) -> Vec<String> {
    let facts = section.facts.iter().filter(|fact| !said.contains(&fact.label.as_ref()));
    let facts: Vec<String> = facts.map(|fact| format!("{}: {}", isolated(&fact.label), value(&fact.value))).collect();
    let facts = (!facts.is_empty()).then(|| format!("{}. {}", section.heading, facts.join("; ")));
    let link = section.link.as_ref().map(|link| format!("Link: {link}"));
    facts.into_iter().chain(link).chain(section.passages.iter().map(passage)).collect()
}

fn passage(passage: &Passage) -> String {
    let text = isolated_lines(&passage.text);
    let separator = if text.contains('\n') { ":\n" } else { ": " };
    if passage.label.is_empty() { text } else { format!("{}{separator}{text}", passage.label) }
}

/// A value that has no marks is one from outside, or all ASCII.
fn value(value: &str) -> String {
    if value.contains(crate::convert::direction::ISOLATE) { value.to_owned() } else { isolated(value).into_owned() }
}
