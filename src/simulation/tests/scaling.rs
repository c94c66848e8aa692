//! KEDA and the HPA together.

use std::{cell::Cell, rc::Rc};

use super::*;
use crate::error::Kind;

/// The run on a real cluster that `docs/images/scaling.svg` shows: KEDA 2.21 and Kubernetes 1.36,
/// `listLength: "5"`, `pollingInterval: 5`, `cooldownPeriod: 10`, the HPA controller with
/// `--horizontal-pod-autoscaler-sync-period=1s` and `--horizontal-pod-autoscaler-downscale-stabilization=0s`
/// (`tests/it/cluster/scaling.rs`).
#[test]
fn a_list_scales_as_on_a_real_cluster() {
    let length = |second: u64| match second {
        0..6 => 0,
        6..11 => 4,
        11..14 => 40,
        14..25 => 40 - 2 * (second - 13),
        25..42 => 42 - second,
        _ => 0,
    };
    let scaled_object = ScaledObject {
        polling_interval: seconds(5),
        cooldown_period: seconds(10),
        ..ScaledObject::default()
    };
    let controller = HpaController {
        sync_period: seconds(1),
        downscale_stabilization: Duration::ZERO,
        ..HpaController::default()
    };
    let timeline = Simulation::new(NOTHING, workers(1), scaled_object)
        .controller(controller)
        .trigger(
            MetricTarget::AverageValue(5.0),
            value_at(move |second| length(second) as f64),
        )
        .run(seconds(60))
        .unwrap();
    let recorded = [
        (0, 0),
        (10, 1),
        (12, 4),
        (12, 8),
        (17, 7),
        (19, 6),
        (22, 5),
        (24, 4),
        (28, 3),
        (32, 2),
        (37, 1),
        (50, 0),
    ];
    let found = changes(&timeline);
    let replicas = |changes: &[(u64, u32)]| -> Vec<u32> {
        changes.iter().map(|(_, replicas)| *replicas).collect()
    };
    assert_eq!(replicas(&found), replicas(&recorded), "{found:?}");
    for ((found, replicas), (recorded, _)) in found.iter().zip(recorded) {
        // The server returned samples of up to a second, and the API server took its time.
        let late = recorded.abs_diff(*found);
        assert!(
            late <= 1,
            "{replicas} replicas: {found} s, not {recorded} s"
        );
    }
}

#[test]
fn from_zero_to_zero_with_the_defaults() {
    // Four items at 40 s, of which a worker takes 25 s each.
    let load = Load::Bursts {
        rate: 4.0,
        first: seconds(39),
        length: seconds(1),
        every: Duration::MAX,
    };
    let timeline = Simulation::new(load, workers(25), ScaledObject::default())
        .trigger(MetricTarget::AverageValue(5.0), backlog(0))
        .run(seconds(600))
        .unwrap();
    // The poll at 60 s scales up, that at 120 s is the last that sees an item wait.
    assert_eq!(changes(&timeline), [(0, 0), (60, 1), (420, 0)]);
    let done = [(84, 0), (85, 1), (110, 2), (135, 3), (160, 4)];
    for (second, completed) in done {
        let point = at(&timeline, second);
        assert_eq!(point.queue.completed, completed, "after {second} s");
    }
    let summary = &timeline.summary;
    assert_eq!(summary.time_to_drain, Some(seconds(160 - 40)));
    assert_eq!(summary.max_backlog, 4);
    assert_eq!(
        (summary.scale_ups, summary.scale_downs, summary.flaps),
        (1, 1, 0)
    );
    assert_eq!((summary.completed, summary.interrupted), (4, 0));
    assert_eq!(summary.worker_seconds, 360.0);
    // It arrived at the end of the second, and waited for the three before it.
    assert!(
        summary.max_age > seconds(94) && summary.max_age <= seconds(95),
        "{summary:?}"
    );
}

#[test]
fn the_hpa_doubles_in_each_sync_and_goes_down_after_its_window() {
    let value = |second| if second < 100 { 100.0 } else { 20.0 };
    for (given, behavior, then) in [
        // Without a behavior a recommendation that is exactly as old as the window still counts.
        (
            "no behavior",
            None,
            vec![(0, 4), (15, 8), (30, 10), (405, 2)],
        ),
        (
            "Kubernetes' defaults",
            Some(Behavior::default()),
            vec![(0, 5), (15, 10), (390, 2)],
        ),
    ] {
        let scaled_object = ScaledObject {
            min_replica_count: 1,
            behavior,
            ..ScaledObject::default()
        };
        let timeline = Simulation::new(NOTHING, workers(1), scaled_object)
            .trigger(MetricTarget::AverageValue(10.0), value_at(value))
            .run(seconds(600))
            .unwrap();
        assert_eq!(changes(&timeline), then, "{given}");
        assert_eq!(at(&timeline, 300).wanted, Some(2), "{given}");
    }
}

#[test]
fn an_outage_holds_replicas_until_the_fallback_works() {
    let fallback = Fallback {
        failure_threshold: 3,
        replicas: 6,
        behavior: FallbackBehavior::Static,
    };
    for (given, fallback, then) in [("none", None, 2), ("six replicas", Some(fallback), 6)] {
        let scaled_object = ScaledObject {
            fallback,
            ..with_window(0, 0)
        };
        let trigger = failing(seconds(100), seconds(400), value_at(|_| 20.0));
        let timeline = Simulation::new(NOTHING, workers(1), scaled_object)
            .trigger(MetricTarget::AverageValue(10.0), trigger)
            .run(seconds(600))
            .unwrap();
        let replicas = [99, 134, 399, 420].map(|second| at(&timeline, second).replicas);
        // Failures: the syncs at 105 and 120 s and the poll at 120 s, then the sync at 135 s.
        assert_eq!(replicas, [2, 2, then, 2], "{given}");
        assert_eq!(at(&timeline, 135).replicas, then, "{given}");
        let during = at(&timeline, 300).triggers[0];
        assert_eq!(during, TriggerPoint::default(), "{given}");
    }
}

#[test]
fn an_outage_of_one_trigger_keeps_what_the_other_one_no_longer_needs() {
    let falls = || value_at(|second| if second < 100 { 60.0 } else { 20.0 });
    let fails = || failing(seconds(90), seconds(400), value_at(|_| 10.0));
    let timeline = Simulation::new(NOTHING, workers(1), with_window(1, 0))
        .trigger(MetricTarget::AverageValue(10.0), falls())
        .trigger(MetricTarget::AverageValue(10.0), fails())
        .run(seconds(600))
        .unwrap();
    let replicas = [99, 399, 420].map(|second| at(&timeline, second).replicas);
    assert_eq!(replicas, [6, 6, 2]);
    assert_eq!(at(&timeline, 300).wanted, None);
}

#[test]
fn polls_call_a_trigger_only_where_keda_can_do_more_than_the_hpa() {
    for (given, min, calls) in [
        ("to zero", 0, 20 + 40),
        // The first poll is before the first sync.
        ("a minimum", 1, 1 + 40),
    ] {
        let count = Rc::new(Cell::new(0));
        let counted = count.clone();
        let trigger = move |_: &QueueState| {
            counted.set(counted.get() + 1);
            Ok(Reading {
                value: 1.0,
                active: true,
            })
        };
        Simulation::new(NOTHING, workers(1), with_window(min, 0))
            .trigger(MetricTarget::AverageValue(10.0), trigger)
            .run(seconds(599))
            .unwrap();
        assert_eq!(count.get(), calls, "{given}");
    }
}

#[test]
fn with_value_pods_that_start_do_not_count() {
    // Twice the target: twice the pods that are ready.
    let mut model = workers(1);
    model.startup = seconds(40);
    let timeline = Simulation::new(NOTHING, model, with_window(1, 0))
        .trigger(MetricTarget::Value(10.0), value_at(|_| 20.0))
        .initial_replicas(2)
        .run(seconds(60))
        .unwrap();
    // None is ready before 40 s, which leads to 0 replicas; then the one that is left.
    assert_eq!(changes(&timeline), [(0, 1), (45, 2)]);
    assert_eq!(at(&timeline, 30).wanted, Some(0));
}

#[test]
fn a_simulation_that_makes_no_sense_is_an_error() {
    let simulation = || Simulation::new(NOTHING, workers(1), ScaledObject::default());
    let target = |number| simulation().trigger(MetricTarget::Value(number), backlog(0));
    let bounds = ScaledObject {
        idle_replica_count: Some(1),
        ..ScaledObject::default()
    };
    let bounds = Simulation::new(NOTHING, workers(1), bounds);
    for (simulation, text) in [
        (simulation(), "there is no trigger. Add one."),
        (
            target(0.0004),
            "a target is 0.0004. It must be above 0, and is rounded to thousandths.",
        ),
        (
            bounds,
            "idleReplicaCount 1 is not below minReplicaCount 0. KEDA supports 0 alone.",
        ),
    ] {
        let error = simulation.run(seconds(1)).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_day_of_a_busy_queue_is_soon_simulated() {
    let load = Load::Sine {
        mean: 5.0,
        amplitude: 5.0,
        period: seconds(24 * 3600),
    };
    let timeline = Simulation::new(load, workers(4), ScaledObject::default())
        .trigger(MetricTarget::AverageValue(20.0), backlog(0))
        .run(seconds(24 * 3600))
        .unwrap();
    let last = &timeline.points[24 * 3600].queue;
    assert!((431_999..=432_000).contains(&last.arrived), "{last:?}");
    assert_eq!(last.arrived, last.completed + last.backlog + last.in_flight);
}
