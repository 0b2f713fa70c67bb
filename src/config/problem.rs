//! What is wrong with a configuration, and where.

use std::fmt;

use crate::model::printable;

/// Problems that are kept; a file with more is told so in one line.
const KEPT: usize = 1000;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// Where in the document: keys joined by dots, empty for the file itself.
    pub path: String,
    /// What is wrong, what was found, and how to fix it; secrets are masked.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Every problem of one file, in order of line.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problems {
    /// The file's name, as it was given.
    pub file: String,
    /// The problems, at most 1000 of them.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub omitted: usize,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = printable(&self.file, 200);
        for (index, problem) in self.problems.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{file}:{problem}")?;
        }
        if self.omitted > 0 {
            write!(f, "\n{file}: and {} more problems", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A line and a column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: Vec<Problem>,
    omitted: usize,
}

impl Findings {
    pub(super) fn add(&mut self, place: Place, path: &str, message: impl Into<String>) {
        if self.is_full() {
            self.omitted += 1;
            return;
        }
        let Place { line, column } = place;
        self.problems.push(Problem { line, column, path: path.to_owned(), message: message.into() });
    }

    /// Whether more are only counted, so that looking for a nearest name would be in vain.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() >= KEPT
    }

    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn into_problems(mut self, file: &str) -> Problems {
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        Problems { file: file.to_owned(), problems: self.problems, omitted: self.omitted }
    }
}
