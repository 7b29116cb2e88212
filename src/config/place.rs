//! Where in the configuration something stands.

/// Where a problem lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A line of the file, from 1.
    Line {
        line: usize,
        /// The character in the line, from 1, where only that shows what is meant.
        column: Option<usize>,
    },
    /// A variable of the environment.
    Variable(String),
}
