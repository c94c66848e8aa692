//! The rule beside a model of it: whole numbers without bounds, and KEDA's rules one after another.

use std::sync::LazyLock;

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;
use crate::backends::kafka::query::Committed;

/// When samples are measured: so late that everything else is before it.
static MEASURED_AT: LazyLock<Instant> =
    LazyLock::new(|| Instant::now() + Duration::from_secs(100_000));

/// A larger value is not always a whole number of consumers, as doubles have gaps.
const LARGEST_EXACT: f64 = (1_u64 << 53) as f64;

/// A partition, with the seconds for which its group has been seen at its offset.
#[derive(Clone, Copy, Debug)]
struct Given {
    committed: Option<(i64, Option<u64>)>,
    start: i64,
    end: i64,
}

/// Mostly small, so that ends, commits and thresholds come close to each other.
fn offset() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => 0..30_i64,
        2 => 0..100_000_i64,
        1 => 0..=i64::MAX,
        1 => select(vec![i64::MAX, i64::MAX - 1, 1 << 53, i64::from(i32::MAX)]),
    ]
}

/// Any offsets: a broker may report an end before the start, or a commit beyond the end.
fn given() -> impl Strategy<Value = Given> {
    let unmoved = option::of(prop_oneof![3 => 0..70_u64, 1 => 0..90_000_u64]);
    let committed = prop_oneof![
        1 => Just(None),
        5 => (offset(), unmoved).prop_map(Some),
    ];
    (committed, offset(), offset()).prop_map(|(committed, start, end)| Given {
        committed,
        start,
        end,
    })
}

fn partitions() -> impl Strategy<Value = Vec<Given>> {
    prop_oneof![4 => vec(given(), 0..8), 1 => vec(given(), 0..100)]
}

/// Every value that the declared keys let through, also those whose combination they refuse.
fn rule() -> impl Strategy<Value = LagRule> {
    let threshold = prop_oneof![6 => 1..20_u64, 1 => 1..=1_u64 << 53];
    let number = || prop_oneof![2 => Just(0), 6 => 0..20_u64, 1 => 0..=1_u64 << 53];
    let reset = select(vec![OffsetReset::Latest, OffsetReset::Earliest]);
    let seconds = option::of(prop_oneof![1..70_u64, Just(366 * 24 * 60 * 60)]);
    let numbers = (threshold, number(), number(), seconds);
    let flags = any::<[bool; 4]>();
    (numbers, flags, reset).prop_map(
        |((threshold, activation, tolerance, seconds), [zero, idle, limit, even], reset)| LagRule {
            threshold: Target(threshold),
            activation: Activation(activation),
            reset,
            zero_without_commit: zero,
            allow_idle_consumers: idle,
            limit_to_partitions_with_lag: limit,
            ensure_even_distribution: even,
            tolerance: tolerance as i64,
            exclude_persistent_after: seconds.map(Duration::from_secs),
        },
    )
}

fn sample(partitions: &[Given]) -> Sample {
    let partition = |(number, given): (usize, &Given)| Partition {
        topic: "t".into(),
        partition: number as i32,
        committed: given.committed.map(|(offset, unmoved)| Committed {
            offset,
            unmoved_since: unmoved.map(|seconds| *MEASURED_AT - Duration::from_secs(seconds)),
        }),
        start: given.start,
        end: given.end,
        waiting: None,
    };
    Sample {
        partitions: partitions.iter().enumerate().map(partition).collect(),
        progress: None,
    }
}

fn judge(rule: LagRule, partitions: &[Given]) -> Reading {
    rule.judge(&sample(partitions), *MEASURED_AT, *MEASURED_AT)
}

/// A partition's lag, and whether it is part of the value.
fn model_of_one(rule: &LagRule, given: &Given) -> (i128, bool) {
    let (start, end) = (i128::from(given.start), i128::from(given.end));
    let Some((offset, unmoved)) = given.committed else {
        let all = if end > start { end - start } else { 0 };
        let lag = match rule.reset {
            _ if rule.zero_without_commit => 0,
            OffsetReset::Latest => 1,
            OffsetReset::Earliest => all,
        };
        return (lag, true);
    };
    let mut next = i128::from(offset);
    if next < start {
        next = start;
    }
    let mut lag = if end > next { end - next } else { 0 };
    if lag <= i128::from(rule.tolerance) {
        lag = 0;
    }
    let stuck = match (rule.exclude_persistent_after, unmoved) {
        (Some(limit), Some(unmoved)) => unmoved >= limit.as_secs(),
        _ => false,
    };
    (lag, !stuck)
}

/// What a rule makes of partitions, but for the bounds of its numbers.
struct Model {
    /// The lag of all partitions, and of those that are part of the value.
    all: i128,
    counted: i128,
    /// How many of the latter have lag.
    with_lag: i128,
    value: i128,
}

impl Model {
    fn new(rule: &LagRule, partitions: &[Given]) -> Self {
        let lags: Vec<_> = partitions.iter().map(|p| model_of_one(rule, p)).collect();
        let all = lags.iter().map(|(lag, _)| lag).sum();
        let counted = lags.iter().filter(|(_, counted)| *counted);
        let counted: Vec<i128> = counted.map(|(lag, _)| *lag).collect();
        let with_lag = counted.iter().filter(|lag| **lag > 0).count() as i128;
        let counted = counted.iter().sum();
        let (n, threshold) = (partitions.len() as i128, i128::from(rule.threshold.0));
        let mut value = counted;
        let mut cap = None;
        if rule.ensure_even_distribution {
            if counted > 0 {
                let enough = |consumers: &i128| consumers * threshold >= counted;
                let divisors = (1..=n).filter(|consumers| n % consumers == 0);
                value = divisors.filter(enough).min().unwrap_or(n) * threshold;
            }
            cap = Some(n);
        }
        if !rule.allow_idle_consumers {
            cap = Some(n);
        }
        if rule.limit_to_partitions_with_lag {
            cap = Some(with_lag);
        }
        if let Some(cap) = cap
            && value / threshold > cap
        {
            value = cap * threshold;
        }
        Model {
            all,
            counted,
            with_lag,
            value,
        }
    }
}

proptest! {
    #[test]
    fn the_rule_is_its_model(rule in rule(), partitions in partitions()) {
        let model = Model::new(&rule, &partitions);
        let reading = judge(rule, &partitions);
        // Offsets fit in an i64, and so does every sum that a cluster can have.
        let value = i64::try_from(model.value).unwrap_or(i64::MAX);
        // Beyond the range of an i64 the sum is cut before it is capped and distributed.
        let fits = i64::try_from(model.all).is_ok();
        if fits {
            prop_assert_eq!(reading.value, value as f64);
        }
        prop_assert_eq!(reading.active, model.all > i128::from(rule.activation.0));
    }

    #[test]
    fn a_value_is_a_finite_number_within_its_cap(rule in rule(), partitions in partitions()) {
        let model = Model::new(&rule, &partitions);
        let Reading { value, active } = judge(rule, &partitions);
        prop_assert!(value.is_finite() && value >= 0.0, "{value}");
        prop_assert_eq!(value > 0.0, model.counted > 0, "lag is never lost, and never made up");
        if value > LARGEST_EXACT {
            return Ok(());
        }
        let threshold = rule.threshold.0;
        let (value, n) = (value as u64, partitions.len() as u64);
        let consumers = value / threshold;
        let free = rule.allow_idle_consumers && !rule.limit_to_partitions_with_lag;
        if !free || rule.ensure_even_distribution {
            prop_assert!(consumers <= n, "{consumers} consumers of {n} partitions");
        }
        if rule.limit_to_partitions_with_lag {
            prop_assert!(i128::from(consumers) <= model.with_lag);
        }
        if rule.ensure_even_distribution && !rule.limit_to_partitions_with_lag && value > 0 {
            prop_assert_eq!(n % consumers, 0, "{} consumers of {} partitions", consumers, n);
        }
        if !rule.ensure_even_distribution {
            prop_assert!(i128::from(value) <= model.counted);
        }
        prop_assert!(!active || model.all > 0);
    }

    /// By whole consumers: KEDA's division lets up to one consumer's lag above the cap pass, and cuts
    /// it off when there is more.
    #[test]
    fn more_messages_never_need_fewer_consumers(
        rule in rule(),
        partitions in vec(given(), 1..8),
        at in any::<prop::sample::Index>(),
        more in 0..1000_i64,
    ) {
        let before = judge(rule, &partitions);
        let mut partitions = partitions;
        let at = at.index(partitions.len());
        partitions[at].end = partitions[at].end.saturating_add(more);
        let after = judge(rule, &partitions);
        let consumers = |reading: Reading| reading.value as u64 / rule.threshold.0;
        let (few, many) = (consumers(before), consumers(after));
        prop_assert!(many >= few || after.value > LARGEST_EXACT, "{few} became {many}");
        prop_assert!(after.active || !before.active);
    }

    #[test]
    fn the_order_of_partitions_and_those_without_messages_change_no_lag(
        rule in rule(),
        partitions in vec(given(), 0..8),
        empty in 0..4_usize,
    ) {
        let rule = LagRule {
            allow_idle_consumers: true,
            ensure_even_distribution: false,
            ..rule
        };
        let before = judge(rule, &partitions);
        let mut partitions = partitions;
        partitions.reverse();
        let read = Given { committed: Some((7, None)), start: 0, end: 7 };
        partitions.extend(vec![read; empty]);
        prop_assert_eq!(judge(rule, &partitions), before);
    }
}
