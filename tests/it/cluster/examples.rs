//! Every ScaledObject of `deploy/examples` becomes ready and scales its Deployment. Only the addresses
//! are others, and the names of what other scenarios use as well.

use std::{fs, path::Path, time::Instant};

use testkit::{kafka, redis::Redis, require, temporal, temporal::Temporal};

use super::{SOON, needs_cluster, objects::Namespace, program::Program, timeline::Timeline};

/// The replicas that each example leads to, with what `fill` puts into its queues.
const EXPECTED: [(&str, &str, u32); 10] = [
    ("in-a-cluster", "worker", 8),
    ("kafka-lag", "billing", 3),
    ("redis-bullmq", "mailer", 4),
    ("redis-list", "worker", 8),
    ("redis-thresholds", "worker", 1),
    ("redis-waiting-time", "billing", 4),
    ("temporal-tenants", "jobs", 1),
    ("temporal-tenants", "tenants", 3),
    ("temporal-with-cpu", "render", 5),
    ("temporal-worker", "orders-worker", 6),
];

#[tokio::test]
async fn every_example_becomes_ready_and_scales() {
    let cluster = needs_cluster!();
    if !require(
        kafka::available() && temporal::available(),
        "Kafka and Temporal",
    ) {
        return;
    }
    let kafka = kafka::one().await;
    let (redis, temporal) = tokio::join!(Redis::start(), Temporal::builder().start());
    redis.rpush("jobs", 40).await;
    let group = [
        "XGROUP",
        "CREATE",
        "orders",
        "example-billing",
        "$",
        "MKSTREAM",
    ];
    redis.command(&group).await;
    redis.rpush("bull:emails:wait", 14).await;
    redis.rpush("bull:emails:active", 4).await;
    kafka.create_topic("example-orders", 3).await;
    (0..3).for_each(|partition| kafka.produce("example-orders", partition, 10));
    kafka.commit(
        "example-billing",
        "example-orders",
        &[(0, 0), (1, 0), (2, 0)],
    );
    for (queue, tasks) in [("orders", 60), ("render", 10), ("acme-tenant-3", 50)] {
        temporal.start_workflows(queue, tasks).await;
    }
    let program = Program::start("");
    let others = [
        ("backlog-scaler.keda.svc:9090", program.address()),
        ("127.0.0.1:16379", redis.address()),
        ("redis.shop.svc:6379", redis.address()),
        ("127.0.0.1:9092", kafka.servers()),
        ("127.0.0.1:7233", temporal.address()),
        ("topic: orders", "topic: example-orders".to_owned()),
        (
            "consumerGroup: billing",
            "consumerGroup: example-billing".to_owned(),
        ),
    ];

    let mut seen = Vec::new();
    for (file, text) in examples() {
        let objects = text
            .split("\n---\n")
            .filter(|text| text.contains("kind: ScaledObject"));
        let objects: Vec<&str> = objects.collect();
        if objects.is_empty() {
            continue;
        }
        if file == "redis-waiting-time" {
            // Only now: orders that wait for long would add more replicas.
            for _ in 0..400 {
                redis.command(&["XADD", "orders", "*", "order", "1"]).await;
            }
        }
        let namespace = Namespace::new(cluster.clone(), &format!("example-{file}"));
        for object in objects {
            let place = format!("namespace: {}", namespace.name);
            let mut object = object.replacen("namespace: shop", &place, 1);
            for (example, real) in &others {
                object = object.replace(example, real);
            }
            let name = object
                .split("\n  name: ")
                .nth(1)
                .and_then(|rest| rest.lines().next());
            let name = name.expect("a name").to_owned();
            namespace.deploy(&name);
            cluster.kubectl.apply(&object);
            let expected = EXPECTED
                .iter()
                .find(|(f, n, _)| (*f, *n) == (&*file, &*name));
            let (.., replicas) = expected.unwrap_or_else(|| panic!("{file}: {name} is new"));
            let timeline = Timeline::start(&namespace, &name);
            timeline.replicas(*replicas, SOON).await;
            ready(&namespace, &name);
            seen.push(name);
        }
    }
    assert_eq!(seen.len(), EXPECTED.len(), "{seen:?}");
}

/// The texts of `deploy/examples`, by the names of their files.
fn examples() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples");
    let files = fs::read_dir(folder).expect("the examples");
    let files = files.map(|file| file.expect("a file").path());
    let files = files.filter(|file| {
        file.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    let mut texts: Vec<_> = files
        .map(|file| {
            let name = file
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            (name, fs::read_to_string(file).expect("a text"))
        })
        .collect();
    texts.sort();
    texts
}

fn ready(namespace: &Namespace, name: &str) {
    let begun = Instant::now();
    loop {
        let object = namespace
            .cluster
            .kubectl
            .get(&namespace.name, &["scaledobject", name]);
        let conditions = object["status"]["conditions"].as_array();
        let ready = conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        if ready {
            return;
        }
        assert!(begun.elapsed() < SOON, "not ready: {object:#}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}
