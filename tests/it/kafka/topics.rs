//! Which topics count, and topics that come, go and grow.

use std::time::{Duration, Instant};

use tonic::Code;

use super::{lag, needs_kafka, with, without};
use testkit::{kafka, scaler::Scaler};

#[tokio::test]
async fn without_a_topic_all_topics_of_the_group_count() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    for topic in ["every-a", "every-b", "every-c"] {
        kafka.create_topic(topic, 1).await;
        kafka.produce(topic, 0, 5);
    }
    kafka.commit("every", "every-a", &[(0, 1)]);
    kafka.commit("every", "every-b", &[(0, 2)]);
    let all = without(lag(kafka, "every", ""), "topic");

    let found = scaler.evaluate(&all).await.unwrap();
    assert_eq!(found.value, 4.0 + 3.0);
    assert!(
        found.metric.starts_with("kafka-every-topics-"),
        "{}",
        found.metric
    );

    let nobody = with(all, [("consumerGroup", "every-nobody")]);
    let found = scaler.evaluate(&nobody).await.unwrap();
    assert_eq!((found.value, found.active), (0.0, false));
}

#[tokio::test]
async fn names_ranges_and_regexes_are_summed_and_what_is_named_twice_counts_once() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    for topic in ["many-0", "many-1", "many-x"] {
        kafka.create_topic(topic, 1).await;
        kafka.produce(topic, 0, 2);
        kafka.commit("many", topic, &[(0, 0)]);
    }
    let topics = |topics: &str| {
        with(
            without(lag(kafka, "many", ""), "topic"),
            [("topics", topics)],
        )
    };
    for (text, value) in [
        ("many-0, many-1", 4.0),
        ("many-{0..1}", 4.0),
        ("^many-", 6.0),
        ("^many-[0-9]$, many-0", 4.0),
    ] {
        assert_eq!(
            scaler.evaluate(&topics(text)).await.unwrap().value,
            value,
            "{text}"
        );
    }
    let list = with(
        lag(kafka, "many", "many-0,many-x"),
        [("backend", "apache-kafka")],
    );
    assert_eq!(scaler.evaluate(&list).await.unwrap().value, 4.0);

    let error = scaler
        .evaluate(&topics("many-0,^nothing-.*"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(
        error.message().contains("no topic matches ^nothing-.*"),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn a_missing_topic_or_partition_is_named_and_spares_the_others() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("present", 3).await;
    kafka.commit("present", "present", &[(0, 0), (1, 0), (2, 0)]);
    kafka.produce("present", 0, 4);
    let missing = lag(kafka, "present", "absent");
    let partition = with(
        lag(kafka, "present", "present"),
        [("partitionLimitation", "0,7")],
    );
    let present = lag(kafka, "present", "present");
    let (missing, partition, present) = tokio::join!(
        scaler.evaluate(&missing),
        scaler.evaluate(&partition),
        scaler.evaluate(&present)
    );
    let error = missing.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(
        error.message().contains("topic absent does not exist"),
        "{}",
        error.message()
    );
    let error = partition.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let text = "topic present has 3 partitions, and no partition 7";
    assert!(error.message().contains(text), "{}", error.message());
    assert_eq!(present.unwrap().value, 4.0);
}

#[tokio::test]
async fn a_topic_that_is_deleted_and_made_again_is_an_error_in_between_and_never_an_old_number() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("phoenix", 3).await;
    kafka.produce("phoenix", 0, 8);
    kafka.commit("phoenix", "phoenix", &[(0, 0), (1, 0), (2, 0)]);
    let work = lag(kafka, "phoenix", "phoenix");
    assert_eq!(scaler.evaluate(&work).await.unwrap().value, 8.0);

    kafka.delete_topic("phoenix").await;
    let error = scaler.evaluate(&work).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error:?}");
    assert!(error.message().contains("phoenix"), "{}", error.message());

    kafka.create_topic("phoenix", 1).await;
    kafka.produce("phoenix", 0, 2);
    kafka.commit("phoenix", "phoenix", &[(0, 0)]);
    eventually(&scaler, &work, 2.0, Duration::from_secs(15)).await;
}

#[tokio::test]
async fn partitions_that_are_added_count_within_seconds() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("growing", 1).await;
    kafka.produce("growing", 0, 3);
    kafka.commit("growing", "growing", &[(0, 0)]);
    let work = with(
        lag(kafka, "growing", "growing"),
        [("offsetResetPolicy", "earliest")],
    );
    assert_eq!(scaler.evaluate(&work).await.unwrap().value, 3.0);

    kafka.add_partitions("growing", 4).await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) && !written(kafka, "growing", 3) {}
    eventually(&scaler, &work, 3.0 + 2.0, Duration::from_secs(15)).await;
}

fn written(kafka: &kafka::Kafka, topic: &str, partition: i32) -> bool {
    let led = kafka.leader(topic, partition) > 0;
    kafka.produce(topic, partition, 2);
    led
}

/// Evaluates until the value is right. In between there may be errors, but no other value than one of
/// before.
async fn eventually(
    scaler: &Scaler,
    trigger: &backlog_scaler::keda::proto::ScaledObjectRef,
    value: f64,
    limit: Duration,
) {
    let started = Instant::now();
    loop {
        let last = scaler.evaluate(trigger).await;
        if last.as_ref().is_ok_and(|found| found.value == value) {
            return;
        }
        assert!(started.elapsed() < limit, "still {last:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
