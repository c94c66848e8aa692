//! A trigger that moves from KEDA's own scaler to ours and keeps its TriggerAuthentication.

use std::{io::Write, process::Stdio, time::Duration};

use backlog_scaler::keda::proto::{
    GetMetricsRequest, ScaledObjectRef, external_scaler_client::ExternalScalerClient,
};
use serde_json::{Value, json};
use testkit::{
    certs::Certs,
    kafka::{self, PASSWORD},
    process,
    redis::Redis,
    require,
    scaler::Scaler,
    temporal::{self, Temporal, Tokens},
};
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::{
    authentication, hpa,
    load::{CALLERS, Load},
    needs_cluster, rotation, secret, secret_key, sent,
};
use crate::cluster::{
    SOON,
    control_plane::ControlPlane,
    objects::{Namespace, ScaledObject},
    program::Program,
    timeline::Timeline,
};

/// The settings of a server that reads this cluster.
pub fn settings(cluster: &ControlPlane) -> String {
    let kubeconfig = cluster.kubectl.config().display();
    format!("kubernetes: {{enabled: true, kubeconfig: \"{kubeconfig}\"}}\n")
}

pub fn apply_in(cluster: &ControlPlane, namespace: &str, mut object: Value) {
    object["metadata"]["namespace"] = namespace.into();
    cluster.kubectl.apply(&object.to_string());
}

fn built_in(kind: &str, metadata: &[(&str, &str)], reference: &str) -> Value {
    json!({
        "type": kind,
        "metadata": sent(metadata),
        "authenticationRef": {"name": reference},
    })
}

/// The three lines that change: `type`, `scalerAddress` and `backend`.
fn moved(mut trigger: Value, scaler: &str) -> Value {
    trigger["metadata"]["backend"] = trigger["type"].take();
    trigger["metadata"]["scalerAddress"] = scaler.into();
    trigger["type"] = "external".into();
    trigger
}

/// Applies what `migrate` makes of the objects of a namespace, as kubectl prints them.
fn migrate(namespace: &Namespace, scaler: &str) {
    let kubectl = &namespace.cluster.kubectl;
    let what = "scaledobjects,triggerauthentications";
    let objects = kubectl.run(&["get", what, "-n", &namespace.name, "-o", "yaml"], "");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
        .args(["migrate", "-", "--scaler-address", scaler])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("is piped");
    stdin.write_all(objects.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 trigger moved, 0 cannot"), "{said}");
    let moved = String::from_utf8(output.stdout).expect("is text");
    // KEDA writes the status of its objects at any time.
    let is_version = |line: &&str| line.trim_start().starts_with("resourceVersion:");
    let lines = moved.lines().filter(|line| !is_version(line));
    kubectl.apply(&lines.collect::<Vec<_>>().join("\n"));
}

fn replace_trigger(namespace: &Namespace, trigger: &Value) {
    let patch = json!([{"op": "replace", "path": "/spec/triggers", "value": [trigger]}]);
    let patch = patch.to_string();
    let arguments = ["patch", "scaledobject", "worker", "-n", &namespace.name];
    let arguments = [&arguments[..], &["--type=json", "-p", &patch]].concat();
    namespace.cluster.kubectl.run(&arguments, "");
}

/// GetMetrics, as KEDA calls it.
pub async fn value(
    address: &str,
    namespace: &str,
    metadata: impl IntoIterator<Item = (String, String)>,
) -> Result<f64, Status> {
    let client = ExternalScalerClient::connect(format!("http://{address}")).await;
    let request = GetMetricsRequest {
        scaled_object_ref: Some(ScaledObjectRef {
            name: "worker".to_owned(),
            namespace: namespace.to_owned(),
            scaler_metadata: metadata.into_iter().collect(),
        }),
        metric_name: String::new(),
    };
    let response = client.expect("it serves").get_metrics(request).await?;
    Ok(response.into_inner().metric_values[0].metric_value_float)
}

pub fn metadata(trigger: &Value) -> Vec<(String, String)> {
    let pairs = trigger["metadata"].as_object().expect("metadata");
    pairs
        .iter()
        .map(|(key, value)| (key.clone(), value.as_str().expect("a text").to_owned()))
        .collect()
}

#[tokio::test]
async fn a_redis_trigger_moves_with_its_trigger_authentication_and_its_password_changes() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster.clone(), "auth-redis");
    let redis = Redis::builder().password("hunter2").start().await;
    let program = Program::start(&settings(&cluster));
    let apply = |object| apply_in(&cluster, "auth-redis", object);
    apply(secret("redis", json!({"p": "hunter2"})));
    let spec = json!({"secretTargetRef": [secret_key("password", "redis", "p")]});
    apply(authentication("redis", spec));
    let (address, five) = (redis.address(), ("listLength", "5"));
    let keys = [("address", address.as_str()), ("listName", "jobs"), five];
    let own = built_in("redis", &keys, "redis");
    namespace.scale("worker", ScaledObject::new(own.clone()));
    let timeline = Timeline::start(&namespace, "worker");
    redis.rpush("jobs", 40).await;
    timeline.backlog(40);
    timeline.replicas(8, SOON).await;
    let before = hpa::metrics(&namespace).await;

    migrate(&namespace, &program.address());
    let moved = moved(own, &program.address());
    timeline.note("the trigger is of type external");
    hpa::same_but_for_a_hash(&namespace, &before).await;
    timeline.held(8, Duration::from_secs(15)).await;
    redis.rpush("jobs", 10).await;
    timeline.backlog(50);
    timeline.replicas(10, SOON).await;
    let log = program.log();
    assert!(log.contains("TriggerAuthentications are read"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");

    // A new password, while the old one is still valid: no call fails, and KEDA's neither.
    let triggers = [metadata(&moved)];
    let load = Load::start(&program.address(), "auth-redis", &triggers).await;
    load.all_get(50.0).await;
    redis.command(&rotation::set_user(">hunter3")).await;
    apply(secret("redis", json!({"p": "hunter3"})));
    timeline.note("the Secret has the new password");
    load.more(20).await;
    rotation::forget(&redis, "hunter2").await;
    timeline.note("the old password is gone, and all connections");
    timeline.held(10, Duration::from_secs(10)).await;
    let calls = load.end().await;
    assert!(calls > 50 * CALLERS, "{calls} calls");

    redis.command(&["DEL", "jobs"]).await;
    timeline.backlog(0);
    timeline.replicas(0, SOON).await;
}

#[tokio::test]
async fn a_kafka_trigger_moves_with_the_login_and_tls_of_its_trigger_authentication() {
    let cluster = needs_cluster!();
    if !require(kafka::available(), "Kafka") {
        return;
    }
    let kafka = kafka::one().await;
    kafka.create_topic("auth-orders", 8).await;
    let all = |offset| (0..8).map(|p| (p, offset)).collect::<Vec<(i32, i64)>>();
    kafka.commit("auth-billing", "auth-orders", &all(0));
    (0..8).for_each(|partition| kafka.produce("auth-orders", partition, 5));
    let operation = ["--operation", "Describe"];
    let of = ["--topic", "auth-orders", "--group", "auth-billing"];
    kafka
        .grant(
            "alice",
            &[operation, [of[0], of[1]], [of[2], of[3]]].concat(),
        )
        .await;
    let namespace = Namespace::new(cluster.clone(), "auth-kafka");
    let program = Program::start(&settings(&cluster));
    let data = json!({
        "sasl": "scram_sha512", "user": "alice", "p": PASSWORD,
        "tls": "enable", "ca.crt": kafka.certs.ca.text,
    });
    apply_in(&cluster, "auth-kafka", secret("kafka", data));
    let spec = json!({"secretTargetRef": [
        secret_key("sasl", "kafka", "sasl"),
        secret_key("username", "kafka", "user"),
        secret_key("password", "kafka", "p"),
        secret_key("tls", "kafka", "tls"),
        secret_key("ca", "kafka", "ca.crt"),
    ]});
    apply_in(&cluster, "auth-kafka", authentication("kafka", spec));
    let servers = kafka.sasl_ssl();
    let keys = [
        ("bootstrapServers", servers.as_str()),
        ("consumerGroup", "auth-billing"),
        ("topic", "auth-orders"),
        ("lagThreshold", "5"),
    ];
    let own = built_in("kafka", &keys, "kafka");
    namespace.scale("worker", ScaledObject::new(own.clone()));
    let timeline = Timeline::start(&namespace, "worker");
    timeline.backlog(40);
    timeline.replicas(8, SOON).await;
    let before = hpa::metrics(&namespace).await;

    let moved = moved(own, &program.address());
    let served = value(&program.address(), "auth-kafka", metadata(&moved)).await;
    let error = served.expect_err("no object has this trigger yet");
    assert!(!error.message().contains(PASSWORD), "{error}");
    replace_trigger(&namespace, &moved);
    timeline.note("the trigger is of type external");
    hpa::same_but_for_a_hash(&namespace, &before).await;
    timeline.held(8, Duration::from_secs(15)).await;
    let served = value(&program.address(), "auth-kafka", metadata(&moved)).await;
    assert_eq!(served.expect("logs in"), 40.0);
    kafka.commit("auth-billing", "auth-orders", &all(5));
    timeline.backlog(0);
    timeline.replicas(0, SOON).await;
}

#[tokio::test]
async fn a_temporal_trigger_moves_with_the_certificate_of_its_trigger_authentication() {
    let cluster = needs_cluster!();
    if !require(temporal::available(), "the Temporal server") {
        return;
    }
    let dir = process::directory();
    let certs = Certs::generate(dir.path());
    let builder = Temporal::builder().mtls(dir.path().to_owned(), certs);
    let temporal = builder.start().await;
    temporal.start_workflows("orders", 15).await;
    let namespace = Namespace::new(cluster.clone(), "auth-temporal");
    let program = Program::start(&settings(&cluster));
    let certs = temporal.certs();
    let client = &certs.client;
    let data = json!({
        "ca.crt": certs.ca.text, "tls.crt": client.cert.text, "tls.key": client.key.text,
    });
    apply_in(&cluster, "auth-temporal", secret("temporal", data));
    let spec = json!({"secretTargetRef": [
        secret_key("ca", "temporal", "ca.crt"),
        secret_key("cert", "temporal", "tls.crt"),
        secret_key("key", "temporal", "tls.key"),
    ]});
    apply_in(&cluster, "auth-temporal", authentication("temporal", spec));
    let endpoint = temporal.address();
    let keys = [
        ("endpoint", endpoint.as_str()),
        ("taskQueue", "orders"),
        ("targetQueueSize", "5"),
    ];
    let own = built_in("temporal", &keys, "temporal");
    namespace.scale("worker", ScaledObject::new(own.clone()));
    let timeline = Timeline::start(&namespace, "worker");
    timeline.backlog(15);
    timeline.replicas(3, SOON).await;
    let before = hpa::metrics(&namespace).await;

    replace_trigger(&namespace, &moved(own, &program.address()));
    timeline.note("the trigger is of type external");
    hpa::same_but_for_a_hash(&namespace, &before).await;
    timeline.held(3, Duration::from_secs(15)).await;
    let stubs = temporal.stubs().await;
    for i in 0..10 {
        let id = format!("more-{i}");
        let started = temporal::start_one(&stubs, "orders", &id).await;
        started.unwrap();
    }
    timeline.backlog(25);
    timeline.replicas(5, SOON).await;
}

#[tokio::test]
async fn a_temporal_trigger_moves_with_the_api_key_of_its_trigger_authentication() {
    let cluster = needs_cluster!();
    if !require(temporal::available(), "the Temporal server") {
        return;
    }
    // KEDA sends API keys over TLS, to servers that its own trusted authorities have signed.
    let builder = Temporal::builder().tokens(Tokens::generate());
    let dir = process::directory();
    let builder = builder.tls(dir.path().to_owned(), cluster.certs.clone());
    let temporal = builder.start().await;
    temporal.start_workflows("orders", 15).await;
    let namespace = Namespace::new(cluster.clone(), "auth-api-key");
    let program = Program::start(&settings(&cluster));
    let api_key = temporal.tokens().reader.as_str();
    let data = json!({"key": api_key, "ca.crt": cluster.certs.ca.text});
    apply_in(&cluster, "auth-api-key", secret("temporal", data));
    let spec = json!({"secretTargetRef": [
        secret_key("apiKey", "temporal", "key"),
        // KEDA does without, and takes it from its own files.
        secret_key("ca", "temporal", "ca.crt"),
    ]});
    apply_in(&cluster, "auth-api-key", authentication("temporal", spec));
    let endpoint = temporal.address();
    let keys = [
        ("endpoint", endpoint.as_str()),
        ("taskQueue", "orders"),
        ("targetQueueSize", "5"),
    ];
    let own = built_in("temporal", &keys, "temporal");
    namespace.scale("worker", ScaledObject::new(own.clone()));
    let timeline = Timeline::start(&namespace, "worker");
    timeline.backlog(15);
    timeline.replicas(3, SOON).await;
    let before = hpa::metrics(&namespace).await;

    let moved = moved(own, &program.address());
    let served = value(&program.address(), "auth-api-key", metadata(&moved)).await;
    let error = served.expect_err("no object has this trigger yet");
    assert!(!error.message().contains(api_key), "{error}");
    replace_trigger(&namespace, &moved);
    timeline.note("the trigger is of type external");
    hpa::same_but_for_a_hash(&namespace, &before).await;
    timeline.held(3, Duration::from_secs(15)).await;
    let served = value(&program.address(), "auth-api-key", metadata(&moved)).await;
    assert_eq!(served.expect("the key is accepted"), 15.0);
    let stubs = temporal.stubs().await;
    for i in 0..10 {
        let id = format!("more-{i}");
        let started = temporal::start_one(&stubs, "orders", &id).await;
        started.unwrap();
    }
    timeline.backlog(25);
    timeline.replicas(5, SOON).await;
    assert!(!program.log().contains(api_key), "a key in the log");

    // While the old key works, a mistake in the Secret changes nothing.
    let data = json!({"key": temporal.tokens().forged, "ca.crt": cluster.certs.ca.text});
    apply_in(&cluster, "auth-api-key", secret("temporal", data));
    timeline.note("the Secret has a key that nobody accepts");
    timeline.held(5, Duration::from_secs(10)).await;
}

pub async fn until_value(scaler: &Scaler, namespace: &str, metadata: &[(String, String)]) -> f64 {
    until_served(&scaler.address, namespace, metadata).await
}

/// The first value of a trigger; calls before it may fail.
pub async fn until_served(address: &str, namespace: &str, metadata: &[(String, String)]) -> f64 {
    let mut last = None;
    let called = timeout(SOON, async {
        loop {
            match value(address, namespace, metadata.to_vec()).await {
                Ok(value) => return value,
                Err(error) => last = Some(error),
            }
            sleep(Duration::from_millis(100)).await;
        }
    });
    called
        .await
        .unwrap_or_else(|_| panic!("no value in time: {last:?}"))
}
