//! Bounds, zero, and how far a metric may be off: one sync or one metric each. Where a case of
//! Kubernetes has CPU as its metric, an external one here leads to as many replicas.

use super::{policies::rules, *};

/// `minReplicas` of 0 is not KEDA's; the algorithm has it.
#[test]
fn a_sync_ends_within_the_bounds() {
    let average = |milli| vec![metric(AverageValue(1.0), milli)];
    for (source, (min, max), current, metrics, then) in [
        ("TestMinReplicas", (2, 5), 3, average(400), 2),
        ("TestMinReplicasDesiredZero", (2, 5), 3, average(0), 2),
        ("TestZeroMinReplicasDesiredZero", (0, 5), 3, average(0), 0),
        ("TestMaxReplicas", (2, 5), 3, average(18_000), 5),
        (
            "TestScaleDownToZeroCMExternal",
            (0, 6),
            5,
            vec![metric(Value(14.4), 0)],
            0,
        ),
        (
            "TestScaleUpFromZeroWithoutCondition",
            (0, 6),
            0,
            vec![metric(Value(15.0), 20_000)],
            0,
        ),
        (
            "TestManualScaleToZeroDisablesHPA",
            (1, 6),
            0,
            average(4000),
            0,
        ),
        (
            "TestScaleUpBothMetricsEmpty",
            (2, 6),
            3,
            vec![FAILED, FAILED],
            3,
        ),
        (
            "TestNoScaleDownOneMetricInvalid",
            (2, 6),
            5,
            vec![average(3000)[0], FAILED],
            5,
        ),
    ] {
        let synced = hpa(min, max, None).sync(scale(current), NOW, || metrics);
        assert_eq!(synced.replicas, then, "{source}");
    }
}

/// `TestConvertDesiredReplicasWithRules` of horizontal_test.go.
#[test]
fn without_behavior_the_cap_of_scaling_up_and_the_bounds_count() {
    for (given, current, wanted, (min, max), then) in [
        ("within range", 5, 7, (3, 8), 7),
        ("below minReplicas", 3, 1, (2, 8), 2),
        ("zero within range", 1, 0, (0, 10), 0),
        ("maxReplicas", 20, 1000, (1, 10), 10),
        ("the cap", 3, 1000, (1, 2000), 6),
    ] {
        let found = hpa(min, max, None).normalize(current, wanted, NOW);
        assert_eq!(found, then, "{given}");
    }
}

/// `TestUpscaleCap`, `TestUpscaleCapGreaterThanMaxReplicas` and `TestScaleDownWithScalingRules` of
/// horizontal_test.go.
#[test]
fn rules_for_scaling_up() {
    let eightfold = || rules((0, 0), (700, 60));
    let with_window = || ScalingRules {
        stabilization_window: Some(seconds(30)),
        ..rules((0, 0), (100, 15))
    };
    for (given, scale_up, (min, max), current, milli, then) in [
        ("the cap", eightfold(), (1, 100), 3, 60_000, 24),
        (
            "the cap above maxReplicas",
            eightfold(),
            (1, 20),
            3,
            60_000,
            20,
        ),
        (
            "of no matter for scaling down",
            with_window(),
            (2, 6),
            5,
            2_800,
            3,
        ),
    ] {
        let behavior = Behavior {
            scale_up,
            ..Behavior::default()
        };
        let metrics = || vec![metric(AverageValue(1.0), milli)];
        let synced = hpa(min, max, Some(behavior)).sync(scale(current), NOW, metrics);
        assert_eq!(synced.replicas, then, "{given}");
    }
}

/// `TestStabilizeDownscale` of horizontal_test.go.
#[test]
fn a_recent_recommendation_holds_replicas_and_an_old_one_does_not() {
    let mut hpa = Hpa::new(1, 5, None, HpaController::default());
    let recommendation = |replicas, age| Recommendation {
        at: NOW - seconds(age),
        replicas,
    };
    hpa.recommendations = vec![recommendation(10, 600), recommendation(4, 60)];
    let synced = hpa.sync(scale(4), NOW, || vec![metric(AverageValue(1.0), 2000)]);
    assert_eq!((synced.wanted, synced.replicas), (Some(2), 4));
}

/// `TestNoBackoffUpscaleCM` of horizontal_test.go: a change a moment ago is no reason to wait.
#[test]
fn there_is_no_pause_between_changes() {
    let mut hpa = hpa(1, 5, None);
    let up = |milli| move || vec![metric(AverageValue(15.0), milli)];
    assert_eq!(hpa.sync(scale(3), NOW, up(60_000)).replicas, 4);
    assert_eq!(hpa.sync(scale(4), NOW, up(75_000)).replicas, 5);
}

/// `TestReplicaCalcConfigurableTolerance` of replica_calculator_test.go: three replicas, and by how
/// much the metric is off.
#[test]
fn a_metric_within_its_tolerance_changes_nothing() {
    let tolerances = |scale_down, scale_up| Tolerances {
        scale_up,
        scale_down,
    };
    for (given, tolerances, ratio, then) in [
        ("outside of 0 %", tolerances(0.0, 0.0), 1.01, 4),
        ("within 200 % up", tolerances(0.1, 2.0), 1.9, 3),
        ("outside of 8 % up", tolerances(2.0, 0.08), 1.09, 4),
        ("within 36 % down", tolerances(0.36, 0.1), 0.65, 3),
        ("outside of 34 % down", tolerances(0.34, 0.1), 0.65, 2),
    ] {
        for target in [AverageValue(1.0), Value(3.0)] {
            let usage = Milli::of(3.0 * ratio);
            let found = metric::replicas(target, usage, scale(3), tolerances);
            assert_eq!(found, then, "{given}, {target:?}");
        }
    }
}

/// `TestConfigurableTolerance` of horizontal_test.go.
#[test]
fn a_tolerance_of_the_behavior_is_one_direction_s() {
    for (given, up, down, milli, then) in [
        ("1 % up", Some(0.01), None, 3060, 4),
        ("90 % down", None, Some(0.9), 900, 3),
        ("the cluster's 10 %", None, None, 3060, 3),
    ] {
        let mut behavior = Behavior::default();
        behavior.scale_up.tolerance = up;
        behavior.scale_down.tolerance = down;
        let metrics = || vec![metric(AverageValue(1.0), milli)];
        let synced = hpa(1, 5, Some(behavior)).sync(scale(3), NOW, metrics);
        assert_eq!(synced.replicas, then, "{given}");
    }
}
