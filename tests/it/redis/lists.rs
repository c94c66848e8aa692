//! Lengths of lists, sets, sorted sets and hashes; many of them summed.

use tonic::Code;

use super::{list, needs_redis};
use testkit::{
    redis::Redis,
    scaler::{Scaler, trigger, with},
};

#[tokio::test]
async fn every_type_with_a_length_is_counted() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    redis.rpush("a-list", 7).await;
    redis.command(&["SADD", "a-set", "1", "2", "3"]).await;
    redis.command(&["ZADD", "a-zset", "1", "a", "2", "b"]).await;
    redis
        .command(&["HSET", "a-hash", "k1", "v", "k2", "v", "k3", "v", "k4", "v"])
        .await;

    for (name, value) in [
        ("a-list", 7.0),
        ("a-set", 3.0),
        ("a-zset", 2.0),
        ("a-hash", 4.0),
        ("missing", 0.0),
    ] {
        // The second time its type is known.
        for _ in 0..2 {
            let found = scaler
                .evaluate(&with(list(&redis, name), "freshFor", "0"))
                .await
                .unwrap();
            assert_eq!((found.value, found.active), (value, value > 0.0), "{name}");
            assert_eq!(found.target, 5.0);
            assert!(
                found.metric.starts_with(&format!("redis-{name}-")),
                "{}",
                found.metric
            );
        }
    }
}

#[tokio::test]
async fn a_key_without_a_length_is_an_error_that_names_its_type() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    redis.command(&["SET", "a-string", "x"]).await;
    redis.command(&["XADD", "a-stream", "*", "k", "v"]).await;

    let error = scaler
        .evaluate(&list(&redis, "a-string"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    let place = format!(
        "redis {}/0, length of a-string: a-string is a string",
        redis.address()
    );
    assert!(error.message().starts_with(&place), "{}", error.message());

    let error = scaler
        .evaluate(&list(&redis, "a-stream"))
        .await
        .unwrap_err();
    assert!(
        error
            .message()
            .ends_with("Use backend: redis-streams for streams."),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn a_key_that_changes_its_type_is_counted_by_its_new_one() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let work = with(list(&redis, "work"), "freshFor", "0");
    redis.command(&["SADD", "work", "1", "2"]).await;
    assert_eq!(scaler.evaluate(&work).await.unwrap().value, 2.0);

    redis.command(&["DEL", "work"]).await;
    redis.rpush("work", 5).await;

    assert_eq!(scaler.evaluate(&work).await.unwrap().value, 5.0);
}

#[tokio::test]
async fn names_globs_and_ranges_are_summed_and_count_once() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    for i in 0..4 {
        redis.rpush(&format!("jobs-{i}"), 10).await;
    }
    redis.rpush("jobs:mail", 3).await;
    redis.command(&["SADD", "jobs:set", "1"]).await;
    let sum = |lists: &str| {
        trigger([
            ("backend", "redis"),
            ("address", &redis.address()),
            ("lists", lists),
        ])
    };

    for (lists, value) in [
        ("jobs-{0..3}", 40.0),
        ("jobs-{0..3}, jobs-1, jobs-{1..2}", 40.0),
        ("jobs-*, jobs-1", 40.0),
        ("jobs:*", 4.0),
        ("jobs?*", 44.0),
        ("jobs-0, missing", 10.0),
        ("nothing:*", 0.0),
    ] {
        let found = scaler.evaluate(&sum(lists)).await.unwrap();
        assert_eq!(found.value, value, "{lists}");
    }
}

#[tokio::test]
async fn work_in_processing_lists_keeps_its_workers() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    redis.rpush("jobs:processing:1", 2).await;
    redis.rpush("jobs:processing:2", 3).await;
    let work = with(list(&redis, "jobs"), "processingLists", "jobs:processing:*");

    let found = scaler.evaluate(&work).await.unwrap();

    assert_eq!((found.value, found.active), (5.0, true));
}

#[tokio::test]
async fn a_glob_that_matches_too_much_is_an_error_not_a_partial_sum() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let fill = "for i = 1, 10001 do redis.call('RPUSH', 'l:' .. i, 1) end";
    redis.command(&["EVAL", fill, "0"]).await;
    let all = trigger([
        ("backend", "redis"),
        ("address", &redis.address()),
        ("lists", "l:*"),
    ]);

    let error = scaler.evaluate(&all).await.unwrap_err();

    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(
        error.message().contains("more than 10000 keys match l:*"),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn activation_is_strictly_above_its_threshold() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    redis.rpush("jobs", 7).await;
    for (threshold, active) in [("6", true), ("7", false), ("8", false)] {
        let work = with(list(&redis, "jobs"), "activationListLength", threshold);
        let found = scaler.evaluate(&work).await.unwrap();
        assert_eq!(found.active, active, "above {threshold}");
    }
}

#[tokio::test]
async fn databases_are_told_apart() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    redis.rpush("jobs", 7).await;
    let other = with(list(&redis, "jobs"), "databaseIndex", "3");
    let (here, there) = (
        scaler.evaluate(&list(&redis, "jobs")).await.unwrap(),
        scaler.evaluate(&other).await.unwrap(),
    );
    assert_eq!((here.value, there.value), (7.0, 0.0));
    assert_ne!(here.metric, there.metric);

    let beyond = with(list(&redis, "jobs"), "databaseIndex", "99");
    let error = scaler.evaluate(&beyond).await.unwrap_err();
    assert!(
        error.message().contains("DB index is out of range"),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn a_thousand_triggers_share_a_connection_and_few_reads() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let client = scaler.client().await;
    let triggers: Vec<_> = (0..1000).map(|i| list(&redis, &format!("l-{i}"))).collect();
    for i in 0..1000 {
        redis.rpush(&format!("l-{i}"), i % 5 + 1).await;
    }

    let requests = triggers.iter().map(|trigger| {
        let mut client = client.clone();
        async move {
            client
                .get_metrics(backlog_scaler::keda::proto::GetMetricsRequest {
                    scaled_object_ref: Some(trigger.clone()),
                    metric_name: String::new(),
                })
                .await
        }
    });
    let responses = futures_util::future::join_all(requests).await;

    for (i, response) in responses.into_iter().enumerate() {
        let value = response.unwrap().into_inner().metric_values[0].metric_value_float;
        assert_eq!(value, (i % 5 + 1) as f64, "l-{i}");
    }
    let (_, metrics) = scaler.page("/metrics").await;
    let name = format!(
        "backlog_scaler_batch_size_count{{connection=\"redis {}/0\"}} ",
        redis.address()
    );
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    let reads: usize = line.expect("reads are counted").parse().unwrap();
    assert!(reads <= 50, "{reads} reads for 1000 triggers");
    let clients = redis.command(&["INFO", "clients"]).await;
    let clients: String = redis::from_redis_value(clients).unwrap();
    // One is ours; the helper may hold its own.
    assert!(
        clients.contains("connected_clients:1") || clients.contains("connected_clients:2"),
        "{clients}"
    );
}
