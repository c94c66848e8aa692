//! Which types are read when.

use super::*;
use crate::backends::temporal::backlog::TaskStats;
use QueueType::{Activity, Nexus, Workflow};

/// The rate has room.
const ROOM: bool = true;
const FULL: bool = false;

const WAITING: QueueState = QueueState {
    stats: TaskStats {
        backlog: 3,
        age: Duration::ZERO,
        dispatch_rate: 0.0,
        add_rate: 0.0,
        polled: false,
    },
    has_pollers: false,
    has_traffic: true,
};
const POLLED: QueueState = QueueState {
    stats: TaskStats {
        backlog: 0,
        ..WAITING.stats
    },
    has_pollers: true,
    has_traffic: false,
};

fn unused() -> QueueState {
    QueueState::default()
}

fn after(seconds: u64) -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now) + Duration::from_secs(seconds)
}

#[test]
fn types_that_the_user_named_are_read_every_time() {
    let usage = QueueTypeUsage::new(KNOWN);
    let named = TypeSelection::Named([Nexus, Activity].into());
    for seconds in [0, 5, 10] {
        let plan = usage.read_plan("q", &named, FULL, after(seconds));
        assert_eq!((plan.needed, plan.idle), (vec![Activity, Nexus], vec![]));
    }
}

#[test]
fn a_quiet_type_is_read_every_time_while_the_rate_has_room() {
    let usage = QueueTypeUsage::new(KNOWN);
    for seconds in (0..7200).step_by(5) {
        let plan = usage.read_plan("q", &TypeSelection::All, ROOM, after(seconds));
        assert_eq!(plan.needed, [Workflow, Activity]);
        usage.record("q", Workflow, WAITING, after(seconds));
        usage.record("q", Activity, unused(), after(seconds));
    }
}

#[test]
fn without_room_a_quiet_type_is_at_most_a_minute_old() {
    let usage = QueueTypeUsage::new(KNOWN);
    let mut read = Vec::new();
    for seconds in (0..200).step_by(5) {
        let plan = usage.read_plan("q", &TypeSelection::All, FULL, after(seconds));
        usage.record("q", Workflow, WAITING, after(seconds));
        if plan.needed.contains(&Activity) {
            usage.record("q", Activity, unused(), after(seconds));
            read.push(seconds);
        }
    }
    assert_eq!(read, [0, 60, 120, 180]);
}

#[test]
fn an_unused_nexus_queue_is_read_more_and_more_rarely() {
    let usage = QueueTypeUsage::new(KNOWN);
    let mut probes = Vec::new();
    for seconds in (0..1200).step_by(5) {
        let plan = usage.read_plan("q", &TypeSelection::All, ROOM, after(seconds));
        assert!(!plan.needed.contains(&Nexus));
        if plan.idle.contains(&Nexus) {
            probes.push(seconds);
        }
    }
    assert_eq!(probes, [0, 30, 90, 210, 450, 930]);
}

#[test]
fn a_probe_that_finds_use_makes_the_type_count() {
    let usage = QueueTypeUsage::new(KNOWN);
    usage.read_plan("q", &TypeSelection::All, FULL, after(0));
    usage.record("q", Workflow, WAITING, after(0));
    usage.record("q", Activity, unused(), after(0));
    assert_eq!(
        usage
            .read_plan("q", &TypeSelection::All, FULL, after(5))
            .needed,
        [Workflow]
    );
    usage.record("q", Activity, WAITING, after(6));
    assert_eq!(
        usage
            .read_plan("q", &TypeSelection::All, FULL, after(10))
            .needed,
        [Workflow, Activity]
    );
}

#[test]
fn when_workers_come_nexus_is_read_soon() {
    let usage = QueueTypeUsage::new(KNOWN);
    for seconds in [0, 30, 95] {
        usage.read_plan("q", &TypeSelection::All, FULL, after(seconds));
    }
    let idle = |seconds| {
        let plan = usage.read_plan("q", &TypeSelection::All, FULL, after(seconds));
        plan.idle
    };
    assert_eq!(idle(105), []);
    usage.record("q", Workflow, POLLED, after(106));
    assert_eq!(idle(110), [Nexus]);
}

#[test]
fn an_hour_after_its_last_use_a_type_counts_as_quiet() {
    let usage = QueueTypeUsage::new(KNOWN);
    let needed = |seconds| {
        let plan = usage.read_plan("q", &TypeSelection::All, FULL, after(seconds));
        plan.needed
    };
    assert_eq!(needed(0), [Workflow, Activity]);
    usage.record("q", Workflow, WAITING, after(0));
    usage.record("q", Activity, unused(), after(0));
    assert_eq!(needed(20), [Workflow]);
    usage.record("q", Workflow, unused(), after(3590));
    assert_eq!(needed(3595), [Workflow, Activity], "the activities are due");
    usage.record("q", Activity, unused(), after(3595));
    assert_eq!(
        needed(3605),
        [Workflow, Activity],
        "either may be the first to come into use"
    );
}

#[test]
fn the_number_of_known_queues_is_bounded() {
    let usage = QueueTypeUsage::new(NonZeroUsize::new(2).unwrap());
    for queue in ["a", "b", "a", "c"] {
        usage.read_plan(queue, &TypeSelection::All, FULL, after(0));
        usage.record(queue, Workflow, WAITING, after(0));
    }
    assert!(usage.has_read("a", Workflow) && usage.has_read("c", Workflow));
    assert!(!usage.has_read("b", Workflow));
}

#[test]
fn a_type_with_tasks_is_never_left_out_so_that_their_age_shows() {
    let usage = QueueTypeUsage::new(KNOWN);
    for seconds in (0..3 * 3600).step_by(30) {
        let plan = usage.read_plan("q", &TypeSelection::All, FULL, after(seconds));
        assert_eq!(plan.needed, [Workflow, Activity], "after {seconds} s");
        usage.record("q", Workflow, POLLED, after(seconds));
        usage.record("q", Activity, WAITING, after(seconds));
    }
}
