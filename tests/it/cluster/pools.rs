//! The Temporal systems of `deploy/examples`: each directory is applied whole, and real KEDA scales its
//! pools up and down as their queues fill and drain. Only the addresses are others, and minutes are
//! seconds.

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::Value;
use testkit::{require, temporal, temporal::Temporal};

use super::{
    SOON,
    control_plane::ControlPlane,
    deploy, needs_cluster,
    objects::{NODE, Namespace},
    program::Program,
    timeline::Timeline,
};

/// Applies a directory, with real addresses in place of its own. Its namespace has its name.
pub fn apply(
    cluster: &Arc<ControlPlane>,
    directory: &str,
    addresses: &[(&str, String)],
) -> Namespace {
    deploy::apply_crds(cluster);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples");
    let folder = folder.join(directory).display().to_string();
    let mut text = cluster.kubectl.run(&["kustomize", &folder], "");
    for (address, real) in addresses {
        assert!(text.contains(address), "{directory} has no {address}");
        text = text.replace(address, real);
    }
    let documents = text.split("\n---\n").map(|document| {
        let mut object: Value = serde_saphyr::from_str(document).expect("is YAML");
        quicken(&mut object);
        object
    });
    // Its template cannot be changed, as it would be by the dry run of what is in the directory.
    let documents = documents.filter(|object| object["kind"] != "Job");
    let list = serde_json::json!({
        "apiVersion": "v1", "kind": "List", "items": Vec::from_iter(documents),
    });
    // The namespace comes first in what kustomize prints.
    let namespace = Namespace::new(cluster.clone(), directory);
    cluster
        .kubectl
        .run(&["apply", "-f", "-"], &list.to_string());
    // What is in the directory as it is: the namespace that it needs is there now.
    let whole = [
        "apply",
        "--dry-run=server",
        "--warnings-as-errors",
        "-k",
        &folder,
    ];
    cluster.kubectl.run(&whole, "");
    namespace
}

/// The HPA scales nothing down while one of its metrics cannot be read, and there is no
/// metrics-server here.
pub fn without_cpu_and_memory(namespace: &Namespace, name: &str) {
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

/// There is no scheduler, so pods name KWOK's node; and what takes minutes takes seconds.
fn quicken(object: &mut Value) {
    let spec = &mut object["spec"];
    if has(spec, "template") {
        spec["template"]["spec"]["nodeName"] = NODE.into();
        spec["template"]["spec"]["terminationGracePeriodSeconds"] = 0.into();
    }
    if has(spec, "triggers") {
        spec["pollingInterval"] = 2.into();
        spec["cooldownPeriod"] = 10.into();
        let behavior = &mut spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"];
        for direction in ["scaleUp", "scaleDown"] {
            let rules = &mut behavior[direction];
            let window = rules["stabilizationWindowSeconds"].as_u64().unwrap_or(0);
            rules["stabilizationWindowSeconds"] = (window / 60).into();
            for policy in rules["policies"].as_array_mut().into_iter().flatten() {
                policy["periodSeconds"] = 1.into();
            }
        }
    }
}

fn has(spec: &Value, field: &str) -> bool {
    spec.get(field).is_some()
}

/// A program and a Temporal server, with the addresses that the directories have for them.
async fn temporal() -> (Program, Temporal, [(&'static str, String); 2]) {
    let (program, temporal) = (Program::start(""), Temporal::builder().start().await);
    let addresses = [
        ("backlog-scaler.keda.svc:9090", program.address()),
        ("temporal-frontend.temporal.svc:7233", temporal.address()),
    ];
    (program, temporal, addresses)
}

/// Takes so many workflow tasks of a queue, as workers would.
async fn work(temporal: &Temporal, queue: &str, tasks: usize) {
    let poller = temporal.poller(queue).await;
    for _ in 0..tasks {
        poller.complete_one(Vec::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_go_up_above_ten_and_down_below_three() {
    let cluster = needs_cluster!();
    if !require(temporal::available(), "Temporal") {
        return;
    }
    let (_program, temporal, addresses) = temporal().await;
    let namespace = apply(&cluster, "documents", &addresses);
    let timeline = Timeline::start(&namespace, "documents-worker");
    timeline.replicas(3, SOON).await;
    temporal.start_workflows("documents", 100).await;
    timeline.backlog(100);
    timeline.replicas(10, SOON).await;
    work(&temporal, "documents", 60).await;
    timeline.backlog(40);
    timeline.note("4 for each of them: not below 3");
    timeline.held(10, Duration::from_secs(12)).await;
    work(&temporal, "documents", 40).await;
    timeline.backlog(0);
    timeline.replicas(3, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_pool_of_incidents_follows_its_own_queue() {
    let cluster = needs_cluster!();
    if !require(temporal::available(), "Temporal") {
        return;
    }
    let (_program, temporal, addresses) = temporal().await;
    let namespace = apply(&cluster, "incidents", &addresses);
    let timeline = Timeline::start(&namespace, "incident-worker");
    let urgent = Timeline::quiet(&namespace, "urgent-worker");
    timeline.replicas(1, SOON).await;
    temporal.start_workflows("incidents", 450).await;
    timeline.backlog(450);
    timeline.replicas(5, SOON).await;
    urgent.held(1, Duration::from_secs(3)).await;
    // Without a metrics server the cpu trigger fails, and a failing metric keeps the HPA from scaling
    // down: as it should.
    work(&temporal, "incidents", 450).await;
    timeline.backlog(0);
    timeline.held(5, Duration::from_secs(8)).await;
    let without_cpu = r#"[{"op": "remove", "path": "/spec/triggers/1"}]"#;
    let patch = ["patch", "scaledobject", "incident-worker", "--type=json"];
    let patch = [
        &["-n", &namespace.name],
        &patch[..],
        &["--patch", without_cpu],
    ]
    .concat();
    cluster.kubectl.run(&patch, "");
    timeline.replicas(1, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_scaled_by_all_shards_and_by_waiting_time() {
    let cluster = needs_cluster!();
    if !require(temporal::available(), "Temporal") {
        return;
    }
    let (_program, temporal, addresses) = temporal().await;
    let namespace = apply(&cluster, "tenants-and-jobs", &addresses);
    let timeline = Timeline::start(&namespace, "tenant");
    let jobs = Timeline::quiet(&namespace, "jobs");
    timeline.replicas(2, SOON).await;
    let shards = ["acme-tenant-0", "acme-tenant-31", "acme-tenant-63"];
    for shard in shards {
        temporal.start_workflows(shard, 20).await;
    }
    timeline.backlog(60);
    timeline.replicas(3, SOON).await;
    timeline.note("nobody takes them: they wait longer than 10 s");
    let more = timeline.until("more replicas", SOON, |seen| seen.replicas > 3);
    more.await;
    jobs.held(1, Duration::from_secs(1)).await;
    for shard in shards {
        work(&temporal, shard, 20).await;
    }
    timeline.backlog(0);
    timeline.replicas(2, SOON).await;
}
