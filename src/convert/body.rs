//! The body: one content, written twice, as plain text and as HTML.
//!
//! Both say the same, because both are written from one [`Body`], and both begin with what was said. The HTML is complete in
//! itself: no script, nothing remote, one short style sheet, tables and a few attributes for Outlook's Word engine, colours
//! that hold on light and on dark ground. In the plain text no line of a text can pass for one of the archive's own, see
//! [`markup`].

use askama::Template;

use self::markup::{Barred, FirstLines, Isolated, Lines, Plain, Value, direction};
use super::attachment::{Content, File};
use super::direction::{isolated, unmarked};
use super::group_event::{self, Naming};
use super::people::{People, display_text, listed, sender_of};
use super::said::{Opening, Said};
use super::section::{Fact, Look, Passage, PeopleList, Section, bytes, utc};
use super::{details, kind, other, picture};
use crate::item::{Chat, ImpossibleTime, Item, Kind};

mod markup;
mod particulars;
mod told;

/// What a message says.
pub(super) struct Body {
    from: String,
    to: Option<String>,
    heading: String,
    /// The heading says who did it.
    is_told: bool,
    when: String,
    said: Vec<Passage>,
    opening: Option<Opening>,
    notices: Vec<String>,
    /// What the item is about besides what was said: a call, an event, a place, a contact card.
    sections: Vec<Section>,
    files: Vec<FileRow>,
    /// Where it was said, and what is known of it besides.
    facts: Vec<Fact>,
    /// How it came into the archive: for the HTML alone. The plain text never goes without the header, which has the ids too.
    provenance: Vec<Fact>,
    references: Vec<Section>,
    people: Vec<PeopleList>,
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
        let mut lists = Vec::new();
        let Said { passages, opening } = Said::of(item, people);
        let sender = sender_of(item);
        let told = group_event::sentence(item, people, Naming::Names);
        Self {
            from: sender.map_or_else(|| "an unknown sender".to_owned(), |sender| people.label(sender)),
            to: addressee(item, people),
            is_told: told.is_some(),
            heading: told.unwrap_or_else(|| kind::heading(item, files)),
            when: match item.time.substituted {
                None => utc(item.time.at),
                Some(_) => format!("received {} (in place of the time at which it was sent)", utc(item.time.at)),
            },
            said: passages,
            opening,
            notices: notices(item, files, subject),
            sections: details::contents(item, people, files, &mut lists),
            files: files.iter().map(file_row).collect(),
            facts: particulars::of(item, people, &mut lists),
            provenance: particulars::provenance(item, people),
            references: details::references(item, people),
            people: lists,
        }
    }

    /// The text that the first line of the plain text begins with.
    fn opening(&self) -> Option<(&str, &str)> {
        let opening = self.opening.as_ref()?;
        Some((&opening.words, &self.said.get(opening.passage)?.text))
    }

    /// The texts that stand apart from the first line, each with its label.
    fn apart(&self) -> impl Iterator<Item = &Passage> {
        let opening = self.opening.as_ref().map(|opening| opening.passage);
        self.said.iter().enumerate().filter(move |(place, _)| Some(*place) != opening).map(|(_, passage)| passage)
    }

    /// What a list of messages shows of this one: the beginning of what was said.
    fn preview(&self) -> Option<String> {
        const MAX_CHARACTERS: usize = 60;
        let (_, text) = self.opening()?;
        let beginning: String = text.chars().take(MAX_CHARACTERS * 4).collect();
        // Whoever shows it says himself where it is cut.
        let shown = display_text(&beginning, MAX_CHARACTERS);
        Some(shown.trim_end_matches('…').to_owned()).filter(|preview| !preview.is_empty())
    }

    /// Whether there may be a word in it that is wider than a telephone.
    fn has_long_words(&self) -> bool {
        const LONG: usize = 30;
        let is_long = |text: &str| text.split_ascii_whitespace().any(|word| word.len() > LONG);
        let sections = self.sections.iter().chain(&self.references);
        let facts = sections.clone().flat_map(|section| &section.facts).chain(&self.facts).chain(&self.provenance);
        let passages = self.said.iter().chain(sections.flat_map(|section| &section.passages));
        let mut texts = facts.map(|fact| &fact.value).chain(passages.map(|passage| &passage.text));
        !self.files.is_empty() || is_long(&self.from) || texts.any(|text| is_long(text))
    }

    /// Whether there is a table of rows in it.
    fn has_rows(&self) -> bool {
        let mut sections = self.sections.iter().chain(&self.references);
        !self.files.is_empty() || sections.any(|section| !section.facts.is_empty())
    }

    /// Whether there is a text beside a bar in it.
    fn has_bars(&self) -> bool {
        let sections = self.sections.iter().chain(&self.references).flat_map(|section| &section.passages);
        let is_barred = |passage: &Passage| matches!(passage.look, Look::Old | Look::Quote);
        !self.notices.is_empty() || self.said.iter().chain(sections).any(is_barred)
    }

    /// What it says besides the item's own text and its header's fields, value by value.
    pub(super) fn remarks(self) -> impl Iterator<Item = (String, String)> {
        let labelled = ["Thread name", "Message status"];
        let facts = self.facts.into_iter().filter(move |fact| labelled.contains(&fact.label.as_ref()));
        let archived = self.provenance.into_iter().filter(|fact| fact.label == "Archived");
        let facts = facts.chain(archived).map(|fact| (fact.label.into_owned(), fact.value));
        let notices = self.notices.into_iter().map(|notice| ("Note".to_owned(), notice));
        let said = self.said.into_iter().filter(|passage| !passage.label.is_empty());
        let said = said.map(|passage| (passage.label.into_owned(), passage.text));
        let sections = self.sections.into_iter().chain(self.references).flat_map(|section| {
            let heading = section.heading.into_owned();
            let facts = section.facts.into_iter().map(|fact| (fact.label.into_owned(), fact.value));
            let passages = section.passages.into_iter().map(|passage| (passage.label.into_owned(), passage.text));
            let values: Vec<(String, String)> = facts.chain(passages).collect();
            values.into_iter().map(move |(label, value)| (format!("{heading}: {label}"), value))
        });
        let files = self.files.into_iter().map(|file| (format!("File {}", file.name), file.lines.join("\n")));
        let people = self.people.into_iter().map(|list| (list.heading, list.names.join(", ")));
        let all = facts.chain(notices).chain(said).chain(sections).chain(files).chain(people);
        all.map(|(label, value)| (unmarked(&label).into_owned(), unmarked(&value).into_owned()))
    }

    /// As plain text, lines ended by LF.
    pub(super) fn to_text(&self) -> String {
        rendered(&Text { body: self }, self.text_length())
    }

    /// As HTML, lines ended by LF.
    pub(super) fn to_html(&self) -> String {
        const MARKUP: usize = 1500;
        rendered(&Html { body: self }, MARKUP + self.text_length() * 9 / 8)
    }

    /// About the length of the body as text, so that most are written without growing.
    fn text_length(&self) -> usize {
        const PARTICULARS: usize = 1000;
        PARTICULARS + self.said.iter().map(|passage| passage.text.len()).sum::<usize>()
    }
}

/// Writing to a `String` fails only where a value's own `Display` does, and none here does.
fn rendered(template: &impl Template, length: usize) -> String {
    let mut text = String::with_capacity(length);
    let written = template.render_into(&mut text);
    debug_assert!(written.is_ok());
    text
}

/// To whom: the group or list, else the recipients. A status post goes to whoever looks.
fn addressee(item: &Item, people: &People<'_>) -> Option<String> {
    const MAX_NAMED: usize = 3;
    if item.kind == Kind::StatusPost {
        return Some("everyone who sees their status".to_owned());
    }
    if item.chat != Chat::Direct {
        return Some(match item.recipients.len() {
            0 => particulars::chat(item),
            1 => format!("{} of 1 recipient", particulars::chat_name(item)),
            count => format!("{} of {count} recipients", particulars::chat_name(item)),
        });
    }
    (!item.recipients.is_empty())
        .then(|| listed(item.recipients.iter(), |recipient| people.label(recipient), MAX_NAMED))
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
                format!("The item's own time can't be read: {}", isolated(&display_text(shown, 500)))
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
    if other::is_empty(item) {
        notices.push("There is nothing in this message: no text, no file, and nothing else that was said.".to_owned());
    }
    if item.encrypted {
        notices.push("The item's content is encrypted; what is shown is what could be read.".to_owned());
    }
    let own_subject = item.subject.as_deref().map(|subject| display_text(subject, 10_000)).unwrap_or_default();
    if !own_subject.is_empty() && own_subject != subject {
        notices.push(format!("The subject was shortened. It reads: {}", isolated(&own_subject)));
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
            lines.push(format!("{state}: {}", isolated(&display_text(detail, 1000))));
        }
    }
    lines.extend(file.note.as_ref().map(|note| format!("Note: {}", isolated(note))));
    let declared = file.declared_name.map(|name| display_text(name, 500)).filter(|declared| *declared != file.name);
    lines.extend(declared.map(|declared| format!("Named by its sender: {}", isolated(&declared))));
    FileRow { number: file.index + 1, name: file.name.clone(), lines, picture: shown }
}
