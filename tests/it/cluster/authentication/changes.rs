//! Objects that change or go, and an API server that is away.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{process, redis::Redis, scaler::Scaler};
use tokio::time::timeout;

use super::{
    JOBS, Scene, authentication,
    door::{self, Door},
    keys, needs_cluster, pairs, scaled_object,
    scaling::{apply_in, settings, until_value, value},
    secret, secret_key, sent, trigger, until,
};
use crate::cluster::{SOON, objects::Namespace, program::Program};

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

/// Calls until the error says this.
async fn until_error(address: &str, namespace: &str, metadata: &Keys, expected: &[&str]) {
    let begun = std::time::Instant::now();
    loop {
        let called = value(address, namespace, metadata.clone()).await;
        if let Err(error) = &called
            && expected.iter().all(|text| error.message().contains(text))
        {
            return;
        }
        assert!(begun.elapsed() < SOON, "{called:?}\nexpected {expected:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A trigger that needs no authentication, and two that cannot do without: one has no address, the other
/// no password.
fn three_triggers(open: &Redis, closed: &Redis) -> [Keys; 3] {
    let with = |keys: &[(&str, &str)]| {
        let always = [("backend", "redis"), ("scalerAddress", "127.0.0.1:1")];
        trigger_keys(&always, &[keys, &[("listName", "jobs")]].concat())
    };
    let (open, closed) = (open.address(), closed.address());
    [
        with(&[("address", &open)]),
        with(&[]),
        with(&[("address", &closed)]),
    ]
}

fn apply_three(scene: &dyn Fn(Value), [own, addressless, closed]: &[Keys; 3], address: &str) {
    scene(secret("redis", json!({"p": "hunter2", "a": address})));
    let keys = [
        secret_key("password", "redis", "p"),
        secret_key("address", "redis", "a"),
    ];
    scene(authentication("redis", json!({"secretTargetRef": keys})));
    let reference = || Some(json!({"name": "redis"}));
    scene(scaled_object(vec![
        json_trigger(own, None),
        json_trigger(addressless, reference()),
        json_trigger(closed, reference()),
    ]));
}

#[tokio::test]
async fn a_server_that_starts_while_the_api_server_is_away_evaluates_what_needs_it_not() {
    let cluster = needs_cluster!();
    let _namespace = Namespace::new(cluster.clone(), "auth-start");
    let (open, closed) = (
        Redis::start().await,
        Redis::builder().password("hunter2").start().await,
    );
    open.rpush("jobs", 3).await;
    closed.rpush("jobs", 7).await;
    let triggers = three_triggers(&open, &closed);
    apply_three(
        &|object| apply_in(&cluster, "auth-start", object),
        &triggers,
        &closed.address(),
    );
    let folder = process::directory();
    let door = Door::to(door::api_server(&cluster)).await;
    let kubeconfig = door.kubeconfig(&cluster, folder.path(), None);
    door.close();
    let kubeconfig = kubeconfig.display();
    let program = Program::start(&format!(
        "kubernetes: {{enabled: true, kubeconfig: \"{kubeconfig}\"}}\n"
    ));
    let address = program.address();
    let [own, addressless, no_password] = &triggers;
    for _ in 0..5 {
        let read = value(&address, "auth-start", own.clone()).await;
        assert_eq!(read.expect("it needs no authentication"), 3.0);
    }
    let away = "the API server cannot be reached";
    until_error(&address, "auth-start", addressless, &[away]).await;
    until_error(&address, "auth-start", no_password, &["NOAUTH", away]).await;

    door.open();
    for (metadata, expected) in triggers.iter().zip([3.0, 7.0, 7.0]) {
        let begun = std::time::Instant::now();
        while value(&address, "auth-start", metadata.clone()).await.ok() != Some(expected) {
            assert!(
                begun.elapsed() < 2 * SOON,
                "{metadata:?}\n{}",
                program.log()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    assert!(!program.log().contains("hunter2"), "{}", program.log());
}

#[tokio::test]
async fn an_account_without_rights_costs_only_what_needs_them_and_one_line_for_each() {
    let cluster = needs_cluster!();
    let _namespace = Namespace::new(cluster.clone(), "auth-no-rights");
    let (open, closed) = (
        Redis::start().await,
        Redis::builder().password("hunter2").start().await,
    );
    open.rpush("jobs", 3).await;
    let triggers = three_triggers(&open, &closed);
    apply_three(
        &|object| apply_in(&cluster, "auth-no-rights", object),
        &triggers,
        &closed.address(),
    );
    let kubectl = &cluster.kubectl;
    kubectl.run(
        &["create", "serviceaccount", "scaler", "-n", "auth-no-rights"],
        "",
    );
    let token = kubectl.run(&["create", "token", "scaler", "-n", "auth-no-rights"], "");
    let folder = process::directory();
    let door = Door::to(door::api_server(&cluster)).await;
    let kubeconfig = door.kubeconfig(&cluster, folder.path(), Some(token.trim()));
    let kubeconfig = kubeconfig.display();
    let program = Program::start(&format!(
        "kubernetes: {{enabled: true, kubeconfig: \"{kubeconfig}\"}}\n"
    ));
    let address = program.address();
    let [own, addressless, no_password] = &triggers;
    let missing = "the permission to list scaledobjects.keda.sh in the whole cluster is missing for \
                   system:serviceaccount:auth-no-rights:scaler";
    let read = until_value_at(&address, "auth-no-rights", own).await;
    assert_eq!(read, 3.0);
    let is_missing = "is missing for system:serviceaccount:auth-no-rights:scaler";
    until_error(&address, "auth-no-rights", addressless, &[is_missing]).await;
    until_error(
        &address,
        "auth-no-rights",
        no_password,
        &["NOAUTH", is_missing],
    )
    .await;

    // After several attempts, 0.5 s, 1 s and 2 s apart.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let log = program.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(missing)).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(
        lines[0].contains("scaledobjects are not known yet: "),
        "{}",
        lines[0]
    );
    for other in ["watch list error", "Status {", "stays in use"] {
        assert!(!log.contains(other), "{log}");
    }
}

async fn until_value_at(address: &str, namespace: &str, metadata: &Keys) -> f64 {
    let begun = std::time::Instant::now();
    loop {
        let called = value(address, namespace, metadata.clone()).await;
        match called {
            Ok(value) => return value,
            Err(error) => assert!(begun.elapsed() < SOON, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How many Secrets are watched.
async fn secrets(scaler: &Scaler) -> String {
    let (_, page) = scaler.page("/metrics").await;
    let series = "backlog_scaler_kubernetes_objects{resource=\"secrets\"} ";
    let line = page.lines().find_map(|line| line.strip_prefix(series));
    line.unwrap_or("0").to_owned()
}

#[tokio::test]
async fn secrets_are_gone_within_seconds_of_their_trigger() {
    let cluster = needs_cluster!();
    let _namespace = Namespace::new(cluster.clone(), "auth-gone");
    let redis = Redis::builder().password("hunter2").start().await;
    redis.rpush("jobs", 7).await;
    let scaler = Scaler::with(&settings(&cluster)).await;
    let apply = |object| apply_in(&cluster, "auth-gone", object);
    apply(secret("redis", json!({"p": "hunter2"})));
    let spec = json!({"secretTargetRef": [secret_key("password", "redis", "p")]});
    apply(authentication("redis", spec));
    let address = redis.address();
    let keys = [
        ("backend", "redis"),
        ("scalerAddress", "127.0.0.1:1"),
        ("address", address.as_str()),
        ("listName", "jobs"),
    ];
    let keys = trigger_keys(&keys, &[]);
    let with = || scaled_object(vec![json_trigger(&keys, Some(json!({"name": "redis"})))]);
    let until_none = async || {
        let begun = std::time::Instant::now();
        while secrets(&scaler).await != "0" {
            assert!(begun.elapsed() < SOON, "{} Secrets", secrets(&scaler).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        println!("gone: after {:.1?}", begun.elapsed());
    };
    // Its reference is removed.
    apply(with());
    assert_eq!(until_value(&scaler, "auth-gone", &keys).await, 7.0);
    assert_eq!(secrets(&scaler).await, "1");
    apply(scaled_object(vec![json_trigger(&keys, None)]));
    until_none().await;
    // It is deleted.
    apply(with());
    assert_eq!(until_value(&scaler, "auth-gone", &keys).await, 7.0);
    assert_eq!(secrets(&scaler).await, "1");
    let delete = ["delete", "scaledobject", "worker", "-n", "auth-gone"];
    cluster.kubectl.run(&delete, "");
    until_none().await;
}
