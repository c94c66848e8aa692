//! TriggerAuthentications, read from a real API server.

mod changes;
mod deputy;
mod door;
mod events;
mod hpa;
mod load;
mod many;
mod objects;
mod permissions;
mod replicas;
mod rotation;
mod scaling;
mod stopped;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use backlog_scaler::{
    error::Kind,
    kubernetes::{Authentication, Kubernetes, Options},
    telemetry::{Exposition, KubernetesMetrics, Telemetry},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::process;
use tokio::time::timeout;

use super::{
    SOON,
    control_plane::{ControlPlane, KEDA},
    needs_cluster,
    objects::Namespace,
};
use door::Door;
use objects::config_map;
pub use objects::{
    authentication, deployment, scaled_job, scaled_object, secret, secret_key, trigger,
};

/// A namespace, and our client for it.
struct Scene {
    namespace: Arc<Namespace>,
    door: Door,
    kubernetes: Kubernetes,
    telemetry: Telemetry,
    metrics: KubernetesMetrics,
    /// Through the door.
    kubeconfig: PathBuf,
    _folder: TempDir,
}

impl Scene {
    async fn new(cluster: Arc<ControlPlane>, name: &str) -> Self {
        Scene::of(Arc::new(Namespace::new(cluster, name)), None, Vec::new()).await
    }

    async fn of(namespace: Arc<Namespace>, token: Option<&str>, namespaces: Vec<String>) -> Self {
        let options = Options {
            namespaces,
            ..Options::default()
        };
        Scene::with(namespace, token, options).await
    }

    /// With other options than the defaults; their kubeconfig is this scene's.
    async fn with(namespace: Arc<Namespace>, token: Option<&str>, options: Options) -> Self {
        // A second one is an error, and means the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (folder, cluster) = (process::directory(), namespace.cluster.clone());
        let door = Door::to(door::api_server(&cluster)).await;
        let kubeconfig = door.kubeconfig(&cluster, folder.path(), token);
        let options = Options {
            kubeconfig: Some(kubeconfig.clone()),
            ..options
        };
        let telemetry = Telemetry::default();
        let metrics = telemetry.kubernetes();
        let kubernetes = Kubernetes::start(options, metrics.clone()).await;
        Scene {
            kubernetes: kubernetes.expect("the kubeconfig is right"),
            namespace,
            door,
            telemetry,
            metrics,
            kubeconfig,
            _folder: folder,
        }
    }

    fn apply(&self, object: &Value) {
        let mut object = object.clone();
        if object["metadata"]["namespace"].is_null() {
            object["metadata"]["namespace"] = self.namespace.name.as_str().into();
        }
        self.namespace.cluster.kubectl.apply(&object.to_string());
    }

    fn delete(&self, what: &[&str]) {
        let delete = [&["delete", "-n", &self.namespace.name], what].concat();
        self.namespace.cluster.kubectl.run(&delete, "");
    }

    async fn resolve(&self, metadata: &[(&str, &str)]) -> Result<Option<Authentication>, String> {
        self.resolve_keys(&pairs(metadata)).await
    }

    async fn resolve_keys(
        &self,
        metadata: &[(String, String)],
    ) -> Result<Option<Authentication>, String> {
        let metadata: BTreeMap<_, _> = metadata.iter().cloned().collect();
        let namespace = &self.namespace.name;
        let resolved = self.kubernetes.resolve(namespace, "worker", &metadata);
        let resolved = timeout(SOON, resolved).await.expect("a result in time");
        resolved.map_err(|error| format!("{error:?}"))
    }

    async fn keys(&self, metadata: &[(&str, &str)]) -> Vec<(String, String)> {
        let authentication = self.resolve(metadata).await.expect("is resolved");
        keys(&authentication.expect("has an authentication"))
    }
}

/// All keys with their values, in order.
fn keys(authentication: &Authentication) -> Vec<(String, String)> {
    let keys = authentication.keys.iter();
    keys.map(|(key, value)| (key.clone(), value.expose().to_owned()))
        .collect()
}

fn sent(metadata: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    pairs.collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    sent(pairs).into_iter().collect()
}

const JOBS: &[(&str, &str)] = &[
    ("backend", "redis"),
    ("listName", "jobs"),
    ("scalerAddress", "127.0.0.1:1"),
];

#[tokio::test]
async fn keys_come_from_secrets_config_maps_and_the_environment() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "auth-sources").await;
    scene.apply(&secret("redis", json!({"p": "hunter2", "port": "6379"})));
    scene.apply(&config_map(
        "redis",
        json!({"host": "redis.shop", "p": "from the map"}),
    ));
    let env = json!([
        {"name": "USER_NAME", "value": "app"},
        {"name": "ADDRESS", "value": "$(REDIS_host):$(PORT)"},
        {"name": "PORT", "valueFrom": {"secretKeyRef": {"name": "redis", "key": "port"}}},
        {"name": "LATER", "value": "$(REDIS_host):$(PORT)"},
    ]);
    let env_from = json!([{"prefix": "REDIS_", "configMapRef": {"name": "redis"}}]);
    scene.apply(&deployment(env, env_from));
    scene.apply(&authentication(
        "redis",
        json!({
            "secretTargetRef": [secret_key("password", "redis", "p")],
            "configMapTargetRef": [secret_key("password", "redis", "p"),
                                   secret_key("host", "redis", "host")],
            "env": [
                {"parameter": "host", "name": "USER_NAME"},
                {"parameter": "username", "name": "USER_NAME"},
                {"parameter": "address", "name": "LATER", "containerName": "worker"},
                {"parameter": "early", "name": "ADDRESS"},
            ],
        }),
    ));
    scene.apply(&scaled_object(vec![trigger(
        JOBS,
        Some(json!({"name": "redis"})),
    )]));
    let expected = [
        ("address", "redis.shop:6379"),
        // As in KEDA, a variable knows only those before it.
        ("early", "redis.shop:$(PORT)"),
        ("host", "redis.shop"),
        ("password", "hunter2"),
        ("username", "app"),
    ];
    assert_eq!(scene.keys(JOBS).await, pairs(&expected));
    let resolved = scene.resolve(JOBS).await.unwrap().unwrap();
    let origin = "TriggerAuthentication auth-sources/redis";
    assert_eq!(resolved.origin.to_string(), origin);
    assert!(!format!("{resolved:?}").contains("hunter2"), "{resolved:?}");
    let page = scene.telemetry.encode(Exposition::Text).expect("a page");
    let request = "backlog_scaler_kubernetes_requests_total\
                   {verb=\"get\",resource=\"secrets\",outcome=\"ok\"}";
    assert!(page.contains(request), "{page}");
    assert!(!page.contains("hunter2"), "{page}");
    // The Secret, the ConfigMap, the Deployment.
    assert_eq!(scene.kubernetes.watched(), 3);
    drop(resolved);
    assert_eq!(scene.kubernetes.watched(), 0, "nobody uses them");
}

#[tokio::test]
async fn a_scaled_job_has_its_environment_in_itself() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "auth-job").await;
    scene.apply(&secret("redis", json!({"p": "hunter2"})));
    let of_secret = json!({"secretKeyRef": {"name": "redis", "key": "p"}});
    let env = json!([{"name": "PASSWORD", "valueFrom": of_secret}]);
    let spec = json!({"env": [{"parameter": "password", "name": "PASSWORD"}]});
    scene.apply(&authentication("redis", spec));
    let reference = Some(json!({"name": "redis"}));
    scene.apply(&scaled_job(env, vec![trigger(JOBS, reference)]));
    assert_eq!(scene.keys(JOBS).await, pairs(&[("password", "hunter2")]));
    // The Secret: the trigger's environment is not an object of its own.
    let held = scene.resolve(JOBS).await.unwrap();
    assert_eq!(scene.kubernetes.watched(), 1, "{held:?}");
}

#[tokio::test]
async fn a_cluster_authentication_has_its_secrets_in_keda_s_namespace() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "auth-cluster").await;
    let mut own = secret(
        "auth-cluster",
        json!({"p": "hunter2", "address": "redis.keda:6379"}),
    );
    own["metadata"]["namespace"] = KEDA.into();
    scene.apply(&own);
    let object = json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ClusterTriggerAuthentication",
        "metadata": {"name": "auth-cluster"},
        "spec": {"secretTargetRef": [secret_key("password", "auth-cluster", "p"),
                                     secret_key("address", "auth-cluster", "address")]},
    });
    scene.namespace.cluster.kubectl.apply(&object.to_string());
    let reference = json!({"name": "auth-cluster", "kind": "ClusterTriggerAuthentication"});
    scene.apply(&scaled_object(vec![trigger(JOBS, Some(reference))]));
    let resolved = scene.resolve(JOBS).await.unwrap().unwrap();
    let expected = [("address", "redis.keda:6379"), ("password", "hunter2")];
    assert_eq!(keys(&resolved), pairs(&expected));
    let may = |server: &str| {
        let server = server.parse().unwrap();
        scene.kubernetes.may_send_to(&resolved, &server)
    };
    assert!(may("redis.keda:6379").is_ok());
    let error = may("evil.example:6379").unwrap_err();
    assert_eq!(error.kind(), Kind::NotAllowed, "{error}");
    let delete = ["delete", "clustertriggerauthentication", "auth-cluster"];
    scene.namespace.cluster.kubectl.run(&delete, "");
}

/// Resolves until an error begins with this text.
async fn until(scene: &Scene, expected: &str) {
    let begun = std::time::Instant::now();
    loop {
        let resolved = scene.resolve(JOBS).await;
        let error = resolved.as_ref().err().map_or("", String::as_str);
        if error.starts_with(expected) {
            return;
        }
        assert!(begun.elapsed() < SOON, "{resolved:?}\nexpected {expected}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Resolves until there is an authentication.
async fn until_ok(scene: &Scene, metadata: &[(&str, &str)]) {
    let begun = std::time::Instant::now();
    loop {
        let resolved = scene.resolve(metadata).await;
        if matches!(resolved, Ok(Some(_))) {
            return;
        }
        assert!(begun.elapsed() < SOON, "{resolved:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn triggers_with_the_same_metadata_need_the_same_authentication() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "auth-same").await;
    scene.apply(&secret("redis", json!({"p": "hunter2"})));
    let spec = json!({"secretTargetRef": [secret_key("password", "redis", "p")]});
    scene.apply(&authentication("a", spec.clone()));
    scene.apply(&authentication("b", spec));
    let of = |name: &str| Some(json!({ "name": name }));
    scene.apply(&scaled_object(vec![
        trigger(JOBS, of("a")),
        trigger(JOBS, of("a")),
    ]));
    assert_eq!(scene.keys(JOBS).await, pairs(&[("password", "hunter2")]));
    scene.apply(&scaled_object(vec![
        trigger(JOBS, of("a")),
        trigger(JOBS, of("b")),
    ]));
    let expected = "invalid: ScaledObject auth-same/worker has triggers with the same metadata and \
                    different authenticationRefs: `a`, `b`. Give the triggers different metadata";
    until(&scene, expected).await;

    // Distinguished by the values that KEDA sends from the environment.
    let env = json!([{"name": "A", "value": "one"}, {"name": "B", "value": "two"}]);
    scene.apply(&deployment(env, json!([])));
    let from_env = |variable| [JOBS, &[("usernameFromEnv", variable)]].concat();
    let (a, b) = (from_env("A"), from_env("B"));
    scene.apply(&scaled_object(vec![
        trigger(&a, of("a")),
        trigger(&b, None),
    ]));
    until_ok(&scene, &from_env("one")).await;
    assert!(scene.resolve(&from_env("two")).await.unwrap().is_none());
    let error = scene.resolve(&from_env("three")).await.unwrap_err();
    assert!(
        error.starts_with("not_found: no external trigger of ScaledObject"),
        "{error}"
    );
    assert!(!error.contains("three"), "{error}");
    // Also where there is one trigger alone: keys are not for a caller that sends another value.
    scene.apply(&scaled_object(vec![trigger(&a, of("a"))]));
    until_ok(&scene, &from_env("one")).await;
    assert!(scene.resolve(&from_env("three")).await.is_err());
}

#[tokio::test]
async fn what_each_call_costs_is_a_look_up_in_memory() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "auth-cost").await;
    scene.apply(&secret("redis", json!({"p": "hunter2"})));
    let spec = json!({"secretTargetRef": [secret_key("password", "redis", "p")]});
    scene.apply(&authentication("redis", spec));
    let mail = [JOBS, &[("databaseIndex", "1")]].concat();
    scene.apply(&scaled_object(vec![
        trigger(JOBS, Some(json!({"name": "redis"}))),
        trigger(&mail, None),
    ]));
    until_ok(&scene, JOBS).await;
    let held = scene.resolve(JOBS).await.unwrap().unwrap();
    let without = sent(&mail);
    let read = scene.metrics.requests("get", "secrets");
    let (rounds, begun) = (2_000, std::time::Instant::now());
    for _ in 0..rounds {
        assert!(held.is_current());
    }
    let current = begun.elapsed() / rounds;
    let begun = std::time::Instant::now();
    for _ in 0..rounds {
        let resolved = scene.kubernetes.resolve("auth-cost", "worker", &without);
        assert!(resolved.await.unwrap().is_none());
    }
    let none = begun.elapsed() / rounds;
    assert_eq!(scene.metrics.requests("get", "secrets"), read, "no request");
    println!("a call: {current:?} with an authentication, {none:?} without");
    // Some microseconds; this is for busy machines and a debug build.
    assert!(current.max(none) < Duration::from_micros(500));
}
