//! Brokers that die and come back, and coordinators that move.

use std::time::{Duration, Instant};

use tonic::Code;

use super::{lag, needs_kafka, with};
use testkit::{kafka, scaler::Scaler};

/// Kafka moves the leaders of a dead broker after `broker.session.timeout.ms`, 3 s here.
const FAILOVER: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_of_three_that_dies_and_returns_is_never_another_number() {
    needs_kafka!();
    let ((kafka, _turn), scaler) = (kafka::three().await, Scaler::start().await);
    kafka.create_topic("failover", 6).await;
    for partition in 0..6 {
        kafka.produce("failover", partition, 5);
    }
    let all: Vec<_> = (0..6).map(|partition| (partition, 1)).collect();
    kafka.commit("failover", "failover", &all);
    let work = lag(kafka, "failover", "failover");
    assert_eq!(scaler.evaluate(&work).await.unwrap().value, 24.0);

    let victim = kafka.leader("failover", 0);
    kafka.kill(victim);
    settles(&scaler, &work, 24.0).await;
    kafka.restart(victim).await;
    settles(&scaler, &work, 24.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_moves_is_found() {
    needs_kafka!();
    let ((kafka, _turn), scaler) = (kafka::three().await, Scaler::start().await);
    kafka.create_topic("coordinated", 3).await;
    kafka.produce("coordinated", 0, 5);
    // Groups of every coordinator.
    let groups: Vec<String> = (0..6).map(|i| format!("coordinated-{i}")).collect();
    for group in &groups {
        kafka.commit(group, "coordinated", &[(0, 1), (1, 0), (2, 0)]);
    }
    let value = async |group: &str| {
        scaler
            .evaluate(&lag(kafka, group, "coordinated"))
            .await
            .map(|found| found.value)
    };
    for group in &groups {
        assert_eq!(value(group).await.unwrap(), 4.0);
    }
    let victim = kafka.coordinator(&groups[0]);
    kafka.kill(victim);
    for group in &groups {
        settles(&scaler, &lag(kafka, group, "coordinated"), 4.0).await;
    }
    assert_ne!(kafka.coordinator(&groups[0]), victim);
    // It moves back while everybody is up: that is NOT_COORDINATOR, the stale one still responds.
    kafka.restart(victim).await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        for group in &groups {
            settles(&scaler, &lag(kafka, group, "coordinated"), 4.0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_without_a_leader_is_an_error_that_names_it() {
    needs_kafka!();
    let ((kafka, _turn), scaler) = (kafka::three().await, Scaler::start().await);
    // Not the coordinator, so that nothing else is missing.
    let victim = kafka.coordinator("leaderless") % 3 + 1;
    kafka.create_topic_on("leaderless", victim).await;
    kafka.produce("leaderless", 0, 5);
    kafka.commit("leaderless", "leaderless", &[(0, 1)]);
    let work = lag(kafka, "leaderless", "leaderless");
    assert_eq!(scaler.evaluate(&work).await.unwrap().value, 4.0);

    kafka.kill(victim);
    let started = Instant::now();
    loop {
        let error = scaler
            .evaluate(&work)
            .await
            .expect_err("nobody knows the lag");
        let text = error.message();
        if text.contains("partition 0 of topic leaderless has no leader") {
            assert_eq!(error.code(), Code::Unavailable, "{error:?}");
            break;
        }
        // Until the others know that it is gone.
        assert!(started.elapsed() < FAILOVER, "still {error:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    kafka.restart(victim).await;
    settles(&scaler, &work, 4.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_freezes_holds_nobody_up() {
    needs_kafka!();
    let scaler = Scaler::start().await;
    let kafka: &'static kafka::Kafka = Box::leak(Box::new(kafka::Kafka::start(1).await));
    kafka.create_topic("frozen", 1).await;
    kafka.produce("frozen", 0, 5);
    kafka.commit("frozen", "frozen", &[(0, 1)]);
    let strict = lag(kafka, "frozen", "frozen");
    let patient = with(strict.clone(), [("maxStaleness", "60s")]);
    assert_eq!(scaler.evaluate(&patient).await.unwrap().value, 4.0);

    kafka.signal(1, "STOP");
    let found = scaler.evaluate(&patient).await.unwrap();
    assert_eq!((found.value, found.stale.is_some()), (4.0, true));
    let error = scaler.evaluate(&strict).await.unwrap_err();
    assert!(
        matches!(error.code(), Code::Unavailable | Code::DeadlineExceeded),
        "{error:?}"
    );
    kafka.signal(1, "CONT");
    settles(&scaler, &strict, 4.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_took_the_dead_broker_for_the_controller_finds_another() {
    needs_kafka!();
    let (kafka, _turn) = kafka::three().await;
    kafka.create_topic("controlled", 3).await;
    kafka.produce("controlled", 0, 5);
    kafka.commit("controlled", "controlled", &[(0, 1), (1, 0), (2, 0)]);
    let work = lag(kafka, "controlled", "controlled");
    // Brokers name any of themselves as the controller: of twelve connections some will have
    // seen this one.
    let mut scalers = Vec::new();
    for _ in 0..12 {
        let scaler = Scaler::start().await;
        assert_eq!(scaler.evaluate(&work).await.unwrap().value, 4.0);
        scalers.push(scaler);
    }
    let victim = kafka.coordinator("controlled") % 3 + 1;
    kafka.kill(victim);
    // What is remembered of topics is over, so that they are requested again.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let started = Instant::now();
    let all = scalers.iter().map(|scaler| settles(scaler, &work, 4.0));
    let all = tokio::time::timeout(Duration::from_secs(20), futures_util::future::join_all(all));
    let settled = all.await.is_ok();
    kafka.restart(victim).await;
    assert!(settled, "not all after {:?}", started.elapsed());
}

/// Evaluates until the value has been right for a while. In between there may be errors that say what
/// is wrong, but no other value.
async fn settles(
    scaler: &Scaler,
    trigger: &backlog_scaler::keda::proto::ScaledObjectRef,
    value: f64,
) {
    let started = Instant::now();
    let mut right = 0;
    while right < 3 {
        match scaler.evaluate(trigger).await {
            Ok(found) => {
                assert_eq!(found.value, value);
                right += 1;
            }
            Err(error) => {
                right = 0;
                assert_ne!(error.code(), Code::Internal, "{error:?}");
                assert!(started.elapsed() < FAILOVER, "still {error:?}");
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_every_broker_answers_with_the_last_good_sample_and_says_so() {
    needs_kafka!();
    let scaler = Scaler::start().await;
    let kafka: &'static kafka::Kafka = Box::leak(Box::new(kafka::Kafka::start(1).await));
    kafka.create_topic("outage", 1).await;
    kafka.produce("outage", 0, 5);
    kafka.commit("outage", "outage", &[(0, 1)]);
    let strict = lag(kafka, "outage", "outage");
    let patient = with(strict.clone(), [("maxStaleness", "60s")]);
    assert_eq!(scaler.evaluate(&patient).await.unwrap().value, 4.0);

    kafka.kill(1);
    let found = scaler.evaluate(&patient).await.unwrap();
    assert_eq!(found.value, 4.0);
    assert!(found.stale.is_some());
    let error = scaler.evaluate(&strict).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    assert!(error.message().contains("refused"), "{}", error.message());

    kafka.restart(1).await;
    settles(&scaler, &strict, 4.0).await;
}
