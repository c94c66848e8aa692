//! Names as users write them in lists: plain, as a glob (`jobs:*`), or as a range (`jobs-{0..31}`).

use std::{collections::BTreeSet, fmt};

/// More names than this make one range an error: it is a slip, or one trigger for too much.
pub const MOST_NAMES: usize = 10_000;

/// Plain names and globs. Sorted, so that the same set is equal however it was written, and what is
/// named twice counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Patterns {
    /// Exact names, ranges expanded.
    pub names: BTreeSet<String>,
    /// Globs in Redis' own syntax: `*`, `?`, `[a-c]`, `\` escapes.
    pub globs: BTreeSet<String>,
}

impl Patterns {
    /// From names, globs and ranges.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut patterns = Patterns::default();
        for entry in entries {
            if is_glob(entry) {
                patterns.globs.insert(entry.to_owned());
            } else {
                patterns.names.extend(expand(entry)?);
            }
            if patterns.names.len() > MOST_NAMES {
                return Err(too_many());
            }
        }
        Ok(patterns)
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = self.names.iter().chain(&self.globs);
        // Enough to recognise it: this is part of errors and log lines.
        for (i, name) in all.by_ref().take(3).enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { ", " })?;
        }
        match all.count() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

fn is_glob(entry: &str) -> bool {
    entry.contains(['*', '?', '['])
}

/// Expands every `{a..b}` of a name.
pub fn expand(name: &str) -> Result<Vec<String>, String> {
    let Some((before, rest)) = name.split_once('{') else {
        return Ok(vec![name.to_owned()]);
    };
    let Some((range, after)) = rest.split_once('}') else {
        return Ok(vec![name.to_owned()]);
    };
    // Braces without dots are part of a name: a Redis cluster's hash tag is `{tag}`.
    let Some((from, to)) = range.split_once("..") else {
        let rest = expand(after)?;
        return Ok(rest
            .iter()
            .map(|rest| format!("{before}{{{range}}}{rest}"))
            .collect());
    };
    let (Some(from), Some(to)) = (number(from), number(to)) else {
        return Err(format!(
            "has the range {{{range}}}, which is not numeric; it must be {{a..b}} with 0 ≤ a ≤ b"
        ));
    };
    if from > to {
        return Err(format!(
            "has the range {{{range}}}, which is reversed; it must be {{a..b}} with 0 ≤ a ≤ b"
        ));
    }
    let rest = expand(after)?;
    if (to - from + 1).saturating_mul(rest.len()) > MOST_NAMES {
        return Err(too_many());
    }
    let names = (from..=to).flat_map(|i| rest.iter().map(move |rest| format!("{before}{i}{rest}")));
    Ok(names.collect())
}

fn number(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // Ten digits are far more than allowed, and cannot overflow.
    (digits && text.len() <= 10)
        .then(|| text.parse().ok())
        .flatten()
}

fn too_many() -> String {
    format!("stands for more than {MOST_NAMES} names, which is the most that one trigger may sum")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_expand_and_what_is_named_twice_counts_once() {
        let patterns = Patterns::parse(["jobs-{0..2}", "jobs-1", "jobs:*"]).unwrap();
        assert_eq!(
            Vec::from_iter(&patterns.names),
            ["jobs-0", "jobs-1", "jobs-2"]
        );
        assert_eq!(Vec::from_iter(&patterns.globs), ["jobs:*"]);
    }

    #[test]
    fn two_ranges_of_a_name_multiply_and_a_hash_tag_stays() {
        assert_eq!(
            expand("a{0..1}b{8..9}").unwrap(),
            ["a0b8", "a0b9", "a1b8", "a1b9"]
        );
        assert_eq!(expand("{tag}-{0..1}").unwrap(), ["{tag}-0", "{tag}-1"]);
        assert_eq!(expand("a{b").unwrap(), ["a{b"]);
    }

    #[test]
    fn bad_ranges_say_what_is_wrong() {
        for (bad, reason) in [
            ("q{5..1}", "reversed"),
            ("q{a..b}", "not numeric"),
            ("q{-1..2}", "not numeric"),
            ("q{0..10000}", "more than 10000"),
            ("q{0..999}{0..999}", "more than 10000"),
            ("q{0..99999999999999999999999}", "not numeric"),
        ] {
            let error = expand(bad).unwrap_err();
            assert!(error.contains(reason), "{bad}: {error}");
        }
        assert_eq!(expand("q{0..9999}").unwrap().len(), MOST_NAMES);
    }
}
