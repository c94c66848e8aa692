//! Kafka and Temporal, and triggers of different targets in one ScaledObject.

use std::time::Duration;

use testkit::{kafka, redis::Redis, require, temporal, temporal::Temporal};

use super::{
    SOON, needs_cluster,
    objects::{Namespace, ScaledObject, external, list},
    program::Program,
    timeline::Timeline,
};

#[tokio::test]
async fn kafka_lag_scales_from_0_to_1_to_8_and_back_to_0() {
    let cluster = needs_cluster!();
    if !require(kafka::available(), "Kafka") {
        return;
    }
    let kafka = kafka::one().await;
    // One partition for each replica: more would be idle consumers.
    kafka.create_topic("orders", 8).await;
    let everything: Vec<(i32, i64)> = (0..8).map(|partition| (partition, 0)).collect();
    kafka.commit("billing", "orders", &everything);
    let namespace = Namespace::new(cluster, "kafka");
    let program = Program::start("");
    let trigger = external(
        &program.address(),
        [
            ("backend", "kafka"),
            ("bootstrapServers", &kafka.servers()),
            ("consumerGroup", "billing"),
            ("topic", "orders"),
            ("lagThreshold", "5"),
        ],
    );
    namespace.scale("worker", ScaledObject::new(trigger));
    let timeline = Timeline::start(&namespace, "worker");
    timeline.held(0, Duration::from_secs(6)).await;

    kafka.produce("orders", 0, 4);
    timeline.backlog(4);
    timeline.note("4 messages come");
    timeline.replicas(1, SOON).await;

    kafka.produce("orders", 0, 1);
    (1..8).for_each(|partition| kafka.produce("orders", partition, 5));
    timeline.backlog(40);
    timeline.note("36 messages come");
    timeline.replicas(8, SOON).await;

    let everything: Vec<(i32, i64)> = (0..8).map(|partition| (partition, 5)).collect();
    kafka.commit("billing", "orders", &everything);
    timeline.backlog(0);
    timeline.note("all are read");
    timeline.replicas(0, SOON).await;
}

#[tokio::test]
async fn a_temporal_backlog_scales_from_0_to_1_to_8_and_back_to_0() {
    let cluster = needs_cluster!();
    if !require(temporal::available(), "the Temporal server") {
        return;
    }
    let temporal = Temporal::builder().start().await;
    let namespace = Namespace::new(cluster, "temporal");
    let program = Program::start("");
    let trigger = external(
        &program.address(),
        [
            ("backend", "temporal"),
            ("endpoint", &temporal.address()),
            ("taskQueue", "orders"),
            ("targetQueueSize", "5"),
        ],
    );
    namespace.scale("worker", ScaledObject::new(trigger));
    let timeline = Timeline::start(&namespace, "worker");
    timeline.held(0, Duration::from_secs(6)).await;

    temporal.start_workflows("orders", 4).await;
    timeline.backlog(4);
    timeline.note("4 workflows come");
    timeline.replicas(1, SOON).await;

    let stubs = temporal.stubs().await;
    for i in 0..36 {
        let id = format!("more-{i}");
        temporal::start_one(&stubs, "orders", &id).await.unwrap();
    }
    timeline.backlog(40);
    timeline.note("36 workflows come");
    timeline.replicas(8, SOON).await;

    let poller = temporal.poller("orders").await;
    for left in (0..40).rev() {
        // No commands: the workflow waits, and no task of it is left.
        poller.complete_one(Vec::new()).await;
        timeline.backlog(left);
    }
    timeline.note("all have a worker");
    timeline.replicas(0, SOON).await;
}

#[tokio::test]
async fn of_two_triggers_the_one_that_wants_more_replicas_wins() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster, "two");
    let (redis, program) = (Redis::start().await, Program::start(""));
    let orders = list(&program.address(), &redis.address(), "orders");
    let mut mails = list(&program.address(), &redis.address(), "mails");
    mails["metadata"]["listLength"] = "20".into();
    namespace.scale("worker", ScaledObject::new(orders).and(mails));
    let timeline = Timeline::start(&namespace, "worker");

    redis.rpush("orders", 15).await;
    redis.rpush("mails", 20).await;
    timeline.backlog(15 + 20);
    timeline.note("15 orders want 3 replicas, 20 mails want 1");
    timeline.replicas(3, SOON).await;

    redis.rpush("mails", 100).await;
    timeline.backlog(15 + 120);
    timeline.note("120 mails want 6");
    timeline.replicas(6, SOON).await;

    redis.command(&["DEL", "mails"]).await;
    timeline.backlog(15);
    timeline.note("no mails are left");
    timeline.replicas(3, SOON).await;

    redis.command(&["DEL", "orders"]).await;
    timeline.backlog(0);
    timeline.note("no orders are left");
    timeline.replicas(0, SOON).await;
}
