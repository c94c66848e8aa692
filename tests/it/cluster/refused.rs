//! What `check` calls an error is what a real API server or KEDA refuses, and what it calls a field without
//! effect is what the API server drops.

use std::{io::Write, process::Command, time::Instant};

use serde_json::Value;

use super::{SOON, needs_cluster, objects::Namespace, program::executable};

const SOUND: &str = "apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: worker
spec:
  scaleTargetRef:
    name: worker
  pollingInterval: 30
  maxReplicaCount: 20
  fallback:
    failureThreshold: 3
    replicas: 5
  triggers:
    - type: external
      metadata:
        scalerAddress: 127.0.0.1:1
        backend: redis
        address: 127.0.0.1:2
        listName: jobs
        listLength: \"5\"
";

/// The codes of a manifest's findings, but for those that are no matter of fields.
fn codes(text: &str) -> Vec<String> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("the manifest");
    let output = Command::new(executable())
        .args(["check", "-o", "json"])
        .arg(file.path())
        .output()
        .expect("it starts");
    let output: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = output["findings"].as_array().expect("findings").iter();
    let codes = findings.map(|finding| finding["code"].as_str().expect("a code").to_owned());
    codes.filter(|code| code != "no-fallback").collect()
}

/// As Helm, Argo CD and Flux send it: without kubectl's own validation.
const UNCHECKED: [&str; 7] = [
    "create",
    "--dry-run=server",
    "--validate=ignore",
    "-o",
    "json",
    "-f",
    "-",
];

#[test]
fn what_the_api_server_refuses_is_an_error_and_what_it_drops_a_warning() {
    let cluster = needs_cluster!();
    let kubectl = &cluster.kubectl;
    assert_eq!(codes(SOUND), [""; 0]);
    kubectl.run(&UNCHECKED, SOUND);

    let polling = "pollingInterval: 30";
    let fallback = "  fallback:\n    failureThreshold: 3\n    replicas: 5\n";
    for (place, bad) in [
        (polling, "pollingInterval: \"30\""),
        (polling, "pollingInterval: 0"),
        (polling, "cooldownPeriod: \"300\""),
        (polling, "cooldownPeriod: 300s"),
        (fallback, "  fallback: {failureThreshold: 3}\n"),
        (fallback, "  fallback: {replicas: 3}\n"),
        (
            fallback,
            "  fallback: {failureThreshold: 3, replicas: 3, behavior: other}\n",
        ),
        ("maxReplicaCount: 20", "maxReplicaCount: 0"),
        (
            fallback,
            "  advanced: {restoreToOriginalReplicaCount: \"true\"}\n",
        ),
        (
            fallback,
            "  advanced: {scalingModifiers: {formula: a, target: 5}}\n",
        ),
        (
            fallback,
            "  advanced: {horizontalPodAutoscalerConfig: {behavior: {scaleUp: {policies: [{type: Pods}]}}}}\n",
        ),
        ("  scaleTargetRef:\n    name: worker\n", ""),
    ] {
        let text = SOUND.replacen(place, bad, 1);
        assert_ne!(text, SOUND, "{bad}");
        assert_eq!(codes(&text), ["invalid-field"], "{bad}");
        let refused = kubectl.attempt(&UNCHECKED, &text);
        let reason = refused.expect_err(bad);
        assert!(reason.contains("is invalid: "), "{bad}: {reason}");
    }

    for (place, bad, field) in [
        (
            "maxReplicaCount: 20",
            "maxReplicasCount: 20",
            "/spec/maxReplicasCount",
        ),
        (
            fallback,
            "  advanced: {horizontalPodAutoscalerConfig: {behaviour: {scaleDown: {stabilizationWindowSeconds: 10}}}}\n",
            "/spec/advanced/horizontalPodAutoscalerConfig/behaviour",
        ),
    ] {
        let text = SOUND.replacen(place, bad, 1);
        assert_eq!(codes(&text), ["unknown-field"], "{bad}");
        let created: Value = serde_json::from_str(&kubectl.run(&UNCHECKED, &text)).expect("JSON");
        assert_eq!(created.pointer(field), None, "{created:#}");
        let strict = kubectl.attempt(&["create", "--dry-run=server", "-f", "-"], &text);
        let reason = strict.expect_err(bad);
        assert!(reason.contains("unknown field"), "{reason}");
    }

    for other in [
        "pollingInterval: 30.0",
        "pollingInterval: 0042",
        "pollingInterval:",
    ] {
        let text = SOUND.replacen(polling, other, 1);
        assert_eq!(codes(&text), [""; 0], "{other}");
        kubectl.run(&UNCHECKED, &text);
    }
}

#[tokio::test]
async fn what_keda_refuses_is_an_error() {
    let cluster = needs_cluster!();
    let behavior = "  advanced: {horizontalPodAutoscalerConfig: {behavior: {scaleDown: {stabilizationWindowSeconds: 4000}}}}\n  fallback:";
    for (number, (place, bad, code, said)) in [
        (
            "type: external",
            "type: extrenal",
            "unknown-type",
            "no scaler found for type: extrenal",
        ),
        (
            "type: external",
            "type: External",
            "unknown-type",
            "no scaler found for type: External",
        ),
        (
            "  fallback:",
            "  advanced: {scalingModifiers: {formula: a}}\n  fallback:",
            "invalid-field",
            "target is empty",
        ),
        (
            "  fallback:",
            behavior,
            "invalid-field",
            "must be less than or equal to 3600",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let text = SOUND.replacen(place, bad, 1);
        assert_eq!(codes(&text), [code], "{bad}");
        let namespace = Namespace::new(cluster.clone(), &format!("refused-{number}"));
        namespace.deploy("worker");
        // KEDA needs the metric's name before it creates an HPA: `cron` has one without a server.
        let cron = "  triggers:\n    - type: cron\n      metadata: {timezone: Etc/UTC, start: 0 0 * * *, \
                    end: 59 23 * * *, desiredReplicas: \"1\"}\n";
        let text = match bad.contains("stabilizationWindow") {
            true => text.split("  triggers:").next().expect("a spec").to_owned() + cron,
            false => text,
        };
        let create = ["create", "-n", &namespace.name, "-f", "-"];
        // KEDA's webhooks are not installed here: its operator says what they would refuse.
        cluster.kubectl.run(&create, &text);
        let begun = Instant::now();
        loop {
            let log = cluster.keda_log(&namespace.name);
            if log.iter().any(|line| line.contains(said)) {
                break;
            }
            assert!(
                begun.elapsed() < SOON,
                "{bad}: KEDA does not say `{said}`: {log:#?}"
            );
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        let object = cluster
            .kubectl
            .get(&namespace.name, &["scaledobject", "worker"]);
        let conditions = object["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let ready = conditions
            .iter()
            .find(|condition| condition["type"] == "Ready");
        assert_ne!(
            ready.map(|ready| &ready["status"]),
            Some(&Value::from("True")),
            "{object:#}"
        );
    }
}
