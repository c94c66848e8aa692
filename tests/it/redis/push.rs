//! Push triggers: their streams report new work, by polling and by keyspace notifications.

use std::time::Duration;

use backlog_scaler::keda::proto::{IsActiveResponse, ScaledObjectRef};
use tokio::time::{sleep, timeout};
use tonic::Streaming;

use super::{list, needs_redis, stream};
use testkit::{
    redis::{Redis, Sentinel},
    scaler::{Scaler, trigger, with},
};

/// Longer than any state takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// So long that nothing is read by polling during a test.
const NEVER: &str = "1h";

type States = Streaming<IsActiveResponse>;

async fn open(scaler: &Scaler, trigger: ScaledObjectRef) -> States {
    let states = scaler.client().await.stream_is_active(trigger).await;
    states.unwrap().into_inner()
}

/// The next state.
async fn next(states: &mut States) -> bool {
    let state = timeout(PATIENCE, states.message()).await;
    let state = state.expect("a state in time").unwrap();
    state.expect("the stream goes on").result
}

async fn figure(scaler: &Scaler, name: &str) -> f64 {
    let (_, page) = scaler.page("/metrics").await;
    let lines = page.lines().filter(|line| line.starts_with(name));
    let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    values.sum()
}

/// Waits until so many clients of the server subscribe to channels.
async fn subscribed(redis: &Redis, pattern: &str, wanted: usize) {
    for _ in 0..400 {
        let channels = redis.command(&["PUBSUB", "CHANNELS", pattern]).await;
        let channels: Vec<String> = redis_values(channels);
        if channels.len() == wanted {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("not {wanted} channels like {pattern}");
}

fn redis_values(value: redis::Value) -> Vec<String> {
    redis::from_redis_value(value).unwrap()
}

async fn notifying() -> Redis {
    let redis = Redis::start().await;
    redis
        .command(&["CONFIG", "SET", "notify-keyspace-events", "KA"])
        .await;
    redis
}

#[tokio::test]
async fn new_work_is_reported_by_polling() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let mut states = open(&scaler, list(&redis, "jobs")).await;
    assert!(!next(&mut states).await);
    redis.rpush("jobs", 1).await;
    assert!(next(&mut states).await);
    redis.command(&["DEL", "jobs"]).await;
    assert!(!next(&mut states).await);
    assert_eq!(
        figure(&scaler, "backlog_scaler_notifications_total").await,
        0.0
    );
}

#[tokio::test]
async fn the_lists_of_many_streams_are_read_together() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let mut all = Vec::new();
    for i in 0..200 {
        all.push(open(&scaler, list(&redis, &format!("jobs-{i}"))).await);
    }
    for states in &mut all {
        assert!(!next(states).await);
    }
    let batches = "backlog_scaler_batch_size_count";
    let queries = "backlog_scaler_batch_size_sum";
    let before = (
        figure(&scaler, batches).await,
        figure(&scaler, queries).await,
    );
    sleep(Duration::from_secs(3)).await;
    let (batches, queries) = (
        figure(&scaler, batches).await - before.0,
        figure(&scaler, queries).await - before.1,
    );
    assert!((1.0..=50.0).contains(&batches), "{batches} batches");
    let each = queries / batches;
    assert!((150.0..=250.0).contains(&each), "{each} queries a batch");
}

#[tokio::test]
async fn a_notification_reports_new_work_without_polling() {
    needs_redis!();
    let (redis, scaler) = (notifying().await, Scaler::start().await);
    let database = with(list(&redis, "jobs"), "databaseIndex", "3");
    let lengths = stream(
        &redis,
        "events",
        [("streamLength", "5"), ("pushInterval", NEVER)],
    );
    let mut jobs = open(&scaler, with(list(&redis, "jobs"), "pushInterval", NEVER)).await;
    let mut events = open(&scaler, lengths).await;
    let mut other = open(&scaler, with(database, "pushInterval", NEVER)).await;
    for states in [&mut jobs, &mut events, &mut other] {
        assert!(!next(states).await);
    }
    subscribed(&redis, "__keyspace@0__:*", 2).await;
    subscribed(&redis, "__keyspace@3__:*", 1).await;

    redis.rpush("jobs", 1).await;
    assert!(next(&mut jobs).await);
    redis.command(&["XADD", "events", "*", "k", "v"]).await;
    assert!(next(&mut events).await);
    assert_eq!(
        figure(&scaler, "backlog_scaler_notifications_total").await,
        2.0
    );

    // The connection closes with the last stream.
    drop((jobs, events, other));
    subscribed(&redis, "__keyspace@*", 0).await;
}

#[tokio::test]
async fn without_its_connection_for_notifications_polling_goes_on_until_it_is_back() {
    needs_redis!();
    let (redis, scaler) = (notifying().await, Scaler::start().await);
    let mut polled = open(&scaler, list(&redis, "polled")).await;
    let mut waiting = open(
        &scaler,
        with(list(&redis, "waiting"), "pushInterval", NEVER),
    )
    .await;
    assert!(!next(&mut polled).await);
    assert!(!next(&mut waiting).await);
    subscribed(&redis, "__keyspace@0__:*", 2).await;

    redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    redis.rpush("polled", 1).await;
    assert!(next(&mut polled).await);

    subscribed(&redis, "__keyspace@0__:*", 2).await;
    redis.rpush("waiting", 1).await;
    assert!(next(&mut waiting).await);
}

#[tokio::test]
async fn a_user_without_config_or_channels_is_polled_for() {
    needs_redis!();
    let redis = Redis::builder()
        .acl_user("reader", "s3cret", "~* +llen +type +ping +select")
        .acl_user("silent", "s3cret", "~* resetchannels +@all")
        .start()
        .await;
    redis
        .command(&["CONFIG", "SET", "notify-keyspace-events", "KA"])
        .await;
    let scaler = Scaler::start().await;
    for user in ["reader", "silent"] {
        let jobs = list(&redis, &format!("jobs-{user}"));
        let jobs = with(with(jobs, "username", user), "password", "s3cret");
        let mut states = open(&scaler, jobs).await;
        assert!(!next(&mut states).await);
        redis.rpush(&format!("jobs-{user}"), 1).await;
        assert!(next(&mut states).await);
    }
    assert_eq!(
        figure(&scaler, "backlog_scaler_notifications_total").await,
        0.0
    );
    assert_eq!(
        figure(&scaler, "backlog_scaler_read_errors_total").await,
        0.0
    );
}

#[tokio::test]
async fn the_master_of_sentinels_notifies() {
    needs_redis!();
    let (sentinel, scaler) = (Sentinel::start().await, Scaler::start().await);
    let master = sentinel.master().await;
    master
        .command(&["CONFIG", "SET", "notify-keyspace-events", "KA"])
        .await;
    let jobs = trigger([
        ("backend", "redis-sentinel"),
        ("addresses", &sentinel.addresses().join(",")),
        ("sentinelMaster", Sentinel::MASTER_NAME),
        ("listName", "jobs"),
        ("pushInterval", NEVER),
    ]);
    let mut states = open(&scaler, jobs).await;
    assert!(!next(&mut states).await);
    subscribed(master, "__keyspace@0__:*", 1).await;
    master.rpush("jobs", 1).await;
    assert!(next(&mut states).await);
}
