//! What `kubectl describe` shows of a trigger that is refused or cannot be read.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{process, redis::Redis, scaler::Scaler};
use tokio::time::sleep;

use super::{
    door::{self, Door},
    needs_cluster, scaled_object,
    scaling::{apply_in, metadata, settings, value},
    trigger,
};
use crate::cluster::{SOON, control_plane::ControlPlane, objects::Namespace, program::Program};

type Keys = Vec<(String, String)>;

/// A trigger of a list, without an authentication.
fn list(address: &str, list: &str) -> Value {
    let keys = [
        ("backend", "redis"),
        ("scalerAddress", "127.0.0.1:1"),
        ("address", address),
        ("listName", list),
        ("freshFor", "0"),
    ];
    trigger(&keys, None)
}

/// Our events of a namespace: type, reason, note and how often, the oldest first.
fn events(cluster: &ControlPlane, namespace: &str) -> Vec<(String, String, String, i64)> {
    let list = cluster.kubectl.get(namespace, &["events.events.k8s.io"]);
    let items = list["items"].as_array().expect("a list");
    let ours = items
        .iter()
        .filter(|event| event["reportingController"] == "backlog-scaler");
    let mut ours: Vec<&Value> = ours.collect();
    ours.sort_by_key(|event| event["eventTime"].to_string());
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let shown = ours.into_iter().map(|event| {
        assert_eq!(event["regarding"]["kind"], "ScaledObject", "{event}");
        let count = event["series"]["count"].as_i64().unwrap_or(1);
        let (kind, reason) = (text(&event["type"]), text(&event["reason"]));
        (kind, reason, text(&event["note"]), count)
    });
    shown.collect()
}

/// Calls until so many events are there; the last result is returned with them.
async fn until_events(
    scaler: &str,
    cluster: &ControlPlane,
    namespace: &str,
    trigger: &Keys,
    wanted: usize,
) -> Vec<(String, String, String, i64)> {
    let begun = Instant::now();
    loop {
        let called = value(scaler, namespace, trigger.clone()).await;
        let events = events(cluster, namespace);
        if events.len() == wanted {
            return events;
        }
        let late = begun.elapsed() > SOON || events.len() > wanted;
        assert!(!late, "{called:?}\n{events:#?}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Calls many times, which is no news.
async fn call_often(scaler: &str, namespace: &str, trigger: &Keys) {
    for _ in 0..20 {
        let _ = value(scaler, namespace, trigger.clone()).await;
    }
    sleep(Duration::from_millis(500)).await;
}

#[tokio::test]
async fn kubectl_describe_shows_what_is_wrong_with_a_trigger_and_that_it_is_well_again() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster.clone(), "events");
    let redis = Redis::start().await;
    redis.rpush("jobs", 7).await;
    let scaler = Scaler::with(&settings(&cluster)).await;
    let scaler = scaler.address.clone();
    let good = list(&redis.address(), "jobs");
    let mut bad = list(&redis.address(), "mail");
    bad["metadata"]["listLenght"] = "5".into();
    let cpu = json!({"type": "cpu", "metadata": {"value": "50"}, "metricType": "Utilization"});
    apply_in(
        &cluster,
        "events",
        scaled_object(vec![cpu.clone(), good.clone(), bad.clone()]),
    );

    // Refused: one event, however often it is called.
    let seen = until_events(&scaler, &cluster, "events", &metadata(&bad), 1).await;
    let refused = "triggers[2]: listLenght: unknown key; did you mean `listLength`?";
    let (kind, reason, note, count) = &seen[0];
    assert_eq!(
        (kind.as_str(), reason.as_str(), *count),
        ("Warning", "TriggerRefused", 1)
    );
    assert!(note.starts_with(refused), "{note}");
    call_often(&scaler, "events", &metadata(&bad)).await;
    // Well from the beginning: none.
    call_often(&scaler, "events", &metadata(&good)).await;
    assert_eq!(events(&cluster, "events").len(), 1);

    // Who claims the name, with what no trigger has, writes nothing.
    let mut claimed = list("127.0.0.1:1", "jobs");
    call_often(&scaler, "events", &metadata(&claimed)).await;
    claimed["metadata"]["listLenght"] = "5".into();
    call_often(&scaler, "events", &metadata(&claimed)).await;
    assert_eq!(events(&cluster, "events").len(), 1);

    // Not readable, and readable again.
    redis.kill();
    let seen = until_events(&scaler, &cluster, "events", &metadata(&good), 2).await;
    let (kind, reason, note, _) = &seen[1];
    let away = ("Warning", "BackendUnreachable");
    assert_eq!((kind.as_str(), reason.as_str()), away);
    let place = format!("triggers[1]: redis {}", redis.address());
    assert!(note.starts_with(&place), "{note}");
    assert!(
        note.ends_with("The last good value is used for now."),
        "{note}"
    );
    redis.restart().await;
    let seen = until_events(&scaler, &cluster, "events", &metadata(&good), 3).await;
    let (kind, reason, note, _) = &seen[2];
    assert_eq!(
        (kind.as_str(), reason.as_str()),
        ("Normal", "TriggerRecovered")
    );
    assert!(
        note.starts_with("triggers[1]: metric redis-jobs-"),
        "{note}"
    );
    assert!(
        note.ends_with("is read (before: BackendUnreachable)"),
        "{note}"
    );
    call_often(&scaler, "events", &metadata(&good)).await;

    // The typing error is corrected.
    let corrected = list(&redis.address(), "mail");
    apply_in(
        &cluster,
        "events",
        scaled_object(vec![cpu, good.clone(), corrected.clone()]),
    );
    let seen = until_events(&scaler, &cluster, "events", &metadata(&corrected), 4).await;
    assert!(
        seen[3].2.ends_with("is read (before: TriggerRefused)"),
        "{seen:#?}"
    );

    // The same once more is counted in the events that are there.
    redis.kill();
    let begun = Instant::now();
    loop {
        let _ = value(&scaler, "events", metadata(&good)).await;
        let seen = events(&cluster, "events");
        assert_eq!(seen.len(), 4, "{seen:#?}");
        if seen[1].3 == 2 {
            break;
        }
        assert!(begun.elapsed() < SOON, "{seen:#?}");
        sleep(Duration::from_millis(100)).await;
    }
    let describe = ["describe", "scaledobject", "worker", "-n", "events"];
    let described = cluster.kubectl.run(&describe, "");
    println!("{described}");
    for text in [
        refused,
        &place,
        "TriggerRecovered",
        "(x2 over",
        "backlog-scaler",
    ] {
        assert!(described.contains(text), "{text}\n{described}");
    }
    drop(namespace);
}

#[tokio::test]
async fn values_that_only_a_caller_has_are_in_no_event() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster.clone(), "events-env");
    let scaler = Scaler::with(&settings(&cluster)).await;
    let env = json!([{"name": "REDIS", "value": "127.0.0.1:1"}]);
    apply_in(&cluster, "events-env", super::deployment(env, json!([])));
    let keys = [
        ("backend", "redis"),
        ("scalerAddress", "127.0.0.1:1"),
        ("addressFromEnv", "REDIS"),
        ("listName", "jobs"),
    ];
    let written = trigger(&keys, None);
    apply_in(&cluster, "events-env", scaled_object(vec![written.clone()]));
    let sent = |address: &str| {
        let mut sent = written.clone();
        sent["metadata"]["addressFromEnv"] = address.into();
        metadata(&sent)
    };
    let forged = sent("127.0.0.1:2");
    let begun = Instant::now();
    loop {
        call_often(&scaler.address, "events-env", &forged).await;
        let (_, page) = scaler.page("/metrics").await;
        if page.contains("backlog_scaler_kubernetes_events_total{outcome=\"not_theirs\"}") {
            break;
        }
        assert!(begun.elapsed() < SOON, "{page}");
    }
    assert_eq!(events(&cluster, "events-env"), []);
    let seen = until_events(
        &scaler.address,
        &cluster,
        "events-env",
        &sent("127.0.0.1:1"),
        1,
    )
    .await;
    assert!(seen[0].2.contains("redis 127.0.0.1:1"), "{seen:#?}");
    drop(namespace);
}

#[tokio::test]
async fn events_are_lost_while_the_api_server_is_away_and_calls_are_not() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster.clone(), "events-away");
    let (folder, door) = (
        process::directory(),
        Door::to(door::api_server(&cluster)).await,
    );
    let kubeconfig = door.kubeconfig(&cluster, folder.path(), None);
    let yaml = format!(
        "kubernetes: {{enabled: true, kubeconfig: {}}}\n",
        kubeconfig.display()
    );
    let scaler = Scaler::with(&yaml).await;
    let redis = Redis::start().await;
    redis.rpush("jobs", 7).await;
    let (jobs, mail) = (list(&redis.address(), "jobs"), list("127.0.0.1:1", "mail"));
    apply_in(
        &cluster,
        "events-away",
        scaled_object(vec![jobs.clone(), mail.clone()]),
    );
    let (jobs, mail) = (metadata(&jobs), metadata(&mail));
    until_events(&scaler.address, &cluster, "events-away", &mail, 1).await;
    let called = value(&scaler.address, "events-away", jobs.clone()).await;
    assert_eq!(called.unwrap(), 7.0);

    door.close();
    redis.kill();
    let begun = Instant::now();
    let lost = "backlog_scaler_kubernetes_events_total{outcome=\"unreachable\"} 1";
    loop {
        let called = Instant::now();
        let value = value(&scaler.address, "events-away", jobs.clone()).await;
        assert!(called.elapsed() < Duration::from_secs(5), "{value:?}");
        let (_, page) = scaler.page("/metrics").await;
        if page.contains(lost) {
            break;
        }
        assert!(begun.elapsed() < SOON, "{value:?}\n{page}");
        sleep(Duration::from_millis(100)).await;
    }
    door.open();
    redis.restart().await;
    let seen = until_events(&scaler.address, &cluster, "events-away", &jobs, 2).await;
    assert_eq!(seen[1].1, "TriggerRecovered", "{seen:#?}");
    drop(namespace);
}

/// A kubeconfig of a ServiceAccount that may read what KEDA has, and nothing else.
fn reader(cluster: &Arc<ControlPlane>, folder: &std::path::Path) -> String {
    let (name, api) = ("events-reader", "rbac.authorization.k8s.io");
    let rule = json!({
        "apiGroups": ["keda.sh"], "resources": ["*"], "verbs": ["get", "list", "watch"],
    });
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": name},
    });
    let role = json!({
        "apiVersion": format!("{api}/v1"), "kind": "ClusterRole",
        "metadata": {"name": name}, "rules": [rule],
    });
    let binding = json!({
        "apiVersion": format!("{api}/v1"), "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": name}],
    });
    let all = json!({"apiVersion": "v1", "kind": "List", "items": [account, role, binding]});
    cluster.kubectl.apply(&all.to_string());
    let token = cluster
        .kubectl
        .run(&["create", "token", name, "-n", name], "");
    let text = std::fs::read_to_string(cluster.kubectl.config()).expect("a kubeconfig");
    let text = text.replace("token: administrator", &format!("token: {}", token.trim()));
    let file = folder.join("kubeconfig");
    std::fs::write(&file, text).expect("a kubeconfig");
    file.display().to_string()
}

#[tokio::test]
async fn without_the_permission_events_cost_one_line_in_the_log() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster.clone(), "events-reader");
    let folder = process::directory();
    let kubeconfig = reader(&cluster, folder.path());
    let program = Program::start(&format!(
        "kubernetes: {{enabled: true, kubeconfig: {kubeconfig}}}\n"
    ));
    let redis = Redis::start().await;
    let (jobs, mail) = (list("127.0.0.1:1", "jobs"), list(&redis.address(), "mail"));
    apply_in(
        &cluster,
        "events-reader",
        scaled_object(vec![jobs.clone(), mail.clone()]),
    );
    let begun = Instant::now();
    let lost = "backlog_scaler_kubernetes_events_total{outcome=\"unauthorized\"}";
    let failures = || program.log().matches("an event cannot be written").count();
    let page = async || testkit::scaler::page(&program.admin(), "/metrics").await.1;
    while !page().await.contains(lost) {
        let called = value(&program.address(), "events-reader", metadata(&jobs)).await;
        assert!(called.is_err() && begun.elapsed() < SOON, "{called:?}");
        sleep(Duration::from_millis(100)).await;
    }
    // More to write, and the other trigger is read all the time.
    let called = value(&program.address(), "events-reader", metadata(&mail)).await;
    assert_eq!(called.unwrap(), 0.0);
    redis.kill();
    let two = format!("{lost} 2");
    while !page().await.contains(&two) {
        let called = value(&program.address(), "events-reader", metadata(&mail)).await;
        assert!(begun.elapsed() < SOON, "{called:?}");
        sleep(Duration::from_millis(100)).await;
    }
    let log = program.log();
    assert_eq!(failures(), 1, "{log}");
    let expected = "the permission to create events.events.k8s.io in namespace events-reader is \
                    missing for system:serviceaccount:events-reader:events-reader";
    assert!(log.contains(expected), "{log}");
    for object in ["clusterrole", "clusterrolebinding"] {
        cluster
            .kubectl
            .run(&["delete", object, "events-reader"], "");
    }
    drop(namespace);
}

#[tokio::test]
async fn switched_off_nothing_is_written() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster.clone(), "events-off");
    let off = settings(&cluster).replace("enabled: true", "enabled: true, events: false");
    let scaler = Scaler::with(&off).await;
    let jobs = list("127.0.0.1:1", "jobs");
    apply_in(&cluster, "events-off", scaled_object(vec![jobs.clone()]));
    sleep(Duration::from_secs(1)).await;
    call_often(&scaler.address, "events-off", &metadata(&jobs)).await;
    let (_, page) = scaler.page("/metrics").await;
    assert!(!page.contains("resource=\"events\""), "{page}");
    assert_eq!(events(&cluster, "events-off"), []);
    drop(namespace);
}
