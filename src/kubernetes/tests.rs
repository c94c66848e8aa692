//! What the tests of this module share.

use std::io::Write;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::{network::Rules, telemetry::Telemetry};

/// A client whose API server never responds: nothing listens on the port.
pub(crate) async fn without_api_server(authentication: &str, servers: &[&str]) -> Kubernetes {
    // A second one is an error, and means the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let config = "apiVersion: v1\nkind: Config\n\
                  clusters: [{name: t, cluster: {server: \"http://127.0.0.1:1\"}}]\n\
                  users: [{name: t, user: {}}]\n\
                  contexts: [{name: t, context: {cluster: t, user: t}}]\n\
                  current-context: t\n";
    file.write_all(config.as_bytes()).unwrap();
    let servers: Vec<String> = servers.iter().map(|server| server.to_string()).collect();
    let rules = Rules::listed(&servers).unwrap();
    let options = Options {
        kubeconfig: Some(file.path().to_owned()),
        cluster_authentication_servers: [(authentication.to_owned(), rules)].into(),
        ..Options::default()
    };
    let started = Kubernetes::start(options, Telemetry::default().kubernetes()).await;
    started.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn with_nothing_known_an_api_server_that_is_away_is_an_error() {
    let kubernetes = without_api_server("redis", &[]).await;
    let error = kubernetes
        .resolve("shop", "orders", &Default::default())
        .await;
    let error = error.expect_err("nothing is known");
    assert_eq!(error.kind(), crate::error::Kind::Unreachable);
    let text = error.to_string();
    assert!(text.contains("the API server cannot be reached"), "{text}");
}

#[tokio::test]
async fn a_namespace_that_is_not_watched_is_refused() {
    let mut kubernetes = without_api_server("redis", &[]).await;
    kubernetes.options.namespaces = vec!["mail".to_owned()];
    let error = kubernetes
        .resolve("shop", "orders", &Default::default())
        .await;
    let expected = "namespace shop is not among kubernetes.namespaces";
    assert!(
        error
            .expect_err("is refused")
            .to_string()
            .starts_with(expected)
    );
}

#[tokio::test]
async fn a_call_cannot_name_another_path() {
    let kubernetes = without_api_server("redis", &[]).await;
    let error = kubernetes
        .resolve("shop", "../x", &Default::default())
        .await;
    let error = error.expect_err("is refused").to_string();
    assert!(
        error.contains("`../x` is not a valid name of a ScaledObject"),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_kubeconfig_is_an_error_of_the_settings() {
    let options = Options {
        kubeconfig: Some("/nowhere/config".into()),
        ..Options::default()
    };
    let error = Kubernetes::start(options, Telemetry::default().kubernetes()).await;
    let error = error.err().unwrap().to_string();
    assert!(
        error.starts_with("kubernetes.kubeconfig: /nowhere/config:"),
        "{error}"
    );
}

/// A trigger of `shop/worker` whose address comes from the variable `ADDR`, and its keys from elsewhere.
fn from_environment(reference: Option<&str>) -> Value {
    let metadata = json!({"backend": "redis", "addressFromEnv": "ADDR"});
    let reference = reference.map(|name| json!({"name": name}));
    json!({"type": "external", "metadata": metadata, "authenticationRef": reference})
}

/// Of the scale target, a ScaledJob's pod: `ADDR`, if it has one.
fn scaled_job(triggers: Vec<Value>, variable: Option<Value>) -> Value {
    let env: Vec<Value> = variable.into_iter().collect();
    let template = json!({"spec": {"containers": [{"name": "app", "env": env}]}});
    object(
        "ScaledJob",
        json!({"jobTargetRef": {"template": template}, "triggers": triggers}),
    )
}

fn object(kind: &str, spec: Value) -> Value {
    let name = match kind {
        "TriggerAuthentication" => "redis",
        _ => "worker",
    };
    json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": kind,
        "metadata": {"namespace": "shop", "name": name, "uid": name},
        "spec": spec,
    })
}

/// What a caller gets that sends this value of `ADDR`: with keys, without, or an error.
async fn sends(kubernetes: &Kubernetes, address: Option<&str>) -> Result<bool, String> {
    let mut metadata = BTreeMap::from([("backend".to_owned(), "redis".to_owned())]);
    metadata.extend(address.map(|value| ("addressFromEnv".to_owned(), value.to_owned())));
    let resolved = kubernetes.resolve("shop", "worker", &metadata).await;
    let resolved = resolved.map(|found| found.is_some());
    resolved.map_err(|error| error.to_string())
}

/// With these objects, and an authentication that needs nothing else.
async fn with_objects(objects: Vec<Value>, jobs: Vec<Value>) -> Kubernetes {
    let kubernetes = without_api_server("redis", &[]).await;
    kubernetes.scaled_objects.put(objects);
    kubernetes.scaled_jobs.put(jobs);
    let authentication = object("TriggerAuthentication", json!({}));
    kubernetes.authentications.put(vec![authentication]);
    kubernetes
}

#[tokio::test]
async fn keys_are_for_nobody_while_the_environment_cannot_be_compared() {
    let of_object = |target: Value| {
        let spec = json!({
            "scaleTargetRef": target, "triggers": [from_environment(Some("redis"))],
        });
        (vec![object("ScaledObject", spec)], vec![])
    };
    let of_job = |variable: Value| {
        let triggers = vec![from_environment(Some("redis"))];
        (vec![], vec![scaled_job(triggers, Some(variable))])
    };
    let field = json!({"fieldRef": {"fieldPath": "status.podIP"}});
    let of_secret = json!({"secretKeyRef": {"name": "other", "key": "a"}});
    for ((objects, jobs), expected) in [
        (
            of_object(json!({"name": "worker", "kind": "Rollout"})),
            "addressFromEnv of ScaledObject shop/worker: the type of the scale target of ScaledObject \
             shop/worker is not known",
        ),
        (
            of_object(json!({"name": "worker"})),
            "addressFromEnv of ScaledObject shop/worker: Kubernetes API, get Deployment shop/worker: \
             the API server cannot be reached",
        ),
        (
            of_job(json!({"name": "ADDR", "valueFrom": field})),
            "addressFromEnv of ScaledJob shop/worker: environment variable ADDR of ScaledJob \
             shop/worker has another source than secretKeyRef and configMapKeyRef",
        ),
        (
            of_job(json!({"name": "ADDR", "valueFrom": of_secret})),
            "addressFromEnv of ScaledJob shop/worker: Kubernetes API, get Secret shop/other: \
             the API server cannot be reached",
        ),
    ] {
        let kubernetes = with_objects(objects, jobs).await;
        let error = sends(&kubernetes, Some("evil:6379")).await;
        let error = error.expect_err("no keys");
        assert!(error.starts_with(expected), "{error}");
    }
}

#[tokio::test]
async fn keys_are_for_whom_sends_what_keda_would_send() {
    let job = |triggers, variable: Option<Value>| vec![scaled_job(triggers, variable)];
    let with_keys = || vec![from_environment(Some("redis"))];
    let literal = || Some(json!({"name": "ADDR", "value": "redis:6379"}));
    let field = json!({"fieldRef": {"fieldPath": "status.podIP"}});
    let of_field = || Some(json!({"name": "ADDR", "valueFrom": field}));
    let kubernetes = with_objects(vec![], job(with_keys(), literal())).await;
    assert_eq!(sends(&kubernetes, Some("redis:6379")).await, Ok(true));
    for other in [Some("evil:6379"), None] {
        // A newer version of the object might have such a trigger; it cannot be read.
        let error = sends(&kubernetes, other).await.expect_err("no keys");
        assert!(
            error.contains("the API server cannot be reached"),
            "{error}"
        );
    }
    // KEDA skips such a source, and sends no key.
    let kubernetes = with_objects(vec![], job(with_keys(), of_field())).await;
    assert_eq!(sends(&kubernetes, None).await, Ok(true));
    // A trigger without keys has none to lose.
    let kubernetes = with_objects(vec![], job(vec![from_environment(None)], of_field())).await;
    assert_eq!(sends(&kubernetes, Some("evil:6379")).await, Ok(false));
    // Nor does it hide one that has, with which it shares its metadata.
    let both = vec![from_environment(None), from_environment(Some("redis"))];
    let kubernetes = with_objects(vec![], job(both, of_field())).await;
    let error = sends(&kubernetes, Some("evil:6379"))
        .await
        .expect_err("no keys");
    assert!(
        error.contains("ADDR of ScaledJob shop/worker has another source"),
        "{error}"
    );
}
