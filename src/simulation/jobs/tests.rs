//! Worked cases of KEDA's own tests (2.21). Each test names its source.

use ScalingStrategy::{Accurate, Custom, Default as DefaultStrategy, Eager};

use super::*;

/// `TestScaledJob` of apis/keda/v1alpha1/scaledjob_types_test.go.
#[test]
fn the_maximum_is_beyond_the_minimum() {
    for (min, max, then) in [
        (0, Some(10), (0, 10)),
        (1, Some(10), (1, 9)),
        (1, None, (1, 100)),
        (0, None, (0, 100)),
        (10, Some(1), (1, 1)),
    ] {
        let scaled_job = ScaledJob {
            min_replica_count: min,
            max_replica_count: max,
            ..ScaledJob::default()
        };
        assert_eq!(scaled_job.bounds(), then, "{min} to {max:?}");
    }
}

const fn custom(queue_length_deduction: i32, running_job_percentage: f64) -> ScalingStrategy {
    Custom {
        queue_length_deduction,
        running_job_percentage,
    }
}

/// `TestDefaultScalingStrategy`, `TestCustomScalingStrategy`,
/// `TestCustomScalingStrategyNilQueueLengthDeduction`, `TestAccurateScalingStrategy` and
/// `TestEagerScalingStrategy` of pkg/scaling/executor/scale_jobs_test.go.
#[test]
fn strategies() {
    for (strategy, [max_scale, running, pending, max], then) in [
        (DefaultStrategy, [3, 2, 0, 5], (1, 1)),
        (DefaultStrategy, [2, 0, 0, 5], (2, 1)),
        (custom(1, 0.5), [3, 2, 0, 5], (1, 1)),
        (custom(1, 0.5), [10, 0, 0, 10], (9, 1)),
        (custom(2, 0.0), [3, 2, 0, 5], (1, 1)),
        (custom(-2, 0.0), [3, 2, 0, 4], (4, 1)),
        (custom(0, 0.5), [10, 2, 0, 100], (9, 1)),
        (custom(0, 0.5), [10, 0, 0, 100], (10, 1)),
        (Accurate, [3, 2, 0, 5], (3, 1)),
        (Accurate, [5, 2, 0, 5], (3, 1)),
        (Accurate, [3, 4, 2, 10], (1, 1)),
        (Accurate, [5, 4, 2, 5], (1, 1)),
        (Accurate, [3, 3, 3, 5], (0, 1)),
        (Accurate, [15, 15, 15, 20], (0, 1)),
        (Accurate, [10, 10, 10, 15], (0, 1)),
        (Accurate, [20, 15, 10, 20], (5, 1)),
        (Eager, [4, 3, 0, 10], (4, 10)),
        (Eager, [4, 0, 3, 10], (4, 10)),
        (Eager, [4, 7, 0, 10], (3, 10)),
        (Eager, [4, 1, 6, 10], (3, 10)),
        (Eager, [15, 0, 0, 10], (10, 10)),
    ] {
        let wanted = Wanted {
            is_active: true,
            scale_to: 1,
            max_scale,
        };
        let counted = Counted {
            running,
            pending,
            max,
        };
        let found = strategy.effective_max_scale(wanted, counted);
        assert_eq!(found, then, "{strategy:?}: {counted:?}");
    }
}

/// `TestRunningJobCountSmallerMinReplicaCount`, `TestRunningJobCountIsDeductedFromMinReplicaCount`
/// and `TestRunningJobCountGreaterOrEqualMinReplicaCountExecutesScalingStrategy` of
/// scale_jobs_test.go.
#[test]
fn what_is_missing_of_the_minimum_comes_first() {
    for (min, unfinished, wanted, then) in [
        (2, 0, (0, 0), (2, 2)),
        (2, 1, (0, 0), (1, 1)),
        (1, 1, (2, 2), (2, 2)),
    ] {
        let scaled_job = ScaledJob {
            min_replica_count: min,
            max_replica_count: Some(10),
            ..ScaledJob::default()
        };
        let (scale_to, max_scale) = wanted;
        let wanted = Wanted {
            is_active: true,
            scale_to,
            max_scale,
        };
        let jobs = JobCount {
            unfinished,
            pending: 0,
        };
        assert_eq!(scaled_job.decision(wanted, jobs), then, "{unfinished} jobs");
    }
}

fn reading(value: f64, active: bool) -> Reading {
    Reading { value, active }
}

/// `TestGetScaledJobState` and `TestGetScaledJobStateIfQueueEmptyButMinReplicaCountGreaterZero` of
/// pkg/scaling/scale_handler_test.go.
#[test]
fn several_triggers_become_one_number() {
    use MultipleScalersCalculation::{Avg, Max, Min, Sum};
    let four = [
        (20.0, 1.0, true),
        (10.0, 2.0, true),
        (5.0, 3.0, true),
        (7.0, 4.0, false),
    ];
    for (triggers, calculation, (min, max), then) in [
        (&[(20.0, 2.0, true)][..], Max, (1, 100), (true, 20, 10)),
        (&four, Max, (0, 100), (true, 20, 20)),
        (&four, Min, (0, 100), (true, 5, 2)),
        (&four, Avg, (0, 100), (true, 12, 9)),
        (&four, Sum, (0, 100), (true, 35, 27)),
        (&four, Sum, (0, 25), (true, 35, 25)),
        (&[(0.0, 1.0, true)], Max, (1, 100), (true, 0, 0)),
        // Beyond KEDA's own cases, from its code.
        (&[(0.0, 1.0, true)], Max, (0, 100), (false, 0, 0)),
        (&[(7.0, 1.0, false)], Sum, (0, 100), (false, 0, 0)),
        (&[], Avg, (0, 100), (false, 0, 0)),
    ] {
        let scaled_job = ScaledJob {
            min_replica_count: min,
            max_replica_count: Some(max),
            calculation,
            ..ScaledJob::default()
        };
        let (_, beyond) = scaled_job.bounds();
        let metrics: Vec<_> = triggers
            .iter()
            .map(|(value, target, active)| {
                let target = MetricTarget::AverageValue(*target);
                ScalerMetrics::of(target, &reading(*value, *active), beyond)
            })
            .collect();
        let (is_active, scale_to, max_scale) = then;
        let then = Wanted {
            is_active,
            scale_to,
            max_scale,
        };
        assert_eq!(
            scaled_job.wanted(&metrics),
            then,
            "{calculation:?} {triggers:?}"
        );
    }
}

#[test]
fn a_poll_creates_jobs_for_what_its_triggers_report() {
    let unfinished = |unfinished| JobCount {
        unfinished,
        pending: 0,
    };
    let failed = || Err(Error::new(Kind::Unreachable, "down", ""));
    let average = MetricTarget::AverageValue(5.0);
    for (given, target, result, jobs, then) in [
        ("three for 15", average, Ok(reading(15.0, true)), 0, 3),
        ("two are there", average, Ok(reading(15.0, true)), 2, 1),
        ("more are there", average, Ok(reading(15.0, true)), 7, 0),
        (
            "no more than the maximum",
            average,
            Ok(reading(500.0, true)),
            0,
            10,
        ),
        ("below activation", average, Ok(reading(15.0, false)), 0, 0),
        ("an error", average, failed(), 0, 0),
        (
            "Value",
            MetricTarget::Value(5.0),
            Ok(reading(15.0, true)),
            0,
            0,
        ),
    ] {
        let scaled_job = ScaledJob {
            max_replica_count: Some(10),
            ..ScaledJob::default()
        };
        let mut scaler = JobScaler::new(scaled_job, vec![target]).unwrap();
        let created = scaler.poll(Duration::ZERO, unfinished(jobs), || vec![result]);
        assert_eq!(created, then, "{given}");
        let not_due = scaler.poll(Duration::from_secs(29), unfinished(0), || panic!("{given}"));
        assert_eq!(not_due, 0);
    }
}
