//! `deploy/examples/pipeline`, scaled by its lists.

use std::time::Duration;

use testkit::redis::Redis;

use super::{
    SOON, needs_cluster,
    pools::{apply, without_cpu_and_memory},
    program::Program,
    timeline::Timeline,
};

#[tokio::test]
async fn the_pipeline_follows_its_lists_up_and_down() {
    let cluster = needs_cluster!();
    let (redis, program) = (Redis::start().await, Program::start(""));
    let addresses = [
        ("backlog-scaler.keda.svc:9090", program.address()),
        ("redis.pipeline.svc:6379", redis.address()),
    ];
    let namespace = apply(&cluster, "pipeline", &addresses);
    let waiting = async |list: &str, documents: usize| {
        // In one step: there is no moment in which nothing waits.
        redis.rpush("next", documents).await;
        redis.command(&["RENAME", "next", list]).await;
    };
    // What waits; the replicas for it; what holds them; what does not; the replicas for that.
    for (name, list, up, replicas, held, down, least) in [
        ("crawler", "pipeline:crawl", 100, 5, 25, 24, 2),
        ("ocr", "pipeline:ocr", 400, 8, 80, 79, 3),
        ("parser", "pipeline:parse", 200, 7, 70, 69, 3),
        ("labeler", "pipeline:label", 90, 3, 30, 20, 1),
    ] {
        let timeline = Timeline::start(&namespace, name);
        waiting(list, up).await;
        timeline.backlog(up);
        timeline.replicas(replicas, SOON).await;
        if name == "ocr" {
            without_cpu_and_memory(&namespace, name);
        }
        waiting(list, held).await;
        timeline.backlog(held);
        timeline.held(replicas, Duration::from_secs(8)).await;
        waiting(list, down).await;
        timeline.backlog(down);
        timeline.replicas(least, SOON).await;
    }
    // At the limit, whatever waits.
    let timeline = Timeline::start(&namespace, "crawler");
    waiting("pipeline:crawl", 1000).await;
    timeline.backlog(1000);
    timeline.replicas(10, SOON).await;
    timeline.held(10, Duration::from_secs(3)).await;
}
