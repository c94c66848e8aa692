//! What users get wrong: each gets a clear error.

use backlog_scaler::keda::proto::{GetMetricsRequest, ScaledObjectRef};
use tonic::Code;

use testkit::scaler::{Scaler, trigger, with};

/// A trigger that is right, but for what a test changes. Nothing listens at its address.
fn right() -> ScaledObjectRef {
    trigger([
        ("backend", "redis"),
        ("address", "127.0.0.1:1"),
        ("listName", "jobs"),
    ])
}

fn without(mut trigger: ScaledObjectRef, key: &str) -> ScaledObjectRef {
    trigger.scaler_metadata.remove(key);
    trigger
}

#[tokio::test]
async fn bad_metadata_is_answered_with_key_value_and_what_is_allowed() {
    let scaler = Scaler::start().await;
    let mut client = scaler.client().await;
    let cluster = with(without(right(), "address"), "backend", "redis-cluster");
    let cases = [
        (
            without(right(), "backend"),
            "backend: is required; known are redis, redis-cluster, redis-sentinel",
        ),
        (
            with(right(), "backend", "no-such-system"),
            "backend: `no-such-system` is not known; known are redis,",
        ),
        (
            with(right(), "backend", "redis-stream"),
            "did you mean `redis-streams`?",
        ),
        (
            with(right(), "listLenght", "5"),
            "listLenght: unknown key; did you mean `listLength`?",
        ),
        (
            with(right(), "listLength", "ten"),
            "listLength: `ten` must be a whole number from 1",
        ),
        (
            with(right(), "listLength", "0"),
            "listLength: `0` must be a whole number from 1",
        ),
        (
            with(right(), "listLength", "-1"),
            "listLength: `-1` must be a whole number from 1",
        ),
        (
            with(right(), "listLength", "5x"),
            "listLength: `5x` must be a whole number from 1",
        ),
        (
            with(right(), "activationListLength", "-1"),
            "activationListLength: `-1` must be a whole number from 0",
        ),
        (
            with(right(), "host", "127.0.0.1"),
            "host: is mutually exclusive with `address`",
        ),
        (
            with(with(cluster.clone(), "hosts", "a,b,c"), "ports", "1,2"),
            "ports: has 2 entries and `hosts` has 3; they must agree",
        ),
        (
            with(cluster, "hosts", "a"),
            "port: is required with `hosts`",
        ),
        (
            without(right(), "address"),
            "address: is required, or `host` and `port`",
        ),
        (
            with(right(), "address", "redis"),
            "address: `redis` must be host:port",
        ),
        (
            with(right(), "address", "redis://u:pw@h:1"),
            "address: `h:1` has a scheme",
        ),
        (with(right(), "address", "a:1,b:2"), "must be host:port"),
        (
            with(right(), "listNameFromEnv", "x"),
            "listNameFromEnv: is mutually exclusive with `listName`",
        ),
        (
            with(right(), "lists", "a,b"),
            "lists: is mutually exclusive with `listName`",
        ),
        (
            without(right(), "listName"),
            "listName: is required, or `lists`, or `layout`",
        ),
        (
            with(right(), "listName", ""),
            "listName: is required, or `lists`, or `layout`",
        ),
        (
            with(without(right(), "listName"), "lists", "jobs-{5..1}"),
            "lists: `jobs-{5..1}` has the range {5..1}, which is reversed",
        ),
        (
            with(without(right(), "listName"), "lists", "a,,b"),
            "lists: `a,,b` has an empty entry; it must be a comma-separated list",
        ),
        (
            with(right(), "databaseIndex", "-1"),
            "databaseIndex: `-1` must be a whole number from 0",
        ),
        (
            with(right(), "sentinelMaster", "m"),
            "sentinelMaster: unknown key",
        ),
        (with(right(), "stream", "s"), "stream: unknown key"),
        (
            with(right(), "tls", "yes"),
            "tls: `yes` must be enable or disable",
        ),
        (
            with(right(), "freshFor", "5"),
            "freshFor: `5` must be a time with its unit",
        ),
        (
            with(
                trigger([
                    ("backend", "temporal"),
                    ("endpoint", "127.0.0.1:1"),
                    ("taskQueue", "jobs"),
                ]),
                "pushInterval",
                "20ms",
            ),
            "pushInterval: `20ms` is shorter than this server allows for temporal; at least 1s is",
        ),
        (
            with(right(), "pushInterval", "5ms"),
            "pushInterval: `5ms` must be a time with its unit from 10ms",
        ),
        (
            with(right(), "activityHold", "60"),
            "activityHold: `60` must be a time with its unit",
        ),
        (
            with(right(), "scaleDownBelow", "0"),
            "scaleDownBelow: `0` must be a number above 0",
        ),
        (
            with(with(right(), "listLength", "50"), "scaleDownBelow", "50"),
            "scaleDownBelow: `50` must be below the target, which is 50",
        ),
        (
            with(right(), "scaleDownBellow", "2"),
            "scaleDownBellow: unknown key; did you mean `scaleDownBelow`?",
        ),
        (
            with(right(), "onOutage", "zero"),
            "onOutage: `zero` must be error, hold or value:N",
        ),
        (
            with(right(), "onOutage", "value:-1"),
            "onOutage: `value:-1` must be error, hold or value:N",
        ),
        (
            with(right(), "metricName", "a/b"),
            "metricName: `a/b` must be at most 240",
        ),
        (
            with(right(), "connection", "orders"),
            "connection: `orders` is not known; the settings have none that namespace shop may use",
        ),
    ];
    for (trigger, expected) in cases {
        let error = client.get_metric_spec(trigger.clone()).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert!(
            error.message().contains(expected),
            "{expected}\n{}",
            error.message()
        );
        // The other calls say the same.
        let again = client.is_active(trigger).await.unwrap_err();
        assert_eq!(again.message(), error.message());
    }
}

#[tokio::test]
async fn all_problems_of_a_trigger_are_reported_at_once() {
    let scaler = Scaler::start().await;
    let wrong = with(with(right(), "listLength", "ten"), "adress", "x");
    let wrong = with(without(wrong, "address"), "tls", "on");

    let error = scaler.evaluate(&wrong).await.unwrap_err();

    assert_eq!(
        error.message(),
        "adress: unknown key; did you mean `address`?; \
         tls: `on` must be enable or disable; \
         listLength: `ten` must be a whole number from 1; \
         address: is required, or `host` and `port`, or a named `connection`"
    );
}

#[tokio::test]
async fn kedas_own_keys_are_ignored() {
    let scaler = Scaler::start().await;
    let mut work = right();
    for key in [
        "scalerAddress",
        "enableTLS",
        "unsafeSsl",
        "caCert",
        "tlsClientCert",
        "tlsClientKey",
    ] {
        work = with(work, key, "anything");
    }
    assert!(scaler.client().await.get_metric_spec(work).await.is_ok());
}

#[tokio::test]
async fn a_metric_spec_needs_no_backend() {
    let scaler = Scaler::start().await;
    let spec = scaler
        .client()
        .await
        .get_metric_spec(right())
        .await
        .unwrap()
        .into_inner();
    #[allow(deprecated)]
    let sizes = (
        spec.metric_specs[0].target_size,
        spec.metric_specs[0].target_size_float,
    );
    assert_eq!(sizes, (5, 5.0));
}

#[tokio::test]
async fn names_can_be_chosen_and_differ_where_queries_do() {
    let scaler = Scaler::start().await;
    let mut client = scaler.client().await;
    let mut name = async |trigger| {
        let spec = client.get_metric_spec(trigger).await.unwrap().into_inner();
        spec.metric_specs[0].metric_name.clone()
    };
    let chosen = name(with(right(), "metricName", "orders-waiting")).await;
    assert_eq!(chosen, "orders-waiting");

    let jobs = name(right()).await;
    assert_eq!(
        jobs,
        name(with(right(), "listLength", "50")).await,
        "a target is no part of it"
    );
    assert_ne!(jobs, name(with(right(), "listName", "mail")).await);
    assert_ne!(jobs, name(with(right(), "address", "127.0.0.1:2")).await);
    assert_ne!(jobs, name(with(right(), "databaseIndex", "2")).await);
}

#[tokio::test]
async fn an_unknown_metric_name_is_answered_with_the_right_one() {
    let scaler = Scaler::start().await;
    let request = GetMetricsRequest {
        scaled_object_ref: Some(right()),
        metric_name: "queue".to_owned(),
    };
    let error = scaler
        .client()
        .await
        .get_metrics(request)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(
        error
            .message()
            .contains("no metric \"queue\". Its metric is \"redis-jobs-"),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn an_empty_request_is_answered_with_what_is_missing() {
    let scaler = Scaler::start().await;
    let mut client = scaler.client().await;
    let error = client
        .get_metrics(GetMetricsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::InvalidArgument, "scaledObjectRef: is required")
    );
    let error = client
        .is_active(ScaledObjectRef::default())
        .await
        .unwrap_err();
    assert!(
        error.message().starts_with("backend: is required"),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn metadata_without_end_is_refused() {
    let scaler = Scaler::start().await;
    let mut work = right();
    for i in 0..10_000 {
        work = with(work, &format!("key-{i}"), "x");
    }
    let error = scaler.evaluate(&work).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(
        error.message(),
        "metadata: has 10003 entries; at most 200 are allowed"
    );

    let mut work = right();
    for i in 0..150 {
        work = with(work, &format!("key-{i}"), &"x".repeat(1000));
    }
    let error = scaler.evaluate(&work).await.unwrap_err();
    assert!(
        error.message().ends_with("and 140 more"),
        "{}",
        error.message()
    );
    assert!(
        error.message().len() < 4096,
        "fits the header that carries it"
    );
}

#[tokio::test]
async fn a_message_of_five_mebibytes_is_refused_and_the_connection_lives() {
    let scaler = Scaler::start().await;
    let mut client = scaler.client().await;
    let large = with(right(), "ca", &"x".repeat(5 * 1024 * 1024));

    let error = client.get_metric_spec(large).await.unwrap_err();

    assert_eq!(error.code(), Code::OutOfRange);
    assert!(error.message().contains("1048576"), "{}", error.message());
    assert!(client.get_metric_spec(right()).await.is_ok());
}

#[tokio::test]
async fn a_password_is_shown_in_no_error() {
    let scaler = Scaler::start().await;
    let work = with(with(right(), "password", "hunter2"), "listLength", "ten");
    let invalid = scaler.evaluate(&work).await.unwrap_err();
    let refused = scaler
        .evaluate(&with(right(), "password", "hunter2"))
        .await
        .unwrap_err();
    for error in [invalid, refused] {
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
