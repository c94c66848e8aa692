//! Worked cases of Kubernetes' own tests (1.36.4): `horizontal_test.go` and
//! `replica_calculator_test.go` in `pkg/controller/podautoscaler`. Each test names its source.

use MetricTarget::{AverageValue, Value};

use super::{limits::ScaleEvent, *};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Late enough for everything that was before.
const NOW: Duration = seconds(100 * 60);

const DEFAULT: Tolerances = Tolerances {
    scale_up: 0.1,
    scale_down: 0.1,
};

fn scale(replicas: u32) -> Scale {
    Scale {
        replicas,
        ready_pods: replicas,
    }
}

/// `TestReplicaCalc…CMExternal`, `TestExternalPerPodMetric…Overflow` and
/// `TestReplicaCalcExternalMetricUsageOverflow` of replica_calculator_test.go.
#[test]
fn one_metric() {
    let one_ready = Scale {
        replicas: 3,
        ready_pods: 1,
    };
    let tight = Tolerances {
        scale_up: 0.01,
        ..DEFAULT
    };
    let most = i64::MAX as f64 / 1000.0;
    for (given, target, usage, scale, tolerances, then) in [
        ("scale up", Value(4.4), 8600, scale(1), DEFAULT, 2),
        (
            "ignores unready pods",
            Value(4.4),
            8600,
            one_ready,
            DEFAULT,
            2,
        ),
        (
            "scale up per pod",
            AverageValue(2.15),
            8600,
            scale(3),
            DEFAULT,
            4,
        ),
        ("scale down", Value(14.334), 8600, scale(5), DEFAULT, 3),
        (
            "scale down per pod",
            AverageValue(2.867),
            8600,
            scale(5),
            DEFAULT,
            3,
        ),
        ("tolerance", Value(8.888), 8600, scale(3), DEFAULT, 3),
        (
            "tolerance per pod",
            AverageValue(2.9),
            8600,
            scale(3),
            DEFAULT,
            3,
        ),
        ("own tolerance", Value(8.8), 8900, scale(3), tight, 4),
        (
            "own tolerance per pod",
            AverageValue(2.8),
            8600,
            scale(3),
            tight,
            4,
        ),
        (
            "replica overflow",
            AverageValue(0.001),
            i64::MAX,
            scale(1),
            DEFAULT,
            i32::MAX as u32,
        ),
        (
            "usage overflow",
            Value(most),
            i64::MAX,
            scale(3),
            DEFAULT,
            3,
        ),
        (
            "usage overflow per pod",
            AverageValue(most),
            i64::MAX,
            scale(1),
            DEFAULT,
            1,
        ),
    ] {
        let found = metric::replicas(target, Milli(usage), scale, tolerances);
        assert_eq!(found, then, "{given}");
    }
}

/// KEDA's `quantityFromFloat64` (`pkg/scalers/scaler.go`).
#[test]
fn values_are_passed_in_thousandths() {
    for (number, milli) in [
        (0.0, 0),
        (1.1, 1100),
        (0.0004, 0),
        (0.0006, 1),
        (-5.0, 0),
        (f64::NAN, 0),
        (f64::INFINITY, 0),
        (1e30, i64::MAX),
    ] {
        assert_eq!(Milli::of(number), Milli(milli), "{number}");
    }
}

fn hpa(min: u32, max: u32, behavior: Option<Behavior>) -> Hpa {
    let controller = HpaController {
        // As in `setupController` of horizontal_test.go where a case has no recommendations.
        downscale_stabilization: Duration::ZERO,
        ..HpaController::default()
    };
    let mut hpa = Hpa::new(min, max, behavior, controller);
    hpa.recommendations = recommendations(&[(0, 24 * 60)]);
    hpa
}

fn metric(target: MetricTarget, milli: i64) -> Metric {
    Metric {
        target,
        value: Some(Milli(milli)),
    }
}

const FAILED: Metric = Metric {
    target: Value(0.1),
    value: None,
};

/// `TestScaleUpCMExternal`, `TestScaleUpPerPodCMExternal`, `TestScaleDownCMExternal`,
/// `TestScaleDownPerPodCMExternal`, `TestToleranceCMExternal`, `TestTolerancePerPodCMExternal`,
/// `TestTooFewReplicas`, `TestTooManyReplicas`, `TestZeroReplicas`, `TestScaleUpOneMetricEmpty`,
/// `TestNoScaleDownOneMetricEmpty` and `TestUpscaleCap` of horizontal_test.go; where they have CPU
/// as the metric, an external one that leads to as many replicas.
#[test]
fn one_sync() {
    let up = metric(AverageValue(1.0), 4000);
    let down = metric(AverageValue(1.0), 3000);
    for (given, (min, max), current, metrics, then) in [
        ("scale up", (2, 6), 3, vec![metric(Value(6.666), 8600)], 4),
        (
            "scale up per pod",
            (2, 6),
            3,
            vec![metric(AverageValue(2.222), 8600)],
            4,
        ),
        ("scale down", (2, 6), 5, vec![metric(Value(14.4), 8600)], 3),
        (
            "scale down per pod",
            (2, 6),
            5,
            vec![metric(AverageValue(3.0), 8600)],
            3,
        ),
        ("tolerance", (2, 6), 4, vec![metric(Value(8.666), 8600)], 4),
        (
            "tolerance per pod",
            (2, 6),
            4,
            vec![metric(AverageValue(2.2), 8600)],
            4,
        ),
        ("too few replicas", (3, 5), 2, vec![], 3),
        ("too many replicas", (3, 5), 10, vec![], 5),
        ("zero replicas", (3, 5), 0, vec![up], 0),
        ("the largest wins", (2, 6), 3, vec![down, up], 4),
        ("up with one failed metric", (2, 6), 3, vec![up, FAILED], 4),
        (
            "no down with one failed metric",
            (2, 6),
            5,
            vec![down, FAILED],
            5,
        ),
        ("all failed", (2, 6), 5, vec![FAILED, FAILED], 5),
        (
            "the cap of scaling up",
            (1, 100),
            3,
            vec![metric(Value(1.0), 24_000)],
            6,
        ),
        (
            "the cap is at least 4",
            (1, 100),
            1,
            vec![metric(Value(1.0), 24_000)],
            4,
        ),
    ] {
        let synced = hpa(min, max, None).sync(scale(current), NOW, || metrics);
        assert_eq!(synced.replicas, then, "{given}");
    }
}

#[test]
fn metrics_are_requested_only_where_they_count() {
    for (replicas, requested) in [(0, false), (1, false), (2, true), (6, true), (7, false)] {
        let (mut hpa, mut was_requested) = (hpa(2, 6, None), false);
        hpa.sync(scale(replicas), NOW, || {
            was_requested = true;
            vec![metric(Value(1.0), 1000)]
        });
        assert_eq!(was_requested, requested, "{replicas} replicas");
        assert_eq!(hpa.is_scaling_active(), requested, "{replicas} replicas");
    }
}

/// `tolerancesForHpa` and `TestConfigurableTolerance` of horizontal_test.go.
#[test]
fn each_direction_may_have_its_own_tolerance() {
    let behavior = |up, down| {
        let mut behavior = Behavior::default();
        behavior.scale_up.tolerance = up;
        behavior.scale_down.tolerance = down;
        behavior.scale_down.stabilization_window = Some(Duration::ZERO);
        Some(behavior)
    };
    for (given, behavior, milli, then) in [
        ("within 10 % above", behavior(None, None), 10_900, 10),
        ("5 % up", behavior(Some(0.05), None), 10_900, 11),
        ("0 % up", behavior(Some(0.0), None), 10_001, 11),
        ("200 % up", behavior(Some(2.0), None), 25_000, 10),
        ("below 10 % under", behavior(None, None), 8900, 9),
        ("80 % down", behavior(None, Some(0.8)), 2100, 10),
        ("below 80 % down", behavior(None, Some(0.8)), 1900, 2),
    ] {
        let metrics = vec![metric(AverageValue(1.0), milli)];
        let synced = hpa(1, 100, behavior).sync(scale(10), NOW, || metrics);
        assert_eq!(synced.replicas, then, "{given}");
    }
}

/// Recommendations, each with its age in seconds.
fn recommendations(all: &[(u32, u64)]) -> Vec<Recommendation> {
    let all = all.iter().map(|(replicas, age)| Recommendation {
        at: NOW.saturating_sub(seconds(*age)),
        replicas: *replicas,
    });
    all.collect()
}

/// `TestNormalizeDesiredReplicas` of horizontal_test.go.
#[test]
fn without_behavior_the_largest_recommendation_of_the_window_counts() {
    for (given, recent, wanted, then) in [
        ("empty log", &[][..], 5, 5),
        ("stabilize", &[(4, 120), (5, 60)], 3, 5),
        ("no stabilize", &[(1, 120), (2, 60)], 3, 3),
        ("old recommendations", &[(10, 600), (9, 540)], 3, 3),
        (
            "stabilize, old ones",
            &[(10, 600), (4, 60), (5, 120), (9, 540)],
            3,
            5,
        ),
    ] {
        let mut hpa = Hpa::new(1, 100, None, HpaController::default());
        hpa.recommendations = recommendations(recent);
        assert_eq!(hpa.stabilize_down(wanted, NOW), then, "{given}");
    }
}

/// `TestNormalizeDesiredReplicasWithBehavior` of horizontal_test.go.
#[test]
fn with_behavior_each_direction_has_a_window() {
    for (given, recent, current, wanted, (up, down), then) in [
        ("empty", &[][..], 100, 5, (0, 0), 5),
        (
            "down stabilization",
            &[(4, 120), (5, 60)],
            100,
            3,
            (0, 180),
            5,
        ),
        ("up stabilization", &[(4, 120), (5, 60)], 1, 7, (300, 0), 4),
        (
            "no down stabilization",
            &[(1, 120), (2, 60)],
            100,
            3,
            (300, 0),
            3,
        ),
        (
            "no up stabilization",
            &[(4, 120), (5, 60)],
            1,
            3,
            (0, 300),
            3,
        ),
        ("old ones, down", &[(10, 600), (9, 540)], 100, 3, (0, 0), 3),
        ("old ones, up", &[(10, 600), (9, 540)], 1, 100, (0, 0), 100),
        (
            "down, one of them old",
            &[(10, 600), (4, 60), (5, 120), (9, 540)],
            100,
            3,
            (0, 180),
            5,
        ),
        (
            "up, one of them old",
            &[(10, 6000), (6, 60), (5, 120), (9, 180)],
            1,
            100,
            (300, 0),
            5,
        ),
        (
            "not up when it goes down",
            &[(2, 6000), (3, 180)],
            2,
            1,
            (300, 300),
            2,
        ),
        (
            "not down when it goes up",
            &[(2, 6000), (1, 180)],
            2,
            3,
            (300, 300),
            2,
        ),
    ] {
        let mut hpa = Hpa::new(1, 100, None, HpaController::default());
        hpa.recommendations = recommendations(recent);
        let windows = (seconds(up), seconds(down));
        let found = hpa.stabilize(current, wanted, windows, NOW);
        assert_eq!(found, then, "{given}");
    }
}

/// `generateScalingRules` of horizontal_test.go: pods and percent, each with its period.
fn rules(pods: (u32, u64), percent: (u32, u64)) -> ScalingRules {
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
fn limited(
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

/// `TestScalingWithRules` of horizontal_test.go: scaling down.
#[test]
fn policies_limit_scaling_down() {
    let down = ScalingRules::scale_down;
    let many = (1, 1000);
    let (none, three, four): (&[u32], _, _) = (&[], &[1, 5, 9][..], &[8, 12, 9, 11][..]);
    for (given, rules, bounds, changes, from_to, then) in [
        ("minReplicas", down(), (2, 8), (none, none), (3, 1), 2),
        ("to zero", down(), (0, 10), (none, none), (1, 0), 0),
        (
            "the limit above minReplicas",
            rules((20, 60), (0, 0)),
            (3, 2000),
            (none, none),
            (1000, 3),
            980,
        ),
        (
            "pods above percent",
            rules((20, 60), (1, 60)),
            many,
            (none, none),
            (100, 2),
            80,
        ),
        (
            "more pods than percent",
            rules((2, 60), (1, 60)),
            many,
            (none, none),
            (100, 2),
            98,
        ),
        (
            "large pods",
            rules((100, 60), (0, 0)),
            many,
            (none, none),
            (10, 0),
            1,
        ),
        (
            "large percent",
            rules((0, 0), (100, 60)),
            (5, 1000),
            (none, none),
            (10, 2),
            5,
        ),
        (
            "pods",
            rules((5, 60), (0, 0)),
            many,
            (none, none),
            (10, 2),
            5,
        ),
        (
            "percent",
            rules((0, 0), (50, 60)),
            many,
            (none, none),
            (10, 5),
            5,
        ),
        ("default, events", down(), many, (none, three), (10, 5), 5),
        (
            "large pods, events",
            rules((115, 120), (0, 0)),
            many,
            (none, three),
            (100, 0),
            1,
        ),
        (
            "huge pods, events",
            rules((130, 120), (0, 0)),
            (5, 1000),
            (none, three),
            (100, 0),
            5,
        ),
        (
            "large percent, events",
            rules((0, 0), (100, 120)),
            (5, 1000),
            (none, three),
            (100, 2),
            5,
        ),
        (
            "pods, events",
            rules((5, 120), (0, 0)),
            many,
            (none, three),
            (100, 2),
            100,
        ),
        (
            "percent, events",
            rules((0, 0), (50, 120)),
            many,
            (none, &[2, 4, 6]),
            (100, 0),
            56,
        ),
        (
            "percent, up and down",
            rules((0, 0), (50, 180)),
            many,
            (&[2], &[4]),
            (10, 1),
            6,
        ),
        (
            "more than allowed before",
            rules((0, 0), (10, 120)),
            many,
            (none, &[10, 10, 10]),
            (100, 0),
            100,
        ),
        (
            "below zero",
            rules((0, 0), (1000, 120)),
            many,
            (none, &[10, 10, 10]),
            (10, 5),
            5,
        ),
        (
            "outdated, one policy",
            rules((1000, 60), (0, 0)),
            many,
            (none, four),
            (100, 5),
            5,
        ),
        (
            "outdated for one",
            rules((1000, 30), (100, 60)),
            many,
            (none, four),
            (100, 5),
            5,
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

/// `TestScaleDownStabilizeInitialSize` of horizontal_test.go.
#[test]
fn the_first_sync_keeps_the_size_that_it_found_for_the_window() {
    let mut hpa = Hpa::new(2, 6, None, HpaController::default());
    let down = || vec![metric(AverageValue(1.0), 3000)];
    assert_eq!(hpa.sync(scale(5), NOW, down).replicas, 5);
    assert_eq!(hpa.sync(scale(5), NOW + seconds(300), down).replicas, 5);
    assert_eq!(hpa.sync(scale(5), NOW + seconds(315), down).replicas, 3);
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
