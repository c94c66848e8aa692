//! Alerts and dashboard find the HPA that KEDA makes for a trigger's object: evaluated by promtool, on
//! the HPA as the API server has it and on what the program shows.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{process, redis::Redis, scaler::page};

use super::{
    SOON,
    deploy::tools,
    needs_cluster,
    objects::{Namespace, ScaledObject, list},
    program::Program,
    timeline::Timeline,
};
use crate::watching;

#[tokio::test]
async fn an_object_at_its_maximum_is_found_by_its_hpa() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster, "watching");
    let (redis, program) = (Redis::start().await, Program::start(""));
    let trigger = list(&program.address(), &redis.address(), "jobs");
    let object = ScaledObject::new(trigger).with("maxReplicaCount", json!(3));
    namespace.scale("worker", object);
    let timeline = Timeline::start(&namespace, "worker");
    redis.rpush("jobs", 40).await;
    timeline.replicas(3, SOON).await;
    let hpa = hpa_with(&namespace, 3).await;

    let (_, metrics) = page(&program.admin(), "/metrics").await;
    let mut series = as_kube_state_metrics(&hpa);
    let of_triggers = metrics
        .lines()
        .filter(|l| l.starts_with("backlog_scaler_trigger_"));
    series.extend(of_triggers.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.to_owned())
    }));
    let labels = r#"{scaled_object="worker", scaled_object_namespace="watching"}"#;
    let implied = watching::panel("Replicas: implied, real, limits");
    let cases = json!([
        case(&watching::alert("BacklogScalerAtMaxReplicas"), labels, 3),
        // 40 jobs with 5 for each replica.
        case(&implied[0], labels, 8),
        // As if KEDA had made it with metricType Value: 8 times the replicas that there are. The
        // HPA's metric is found by its name.
        case(&implied[1].replace("\"value\"", "\"average\""), labels, 24),
        case(&implied[2], labels, 3),
        case(&implied[5], labels, 3),
    ]);
    evaluated(&series, &cases);
}

/// The HPA, once its status has so many replicas.
async fn hpa_with(namespace: &Namespace, replicas: u64) -> Value {
    let begun = Instant::now();
    loop {
        let get = ["get", "hpa", "-n", &namespace.name, "-o", "json"];
        let found = namespace.cluster.kubectl.run(&get, "");
        let found: Value = serde_json::from_str(&found).unwrap();
        let hpa = &found["items"][0];
        if hpa["status"]["currentReplicas"] == replicas {
            return hpa.clone();
        }
        assert!(begun.elapsed() < SOON, "{found:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The series that kube-state-metrics has of an HPA, by internal/store/horizontalpodautoscaler.go.
fn as_kube_state_metrics(hpa: &Value) -> Vec<(String, String)> {
    let text = |path: &str| hpa.pointer(path).and_then(Value::as_str).expect(path);
    let labels = format!(
        "namespace=\"{}\",horizontalpodautoscaler=\"{}\"",
        text("/metadata/namespace"),
        text("/metadata/name")
    );
    let numbers = [
        ("status_current_replicas", "/status/currentReplicas"),
        ("status_desired_replicas", "/status/desiredReplicas"),
        ("spec_min_replicas", "/spec/minReplicas"),
        ("spec_max_replicas", "/spec/maxReplicas"),
    ];
    let series = numbers.map(|(name, path)| {
        let value = hpa.pointer(path).expect(path).to_string();
        (
            format!("kube_horizontalpodautoscaler_{name}{{{labels}}}"),
            value,
        )
    });
    let mut series = Vec::from(series);
    let metric = text("/spec/metrics/0/external/metric/name");
    let target = text("/spec/metrics/0/external/target/averageValue");
    let labels = format!("{labels},metric_name=\"{metric}\",metric_target_type=\"average\"");
    let name = "kube_horizontalpodautoscaler_spec_target_metric";
    series.push((format!("{name}{{{labels}}}"), target.to_owned()));
    series
}

fn case(expression: &str, labels: &str, value: u64) -> Value {
    let expected = json!([{ "labels": labels, "value": value }]);
    json!({ "expr": expression, "eval_time": "10m", "exp_samples": expected })
}

fn evaluated(series: &[(String, String)], cases: &Value) {
    let dir = process::directory();
    let constant = |(series, value): &(String, String)| json!({ "series": series, "values": format!("{value}x20") });
    let series: Vec<Value> = series.iter().map(constant).collect();
    let tests = json!({
        "evaluation_interval": "1m",
        "tests": [{ "interval": "1m", "input_series": series, "promql_expr_test": cases }],
    });
    std::fs::write(dir.path().join("tests.yaml"), tests.to_string()).unwrap();
    let output = Command::new(tools().join("promtool"))
        .args(["test", "rules", "tests.yaml"])
        .current_dir(dir.path())
        .output()
        .expect("promtool: scripts/tools.sh installs it");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}\n{tests:#}");
}
