//! Named connections, and who may use them.

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
        "engine: {{inlineConnections: false}}\n\
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
