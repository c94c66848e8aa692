//! Sorted sets whose scores are times.

use std::time::Duration;

use tokio::time::sleep;
use tonic::Code;

use super::{age, fresh, in_milliseconds, until};
use crate::redis::{list, needs_redis};
use testkit::{
    redis::{Cluster, Redis},
    scaler::{Scaler, trigger, with},
};

async fn zadd(redis: &Redis, key: &str, score: impl ToString, member: &str) {
    let score = score.to_string();
    redis.command(&["ZADD", key, &score, member]).await;
}

fn seconds(later: f64) -> f64 {
    in_milliseconds((later * 1000.0) as i64) as f64 / 1000.0
}

#[tokio::test]
async fn members_count_once_they_are_due_in_either_unit() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    for (key, unit, in_a_second) in [
        ("by-seconds", "seconds", 1.0),
        ("by-milliseconds", "milliseconds", 1_000.0),
    ] {
        let score = |later: f64| (seconds(0.0) + later) * in_a_second;
        zadd(&redis, key, score(-9.0), "overdue").await;
        zadd(&redis, key, score(1.5), "soon").await;
        zadd(&redis, key, score(900.0), "later").await;
        let all = fresh(list(&redis, key), []);
        let due = fresh(all.clone(), [("scores", "time"), ("scoreUnit", unit)]);

        assert_eq!(scaler.evaluate(&all).await.unwrap().value, 3.0);
        let first = scaler.evaluate(&due).await.unwrap();
        assert_eq!((first.value, first.active), (1.0, true), "{unit}");
        until(&scaler, &due, |found| {
            found.as_ref().is_ok_and(|found| found.value == 2.0)
        })
        .await;
    }
}

#[tokio::test]
async fn lists_sets_and_hashes_among_the_names_count_whole_and_so_does_what_is_taken() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    redis.rpush("q:list", 4).await;
    redis.command(&["SADD", "q:set", "1", "2"]).await;
    redis.command(&["HSET", "q:hash", "k", "v"]).await;
    zadd(&redis, "q:later", seconds(-1.0), "due").await;
    zadd(&redis, "q:later", seconds(900.0), "not yet").await;
    // The score of what is taken is mostly the end of its lease.
    zadd(&redis, "taken", seconds(60.0), "a").await;
    zadd(&redis, "taken", seconds(90.0), "b").await;
    let sum = |lists: &str| {
        let sum = trigger([
            ("backend", "redis"),
            ("address", &redis.address()),
            ("lists", lists),
            ("processingLists", "taken"),
        ]);
        fresh(sum, [("scores", "time")])
    };
    for lists in ["q:list, q:set, q:hash, q:later, q:missing", "q:*"] {
        // The second time the types are known.
        for _ in 0..2 {
            let found = scaler.evaluate(&sum(lists)).await.unwrap();
            assert_eq!(found.value, 10.0, "{lists}");
        }
    }
    redis.command(&["SET", "q:text", "x"]).await;
    let error = scaler.evaluate(&sum("q:list, q:text")).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    let message = error.message();
    assert!(message.contains("q:text is a string"), "{message}");
}

#[tokio::test]
async fn the_age_is_that_of_the_oldest_due_member_and_grows_by_the_clock() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let named = trigger([
        ("backend", "redis"),
        ("address", &redis.address()),
        ("lists", "later, retry"),
        ("scores", "time"),
    ]);
    let age = age(named);
    let none = scaler.evaluate(&age).await.unwrap();
    assert_eq!((none.value, none.active), (0.0, false), "both are missing");

    zadd(&redis, "later", seconds(900.0), "not yet").await;
    let none = scaler.evaluate(&age).await.unwrap();
    assert_eq!((none.value, none.active), (0.0, false), "nothing is due");

    zadd(&redis, "later", seconds(-50.0), "old").await;
    zadd(&redis, "retry", seconds(-200.0), "older").await;
    let before = scaler.evaluate(&age).await.unwrap();
    assert!((200.0..260.0).contains(&before.value), "{}", before.value);
    assert_eq!((before.active, before.target), (true, 30.0));
    sleep(Duration::from_millis(300)).await;
    let after = scaler.evaluate(&age).await.unwrap();
    assert!(after.value >= before.value + 0.3, "{}", after.value);

    redis.command(&["ZREM", "retry", "older"]).await;
    let fell = scaler.evaluate(&age).await.unwrap();
    assert!((50.0..110.0).contains(&fell.value), "{}", fell.value);
}

#[tokio::test]
async fn an_entry_without_a_time_is_an_error_and_an_empty_key_is_not() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let named = trigger([
        ("backend", "redis"),
        ("address", &redis.address()),
        ("lists", "later, jobs"),
        ("scores", "time"),
    ]);
    zadd(&redis, "later", seconds(-50.0), "old").await;
    assert!(scaler.evaluate(&age(named.clone())).await.unwrap().value >= 50.0);

    redis.rpush("jobs", 2).await;
    let error = scaler.evaluate(&age(named.clone())).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    let message = error.message();
    let then = "jobs has 2 entries without a time, because it is not a sorted set";
    assert!(message.contains(then), "{message}");
    // The backlog of the same names is known.
    let backlog = scaler.evaluate(&fresh(named, [])).await.unwrap();
    assert_eq!(backlog.value, 3.0);

    // An immediate member waits since a time that nobody knows.
    zadd(&redis, "now", 0, "at once").await;
    let now = with(list(&redis, "now"), "scores", "time");
    assert_eq!(
        scaler
            .evaluate(&fresh(now.clone(), []))
            .await
            .unwrap()
            .value,
        1.0
    );
    let message = scaler.evaluate(&age(now)).await.unwrap_err();
    let message = message.message();
    let then = "the lowest score in now is 0, which is not a time in seconds";
    assert!(message.contains(then), "{message}");
}

#[tokio::test]
async fn scores_of_another_unit_are_an_error_rather_than_zero_for_ever() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let due = fresh(list(&redis, "later"), [("scores", "time")]);
    zadd(&redis, "later", "inf", "put aside").await;
    assert_eq!(scaler.evaluate(&due).await.unwrap().value, 0.0);

    zadd(&redis, "later", in_milliseconds(-5_000), "in milliseconds").await;
    let error = scaler.evaluate(&due).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    let message = error.message();
    let then = "nothing in later is due, and the scores of 1 members are no times in seconds";
    assert!(message.contains(then), "{message}");
    assert!(message.contains("Check scoreUnit"), "{message}");

    let right = with(due, "scoreUnit", "milliseconds");
    assert_eq!(scaler.evaluate(&right).await.unwrap().value, 1.0);
}

#[tokio::test]
async fn what_is_due_in_a_cluster_is_read_node_by_node() {
    needs_redis!();
    let (cluster, scaler) = (Cluster::start(3).await, Scaler::start().await);
    for i in 0..20 {
        let key = format!("later-{i}");
        let owner = cluster.owner(&key).await;
        zadd(owner, &key, seconds(-100.0 - f64::from(i)), "due").await;
        zadd(owner, &key, seconds(900.0), "not yet").await;
    }
    let later = trigger([
        ("backend", "redis-cluster"),
        ("addresses", &cluster.addresses().join(",")),
        ("lists", "later-{0..19}"),
        ("scores", "time"),
    ]);
    let count = scaler.evaluate(&fresh(later.clone(), [])).await.unwrap();
    assert_eq!(count.value, 20.0);
    let age = scaler.evaluate(&age(later)).await.unwrap();
    assert!((119.0..180.0).contains(&age.value), "{}", age.value);
}
