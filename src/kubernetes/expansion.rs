//! References of one environment variable to others.

use std::collections::BTreeMap;

use crate::metadata::values::Secret;

/// A value may expand to this many bytes: each `$(NAME)` may double the one before it.
const LONGEST: usize = 1024 * 1024;

/// The variables so far; an error counts only where the variable is needed.
pub type Known = BTreeMap<String, Result<Secret, String>>;

/// `$(NAME)` becomes the value of what is known so far, `$$` a `$`; what is not known stays. As in
/// KEDA (`resolveEnvValue`), whose result is what it sends: no `$` among the last three characters
/// counts.
pub fn expand(value: &Secret, known: &Known) -> Result<Secret, String> {
    let mut rest = value.expose();
    let mut expanded = String::new();
    while let Some(at) = rest.find('$').filter(|at| at + 3 < rest.len()) {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let reference = after.strip_prefix('(');
        if let Some((name, behind)) = reference.and_then(|text| text.split_once(')')) {
            match known.get(name) {
                Some(value) => expanded.push_str(value.as_ref().map_err(Clone::clone)?.expose()),
                None => expanded.push_str(&rest[at..rest.len() - behind.len()]),
            }
            rest = behind;
        } else {
            expanded.push('$');
            rest = after.strip_prefix('$').unwrap_or(after);
        }
        if expanded.len() > LONGEST {
            return Err("expands to more than 1 MiB".to_owned());
        }
    }
    expanded.push_str(rest);
    Ok(Secret(expanded.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(pairs: &[(&str, &str)]) -> Known {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.to_string(), Ok(Secret::from(*value))))
            .collect()
    }

    #[test]
    fn references_become_values_as_in_keda() {
        let known = known(&[("A", "x"), ("HOST", "redis")]);
        for (value, expected) in [
            ("$(A)", "x"),
            ("$(HOST):$(A)/0", "redis:x/0"),
            ("$(NOBODY)", "$(NOBODY)"),
            ("$$(HOST)", "$(HOST)"),
            ("$(HOST", "$(HOST"),
            ("$HOME and more", "$HOME and more"),
            ("costs 5$", "costs 5$"),
            ("ends in $$", "ends in $$"),
        ] {
            let expanded = expand(&Secret::from(value), &known).unwrap();
            assert_eq!(expanded.expose(), expected, "{value}");
        }
    }

    #[test]
    fn a_value_cannot_expand_without_bound() {
        let mut known = known(&[("X", "0123456789")]);
        let doubled = Secret::from("$(X)$(X)");
        let mut last = expand(&doubled, &known);
        for _ in 0..40 {
            known.insert("X".to_owned(), last);
            last = expand(&doubled, &known);
        }
        assert_eq!(last.err().as_deref(), Some("expands to more than 1 MiB"));
    }
}
