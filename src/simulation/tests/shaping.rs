//! What the server's own shaping is for, and what values other than the backlog lead to.

use std::collections::BTreeMap;

use super::*;
use crate::metadata::{CommonKeys, parse::Metadata, schema::KeySet, values::Target};

/// A trigger with keys of its metadata, for a target of so many items per replica.
fn shaped<T: Trigger>(target: u64, keys: &[(&str, &str)], trigger: T) -> ShapedTrigger<T> {
    let all = keys.iter().chain(&[("backend", "redis")]);
    let map: BTreeMap<_, _> = all
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let known = KeySet::of::<CommonKeys>();
    let (metadata, problems) = Metadata::new(&map, &[&known]);
    assert_eq!(problems, Default::default());
    let keys = metadata.parse::<CommonKeys>(&known).unwrap();
    ShapedTrigger::new(&keys, Target(target), trigger).unwrap()
}

/// Eight workers do what arrives on average; the backlog goes down by 225 items and up again, between
/// 66 and 95 for each of them.
#[test]
fn scale_down_below_keeps_replicas_still_over_a_sawtooth() {
    let run = |keys: &[(&str, &str)]| {
        let load = Load::Sawtooth {
            low: 1.0,
            high: 7.0,
            period: seconds(300),
        };
        Simulation::new(load, workers(2), with_window(1, 0))
            .trigger(
                MetricTarget::AverageValue(100.0),
                shaped(100, keys, backlog(0)),
            )
            .initial_backlog(760)
            .initial_replicas(8)
            .run(seconds(3600))
            .unwrap()
    };
    let without = run(&[]);
    assert!(without.summary.flaps >= 10, "{:?}", without.summary);
    let with = run(&[("scaleDownBelow", "20")]);
    assert_eq!(changes(&with), [(0, 8)]);
    let least = with.points.iter().map(|point| point.queue.backlog).min();
    assert!(
        least.unwrap() < 8 * 70,
        "the HPA alone would scale down: {least:?}"
    );
}

/// Work that other consumers of the queue finish between KEDA's polls at 0 and 30 s.
#[test]
fn activity_hold_sees_a_burst_between_two_polls() {
    let hold = &[("activityHold", "60s")][..];
    for (given, keys, sample_interval, then) in [
        ("neither", &[][..], None, vec![(0, 0)]),
        ("samples alone", &[], Some(seconds(5)), vec![(0, 0)]),
        ("the key alone", hold, None, vec![(0, 0)]),
        // Held until 70 s: the poll at 60 s is the last that finds it active.
        (
            "both",
            hold,
            Some(seconds(5)),
            vec![(0, 0), (30, 1), (360, 0)],
        ),
    ] {
        let burst = value_at(|second| if (10..15).contains(&second) { 7.0 } else { 0.0 });
        let mut trigger = shaped(5, keys, burst);
        if let Some(interval) = sample_interval {
            trigger = trigger.sampled_every(interval);
        }
        let timeline = Simulation::new(NOTHING, workers(1), ScaledObject::default())
            .trigger(MetricTarget::AverageValue(5.0), trigger)
            .run(seconds(600))
            .unwrap();
        assert_eq!(changes(&timeline), then, "{given}");
    }
}

#[test]
fn on_outage_decides_what_keda_gets_after_max_staleness() {
    for (on_outage, at_160, at_170, replicas) in [
        ("error", Some(20.0), None, 2),
        ("hold", Some(20.0), Some(20.0), 2),
        ("value:50", Some(20.0), Some(50.0), 5),
        ("value:0", Some(20.0), Some(0.0), 1),
    ] {
        let outage = failing(seconds(101), seconds(900), value_at(|_| 20.0));
        let trigger = shaped(10, &[("onOutage", on_outage)], outage);
        let timeline = Simulation::new(NOTHING, workers(1), with_window(0, 0))
            .trigger(MetricTarget::AverageValue(10.0), trigger)
            .run(seconds(300))
            .unwrap();
        let reported = |second| at(&timeline, second).triggers[0].reported_value;
        // The last good sample is of the sync at 90 s.
        assert_eq!(reported(160), at_160, "{on_outage}");
        assert_eq!(reported(170), at_170, "{on_outage}");
        assert_eq!(at(&timeline, 200).replicas, replicas, "{on_outage}");
    }
}

/// `metricType: Value` with the time that the backlog takes. The HPA multiplies the ready pods by
/// `drain time / target`, which is the number that drains the backlog within the target.
#[test]
fn a_drain_time_target_drains_a_backlog_within_it() {
    for (given, backlog, target, startup) in [
        ("6,000 items in 5 min", 6000, 300, 0),
        ("6,000 items in 10 min", 6000, 600, 0),
        ("2,000 items in 5 min", 2000, 300, 0),
        ("slow starts", 6000, 300, 30),
    ] {
        let mut model = workers(1);
        model.startup = seconds(startup);
        let timeline = Simulation::new(NOTHING, model, with_window(1, 600))
            .trigger(MetricTarget::Value(target as f64), drain_time())
            .initial_backlog(backlog)
            .run(seconds(1800))
            .unwrap();
        let drained = timeline.summary.time_to_drain;
        let summary = &timeline.summary;
        assert!(
            drained.is_some_and(|time| time <= seconds(target)),
            "{given}: {summary:?}"
        );
    }
}

/// The window has to be as long as the target. Without it replicas are taken away as the backlog
/// shrinks, so that what is left takes as long again.
#[test]
fn a_drain_time_target_needs_a_stabilization_window() {
    let time_to_drain = |window| {
        let timeline = Simulation::new(NOTHING, workers(1), with_window(1, window))
            .trigger(MetricTarget::Value(300.0), drain_time())
            .initial_backlog(6000)
            .run(seconds(7200))
            .unwrap();
        timeline.summary.time_to_drain.unwrap()
    };
    assert!(time_to_drain(300) <= seconds(300));
    let without = time_to_drain(0);
    assert!(without > seconds(900), "{without:?}");
}

#[test]
fn under_a_steady_load_a_drain_time_target_ends_at_the_target() {
    let timeline = Simulation::new(Load::Constant(10.0), workers(1), with_window(1, 300))
        .trigger(MetricTarget::Value(300.0), drain_time())
        .run(seconds(4 * 3600))
        .unwrap();
    for point in &timeline.points[2 * 3600..] {
        assert_eq!(point.replicas, 10, "as many as are needed");
        let drain_time = point.queue.backlog as f64 / point.queue.completion_rate;
        assert!((270.0..=330.0).contains(&drain_time), "{point:?}");
    }
    assert!(
        timeline.summary.max_age <= seconds(330),
        "{:?}",
        timeline.summary
    );
}

/// The age says nothing of how much waits: while a backlog grows it is no more than the time that has
/// passed. So the HPA begins at the target, doubles from what there is, and takes away too much once
/// nothing waits.
#[test]
fn an_age_target_is_passed_before_the_hpa_acts() {
    let run = |load, backlog, length| {
        Simulation::new(load, workers(1), with_window(1, 300))
            .trigger(MetricTarget::Value(60.0), oldest_age())
            .initial_backlog(backlog)
            .run(seconds(length))
            .unwrap()
            .summary
    };
    for (rate, late) in [(2.0, 68), (10.0, 108), (50.0, 135)] {
        let summary = run(Load::Constant(rate), 0, 3600);
        let max_age = summary.max_age;
        assert!(max_age > seconds(60), "{rate} a second: {summary:?}");
        assert!(max_age <= seconds(late), "{rate} a second: {summary:?}");
        assert!(summary.flaps >= 6, "{rate} a second: {summary:?}");
    }
    let all_at_once = run(NOTHING, 6000, 3600);
    assert!(all_at_once.max_age > seconds(3 * 60), "{all_at_once:?}");
}

/// The backlog makes a number of replicas that is enough if an item takes a second; here it takes two.
/// The age makes up for that.
#[test]
fn a_backlog_and_an_age_keep_a_promise_together() {
    let run = |with_age: bool| {
        let load = Load::Step {
            before: 2.0,
            after: 50.0,
            at: seconds(1200),
        };
        let mut model = workers(2);
        model.startup = seconds(10);
        let simulation = Simulation::new(load, model, with_window(1, 300))
            .trigger(MetricTarget::AverageValue(30.0), backlog(0));
        let simulation = match with_age {
            true => simulation.trigger(MetricTarget::Value(30.0), oldest_age()),
            false => simulation,
        };
        simulation.run(seconds(3600)).unwrap().summary
    };
    let (without, with) = (run(false), run(true));
    assert!(without.max_age > seconds(60), "{without:?}");
    assert!(with.max_age <= seconds(60), "{with:?}");
}

/// Ten items of ten minutes each: taken at once, so that nothing waits.
#[test]
fn a_minimum_while_in_flight_keeps_the_workers_of_long_items() {
    let run = |keys: &[(&str, &str)]| {
        let mut model = workers(600);
        model.item_time = ItemTime::Cycle((1..=10).map(|minute| seconds(60 * minute)).collect());
        let trigger = shaped(1, keys, backlog(0));
        Simulation::new(NOTHING, model, with_window(0, 0))
            .trigger(MetricTarget::AverageValue(1.0), trigger)
            .initial_backlog(10)
            .run(seconds(7200))
            .unwrap()
    };
    let without = run(&[]);
    assert!(without.summary.interrupted > 0, "{:?}", without.summary);

    let with = run(&[("minimumWhileInFlight", "1")]);
    for point in with.points.iter().skip_while(|point| point.ready < 10) {
        let needed = point.queue.in_flight;
        assert!(u64::from(point.replicas) >= needed, "{point:?}");
    }
    assert_eq!(with.summary.completed, 10);
    assert!(with.summary.interrupted < without.summary.interrupted);
    assert_eq!(with.points[7200].replicas, 0, "it ends when all is done");
}
