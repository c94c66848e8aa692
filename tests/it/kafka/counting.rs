//! What counts as lag.

use std::time::{Duration, Instant};

use super::{lag, needs_kafka, with};
use testkit::{kafka, scaler::Scaler};

#[tokio::test]
async fn lag_is_summed_over_the_partitions_of_a_topic() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("summed", 3).await;
    for partition in 0..3 {
        kafka.produce("summed", partition, 5);
    }
    kafka.commit("summed", "summed", &[(0, 5), (1, 3), (2, 0)]);

    let found = scaler
        .evaluate(&lag(kafka, "summed", "summed"))
        .await
        .unwrap();

    assert_eq!((found.value, found.active, found.target), (7.0, true, 10.0));
    assert!(
        found.metric.starts_with("kafka-summed-"),
        "{}",
        found.metric
    );
}

#[tokio::test]
async fn a_hundred_partitions_are_capped_at_their_number() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("hundred", 100).await;
    kafka.produce("hundred", 42, 250);
    let all: Vec<_> = (0..100).map(|partition| (partition, 0)).collect();
    kafka.commit("hundred", "hundred", &all);
    let plain = with(lag(kafka, "hundred", "hundred"), [("lagThreshold", "2")]);

    let value = async |keys: &[(&str, &str)]| {
        let trigger = keys
            .iter()
            .fold(plain.clone(), |t, (k, v)| with(t, [(k, v)]));
        scaler.evaluate(&trigger).await.unwrap().value
    };
    assert_eq!(value(&[]).await, 200.0);
    assert_eq!(value(&[("allowIdleConsumers", "true")]).await, 250.0);
    assert_eq!(value(&[("limitToPartitionsWithLag", "true")]).await, 2.0);
    assert_eq!(value(&[("partitionLimitation", "40-49")]).await, 20.0);
    assert_eq!(value(&[("partitionLimitation", "0-41")]).await, 0.0);
    let even = [
        ("ensureEvenDistributionOfPartitions", "true"),
        ("lagThreshold", "8"),
    ];
    assert_eq!(
        value(&even).await,
        50.0 * 8.0,
        "32 replicas do not divide 100 partitions"
    );
}

#[tokio::test]
async fn a_group_that_has_committed_nothing_follows_the_policy() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("uncommitted", 3).await;
    kafka.produce("uncommitted", 0, 9);
    let latest = lag(kafka, "nobody", "uncommitted");
    let earliest = with(latest.clone(), [("offsetResetPolicy", "earliest")]);

    for (trigger, value) in [(&latest, 3.0), (&earliest, 9.0)] {
        assert_eq!(scaler.evaluate(trigger).await.unwrap().value, value);
        let zero = with(trigger.clone(), [("scaleToZeroOnInvalidOffset", "true")]);
        let found = scaler.evaluate(&zero).await.unwrap();
        assert_eq!((found.value, found.active), (0.0, false));
    }

    // Once some are committed, the others still follow it.
    kafka.commit("somebody", "uncommitted", &[(0, 4)]);
    let some = lag(kafka, "somebody", "uncommitted");
    assert_eq!(scaler.evaluate(&some).await.unwrap().value, 5.0 + 2.0);
}

#[tokio::test]
async fn what_retention_deleted_is_no_lag() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("retained", 1).await;
    kafka.produce("retained", 0, 20);
    kafka.commit("retained", "retained", &[(0, 3)]);
    let work = with(
        lag(kafka, "retained", "retained"),
        [("lagThreshold", "100")],
    );
    assert_eq!(scaler.evaluate(&work).await.unwrap().value, 17.0);

    kafka.delete_records("retained", 0, 15).await;
    assert_eq!(scaler.evaluate(&work).await.unwrap().value, 5.0);
    let nobody = with(
        work.clone(),
        [
            ("consumerGroup", "nobody"),
            ("offsetResetPolicy", "earliest"),
        ],
    );
    assert_eq!(scaler.evaluate(&nobody).await.unwrap().value, 5.0);

    kafka.delete_records("retained", 0, 20).await;
    let found = scaler.evaluate(&work).await.unwrap();
    assert_eq!((found.value, found.active), (0.0, false));
}

#[tokio::test]
async fn what_is_too_old_is_no_lag_when_the_broker_has_deleted_it() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    let retention = Duration::from_secs(2);
    kafka.create_topic_for("expiring", retention).await;
    let started = Instant::now();
    kafka.produce("expiring", 0, 10);
    kafka.commit("expiring", "expiring", &[(0, 3)]);
    let work = lag(kafka, "expiring", "expiring");
    loop {
        let value = scaler.evaluate(&work).await.unwrap().value;
        if value == 0.0 {
            break;
        }
        // All of it goes at once.
        assert_eq!(value, 7.0);
        assert!(started.elapsed() < Duration::from_secs(60), "still there");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(started.elapsed() >= retention, "gone before its time");
    // The group has committed 3 of 10, and the log begins at 10.
    let nobody = with(
        work,
        [
            ("consumerGroup", "nobody"),
            ("offsetResetPolicy", "earliest"),
        ],
    );
    assert_eq!(scaler.evaluate(&nobody).await.unwrap().value, 0.0);
}

#[tokio::test]
async fn open_transactions_are_no_lag_and_finished_ones_leave_a_record() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("transacted", 1).await;
    kafka.commit("transacted", "transacted", &[(0, 0)]);
    let committed = with(
        lag(kafka, "transacted", "transacted"),
        [("allowIdleConsumers", "true")],
    );
    let all = with(committed.clone(), [("isolationLevel", "read_uncommitted")]);

    let open = kafka.produce_in_transaction("transacted", 0, 10);
    assert_eq!(scaler.evaluate(&committed).await.unwrap().value, 0.0);
    assert_eq!(scaler.evaluate(&all).await.unwrap().value, 10.0);

    open.commit();
    // The control record counts as an offset; the markers are written a moment after the commit.
    let started = std::time::Instant::now();
    while scaler.evaluate(&committed).await.unwrap().value != 11.0 {
        assert!(started.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    kafka.commit("transacted", "transacted", &[(0, 10)]);
    assert_eq!(scaler.evaluate(&committed).await.unwrap().value, 1.0);
    let tolerant = with(committed, [("lagTolerance", "1")]);
    let found = scaler.evaluate(&tolerant).await.unwrap();
    assert_eq!((found.value, found.active), (0.0, false));
}

#[tokio::test]
async fn offsets_in_an_open_transaction_are_not_committed_yet() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("atomic", 1).await;
    kafka.produce("atomic", 0, 9);
    kafka.commit("atomic", "atomic", &[(0, 2)]);
    let work = lag(kafka, "atomic", "atomic");
    assert_eq!(scaler.evaluate(&work).await.unwrap().value, 7.0);

    let open = kafka.commit_in_transaction("atomic", "atomic", 5);
    for _ in 0..3 {
        let found = scaler.evaluate(&work).await.unwrap();
        assert_eq!((found.value, found.stale), (7.0, None));
    }
    open.commit();
    let started = Instant::now();
    while scaler.evaluate(&work).await.unwrap().value != 4.0 {
        assert!(started.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn stuck_partitions_keep_the_trigger_active_and_leave_the_value() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("stuck", 2).await;
    kafka.produce("stuck", 0, 6);
    kafka.produce("stuck", 1, 5);
    kafka.commit("stuck", "stuck", &[(0, 1), (1, 1)]);
    let keys = [
        ("excludePersistentLag", "true"),
        ("persistentLagAfter", "1500ms"),
    ];
    let work = with(lag(kafka, "stuck", "stuck"), keys);

    // KEDA calls several times for one evaluation: a call is no interval of time.
    for _ in 0..3 {
        assert_eq!(scaler.evaluate(&work).await.unwrap().value, 9.0);
    }
    tokio::time::sleep(Duration::from_millis(1600)).await;
    kafka.commit("stuck", "stuck", &[(1, 2)]);
    let found = scaler.evaluate(&work).await.unwrap();
    assert_eq!(
        (found.value, found.active),
        (3.0, true),
        "partition 0 did not move"
    );
    kafka.commit("stuck", "stuck", &[(1, 5)]);
    let found = scaler.evaluate(&work).await.unwrap();
    assert_eq!((found.value, found.active), (0.0, true));
    kafka.commit("stuck", "stuck", &[(0, 2)]);
    assert_eq!(scaler.evaluate(&work).await.unwrap().value, 4.0);
}

#[tokio::test]
async fn a_commit_beyond_the_end_hides_no_other_lag() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("beyond", 2).await;
    kafka.produce("beyond", 0, 3);
    kafka.commit("beyond", "beyond", &[(0, 0), (1, 100)]);
    let found = scaler
        .evaluate(&lag(kafka, "beyond", "beyond"))
        .await
        .unwrap();
    assert_eq!(found.value, 3.0);
}
