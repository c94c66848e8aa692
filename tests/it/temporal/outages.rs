//! Servers that die, come back, hang, complain, or are something else.

use std::time::Duration;

use tokio::{net::TcpListener, time::Instant};
use tonic::Code;

use super::{eventually, needs_temporal, queue, queues};
use testkit::{
    scaler::{Evaluation, Scaler, trigger, with},
    temporal::Temporal,
};

#[tokio::test]
async fn a_killed_server_is_never_a_zero_and_comes_back_by_itself() {
    needs_temporal!();
    let (temporal, scaler) = (
        Temporal::builder().on_disk().start().await,
        Scaler::start().await,
    );
    temporal.start_workflows("jobs", 7).await;
    let patient = queue(&temporal, "jobs", []);
    let strict = with(patient.clone(), "maxStaleness", "0");
    eventually(&scaler, &patient, |e| e.value == 7.0).await;

    temporal.kill();
    let started = Instant::now();
    let found = scaler.evaluate(&patient).await.unwrap();
    assert_eq!(found.value, 7.0);
    assert!(found.stale.is_some());
    let error = scaler.evaluate(&strict).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.message().contains("refused"), "{error}");
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );

    temporal.restart().await;
    eventually(&scaler, &strict, |e| e.value == 7.0).await;
}

#[tokio::test]
async fn a_server_that_hangs_is_answered_for_in_time() {
    needs_temporal!();
    let (temporal, scaler) = (Temporal::builder().start().await, Scaler::start().await);
    temporal.start_workflows("jobs", 7).await;
    let work = queue(&temporal, "jobs", []);
    let patient = with(work.clone(), "staleWhileRevalidate", "0");
    eventually(&scaler, &work, |e| e.value == 7.0).await;

    temporal.signal("STOP");
    let started = Instant::now();
    // The older sample serves while a newer one is read. It is stale once that has failed.
    let at_once = scaler.evaluate(&work).await.unwrap();
    let waited = scaler.evaluate(&patient).await.unwrap();
    let since_failed = scaler.evaluate(&work).await.unwrap();
    let elapsed = started.elapsed();
    temporal.signal("CONT");

    let found = |evaluation: &Evaluation| (evaluation.value, evaluation.stale.clone());
    assert_eq!(found(&at_once), (7.0, None));
    let late = (7.0, Some("timed_out".to_owned()));
    assert_eq!((found(&waited), found(&since_failed)), (late.clone(), late));
    // GetMetrics waits, and IsActive once more at most.
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
    let strict = with(work, "maxStaleness", "0");
    eventually(&scaler, &strict, |e| e.stale.is_none()).await;
}

#[tokio::test]
async fn a_low_rate_limit_slows_down_and_fails_nothing() {
    needs_temporal!();
    let builder = Temporal::builder()
        .dynamic("frontend.namespaceRPS", "15")
        .dynamic("frontend.namespaceBurstRatio", "1");
    let (temporal, scaler) = (builder.start().await, Scaler::start().await);
    let all = queues(&temporal, "shard-{0..59}");
    let found = scaler.evaluate(&all).await.unwrap();
    assert_eq!((found.value, found.stale), (0.0, None));
}

#[tokio::test]
async fn a_budget_that_cannot_read_a_sum_in_time_says_so() {
    needs_temporal!();
    let (temporal, scaler) = (super::shared().await, Scaler::start().await);
    let all = with(queues(temporal, "shard-{0..99}"), "requestsPerSecond", "2");
    let started = Instant::now();
    let error = scaler.evaluate(&all).await.unwrap_err();
    assert!(
        started.elapsed() < Duration::from_secs(22),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
}

#[tokio::test]
async fn something_that_is_not_temporal_is_recognised() {
    let scaler = Scaler::start().await;
    let other = Scaler::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let response = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, response).await;
            held.push(stream);
        }
    });
    let at = |endpoint: &str| {
        trigger([
            ("backend", "temporal"),
            ("endpoint", endpoint),
            ("taskQueue", "q"),
        ])
    };
    for (endpoint, code, reason) in [
        // Another gRPC server, and one that speaks HTTP/1.1.
        (
            other.address.as_str(),
            Code::FailedPrecondition,
            "Check that a Temporal frontend listens",
        ),
        (
            http.as_str(),
            Code::Unavailable,
            "Check that a Temporal frontend listens",
        ),
        (
            "127.0.0.1:1",
            Code::Unavailable,
            "Check that the server runs",
        ),
        (
            "temporal.invalid:7233",
            Code::Unavailable,
            "Check that the server runs",
        ),
    ] {
        let error = scaler.evaluate(&at(endpoint)).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(reason), "{error}");
        assert!(error.message().contains(endpoint), "{error}");
    }
}

#[tokio::test]
async fn something_that_accepts_and_never_answers_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let scaler = Scaler::start().await;
    let silent = trigger([
        ("backend", "temporal"),
        ("endpoint", &address),
        ("taskQueue", "q"),
        ("minConnectTimeout", "1"),
    ]);
    let started = Instant::now();
    let error = scaler.evaluate(&silent).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    assert!(error.message().contains("minConnectTimeout"), "{error}");
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}
