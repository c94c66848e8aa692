//! Two thresholds for one backlog, and waiting time beside a backlog.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::redis::Redis;

use super::{
    SOON, needs_cluster,
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

#[tokio::test]
async fn replicas_go_up_above_one_threshold_and_down_below_another() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster, "thresholds");
    let (redis, program) = (Redis::start().await, Program::start(""));
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
    let scaled_object = ScaledObject::new(trigger).with("advanced", at_once());
    namespace.scale("worker", scaled_object);
    let timeline = Timeline::start(&namespace, "worker");
    let waiting = async |items: usize| {
        redis.command(&["DEL", "jobs"]).await;
        redis.rpush("jobs", items).await;
        timeline.backlog(items);
    };

    waiting(50).await;
    timeline.note("50 for a worker");
    timeline.replicas(1, SOON).await;
    timeline.held(1, Duration::from_secs(10)).await;
    waiting(51).await;
    timeline.note("51 for a worker");
    timeline.replicas(2, SOON).await;
    waiting(500).await;
    timeline.replicas(10, SOON).await;

    for (items, each) in [(490, "49"), (110, "11"), (100, "10")] {
        waiting(items).await;
        timeline.note(&format!("{each} for each worker"));
        timeline.held(10, Duration::from_secs(15)).await;
    }
    waiting(99).await;
    timeline.note("less than 10 for each worker");
    timeline.replicas(2, SOON).await;
    redis.command(&["DEL", "jobs"]).await;
    timeline.backlog(0);
    timeline.replicas(0, SOON).await;
}

#[tokio::test]
async fn a_waiting_time_above_its_target_adds_replicas_that_the_backlog_does_not() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster, "age");
    let (redis, program) = (Redis::start().await, Program::start(""));
    let group = ["XGROUP", "CREATE", "orders", "billing", "$", "MKSTREAM"];
    redis.command(&group).await;
    let (scaler, redis_address) = (program.address(), redis.address());
    let stream = |keys: [(&str, &str); 3]| {
        let mut trigger = external(
            &scaler,
            [
                ("backend", "redis-streams"),
                ("address", &redis_address),
                ("stream", "orders"),
                ("consumerGroup", "billing"),
            ],
        );
        for (key, value) in keys {
            trigger["metadata"][key] = value.into();
        }
        trigger
    };
    // A replica for a hundred orders, and each read within 10 s.
    let backlog = stream([
        ("lagCount", "100"),
        ("activationLagCount", "0"),
        ("signal", "backlog"),
    ]);
    let mut age = stream([
        ("lagCount", "100"),
        ("signal", "age"),
        ("targetSeconds", "10"),
    ]);
    age["metricType"] = "Value".into();
    namespace.scale("worker", ScaledObject::new(backlog).and(age));
    let timeline = Timeline::start(&namespace, "worker");
    timeline.held(0, Duration::from_secs(6)).await;

    for _ in 0..40 {
        redis.command(&["XADD", "orders", "*", "order", "1"]).await;
    }
    timeline.backlog(40);
    timeline.note("40 orders come");
    timeline.replicas(1, SOON).await;
    timeline.note("nobody reads them");
    let more = timeline.until("more replicas", SOON, |seen| seen.replicas > 1);
    more.await;

    let all = ["XREADGROUP", "GROUP", "billing", "worker-1", "STREAMS"];
    redis.command(&[&all[..], &["orders", ">"]].concat()).await;
    timeline.backlog(0);
    timeline.note("all are read");
    timeline.replicas(0, SOON).await;
}
