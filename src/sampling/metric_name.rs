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
