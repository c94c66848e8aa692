//! Who gets credentials, and who does not.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use testkit::{redis::Redis, scaler::Scaler};
use tokio::{io::AsyncReadExt, net::TcpListener, time::sleep};

use super::{
    authentication, deployment, needs_cluster, scaled_object,
    scaling::{apply_in, metadata, settings, until_value, value},
    secret, secret_key, trigger,
};
use crate::cluster::{SOON, control_plane::KEDA, objects::Namespace};

/// A server that keeps what it receives, and never responds.
async fn listener() -> (String, Arc<parking_lot::Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let received = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let all = received.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let all = all.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    all.lock().extend(&buffer[..n]);
                }
            });
        }
    });
    (address, received)
}

async fn until_error(scaler: &Scaler, metadata: &[(String, String)], expected: &str) {
    until_error_in(scaler, "auth-deputy", metadata, expected).await;
}

async fn until_error_in(
    scaler: &Scaler,
    namespace: &str,
    metadata: &[(String, String)],
    expected: &str,
) {
    let begun = std::time::Instant::now();
    loop {
        let called = value(&scaler.address, namespace, metadata.to_vec()).await;
        if let Err(error) = &called
            && error.message().contains(expected)
        {
            return;
        }
        assert!(begun.elapsed() < SOON, "{called:?}\nexpected {expected}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Look-ups, and reads of Secrets, in the metrics. The watch after a read may begin at any time.
async fn lookups(scaler: &Scaler) -> Vec<String> {
    let (_, page) = scaler.page("/metrics").await;
    let counts = |line: &&str| {
        line.starts_with("backlog_scaler_kubernetes_resolutions_total")
            || line.starts_with("backlog_scaler_kubernetes_requests_total")
                && line.contains("resource=\"secrets\"")
                && !line.contains("verb=\"watch\"")
    };
    let lines: Vec<_> = page.lines().filter(counts).map(str::to_owned).collect();
    assert!(!lines.is_empty(), "{page}");
    lines
}

#[tokio::test]
async fn the_keys_of_the_cluster_do_not_go_to_an_address_of_the_trigger() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster.clone(), "auth-deputy");
    let redis = Redis::builder().password("hunter2").start().await;
    redis.rpush("jobs", 7).await;
    let (evil, received) = listener().await;
    let scaler = Scaler::with(&settings(&cluster)).await;
    let own = secret("auth-deputy", json!({"p": "hunter2", "a": redis.address()}));
    apply_in(&cluster, KEDA, own);
    let of_cluster = |parameters: &[(&str, &str)]| {
        let parameters = parameters
            .iter()
            .map(|(parameter, key)| secret_key(parameter, "auth-deputy", key));
        let object = json!({
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ClusterTriggerAuthentication",
            "metadata": {"name": "auth-deputy"},
            "spec": {"secretTargetRef": Vec::from_iter(parameters)},
        });
        cluster.kubectl.apply(&object.to_string());
    };
    of_cluster(&[("password", "p"), ("address", "a")]);
    let reference = json!({"name": "auth-deputy", "kind": "ClusterTriggerAuthentication"});
    let with = |keys: &[(&str, &str)]| {
        let always = [("backend", "redis"), ("scalerAddress", "127.0.0.1:1")];
        trigger(&[&always[..], keys].concat(), Some(reference.clone()))
    };
    let jobs = ("listName", "jobs");
    let (good, bad) = (with(&[jobs]), with(&[jobs, ("address", &evil)]));
    let object = scaled_object(vec![good.clone(), bad.clone()]);
    apply_in(&cluster, &namespace.name, object);

    let read = until_value(&scaler, "auth-deputy", &metadata(&good)).await;
    assert_eq!(read, 7.0, "the object gives the address");
    // Calls cost no look-up while nothing changes.
    let before = lookups(&scaler).await;
    for _ in 0..50 {
        let called = value(&scaler.address, "auth-deputy", metadata(&good)).await;
        assert_eq!(called.unwrap(), 7.0);
    }
    assert_eq!(lookups(&scaler).await, before);
    let expected = format!("may not be sent to {evil}, an address of the trigger's own");
    until_error(&scaler, &metadata(&bad), &expected).await;
    assert!(received.lock().is_empty(), "nothing is connected to");
    // Nor may the trigger decide how they are sent.
    let unsafe_keys = [jobs, ("tls", "enable"), ("tlsSkipVerify", "true")];
    let weaker = with(&unsafe_keys);
    let object = scaled_object(vec![good.clone(), bad.clone(), weaker.clone()]);
    apply_in(&cluster, &namespace.name, object);
    let expected = "`tlsSkipVerify` of the trigger's own may not decide how the keys of";
    until_error(&scaler, &metadata(&weaker), expected).await;

    // Metadata that are in no trigger are evaluated as they are, without credentials.
    let with_address = |address: &str| {
        let keys = [("address", address), ("listName", "other")];
        metadata(&with(&keys))
    };
    let (to_redis, to_evil) = (with_address(&redis.address()), with_address(&evil));
    until_error(&scaler, &to_redis, "NOAUTH").await;
    let called = value(&scaler.address, "auth-deputy", to_evil).await;
    assert!(called.is_err(), "{called:?}");
    let text = String::from_utf8_lossy(&received.lock()).into_owned();
    assert!(
        !text.contains("hunter2") && !text.contains("AUTH"),
        "{text}"
    );
    assert!(!text.is_empty(), "it is connected to as today");
    // Nor is there an address for them: the error says what was looked for.
    let without = metadata(&with(&[("listName", "other")]));
    let expected = "no external trigger of ScaledObject auth-deputy/worker has the metadata";
    until_error(&scaler, &without, expected).await;
    let called = value(&scaler.address, "elsewhere", without).await;
    let error = called.expect_err("there is no such object");
    let expected = "there is no ScaledObject or ScaledJob elsewhere/worker";
    assert!(error.message().contains(expected), "{error}");

    let delete = ["delete", "clustertriggerauthentication", "auth-deputy"];
    cluster.kubectl.run(&delete, "");
}

#[tokio::test]
async fn a_scaler_s_own_tls_is_not_taken_for_the_backend_s() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster.clone(), "auth-unused");
    let redis = Redis::start().await;
    redis.rpush("jobs", 7).await;
    let scaler = Scaler::with(&settings(&cluster)).await;
    apply_in(
        &cluster,
        KEDA,
        secret("auth-unused", json!({"ca": "of KEDA's client"})),
    );
    let object = json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ClusterTriggerAuthentication",
        "metadata": {"name": "auth-unused"},
        "spec": {"secretTargetRef": [secret_key("caCert", "auth-unused", "ca")]},
    });
    cluster.kubectl.apply(&object.to_string());
    let reference = json!({"name": "auth-unused", "kind": "ClusterTriggerAuthentication"});
    let address = redis.address();
    let keys = [
        ("backend", "redis"),
        ("scalerAddress", "127.0.0.1:1"),
        ("address", address.as_str()),
        ("listName", "jobs"),
    ];
    let trigger = trigger(&keys, Some(reference));
    apply_in(
        &cluster,
        &namespace.name,
        scaled_object(vec![trigger.clone()]),
    );
    let read = until_value(&scaler, "auth-unused", &metadata(&trigger)).await;
    assert_eq!(read, 7.0);
    let delete = ["delete", "clustertriggerauthentication", "auth-unused"];
    cluster.kubectl.run(&delete, "");
}

#[tokio::test]
async fn an_address_is_not_taken_from_a_caller_while_the_environment_cannot_be_compared() {
    let cluster = needs_cluster!();
    let _namespace = Namespace::new(cluster.clone(), "auth-from-env");
    let redis = Redis::builder().password("hunter2").start().await;
    redis.rpush("jobs", 7).await;
    let (evil, received) = listener().await;
    let scaler = Scaler::with(&settings(&cluster)).await;
    let apply = |object| apply_in(&cluster, "auth-from-env", object);
    apply(secret("redis", json!({"p": "hunter2"})));
    let spec = json!({"secretTargetRef": [secret_key("password", "redis", "p")]});
    apply(authentication("redis", spec));
    let sends = |address: &str| {
        let keys = [
            ("backend", "redis"),
            ("scalerAddress", "127.0.0.1:1"),
            ("addressFromEnv", address),
            ("listName", "jobs"),
        ];
        trigger(&keys, Some(json!({"name": "redis"})))
    };
    let object = scaled_object(vec![sends("ADDR")]);
    let (to_redis, to_evil) = (metadata(&sends(&redis.address())), metadata(&sends(&evil)));
    let refused = async |expected: &str| {
        until_error_in(&scaler, "auth-from-env", &to_evil, expected).await;
        let text = String::from_utf8_lossy(&received.lock()).into_owned();
        assert!(
            text.is_empty(),
            "nothing is sent to the caller's address: {text}"
        );
    };

    // A kind of scale target that nobody here can read.
    let mut of_rollout = object.clone();
    of_rollout["spec"]["scaleTargetRef"] =
        json!({"name": "worker", "kind": "Rollout", "apiVersion": "argoproj.io/v1alpha1"});
    apply(of_rollout);
    let place = "addressFromEnv of ScaledObject auth-from-env/worker";
    let unknown = "the type of the scale target of ScaledObject auth-from-env/worker is not known";
    refused(&format!("{place}: {unknown}")).await;

    // A Deployment that does not exist.
    apply(object);
    let missing = "Deployment auth-from-env/worker does not exist";
    refused(&format!("{place}: {missing}")).await;

    // A variable with a value in the container alone.
    let of_field = json!({"fieldRef": {"fieldPath": "status.podIP"}});
    apply(deployment(
        json!([{"name": "ADDR", "valueFrom": of_field}]),
        json!([]),
    ));
    let skipped = "environment variable ADDR of Deployment auth-from-env/worker has another source";
    refused(&format!("{place}: {skipped}")).await;

    // Once it can be compared, the keys are for the address that is there, and for no other.
    let address = redis.address();
    apply(deployment(
        json!([{"name": "ADDR", "value": address}]),
        json!([]),
    ));
    let read = until_value(&scaler, "auth-from-env", &to_redis).await;
    assert_eq!(read, 7.0);
    refused("no external trigger of ScaledObject auth-from-env/worker has the metadata").await;
}
