//! The systems in `deploy/examples` that are whole directories: applied as they are shown, and scaled by
//! real KEDA up and down. Only addresses are others, and the times of the HPA and of KEDA's cooldown are
//! seconds in place of minutes.

use std::{fs, path::Path, time::Duration};

use tempfile::TempDir;
use testkit::{
    kafka::{self, Kafka},
    redis::Redis,
    require,
};

use super::{
    SOON, deploy, needs_cluster, objects::Namespace, program::Program, timeline::Timeline,
};

/// Minutes in the manifests, and what they are here.
const TIMES: [(&str, &str); 5] = [
    (
        "stabilizationWindowSeconds: 60",
        "stabilizationWindowSeconds: 2",
    ),
    (
        "stabilizationWindowSeconds: 300",
        "stabilizationWindowSeconds: 2",
    ),
    ("periodSeconds: 60 }", "periodSeconds: 1 }"),
    ("periodSeconds: 30 }", "periodSeconds: 1 }"),
    ("cooldownPeriod: 300", "cooldownPeriod: 10"),
];

/// `kubectl apply -k` of a directory, with other texts in its files.
fn apply(namespace: &Namespace, others: &[(&str, String)]) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples");
    let to = TempDir::new().expect("a directory");
    for file in fs::read_dir(from.join(&namespace.name)).expect("the example") {
        let file = file.expect("a file").path();
        if !file.is_file() {
            continue;
        }
        let mut text = fs::read_to_string(&file).expect("a text");
        let times = TIMES.map(|(shown, here)| (shown, here.to_owned()));
        for (shown, here) in times.iter().chain(others) {
            text = text.replace(shown, here);
        }
        fs::write(to.path().join(file.file_name().expect("a name")), text).expect("a copy");
    }
    let folder = to.path().display().to_string();
    namespace.cluster.kubectl.run(&["apply", "-k", &folder], "");
}

/// The HPA scales nothing down while one of its metrics cannot be read, and there is no
/// metrics-server here.
fn without_cpu_and_memory(namespace: &Namespace, name: &str) {
    let triggers =
        r#"[{"op":"remove","path":"/spec/triggers/2"},{"op":"remove","path":"/spec/triggers/1"}]"#;
    let patch = [
        "patch",
        "-n",
        &namespace.name,
        "scaledobject",
        name,
        "--type=json",
        "-p",
        triggers,
    ];
    namespace.cluster.kubectl.run(&patch, "");
}

#[tokio::test]
async fn the_pipeline_follows_its_lists_up_and_down() {
    let cluster = needs_cluster!();
    deploy::apply_kinds(&cluster);
    let namespace = Namespace::new(cluster, "pipeline");
    let (redis, program) = (Redis::start().await, Program::start(""));
    apply(
        &namespace,
        &[
            ("backlog-scaler.keda.svc:9090", program.address()),
            ("redis.pipeline.svc:6379", redis.address()),
        ],
    );
    let waiting = async |list: &str, documents: usize| {
        // In one step: there is no moment in which nothing waits.
        redis.rpush("next", documents).await;
        redis.command(&["RENAME", "next", list]).await;
    };
    // What waits; the replicas for it; what holds them; what does not; the replicas for that.
    for (name, list, up, replicas, held, down, least) in [
        ("crawler", "pipeline:crawl", 100, 5, 25, 24, 2),
        ("ocr", "pipeline:ocr", 400, 8, 80, 79, 3),
        ("parser", "pipeline:parse", 200, 7, 70, 69, 3),
        ("labeler", "pipeline:label", 90, 3, 30, 20, 1),
    ] {
        let timeline = Timeline::start(&namespace, name);
        waiting(list, up).await;
        timeline.backlog(up);
        timeline.replicas(replicas, SOON).await;
        if name == "ocr" {
            without_cpu_and_memory(&namespace, name);
        }
        waiting(list, held).await;
        timeline.backlog(held);
        timeline.held(replicas, Duration::from_secs(8)).await;
        waiting(list, down).await;
        timeline.backlog(down);
        timeline.replicas(least, SOON).await;
    }
    // At the limit, whatever waits.
    let timeline = Timeline::start(&namespace, "crawler");
    waiting("pipeline:crawl", 1000).await;
    timeline.backlog(1000);
    timeline.replicas(10, SOON).await;
    timeline.held(10, Duration::from_secs(3)).await;
}

/// Writes messages to each partition that a group has not read.
fn behind(kafka: &Kafka, topic: &str, partitions: i32, each: usize) {
    (0..partitions).for_each(|partition| kafka.produce(topic, partition, each));
}

fn caught_up(kafka: &Kafka, group: &str, topic: &str, partitions: i32, each: usize) {
    let offsets: Vec<_> = (0..partitions)
        .map(|partition| (partition, each as i64))
        .collect();
    kafka.commit(group, topic, &offsets);
}

#[tokio::test]
async fn the_groups_of_exceptions_follow_their_lag_up_and_down() {
    let cluster = needs_cluster!();
    if !require(kafka::available(), "Kafka") {
        return;
    }
    deploy::apply_kinds(&cluster);
    let kafka = kafka::one().await;
    // Messages of each partition, and the replicas for all of them.
    let groups = [
        ("intake", "exceptions-intake", 12, 50, 6, 2),
        ("triage", "exceptions-triage", 6, 60, 5, 1),
        ("policy", "exceptions-policy", 6, 80, 3, 1),
        ("playbook", "exceptions-playbook", 8, 20, 4, 1),
        ("tool", "exceptions-tool", 12, 60, 12, 1),
        ("feedback", "exceptions-feedback", 3, 60, 2, 0),
        ("sla_monitor", "exceptions-closed", 3, 400, 3, 1),
    ];
    for (_, topic, partitions, ..) in groups {
        kafka.create_topic(topic, partitions).await;
    }
    let namespace = Namespace::new(cluster, "exceptions");
    let program = Program::start("");
    apply(
        &namespace,
        &[
            ("backlog-scaler.keda.svc:9090", program.address()),
            ("kafka.exceptions.svc:9092", kafka.servers()),
        ],
    );
    for (group, topic, partitions, each, replicas, least) in groups {
        let timeline = Timeline::start(&namespace, &group.replace('_', "-"));
        timeline.replicas(least, SOON).await;
        behind(kafka, topic, partitions, each);
        timeline.backlog(partitions as usize * each);
        timeline.replicas(replicas, SOON).await;
        if group == "intake" {
            without_cpu_and_memory(&namespace, group);
        }
        caught_up(kafka, group, topic, partitions, each);
        timeline.backlog(0);
        timeline.replicas(least, SOON).await;
    }
}
