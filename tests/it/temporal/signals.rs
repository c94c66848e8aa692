//! Triggers that report an age or a drain time, and those that hold replicas for work in flight.

use std::time::Duration;

use backlog_scaler::keda::proto::ScaledObjectRef;
use tokio::time::{Instant, sleep};
use tonic::Code;

use super::{eventually, needs_temporal, queue, queues, shared};
use testkit::{
    scaler::{Scaler, with},
    temporal::{SlotsOfWorker, Temporal, activities},
};

/// The same trigger that reports another signal.
fn signal(trigger: ScaledObjectRef, signal: &str) -> ScaledObjectRef {
    with(with(trigger, "signal", signal), "targetSeconds", "30")
}

#[tokio::test]
async fn a_queue_without_workers_grows_old_by_the_clock_and_young_by_progress() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    let age = signal(queue(temporal, "aging", []), "age");
    let empty = scaler.evaluate(&age).await.unwrap();
    assert_eq!((empty.value, empty.active), (0.0, false));
    assert!(
        empty
            .metric
            .starts_with("temporal-default-aging-age-seconds-"),
        "{}",
        empty.metric
    );

    let before = Instant::now();
    temporal.start_workflows("aging", 2).await;
    let began = Instant::now();
    let first = eventually(&scaler, &age, |e| e.value > 0.0).await;
    assert!(first.active);
    sleep(Duration::from_secs(3)).await;
    let least = began.elapsed().as_secs_f64();
    let old = scaler.evaluate(&age).await.unwrap();
    let most = before.elapsed().as_secs_f64();
    // Both tasks exist since `began`; clocks of two processes are compared.
    let expected = least - 0.5..=most + 0.5;
    assert!(expected.contains(&old.value), "{old:?}, not {expected:?}");
    let above = with(age.clone(), "activationSeconds", "600");
    assert!(!scaler.evaluate(&above).await.unwrap().active);

    // A younger task does not hide the old ones, and without them it is what counts.
    let younger = Instant::now();
    temporal.start_workflows("aging-later", 1).await;
    let both = signal(queues(temporal, "aging,aging-later"), "age");
    eventually(&scaler, &both, |e| e.value > least).await;
    let worker = temporal.poller("aging").await;
    for _ in 0..2 {
        worker.complete_one(Vec::new()).await;
    }
    let young = |value| value > 0.0 && value <= younger.elapsed().as_secs_f64() + 0.5;
    eventually(&scaler, &both, |e| young(e.value)).await;
    let empty = eventually(&scaler, &age, |e| e.value == 0.0).await;
    assert!(!empty.active);
}

#[tokio::test]
async fn an_age_shows_by_type_and_version_and_build_id() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    let v1 = temporal.versioned_poller("aged", "aged", "v1").await;
    let v2 = temporal.versioned_poller("aged", "aged", "v2").await;
    v1.poll(Duration::from_secs(1)).await;
    v1.poll_activities(Duration::from_secs(1)).await;
    temporal.set_current("aged", "v1").await;
    temporal.start_workflows("aged", 1).await;
    v1.complete_one(activities("aged", 3)).await;
    let began = Instant::now();
    v2.poll(Duration::from_secs(1)).await;
    temporal.set_current("aged", "v2").await;

    let of = |build| {
        let deployment = ("workerDeploymentName", "aged");
        let build = ("workerDeploymentBuildId", build);
        signal(queue(temporal, "aged", [deployment, build]), "age")
    };
    eventually(&scaler, &of("v1"), |e| e.value > 0.0).await;
    let least = began.elapsed().as_secs_f64() - 0.5;
    let pinned = scaler.evaluate(&of("v1")).await.unwrap();
    assert!(pinned.value >= least, "{pinned:?}, not {least}");
    assert_eq!(scaler.evaluate(&of("v2")).await.unwrap().value, 0.0);
    let other_type = with(of("v1"), "queueTypes", "workflow");
    assert_eq!(scaler.evaluate(&other_type).await.unwrap().value, 0.0);
    // Of all versions, and in none.
    let all = signal(queue(temporal, "aged", []), "age");
    eventually(&scaler, &all, |e| e.value >= least).await;
    let unversioned = [("selectUnversioned", "true")];
    let unversioned = signal(queue(temporal, "aged", unversioned), "age");
    assert_eq!(scaler.evaluate(&unversioned).await.unwrap().value, 0.0);
    temporal.start_workflows("aged-old-style", 1).await;
    let unversioned = with(unversioned, "taskQueue", "aged-old-style");
    eventually(&scaler, &unversioned, |e| e.value > 0.0).await;
}

#[tokio::test]
async fn an_age_outlives_a_restart_of_the_server() {
    needs_temporal!();
    let temporal = Temporal::builder().on_disk().start().await;
    let scaler = Scaler::start().await;
    let age = signal(queue(&temporal, "restarted", []), "age");
    temporal.start_workflows("restarted", 5).await;
    let began = Instant::now();
    eventually(&scaler, &age, |e| e.value > 0.0).await;
    temporal.stop().await;
    temporal.restart().await;
    // No sample of before, while the connection is opened again.
    let age = with(age, "maxStaleness", "0");
    let age = with(age, "staleWhileRevalidate", "0");
    let least = began.elapsed().as_secs_f64() - 0.5;
    // The server may have to load its tasks first. Meanwhile its estimate may be younger, and is
    // never 0.
    loop {
        let found = scaler.evaluate(&age).await;
        match found.as_ref().map(|found| found.value) {
            Ok(value) if value >= least => break,
            Ok(value) => assert!(value > 0.0),
            Err(_) => {}
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{found:?}");
        sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn a_backlog_that_is_worked_on_drains_at_the_rate_of_its_tasks() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    let drain = with(queue(temporal, "draining", []), "queueTypes", "workflow");
    let drain = signal(drain, "drainTime");
    assert_eq!(scaler.evaluate(&drain).await.unwrap().value, 0.0);

    let began = Instant::now();
    temporal.start_workflows("draining", 60).await;
    let worker = temporal.poller("draining").await;
    for _ in 0..20 {
        worker.complete_one(Vec::new()).await;
        sleep(Duration::from_millis(100)).await;
    }
    let found = scaler.evaluate(&drain).await.unwrap();
    let rate = 20.0 / began.elapsed().as_secs_f64();
    let expected = 40.0 / rate;
    // Partitions measure their rates apart, each since its first task.
    let generous = expected / 3.0..=expected * 3.0;
    assert!(
        generous.contains(&found.value),
        "{found:?}, not {generous:?}"
    );
    assert!(found.active);
    assert!(
        found
            .metric
            .starts_with("temporal-default-draining-drain-seconds-"),
        "{}",
        found.metric
    );
}

#[tokio::test]
async fn a_backlog_that_nobody_takes_has_no_drain_time_and_its_backlog_has_its_value() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    temporal.start_workflows("stalled", 40).await;
    let backlog = queue(temporal, "stalled", []);
    eventually(&scaler, &backlog, |e| e.value == 40.0).await;
    let drain = signal(backlog, "drainTime");
    let error = scaler.evaluate(&drain).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    // That work waits is known all the same.
    let active = scaler.client().await.is_active(drain).await.unwrap();
    assert!(active.into_inner().result);
    for text in [
        "40 workflow tasks wait",
        "the server has dispatched none in the last 30 s",
        "Check that workers poll the task queue",
        "`signal: backlog`",
    ] {
        assert!(error.message().contains(text), "{error}");
    }
}

#[tokio::test]
async fn several_signals_of_a_queue_are_one_request() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    let mut backlog = with(queue(temporal, "observed", []), "queueTypes", "activity");
    backlog.scaler_metadata.remove("freshFor");
    scaler.evaluate(&backlog).await.unwrap();
    for of in ["age", "drainTime"] {
        let found = scaler.evaluate(&signal(backlog.clone(), of)).await;
        assert_eq!(found.unwrap().value, 0.0);
    }
    let (_, page) = scaler.page("/metrics").await;
    let sent = page
        .lines()
        .find(|line| line.starts_with("backlog_scaler_budget_requests_total"))
        .unwrap_or_else(|| panic!("no budget in {page}"));
    assert!(sent.ends_with(" 1"), "{sent}");
}

#[tokio::test]
async fn running_workflows_hold_as_many_replicas_as_they_need() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    temporal.start_workflows("unfinished", 7).await;
    let worker = temporal.poller("unfinished").await;
    for _ in 0..7 {
        worker.complete_one(Vec::new()).await;
    }
    let plain = queue(temporal, "unfinished", []);
    eventually(&scaler, &plain, |e| e.value == 0.0 && !e.active).await;
    // Seven at three to a replica are three replicas, at a target of five.
    let held = with(plain, "minimumWhileInFlight", "3");
    let found = eventually(&scaler, &held, |e| e.value == 15.0).await;
    assert!(found.active);
    let of_other = with(held, "taskQueue", "unfinished-activities");
    assert_eq!(scaler.evaluate(&of_other).await.unwrap().value, 0.0);
    let counted = with(of_other, "workflowTaskQueueForCount", "unfinished");
    eventually(&scaler, &counted, |e| e.value == 15.0).await;
}

#[tokio::test]
async fn worker_slots_in_use_hold_as_many_replicas_as_they_need() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    let worker = |key: &str, activities| SlotsOfWorker {
        key: key.to_owned(),
        queue: "slots".to_owned(),
        activities,
        workflow_tasks: 1,
        ..SlotsOfWorker::default()
    };
    let (a, b) = (worker("slots-a", 7), worker("slots-b", 2));
    temporal.heartbeat(&a).await;
    temporal.heartbeat(&b).await;
    let of_version = SlotsOfWorker {
        version: Some(("slots".to_owned(), "v1".to_owned())),
        ..worker("slots-v1", 20)
    };
    let elsewhere = SlotsOfWorker {
        queue: "slots-elsewhere".to_owned(),
        ..of_version.clone()
    };
    temporal.heartbeat(&elsewhere).await;

    let minimum = [("minimumWhileInFlight", "5"), ("inFlight", "workers")];
    let slots = queue(temporal, "slots", minimum);
    // 9 activities and 2 workflow tasks are three replicas, at a target of five.
    let found = scaler.evaluate(&slots).await.unwrap();
    assert_eq!((found.value, found.active), (15.0, true));
    let only = with(slots.clone(), "queueTypes", "activity");
    assert_eq!(scaler.evaluate(&only).await.unwrap().value, 10.0);
    let nobody = with(slots.clone(), "taskQueue", "slots-nobody");
    let found = scaler.evaluate(&nobody).await.unwrap();
    assert_eq!((found.value, found.active), (0.0, false));
    let mut both = with(slots.clone(), "taskQueues", "slots,slots-elsewhere");
    both.scaler_metadata.remove("taskQueue");
    // 32 slots.
    assert_eq!(scaler.evaluate(&both).await.unwrap().value, 35.0);

    // A worker that ends is listed for minutes, and counts no more. A sum is kept for a while.
    temporal.last_heartbeat(&a).await;
    eventually(&scaler, &slots, |e| e.value == 5.0).await;
    temporal.last_heartbeat(&b).await;
    eventually(&scaler, &slots, |e| e.value == 0.0 && !e.active).await;
}

#[tokio::test]
async fn worker_slots_of_a_version_are_counted_apart() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    let poller = temporal
        .versioned_poller("versioned", "slotted", "v1")
        .await;
    poller.poll(Duration::from_secs(1)).await;
    temporal.set_current("slotted", "v1").await;
    for (build_id, activities) in [("v1", 12), ("v2", 30)] {
        let worker = SlotsOfWorker {
            key: format!("versioned-{build_id}"),
            queue: "versioned".to_owned(),
            version: Some(("slotted".to_owned(), build_id.to_owned())),
            activities,
            ..SlotsOfWorker::default()
        };
        temporal.heartbeat(&worker).await;
    }
    let keys = [
        ("workerDeploymentName", "slotted"),
        ("workerDeploymentBuildId", "v1"),
        ("minimumWhileInFlight", "5"),
        ("inFlight", "workers"),
    ];
    let of_version = queue(temporal, "versioned", keys);
    let found = eventually(&scaler, &of_version, |e| e.active).await;
    assert_eq!(found.value, 15.0);
}

#[tokio::test]
async fn a_namespace_that_takes_no_heartbeats_is_an_error_that_names_the_alternative() {
    needs_temporal!();
    let temporal = Temporal::builder().dynamic("frontend.WorkerHeartbeatsEnabled", "false");
    let (temporal, scaler) = (temporal.start().await, Scaler::start().await);
    let minimum = [("minimumWhileInFlight", "5"), ("inFlight", "workers")];
    let error = scaler.evaluate(&queue(&temporal, "q", minimum)).await;
    let error = error.unwrap_err();
    for text in [
        "server 1.32.1 takes no heartbeats",
        "frontend.WorkerHeartbeatsEnabled",
        "use `inFlight: workflows`",
    ] {
        assert!(error.message().contains(text), "{error}");
    }
    let backlog = scaler.evaluate(&queue(&temporal, "q", [])).await.unwrap();
    assert_eq!(backlog.value, 0.0);
}

#[tokio::test]
async fn work_in_flight_goes_with_a_backlog_alone() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    let age = signal(queue(temporal, "q", []), "age");
    let held = with(age, "minimumWhileInFlight", "5");
    let error = scaler.evaluate(&held).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(
        error
            .message()
            .contains("minimumWhileInFlight: needs `signal: backlog`"),
        "{error}"
    );
}
