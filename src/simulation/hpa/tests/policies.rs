//! Policies and the changes that count for them.

use super::*;
use crate::simulation::hpa::limits::ScaleEvent;

/// `generateScalingRules` of horizontal_test.go: pods and percent, each with its period.
pub(super) fn rules(pods: (u32, u64), percent: (u32, u64)) -> ScalingRules {
    let pods = (pods.0 > 0).then(|| Policy::pods(pods.0, seconds(pods.1)));
    let percent = (percent.0 > 0).then(|| Policy::percent(percent.0, seconds(percent.1)));
    ScalingRules {
        policies: pods.into_iter().chain(percent).collect(),
        ..ScalingRules::scale_up()
    }
}

/// `generateEventsUniformDistribution` of horizontal_test.go: evenly spread over 120 s.
fn events(changes: &[u32]) -> Vec<ScaleEvent> {
    let segment = 120.0 / changes.len() as f64;
    let ages = (0..changes.len()).map(|at| 120.0 - segment * (at + 1) as f64 + segment / 2.0);
    let all = changes.iter().zip(ages).map(|(change, age)| ScaleEvent {
        at: NOW - seconds(age as u64),
        change: *change,
    });
    all.collect()
}

/// What a policy makes of the wanted replicas, after earlier changes.
pub(super) fn limited(
    rules: ScalingRules,
    (min, max): (u32, u32),
    (up, down): (&[u32], &[u32]),
    (current, wanted): (u32, u32),
) -> u32 {
    let no_window = |rules: ScalingRules| ScalingRules {
        stabilization_window: Some(Duration::ZERO),
        ..rules
    };
    let mut behavior = Behavior::default();
    match wanted > current {
        true => behavior.scale_up = rules,
        false => behavior.scale_down = rules,
    }
    behavior.scale_down = no_window(behavior.scale_down);
    let mut hpa = hpa(min, max, None);
    (hpa.events.up, hpa.events.down) = (events(up), events(down));
    hpa.normalize_with(&behavior, current, wanted, NOW)
}

/// `TestScalingWithRules` of horizontal_test.go: scaling up.
#[test]
fn policies_limit_scaling_up() {
    let up = ScalingRules::scale_up;
    let many = (1, 1000);
    let (none, three, four): (&[u32], _, _) = (&[], &[1, 5, 9][..], &[8, 12, 9, 11][..]);
    for (given, rules, bounds, changes, from_to, then) in [
        ("within range", up(), (3, 8), (none, none), (5, 7), 7),
        (
            "maxReplicas",
            up(),
            (100, 150),
            (none, none),
            (100, 1000),
            150,
        ),
        (
            "the limit below maxReplicas",
            rules((0, 0), (1, 60)),
            (1, 2000),
            (none, none),
            (3, 1000),
            4,
        ),
        ("default", up(), many, (none, none), (10, 50), 20),
        (
            "pods above percent",
            rules((100, 60), (100, 60)),
            many,
            (none, none),
            (10, 500),
            110,
        ),
        (
            "percent above pods",
            rules((2, 60), (100, 60)),
            many,
            (none, none),
            (10, 500),
            20,
        ),
        (
            "large pods",
            rules((100, 60), (0, 0)),
            many,
            (none, none),
            (10, 50),
            50,
        ),
        (
            "huge pods",
            rules((10_000, 60), (0, 0)),
            many,
            (none, none),
            (10, 50),
            50,
        ),
        (
            "pods",
            rules((30, 60), (0, 0)),
            many,
            (none, none),
            (10, 50),
            40,
        ),
        (
            "percent",
            rules((0, 0), (200, 60)),
            many,
            (none, none),
            (10, 50),
            30,
        ),
        (
            "large pods, events",
            rules((300, 60), (0, 0)),
            (1, 200),
            (three, none),
            (100, 500),
            200,
        ),
        (
            "large percent, events",
            rules((0, 0), (10_000, 60)),
            (1, 200),
            (three, none),
            (100, 500),
            200,
        ),
        (
            "more than allowed before",
            rules((5, 120), (0, 0)),
            many,
            (three, none),
            (100, 500),
            100,
        ),
        (
            "pods, events",
            rules((150, 120), (0, 0)),
            many,
            (three, none),
            (100, 500),
            235,
        ),
        (
            "percent, events",
            rules((0, 0), (200, 120)),
            many,
            (three, none),
            (100, 500),
            255,
        ),
        (
            "percent, up and down",
            rules((0, 0), (300, 300)),
            many,
            (&[4], &[2]),
            (6, 24),
            16,
        ),
        (
            "outdated, one policy",
            rules((1000, 60), (0, 0)),
            many,
            (four, none),
            (100, 200),
            200,
        ),
        (
            "not outdated",
            rules((1000, 120), (100, 60)),
            many,
            (four, none),
            (100, 200),
            200,
        ),
        (
            "outdated for one",
            rules((1000, 30), (100, 60)),
            many,
            (four, none),
            (100, 200),
            200,
        ),
    ] {
        assert_eq!(limited(rules, bounds, changes, from_to), then, "{given}");
    }
}

/// `TestCalculateScaleUpLimitWithScalingRules` and `TestCalculateScaleDownLimitWithBehaviors` of
/// horizontal_test.go, and `selectPolicy: Disabled`.
#[test]
fn the_policy_of_the_smallest_change_or_none() {
    let events = ScaleEvents::default();
    let select = |select_policy| ScalingRules {
        select_policy,
        ..rules((2, 60), (50, 60))
    };
    let smallest = select(SelectPolicy::Min);
    assert_eq!(events.most(1, &smallest, NOW), 2);
    assert_eq!(events.fewest(5, &smallest, NOW), 3);
    let largest = select(SelectPolicy::Max);
    assert_eq!(events.most(1, &largest, NOW), 3);
    assert_eq!(events.fewest(5, &largest, NOW), 2);
    let disabled = select(SelectPolicy::Disabled);
    assert_eq!(events.most(5, &disabled, NOW), 5);
    assert_eq!(events.fewest(5, &disabled, NOW), 5);
}

/// `TestStoreScaleEvents` of horizontal_test.go: the change of the last 60 s, and what is stored.
#[test]
fn changes_are_kept_as_long_as_a_policy_looks_back() {
    let both = || rules((10, 60), (100, 60));
    let at = |(change, age): (u32, u64)| ScaleEvent {
        at: NOW - seconds(age),
        change,
    };
    for (given, before, rules, then) in [
        ("none", vec![], both(), vec![5]),
        ("an outdated one", vec![(7, 61)], both(), vec![5]),
        ("a recent one", vec![(7, 58)], both(), vec![7, 5]),
        (
            "one of two",
            vec![(7, 61), (6, 59)],
            rules((10, 60), (0, 0)),
            vec![6, 5],
        ),
        (
            "policies of different periods",
            vec![(8, 29), (6, 59), (7, 61), (9, 61)],
            rules((10, 60), (100, 30)),
            vec![8, 6, 5],
        ),
        (
            "a longer period",
            vec![(7, 58), (6, 59)],
            rules((10, 120), (100, 30)),
            vec![7, 6, 5],
        ),
    ] {
        let before: Vec<_> = before.into_iter().map(at).collect();
        let mut events = ScaleEvents {
            up: before.clone(),
            down: before,
        };
        events.store(10, 15, &rules, &rules, NOW);
        events.store(10, 5, &rules, &rules, NOW);
        let changes = |events: &[ScaleEvent]| -> Vec<u32> {
            events.iter().map(|event| event.change).collect()
        };
        assert_eq!(changes(&events.up), then, "{given}: up");
        assert_eq!(changes(&events.down), then, "{given}: down");
    }
}

#[test]
fn a_policy_spreads_a_change_over_its_periods() {
    let behavior = Behavior {
        scale_up: rules((2, 60), (0, 0)),
        ..Behavior::default()
    };
    let mut hpa = hpa(1, 10, Some(behavior));
    let mut replicas = 1;
    let found: Vec<u32> = (0..10)
        .map(|sync| {
            let metrics = || vec![metric(AverageValue(1.0), 10_000)];
            let now = NOW + seconds(15 * sync);
            replicas = hpa.sync(scale(replicas), now, metrics).replicas;
            replicas
        })
        .collect();
    assert_eq!(found, [3, 3, 3, 3, 5, 5, 5, 5, 7, 7]);
}
