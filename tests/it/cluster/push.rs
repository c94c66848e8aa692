//! `external-push` beside polling.

use std::time::Duration;

use serde_json::json;
use testkit::redis::Redis;

use super::{
    SOON, needs_cluster,
    objects::{Namespace, ScaledObject, external_push, list},
    program::Program,
    timeline::Timeline,
};

#[tokio::test]
async fn a_push_starts_a_replica_long_before_the_next_poll() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster, "push");
    let (redis, program) = (Redis::start().await, Program::start(""));
    let trigger = list(&program.address(), &redis.address(), "jobs");
    let slow = |trigger| ScaledObject::new(trigger).with("pollingInterval", json!(60));
    namespace.scale("polled", slow(trigger.clone()));
    // KEDA evaluates a new object at once, and then at its interval: both have most of a minute.
    namespace.scale("pushed", slow(external_push(trigger)));
    let pushed = Timeline::start(&namespace, "pushed");
    let polled = Timeline::start(&namespace, "polled");
    pushed.held(0, Duration::from_secs(8)).await;

    redis.rpush("jobs", 4).await;
    for timeline in [&pushed, &polled] {
        timeline.backlog(4);
        timeline.note("4 jobs come");
    }
    let push = pushed.replicas(1, SOON).await;
    let none = polled.seen().replicas;
    let poll = polled.replicas(1, SOON).await;
    assert!(
        none == 0 && poll > push,
        "pushed after {push:?}, polled after another {poll:?}"
    );
}
