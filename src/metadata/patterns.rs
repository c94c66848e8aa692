//! Names as users write them in lists: plain, as a glob (`jobs:*`), or as a range (`jobs-{0..31}`).

use std::{collections::BTreeSet, fmt, ops::RangeInclusive};

/// More names than this make one trigger an error: it is a slip, or one trigger for too much.
pub const MOST_NAMES: usize = 10_000;
/// More bytes of names than this make one trigger an error: 10,000 names of 100 characters.
const MOST_BYTES: usize = 1_000_000;
/// More ranges than this in one name are no name of a queue.
const MOST_RANGES: usize = 4;

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
        let mut budget = Budget::default();
        for entry in entries {
            if is_glob(entry) {
                // Redis would take the braces literally, find nothing, and count 0.
                if parts(entry)?.len() > 1 {
                    return Err(format!(
                        "has `{}`, which is a glob and a range; write \
                         one of the two, such as jobs-[0-9]:*",
                        shown(entry)
                    ));
                }
                budget.take(1, entry.len())?;
                patterns.globs.insert(entry.to_owned());
            } else {
                patterns.names.extend(budget.expand(entry)?);
            }
        }
        Ok(patterns)
    }
}

impl Patterns {
    /// How many bytes of memory the names take, about.
    pub fn bytes(&self) -> usize {
        let all = self.names.iter().chain(&self.globs);
        all.map(|name| size_of::<String>() + name.len()).sum()
    }
}

/// What the names of one trigger may still expand to.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    names: usize,
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            names: MOST_NAMES,
            bytes: MOST_BYTES,
        }
    }
}

impl Budget {
    /// Expands every `{a..b}` of a name.
    pub fn expand(&mut self, name: &str) -> Result<Vec<String>, String> {
        let parts = parts(name)?;
        // Checked before anything is built: a few bytes can stand for gigabytes.
        let (mut count, mut length) = (1_usize, 0_usize);
        for part in &parts {
            length = length.saturating_add(part.longest());
            count = count.saturating_mul(part.count());
        }
        self.take(count, length)?;
        let mut names = vec![String::with_capacity(length)];
        for part in &parts {
            names = part.append_to(names);
        }
        Ok(names)
    }

    fn take(&mut self, names: usize, length: usize) -> Result<(), String> {
        let too_many = || {
            format!(
                "stands for more than {MOST_NAMES} names or {MOST_BYTES} bytes of them, which is \
                 the most that one trigger may sum"
            )
        };
        let bytes = names.saturating_mul(length);
        self.names = self.names.checked_sub(names).ok_or_else(too_many)?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(too_many)?;
        Ok(())
    }
}

/// Expands every `{a..b}` of one name.
pub fn expand(name: &str) -> Result<Vec<String>, String> {
    Budget::default().expand(name)
}

/// A piece of a name.
enum Part<'a> {
    Text(&'a str),
    Range(RangeInclusive<usize>),
}

impl Part<'_> {
    fn count(&self) -> usize {
        match self {
            Part::Text(_) => 1,
            Part::Range(range) => (range.end() - range.start()).saturating_add(1),
        }
    }

    /// The longest text that it stands for, in bytes.
    fn longest(&self) -> usize {
        match self {
            Part::Text(text) => text.len(),
            Part::Range(range) => range.end().to_string().len(),
        }
    }

    fn append_to(&self, mut names: Vec<String>) -> Vec<String> {
        match self {
            Part::Text(text) => {
                names.iter_mut().for_each(|name| name.push_str(text));
                names
            }
            Part::Range(range) => {
                let with_each = |name: String| range.clone().map(move |i| format!("{name}{i}"));
                names.into_iter().flat_map(with_each).collect()
            }
        }
    }
}

/// Splits a name at its ranges.
fn parts(name: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut ranges = 0;
    let mut rest = name;
    // Where the text before the next range ends, in `rest`.
    let mut text = 0;
    while let Some(open) = rest[text..].find('{').map(|at| text + at) {
        let Some(close) = rest[open..].find('}').map(|at| open + at) else {
            break;
        };
        let inner = &rest[open + 1..close];
        let Some(range) = range(inner)? else {
            // Braces without dots are part of a name: a Redis cluster's hash tag is `{tag}`.
            text = close + 1;
            continue;
        };
        ranges += 1;
        if ranges > MOST_RANGES {
            return Err(format!("has more than {MOST_RANGES} ranges"));
        }
        parts.push(Part::Text(&rest[..open]));
        parts.push(Part::Range(range));
        rest = &rest[close + 1..];
        text = 0;
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// The range within braces; `None` if it is none.
fn range(inner: &str) -> Result<Option<RangeInclusive<usize>>, String> {
    let Some((from, to)) = inner.split_once("..") else {
        return Ok(None);
    };
    let bad = |why: &str| {
        let shown = shown(inner);
        format!("has the range {{{shown}}}, which is {why}; it must be {{a..b}} with 0 ≤ a ≤ b")
    };
    let (Some(from), Some(to)) = (number(from), number(to)) else {
        return Err(bad("not numeric"));
    };
    match from <= to {
        true => Ok(Some(from..=to)),
        false => Err(bad("reversed")),
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

/// Enough of a text to recognise it.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

fn is_glob(entry: &str) -> bool {
    entry.contains(['*', '?', '['])
}

fn number(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // Ten digits are far more than allowed, and cannot overflow.
    (digits && text.len() <= 10)
        .then(|| text.parse().ok())
        .flatten()
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

    #[test]
    fn a_range_in_a_glob_is_refused_and_a_hash_tag_is_not() {
        let error = Patterns::parse(["jobs-{0..3}:*"]).unwrap_err();
        assert!(
            error.starts_with("has `jobs-{0..3}:*`, which is a glob and a range"),
            "{error}"
        );
        assert!(Patterns::parse(["{jobs}:*"]).is_ok());
    }

    #[test]
    fn a_crafted_pattern_costs_no_more_than_its_own_length() {
        // Empty braces once each, which a recursion would not survive.
        let braces = "{}".repeat(16_000);
        assert_eq!(expand(&braces).unwrap(), [braces.as_str()]);
        let error = expand(&"{0..1}".repeat(16_000)).unwrap_err();
        assert_eq!(error, "has more than 4 ranges");
        let long = format!("{{0..9999}}{}", "x".repeat(32_000));
        assert!(expand(&long).unwrap_err().contains("1000000 bytes"));
    }

    #[test]
    fn all_entries_of_a_trigger_share_one_budget() {
        let entries: Vec<String> = (0..100).map(|i| format!("{i}-{{0..100}}")).collect();
        let error = Patterns::parse(entries.iter().map(String::as_str)).unwrap_err();
        assert!(error.contains("more than 10000 names"), "{error}");
    }
}

#[cfg(test)]
mod properties {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// A piece of a name, as a user means it.
    #[derive(Clone, Debug)]
    enum Piece {
        Text(String),
        /// The first number, and how many more there are.
        Range(usize, usize),
    }

    fn piece() -> impl Strategy<Value = Piece> {
        let more = prop_oneof![8 => 0..12_usize, 2 => 0..200_usize, 1 => 9_990..10_010_usize];
        prop_oneof![
            // A hash tag, an open and a closed brace are text.
            3 => "([a-z:.é-]{1,4}|\\{[a-z]{0,3}\\}|\\})".prop_map(Piece::Text),
            1 => "[a-z]{300,900}".prop_map(Piece::Text),
            3 => (0..1100_usize, more).prop_map(|(first, more)| Piece::Range(first, more)),
        ]
    }

    impl Piece {
        fn written(&self) -> String {
            match self {
                Piece::Text(text) => text.clone(),
                Piece::Range(first, more) => format!("{{{first}..{}}}", first + more),
            }
        }

        fn texts(&self) -> Vec<String> {
            match self {
                Piece::Text(text) => vec![text.clone()],
                Piece::Range(first, more) => (0..=*more).map(|i| (first + i).to_string()).collect(),
            }
        }
    }

    /// How many names a name stands for, and the bytes of the longest.
    fn size(pieces: &[Piece]) -> (usize, usize) {
        let each = pieces.iter().map(|piece| match piece {
            Piece::Text(text) => (1, text.len()),
            Piece::Range(first, more) => (more + 1, (first + more).to_string().len()),
        });
        each.fold((1_usize, 0), |(count, length), (more, longer)| {
            (count.saturating_mul(more), length + longer)
        })
    }

    /// One piece after the other, each name with each text.
    fn model(pieces: &[Piece]) -> Vec<String> {
        let Some((first, rest)) = pieces.split_first() else {
            return vec![String::new()];
        };
        let rest = model(rest);
        let texts = first.texts().into_iter();
        let with_rest = |text: String| rest.iter().map(move |rest| format!("{text}{rest}"));
        texts.flat_map(with_rest).collect()
    }

    proptest! {
        #[test]
        fn names_are_every_combination_of_their_ranges_or_too_many(
            entries in vec(vec(piece(), 1..6), 1..5),
        ) {
            let written: Vec<String> =
                entries.iter().map(|pieces| pieces.iter().map(Piece::written).collect()).collect();
            let parsed = Patterns::parse(written.iter().map(String::as_str));
            let ranges = |pieces: &[Piece]| {
                pieces.iter().filter(|piece| matches!(piece, Piece::Range(..))).count()
            };
            let sizes = entries.iter().map(|pieces| size(pieces));
            let (names, bytes) = sizes.fold((0_usize, 0_usize), |(names, bytes), (count, length)| {
                let more = count.saturating_mul(length);
                (names.saturating_add(count), bytes.saturating_add(more))
            });
            let allowed = names <= 10_000
                && bytes <= 1_000_000
                && entries.iter().all(|pieces| ranges(pieces) <= 4);
            prop_assert_eq!(parsed.is_ok(), allowed, "{:?} for {:?}", parsed, written);
            if let Ok(parsed) = parsed {
                let expected: BTreeSet<String> =
                    entries.iter().flat_map(|pieces| model(pieces)).collect();
                prop_assert_eq!(&parsed.names, &expected);
                prop_assert!(parsed.globs.is_empty());
                // However it was written, the same names are the same query.
                let again = Patterns::parse(expected.iter().map(String::as_str)).unwrap();
                prop_assert_eq!(again, parsed);
            }
        }

        #[test]
        fn a_glob_is_kept_as_it_is(entries in vec("[a-z{}:.]{0,4}[*?\\[][a-z*?\\[\\]:-]{0,6}", 1..6)) {
            if let Ok(parsed) = Patterns::parse(entries.iter().map(String::as_str)) {
                prop_assert_eq!(parsed.globs, BTreeSet::from_iter(entries));
                prop_assert!(parsed.names.is_empty());
            }
        }

        #[test]
        fn a_glob_never_hides_a_range(
            before in "[a-z{}]{0,4}",
            (first, more) in (0..20_usize, 0..20_usize),
            after in "[a-z]{0,4}",
            glob in "[*?\\[]",
            is_first in any::<bool>(),
        ) {
            // An open brace before it is the start of something else.
            let before = before.replace('{', "{}");
            let name = format!("{before}{{{first}..{}}}{after}", first + more);
            let entry = if is_first { format!("{glob}{name}") } else { format!("{name}{glob}") };
            let error = Patterns::parse([entry.as_str()]).unwrap_err();
            prop_assert!(error.contains("a glob and a range"), "{error}");
        }

        #[test]
        fn any_text_is_bounded_names_or_an_error_of_one_line(
            entries in vec(prop_oneof![any::<String>(), "[{}0-9.a*]{0,20}"], 0..6),
        ) {
            match Patterns::parse(entries.iter().map(String::as_str)) {
                Ok(parsed) => {
                    prop_assert!(parsed.names.len() + parsed.globs.len() <= MOST_NAMES);
                    let bytes: usize = parsed.names.iter().map(String::len).sum();
                    prop_assert!(bytes <= MOST_BYTES);
                }
                Err(error) => prop_assert!(error.len() < 400, "{error}"),
            }
        }
    }
}
