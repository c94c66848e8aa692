//! From 0 to 1 to n and back to 0.

use std::{path::Path, time::Duration};

use redis::FromRedisValue;
use testkit::redis::Redis;

use super::{
    SOON, needs_cluster,
    objects::{Namespace, ScaledObject, list},
    program::Program,
    timeline::Timeline,
};

#[tokio::test]
async fn a_list_scales_from_0_to_1_to_8_and_back_to_0() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster, "list");
    let (redis, program) = (Redis::start().await, Program::start(""));
    let trigger = list(&program.address(), &redis.address(), "jobs");
    namespace.scale("worker", ScaledObject::new(trigger));
    let timeline = Timeline::start(&namespace, "worker");
    timeline.held(0, Duration::from_secs(6)).await;

    redis.rpush("jobs", 4).await;
    timeline.backlog(4);
    timeline.note("4 jobs come");
    timeline.replicas(1, SOON).await;

    redis.rpush("jobs", 36).await;
    timeline.backlog(40);
    timeline.note("36 jobs come");
    timeline.replicas(8, SOON).await;

    timeline.note("the workers begin");
    // Every replica does a job in 4 s.
    let mut left = 40;
    while left > 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let done = timeline.seen().replicas.div_ceil(4).to_string();
        redis.command(&["LPOP", "jobs", &done]).await;
        let length = redis.command(&["LLEN", "jobs"]).await;
        left = usize::from_redis_value(length).unwrap();
        timeline.backlog(left);
    }
    timeline.note("the list is empty");
    let took = timeline.replicas(0, SOON).await;
    assert!(took > Duration::from_secs(3), "it cools down: {took:?}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/cluster/scenario-1.csv");
    timeline.write(&file);
}
