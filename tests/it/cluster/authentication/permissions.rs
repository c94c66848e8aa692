//! The least permissions, and what happens without each of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use backlog_scaler::{error::Kind, kubernetes::Event};
use serde_json::{Value, json};

use super::{
    JOBS, Scene, authentication, config_map, deployment, needs_cluster, pairs, scaled_object,
    secret, secret_key, trigger,
};
use crate::cluster::{
    SOON,
    control_plane::{ControlPlane, KEDA},
    objects::Namespace,
};

/// What a Role must allow: group, resource, verb.
const NEEDED: [(&str, &str, &str); 16] = [
    ("keda.sh", "scaledobjects", "list"),
    ("keda.sh", "scaledobjects", "watch"),
    ("keda.sh", "scaledobjects", "get"),
    ("keda.sh", "scaledjobs", "list"),
    ("keda.sh", "scaledjobs", "watch"),
    ("keda.sh", "scaledjobs", "get"),
    ("keda.sh", "triggerauthentications", "list"),
    ("keda.sh", "triggerauthentications", "watch"),
    ("", "secrets", "get"),
    ("", "secrets", "watch"),
    ("", "configmaps", "get"),
    ("", "configmaps", "watch"),
    ("apps", "deployments", "get"),
    ("apps", "deployments", "watch"),
    ("events.k8s.io", "events", "create"),
    ("events.k8s.io", "events", "patch"),
];

const NAMESPACE: &str = "auth-rbac";
const USER: &str = "system:serviceaccount:auth-rbac:scaler";

fn rule(group: &str, resource: &str, verb: &str) -> Value {
    let mut rule = json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]});
    // Also a watch is allowed for one name alone, if its field selector names it.
    if matches!(resource, "secrets" | "configmaps") {
        rule["resourceNames"] = json!(["redis"]);
    }
    rule
}

/// A Role, or a ClusterRole without a namespace, and its binding to the ServiceAccount.
fn allow(namespace: &Namespace, in_namespace: bool, rules: Vec<Value>) {
    let (kind, name) = match in_namespace {
        true => ("Role", "scaler"),
        false => ("ClusterRole", "auth-rbac-scaler"),
    };
    let mut metadata = json!({"name": name});
    if in_namespace {
        metadata["namespace"] = NAMESPACE.into();
    }
    let api = "rbac.authorization.k8s.io";
    let role = json!({
        "apiVersion": format!("{api}/v1"), "kind": kind, "metadata": metadata, "rules": rules,
    });
    let binding = json!({
        "apiVersion": format!("{api}/v1"),
        "kind": format!("{kind}Binding"),
        "metadata": metadata,
        "roleRef": {"apiGroup": api, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "scaler", "namespace": NAMESPACE}],
    });
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]});
    namespace.cluster.kubectl.apply(&objects.to_string());
}

fn allow_all_but(namespace: &Namespace, missing: Option<(&str, &str, &str)>) {
    let rules = NEEDED.iter().filter(|needed| Some(**needed) != missing);
    let rules = rules.map(|(group, resource, verb)| rule(group, resource, verb));
    allow(namespace, true, rules.collect());
}

fn allow_cluster(namespace: &Namespace, verbs: &[&str]) {
    let rules = verbs
        .iter()
        .map(|verb| rule("keda.sh", "clustertriggerauthentications", verb));
    allow(namespace, false, rules.collect());
}

/// A client with the ServiceAccount's token.
async fn scene(namespace: &Arc<Namespace>) -> Scene {
    let create = ["create", "token", "scaler", "-n", NAMESPACE];
    let token = namespace.cluster.kubectl.run(&create, "");
    let namespaces = vec![NAMESPACE.to_owned()];
    Scene::of(namespace.clone(), Some(token.trim()), namespaces).await
}

/// Waits until a failure is reported: by the look-up, or by a watch. The API server applies a Role a
/// moment after it was written, so that the first results may be those of the one before.
async fn fails(scene: &Scene, name: &str, metadata: &[(&str, &str)], expected: &str) {
    let begun = Instant::now();
    loop {
        let sent = super::sent(metadata);
        let resolved = scene.kubernetes.resolve(NAMESPACE, name, &sent).await;
        let resolved = resolved.map_err(|error| error.to_string());
        let mut errors = scene
            .kubernetes
            .problems()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        errors.extend(resolved.err());
        if errors.iter().any(|error| error.contains(expected)) {
            return;
        }
        assert!(begun.elapsed() < SOON, "expected {expected}\n{errors:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Writes an event for the object twice, so that it is created and then counted.
async fn write_twice(scene: &Scene) -> Result<(), String> {
    let namespace = &scene.namespace.name;
    let begun = Instant::now();
    let standing = loop {
        let sent = super::sent(JOBS);
        if let Some(standing) = scene.kubernetes.standing(namespace, "worker", &sent) {
            break standing;
        }
        assert!(begun.elapsed() < SOON, "the object is not known");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let event = Event {
        object: standing.object,
        uid: standing.uid,
        is_warning: true,
        reason: "TriggerRefused",
        note: "listLenght: unknown key".to_owned(),
        class: 1,
    };
    let writer = scene.kubernetes.event_writer();
    for _ in 0..2 {
        let written = writer.write(&event).await;
        written.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Waits until an event cannot be written, with this error.
async fn cannot_write(scene: &Scene, expected: &str) {
    let begun = Instant::now();
    loop {
        let written = write_twice(scene).await;
        if written
            .as_ref()
            .is_err_and(|error| error.contains(expected))
        {
            return;
        }
        assert!(begun.elapsed() < SOON, "{written:?}\nexpected {expected}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The objects of the chart that give rights, as it renders them, with this namespace for `shop`.
fn of_chart(case: &str, namespace: &str) -> Vec<String> {
    let root = env!("CARGO_MANIFEST_DIR");
    let file = format!("{root}/deploy/helm/tests/golden/{case}.yaml");
    let text = std::fs::read_to_string(file).expect("what the chart renders");
    let objects = text.split("---\n").filter(|object| {
        let of = |name| object.contains(&format!("backlog-scaler/templates/{name}.yaml"));
        let is_elsewhere = ["mail", "autoscaling"]
            .iter()
            .any(|other| object.contains(&format!("namespace: {other}\n")));
        (of("rbac") || of("serviceaccount")) && !is_elsewhere
    });
    let shop = format!("namespace: {namespace}\n");
    objects
        .map(|object| object.replace("namespace: shop\n", &shop))
        .collect()
}

/// Whether the rights of the chart are enough for everything that is read.
async fn suffices(cluster: &Arc<ControlPlane>, case: &str, in_one_namespace: bool) {
    let name = format!("auth-{case}");
    let namespace = Arc::new(Namespace::new(cluster.clone(), &name));
    let rights = of_chart(case, &name);
    assert!(rights.len() >= 3, "{rights:?}");
    let rights = rights.join("---\n");
    cluster.kubectl.apply(&rights);
    let create = ["create", "token", "backlog-scaler", "-n", KEDA];
    let token = cluster.kubectl.run(&create, "");
    let namespaces = Vec::from_iter(in_one_namespace.then(|| name.clone()));
    let scene = Scene::of(namespace, Some(token.trim()), namespaces).await;
    scene.apply(&secret("redis", json!({"p": "hunter2"})));
    scene.apply(&config_map("kafka", json!({"address": "redis:6379"})));
    let env = json!([{"name": "USER_NAME", "value": "app"}]);
    scene.apply(&deployment(env, json!([])));
    let references = json!({
        "secretTargetRef": [secret_key("password", "redis", "p")],
        "configMapTargetRef": [secret_key("address", "kafka", "address")],
        "env": [{"parameter": "username", "name": "USER_NAME"}],
    });
    scene.apply(&authentication("redis", references));
    let reference = Some(json!({"name": "redis"}));
    scene.apply(&scaled_object(vec![trigger(JOBS, reference)]));
    let begun = Instant::now();
    loop {
        let resolved = scene.resolve(JOBS).await;
        let problems = scene.kubernetes.problems();
        if matches!(resolved, Ok(Some(_))) && scene.kubernetes.is_synced() && problems.is_empty() {
            break;
        }
        assert!(begun.elapsed() < SOON, "{resolved:?}\n{problems:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    write_twice(&scene).await.expect("events may be written");
    // An object that no watch has delivered is read by itself.
    let sent = super::sent(JOBS);
    let missing = scene.kubernetes.resolve(&name, "unknown", &sent);
    let error = missing.await.expect_err("does not exist");
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    cluster.kubectl.run(&["delete", "-f", "-"], &rights);
}

#[tokio::test]
async fn the_rights_that_the_chart_gives_are_enough() {
    let cluster = needs_cluster!();
    suffices(&cluster, "kubernetes", false).await;
    suffices(&cluster, "kubernetes-namespaces", true).await;
}

#[tokio::test]
async fn each_missing_permission_is_named() {
    let cluster = needs_cluster!();
    let namespace = Arc::new(Namespace::new(cluster.clone(), NAMESPACE));
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "scaler", "namespace": NAMESPACE},
    });
    cluster.kubectl.apply(&account.to_string());
    allow_all_but(&namespace, None);
    allow_cluster(&namespace, &["list", "watch"]);
    let first = scene(&namespace).await;
    first.apply(&secret("redis", json!({"p": "hunter2"})));
    first.apply(&secret("other", json!({"p": "hunter2"})));
    first.apply(&config_map("redis", json!({"address": "redis:6379"})));
    first.apply(&deployment(
        json!([{"name": "USER_NAME", "value": "app"}]),
        json!([]),
    ));
    let references = json!({
        "secretTargetRef": [secret_key("password", "redis", "p")],
        "configMapTargetRef": [secret_key("address", "redis", "address")],
        "env": [{"parameter": "username", "name": "USER_NAME"}],
    });
    first.apply(&authentication("redis", references));
    let other = json!({"secretTargetRef": [secret_key("password", "other", "p")]});
    first.apply(&authentication("other", other));
    let mail = [JOBS, &[("databaseIndex", "1")]].concat();
    let of = |name: &str| Some(json!({ "name": name }));
    first.apply(&scaled_object(vec![
        trigger(JOBS, of("redis")),
        trigger(&mail, of("other")),
    ]));

    let begun = Instant::now();
    let expected = [
        ("address", "redis:6379"),
        ("password", "hunter2"),
        ("username", "app"),
    ];
    loop {
        match first.resolve(JOBS).await {
            Ok(resolved) => {
                assert_eq!(super::keys(&resolved.expect("has one")), pairs(&expected));
                break;
            }
            Err(error) => assert!(begun.elapsed() < SOON, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    while !first.kubernetes.is_synced() || !first.kubernetes.problems().is_empty() {
        assert!(begun.elapsed() < SOON, "{:?}", first.kubernetes.problems());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let forbidden = format!(
        "Secret {NAMESPACE}/other: the permission to get secrets in namespace {NAMESPACE} is missing \
         for {USER}"
    );
    fails(&first, "worker", &mail, &forbidden).await;

    for missing in NEEDED {
        let (group, resource, verb) = missing;
        allow_all_but(&namespace, Some(missing));
        let scene = scene(&namespace).await;
        let qualified = match group {
            "" => resource.to_owned(),
            group => format!("{resource}.{group}"),
        };
        // An object that is not known is read by itself.
        let name = if verb == "get" && group == "keda.sh" {
            "unknown"
        } else {
            "worker"
        };
        // Held, so that the watches of what it depends on go on.
        let _held = scene.resolve(JOBS).await;
        let expected = format!(
            "the permission to {verb} {qualified} in namespace {NAMESPACE} is missing for {USER}"
        );
        if resource == "events" {
            cannot_write(&scene, &expected).await;
            // And nothing else is missed.
            let resolved = scene.resolve(JOBS).await;
            assert!(matches!(resolved, Ok(Some(_))), "{resolved:?}");
            continue;
        }
        fails(&scene, name, JOBS, &expected).await;
    }
    allow_all_but(&namespace, None);
    for (verbs, missing) in [(["watch"], "list"), (["list"], "watch")] {
        allow_cluster(&namespace, &verbs);
        let scene = scene(&namespace).await;
        let expected = format!(
            "the permission to {missing} clustertriggerauthentications.keda.sh in the whole cluster \
             is missing for {USER}. Bind a ClusterRole"
        );
        fails(&scene, "worker", JOBS, &expected).await;
    }
    for object in ["clusterrole", "clusterrolebinding"] {
        cluster
            .kubectl
            .run(&["delete", object, "auth-rbac-scaler"], "");
    }
}
