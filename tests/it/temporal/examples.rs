//! The examples of `deploy/examples`, probed as a reader of them would do it.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::needs_temporal;
use testkit::temporal::{Temporal, activities};

/// What `probe` says of an example whose endpoint is this server: of each object its replicas, and
/// of each trigger its value.
async fn probe(temporal: &Temporal, example: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples");
    let manifest = std::fs::read_to_string(folder.join(example)).expect("an example");
    assert!(manifest.contains("endpoint: 127.0.0.1:7233"));
    let manifest = manifest.replace("127.0.0.1:7233", &temporal.address());
    let run = move || {
        let mut child = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
            .args(["probe", "-", "--output", "json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(manifest.as_bytes()).unwrap();
        drop(stdin);
        child.wait_with_output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let response: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{response:#}");
    let objects = response["objects"].as_array().unwrap().iter();
    let objects = objects.map(|object| {
        let triggers = object["triggers"].as_array().unwrap().iter();
        let values: Vec<&Value> = triggers.map(|trigger| &trigger["value"]).collect();
        json!({ "replicas": object["replicas"], "values": values })
    });
    objects.collect()
}

/// Counts are eventually right.
async fn eventually(temporal: &Temporal, example: &str, wanted: Value) {
    let started = Instant::now();
    loop {
        let found = probe(temporal, example).await;
        if found == wanted {
            return;
        }
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{example}: still {found}"
        );
        sleep(Duration::from_millis(200)).await;
    }
}

/// Has a workflow of another queue start activities.
async fn pile_up(temporal: &Temporal, queue: &str, tasks: usize) {
    let starter = format!("starter-of-{queue}");
    temporal.start_workflows(&starter, 1).await;
    let worker = temporal.poller(&starter).await;
    worker.complete_one(activities(queue, tasks)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_answers_and_scales_as_it_says() {
    needs_temporal!();
    let temporal = Temporal::builder().start().await;

    // Nothing waits: three workers stand ready.
    let idle = json!([{ "replicas": 3, "values": [0.0, 0.0] }]);
    eventually(&temporal, "temporal-worker.yaml", idle).await;
    // Activities want more than workflows: 100 / 15 beside 25 / 10.
    temporal.start_workflows("orders", 25).await;
    pile_up(&temporal, "orders-io", 100).await;
    let busy = json!([{ "replicas": 7, "values": [25.0, 100.0] }]);
    eventually(&temporal, "temporal-worker.yaml", busy).await;

    for (queue, workflows) in [("acme-tenant-0", 30), ("acme-tenant-31", 15)] {
        temporal.start_workflows(queue, workflows).await;
    }
    pile_up(&temporal, "acme-jobs-7", 11).await;
    let pools = json!([
        { "replicas": 3, "values": [45.0] },
        { "replicas": 3, "values": [11.0] },
    ]);
    eventually(&temporal, "temporal-tenants.yaml", pools).await;

    temporal.start_workflows("render", 9).await;
    let with_cpu = json!([{ "replicas": 5, "values": [9.0, null] }]);
    eventually(&temporal, "temporal-with-cpu.yaml", with_cpu).await;
}
