//! Property values: parsing, printing, the properties file syntax.

use broker_core::group::consumer_group::assignor::{RANGE, UNIFORM};
use std::collections::BTreeSet;
use std::fmt::Write;

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("unknown property '{name}'{suggestion}")]
    Unknown { name: String, suggestion: String },
    #[error("property '{name}' = '{value}': {reason}")]
    Invalid {
        name: String,
        value: String,
        reason: String,
    },
    #[error("line {line}: expected name=value, found '{text}'")]
    Syntax { line: usize, text: String },
    #[error("configuration: {reason}")]
    Conflict { reason: String },
    #[error("line {line}: {error}")]
    AtLine {
        line: usize,
        error: Box<ConfigError>,
    },
}

impl ConfigError {
    pub(super) fn unknown(name: &str, known: &[&str]) -> ConfigError {
        let nearest = known
            .iter()
            .min_by_key(|candidate| edit_distance(name, candidate));
        let suggestion = match nearest {
            Some(nearest) if edit_distance(name, nearest) <= 3 => {
                format!("; did you mean '{nearest}'?")
            }
            _ => String::new(),
        };
        ConfigError::Unknown {
            name: name.to_string(),
            suggestion,
        }
    }

    pub(super) fn at_line(self, line: usize) -> ConfigError {
        ConfigError::AtLine {
            line,
            error: Box::new(self),
        }
    }
}

/// Levenshtein distance, for suggestions.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, left_char) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right_char) in right.iter().enumerate() {
            let substitution = diagonal + usize::from(left_char != *right_char);
            diagonal = row[j + 1];
            row[j + 1] = substitution.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

/// A property's type: how its text is read and printed.
pub trait Value: Sized {
    fn parse(text: &str) -> Result<Self, String>;
    fn print(&self) -> String;
}

impl Value for i32 {
    fn parse(text: &str) -> Result<i32, String> {
        text.trim()
            .parse()
            .map_err(|_| "not a 32-bit number".to_string())
    }
    fn print(&self) -> String {
        self.to_string()
    }
}

impl Value for i64 {
    fn parse(text: &str) -> Result<i64, String> {
        text.trim().parse().map_err(|_| "not a number".to_string())
    }
    fn print(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    fn parse(text: &str) -> Result<bool, String> {
        match text.trim() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false".into()),
        }
    }
    fn print(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    fn parse(text: &str) -> Result<String, String> {
        Ok(text.trim().to_string())
    }
    fn print(&self) -> String {
        self.clone()
    }
}

/// A part of a whole, from 0 to 1, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u32);

impl Ratio {
    pub const HALF: Ratio = Ratio(500_000);

    /// Whether `part` of `whole` is more.
    pub fn is_below(self, part: u64, whole: u64) -> bool {
        u128::from(part) * 1_000_000 > u128::from(whole) * u128::from(self.0)
    }
}

impl Value for Ratio {
    fn parse(text: &str) -> Result<Ratio, String> {
        let number: f64 = text
            .trim()
            .parse()
            .map_err(|_| "not a number".to_string())?;
        if !(0.0..=1.0).contains(&number) {
            return Err("must be between 0 and 1".into());
        }
        let millionths = (number * 1e6).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and a million"
        )]
        Ok(Ratio(millionths as u32))
    }
    fn print(&self) -> String {
        (f64::from(self.0) / 1e6).to_string()
    }
}

impl<T: Value> Value for Vec<T> {
    fn parse(text: &str) -> Result<Vec<T>, String> {
        text.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(T::parse)
            .collect()
    }
    fn print(&self) -> String {
        let mut out = String::new();
        for (index, value) in self.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(out, "{comma}{}", value.print()).expect("writing to a string cannot fail");
        }
        out
    }
}

pub(super) fn roles(roles: &[String]) -> Result<(), String> {
    if roles.is_empty() {
        return Err("at least one of broker, controller".into());
    }
    match roles
        .iter()
        .find(|role| *role != "broker" && *role != "controller")
    {
        Some(role) => Err(format!("'{role}' is neither broker nor controller")),
        None => Ok(()),
    }
}

pub(super) fn not_empty(text: &str) -> Result<(), String> {
    if text.is_empty() {
        Err("must not be empty".into())
    } else {
        Ok(())
    }
}

/// Server-side assignors of consumer groups; at least one.
pub(super) fn assignors(names: &[String]) -> Result<(), String> {
    if names.is_empty() {
        return Err("must name one".into());
    }
    let is_unknown = |name: &&String| ![UNIFORM, RANGE].contains(&name.as_str());
    match names.iter().find(is_unknown) {
        Some(other) => Err(format!("{other} is not one of {UNIFORM}, {RANGE}")),
        None => distinct(names),
    }
}

pub(super) fn distinct(list: &[String]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match list.iter().find(|entry| !seen.insert(entry.as_str())) {
        Some(twice) => Err(format!("{twice} is given twice")),
        None => Ok(()),
    }
}

/// (line number, name, value) of each property; `#` and `!` start comments, `=` or `:` separates.
pub(super) fn properties(text: &str) -> Result<Vec<(usize, String, String)>, ConfigError> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let Some((name, value)) = line.split_once(['=']).or_else(|| line.split_once(':')) else {
            return Err(ConfigError::Syntax {
                line: index + 1,
                text: line.to_string(),
            });
        };
        found.push((index + 1, name.trim().to_string(), value.trim().to_string()));
    }
    Ok(found)
}
