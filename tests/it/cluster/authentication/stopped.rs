//! An API server that is stopped for a minute, while KEDA and its HPA go on by another one.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{redis::Redis, scaler::page};
use tokio::time::sleep;

use super::{
    authentication,
    load::{CALLERS, Load},
    needs_cluster, rotation,
    scaling::{apply_in, metadata},
    secret, secret_key,
};
use crate::cluster::{
    SOON,
    control_plane::ApiServer,
    objects::{Namespace, ScaledObject, list},
    program::Program,
    timeline::Timeline,
};

const STOPPED_FOR: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_api_server_that_is_stopped_for_a_minute_costs_no_call() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster.clone(), "auth-stopped");
    let redis = Redis::builder().password("hunter2").start().await;
    let open = Redis::start().await;
    let mut api_server = ApiServer::start(cluster.clone());
    let kubeconfig = api_server.kubeconfig().display();
    let settings = format!("kubernetes: {{enabled: true, kubeconfig: \"{kubeconfig}\"}}\n");
    let program = Program::start(&settings);
    apply_in(
        &cluster,
        "auth-stopped",
        secret("redis", json!({"p": "hunter2"})),
    );
    let spec = json!({"secretTargetRef": [secret_key("password", "redis", "p")]});
    apply_in(&cluster, "auth-stopped", authentication("redis", spec));
    let mut with = list(&program.address(), &redis.address(), "jobs");
    with["authenticationRef"] = json!({"name": "redis"});
    let without = list(&program.address(), &open.address(), "jobs");
    let triggers = [&with, &without].map(metadata);
    namespace.scale("worker", ScaledObject::new(with).and(without));
    let timeline = Timeline::start(&namespace, "worker");
    let push = async |items: usize| {
        redis.rpush("jobs", items).await;
        open.rpush("jobs", items).await;
    };
    push(20).await;
    timeline.backlog(20);
    timeline.replicas(4, SOON).await;
    let load = Load::start(&program.address(), "auth-stopped", &triggers).await;
    load.all_get(20.0).await;
    let failing = || program.figure("backlog_scaler_kubernetes_watches", "state=\"failing\"");
    assert_eq!(failing().await, 0.0);

    api_server.stop();
    timeline.note("the API server of the scaler is stopped");
    let (stopped, mut most) = (Instant::now(), 0.0);
    let mut is_scaled = false;
    while stopped.elapsed() < STOPPED_FOR {
        load.must_be_well();
        let (status, body) = page(&program.admin(), "/readyz").await;
        assert_eq!(status, 200, "{body}");
        most = f64::max(most, failing().await);
        if !is_scaled && stopped.elapsed() > STOPPED_FOR / 3 {
            is_scaled = true;
            push(20).await;
            timeline.backlog(40);
            timeline.replicas(8, SOON).await;
            load.all_get(40.0).await;
            // KEDA's API server has it; the scaler's is away.
            apply_in(
                &cluster,
                "auth-stopped",
                secret("redis", json!({"p": "hunter3"})),
            );
            redis.command(&rotation::set_user(">hunter3")).await;
        }
        sleep(Duration::from_secs(1)).await;
    }
    // Four kinds of KEDA's, and the Secret.
    assert!(most >= 5.0, "{most} failing watches");
    assert_eq!(load.stale(), 0, "values are read all the time");
    assert_eq!(timeline.seen().replicas, 8);

    api_server.restart();
    timeline.note("the API server of the scaler is back");
    let back = Instant::now();
    while failing().await > 0.0 {
        assert!(back.elapsed() < SOON, "{}", program.log());
        sleep(Duration::from_millis(100)).await;
    }
    println!(
        "stopped: no watch fails {:.1?} after it is back",
        back.elapsed()
    );
    // The new password was not seen before: only with it the list can be read.
    rotation::forget(&redis, "hunter2").await;
    push(5).await;
    timeline.backlog(45);
    load.all_get(45.0).await;
    timeline.replicas(9, SOON).await;
    let calls = load.end().await;
    println!("stopped: {calls} calls of {CALLERS} callers, none failed");
    // Each trigger was evaluated all the time, and each caller once a second at the least.
    let least = CALLERS * STOPPED_FOR.as_secs() as usize;
    assert!(calls > least, "{calls} calls");
    let log = program.log();
    assert!(!log.contains("hunter"), "{log}");
    for redis in [&redis, &open] {
        redis.command(&["DEL", "jobs"]).await;
    }
    timeline.backlog(0);
    timeline.replicas(0, SOON).await;
}
