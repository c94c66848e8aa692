//! Which names a named connection may be used for.

use globset::{Glob, GlobMatcher};

use crate::{
    error::{Error, Kind, Result},
    metadata::problem::Problem,
};

/// A name that a query reads: of a key, a topic, a group, a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueriedName<'a> {
    /// This one.
    Exact(&'a str),
    /// All that match, in Redis' syntax.
    Glob(&'a str),
    /// All that match.
    Regex(&'a str),
}

/// The names and globs that the settings allow.
pub struct NameLimits(Vec<GlobMatcher>);

impl NameLimits {
    /// From names and globs, as they are under `key`.
    pub fn new(key: &str, patterns: &[String]) -> Result<Self, Problem> {
        let matcher = |pattern: &String| match Glob::new(pattern) {
            Ok(glob) => Ok(glob.compile_matcher()),
            Err(error) => {
                let reason = format!("is neither a name nor a glob: {}", error.kind());
                Err(Problem::value(key, pattern, reason))
            }
        };
        let matchers: Result<_, _> = patterns.iter().map(matcher).collect();
        matchers.map(NameLimits)
    }

    /// Whether one of them matches.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(name))
    }

    /// Checks what a query reads on the connection `connection`.
    pub fn check(&self, connection: &str, names: Vec<QueriedName<'_>>) -> Result<()> {
        match names.into_iter().find(|name| !self.allows(*name)) {
            None => Ok(()),
            Some(QueriedName::Exact(name) | QueriedName::Glob(name) | QueriedName::Regex(name)) => {
                Err(Error::new(
                    Kind::NotAllowed,
                    format!("connection: `{connection}` may not be used for {name}"),
                    format!(
                        "Whoever runs backlog-scaler can add it under connections.{connection}.names."
                    ),
                ))
            }
        }
    }

    /// A pattern is allowed where it can match nothing but what is allowed.
    fn allows(&self, name: QueriedName<'_>) -> bool {
        let texts = || self.0.iter().map(|pattern| pattern.glob().glob());
        match name {
            QueriedName::Exact(name) => self.has(name),
            QueriedName::Glob(glob) => {
                let start = glob.split(['*', '?', '[', '\\']).next().unwrap_or_default();
                texts().any(|text| prefix(text).is_some_and(|prefix| start.starts_with(prefix)))
            }
            QueriedName::Regex(_) => texts().any(|text| text == "*"),
        }
    }
}

/// The prefix of a pattern that allows whatever begins with it: `orders:*`.
fn prefix(pattern: &str) -> Option<&str> {
    let prefix = pattern.strip_suffix('*')?;
    (!prefix.contains(['*', '?', '[', ']', '{', '}', '\\'])).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::{QueriedName::*, *};

    #[test]
    fn a_pattern_may_match_only_what_is_allowed() {
        let limits = ["orders:*".to_owned(), "mail".to_owned()];
        let limits = NameLimits::new("names", &limits).unwrap();
        for (name, allowed) in [
            (Exact("orders:1"), true),
            (Exact("mail"), true),
            (Exact("mails"), false),
            (Glob("orders:*"), true),
            (Glob("orders:[0-9]"), true),
            (Glob("order*"), false),
            (Glob("*orders:1"), false),
            (Glob("mail*"), false),
            (Regex("^orders:"), false),
        ] {
            assert_eq!(limits.allows(name), allowed, "{name:?}");
        }
        let all = NameLimits::new("names", &["*".to_owned()]).unwrap();
        assert!(all.allows(Regex("^a|^b")) && all.allows(Glob("*")));
        let error = limits.check("orders", vec![Exact("mail"), Exact("x")]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "connection: `orders` may not be used for x. Whoever runs backlog-scaler can add it \
             under connections.orders.names."
        );
    }
}

#[cfg(test)]
mod properties {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Character by character.
    fn model(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                model(rest, text)
                    || text
                        .split_first()
                        .is_some_and(|(_, text)| model(pattern, text))
            }
            (Some(('?', pattern)), Some((_, text))) => model(pattern, text),
            (Some((p, pattern)), Some((t, text))) => p == t && model(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_namespace_may_use_what_a_name_or_glob_of_the_connection_allows(
            patterns in vec(prop_oneof!["[ab-]{1,4}", "[ab*?-]{1,6}"], 0..4),
            namespace in "[ab-]{0,5}",
        ) {
            let limits = NameLimits::new("namespaces", &patterns).unwrap();
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = patterns.iter().any(|pattern| model(&chars(pattern), &chars(&namespace)));
            prop_assert_eq!(limits.has(&namespace), expected, "{:?}", patterns);
        }

        #[test]
        fn any_text_is_a_glob_or_a_problem(patterns in vec(any::<String>(), 0..4), namespace in any::<String>()) {
            if let Ok(limits) = NameLimits::new("names", &patterns) {
                let names = vec![QueriedName::Exact(&namespace), QueriedName::Glob(&namespace)];
                let _ = limits.check("orders", names);
            }
        }
    }
}
