//! Named connections, and who may use them.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::Code;

use testkit::{
    process,
    redis::{Redis, available},
    require,
    scaler::{Scaler, trigger, with},
};

/// A connection with its password in a file, for two namespaces.
async fn start() -> (Redis, Scaler, tempfile::TempDir) {
    let redis = Redis::builder().password("s3cret").start().await;
    redis.rpush("jobs", 4).await;
    let dir = process::directory();
    std::fs::write(dir.path().join("password"), "s3cret\n").expect("the secret is written");
    let yaml = format!(
        "engine: {{inlineConnections: deny}}\n\
         connections:\n  orders:\n    backend: redis\n    address: {}\n    \
         passwordFromFile: {}/password\n    namespaces: [shop, 'team-*']\n",
        redis.address(),
        dir.path().display()
    );
    (redis, Scaler::with(&yaml).await, dir)
}

#[tokio::test]
async fn a_named_connection_serves_the_namespaces_of_its_list() {
    if !require(available(), "redis-server") {
        return;
    }
    let (redis, scaler, _dir) = start().await;
    let work = trigger([
        ("backend", "redis"),
        ("connection", "orders"),
        ("listName", "jobs"),
    ]);
    assert_eq!(scaler.evaluate(&work).await.unwrap().value, 4.0);

    let mut of_team = work.clone();
    of_team.namespace = "team-blue".to_owned();
    assert_eq!(scaler.evaluate(&of_team).await.unwrap().value, 4.0);

    let streams = trigger([
        ("backend", "redis-streams"),
        ("connection", "orders"),
        ("stream", "s"),
    ]);
    assert_eq!(
        scaler.evaluate(&streams).await.unwrap().value,
        0.0,
        "for every type of its backend"
    );

    let mut other = work.clone();
    other.namespace = "elsewhere".to_owned();
    let error = scaler.evaluate(&other).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert_eq!(
        error.message(),
        "connection: `orders` may not be used by namespace elsewhere. \
         Whoever runs backlog-scaler can add the namespace under connections.orders.namespaces."
    );

    let unknown = scaler
        .evaluate(&with(work.clone(), "connection", "oders"))
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::InvalidArgument);
    assert_eq!(
        unknown.message(),
        "connection: `oders` is not known; namespace shop may use orders"
    );

    let own = with(
        with(work, "address", &redis.address()),
        "password",
        "hunter2",
    );
    let error = scaler.evaluate(&own).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(
        error
            .message()
            .starts_with("address: belongs to the connection `orders`"),
        "{}",
        error.message()
    );
    assert!(
        error.message().contains("password: belongs to") && !error.message().contains("hunter2")
    );
}

#[tokio::test]
async fn inline_connections_can_be_switched_off() {
    if !require(available(), "redis-server") {
        return;
    }
    let (redis, scaler, _dir) = start().await;
    let inline = trigger([
        ("backend", "redis"),
        ("address", &redis.address()),
        ("listName", "jobs"),
    ]);
    let error = scaler.evaluate(&inline).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(
        error
            .message()
            .contains("allows no connections in the trigger's own metadata"),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn a_rotated_password_is_used_without_a_restart_or_an_outage() {
    if !require(available(), "redis-server") {
        return;
    }
    let (redis, scaler, dir) = start().await;
    let work = trigger([
        ("backend", "redis"),
        ("connection", "orders"),
        ("listName", "jobs"),
        ("freshFor", "0"),
        ("maxStaleness", "0"),
    ]);
    assert_eq!(scaler.evaluate(&work).await.unwrap().value, 4.0);
    let password = dir.path().join("password");
    let metrics = async || scaler.page("/metrics").await.1;

    // A file that says nothing good changes nothing.
    std::fs::write(&password, "wrong\n").expect("is written");
    let failed = "backlog_scaler_credential_reload_failures_total";
    until(async || {
        assert_eq!(scaler.evaluate(&work).await.unwrap().value, 4.0);
        let metrics = metrics().await;
        metrics
            .lines()
            .any(|line| line.starts_with(failed) && !line.ends_with(" 0"))
    })
    .await;

    // As a rotation goes: both passwords are good for a while.
    redis.command(&["ACL", "SETUSER", "default", ">n3w"]).await;
    // Kubernetes swaps a symlink.
    let (target, link) = (dir.path().join("v2"), dir.path().join("link"));
    std::fs::write(&target, "n3w\n").expect("is written");
    std::os::unix::fs::symlink(&target, &link).expect("is linked");
    std::fs::rename(&link, &password).expect("is swapped");
    let reloaded = "backlog_scaler_credential_reloads_total";
    until(async || {
        assert_eq!(scaler.evaluate(&work).await.unwrap().value, 4.0);
        let metrics = metrics().await;
        metrics
            .lines()
            .any(|line| line.starts_with(reloaded) && line.ends_with(" 1"))
    })
    .await;
    redis
        .command(&["ACL", "SETUSER", "default", "<s3cret"])
        .await;
    redis
        .command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
        .await;
    assert_eq!(scaler.evaluate(&work).await.unwrap().value, 4.0);
}

/// Waits until it is so; the files are looked at every ten seconds.
async fn until(is_so: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < Duration::from_secs(60), "not in time");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_connection_may_be_limited_to_some_names() {
    if !require(available(), "redis-server") {
        return;
    }
    let redis = Redis::start().await;
    redis.rpush("orders:1", 4).await;
    redis.rpush("secrets", 4).await;
    let scaler = Scaler::with(&format!(
        "connections: {{orders: {{backend: redis, address: '{}', names: ['orders:*']}}}}",
        redis.address()
    ))
    .await;
    let list = |name: &str| {
        trigger([
            ("backend", "redis"),
            ("connection", "orders"),
            ("lists", name),
        ])
    };
    for allowed in ["orders:1", "orders:*"] {
        assert_eq!(scaler.evaluate(&list(allowed)).await.unwrap().value, 4.0);
    }
    for refused in ["secrets", "*", "orders:1,secrets"] {
        let error = scaler.evaluate(&list(refused)).await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied, "{error:?}");
    }
}
