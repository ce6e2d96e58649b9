//! What is wrong with a script, shown at its place.

use std::fmt;

/// Longest piece of the offending line that is shown, in characters.
const SHOWN_LENGTH_MAX: usize = 160;
/// How much of a long line is shown before the fault, in characters.
const SHOWN_BEFORE_MAX: usize = 60;

/// A script that cannot be read. Displays the place, the line, a caret, the fault and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The file as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// How many characters are at fault; at least 1.
    pub length: usize,
    /// The text of the line.
    pub source_line: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub advice: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.column.saturating_sub(1);
        let hidden =
            if before > SHOWN_BEFORE_MAX { before.saturating_sub(SHOWN_BEFORE_MAX) } else { 0 };
        let shown: String = self
            .source_line
            .chars()
            .skip(hidden)
            .take(SHOWN_LENGTH_MAX)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let indent = before.saturating_sub(hidden);
        let carets = self.length.clamp(1, SHOWN_LENGTH_MAX.saturating_sub(indent).max(1));
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.problem)?;
        writeln!(f, " {number} | {}", shown.trim_end())?;
        writeln!(f, " {margin} | {}{}", " ".repeat(indent), "^".repeat(carets))?;
        write!(f, " {margin} = {}", self.advice)
    }
}

impl std::error::Error for ScriptError {}

/// A fault within one line, before the line is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    /// First byte at fault.
    pub start: usize,
    /// One past the last byte at fault.
    pub end: usize,
    /// What is wrong.
    pub problem: String,
    /// What to write instead; empty for the usage of the statement.
    pub advice: String,
}

impl Complaint {
    /// A complaint about the bytes `start..end` of the line.
    pub fn new(
        (start, end): (usize, usize),
        problem: impl Into<String>,
        advice: impl Into<String>,
    ) -> Complaint {
        Complaint { start, end, problem: problem.into(), advice: advice.into() }
    }

    /// Fills in the advice where the complaint has none.
    pub fn or_advise(mut self, advice: &str) -> Complaint {
        if self.advice.is_empty() {
            self.advice = advice.to_owned();
        }
        self
    }

    /// The error, at its place.
    pub fn at(self, file: &str, line: usize, source_line: &str) -> ScriptError {
        let characters_before =
            |offset: usize| source_line.char_indices().take_while(|(at, _)| *at < offset).count();
        let column = characters_before(self.start);
        ScriptError {
            file: file.to_owned(),
            line,
            column: column + 1,
            length: characters_before(self.end).saturating_sub(column).max(1),
            source_line: source_line.to_owned(),
            problem: self.problem,
            advice: self.advice,
        }
    }
}
