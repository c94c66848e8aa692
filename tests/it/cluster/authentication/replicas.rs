//! Replicas that are held are those that the scale target has.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use backlog_scaler::{kubernetes::Replicas, telemetry::LogLimit};
use serde_json::{Value, json};
use testkit::redis::Redis;
use tokio::time::{sleep, timeout};

use super::{
    JOBS, Scene, deployment, needs_cluster, scaled_object, scaling::settings, sent, trigger,
};
use crate::cluster::{
    SOON,
    objects::{Namespace, ScaledObject, external},
    program::Program,
    timeline::Timeline,
};

/// The HPA without its own hysteresis, which would hide ours: no tolerance, and down at once.
fn at_once() -> Value {
    json!({"horizontalPodAutoscalerConfig": {"behavior": {
        "scaleUp": {"tolerance": "0"},
        "scaleDown": {"tolerance": "0", "stabilizationWindowSeconds": 0},
    }}})
}

/// Up above 50 for each replica, down below 10.
fn thresholds(program: &Program, redis: &Redis) -> ScaledObject {
    let trigger = external(
        &program.address(),
        [
            ("backend", "redis"),
            ("address", &redis.address()),
            ("listName", "jobs"),
            ("listLength", "50"),
            ("scaleDownBelow", "10"),
        ],
    );
    ScaledObject::new(trigger).with("advanced", at_once())
}

#[tokio::test]
async fn without_the_api_a_restart_begins_with_the_backlog() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster.clone(), "own-replicas");
    let (redis, mut program) = (Redis::start().await, Program::start(""));
    namespace.scale("worker", thresholds(&program, &redis));
    let timeline = Timeline::start(&namespace, "worker");
    redis.rpush("jobs", 500).await;
    timeline.backlog(500);
    timeline.replicas(10, SOON).await;
    redis.command(&["LTRIM", "jobs", "0", "109"]).await;
    timeline.backlog(110);
    timeline.note("11 for each worker");
    timeline.held(10, Duration::from_secs(10)).await;
    program.restart();
    timeline.note("the scaler is restarted");
    timeline.replicas(3, SOON).await;
}

#[tokio::test]
async fn a_restart_of_the_scaler_is_no_reason_to_go_down() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster.clone(), "real-replicas");
    let (redis, mut program) = (Redis::start().await, Program::start(&settings(&cluster)));
    namespace.scale("worker", thresholds(&program, &redis));
    let timeline = Timeline::start(&namespace, "worker");
    let waiting = async |items: usize| {
        redis.command(&["DEL", "jobs"]).await;
        redis.rpush("jobs", items).await;
        timeline.backlog(items);
    };
    waiting(500).await;
    timeline.replicas(10, SOON).await;
    waiting(110).await;
    timeline.note("11 for each worker");
    timeline.held(10, Duration::from_secs(10)).await;
    program.restart();
    timeline.note("the scaler is restarted");
    timeline.held(10, Duration::from_secs(15)).await;

    // Set by a person: the backlog is enough for each of them, so they stay.
    let scale = |replicas: &str| {
        let scale = [
            "scale",
            "deployment/worker",
            "-n",
            "real-replicas",
            replicas,
        ];
        cluster.kubectl.run(&scale, "");
    };
    scale("--replicas=7");
    timeline.note("7 are set by hand");
    timeline.replicas(7, SOON).await;
    timeline.held(7, Duration::from_secs(10)).await;
    // Fewer than the value leads to, as there may be no more than 10: going down begins below 10 for
    // each of those that there are.
    waiting(700).await;
    timeline.replicas(10, SOON).await;
    sleep(Duration::from_secs(6)).await;
    waiting(110).await;
    timeline.note("the value led to 14, and there are 10: 11 for each");
    timeline.held(10, Duration::from_secs(10)).await;
    waiting(99).await;
    timeline.note("less than 10 for each worker");
    timeline.replicas(2, SOON).await;
    let log = program.log();
    assert!(!log.contains("own values led to"), "{log}");
    redis.command(&["DEL", "jobs"]).await;
    timeline.backlog(0);
    timeline.replicas(0, SOON).await;
}

#[tokio::test]
async fn without_the_api_they_are_not_known_and_nothing_waits_for_it() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "replicas-away").await;
    let mut target = deployment(json!([]), json!([]));
    target["spec"]["replicas"] = 3.into();
    scene.apply(&target);
    scene.apply(&scaled_object(vec![trigger(JOBS, None)]));
    let (namespace, log) = (scene.namespace.name.clone(), Arc::<LogLimit>::default());
    let (door, kubernetes) = (scene.door, Arc::new(scene.kubernetes));
    let follow = |metadata| {
        let of = (namespace.as_str(), "worker");
        Replicas::new(kubernetes.clone(), of, &sent(metadata), log.clone())
    };
    let until = async |replicas: &Replicas, expected| {
        let begun = Instant::now();
        while replicas.now() != expected {
            assert!(begun.elapsed() < SOON, "{:?}", kubernetes.problems());
            sleep(Duration::from_millis(50)).await;
        }
    };
    let replicas = follow(JOBS);
    timeout(SOON, replicas.known())
        .await
        .expect("is known soon");
    until(&replicas, Some(3)).await;
    assert_eq!(kubernetes.watched(), 1);
    let claimed = [JOBS, &[("databaseIndex", "1")]].concat();
    assert_eq!(
        follow(&claimed).now(),
        None,
        "no trigger has these metadata"
    );

    let scale = [
        "scale",
        "deployment/worker",
        "-n",
        &namespace,
        "--replicas=5",
    ];
    scene.namespace.cluster.kubectl.run(&scale, "");
    until(&replicas, Some(5)).await;
    door.close();
    until(&replicas, None).await;
    door.open();
    until(&replicas, Some(5)).await;
    drop(replicas);
    assert_eq!(kubernetes.watched(), 0, "nobody uses it");
}
