//! Tables of what is counted, and what a trigger makes of it.

use super::*;
use crate::backends::temporal::backlog::RunningWorkflows;
use QueueType::{Activity, Nexus, Workflow};

const RULE: BacklogRule = BacklogRule {
    activation: Activation(2),
};

/// `count` tasks, the oldest `age` seconds old, of which `rate` a second are dispatched.
fn stats(count: u64, age: u64, rate: f64) -> TaskStats {
    TaskStats {
        backlog: count,
        age: Duration::from_secs(age),
        dispatch_rate: rate,
        add_rate: 0.0,
        polled: false,
    }
}

fn backlog<const N: usize>(queues: [(QueueType, TaskStats); N]) -> Backlog {
    let mut backlog = Backlog::default();
    for (queue_type, stats) in queues {
        backlog.add(queue_type, stats);
    }
    backlog
}

fn age<const N: usize>(queues: [(QueueType, TaskStats); N]) -> Result<f64, String> {
    let age = RULE.age(&backlog(queues), Instant::now());
    age.map(|age| age.as_secs_f64())
        .map_err(|error| error.to_string())
}

fn drain<const N: usize>(queues: [(QueueType, TaskStats); N]) -> Result<f64, String> {
    let time = RULE.drain_time(&backlog(queues), Instant::now());
    time.map(|time| time.as_secs_f64())
        .map_err(|error| error.to_string())
}

#[test]
fn running_workflows_keep_active_and_do_not_count() {
    let judge = |tasks, running| {
        let mut backlog = backlog([(Workflow, stats(tasks, 0, 0.0))]);
        backlog.running = running;
        let now = Instant::now();
        let reading = RULE.judge(&backlog, now, now);
        (reading.value, reading.active)
    };
    assert_eq!(judge(2, RunningWorkflows::NotCounted), (2.0, false));
    assert_eq!(judge(3, RunningWorkflows::NotCounted), (3.0, true));
    assert_eq!(judge(0, RunningWorkflows::AtLeast(0)), (0.0, false));
    assert_eq!(judge(0, RunningWorkflows::AtLeast(7)), (0.0, true));
    assert_eq!(judge(0, RunningWorkflows::Draining), (0.0, true));
}

#[test]
fn the_age_is_that_of_the_oldest_task_of_all_queues_and_types() {
    assert_eq!(age([]), Ok(0.0));
    assert_eq!(age([(Workflow, stats(0, 0, 3.0))]), Ok(0.0));
    assert_eq!(age([(Workflow, stats(4, 7, 3.0))]), Ok(7.0));
    let queues = [
        (Workflow, stats(1000, 7, 90.0)),
        (Activity, stats(1, 90, 0.0)),
        (Activity, stats(0, 0, 5.0)),
        (Nexus, stats(2, 30, 0.0)),
    ];
    assert_eq!(age(queues), Ok(90.0));
}

#[test]
fn tasks_of_an_unknown_age_are_not_young() {
    let error = age([(Activity, stats(40, 0, 0.0))]).unwrap_err();
    assert_eq!(
        error,
        "40 tasks wait, and the server does not say yet for how long. Wait for the next sample: a \
         server that has just loaded a task queue may have yet to read its tasks."
    );
    // Of another queue it is known, so that the oldest is at least as old as that.
    let known = [(Activity, stats(40, 0, 0.0)), (Activity, stats(1, 12, 0.0))];
    assert_eq!(age(known), Ok(12.0));
}

#[test]
fn queues_of_one_type_drain_together_and_types_apart() {
    for (given, queues, then) in [
        ("nothing", vec![], 0.0),
        ("an idle queue", vec![(Activity, stats(0, 0, 0.0))], 0.0),
        ("one queue", vec![(Activity, stats(100, 9, 20.0))], 5.0),
        (
            "two shards, one of which was idle until now",
            vec![(Activity, stats(99, 9, 20.0)), (Activity, stats(1, 1, 0.0))],
            5.0,
        ),
        (
            "fast workflow tasks beside slow activities",
            vec![
                (Workflow, stats(100, 1, 200.0)),
                (Activity, stats(100, 60, 0.5)),
            ],
            200.0,
        ),
        (
            "a rate of an empty type, which changes nothing",
            vec![(Workflow, stats(0, 0, 0.0)), (Activity, stats(10, 1, 1.0))],
            10.0,
        ),
    ] {
        let mut sum = Backlog::default();
        for (queue_type, stats) in queues {
            sum.add(queue_type, stats);
        }
        let time = RULE.drain_time(&sum, Instant::now()).unwrap();
        assert_eq!(time.as_secs_f64(), then, "{given}");
    }
}

#[test]
fn a_backlog_that_nobody_takes_has_no_drain_time() {
    let waits = [(Workflow, stats(3, 1, 6.0)), (Activity, stats(40, 75, 0.0))];
    let error = RULE.drain_time(&backlog(waits), Instant::now());
    assert_eq!(error.clone().unwrap_err().kind(), Kind::Undetermined);
    assert_eq!(
        drain(waits).unwrap_err(),
        "40 activity tasks wait (the oldest has waited for 75 s), and the server has dispatched none \
         in the last 30 s, so that their drain time is not known. Check that workers poll the task \
         queue. A trigger with `signal: backlog` beside this one starts the first of them."
    );
    let young = drain([(Activity, stats(40, 0, 0.0))]).unwrap_err();
    assert!(young.starts_with("40 activity tasks wait, and"), "{young}");
}

#[test]
fn a_tiny_rate_is_a_long_time_and_no_panic() {
    let time = drain([(Activity, stats(u64::MAX, 0, f64::MIN_POSITIVE))]).unwrap();
    assert_eq!(time, Duration::MAX.as_secs_f64());
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn queues() -> impl Strategy<Value = Vec<(usize, u64, u64, f64)>> {
        let rate = prop_oneof![Just(0.0), 0.001..10_000.0];
        prop::collection::vec((0..3_usize, 0..1_000_u64, 0..10_000_u64, rate), 0..20)
    }

    proptest! {
        /// Over any queues: no age below that of one of them, and no drain time without a rate.
        #[test]
        fn every_queue_shows(queues in queues()) {
            let mut sum = Backlog::default();
            for (queue_type, count, age, rate) in &queues {
                let age = if *count > 0 { *age } else { 0 };
                sum.add(QueueType::ALL[*queue_type], stats(*count, age, *rate));
            }
            let waiting = queues.iter().filter(|(_, count, ..)| *count > 0);
            let oldest = waiting.map(|(_, _, age, _)| *age).max();
            match RULE.age(&sum, Instant::now()) {
                Ok(age) => prop_assert_eq!(age.as_secs(), oldest.unwrap_or(0)),
                Err(_) => prop_assert_eq!(oldest, Some(0)),
            }
            let stalled = QueueType::ALL.iter().any(|queue_type| {
                let stats = sum.of(*queue_type);
                stats.backlog > 0 && stats.dispatch_rate == 0.0
            });
            let time = RULE.drain_time(&sum, Instant::now());
            prop_assert_eq!(time.is_err(), stalled);
            if let Ok(time) = time {
                prop_assert_eq!(time.is_zero(), sum.total() == 0);
            }
        }
    }
}
