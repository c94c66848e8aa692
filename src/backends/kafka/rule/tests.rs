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
        waiting: None,
    };
    Sample {
        partitions: partitions.iter().enumerate().map(partition).collect(),
        progress: None,
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

/// A sample whose partitions have waited so many seconds; a negative number: for at least that.
fn waiting(partitions: &[P], seconds: &[i64]) -> Sample {
    let Sample { partitions, .. } = sample(partitions);
    let waited = |seconds: &i64| {
        let time = Duration::from_secs(seconds.unsigned_abs());
        match *seconds < 0 {
            true => Waiting::AtLeast(time),
            false => Waiting::For(time),
        }
    };
    let partitions = partitions
        .iter()
        .zip(seconds)
        .map(|(partition, seconds)| Partition {
            waiting: Some(waited(seconds)),
            ..partition.clone()
        });
    Sample {
        partitions: partitions.collect(),
        progress: None,
    }
}

/// What is given, and the age in seconds, or what it is at least.
type AgeCase<'a> = (&'a str, LagRule, &'a [P], &'a [i64], Result<u64, u64>);

/// What is given, and the time in seconds, or a part of the error.
type DrainCase<'a> = (&'a str, &'a [P], Progress, Result<u64, &'a str>);

#[test]
fn the_age_is_the_largest_of_the_partitions_with_lag() {
    let earliest = LagRule {
        reset: OffsetReset::Earliest,
        ..PLAIN
    };
    let zero = LagRule {
        zero_without_commit: true,
        ..earliest
    };
    let tolerant = LagRule {
        tolerance: 2,
        ..PLAIN
    };
    let cases: [AgeCase<'_>; 10] = [
        ("no partition", PLAIN, &[], &[], Ok(0)),
        ("caught up", PLAIN, &[(7, 0, 7)], &[0], Ok(0)),
        (
            "the largest",
            PLAIN,
            &[(3, 0, 7), (3, 0, 7)],
            &[4, 9],
            Ok(9),
        ),
        (
            "tolerated",
            tolerant,
            &[(5, 0, 7), (3, 0, 7)],
            &[9, 4],
            Ok(4),
        ),
        (
            "tolerated and unknown",
            tolerant,
            &[(5, 0, 7)],
            &[-9],
            Ok(0),
        ),
        (
            "behind from the start",
            PLAIN,
            &[(3, 0, 7), (3, 0, 7)],
            &[-42, 9],
            Err(42),
        ),
        (
            "at least what is known",
            PLAIN,
            &[(3, 0, 7), (3, 0, 7)],
            &[-42, 60],
            Err(60),
        ),
        (
            "latest waits for nothing",
            PLAIN,
            &[(-1, 0, 7)],
            &[-5],
            Ok(0),
        ),
        ("earliest for all", earliest, &[(-1, 0, 7)], &[5], Ok(5)),
        ("earliest that counts 0", zero, &[(-1, 0, 7)], &[5], Ok(0)),
    ];
    for (given, rule, partitions, seconds, then) in cases {
        let found = rule.age(&waiting(partitions, seconds), Instant::now());
        match (found, then) {
            (Ok(age), Ok(seconds)) => assert_eq!(age, Duration::from_secs(seconds), "{given}"),
            (Err(error), Err(seconds)) => {
                assert_eq!(error.kind(), Kind::Undetermined);
                let text = error.to_string();
                let at_least = format!("has been behind for at least {seconds} s");
                assert!(text.contains(&at_least), "{given}: {text}");
                assert!(
                    text.contains("`ageFrom: record` knows it at once"),
                    "{text}"
                );
            }
            (found, _) => panic!("{given}: {found:?}"),
        }
    }
}

#[test]
fn a_persistent_lag_has_no_age_and_takes_no_time() {
    let now = Instant::now() + Duration::from_secs(100);
    let rule = LagRule {
        exclude_persistent_after: Some(Duration::from_secs(30)),
        ..PLAIN
    };
    let mut stuck = waiting(&[(3, 0, 7)], &[50]);
    let mut partitions = stuck.partitions.to_vec();
    if let Some(committed) = &mut partitions[0].committed {
        committed.unmoved_since = Some(now - Duration::from_secs(40));
    }
    stuck.partitions = partitions.into();
    assert_eq!(rule.age(&stuck, now), Ok(Duration::ZERO));
    assert_eq!(rule.drain_time(&stuck, now), Ok(Duration::ZERO));
    assert_eq!(PLAIN.age(&stuck, now), Ok(Duration::from_secs(50)));
}

#[test]
fn the_drain_time_is_the_lag_at_the_rate_of_commits() {
    let committed = |messages, seconds| Progress::Committed {
        messages,
        within: Duration::from_secs(seconds),
    };
    let too_short = Progress::TooShort {
        seen_for: Duration::from_secs(4),
    };
    let all = [(0, 0, 600), (0, 0, 600)];
    let cases: [DrainCase<'_>; 6] = [
        ("twenty a second", &all, committed(1_200, 60), Ok(60)),
        (
            "before the caps",
            &lags(1, &[1_000]),
            committed(10, 10),
            Ok(1_000),
        ),
        ("nothing waits", &[(7, 0, 7)], committed(0, 60), Ok(0)),
        ("nor is a rate known", &[(7, 0, 7)], too_short, Ok(0)),
        (
            "no commit",
            &all,
            committed(0, 60),
            Err("the lag is 1200, and the group has committed nothing in the last 60 s"),
        ),
        (
            "too short",
            &all,
            too_short,
            Err("the lag is 1200, and the group has been seen for 4 s"),
        ),
    ];
    for (given, partitions, progress, then) in cases {
        let sample = Sample {
            progress: Some(progress),
            ..sample(partitions)
        };
        match (PLAIN.drain_time(&sample, Instant::now()), then) {
            (Ok(time), Ok(seconds)) => assert_eq!(time, Duration::from_secs(seconds), "{given}"),
            (Err(error), Err(text)) => {
                assert_eq!(error.kind(), Kind::Undetermined);
                assert!(error.to_string().contains(text), "{given}: {error}");
            }
            (found, _) => panic!("{given}: {found:?}"),
        }
    }
    let longest = Sample {
        progress: Some(committed(1, 3_600)),
        ..sample(&[(0, 0, i64::MAX)])
    };
    assert_eq!(
        PLAIN.drain_time(&longest, Instant::now()),
        Ok(Duration::MAX)
    );
}
