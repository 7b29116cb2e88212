//! What is wrong with a configuration, told so that it can be mended: where, which key, what, and what to write instead.
//!
//! No value of the configuration is ever shown, and no line of it: any of them may hold a secret that was put in the
//! wrong place. The line number and the key are enough to find it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a problem lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A line of the file, from 1.
    Line {
        /// The line.
        line: usize,
        /// The character in the line, from 1, where only that tells what is meant.
        column: Option<usize>,
    },
    /// A variable of the environment.
    Variable(String),
}

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
}

/// The administrator's tables that a configuration names.
#[derive(Debug, Clone, Default)]
pub struct NamedTables {
    /// The mapping file.
    pub mapping: Option<PathBuf>,
    /// The user list.
    pub users: Option<PathBuf>,
}

/// All that is wrong with a configuration: at least one problem, in the order of the file.
#[derive(Debug, Clone)]
pub struct ConfigProblems {
    path: PathBuf,
    problems: Vec<Problem>,
    tables: NamedTables,
}

impl ConfigProblems {
    pub(super) fn new(path: &Path, mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self { path: path.to_owned(), problems, tables: NamedTables::default() }
    }

    pub(super) fn naming(self, tables: NamedTables) -> Self {
        Self { tables, ..self }
    }

    /// The configuration file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The problems.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The tables that it names all the same, which may have problems of their own.
    pub fn tables(&self) -> &NamedTables {
        &self.tables
    }
}

impl Problem {
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
        Ok(())
    }
}

impl std::error::Error for ConfigProblems {}
