//! What replicas do while a backend or the scaler is away.

use std::time::Duration;

use serde_json::json;
use testkit::redis::Redis;

use super::{
    SOON, needs_cluster,
    objects::{Namespace, ScaledObject, list},
    program::Program,
    timeline::Timeline,
};

/// How old a sample may be in place of an error.
const MAX_STALENESS: Duration = Duration::from_secs(10);

#[tokio::test]
async fn while_redis_is_dead_or_frozen_replicas_are_held_until_the_fallback() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster, "outage");
    let redis = Redis::start().await;
    let program = Program::start("engine: {maxStaleness: 10s}");
    let trigger = list(&program.address(), &redis.address(), "jobs");
    let fallback = json!({"failureThreshold": 2, "replicas": 3});
    let scaled_object = ScaledObject::new(trigger).with("fallback", fallback);
    namespace.scale("worker", scaled_object);
    let timeline = Timeline::start(&namespace, "worker");
    redis.rpush("jobs", 25).await;
    timeline.backlog(25);
    timeline.replicas(5, SOON).await;

    redis.kill();
    timeline.note("Redis is killed");
    timeline
        .held(5, MAX_STALENESS - Duration::from_secs(4))
        .await;
    timeline.replicas(3, SOON).await;
    redis.restart().await;
    redis.rpush("jobs", 25).await;
    timeline.note("Redis is back");
    timeline.replicas(5, SOON).await;

    redis.pause();
    timeline.note("Redis is frozen");
    timeline
        .held(5, MAX_STALENESS - Duration::from_secs(4))
        .await;
    timeline.replicas(3, SOON).await;
    redis.resume();
    timeline.note("Redis goes on");
    timeline.replicas(5, SOON).await;
}

#[tokio::test]
async fn while_the_scaler_is_dead_replicas_are_held() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster, "restart");
    let (redis, mut program) = (Redis::start().await, Program::start(""));
    let trigger = list(&program.address(), &redis.address(), "jobs");
    namespace.scale("worker", ScaledObject::new(trigger));
    let timeline = Timeline::start(&namespace, "worker");
    redis.rpush("jobs", 25).await;
    timeline.backlog(25);
    timeline.replicas(5, SOON).await;

    program.kill();
    timeline.note("the scaler is killed");
    redis.rpush("jobs", 10).await;
    timeline.backlog(35);
    timeline.held(5, Duration::from_secs(20)).await;
    let errors = namespace.cluster.keda_errors(&namespace.name);
    assert!(errors > 0, "KEDA reports that it has no scaler");
    program.restart();
    timeline.note("the scaler is back");
    timeline.replicas(7, SOON).await;
}
