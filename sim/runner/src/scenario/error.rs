//! What is wrong with a scenario file, where, and what was probably meant.

use std::fmt;
use std::ops::Range;

/// A scenario that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// File name as given by the user.
    pub file: String,
    /// From 1; 0 if the error belongs to no place.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl std::error::Error for ScenarioError {}

impl fmt::Display for ScenarioError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.file)?;
        if self.line > 0 {
            write!(formatter, ":{}:{}", self.line, self.column)?;
        }
        write!(formatter, ": {}", self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(formatter, "; did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

/// An error at a place of a text, before the place is turned into line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) span: Option<Range<usize>>,
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

impl At {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>) -> At {
        At {
            span: Some(span),
            message: message.into(),
            suggestion: None,
        }
    }

    pub(crate) fn suggesting<'a>(
        mut self,
        wrong: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> At {
        self.suggestion = nearest(wrong, known);
        self
    }

    pub(crate) fn in_text(self, file: &str, text: &str) -> ScenarioError {
        let (line, column) = self.span.map_or((0, 0), |span| position(text, span.start));
        ScenarioError {
            file: file.to_owned(),
            line,
            column,
            message: self.message,
            suggestion: self.suggestion,
        }
    }
}

/// Line and column, both from 1.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line = before.matches('\n').count() + 1;
    let column = before
        .chars()
        .rev()
        .take_while(|&character| character != '\n')
        .count()
        + 1;
    (line, column)
}

/// The known word closest to a wrong one, if it is close at all.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let limit = (wrong.chars().count() / 3).max(2);
    known
        .into_iter()
        .map(|word| (edit_distance(wrong, word), word))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, word)| word.to_owned())
}

fn edit_distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, character) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, wanted) in other.iter().enumerate() {
            let change = diagonal + usize::from(character != *wanted);
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_close_or_none() {
        assert_eq!(
            nearest("nodez", ["nodes", "brokers"]).as_deref(),
            Some("nodes")
        );
        assert_eq!(nearest("zebra", ["nodes", "brokers"]), None);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }

    #[test]
    fn positions_count_characters_from_one() {
        assert_eq!(position("a\nbü = 1", 5), (2, 3));
        assert_eq!(position("", 0), (1, 1));
    }
}
