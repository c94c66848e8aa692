//! What is summed, and what is said where it cannot be.

use tonic::Status;

use super::*;
use crate::{
    backends::temporal::{
        channel,
        query::{InFlight, TaskSelection},
        rate_limiter::Priority,
        testing::FakeFrontend,
    },
    metadata::patterns::Patterns,
    network::Network,
};

fn slots(used: i32) -> Option<WorkerSlotsInfo> {
    Some(WorkerSlotsInfo {
        current_used_slots: used,
        ..Default::default()
    })
}

/// A worker with so many workflow tasks, local activities, activities and Nexus operations.
fn worker(used: [i32; 4]) -> WorkerHeartbeat {
    WorkerHeartbeat {
        status: WorkerStatus::Running.into(),
        workflow_task_slots_info: slots(used[0]),
        local_activity_slots_info: slots(used[1]),
        activity_task_slots_info: slots(used[2]),
        nexus_task_slots_info: slots(used[3]),
        ..Default::default()
    }
}

async fn in_use(frontend: &FakeFrontend, reader: &WorkerSlots) -> Result<SlotsInUse, Error> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let connection = &frontend.connection;
    let opened = channel::open(connection, &Network::unrestricted(), deadline).await;
    let (service, server) = opened.expect("the frontend runs");
    let executor = RequestExecutor::new(service, connection.clone());
    let context = RequestContext {
        priority: Priority::Waited(Instant::now()),
        namespace: "shop",
        deadline,
    };
    let query = "TaskQueue = 'q'".to_owned();
    let slots = reader.in_use(&executor, &server, query, context).await;
    slots.map_err(|error| match error {
        RequestError::Failed(error) | RequestError::ConnectionLost(error) => error,
    })
}

fn types<const N: usize>(types: [QueueType; N]) -> TypeSelection {
    TypeSelection::Named(types.into())
}

#[tokio::test]
async fn slots_are_summed_over_pages_by_type_and_kept_for_a_while() {
    let frontend = FakeFrontend::start("1.32.1").await;
    // Three pages, with a worker that says nonsense and one that shuts down.
    let mut workers = vec![worker([1, 20, 300, 4000]); 3];
    let mut ending = worker([1, 1, 1, 1]);
    ending.set_status(WorkerStatus::ShuttingDown);
    workers.extend([worker([-1, 0, 0, 0]), ending]);
    frontend.has_workers(workers, true);
    let reader = WorkerSlots::new(100.0);
    for _ in 0..2 {
        let slots = in_use(&frontend, &reader).await.unwrap();
        assert_eq!(slots.workers, 5);
        assert_eq!(slots.of(&TypeSelection::All), 12_963);
        assert_eq!(slots.of(&types([QueueType::Workflow])), 63);
        assert_eq!(slots.of(&types([QueueType::Activity])), 900);
        assert_eq!(slots.of(&types([QueueType::Nexus])), 12_000);
    }
    assert_eq!(frontend.requests(), ["ListWorkers"; 3]);
}

#[tokio::test]
async fn a_namespace_without_heartbeats_is_not_one_without_work() {
    let frontend = FakeFrontend::start("1.29.1").await;
    let reader = WorkerSlots::new(100.0);
    let error = in_use(&frontend, &reader).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "server 1.29.1 takes no heartbeats of this namespace's workers, so that their slots in use are \
         not known. `inFlight: workers` needs Temporal server 1.30 or newer with \
         frontend.WorkerHeartbeatsEnabled on; or use `inFlight: workflows`."
    );
    assert!(frontend.requests().is_empty());
    // It may take them later.
    frontend.has_workers(vec![worker([0, 0, 1, 0])], true);
    assert_eq!(in_use(&frontend, &reader).await.unwrap().activity, 1);
}

#[tokio::test]
async fn a_server_that_lists_no_workers_or_no_slots_says_so() {
    let frontend = FakeFrontend::start("1.29.1").await;
    frontend.has_workers(vec![worker([0, 0, 1, 0])], false);
    let reader = WorkerSlots::new(100.0);
    for (failure, what) in [
        (
            Some(Status::unimplemented("unknown")),
            "server 1.29.1 does not list workers, so",
        ),
        (None, "server 1.29.1 lists workers without their slots, so"),
    ] {
        frontend.fail_with(failure);
        let error = in_use(&frontend, &reader).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unreadable);
        let text = error.to_string();
        assert!(text.starts_with(what), "{text}");
        assert!(text.contains("inFlight: workflows"), "{text}");
    }
}

#[tokio::test]
async fn the_number_of_workers_is_bounded() {
    let frontend = FakeFrontend::start("1.32.1").await;
    frontend.has_workers(vec![worker([0, 0, 1, 0]); 2 * PAGES + 1], true);
    let error = in_use(&frontend, &WorkerSlots::new(100.0)).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::Exhausted);
    assert!(error.to_string().starts_with("more than 20 workers poll"));
}

#[test]
fn workers_that_poll_for_long_without_a_heartbeat_are_noticed() {
    let reader = WorkerSlots::new(1.0);
    let query = |queue: &str| Query {
        queues: Patterns {
            names: [queue.to_owned()].into(),
            ..Patterns::default()
        },
        types: TypeSelection::All,
        tasks: TaskSelection::All,
        running: None,
        in_flight: Some(InFlight::WorkerSlots),
    };
    let (none, one) = (
        SlotsInUse::default(),
        SlotsInUse {
            workers: 1,
            ..SlotsInUse::default()
        },
    );
    let start = Instant::now();
    for (second, polls, slots, known) in [
        (0, true, none, true),
        (120, true, none, true),
        (150, true, one, true),
        (180, true, none, true),
        (300, false, none, true),
        (310, true, none, true),
        (489, true, none, true),
        (490, true, none, false),
        (900, true, none, false),
        (910, true, one, true),
    ] {
        let now = start + Duration::from_secs(second);
        let checked = reader.check_silent(&query("q"), polls, &slots, now);
        assert_eq!(checked.is_ok(), known, "after {second} s");
        if let Err(error) = checked {
            assert_eq!(error.kind(), Kind::Undetermined);
            let text = error.to_string();
            let what = format!("workers have polled for {} s, but none", second - 310);
            assert!(text.starts_with(&what), "{text}");
        }
        let other = reader.check_silent(&query("other"), false, &none, now);
        assert!(other.is_ok());
    }
}
