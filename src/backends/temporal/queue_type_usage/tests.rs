//! Which types are read when.

use super::*;
use QueueType::{Activity, Nexus, Workflow};

const WAITING: QueueState = QueueState {
    backlog: 3,
    has_pollers: false,
    has_traffic: true,
};
const POLLED: QueueState = QueueState {
    backlog: 0,
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
        let plan = usage.read_plan("q", &named, after(seconds));
        assert_eq!((plan.needed, plan.idle), (vec![Activity, Nexus], vec![]));
    }
}

#[test]
fn an_unused_type_is_read_more_and_more_rarely() {
    let usage = QueueTypeUsage::new(KNOWN);
    let plan = usage.read_plan("q", &TypeSelection::All, after(0));
    assert_eq!(
        (plan.needed, plan.idle),
        (vec![Workflow, Activity], vec![Nexus])
    );
    usage.record("q", Workflow, WAITING, after(0));
    usage.record("q", Activity, unused(), after(0));
    let mut probes = Vec::new();
    for seconds in (5..1200).step_by(5) {
        usage.record("q", Workflow, WAITING, after(seconds));
        let plan = usage.read_plan("q", &TypeSelection::All, after(seconds));
        assert_eq!(plan.needed, [Workflow]);
        if plan.idle.contains(&Activity) {
            probes.push(seconds);
        }
    }
    assert_eq!(probes, [5, 35, 95, 215, 455, 935]);
}

#[test]
fn a_probe_that_finds_use_makes_the_type_count() {
    let usage = QueueTypeUsage::new(KNOWN);
    usage.read_plan("q", &TypeSelection::All, after(0));
    usage.record("q", Workflow, WAITING, after(0));
    usage.record("q", Activity, unused(), after(0));
    assert_eq!(
        usage.read_plan("q", &TypeSelection::All, after(5)).needed,
        [Workflow]
    );
    usage.record("q", Activity, WAITING, after(6));
    assert_eq!(
        usage.read_plan("q", &TypeSelection::All, after(10)).needed,
        [Workflow, Activity]
    );
}

#[test]
fn when_workers_come_the_other_types_are_read_soon() {
    let usage = QueueTypeUsage::new(KNOWN);
    usage.read_plan("q", &TypeSelection::All, after(0));
    usage.record("q", Workflow, WAITING, after(0));
    usage.record("q", Activity, unused(), after(0));
    for seconds in [5, 40, 100] {
        usage.read_plan("q", &TypeSelection::All, after(seconds));
    }
    assert_eq!(
        usage.read_plan("q", &TypeSelection::All, after(105)).idle,
        []
    );
    usage.record("q", Workflow, POLLED, after(106));
    assert_eq!(
        usage.read_plan("q", &TypeSelection::All, after(110)).idle,
        [Activity, Nexus]
    );
}

#[test]
fn an_unused_queue_is_read_for_workflows_and_activities() {
    let usage = QueueTypeUsage::new(KNOWN);
    usage.read_plan("q", &TypeSelection::All, after(0));
    usage.record("q", Workflow, unused(), after(0));
    usage.record("q", Activity, unused(), after(0));
    assert_eq!(
        usage.read_plan("q", &TypeSelection::All, after(9)).needed,
        [Workflow, Activity]
    );
    // An hour after its last use, a type counts as unused.
    usage.record("q", Workflow, WAITING, after(10));
    assert_eq!(
        usage.read_plan("q", &TypeSelection::All, after(20)).needed,
        [Workflow]
    );
    let late = after(10 + 3601);
    assert_eq!(
        usage.read_plan("q", &TypeSelection::All, late).needed,
        [Workflow, Activity]
    );
}

#[test]
fn the_number_of_known_queues_is_bounded() {
    let usage = QueueTypeUsage::new(NonZeroUsize::new(2).unwrap());
    for queue in ["a", "b", "a", "c"] {
        usage.read_plan(queue, &TypeSelection::All, after(0));
        usage.record(queue, Workflow, WAITING, after(0));
    }
    assert!(usage.has_read("a", Workflow) && usage.has_read("c", Workflow));
    assert!(!usage.has_read("b", Workflow));
}
