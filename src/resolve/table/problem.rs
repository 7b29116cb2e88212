//! What is wrong with a table, by line and column.

use std::fmt;
use std::sync::Arc;

/// How many problems of each severity are kept; more are only counted.
const MAX_KEPT: usize = 10_000;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file can't be used.
    Error,
    /// The file can be used, but perhaps doesn't say what was meant.
    Warning,
}

/// A problem and where it is. Displays as `mapping.csv:12:3: error: …`; phone numbers are masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file's name.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters, from 1.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}:{}: {severity}: {}", self.file, self.line, self.column, self.message)
    }
}

/// All problems of a file, in the order of its lines.
#[derive(Debug, Clone)]
pub struct Problems {
    file: Arc<str>,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    omitted: usize,
}

impl Problems {
    /// No problems yet.
    pub(in crate::resolve) fn new(file: &str) -> Self {
        Self { file: file.into(), errors: Vec::new(), warnings: Vec::new(), omitted: 0 }
    }

    /// Adds what makes the file unusable.
    pub(in crate::resolve) fn error(&mut self, line: usize, column: usize, message: String) {
        let problem = Problem { file: Arc::clone(&self.file), line, column, severity: Severity::Error, message };
        keep(&mut self.errors, problem, &mut self.omitted);
    }

    /// Adds what may not be what was meant.
    pub(in crate::resolve) fn warning(&mut self, line: usize, column: usize, message: String) {
        let problem = Problem { file: Arc::clone(&self.file), line, column, severity: Severity::Warning, message };
        keep(&mut self.warnings, problem, &mut self.omitted);
    }

    /// How many errors are kept.
    pub(in crate::resolve) fn errors(&self) -> usize {
        self.errors.len()
    }

    /// Forgets the errors after the first `kept`, and those that were not kept; returns how many.
    pub(in crate::resolve) fn drop_errors_after(&mut self, kept: usize) -> usize {
        let dropped = self.errors.len().saturating_sub(kept) + std::mem::take(&mut self.omitted);
        self.errors.truncate(kept);
        dropped
    }

    /// Whether the file is unusable.
    pub(in crate::resolve) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// `value` with the warnings, where there is no error.
    pub(in crate::resolve) fn without_errors<T>(self, value: T) -> Result<(T, Vec<Problem>), Self> {
        if self.has_errors() { Err(self) } else { Ok((value, self.in_order())) }
    }

    /// The problems in the order of the lines; 10,000 of each severity at most.
    pub fn in_order(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.errors.iter().chain(&self.warnings).cloned().collect();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }

    /// How many more problems there are.
    pub fn omitted(&self) -> usize {
        self.omitted
    }
}

fn keep(kept: &mut Vec<Problem>, problem: Problem, omitted: &mut usize) {
    if kept.len() < MAX_KEPT {
        kept.push(problem);
    } else {
        *omitted += 1;
    }
}

impl fmt::Display for Problems {
    /// One problem a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.in_order().iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        if self.omitted > 0 {
            write!(f, "\n{}: and {} more", self.file, self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_reported_in_the_order_of_lines_and_never_without_end() {
        let mut problems = Problems::new("m.csv");
        problems.error(7, 2, "b".to_owned());
        problems.warning(3, 1, "a".to_owned());
        assert_eq!(problems.to_string(), "m.csv:3:1: warning: a\nm.csv:7:2: error: b");
        for line in 0..20_000 {
            problems.warning(line, 1, "x".to_owned());
        }
        assert_eq!((problems.in_order().len(), problems.omitted()), (10_001, 10_001));
        assert!(problems.to_string().ends_with("m.csv: and 10001 more"));
    }
}
