//! ScaledJobs: jobs that take some items and end.

use super::*;
use crate::error::Kind;

fn scaled_job(strategy: ScalingStrategy) -> ScaledJob {
    ScaledJob {
        strategy,
        max_replica_count: Some(20),
        ..ScaledJob::default()
    }
}

fn run(scaled_job: ScaledJob, load: Load, model: WorkerModel, length: u64) -> Timeline {
    Simulation::new(load, model, scaled_job)
        .trigger(MetricTarget::AverageValue(1.0), backlog(0))
        .run(seconds(length))
        .unwrap()
}

#[test]
fn a_job_takes_its_items_and_ends() {
    let mut model = workers(2);
    model.startup = seconds(10);
    let timeline = Simulation::new(NOTHING, model, scaled_job(ScalingStrategy::Default))
        .trigger(MetricTarget::AverageValue(5.0), backlog(0))
        .items_per_job(5)
        .initial_backlog(15)
        .run(seconds(120))
        .unwrap();
    // Three jobs at the first poll, ready after 10 s, done with five items of 2 s after 20 s. The poll
    // at 30 s finds nothing.
    assert_eq!(changes(&timeline), [(0, 3), (20, 0)]);
    assert_eq!(at(&timeline, 9).ready, 0);
    let summary = &timeline.summary;
    assert_eq!((summary.completed, summary.interrupted), (15, 0));
    assert_eq!(summary.worker_seconds, 60.0);
    assert_eq!(at(&timeline, 5).wanted, None);
}

#[test]
fn a_job_that_finds_nothing_ends_unless_it_is_one_of_the_minimum() {
    for (min, then) in [(0, vec![(0, 4), (10, 1), (12, 0)]), (2, vec![(0, 2)])] {
        let mut model = workers(2);
        model.startup = seconds(10);
        let scaled_job = ScaledJob {
            min_replica_count: min,
            ..scaled_job(ScalingStrategy::Default)
        };
        // Another consumer takes all but one of the four items that the first poll sees.
        let four = value_at(|second| if second == 0 { 4.0 } else { 0.0 });
        let items = u64::from(min == 0);
        let timeline = Simulation::new(NOTHING, model, scaled_job)
            .trigger(MetricTarget::AverageValue(1.0), four)
            .initial_backlog(items)
            .run(seconds(100))
            .unwrap();
        assert_eq!(changes(&timeline), then, "{min} at least");
    }
}

/// A list of Redis no longer has what a job has taken: to deduct all unfinished jobs from it starts too
/// few, as KEDA's page on ScaledJobs says.
#[test]
fn the_accurate_strategy_is_for_queues_without_what_is_taken() {
    let load = || Load::Constant(0.1);
    let run = |strategy| run(scaled_job(strategy), load(), workers(120), 3600).summary;
    let (default, accurate) = (
        run(ScalingStrategy::Default),
        run(ScalingStrategy::Accurate),
    );
    assert!(accurate.max_age <= seconds(30), "{accurate:?}");
    assert!(default.max_age > seconds(60), "{default:?}");
}

/// Four items, and jobs that take a minute to start.
#[test]
fn the_eager_strategy_does_not_wait_for_pending_jobs() {
    for (strategy, then) in [
        (ScalingStrategy::Default, vec![(0, 4)]),
        (ScalingStrategy::Accurate, vec![(0, 4)]),
        (ScalingStrategy::Eager, vec![(0, 4), (30, 8)]),
    ] {
        let mut model = workers(600);
        model.startup = seconds(60);
        let timeline = Simulation::new(NOTHING, model, scaled_job(strategy))
            .trigger(MetricTarget::AverageValue(1.0), backlog(0))
            .initial_backlog(4)
            .run(seconds(59))
            .unwrap();
        assert_eq!(changes(&timeline), then, "{strategy:?}");
    }
}

#[test]
fn a_scaled_job_that_keda_refuses_is_an_error() {
    let zero = ScaledJob {
        max_replica_count: Some(0),
        ..ScaledJob::default()
    };
    let simulation = Simulation::new(NOTHING, workers(1), zero)
        .trigger(MetricTarget::AverageValue(1.0), backlog(0));
    let error = simulation.run(seconds(1)).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert_eq!(
        error.to_string(),
        "maxReplicaCount is 0. KEDA wants at least 1."
    );
}
