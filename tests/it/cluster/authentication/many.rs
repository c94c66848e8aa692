//! A thousand ScaledObjects, each with a Secret of its own and so a connection of its own, evaluated by
//! the program. The figures are those of docs/explanation/scale.md.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use backlog_scaler::keda::proto::{
    GetMetricsRequest, ScaledObjectRef, external_scaler_client::ExternalScalerClient,
};
use futures_util::{StreamExt, stream};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};
use testkit::{process, redis::Redis};
use tonic::transport::Channel;

use super::{
    authentication,
    door::{self, Door},
    needs_cluster, scaled_object, secret, secret_key, sent, trigger,
};
use crate::cluster::{SOON, control_plane::ControlPlane, objects::Namespace, program::Program};

const OBJECTS: usize = 1_000;
const NAMESPACE: &str = "auth-many";

/// Requests of a kind that are made once: a page has 200 objects, and a watch that ends is resumed.
const FEW: f64 = 20.0;

/// The most that a debug build may take on a busy machine, in KiB: a release build takes a fraction.
const MEMORY: usize = 160 * 1024;

/// Few have a thousand credentials for one server: the limits are for mistakes.
const LIMITS: &str = "engine: {connections: 1000, connectionsPerName: 1000, connectionsPerServer: 1000, \
    connectionsPerNamespace: 1000}\n";

/// Calls in flight at once.
const AT_ONCE: usize = 64;

#[tokio::test]
async fn a_thousand_objects_take_little_memory_and_few_requests() {
    let cluster = needs_cluster!();
    let namespace = Arc::new(Namespace::new(cluster.clone(), NAMESPACE));
    let redis = Redis::builder().password("hunter").start().await;
    for i in 0..OBJECTS {
        let password = format!(">hunter-{i}");
        let user = ["ACL", "SETUSER", "default", &password];
        redis.command(&user).await;
        redis.rpush(&list(i), items(i)).await;
    }
    let begun = Instant::now();
    create(&cluster, &redis).await;
    println!("many: {OBJECTS} of each created in {:.1?}", begun.elapsed());

    // The same triggers and connections, with the passwords in their metadata.
    let alone = Measured::of(LIMITS, |i| {
        let password = ("password".to_owned(), format!("hunter-{i}"));
        metadata(&redis, i).into_iter().chain([password]).collect()
    })
    .await;
    let folder = process::directory();
    let door = Door::to(door::api_server(&cluster)).await;
    let kubeconfig = door.kubeconfig(&cluster, folder.path(), None);
    let settings = format!(
        "{LIMITS}kubernetes: {{enabled: true, kubeconfig: \"{}\"}}\n",
        kubeconfig.display()
    );
    let read = Measured::of(&settings, |i| metadata(&redis, i)).await;
    drop(namespace);
    println!(
        "many: values: all after {:.2?} with {} calls repeated; without the API after {:.2?} with {}",
        read.first_values, read.refused, alone.first_values, alone.refused
    );
    println!(
        "many: KiB: {} when it serves, {} with all values; without the API {} and {}",
        read.memory[0], read.memory[1], alone.memory[0], alone.memory[1]
    );
    println!(
        "many: requests of the API: {:?}, over {} connections",
        read.requests,
        door.opened()
    );

    assert_eq!(alone.requests.values().sum::<f64>(), 0.0);
    let requests = |verb: &str, resource: &str| {
        let key = format!("{verb} {resource}");
        read.requests.get(&key).copied().unwrap_or_default()
    };
    // A call whose deadline has passed may have begun to read.
    let most = (OBJECTS + read.refused) as f64;
    for verb in ["get", "watch"] {
        let made = requests(verb, "secrets");
        let expected = OBJECTS as f64..=most;
        assert!(expected.contains(&made), "{verb}: {made}");
    }
    assert_eq!(requests("list", "secrets"), 0.0, "no list of Secrets, ever");
    let kinds = [
        "scaledobjects",
        "scaledjobs",
        "triggerauthentications",
        "clustertriggerauthentications",
    ];
    for resource in kinds {
        for verb in ["list", "watch"] {
            let made = requests(verb, resource);
            assert!((1.0..=FEW).contains(&made), "{verb} {resource}: {made}");
        }
        assert_eq!(requests("get", resource), 0.0, "{resource}");
    }
    assert!(door.opened() < 50, "watches share connections");
    let more = read.memory[1].saturating_sub(alone.memory[1]);
    assert!(more < MEMORY, "{more} KiB more than without the API");
    let grown = read.memory[1].saturating_sub(read.memory[0]);
    assert!(grown < 2 * MEMORY, "{grown} KiB");
}

fn list(i: usize) -> String {
    format!("jobs-{i}")
}

/// Different ones, so that a value of another trigger is noticed.
fn items(i: usize) -> usize {
    i % 7 + 1
}

fn metadata(redis: &Redis, i: usize) -> BTreeMap<String, String> {
    let (address, list) = (redis.address(), list(i));
    sent(&[
        ("backend", "redis"),
        ("scalerAddress", "127.0.0.1:1"),
        ("address", &address),
        ("listName", &list),
    ])
}

/// What one run of the program took.
struct Measured {
    /// From the start of the process until each trigger had its value.
    first_values: Duration,
    /// Calls that had to be repeated for it.
    refused: usize,
    /// KiB: when the program serves, and when it has all values.
    memory: [usize; 2],
    /// By verb and resource.
    requests: BTreeMap<String, f64>,
}

impl Measured {
    async fn of(settings: &str, metadata: impl Fn(usize) -> BTreeMap<String, String>) -> Self {
        let begun = Instant::now();
        let program = Program::start(settings);
        let serving = program.resident();
        let client = ExternalScalerClient::connect(format!("http://{}", program.address())).await;
        let client = client.expect("it serves");
        let refused = all(&client, &metadata).await;
        let first_values = begun.elapsed();
        let mut requests = requests(&program).await;
        let watches = |requests: &BTreeMap<String, f64>| {
            requests.get("watch secrets").copied().unwrap_or_default() as usize
        };
        // A Secret's watch begins after its value is in use.
        while !requests.is_empty() && watches(&requests) < OBJECTS {
            assert!(begun.elapsed() < SOON, "{requests:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
            requests = self::requests(&program).await;
        }
        // Again, from what is known.
        assert_eq!(all(&client, &metadata).await, 0);
        let again = self::requests(&program).await;
        for secrets in ["get secrets", "watch secrets"] {
            assert_eq!(again.get(secrets), requests.get(secrets), "{secrets}");
        }
        let watched = program.figure("backlog_scaler_kubernetes_objects", "\"secrets\"");
        let expected = if requests.is_empty() { 0 } else { OBJECTS };
        assert_eq!(watched.await, expected as f64);
        let log = program.log();
        assert!(!log.contains("hunter"), "{log}");
        Measured {
            first_values,
            refused,
            memory: [serving, program.resident()],
            requests,
        }
    }
}

/// The value of every trigger; how many calls had to be repeated.
async fn all(
    client: &ExternalScalerClient<Channel>,
    metadata: &impl Fn(usize) -> BTreeMap<String, String>,
) -> usize {
    let begun = Instant::now();
    let calls = (0..OBJECTS).map(|i| {
        let mut client = client.clone();
        let request = GetMetricsRequest {
            scaled_object_ref: Some(ScaledObjectRef {
                name: format!("worker-{i}"),
                namespace: NAMESPACE.to_owned(),
                scaler_metadata: metadata(i),
            }),
            metric_name: String::new(),
        };
        async move {
            let mut refused = 0;
            loop {
                match client.get_metrics(request.clone()).await {
                    Ok(response) => {
                        let value = &response.get_ref().metric_values[0];
                        assert_eq!(value.metric_value_float, items(i) as f64, "worker-{i}");
                        return refused;
                    }
                    Err(error) => assert!(begun.elapsed() < SOON, "{error}"),
                }
                refused += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    let refused = stream::iter(calls).buffer_unordered(AT_ONCE);
    refused
        .fold(0, |sum, refused| async move { sum + refused })
        .await
}

/// Requests to the API server so far, whatever their outcome.
async fn requests(program: &Program) -> BTreeMap<String, f64> {
    let mut requests = BTreeMap::new();
    let metric = "backlog_scaler_kubernetes_requests_total";
    for (labels, made) in program.series(metric).await {
        let label = |name: &str| {
            let (_, rest) = labels.split_once(&format!("{name}=\"")).expect("has it");
            rest.split('"').next().expect("a value")
        };
        let key = format!("{} {}", label("verb"), label("resource"));
        *requests.entry(key).or_default() += made;
    }
    requests
}

/// By a client with many requests at once: kubectl would take minutes.
async fn create(cluster: &ControlPlane, redis: &Redis) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Kubeconfig::read_from(cluster.kubectl.config()).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    let client = Client::try_from(config.expect("is complete")).expect("a client");
    let objects = (0..OBJECTS).flat_map(|i| {
        let name = format!("worker-{i}");
        let spec = json!({"secretTargetRef": [secret_key("password", &name, "p")]});
        let metadata = metadata(redis, i);
        let keys: Vec<_> = metadata
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        let mut object = scaled_object(vec![trigger(&keys, Some(json!({ "name": name })))]);
        object["metadata"]["name"] = name.as_str().into();
        let secret = secret(&name, json!({"p": format!("hunter-{i}")}));
        [secret, authentication(&name, spec), object]
    });
    let create = |object: Value| {
        let client = client.clone();
        async move {
            let text = |key: &str| object[key].as_str().expect("a text").to_owned();
            let (group, version) = match text("apiVersion").split_once('/') {
                Some((group, version)) => (group.to_owned(), version.to_owned()),
                None => (String::new(), text("apiVersion")),
            };
            let kind = GroupVersionKind {
                group,
                version,
                kind: text("kind"),
            };
            let resource = ApiResource::from_gvk(&kind);
            let api: Api<DynamicObject> = Api::namespaced_with(client, NAMESPACE, &resource);
            let object = serde_json::from_value(object).expect("an object");
            api.create(&PostParams::default(), &object)
                .await
                .expect("is created");
        }
    };
    stream::iter(objects.map(create))
        .buffer_unordered(16)
        .collect::<Vec<()>>()
        .await;
}
