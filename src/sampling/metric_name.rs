//! Metric names: stable, valid, and different where what they measure differs.

use std::{fmt::Display, hash::Hasher};

/// The readable part is cut here; the hash behind it keeps the name unique.
const READABLE: usize = 100;

/// The metric name of a query: a readable part in KEDA's own format (`redis-jobs`), then
/// eight hex digits of a hash over connection and query.
///
/// The hash is FNV-1a, which is fixed: a restart or an upgrade must not rename a metric, as the HPA
/// would see a new one. Neither text may contain a secret.
pub fn metric_name(readable: &str, connection: impl Display, query: impl Display) -> String {
    let mut hasher = fnv::FnvHasher::default();
    hasher.write(format!("{connection}\n{query}").as_bytes());
    let hash = hasher.finish();
    let folded = (hash >> 32) as u32 ^ hash as u32;
    format!("{}-{folded:08x}", valid(readable))
}

/// KEDA's rule makes `-` of `/ . : % ( )`; whatever else is not valid in a URL path or would need
/// escaping becomes one too.
fn valid(text: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '-'
        }
    };
    text.chars().take(READABLE).map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_readable_valid_and_does_not_change() {
        let name = metric_name(
            "redis-shop:jobs/é",
            "redis 127.0.0.1:6379",
            "list shop:jobs/é",
        );
        assert!(name.starts_with("redis-shop-jobs---"), "{name}");
        assert_eq!(
            name,
            metric_name(
                "redis-shop:jobs/é",
                "redis 127.0.0.1:6379",
                "list shop:jobs/é"
            )
        );
        assert_eq!(metric_name("redis-jobs", "a", "b"), "redis-jobs-e1ab5769");
    }

    #[test]
    fn equal_readable_parts_of_different_queries_make_different_names() {
        let one = metric_name("redis-a-b", "redis h:1", "list a.b");
        let two = metric_name("redis-a-b", "redis h:1", "list a:b");
        let three = metric_name("redis-a-b", "redis h:2", "list a:b");
        assert!(one != two && two != three);
    }

    #[test]
    fn a_long_name_is_cut_and_stays_unique() {
        let long = "x".repeat(5000);
        let name = metric_name(&long, "c", "q");
        assert!(name.len() <= 120 && name != metric_name(&long, "c", "other"));
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::values::{MetricName, TextValue};

    proptest! {
        #[test]
        fn a_name_is_what_kubernetes_and_a_url_take(
            readable in prop_oneof![any::<String>(), "[a-z0-9:/.%()_{}-]{0,300}"],
            connection in any::<String>(),
            query in any::<String>(),
        ) {
            // Backends begin it with their own name.
            let name = metric_name(&format!("redis-{readable}"), &connection, &query);
            prop_assert_eq!(MetricName::parse(&name), Ok(MetricName(name.clone())));
            prop_assert!(!name.contains('.'), "KEDA's own rule allows none: {name}");
            prop_assert!(format!("s{}-{name}", u32::MAX).len() <= 253, "KEDA's prefix fits");
            // The hash is the last part, whatever is readable.
            let (_, hash) = name.rsplit_once('-').expect("a hash");
            prop_assert!(hash.len() == 8 && u32::from_str_radix(hash, 16).is_ok(), "{hash}");
        }

        #[test]
        fn what_is_valid_stays_as_it_is(text in any::<String>()) {
            let once = valid(&text);
            prop_assert_eq!(valid(&once), once.clone());
            prop_assert_eq!(once.len(), text.chars().count().min(READABLE), "a character for each");
        }

        #[test]
        fn a_name_depends_on_what_is_measured_and_on_nothing_else(
            readable in ".{0,20}",
            one in ("[a-c ]{0,3}", "[a-c ]{0,3}"),
            other in ("[a-c ]{0,3}", "[a-c ]{0,3}"),
        ) {
            let name = |(connection, query): &(String, String)| metric_name(&readable, connection, query);
            prop_assert_eq!(name(&one) == name(&other), one == other);
        }
    }
}
