//! A table of cases for the rule.

use std::sync::Arc;

use super::*;
use crate::backends::kafka::query::Committed;

const PLAIN: LagRule = LagRule {
    threshold: Target(10),
    activation: Activation(0),
    reset: OffsetReset::Latest,
    zero_without_commit: false,
    allow_idle_consumers: false,
    limit_to_partitions_with_lag: false,
    ensure_even_distribution: false,
    tolerance: 0,
    exclude_persistent_after: None,
};

/// A partition: committed (−1 for none), start, end.
type P = (i64, i64, i64);

fn sample(partitions: &[P]) -> Sample {
    let partition = |(number, (committed, start, end)): (usize, &P)| Partition {
        topic: "t".into(),
        partition: number as i32,
        committed: (*committed >= 0).then_some(Committed {
            offset: *committed,
            unmoved_since: None,
        }),
        start: *start,
        end: *end,
    };
    Sample {
        partitions: partitions.iter().enumerate().map(partition).collect(),
    }
}

/// `n` partitions, the first of which lag as given.
fn lags(n: usize, lags: &[i64]) -> Vec<P> {
    let lag = |i| lags.get(i).copied().unwrap_or(0);
    (0..n).map(|i| (100, 0, 100 + lag(i))).collect()
}

fn judge(rule: LagRule, partitions: &[P]) -> (i64, bool) {
    let now = Instant::now();
    let reading = rule.judge(&sample(partitions), now, now);
    (reading.value as i64, reading.active)
}

#[test]
fn lag_is_the_end_minus_what_was_committed_or_what_retention_left() {
    let cases: [(&str, &[P], i64); 6] = [
        ("caught up", &[(7, 0, 7)], 0),
        ("behind", &[(3, 0, 7)], 4),
        ("retention deleted what was not read", &[(3, 5, 7)], 2),
        ("retention deleted everything", &[(3, 7, 7)], 0),
        (
            "a commit beyond the end hides no other's lag",
            &[(90, 0, 7), (3, 0, 7)],
            4,
        ),
        ("no partition at all", &[], 0),
    ];
    for (name, partitions, lag) in cases {
        assert_eq!(judge(PLAIN, partitions), (lag, lag > 0), "{name}");
    }
}

#[test]
fn partitions_without_a_commit_follow_the_policy() {
    let earliest = LagRule {
        reset: OffsetReset::Earliest,
        ..PLAIN
    };
    let zero = |rule| LagRule {
        zero_without_commit: true,
        ..rule
    };
    let partitions: [P; 3] = [(-1, 2, 9), (-1, 0, 0), (5, 0, 6)];
    let cases = [
        ("latest counts one for each", PLAIN, 1 + 1 + 1),
        ("earliest counts what retention left", earliest, 7 + 1),
        ("latest to zero", zero(PLAIN), 1),
        ("earliest to zero", zero(earliest), 1),
    ];
    for (name, rule, lag) in cases {
        assert_eq!(judge(rule, &partitions), (lag, true), "{name}");
    }
}

#[test]
fn the_value_is_capped_and_activity_is_not() {
    let rule =
        |allow_idle_consumers, limit_to_partitions_with_lag, ensure_even_distribution| LagRule {
            allow_idle_consumers,
            limit_to_partitions_with_lag,
            ensure_even_distribution,
            ..PLAIN
        };
    let plain = rule(false, false, false);
    let idle = rule(true, false, false);
    let with_lag = rule(false, true, false);
    let even = rule(false, false, true);
    let cases: [(&str, LagRule, usize, &[i64], i64); 16] = [
        ("just below the cap's division", plain, 10, &[109], 109),
        ("at it", plain, 10, &[110], 100),
        ("far above it", plain, 10, &[100_000], 100),
        ("idle consumers are allowed", idle, 10, &[100_000], 100_000),
        ("one partition has lag", with_lag, 10, &[100], 10),
        ("two have", with_lag, 10, &[100, 1], 20),
        ("none has", with_lag, 10, &[], 0),
        ("fewer than the limit are needed", with_lag, 10, &[3, 4], 7),
        ("one consumer is enough", even, 10, &[10], 10),
        ("two consumers", even, 10, &[11], 20),
        ("three do not divide ten: five", even, 10, &[21], 50),
        ("six do not: ten", even, 10, &[51], 100),
        ("never more than partitions", even, 10, &[5_000], 100),
        ("a prime number of partitions", even, 7, &[11], 70),
        ("no lag needs no consumer", even, 10, &[], 0),
        ("no partition", even, 0, &[], 0),
    ];
    for (name, rule, n, lag, value) in cases {
        let active = !lag.is_empty();
        assert_eq!(judge(rule, &lags(n, lag)), (value, active), "{name}");
    }
    // Even distribution caps even if idle consumers are allowed, as in KEDA.
    assert_eq!(judge(rule(true, false, true), &lags(10, &[5_000])).0, 100);
}

#[test]
fn activation_is_strictly_above_its_threshold() {
    let rule = LagRule {
        activation: Activation(5),
        ..PLAIN
    };
    assert_eq!(judge(rule, &lags(3, &[5])), (5, false));
    assert_eq!(judge(rule, &lags(3, &[5, 1])), (6, true));
}

#[test]
fn tolerated_lag_counts_nothing_and_more_counts_in_full() {
    let rule = LagRule {
        tolerance: 1,
        ..PLAIN
    };
    assert_eq!(judge(rule, &lags(3, &[1, 1, 1])), (0, false));
    assert_eq!(judge(rule, &lags(3, &[1, 2, 1])), (2, true));
    // A partition without a commit still starts the group.
    assert_eq!(judge(rule, &[(-1, 0, 0)]), (1, true));
}

#[test]
fn persistent_lag_keeps_the_trigger_active_and_is_no_part_of_the_value() {
    let rule = LagRule {
        exclude_persistent_after: Some(Duration::from_secs(30)),
        ..PLAIN
    };
    // The sample is read a minute after the test began, as an Instant cannot be set back safely.
    let measured_at = Instant::now() + Duration::from_secs(60);
    let since = |sample: &mut Sample, partition: usize, ago: u64| {
        let since = measured_at - Duration::from_secs(ago);
        let partitions = Arc::get_mut(&mut sample.partitions).expect("nobody else's");
        let committed = partitions[partition].committed.as_mut();
        committed.expect("a commit").unmoved_since = Some(since);
    };
    let mut stuck = sample(&lags(2, &[7, 3]));
    since(&mut stuck, 0, 30);
    let later = measured_at + Duration::from_secs(3600);
    let reading = |rule: LagRule, sample: &Sample| {
        let reading = rule.judge(sample, measured_at, later);
        (reading.value as i64, reading.active)
    };
    assert_eq!(reading(rule, &stuck), (3, true));
    assert_eq!(reading(PLAIN, &stuck), (10, true));
    let mut slow = sample(&lags(2, &[7, 3]));
    since(&mut slow, 0, 29);
    assert_eq!(
        reading(rule, &slow),
        (10, true),
        "age of the sample does not count"
    );
    let mut alone = sample(&lags(1, &[7]));
    since(&mut alone, 0, 31);
    assert_eq!(reading(rule, &alone), (0, true));
}
