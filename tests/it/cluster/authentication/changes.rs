//! Objects that change or go, and an API server that is away.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{redis::Redis, scaler::Scaler};
use tokio::time::timeout;

use super::{
    JOBS, Scene, authentication, keys, needs_cluster, pairs, scaled_object,
    scaling::{until_value, value},
    secret, secret_key, sent, trigger, until,
};
use crate::cluster::SOON;

#[tokio::test]
async fn a_changed_secret_is_seen_within_seconds_and_a_deleted_one_is_an_error() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "auth-rotation").await;
    scene.apply(&secret("redis", json!({"p": "old"})));
    let spec = json!({"secretTargetRef": [secret_key("password", "redis", "p")]});
    scene.apply(&authentication("redis", spec));
    scene.apply(&scaled_object(vec![trigger(
        JOBS,
        Some(json!({"name": "redis"})),
    )]));
    let old = scene.resolve(JOBS).await.unwrap().unwrap();
    let again = scene.resolve(JOBS).await.unwrap().unwrap();
    assert_eq!(old.version, again.version);
    let unchanged = timeout(Duration::from_millis(500), old.changed()).await;
    assert!(unchanged.is_err(), "nothing has changed");

    let begun = std::time::Instant::now();
    scene.apply(&secret("redis", json!({"p": "new"})));
    timeout(SOON, old.changed()).await.expect("a change");
    let new = scene.resolve(JOBS).await.unwrap().unwrap();
    println!("rotation: seen after {:.1?}, with kubectl", begun.elapsed());
    assert_eq!(keys(&new), pairs(&[("password", "new")]));
    assert_ne!(old.version, new.version);

    scene.delete(&["secret", "redis"]);
    scene.apply(&secret("redis", json!({"q": "new"})));
    timeout(SOON, new.changed()).await.expect("a change");
    let place = "secretTargetRef of TriggerAuthentication auth-rotation/redis, \
                 which ScaledObject auth-rotation/worker refers to";
    until(
        &scene,
        &format!("not_found: {place}: Secret auth-rotation/redis has no key `p`"),
    )
    .await;
    scene.delete(&["secret", "redis"]);
    until(
        &scene,
        &format!("not_found: {place}: Secret auth-rotation/redis does not exist"),
    )
    .await;
    scene.delete(&["triggerauthentication", "redis"]);
    let missing = "not_found: authenticationRef of ScaledObject auth-rotation/worker: \
                   TriggerAuthentication auth-rotation/redis does not exist";
    until(&scene, missing).await;
}

#[tokio::test]
async fn what_is_known_stays_in_use_while_the_api_server_is_away() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "auth-away").await;
    scene.apply(&secret("redis", json!({"p": "old"})));
    scene.apply(&secret("unread", json!({"p": "x"})));
    let spec = |name: &str| json!({"secretTargetRef": [secret_key("password", name, "p")]});
    scene.apply(&authentication("redis", spec("redis")));
    scene.apply(&authentication("unread", spec("unread")));
    let mail = [JOBS, &[("databaseIndex", "1")]].concat();
    let of = |name: &str| Some(json!({ "name": name }));
    scene.apply(&scaled_object(vec![
        trigger(JOBS, of("redis")),
        trigger(&mail, of("unread")),
    ]));
    let old = scene.resolve(JOBS).await.unwrap().unwrap();
    scene.door.close();
    let begun = std::time::Instant::now();
    while scene.kubernetes.problems().len() < 5 {
        assert!(begun.elapsed() < SOON, "{:?}", scene.kubernetes.problems());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(scene.keys(JOBS).await, pairs(&[("password", "old")]));
    let error = scene.resolve(&mail).await.unwrap_err();
    let expected = "unreachable: secretTargetRef of TriggerAuthentication auth-away/unread";
    assert!(error.starts_with(expected), "{error}");
    assert!(
        error.contains("the API server cannot be reached"),
        "{error}"
    );

    scene.apply(&secret("redis", json!({"p": "new"})));
    scene.door.open();
    let begun = std::time::Instant::now();
    timeout(SOON, old.changed()).await.expect("a change");
    println!(
        "away: a change is seen {:.1?} after it is back",
        begun.elapsed()
    );
    assert_eq!(scene.keys(JOBS).await, pairs(&[("password", "new")]));
    while !scene.kubernetes.problems().is_empty() {
        assert!(begun.elapsed() < SOON, "{:?}", scene.kubernetes.problems());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(scene.keys(&mail).await, pairs(&[("password", "x")]));
}

#[tokio::test]
async fn a_frozen_api_server_costs_what_is_known_nothing() {
    let cluster = needs_cluster!();
    let scene = Scene::new(cluster, "auth-frozen").await;
    let redis = Redis::builder().password("hunter2").start().await;
    redis.rpush("jobs", 7).await;
    scene.apply(&secret("redis", json!({"p": "hunter2"})));
    scene.apply(&secret("unread", json!({"p": "hunter2"})));
    let spec = |name: &str| json!({"secretTargetRef": [secret_key("password", name, "p")]});
    scene.apply(&authentication("redis", spec("redis")));
    scene.apply(&authentication("unread", spec("unread")));
    let of = |name: &str| Some(json!({ "name": name }));
    let address = redis.address();
    let with = |more: &[(&'static str, &'static str)]| {
        let always = [
            ("backend", "redis"),
            ("scalerAddress", "127.0.0.1:1"),
            ("address", address.as_str()),
            ("listName", "jobs"),
        ];
        trigger_keys(&always, more)
    };
    let (known, unread) = (with(&[]), with(&[("listLength", "7")]));
    let without = with(&[("password", "hunter2")]);
    scene.apply(&scaled_object(vec![
        json_trigger(&known, of("redis")),
        json_trigger(&unread, of("unread")),
        json_trigger(&without, None),
    ]));
    let kubeconfig = scene.kubeconfig.display();
    let settings = format!("kubernetes: {{enabled: true, kubeconfig: \"{kubeconfig}\"}}\n");
    let scaler = Scaler::with(&settings).await;
    for metadata in [&known, &without] {
        let read = until_value(&scaler, "auth-frozen", metadata).await;
        assert_eq!(read, 7.0);
    }
    let held = scene.resolve_keys(&known).await.unwrap().unwrap();

    scene.door.freeze();
    let begun = std::time::Instant::now();
    let called = value(&scaler.address, "auth-frozen", unread.clone()).await;
    let error = called.expect_err("its Secret was never read");
    let expected = "was not read from the Kubernetes API within 3s";
    assert!(error.message().contains(expected), "{error}");
    // Until every watch has noticed: HTTP/2's pings after 40 s, a new connection 30 s later.
    let mut noticed = Vec::new();
    while noticed.len() < 4 {
        assert!(
            begun.elapsed() < 2 * SOON,
            "{:?}",
            scene.kubernetes.problems()
        );
        for metadata in [&known, &without] {
            let read = value(&scaler.address, "auth-frozen", metadata.clone()).await;
            assert_eq!(read.expect("goes on working"), 7.0);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let problems = scene.kubernetes.problems();
        let problems = problems.iter().map(|error| error.to_string());
        let late = "the API server does not respond in time";
        noticed = problems.filter(|error| error.contains(late)).collect();
    }
    println!(
        "frozen: noticed by all watches after {:.1?}",
        begun.elapsed()
    );
    let error = scene.resolve_keys(&unread).await.unwrap_err();
    let expected = "timed_out: secretTargetRef of TriggerAuthentication auth-frozen/unread";
    assert!(error.starts_with(expected), "{error}");

    scene.apply(&secret("redis", json!({"p": "new"})));
    scene.door.open();
    let begun = std::time::Instant::now();
    timeout(SOON, held.changed()).await.expect("a change");
    let read = until_value(&scaler, "auth-frozen", &unread).await;
    assert_eq!(read, 7.0);
    while !scene.kubernetes.problems().is_empty() {
        assert!(begun.elapsed() < SOON, "{:?}", scene.kubernetes.problems());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "frozen: all is well {:.1?} after it responds",
        begun.elapsed()
    );
}

type Keys = Vec<(String, String)>;

fn trigger_keys(always: &[(&str, &str)], more: &[(&str, &str)]) -> Keys {
    sent(&[always, more].concat()).into_iter().collect()
}

fn json_trigger(keys: &Keys, reference: Option<Value>) -> Value {
    let keys: Vec<_> = keys.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    trigger(&keys, reference)
}
