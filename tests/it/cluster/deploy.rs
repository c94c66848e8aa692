//! What `deploy/` renders, accepted by this API server, and the chart's way through its life.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    SOON,
    control_plane::ControlPlane,
    needs_cluster,
    objects::{NODE, Namespace},
};

/// Names the folder of `scripts/tools.sh` with helm, kustomize and promtool.
const TOOLS: &str = "DEPLOY_TOOLS";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn tools() -> PathBuf {
    let tools = std::env::var_os(TOOLS);
    tools
        .unwrap_or_else(|| panic!("{TOOLS} is not set; `make test-cluster` sets it"))
        .into()
}

/// Output of a command that must succeed.
fn run(command: &mut Command) -> String {
    let output = command.current_dir(root()).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{text}{errors}");
    text.into_owned()
}

/// Those of the Prometheus operator and of cert-manager, whose objects `deploy/` has.
pub fn apply_crds(cluster: &ControlPlane) {
    let script = root().join("scripts/charts-apply.sh");
    for folder in run(Command::new(&script).arg("--crds")).lines() {
        cluster
            .kubectl
            .run(&["apply", "--server-side", "-f", folder], "");
        let wait = [
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "-f",
            folder,
        ];
        cluster.kubectl.run(&wait, "");
    }
}

#[test]
fn every_manifest_is_accepted_under_restricted_pod_security() {
    let cluster = needs_cluster!();
    apply_crds(&cluster);
    let script = root().join("scripts/charts-apply.sh");
    let report = run(Command::new(&script)
        .arg(tools())
        .env("KUBECTL", cluster.kubectl.program())
        .env("KUBECONFIG", cluster.kubectl.config()));
    println!("{report}");
}

#[test]
fn the_chart_is_installed_upgraded_and_uninstalled() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster, "chart");
    let level = "pod-security.kubernetes.io/enforce=restricted";
    let label = ["label", "namespace", &namespace.name, level];
    namespace.cluster.kubectl.run(&label, "");
    let helm = |arguments: &[&str]| {
        let mut helm = Command::new(tools().join("helm"));
        helm.args(["--namespace", &namespace.name])
            .args(arguments)
            .env("KUBECONFIG", namespace.cluster.kubectl.config());
        run(&mut helm)
    };
    let chart = "deploy/helm/backlog-scaler";
    let image = "image.repository=registry.example/backlog-scaler";
    // Half a minute for each pod, otherwise.
    let quick = ["--set", image, "--set", "minReadySeconds=0"];

    helm(&[&["install", "backlog-scaler", chart], &quick[..]].concat());
    rolled_out(&namespace, 2);
    let more = ["--set", "replicas=3", "--set", "settings.log.format=json"];
    helm(&[&["upgrade", "backlog-scaler", chart], &quick[..], &more].concat());
    rolled_out(&namespace, 3);
    helm(&["rollback", "backlog-scaler", "1"]);
    rolled_out(&namespace, 2);
    helm(&["uninstall", "backlog-scaler"]);
    let kinds = "deployments,services,serviceaccounts,configmaps,secrets,networkpolicies,poddisruptionbudgets";
    let selector = "app.kubernetes.io/name=backlog-scaler";
    let left = namespace
        .cluster
        .kubectl
        .get(&namespace.name, &[kinds, "-l", selector]);
    assert_eq!(left["items"], json!([]), "nothing is left");
    println!("chart: installed, upgraded, rolled back, uninstalled");
}

/// Places the pods as a scheduler would, until the Deployment has rolled out: KWOK runs what has a
/// node.
fn rolled_out(namespace: &Namespace, replicas: u32) {
    let begun = Instant::now();
    loop {
        let deployment = namespace
            .cluster
            .kubectl
            .get(&namespace.name, &["deployment", "backlog-scaler"]);
        let status = &deployment["status"];
        let generation = &deployment["metadata"]["generation"];
        let counts = [
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
        ];
        let complete = counts.iter().all(|count| status[count] == replicas);
        if complete && status["observedGeneration"] == *generation {
            return;
        }
        assert!(begun.elapsed() < SOON, "not rolled out: {deployment:#}");
        place(&namespace.cluster, &namespace.name);
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn place(cluster: &ControlPlane, namespace: &str) {
    let pods = cluster.kubectl.get(namespace, &["pods"]);
    for pod in pods["items"].as_array().expect("a list") {
        if pod["spec"]["nodeName"] != Value::Null {
            continue;
        }
        let name = pod["metadata"]["name"].as_str().expect("a name");
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace},
            "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
        });
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/binding");
        let bind = ["create", "--raw", &path, "-f", "-"];
        cluster.kubectl.run(&bind, &binding.to_string());
    }
}
