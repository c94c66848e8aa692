//! Many calls at once on one connection, as KEDA has only one.

use futures_util::future::join_all;

use testkit::scaler::{Scaler, trigger};

#[tokio::test]
async fn a_burst_of_calls_on_one_connection_is_answered() {
    let scaler = Scaler::start().await;
    let client = scaler.client().await;
    let work = trigger([
        ("backend", "redis"),
        ("address", "127.0.0.1:1"),
        ("listName", "jobs"),
    ]);
    let calls = (0..2_000).map(|_| {
        let (mut client, work) = (client.clone(), work.clone());
        async move { client.get_metric_spec(work).await }
    });
    for response in join_all(calls).await {
        response.unwrap();
    }
}

#[tokio::test]
async fn many_push_triggers_share_one_connection() {
    let scaler = Scaler::start().await;
    let client = scaler.client().await;
    let mut streams = Vec::new();
    for i in 0..1000 {
        let work = trigger([
            ("backend", "redis"),
            ("address", "127.0.0.1:1"),
            ("listName", &format!("jobs-{i}")),
        ]);
        let mut client = client.clone();
        let states = client.stream_is_active(work.clone()).await.unwrap();
        let specs = client.stream_metric_spec(work).await.unwrap();
        streams.push((states, specs));
    }
    // With 2,000 streams open, a call still gets through.
    let work = trigger([
        ("backend", "redis"),
        ("address", "127.0.0.1:1"),
        ("listName", "jobs"),
    ]);
    assert!(client.clone().get_metric_spec(work).await.is_ok());
}
