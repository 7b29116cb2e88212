//! The body: one content, written twice, as plain text and as HTML.
//!
//! Both say the same, because both are written from one [`Body`]. The HTML is complete in itself: no script, nothing
//! remote, tables and inline styles for Outlook's Word engine, colours that hold on light and on dark ground.

use std::fmt;

use askama::Template;
use askama::filters::HtmlSafe;

use super::attachment::{Content, File};
use super::people::{People, display_text};
use super::section::{Fact, Section, bytes, utc};
use super::{details, kind, picture};
use crate::item::text::printable;
use crate::item::{Direction, ImpossibleTime, Item, Kind};

/// What a message says.
pub(super) struct Body {
    heading: String,
    facts: Vec<Fact>,
    notices: Vec<String>,
    text: Option<String>,
    sections: Vec<Section>,
    files: Vec<FileRow>,
}

struct FileRow {
    number: usize,
    name: String,
    /// Type, size and what else there is to say, one line each.
    lines: Vec<String>,
    picture: Option<Picture>,
}

struct Picture {
    content_id: String,
    width: Option<u32>,
}

#[derive(Template)]
#[template(path = "message.html", whitespace = "suppress")]
struct Html<'a> {
    title: &'a str,
    body: &'a Body,
}

#[derive(Template)]
#[template(path = "message.txt", whitespace = "suppress")]
struct Text<'a> {
    body: &'a Body,
}

impl Body {
    /// What an item's message says.
    pub(super) fn of(item: &Item, people: &People<'_>, files: &[File<'_>], subject: &str) -> Self {
        Self {
            heading: kind::heading(item, files),
            facts: header_table(item, people),
            notices: notices(item, files, subject),
            text: (!item.text.is_empty()).then(|| printable(&item.text).into_owned()),
            sections: details::sections(item, people, files),
            files: files.iter().map(file_row).collect(),
        }
    }

    /// What it says besides the item's own text and its header's fields, value by value.
    pub(super) fn remarks(self) -> impl Iterator<Item = (String, String)> {
        let labelled = ["Thread name", "Message status"];
        let facts = self.facts.into_iter().filter(move |fact| labelled.contains(&fact.label.as_ref()));
        let facts = facts.map(|fact| (fact.label.into_owned(), fact.value));
        let notices = self.notices.into_iter().map(|notice| ("Note".to_owned(), notice));
        let sections = self.sections.into_iter().flat_map(|section| {
            let heading = section.heading.into_owned();
            let facts = section.facts.into_iter().map(|fact| (fact.label.into_owned(), fact.value));
            let passages = section.passages.into_iter().map(|passage| (passage.label.to_owned(), passage.text));
            let values: Vec<(String, String)> = facts.chain(passages).collect();
            values.into_iter().map(move |(label, value)| (format!("{heading}: {label}"), value))
        });
        let files = self.files.into_iter().map(|file| (format!("File {}", file.name), file.lines.join("\n")));
        facts.chain(notices).chain(sections).chain(files)
    }

    /// As plain text, lines ended by LF.
    pub(super) fn to_text(&self) -> String {
        rendered(&Text { body: self }, self.text_length())
    }

    /// As HTML, lines ended by LF.
    pub(super) fn to_html(&self, title: &str) -> String {
        const MARKUP: usize = 3000;
        rendered(&Html { title, body: self }, MARKUP + self.text_length() * 9 / 8)
    }

    /// About the length of the body as text, so that most are written without growing.
    fn text_length(&self) -> usize {
        const PARTICULARS: usize = 1000;
        PARTICULARS + self.text.as_ref().map_or(0, String::len)
    }
}

/// Writing to a `String` fails only where a value's own `Display` does, and none here does.
fn rendered(template: &impl Template, length: usize) -> String {
    let mut text = String::with_capacity(length);
    let written = template.render_into(&mut text);
    debug_assert!(written.is_ok());
    text
}

fn header_table(item: &Item, people: &People<'_>) -> Vec<Fact> {
    let mut facts = vec![Fact::new("Chat", chat(item))];
    let sender = super::sender_of(item);
    facts.push(Fact::new("From", sender.map_or_else(|| "unknown".to_owned(), |sender| people.label(sender))));
    if !item.recipients.is_empty() {
        let recipients: Vec<String> = item.recipients.iter().map(|recipient| people.label(recipient)).collect();
        facts.push(Fact::new("To", recipients.join(", ")));
    }
    let time_label = if item.time.substituted.is_some() { "Received (in place of sent)" } else { "Sent" };
    facts.push(Fact::new(time_label, utc(item.time.at)));
    if let Some(received) = item.received {
        facts.push(Fact::new("Archived", utc(received)));
    }
    let owner = item.owner.as_ref().map(|owner| match item.direction {
        Some(Direction::In) => format!("{} (received it)", people.label(owner)),
        Some(Direction::Out) => format!("{} (sent it)", people.label(owner)),
        None => people.label(owner),
    });
    facts.extend(owner.map(|owner| Fact::new("Owner", owner)));
    facts.push(Fact::new("Captured by", display_text(item.product.name(), 200)));
    facts.push(Fact::new("WhatsApp message id", display_text(&item.message_id, 1000)));
    facts.push(Fact::new("Archive item", item.id.to_string()));
    facts.extend(item.thread_id.as_deref().map(|thread| Fact::new("Thread", display_text(thread, 1000))));
    facts.extend(thread_name(item).map(|name| Fact::new("Thread name", name)));
    facts.extend(message_status(item).map(|status| Fact::new("Message status", status)));
    facts
}

fn thread_name(item: &Item) -> Option<String> {
    item.thread_name.as_deref().map(|name| display_text(name, 500))
}

/// `NA` is TeleMessage's word for none.
fn message_status(item: &Item) -> Option<String> {
    item.message_status.as_deref().filter(|status| *status != "NA").map(|status| display_text(status, 200))
}

fn chat(item: &Item) -> String {
    if item.kind == Kind::StatusPost {
        return kind::STATUS_CHAT.to_owned();
    }
    let kind = kind::chat(&item.chat);
    let Some(chat) = item.chat.name() else { return kind.to_owned() };
    let name = chat.name.as_deref().map(|name| display_text(name, 500));
    let id = chat.id.as_deref().or(chat.data_id.as_deref()).map(|id| display_text(id, 500));
    match (name, id) {
        (Some(name), Some(id)) => format!("{name} ({kind}, {id})"),
        (Some(one), None) | (None, Some(one)) => format!("{one} ({kind})"),
        (None, None) => kind.to_owned(),
    }
}

fn notices(item: &Item, files: &[File<'_>], subject: &str) -> Vec<String> {
    let mut notices = Vec::new();
    if let Some(own) = &item.time.substituted {
        let own = match own {
            ImpossibleTime::Missing => "The item has no time of its own".to_owned(),
            ImpossibleTime::Impossible(millis) => {
                format!("The item's own time is impossible ({millis} in epoch milliseconds)")
            }
            ImpossibleTime::Unreadable(shown) => {
                format!("The item's own time can't be read: {}", display_text(shown, 500))
            }
        };
        notices.push(format!("{own}; the time at which the archiver received it stands in its place."));
    }
    let missing = files.iter().filter(|file| matches!(file.content, Content::Absent { .. })).count();
    if missing > 0 {
        let of = item.attachments.len().max(missing);
        notices.push(format!(
            "This copy is partial: {missing} of {of} attachments not included; see below which and why."
        ));
    }
    if item.encrypted {
        notices.push("The item's content is encrypted; what is shown is what could be read.".to_owned());
    }
    let own_subject = item.subject.as_deref().map(|subject| display_text(subject, 10_000)).unwrap_or_default();
    if !own_subject.is_empty() && own_subject != subject {
        notices.push(format!("The subject was shortened. It reads: {own_subject}"));
    }
    notices
}

fn file_row(file: &File<'_>) -> FileRow {
    let mut lines = Vec::with_capacity(4);
    let mut shown = None;
    match &file.content {
        Content::Present { bytes: content, digest, content_id, .. } => {
            lines.push(format!("{}, {}", file.content_type, bytes(content.len() as u64)));
            lines.push(format!("SHA-256 {digest}"));
            shown = content_id.clone().map(|content_id| Picture { content_id, width: picture::shown_width(content) });
        }
        Content::Absent { detail, corrupt } => {
            let size = file.declared_size.map(|size| format!(", {} declared", bytes(size))).unwrap_or_default();
            lines.push(format!("{}{size}", file.content_type));
            let state = if *corrupt { "Not included, its bytes are wrong" } else { "Not included" };
            lines.push(format!("{state}: {}", display_text(detail, 1000)));
        }
    }
    lines.extend(file.note.as_ref().map(|note| format!("Note: {note}")));
    let declared = file.declared_name.map(|name| display_text(name, 500)).filter(|declared| *declared != file.name);
    lines.extend(declared.map(|declared| format!("Named by its sender: {declared}")));
    FileRow { number: file.index + 1, name: file.name.clone(), lines, picture: shown }
}

/// Text of any number of lines in HTML: escaped, each line end a `<br>`.
struct Lines<'a>(&'a str);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plain_from = 0;
        for (at, byte) in self.0.bytes().enumerate() {
            let replacement = match byte {
                b'\n' => "<br>",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'&' => "&amp;",
                b'"' => "&quot;",
                b'\'' => "&#39;",
                _ => continue,
            };
            f.write_str(self.0.get(plain_from..at).unwrap_or_default())?;
            f.write_str(replacement)?;
            plain_from = at + 1;
        }
        f.write_str(self.0.get(plain_from..).unwrap_or_default())
    }
}

impl HtmlSafe for Lines<'_> {}

/// Text as a quotation: each line after `> `.
struct Quotation<'a>(&'a str);

impl fmt::Display for Quotation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.0.split('\n') {
            f.write_str(if line.is_empty() { ">" } else { "> " })?;
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

/// The direction of a text: right to left where its first letter is. `auto` leaves the rest to the reader's program; the
/// Word engine knows no `auto` and reads from the left.
fn direction(text: &str) -> &'static str {
    let is_right_to_left = |character: char| {
        matches!(character,
            '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'
            | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
    };
    let first_letter = text.chars().take(1000).find(|character| character.is_alphabetic());
    if first_letter.is_some_and(is_right_to_left) { "rtl" } else { "auto" }
}

/// The side of a text on which its lines begin.
fn side(text: &str) -> &'static str {
    if direction(text) == "rtl" { "right" } else { "left" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_escaped_and_broken() {
        assert_eq!(Lines("a<b>\n\"&'c").to_string(), "a&lt;b&gt;<br>&quot;&amp;&#39;c");
        assert_eq!(Lines("").to_string(), "");
    }

    #[test]
    fn direction_follows_the_first_letter() {
        assert_eq!(direction("1. שלום hello"), "rtl");
        assert_eq!(direction("hello שלום"), "auto");
        assert_eq!(direction("مرحبا"), "rtl");
        assert_eq!(direction("…"), "auto");
    }
}
