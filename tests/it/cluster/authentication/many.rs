//! A thousand ScaledObjects, each with a Secret of its own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};

use super::{
    JOBS, Scene, authentication, needs_cluster, scaled_object, secret, secret_key, sent, trigger,
};
use crate::cluster::{SOON, control_plane::ControlPlane, objects::Namespace};

const OBJECTS: usize = 1_000;

/// Requests of a kind that are made once: a page has 200 objects, and a watch that ends is resumed.
const FEW: u64 = 20;

#[tokio::test]
async fn a_thousand_objects_take_little_memory_and_few_requests() {
    let cluster = needs_cluster!();
    let namespace = Arc::new(Namespace::new(cluster.clone(), "auth-many"));
    let begun = Instant::now();
    create(&cluster, &namespace.name).await;
    println!("many: {OBJECTS} of each created in {:.1?}", begun.elapsed());

    let before = resident();
    let begun = Instant::now();
    let scene = Scene::of(namespace, None, Vec::new()).await;
    while !scene.kubernetes.is_synced() {
        assert!(begun.elapsed() < SOON, "{:?}", scene.kubernetes.problems());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("many: objects known after {:.2?}", begun.elapsed());
    let begun = Instant::now();
    let metadata = sent(JOBS);
    let all = (0..OBJECTS).map(|i| {
        let (kubernetes, metadata) = (&scene.kubernetes, &metadata);
        async move {
            kubernetes
                .resolve("auth-many", &format!("worker-{i}"), metadata)
                .await
        }
    });
    let resolved: Vec<_> = stream::iter(all).buffered(64).collect().await;
    println!("many: all resolved after {:.2?}", begun.elapsed());
    for (i, resolved) in resolved.iter().enumerate() {
        let authentication = resolved
            .as_ref()
            .expect("is resolved")
            .as_ref()
            .expect("has one");
        assert_eq!(
            authentication.keys["password"].expose(),
            format!("hunter-{i}")
        );
    }
    assert_eq!(scene.kubernetes.watched(), OBJECTS);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown = resident().saturating_sub(before);
    let requests = |verb, resource| scene.metrics.requests(verb, resource);
    println!(
        "many: {grown} KiB more memory, {} connections, {} gets and {} watches of Secrets, {} lists and \
         {} watches of ScaledObjects",
        scene.door.opened(),
        requests("get", "secrets"),
        requests("watch", "secrets"),
        requests("list", "scaledobjects"),
        requests("watch", "scaledobjects"),
    );
    assert_eq!(requests("get", "secrets"), OBJECTS as u64);
    assert_eq!(requests("watch", "secrets"), OBJECTS as u64);
    assert_eq!(requests("list", "secrets"), 0, "no list of Secrets, ever");
    for resource in ["scaledobjects", "scaledjobs", "triggerauthentications"] {
        assert!(requests("list", resource) <= FEW, "{resource}");
        assert!(requests("watch", resource) <= FEW, "{resource}");
        assert_eq!(requests("get", resource), 0, "{resource}");
    }
    assert!(scene.door.opened() < 50, "watches share connections");
    assert!(grown < 64 * 1024, "{grown} KiB");

    // Again, from what is known.
    let begun = Instant::now();
    for i in 0..OBJECTS {
        let name = format!("worker-{i}");
        let resolved = scene
            .kubernetes
            .resolve("auth-many", &name, &metadata)
            .await;
        assert!(resolved.expect("is resolved").is_some());
    }
    println!("many: once more in {:.1?}", begun.elapsed());
    assert_eq!(requests("get", "secrets"), OBJECTS as u64);
    drop(resolved);
    assert_eq!(scene.kubernetes.watched(), 0);
}

/// The resident memory of this process, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the status of this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.expect("has its memory").split_whitespace().next();
    words
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

/// By a client with many requests at once: kubectl would take minutes.
async fn create(cluster: &ControlPlane, namespace: &str) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Kubeconfig::read_from(cluster.kubectl.config()).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    let client = Client::try_from(config.expect("is complete")).expect("a client");
    let objects = (0..OBJECTS).flat_map(|i| {
        let name = format!("worker-{i}");
        let spec = json!({"secretTargetRef": [secret_key("password", &name, "p")]});
        let mut object = scaled_object(vec![trigger(JOBS, Some(json!({ "name": name })))]);
        object["metadata"]["name"] = name.as_str().into();
        let secret = secret(&name, json!({"p": format!("hunter-{i}")}));
        [secret, authentication(&name, spec), object]
    });
    let create = |object: Value| {
        let client = client.clone();
        async move {
            let text = |key: &str| object[key].as_str().expect("a text").to_owned();
            let (group, version) = match text("apiVersion").split_once('/') {
                Some((group, version)) => (group.to_owned(), version.to_owned()),
                None => (String::new(), text("apiVersion")),
            };
            let kind = GroupVersionKind {
                group,
                version,
                kind: text("kind"),
            };
            let resource = ApiResource::from_gvk(&kind);
            let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
            let object = serde_json::from_value(object).expect("an object");
            api.create(&PostParams::default(), &object)
                .await
                .expect("is created");
        }
    };
    stream::iter(objects.map(create))
        .buffer_unordered(16)
        .collect::<Vec<()>>()
        .await;
}
