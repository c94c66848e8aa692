//! The commands that a trigger's page shows.

use std::process::Command;

use testkit::{
    process,
    redis::{self, Redis},
    require,
    scaler::{Scaler, trigger},
};

use super::{json, of_object};

#[tokio::test]
async fn the_command_with_probe_shows_what_the_server_returns() {
    if !require(redis::available(), "redis-server") {
        return;
    }
    let redis = Redis::start().await;
    redis.rpush("jobs", 36).await;
    // A connection that only the server has: `probe` by itself could not use it.
    let settings = format!(
        "connections: {{orders: {{backend: redis, address: '{}'}}}}",
        redis.address()
    );
    let scaler = Scaler::with(&settings).await;
    let work = trigger([
        ("backend", "redis"),
        ("connection", "orders"),
        ("listName", "jobs"),
    ]);
    scaler.evaluate(&work).await.unwrap();
    let list = json(&scaler, "/api/v1/triggers").await;
    let id = of_object(&list, "worker")["id"].as_str().unwrap();
    let detail = json(&scaler, &format!("/api/v1/triggers/{id}")).await;
    let commands = detail["commands"].as_array().unwrap().iter();
    let commands: Vec<_> = commands.map(|c| c["command"].as_str().unwrap()).collect();
    let probe = commands.iter().find(|text| text.contains("probe")).unwrap();

    // What kubectl writes of two kinds: a list, here of a ScaledJob.
    let dir = process::directory();
    let file = dir.path().join("objects.yaml");
    let manifest = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: keda.sh/v1alpha1\n  \
                    kind: ScaledJob\n  metadata: {name: worker, namespace: shop}\n  spec:\n    \
                    jobTargetRef: {template: {spec: {containers: []}}}\n    triggers:\n    \
                    - type: external\n      metadata: {scalerAddress: 'scaler:9090', backend: redis, \
                    connection: orders, listName: jobs}\n";
    std::fs::write(&file, manifest).unwrap();
    let (read, rest) = probe.split_once(" | ").unwrap();
    assert_eq!(
        read,
        "kubectl get scaledobject,scaledjob worker --namespace shop --ignore-not-found --output yaml"
    );
    let rest = rest.strip_prefix("backlog-scaler ").unwrap();
    assert!(rest.contains("127.0.0.1:9090"), "{rest}");
    // The port that the command before forwards is here that of the server.
    assert!(
        commands
            .iter()
            .any(|text| text.contains("port-forward") && text.ends_with(" 9090"))
    );
    let rest = rest.replace("127.0.0.1:9090", &scaler.address);
    let program = env!("CARGO_BIN_EXE_backlog-scaler");
    let script = format!("cat '{}' | '{program}' {rest}", file.display());
    let run = move || Command::new("sh").args(["-c", &script]).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    let row = shown.lines().find(|line| line.contains("shop/worker"));
    let row = row.unwrap_or_else(|| panic!("{output:?}"));
    let words: Vec<_> = row.split_whitespace().collect();
    let then = ["(ScaledJob)", "0", "external/redis", "ok", "36", "5"];
    assert_eq!(words[1..7], then, "{row}");
    assert!(output.status.success(), "{output:?}");
}
