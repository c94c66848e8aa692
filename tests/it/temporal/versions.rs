//! Versions of worker deployments, and the deprecated build ids.

use std::time::Duration;

use tonic::Code;

use super::{eventually, needs_temporal, queue, shared};
use testkit::{
    scaler::{Scaler, with},
    temporal::activities,
};

#[tokio::test]
async fn two_builds_count_apart_and_a_draining_one_stays_active() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    let v1 = temporal.versioned_poller("billing", "billing", "v1").await;
    let v2 = temporal.versioned_poller("billing", "billing", "v2").await;
    v1.poll(Duration::from_secs(1)).await;
    v1.poll_activities(Duration::from_secs(1)).await;
    temporal.set_current("billing", "v1").await;
    temporal.start_workflows("billing", 1).await;
    // Pins the workflow, which then waits for activities.
    v1.complete_one(activities("billing", 9)).await;
    v2.poll(Duration::from_secs(1)).await;
    temporal.set_current("billing", "v2").await;

    let of = |build| {
        let deployment = ("workerDeploymentName", "billing");
        let build = ("workerDeploymentBuildId", build);
        let default = queue(temporal, "billing", [deployment, build]);
        with(default, "activationTargetQueueSize", "100")
    };
    let pinned = eventually(&scaler, &of("v1"), |e| e.value == 9.0).await;
    assert!(!pinned.active, "DRAINING alone does not keep it active");
    assert!(
        pinned
            .metric
            .starts_with("temporal-default-billing-billing-v1-"),
        "{}",
        pinned.metric
    );
    let current = scaler.evaluate(&of("v2")).await.unwrap();
    assert_eq!((current.value, current.active), (0.0, false));

    let draining = with(of("v1"), "includeRunningWorkflowCount", "true");
    let found = eventually(&scaler, &draining, |e| e.active).await;
    assert_eq!(found.value, 9.0);
    let current = with(of("v2"), "includeRunningWorkflowCount", "true");
    assert!(!scaler.evaluate(&current).await.unwrap().active);

    let other_type = with(of("v1"), "queueTypes", "workflow");
    assert_eq!(scaler.evaluate(&other_type).await.unwrap().value, 0.0);
    let other_queue = with(of("v1"), "taskQueue", "elsewhere");
    assert_eq!(scaler.evaluate(&other_queue).await.unwrap().value, 0.0);
}

#[tokio::test]
async fn an_unknown_version_is_an_error_that_names_it() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    let deployment = ("workerDeploymentName", "nothing");
    let build = ("workerDeploymentBuildId", "v9");
    let error = scaler
        .evaluate(&queue(temporal, "q", [deployment, build]))
        .await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error}");
    assert!(error.message().contains("version nothing:v9"), "{error}");
}

#[tokio::test]
async fn deprecated_build_ids_are_still_answered() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    temporal.start_workflows("old-style", 6).await;
    let unversioned = queue(temporal, "old-style", [("selectUnversioned", "true")]);
    eventually(&scaler, &unversioned, |e| e.value == 6.0).await;
    let build = queue(temporal, "old-style", [("buildId", "v1")]);
    assert_eq!(scaler.evaluate(&build).await.unwrap().value, 0.0);
}
