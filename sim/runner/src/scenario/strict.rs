//! Makes errors of the TOML reader say where and what was probably meant.
//!
//! serde knows the keys of every table; its message lists them. Inside tagged values it loses the
//! place, so the wrong word is looked up in the text below the place it still knows.

use std::ops::Range;

use super::error::At;

pub(crate) fn improve(error: &toml::de::Error, text: &str) -> At {
    let message = error.message().trim().to_owned();
    let span = error.span();
    let words = quoted(&message);
    let Some(wrong) = wrong_word(&message, &words) else {
        return At {
            span,
            message,
            suggestion: None,
        };
    };
    let known = words[1..].iter().map(String::as_str);
    let place = locate(text, span, wrong);
    let at = At {
        span: place,
        message: reword(&message, &words),
        suggestion: None,
    };
    at.suggesting(wrong, known)
}

/// The words in backticks: the wrong one, then what is known.
fn quoted(message: &str) -> Vec<String> {
    message
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn wrong_word<'a>(message: &str, words: &'a [String]) -> Option<&'a str> {
    let names_one = message.starts_with("unknown field") || message.starts_with("unknown variant");
    words.first().filter(|_| names_one).map(String::as_str)
}

fn reword(message: &str, words: &[String]) -> String {
    let what = if message.starts_with("unknown field") {
        "unknown key"
    } else {
        "unknown value"
    };
    let known = words[1..].join(", ");
    let known = if known.is_empty() {
        "nothing is possible here".to_owned()
    } else {
        format!("possible: {known}")
    };
    format!("{what} `{}` ({known})", words[0])
}

/// Where the word stands, at or after the place the reader still knew.
fn locate(text: &str, span: Option<Range<usize>>, word: &str) -> Option<Range<usize>> {
    let Range { start, end } = span.clone().unwrap_or(0..text.len());
    let end = end.clamp(start, text.len());
    let within = text.get(start..end)?;
    match find_word(within, word) {
        Some(at) => Some(start + at..start + at + word.len()),
        None => span,
    }
}

/// The first occurrence that is not part of a longer word.
pub(crate) fn find_word(text: &str, word: &str) -> Option<usize> {
    let is_part = |character: Option<char>| {
        character.is_some_and(|character| character.is_alphanumeric() || "_-".contains(character))
    };
    text.match_indices(word).map(|(at, _)| at).find(|&at| {
        !is_part(text[..at].chars().next_back()) && !is_part(text[at + word.len()..].chars().next())
    })
}
