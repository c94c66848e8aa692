//! Task queues without versions.

use std::time::Duration;

use tonic::Code;

use super::{eventually, needs_temporal, queue, queues, shared};
use testkit::{
    scaler::{Scaler, with},
    temporal::{activities, nexus_operations},
};

#[tokio::test]
async fn workflows_without_a_worker_are_counted() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    temporal.start_workflows("waiting", 250).await;

    let found = eventually(&scaler, &queue(temporal, "waiting", []), |e| {
        e.value == 250.0
    })
    .await;

    assert!(found.active);
    assert_eq!(found.target, 5.0);
    assert!(
        found.metric.starts_with("temporal-default-waiting-"),
        "{}",
        found.metric
    );
}

#[tokio::test]
async fn a_queue_that_does_not_exist_is_empty() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    let found = scaler
        .evaluate(&queue(temporal, "nobody", []))
        .await
        .unwrap();
    assert_eq!((found.value, found.active), (0.0, false));
}

#[tokio::test]
async fn activities_that_pile_up_count_on_their_own_queue_and_type() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    temporal.start_workflows("orders", 1).await;
    let worker = temporal.poller("orders").await;
    worker.complete_one(activities("charges", 30)).await;

    let charges = queue(temporal, "charges", []);
    let found = eventually(&scaler, &charges, |e| e.value == 30.0).await;
    assert!(found.active);
    let only = |types| with(charges.clone(), "queueTypes", types);
    assert_eq!(scaler.evaluate(&only("workflow")).await.unwrap().value, 0.0);
    assert_eq!(
        scaler
            .evaluate(&only("activity,nexus"))
            .await
            .unwrap()
            .value,
        30.0
    );
    assert_eq!(
        scaler
            .evaluate(&queue(temporal, "orders", []))
            .await
            .unwrap()
            .value,
        0.0
    );
}

#[tokio::test]
async fn shards_are_summed_and_count_once() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    for (shard, workflows) in [(0, 3), (7, 4), (31, 5)] {
        let name = format!("acme-tenant-{shard}");
        temporal.start_workflows(&name, workflows).await;
    }
    let all = queues(temporal, "acme-tenant-{0..31}, acme-tenant-7");
    eventually(&scaler, &all, |e| e.value == 12.0).await;
    let some = queues(temporal, "acme-tenant-{1..30}");
    assert_eq!(scaler.evaluate(&some).await.unwrap().value, 4.0);
}

#[tokio::test]
async fn nexus_operations_are_not_counted_by_the_server() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    temporal.nexus_endpoint("nexus-test", "handlers").await;
    temporal.start_workflows("callers", 1).await;
    let worker = temporal.poller("callers").await;
    worker.complete_one(nexus_operations("nexus-test", 5)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;

    for keys in [("queueTypes", "nexus"), ("targetQueueSize", "5")] {
        let found = scaler.evaluate(&queue(temporal, "handlers", [keys])).await;
        assert_eq!(
            found.unwrap().value,
            0.0,
            "a server that counts them is news"
        );
    }
}

#[tokio::test]
async fn running_workflows_keep_a_trigger_active_without_a_backlog() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    temporal.start_workflows("sleepers", 1).await;
    let worker = temporal.poller("sleepers").await;
    // The workflow waits for an activity that nobody takes.
    worker.complete_one(activities("elsewhere", 1)).await;

    let plain = queue(temporal, "sleepers", []);
    let found = eventually(&scaler, &plain, |e| e.value == 0.0).await;
    assert!(!found.active);
    let running = with(plain, "includeRunningWorkflowCount", "true");
    let found = eventually(&scaler, &running, |e| e.active).await;
    assert_eq!(found.value, 0.0, "running workflows are no backlog");

    let of_other = with(
        queue(temporal, "idle", []),
        "includeRunningWorkflowCount",
        "true",
    );
    assert!(!scaler.evaluate(&of_other).await.unwrap().active);
    let for_count = with(of_other, "workflowTaskQueueForCount", "sleepers");
    eventually(&scaler, &for_count, |e| e.active).await;
    let mut shards = with(
        queues(temporal, "sleepers,idle-{0..3}"),
        "includeRunningWorkflowCount",
        "true",
    );
    eventually(&scaler, &shards, |e| e.active).await;
    shards = with(shards, "taskQueues", "idle-{0..3}");
    assert!(!scaler.evaluate(&shards).await.unwrap().active);
}

#[tokio::test]
async fn an_unknown_namespace_is_not_found_by_name() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    let error = scaler
        .evaluate(&queue(temporal, "q", [("namespace", "nowhere")]))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error}");
    assert!(error.message().contains("temporal nowhere at"), "{error}");
    assert!(
        error.message().contains("Namespace nowhere is not found"),
        "{error}"
    );
}

#[tokio::test]
async fn namespaces_are_apart() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    temporal.register("payments").await;
    temporal
        .start_workflows_in("payments", "same-name", 2)
        .await;
    let payments = queue(temporal, "same-name", [("namespace", "payments")]);
    eventually(&scaler, &payments, |e| e.value == 2.0).await;
    let default = scaler.evaluate(&queue(temporal, "same-name", [])).await;
    assert_eq!(default.unwrap().value, 0.0);
}
