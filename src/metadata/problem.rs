//! What is wrong with a map of keys: every problem at once, each as key, value and what is allowed.

use std::fmt;

use crate::error::{Error, Kind};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key as the user wrote it.
    pub key: String,
    /// Its value; `None` where the key is missing or its value is a secret.
    pub value: Option<String>,
    /// What is wrong with it, or what is allowed: `must be a whole number from 1`.
    pub reason: String,
}

impl Problem {
    /// A problem with a key as such, whatever its value.
    pub fn key(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Problem {
            key: key.into(),
            value: None,
            reason: reason.into(),
        }
    }

    /// Two keys of which only one can be given.
    pub fn exclusive(key: impl Into<String>, other: &str) -> Self {
        Problem::key(key, format!("is mutually exclusive with `{other}`"))
    }

    /// An error that is about a key, which its text may begin with.
    pub fn said_of(key: &str, error: &Error) -> Self {
        let text = error.to_string();
        let reason = text
            .strip_prefix(key)
            .and_then(|rest| rest.strip_prefix(": "));
        Problem::key(key, reason.unwrap_or(&text))
    }

    /// A problem with the value of a key. Not for secrets.
    pub fn value(
        key: impl Into<String>,
        value: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Problem {
            value: Some(value.into()),
            ..Problem::key(key, reason)
        }
    }
}

/// serde's reason why a value has the wrong type, without the text that it shows: that may be a
/// secret at the wrong place.
pub fn without_text(reason: &str) -> String {
    let kinds = ["invalid type: string", "invalid value: string"];
    let kind = kinds.iter().find(|kind| reason.starts_with(**kind));
    // What is expected is ours, and has no comma before that word.
    match (kind, reason.rsplit_once(", expected ")) {
        (Some(kind), Some((_, expected))) => format!("{kind}, expected {expected}"),
        _ => reason.to_owned(),
    }
}

/// Longer values are shortened in messages: the wire bounds a map, but not kindly.
const SHOWN: usize = 80;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { key, value, reason } = self;
        let key = shorten(key);
        match value {
            Some(value) => write!(f, "{key}: `{}` {reason}", shorten(value)),
            None => write!(f, "{key}: {reason}"),
        }
    }
}

fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).map(printable).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// Control characters from the wire must not reach a terminal or split a log line.
fn printable(c: char) -> char {
    if c.is_control() { '\u{fffd}' } else { c }
}

/// All problems of one map. Empty means that nothing is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

/// More than this many are counted rather than listed.
const LISTED: usize = 10;

impl Problems {
    /// One more.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// The value, or `None` with its problems added to these.
    pub fn keep<T>(&mut self, result: Result<T, impl Into<Problems>>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(found) => {
                self.0.extend(found.into().0);
                None
            }
        }
    }

    /// The same problems, with their keys under a path: `connections.orders.address`.
    pub fn under(mut self, path: &str) -> Self {
        for problem in &mut self.0 {
            problem.key = format!("{path}.{}", problem.key);
        }
        self
    }

    /// `Ok` if nothing is wrong.
    pub fn into_result(self) -> Result<(), Problems> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Problems(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().take(LISTED).enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        match self.0.len().checked_sub(LISTED) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "; and {more} more"),
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Problems::from(problem).into()
    }
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        Error::new(Kind::Invalid, problems.to_string(), "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_key_value_and_what_is_allowed() {
        let problem = Problem::value("listLength", "ten", "must be a whole number from 1");
        assert_eq!(
            problem.to_string(),
            "listLength: `ten` must be a whole number from 1"
        );
    }

    #[test]
    fn a_reason_does_not_show_a_text_at_the_wrong_place() {
        for (reason, shown) in [
            (
                "invalid type: string \"hunter2, expected\", expected a map",
                "invalid type: string, expected a map",
            ),
            (
                "invalid type: integer `5`, expected a map",
                "invalid type: integer `5`, expected a map",
            ),
            ("missing field `name`", "missing field `name`"),
        ] {
            assert_eq!(without_text(reason), shown);
        }
    }

    #[test]
    fn a_long_or_hostile_value_is_shown_shortened_and_on_one_line() {
        let problem = Problem::value("k", format!("a\nb{}", "x".repeat(500)), "no");
        let text = problem.to_string();
        assert!(text.len() < 120 && !text.contains('\n'), "{text}");
    }

    #[test]
    fn many_problems_are_counted_rather_than_listed() {
        let problems = Problems(
            (0..25)
                .map(|i| Problem::key(format!("k{i}"), "no"))
                .collect(),
        );
        assert!(problems.to_string().ends_with("k9: no; and 15 more"));
    }
}
