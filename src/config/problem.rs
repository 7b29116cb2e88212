//! What is wrong with a configuration: where, which key, what, the line itself, and what to write instead.
//!
//! A value is shown only where it is no secret and doesn't look like one that was put in the wrong place; see
//! [`excerpt`](super::excerpt).

use std::fmt;
use std::path::{Path, PathBuf};

use super::excerpt::Excerpt;
use super::place::Place;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The key, such as `source.password`; or a section, such as `[microsoft]`; empty where there is none.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub instead: Option<String>,
    /// The line, as far as it may be shown.
    pub excerpt: Option<Excerpt>,
}

/// The administrator's tables that a configuration names.
#[derive(Debug, Clone, Default)]
pub struct NamedTables {
    pub mapping: Option<PathBuf>,
    pub users: Option<PathBuf>,
}

/// All that is wrong with a configuration: at least one problem, in the order of the file.
#[derive(Debug, Clone)]
pub struct ConfigProblems {
    path: PathBuf,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    tables: NamedTables,
}

impl ConfigProblems {
    pub(super) fn new(path: &Path, mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self { path: path.to_owned(), problems, warnings: Vec::new(), tables: NamedTables::default() }
    }

    /// The same with what else is worth knowing, and with the tables that the configuration names.
    pub(super) fn with(self, warnings: Vec<Problem>, tables: NamedTables) -> Self {
        Self { warnings, tables, ..self }
    }

    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The tables that it names all the same, which may have problems of their own.
    pub fn tables(&self) -> &NamedTables {
        &self.tables
    }
}

impl Problem {
    pub(super) fn new(place: Place, key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place, key: key.into(), what: what.into(), instead: None, excerpt: None }
    }

    pub(super) fn instead(self, instead: impl Into<String>) -> Self {
        Self { instead: Some(instead.into()), ..self }
    }

    pub(super) fn showing(self, excerpt: Option<Excerpt>) -> Self {
        Self { excerpt, ..self }
    }

    /// The problem as text, with the name of the file that it is in.
    pub fn in_file(&self, path: &Path) -> String {
        let path = path.display();
        let mut text = match &self.place {
            Place::File => format!("{path}: "),
            Place::Line { line, column: None } => format!("{path}:{line}: "),
            Place::Line { line, column: Some(column) } => format!("{path}:{line}:{column}: "),
            Place::Variable(name) => format!("{name} (environment): "),
        };
        if !self.key.is_empty() {
            text.push_str(&self.key);
            text.push_str(": ");
        }
        text.push_str(&self.what);
        if let Some(excerpt) = &self.excerpt {
            text.push_str(&format!("\n{excerpt}"));
        }
        if let Some(instead) = &self.instead {
            text.push_str("\n    instead: ");
            text.push_str(instead);
        }
        text
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => write!(f, "the configuration has a problem")?,
            count => write!(f, "the configuration has {count} problems")?,
        }
        for problem in &self.problems {
            write!(f, "\n{}", problem.in_file(&self.path))?;
        }
        for warning in &self.warnings {
            write!(f, "\nwarning: {}", warning.in_file(&self.path))?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigProblems {}
