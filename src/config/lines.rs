//! The lines of the file: where something stands, and what of a line may be shown.

use std::ops::Range;

use super::excerpt::{Excerpt, is_plain};
use super::place::Place;
use super::problem::Problem;
use super::schema::{Key, SectionSchema, Sections};

/// A name in the file, and where it stands.
pub(super) type Name<'a> = toml::Spanned<std::borrow::Cow<'a, str>>;

/// Whether a syntax error is only that a key or a section is there twice.
pub(super) fn is_duplicate(error: &toml::de::Error) -> bool {
    error.message() == "duplicate key"
}

/// A name from the file, bounded and without control characters, as it can be shown.
pub(super) fn shown(name: &str) -> String {
    const MAX_LENGTH: usize = 60;
    let mut shown: String = name.chars().take(MAX_LENGTH).flat_map(char::escape_debug).collect();
    if name.chars().nth(MAX_LENGTH).is_some() {
        shown.push('…');
    }
    shown
}

/// A text by its lines.
pub(super) struct Lines<'a> {
    text: &'a str,
    /// Where each line begins.
    starts: Vec<usize>,
    pub(super) sections: Sections,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str, sections: Sections) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after_breaks).collect(), sections }
    }

    /// The line, from 1, that holds the byte at `offset`.
    fn number(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).max(1)
    }

    pub(super) fn place(&self, span: Range<usize>) -> Place {
        Place::Line { line: self.number(span.start), column: None }
    }

    /// What is written there, where it may be shown.
    pub(super) fn shown(&self, span: Range<usize>) -> Option<String> {
        self.text.get(span).filter(|written| is_plain(written)).map(str::to_owned)
    }

    /// The line of a section's header; `None` where the section has none, as in `source.kind = …`.
    pub(super) fn header(&self, name: &Name<'_>) -> Option<Excerpt> {
        let before = self.text.get(..name.span().start)?;
        let is_header = before.trim_end_matches([' ', '\t']).ends_with('[');
        is_header.then(|| Excerpt::of_header(&self.place(name.span()), &shown(name.get_ref())))?
    }

    /// The section that the byte at `offset` lies in, as its header names it. Multi-line values may deceive it, which
    /// only decides what is shown of a line that is not TOML.
    fn section_at(&self, offset: usize) -> Option<&'static SectionSchema> {
        let before = self.text.get(..offset)?;
        let header = before.lines().rev().find_map(|line| line.trim().strip_prefix('['))?;
        self.sections.named(header.split(']').next()?.trim())
    }

    /// Only the parser's own words: its rendering of the error would show the line as it is.
    pub(super) fn syntax_problem(&self, error: &toml::de::Error) -> Problem {
        let span = error.span().unwrap_or(0..0);
        let number = self.number(span.start);
        let start = self.starts.get(number - 1).copied().unwrap_or(0);
        let line = self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let section = self.section_at(start);
        let column = self.text.get(start..span.start).map_or(1, |before| before.chars().count() + 1);
        let place = Place::Line { line: number, column: Some(column) };
        if is_duplicate(error) {
            return self.duplicate(place, line, section, span);
        }
        let is_public = |key: &str| section.and_then(|section| section.key(key)).is_some_and(Key::is_public);
        let excerpt = Excerpt::of_syntax(&place, line, column, is_public);
        Problem::new(place, "", format!("not TOML: {}", error.message())).showing(excerpt)
    }

    fn duplicate(&self, place: Place, line: &str, section: Option<&SectionSchema>, span: Range<usize>) -> Problem {
        let name = shown(self.text.get(span).unwrap_or_default());
        if line.trim_start().starts_with('[') {
            let excerpt = Excerpt::of_header(&place, &name);
            let problem = Problem::new(place, format!("[{name}]"), "this section is there twice");
            return problem.instead("one section with all its keys").showing(excerpt);
        }
        let key = section.map_or_else(|| name.clone(), |section| format!("{}.{name}", section.name));
        let excerpt = Excerpt::of_key(&place, &name, None);
        Problem::new(place, key, "this key is set twice").instead("one of the two").showing(excerpt)
    }
}
