//! `deploy/examples/pipeline`: its workers on a real Redis.

use std::collections::BTreeSet;

use redis::FromRedisValue;
use testkit::{redis::Redis, require};

use super::{
    objects::{number, objects, of_kind, variable},
    python,
    worker::{Worker, until},
};

const WAITING: &str = "pipeline:crawl";
const NEXT: &str = "pipeline:ocr";
const DOCUMENTS: usize = 60;

fn crawler(redis: &Redis, seconds: &str) -> Worker {
    let url = format!("redis://{}/0", redis.address());
    let env = [
        ("REDIS_URL", url.as_str()),
        ("STAGE", "crawler"),
        ("LIST", WAITING),
        ("NEXT_LIST", NEXT),
        ("WORK_SECONDS", seconds),
    ];
    Worker::start("pipeline", &env)
}

async fn put_in(redis: &Redis) {
    for id in 0..DOCUMENTS {
        let document = format!("{{\"id\": \"{id}\"}}");
        redis.command(&["RPUSH", WAITING, &document]).await;
    }
}

/// The documents of a list.
async fn documents(redis: &Redis, list: &str) -> Vec<String> {
    let texts = redis.command(&["LRANGE", list, "0", "-1"]).await;
    let texts = Vec::<String>::from_redis_value(texts).unwrap();
    let id = |text: &String| {
        let document: serde_json::Value = serde_json::from_str(text).unwrap();
        document["id"].as_str().unwrap().to_owned()
    };
    texts.iter().map(id).collect()
}

/// Documents in the hands of workers, by list.
async fn taken(redis: &Redis) -> Vec<String> {
    let lists = redis.command(&["KEYS", "pipeline:crawl:taken:*"]).await;
    let mut all = Vec::new();
    for list in Vec::<String>::from_redis_value(lists).unwrap() {
        all.extend(documents(redis, &list).await);
    }
    all
}

#[tokio::test]
async fn workers_that_stop_finish_what_they_have_and_lose_nothing() {
    if !require(python("pipeline").is_some(), "the examples' Python") {
        return;
    }
    let redis = Redis::start().await;
    put_in(&redis).await;
    let workers: Vec<Worker> = (0..4).map(|_| crawler(&redis, "0.2")).collect();
    until("all are at work", async || {
        taken(&redis).await.len() == 4 && !documents(&redis, NEXT).await.is_empty()
    })
    .await;
    workers.iter().for_each(|worker| worker.signal("TERM"));
    for worker in workers {
        worker.has_stopped().await;
    }
    let (waiting, done) = (
        documents(&redis, WAITING).await,
        documents(&redis, NEXT).await,
    );
    assert!(
        !waiting.is_empty() && !done.is_empty(),
        "they stopped amid their work"
    );
    assert_eq!(taken(&redis).await, [""; 0], "all in hand was finished");
    let each: BTreeSet<&String> = waiting.iter().chain(&done).collect();
    assert_eq!(waiting.len() + done.len(), DOCUMENTS);
    assert_eq!(each.len(), DOCUMENTS, "each once");

    // Another one goes on where they stopped.
    let worker = crawler(&redis, "0.01");
    until("all are done", async || {
        documents(&redis, NEXT).await.len() == DOCUMENTS
    })
    .await;
    worker.signal("TERM");
    worker.has_stopped().await;
}

#[tokio::test]
async fn what_a_killed_worker_had_in_hand_is_worked_on_by_another() {
    if !require(python("pipeline").is_some(), "the examples' Python") {
        return;
    }
    let redis = Redis::start().await;
    put_in(&redis).await;
    let killed = crawler(&redis, "30");
    until("it is at work", async || taken(&redis).await.len() == 1).await;
    let members = redis
        .command(&["ZRANGE", "pipeline:crawl:workers", "0", "-1"])
        .await;
    let members = Vec::<String>::from_redis_value(members).unwrap();
    killed.signal("KILL");
    assert!(!killed.ended().await.success());
    assert_eq!(taken(&redis).await.len(), 1, "it is still in its list");

    // A minute later, without the minute.
    let gone = ["ZADD", "pipeline:crawl:workers", "1", &members[0]];
    redis.command(&gone).await;
    let worker = crawler(&redis, "0.01");
    until("all are done", async || {
        documents(&redis, NEXT).await.len() == DOCUMENTS
    })
    .await;
    assert_eq!(taken(&redis).await, [""; 0]);
    worker.signal("TERM");
    worker.has_stopped().await;
}

/// A document that cannot be worked on stops nobody.
#[tokio::test]
async fn a_document_that_is_none_is_put_aside() {
    if !require(python("pipeline").is_some(), "the examples' Python") {
        return;
    }
    let redis = Redis::start().await;
    redis
        .command(&["RPUSH", WAITING, "no document", "{\"id\": \"1\"}"])
        .await;
    let worker = crawler(&redis, "0.01");
    until("the other is done", async || {
        documents(&redis, NEXT).await == ["1"]
    })
    .await;
    let refused = redis
        .command(&["LRANGE", "pipeline:crawl:refused", "0", "-1"])
        .await;
    assert_eq!(
        Vec::<String>::from_redis_value(refused).unwrap(),
        ["no document"]
    );
    worker.signal("TERM");
    worker.has_stopped().await;
}

/// What each stage passes on is what the next one is scaled by, and the numbers are as described.
#[test]
fn the_stages_are_a_pipeline_with_these_numbers() {
    let mut list = WAITING.to_owned();
    for (name, [least, most, target, below]) in [
        ("crawler", [2, 10, 20, 5]),
        ("ocr", [3, 20, 50, 10]),
        ("parser", [2, 15, 30, 10]),
        ("labeler", [1, 6, 30, 10]),
    ] {
        let file = format!("deploy/examples/pipeline/{name}.yaml");
        let spec = &of_kind(&file, "ScaledObject")[0]["spec"];
        let metadata = &spec["triggers"][0]["metadata"];
        let numbers = [
            number(&spec["minReplicaCount"]),
            number(&spec["maxReplicaCount"]),
            number(&metadata["listLength"]),
            number(&metadata["scaleDownBelow"]),
        ];
        assert_eq!(numbers, [least, most, target, below], "{name}");
        let deployment = &of_kind(&file, "Deployment")[0];
        assert_eq!(metadata["listName"], list, "{name}");
        assert_eq!(variable(deployment, "LIST"), list, "{name}");
        list = variable(deployment, "NEXT_LIST");
        let kinds: Vec<_> = objects(&file)
            .iter()
            .map(|object| object["kind"].clone())
            .collect();
        assert_eq!(
            kinds,
            ["Deployment", "PodDisruptionBudget", "ScaledObject"],
            "{name}"
        );
    }
}
