//! Streams: the age of what waits, the rate of a group, and the entries that it has in flight.

use std::time::Duration;

use backlog_scaler::keda::proto::ScaledObjectRef;
use tokio::time::sleep;
use tonic::Code;

use super::{age, fresh, in_milliseconds, until};
use crate::redis::{needs_redis, stream};
use testkit::{
    redis::{Cluster, Redis},
    scaler::{Scaler, trigger, with},
};

const LAG: [(&str, &str); 2] = [("consumerGroup", "g"), ("lagCount", "4")];
const PENDING: [(&str, &str); 1] = [("consumerGroup", "g")];
const DRAIN: [(&str, &str); 2] = [("signal", "drainTime"), ("targetSeconds", "30")];

/// Adds an entry as it would have been added some time ago.
async fn add_earlier(redis: &Redis, seconds: i64) {
    let id = format!("{}-0", in_milliseconds(-1_000 * seconds));
    redis.command(&["XADD", "s", &id, "k", "v"]).await;
}

async fn add(redis: &Redis, entries: usize) {
    let fill = "for i = 1, ARGV[1] do redis.call('XADD', 's', '*', 'k', 'v') end";
    redis
        .command(&["EVAL", fill, "0", &entries.to_string()])
        .await;
}

async fn create_group(redis: &Redis) {
    redis
        .command(&["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"])
        .await;
}

async fn deliver(redis: &Redis, entries: usize) {
    let count = entries.to_string();
    let read = ["XREADGROUP", "GROUP", "g", "c", "COUNT", &count];
    redis
        .command(&[&read[..], &["STREAMS", "s", ">"]].concat())
        .await;
}

async fn value(scaler: &Scaler, trigger: &ScaledObjectRef) -> f64 {
    scaler.evaluate(trigger).await.unwrap().value
}

#[tokio::test]
async fn the_lag_is_as_old_as_the_first_entry_that_the_group_was_not_given() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let age = age(stream(&redis, "s", LAG));
    let none = scaler.evaluate(&age).await.unwrap();
    assert_eq!((none.value, none.active), (0.0, false), "no stream");

    for seconds in [500, 100] {
        add_earlier(&redis, seconds).await;
    }
    let found = value(&scaler, &age).await;
    assert!((500.0..560.0).contains(&found), "no group: {found}");

    create_group(&redis).await;
    let before = scaler.evaluate(&age).await.unwrap();
    assert!((500.0..560.0).contains(&before.value), "{before:?}");
    assert_eq!((before.active, before.target), (true, 30.0));
    sleep(Duration::from_millis(300)).await;
    let after = value(&scaler, &age).await;
    assert!(after >= before.value + 0.3, "{after}");

    deliver(&redis, 1).await;
    let fell = value(&scaler, &age).await;
    assert!((100.0..160.0).contains(&fell), "{fell}");
    deliver(&redis, 1).await;
    let none = scaler.evaluate(&age).await.unwrap();
    assert_eq!((none.value, none.active), (0.0, false));
}

#[tokio::test]
async fn the_age_is_known_where_the_lag_must_be_counted() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    for seconds in [400, 300, 200, 100] {
        add_earlier(&redis, seconds).await;
    }
    create_group(&redis).await;
    deliver(&redis, 1).await;
    let id = format!("{}-0", in_milliseconds(0));
    redis.command(&["XADD", "s", &id, "k", "v"]).await;
    redis.command(&["XDEL", "s", &id]).await;
    let found = scaler.evaluate(&stream(&redis, "s", LAG)).await.unwrap();
    assert_eq!(found.value, 3.0);
    let age = value(&scaler, &age(stream(&redis, "s", LAG))).await;
    assert!((300.0..360.0).contains(&age), "{age}");
}

#[tokio::test]
async fn a_stream_without_a_group_is_as_old_as_its_first_entry() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let age = age(stream(&redis, "s", []));
    assert_eq!(value(&scaler, &age).await, 0.0);
    add_earlier(&redis, 300).await;
    add_earlier(&redis, 200).await;
    let found = value(&scaler, &age).await;
    assert!((300.0..360.0).contains(&found), "{found}");
    redis.command(&["XTRIM", "s", "MAXLEN", "1"]).await;
    let found = value(&scaler, &age).await;
    assert!((200.0..260.0).contains(&found), "{found}");
}

#[tokio::test]
async fn pending_entries_are_as_old_as_the_longest_idle_one() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let age = age(stream(&redis, "s", PENDING));
    assert_eq!(value(&scaler, &age).await, 0.0, "no stream");
    add(&redis, 2).await;
    let error = scaler.evaluate(&age).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    create_group(&redis).await;
    assert_eq!(value(&scaler, &age).await, 0.0, "nothing is pending");

    deliver(&redis, 1).await;
    sleep(Duration::from_millis(300)).await;
    deliver(&redis, 1).await;
    let found = value(&scaler, &age).await;
    assert!((0.3..60.0).contains(&found), "{found}");

    // Claimed by another consumer for the first: then the second has been idle for longer.
    let first = redis.command(&["XPENDING", "s", "g", "-", "+", "1"]).await;
    let first: Vec<(String, String, u64, u64)> = ::redis::from_redis_value(first).unwrap();
    let claim = ["XCLAIM", "s", "g", "other", "0", &first[0].0];
    let idle = ["IDLE", "100000"];
    redis.command(&[&claim[..], &idle].concat()).await;
    let found = value(&scaler, &age).await;
    assert!((100.0..160.0).contains(&found), "{found}");
    redis.command(&claim).await;
    assert!(value(&scaler, &age).await < 60.0);
}

#[tokio::test]
async fn ids_that_the_producer_made_carry_no_time() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    for id in ["0-1", "7-0"] {
        redis.command(&["XADD", "s", id, "k", "v"]).await;
    }
    for keys in [&LAG[..], &[]] {
        let plain = stream(&redis, "s", []);
        let plain = keys
            .iter()
            .fold(plain, |plain, (key, value)| with(plain, key, value));
        let error = scaler.evaluate(&age(plain.clone())).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        let message = error.message();
        let then = "the ids of stream s carry no time: the oldest entry that waits has the id 0-1";
        assert!(message.contains(then), "{message}");
        assert_eq!(value(&scaler, &plain).await, 2.0);
    }
}

#[tokio::test]
async fn the_drain_time_follows_the_rate_of_the_group_over_a_lost_connection() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let drain = fresh(stream(&redis, "s", LAG), DRAIN);
    assert_eq!(value(&scaler, &drain).await, 0.0, "no stream");
    add(&redis, 1_100).await;
    let message = async || {
        let error = scaler.evaluate(&drain).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        error.message().to_owned()
    };
    let text = message().await;
    let then = "1100 entries wait, and the group does not exist yet";
    assert!(text.contains(then), "{text}");

    create_group(&redis).await;
    deliver(&redis, 100).await;
    let text = message().await;
    let then = "1000 entries wait, and the group has been observed for";
    assert!(text.contains(then), "{text}");

    // Some 20 a second, with a lost connection between.
    for round in 0..30 {
        deliver(&redis, 4).await;
        if round == 15 {
            redis.command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
        }
        sleep(Duration::from_millis(200)).await;
    }
    let found = until(&scaler, &drain, Result::is_ok).await;
    // 880 at no more than 20 a second, and at no less than a tenth of that.
    assert!((40.0..440.0).contains(&found.value), "{found:?}");
    assert!(found.active);

    deliver(&redis, 1_000).await;
    assert_eq!(value(&scaler, &drain).await, 0.0, "everything is given");
    // The history starts again.
    redis.command(&["XGROUP", "SETID", "s", "g", "0"]).await;
    let text = message().await;
    let then = "1100 entries wait, and the group has been observed for 0.0 s only";
    assert!(text.contains(then), "{text}");
}

#[tokio::test]
async fn pending_entries_are_in_flight_and_added_on_request() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    create_group(&redis).await;
    add(&redis, 5).await;
    deliver(&redis, 5).await;
    let lag = fresh(stream(&redis, "s", LAG), []);
    let idle = scaler.evaluate(&lag).await.unwrap();
    assert_eq!((idle.value, idle.active), (0.0, false));

    let with_pending = with(lag.clone(), "includePending", "true");
    let added = scaler.evaluate(&with_pending).await.unwrap();
    assert_eq!((added.value, added.active), (5.0, true));

    // Five in flight with two for each replica are three replicas of four each.
    let minimum = with(lag, "minimumWhileInFlight", "2");
    let kept = scaler.evaluate(&minimum).await.unwrap();
    assert_eq!((kept.value, kept.active), (12.0, true));
}

#[tokio::test]
async fn the_age_of_streams_in_a_cluster_is_that_of_the_node_of_each() {
    needs_redis!();
    let (cluster, scaler) = (Cluster::start(3).await, Scaler::start().await);
    for i in 0..6_i64 {
        let name = format!("s-{i}");
        let id = format!("{}-0", in_milliseconds(-100_000 * (i + 1)));
        let owner = cluster.owner(&name).await;
        owner.command(&["XADD", &name, &id, "k", "v"]).await;
        let one = trigger([
            ("backend", "redis-cluster-streams"),
            ("addresses", &cluster.addresses().join(",")),
            ("stream", &name),
            ("consumerGroup", "g"),
            ("lagCount", "1"),
        ]);
        let found = value(&scaler, &age(one)).await;
        let then = 100.0 * (i + 1) as f64;
        assert!((then..then + 60.0).contains(&found), "{name}: {found}");
    }
}
