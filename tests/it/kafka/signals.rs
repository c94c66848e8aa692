//! Age and drain time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use backlog_scaler::keda::proto::ScaledObjectRef;
use tokio::time::sleep;
use tonic::{Code, Status};

use super::{at, lag, needs_kafka, with};
use testkit::{
    kafka::{self, Kafka, PASSWORD},
    scaler::{self, Scaler},
};

fn age(kafka: &Kafka, group: &str, topic: &str) -> ScaledObjectRef {
    let keys = [("signal", "age"), ("targetSeconds", "30")];
    with(lag(kafka, group, topic), keys)
}

fn record(trigger: ScaledObjectRef) -> ScaledObjectRef {
    with(trigger, [("ageFrom", "record")])
}

fn drain_time(kafka: &Kafka, group: &str, topic: &str) -> ScaledObjectRef {
    let keys = [("signal", "drainTime"), ("targetSeconds", "30")];
    with(lag(kafka, group, topic), keys)
}

async fn value(scaler: &Scaler, trigger: &ScaledObjectRef) -> f64 {
    let found = scaler.evaluate(trigger).await;
    found.unwrap_or_else(|error| panic!("{error:?}")).value
}

fn assert_undetermined(result: Result<scaler::Evaluation, Status>, text: &str) {
    let error = result.expect_err("a value that nobody knows");
    assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
    assert!(error.message().contains(text), "{}", error.message());
}

/// ms since 1970, so many seconds ago.
fn seconds_ago(seconds: u64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    (now.as_millis() as i64) - seconds as i64 * 1_000
}

#[tokio::test]
async fn a_stalled_group_grows_old_by_the_clock() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("aging", 2).await;
    kafka.commit("aging", "aging", &[(0, 0), (1, 0)]);
    let work = age(kafka, "aging", "aging");
    let found = scaler.evaluate(&work).await.unwrap();
    assert_eq!((found.value, found.active), (0.0, false), "it is empty");
    assert!(found.metric.starts_with("kafka-aging-age-seconds-"));

    let before = Instant::now();
    value(&scaler, &work).await;
    kafka.produce("aging", 0, 5);
    let young = scaler.evaluate(&work).await.unwrap();
    assert!(young.active);
    let seen = Instant::now();
    sleep(Duration::from_millis(2_500)).await;
    // The messages came between the last read without them and the first with them. A part of them
    // is read: what is left came with them.
    for committed in [0, 3] {
        kafka.commit("aging", "aging", &[(0, committed)]);
        let least = seen.elapsed().as_secs_f64() - 0.01;
        let old = value(&scaler, &work).await;
        assert!(old >= least, "{committed}: {old}, not {least}");
        // What is read more often than once a second is merged.
        let most = before.elapsed().as_secs_f64() + 1.0;
        assert!(old <= most, "{committed}: {old}, not {most}");
    }
    // More come, and the old ones are read.
    let before = Instant::now();
    value(&scaler, &work).await;
    kafka.produce("aging", 0, 5);
    value(&scaler, &work).await;
    kafka.commit("aging", "aging", &[(0, 5)]);
    let new = value(&scaler, &work).await;
    assert!(new <= before.elapsed().as_secs_f64() + 1.0, "{new}");
    // All is read.
    kafka.commit("aging", "aging", &[(0, 10)]);
    let found = scaler.evaluate(&work).await.unwrap();
    assert_eq!((found.value, found.active), (0.0, false));
}

#[tokio::test]
async fn what_came_before_the_first_read_is_known_of_records_alone() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("unseen", 1).await;
    kafka.produce_batch("unseen", 0, &[seconds_ago(3_600); 3], "none");
    kafka.commit("unseen", "unseen", &[(0, 0)]);
    let work = age(kafka, "unseen", "unseen");
    let text = "the group has been behind for at least 0 s";
    assert_undetermined(scaler.evaluate(&work).await, text);
    sleep(Duration::from_millis(1_100)).await;
    let error = scaler.evaluate(&work).await.unwrap_err();
    let text = error.message();
    assert!(
        text.contains("behind for at least") && !text.contains("at least 0 s"),
        "{text}"
    );
    // What else is measured there has its value.
    assert_eq!(value(&scaler, &lag(kafka, "unseen", "unseen")).await, 3.0);
    let exact = value(&scaler, &record(work.clone())).await;
    assert!((3_600.0..3_660.0).contains(&exact), "{exact}");

    kafka.commit("unseen", "unseen", &[(0, 3)]);
    assert_eq!(value(&scaler, &work).await, 0.0);
}

#[tokio::test]
async fn a_partition_without_a_commit_waits_for_nothing_or_from_its_start() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("fresh", 1).await;
    kafka.produce_batch("fresh", 0, &[seconds_ago(600), seconds_ago(300)], "none");
    for latest in [
        age(kafka, "nobody", "fresh"),
        record(age(kafka, "nobody", "fresh")),
    ] {
        // It has to start, so it is active.
        let found = scaler.evaluate(&latest).await.unwrap();
        assert_eq!((found.value, found.active), (0.0, true));
    }
    let earliest = [("offsetResetPolicy", "earliest")];
    let earliest = with(record(age(kafka, "nobody", "fresh")), earliest);
    let exact = value(&scaler, &earliest).await;
    assert!((600.0..660.0).contains(&exact), "{exact}");
}

#[tokio::test]
async fn records_know_their_age_whatever_they_are_compressed_by() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    for codec in ["none", "gzip", "lz4", "zstd"] {
        let topic = format!("codec-{codec}");
        kafka.create_topic(&topic, 1).await;
        let times = [4_000, 3_900, 3_000].map(seconds_ago);
        kafka.produce_batch(&topic, 0, &times, codec);
        let times = [2_000, 1_000].map(seconds_ago);
        kafka.produce_batch(&topic, 0, &times, codec);
        let work = record(age(kafka, &topic, &topic));
        let is_plain = codec == "none";
        for (committed, least, most) in [
            (0, 4_000, 4_000),
            // Within a batch: exact where it is not compressed, else between its times.
            (
                1,
                if is_plain { 3_900 } else { 3_000 },
                if is_plain { 3_900 } else { 4_000 },
            ),
            (3, 2_000, 2_000),
            (5, 0, 0),
        ] {
            kafka.commit(&topic, &topic, &[(0, committed)]);
            let found = value(&scaler, &work).await;
            let slack = if most == 0 { 0.0 } else { 60.0 };
            let range = f64::from(least)..=f64::from(most) + slack;
            assert!(range.contains(&found), "{codec}, {committed}: {found}");
        }
        // What is deleted is not waited for.
        kafka.commit(&topic, &topic, &[(0, 0)]);
        kafka.delete_records(&topic, 0, 3).await;
        let found = value(&scaler, &work).await;
        assert!((2_000.0..2_060.0).contains(&found), "{codec}: {found}");
    }
}

#[tokio::test]
async fn a_batch_that_is_larger_than_what_is_kept_is_read_by_its_beginning() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("large", 1).await;
    // 800 bytes each.
    let times = vec![seconds_ago(500); 1_000];
    kafka.produce_batch("large", 0, &times, "none");
    let work = record(age(kafka, "large", "large"));
    for committed in [0, 5, 999] {
        kafka.commit("large", "large", &[(0, committed)]);
        let found = value(&scaler, &work).await;
        assert!((500.0..560.0).contains(&found), "{committed}: {found}");
    }
}

#[tokio::test]
async fn the_end_of_a_transaction_is_no_record() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("ended", 1).await;
    kafka.commit("ended", "ended", &[(0, 0)]);
    let started = Instant::now();
    kafka.produce_in_transaction("ended", 0, 10).commit();
    while value(&scaler, &lag(kafka, "ended", "ended")).await == 0.0 {
        assert!(started.elapsed() < Duration::from_secs(10));
        sleep(Duration::from_millis(50)).await;
    }
    let work = record(age(kafka, "ended", "ended"));
    let waiting = value(&scaler, &work).await;
    assert!((0.0..60.0).contains(&waiting), "{waiting}");
    // All ten are read, and its end is not: a lag of one, and no message that waits.
    kafka.commit("ended", "ended", &[(0, 10)]);
    sleep(Duration::from_millis(1_100)).await;
    assert_eq!(value(&scaler, &lag(kafka, "ended", "ended")).await, 1.0);
    assert_eq!(value(&scaler, &work).await, 0.0);
    // A message behind it is found.
    kafka.produce_batch("ended", 0, &[seconds_ago(700)], "none");
    let found = value(&scaler, &work).await;
    assert!((700.0..760.0).contains(&found), "{found}");
}

#[tokio::test]
async fn records_need_the_right_to_read() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("described", 1).await;
    kafka.produce("described", 0, 3);
    kafka.commit("described", "described", &[(0, 1)]);
    let rights = ["--topic", "described", "--group", "described"];
    let describe = [&["--operation", "Describe"][..], &rights].concat();
    kafka.grant("alice", &describe).await;
    let login = [
        ("sasl", "scram_sha512"),
        ("username", "alice"),
        ("password", PASSWORD),
    ];
    let plain = with(at(&kafka.sasl(), "described", "described"), login);
    assert_eq!(value(&scaler, &plain).await, 2.0);
    let keys = [("signal", "age"), ("targetSeconds", "30")];
    let observed = with(plain, keys);
    assert_undetermined(scaler.evaluate(&observed).await, "behind for at least");
    let exact = record(observed);
    let error = scaler.evaluate(&exact).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
    let text = "the user lacks permission to READ topic described";
    assert!(error.message().contains(text), "{}", error.message());

    kafka
        .grant("alice", &["--operation", "Read", "--topic", "described"])
        .await;
    assert!(value(&scaler, &exact).await < 60.0);
}

#[tokio::test]
async fn too_many_partitions_with_lag_are_an_error_of_records() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("wide", 201).await;
    let work = with(
        record(age(kafka, "nobody", "wide")),
        [("offsetResetPolicy", "earliest")],
    );
    // Until the broker leads all of them.
    let started = Instant::now();
    while scaler.evaluate(&work).await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(30));
    }
    assert_eq!(value(&scaler, &work).await, 0.0);
    kafka.produce_to_each("wide", 201);
    let error = scaler.evaluate(&work).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
    let text = "201 partitions have lag";
    assert!(error.message().contains(text), "{}", error.message());
    let most = with(work, [("partitionLimitation", "0-199")]);
    assert!(value(&scaler, &most).await < 60.0);
}

#[tokio::test]
async fn the_drain_time_follows_a_steady_rate() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("drained", 1).await;
    kafka.produce("drained", 0, 1_000);
    kafka.commit("drained", "drained", &[(0, 0)]);
    kafka.commit("asleep", "drained", &[(0, 0)]);
    let work = drain_time(kafka, "drained", "drained");
    let asleep = drain_time(kafka, "asleep", "drained");
    let text = "the lag is 1000, and the group has been seen for 0 s, which is too short";
    assert_undetermined(scaler.evaluate(&work).await, text);
    assert_undetermined(scaler.evaluate(&asleep).await, "too short for a rate");

    let (started, mut committed) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(12) {
        sleep(Duration::from_millis(900)).await;
        // Forty a second, by the clock.
        committed = (started.elapsed().as_secs_f64() * 40.0) as i64;
        kafka.commit("drained", "drained", &[(0, committed)]);
        // Too early, or not.
        let _ = scaler.evaluate(&work).await;
    }
    let expected = (1_000 - committed) as f64 / 40.0;
    let found = scaler.evaluate(&work).await.unwrap();
    assert!(
        (expected * 0.7..expected * 1.4).contains(&found.value),
        "{found:?}, not {expected}"
    );
    assert!(found.active);
    let text = "the lag is 1000, and the group has committed nothing in the last";
    assert_undetermined(scaler.evaluate(&asleep).await, text);
    // Nothing waits: no rate is needed.
    kafka.commit("asleep", "drained", &[(0, 1_000)]);
    assert_eq!(value(&scaler, &asleep).await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_seen_outlives_a_lost_connection() {
    needs_kafka!();
    let scaler = Scaler::start().await;
    let kafka: &'static Kafka = Box::leak(Box::new(Kafka::start(1).await));
    kafka.create_topic("outlived", 1).await;
    kafka.commit("outlived", "outlived", &[(0, 0)]);
    let (work, drained) = (
        age(kafka, "outlived", "outlived"),
        drain_time(kafka, "outlived", "outlived"),
    );
    assert_eq!(value(&scaler, &work).await, 0.0);
    kafka.produce("outlived", 0, 100);
    value(&scaler, &work).await;
    assert_undetermined(scaler.evaluate(&drained).await, "too short for a rate");
    let seen = Instant::now();

    kafka.kill(1);
    scaler.evaluate(&work).await.unwrap_err();
    kafka.restart(1).await;
    while seen.elapsed() < Duration::from_secs(11) {
        sleep(Duration::from_millis(100)).await;
    }
    kafka.commit("outlived", "outlived", &[(0, 50)]);
    let found = loop {
        match scaler.evaluate(&work).await {
            Ok(found) => break found.value,
            // A new connection would know that the group has been behind, and no more.
            Err(error) => assert!(!error.message().contains("at least"), "{error:?}"),
        }
        assert!(seen.elapsed() < Duration::from_secs(60));
        sleep(Duration::from_millis(200)).await;
    };
    assert!(found >= 11.0, "{found}");
    let elapsed = seen.elapsed().as_secs_f64();
    let drain = value(&scaler, &drained).await;
    // Half of it took as long as the other half will.
    assert!((10.0..elapsed + 10.0).contains(&drain), "{drain}");
    kafka.kill(1);
}
