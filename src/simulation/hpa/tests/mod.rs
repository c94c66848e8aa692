//! Worked cases of Kubernetes' own tests (1.36.4): `horizontal_test.go` and
//! `replica_calculator_test.go` in `pkg/controller/podautoscaler`. Each test names its source.

mod bounds;
mod policies;
mod policies_down;
mod windows;

use MetricTarget::{AverageValue, Value};

use super::*;

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
    // Nothing that the first sync would keep.
    hpa.recommendations.push(Recommendation {
        at: Duration::ZERO,
        replicas: 0,
    });
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
