//! Clusters and sentinels.

use std::time::Duration;
use tokio::time::Instant;

use backlog_scaler::keda::proto::ScaledObjectRef;
use tonic::Code;

use super::needs_redis;
use testkit::{
    redis::{Cluster, Redis, Sentinel},
    scaler::{Scaler, trigger, with},
};

fn in_cluster(cluster: &Cluster, lists: &str) -> ScaledObjectRef {
    trigger([
        ("backend", "redis-cluster"),
        ("addresses", &cluster.addresses().join(",")),
        ("lists", lists),
        ("freshFor", "0"),
        ("maxStaleness", "0"),
    ])
}

#[tokio::test]
async fn a_cluster_is_read_node_by_node() {
    needs_redis!();
    let cluster = Cluster::start_with(3, Redis::builder().password("pw")).await;
    let scaler = Scaler::start().await;
    for i in 0..50 {
        let list = format!("jobs-{i}");
        cluster.owner(&list).await.rpush(&list, 2).await;
    }
    cluster
        .owner("a-set")
        .await
        .command(&["SADD", "a-set", "1", "2", "3"])
        .await;
    let login = |trigger| with(trigger, "password", "pw");

    let all = scaler
        .evaluate(&login(in_cluster(&cluster, "jobs-{0..49}, a-set")))
        .await;
    assert_eq!(all.unwrap().value, 103.0);
    let glob = scaler
        .evaluate(&login(in_cluster(&cluster, "jobs-*")))
        .await;
    assert_eq!(glob.unwrap().value, 100.0);

    // One address is enough to find the others.
    let one = with(
        login(in_cluster(&cluster, "jobs-{0..49}")),
        "addresses",
        &cluster.addresses()[1],
    );
    assert_eq!(scaler.evaluate(&one).await.unwrap().value, 100.0);

    let stream = trigger([
        ("backend", "redis-cluster-streams"),
        ("hosts", "127.0.0.1, 127.0.0.1"),
        (
            "ports",
            &format!("{}, {}", cluster.nodes[0].port(), cluster.nodes[1].port()),
        ),
        ("stream", "s"),
        ("password", "pw"),
    ]);
    cluster
        .owner("s")
        .await
        .command(&["XADD", "s", "*", "k", "v"])
        .await;
    assert_eq!(scaler.evaluate(&stream).await.unwrap().value, 1.0);
}

#[tokio::test]
async fn a_lost_master_fails_its_own_keys_until_it_is_back() {
    needs_redis!();
    let cluster = Cluster::start(3).await;
    let scaler = Scaler::start().await;
    for list in ["a", "b", "c", "d", "e", "f"] {
        cluster.owner(list).await.rpush(list, 1).await;
    }
    let all = in_cluster(&cluster, "a,b,c,d,e,f");
    assert_eq!(scaler.evaluate(&all).await.unwrap().value, 6.0);

    let owner = cluster.owner("a").await;
    owner.kill();
    let error = scaler.evaluate(&all).await.unwrap_err();
    assert_ne!(error.code(), Code::Ok);

    owner.restart().await;
    let started = Instant::now();
    loop {
        match scaler.evaluate(&all).await {
            // The master comes back without its keys; those of the others are there.
            Ok(found) if found.value > 0.0 => break,
            last if started.elapsed() > Duration::from_secs(30) => panic!("still {last:?}"),
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

#[tokio::test]
async fn a_master_that_hangs_fails_its_own_keys_alone() {
    needs_redis!();
    let cluster = Cluster::start(3).await;
    let scaler = Scaler::start().await;
    let hung = cluster.owner("a").await;
    let mut elsewhere = None;
    for list in ["b", "c", "d", "e", "f"] {
        let owner = cluster.owner(list).await;
        if owner.port() != hung.port() {
            owner.rpush(list, 3).await;
            elsewhere = Some(list);
        }
    }
    let elsewhere = in_cluster(&cluster, elsewhere.unwrap());
    let here = in_cluster(&cluster, "a");
    for trigger in [&elsewhere, &here] {
        scaler.evaluate(trigger).await.unwrap();
    }

    hung.pause();
    let (elsewhere, here) = tokio::join!(scaler.evaluate(&elsewhere), scaler.evaluate(&here));
    hung.resume();

    assert_eq!(elsewhere.unwrap().value, 3.0);
    assert_ne!(here.unwrap_err().code(), Code::Ok);
}

#[tokio::test]
async fn sentinels_name_the_master_and_a_failover_is_followed() {
    needs_redis!();
    let server = Redis::builder().password("master-pw");
    let sentinel = Sentinel::start_with(server, Redis::builder().password("sentinel-pw")).await;
    let scaler = Scaler::start().await;
    sentinel.master().await.rpush("jobs", 4).await;
    // The replica must have them before its master goes.
    sentinel
        .master()
        .await
        .command(&["WAIT", "1", "5000"])
        .await;
    let work = trigger([
        ("backend", "redis-sentinel"),
        ("addresses", &sentinel.addresses().join(",")),
        ("sentinelMaster", Sentinel::MASTER_NAME),
        ("sentinelPassword", "sentinel-pw"),
        ("password", "master-pw"),
        ("listName", "jobs"),
        ("freshFor", "0"),
    ]);
    let found = scaler.evaluate(&work).await.unwrap();
    assert_eq!((found.value, found.stale), (4.0, None));

    sentinel.master().await.kill();
    let during = scaler.evaluate(&work).await.unwrap();
    assert_eq!(
        (during.value, during.stale.is_some()),
        (4.0, true),
        "the last good sample answers"
    );

    let started = Instant::now();
    loop {
        let found = scaler.evaluate(&work).await.unwrap();
        assert_eq!(found.value, 4.0);
        if found.stale.is_none() {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "no new master: {found:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_sentinel_that_hangs_holds_nobody_up() {
    needs_redis!();
    let sentinel = Sentinel::start().await;
    let scaler = Scaler::start().await;
    sentinel.master().await.rpush("jobs", 4).await;
    sentinel.sentinels[0].pause();
    let work = trigger([
        ("backend", "redis-sentinel"),
        ("addresses", &sentinel.addresses().join(",")),
        ("sentinelMaster", Sentinel::MASTER_NAME),
        ("listName", "jobs"),
    ]);

    let found = scaler.evaluate(&work).await;
    sentinel.sentinels[0].resume();

    assert_eq!(found.unwrap().value, 4.0);
}

#[tokio::test]
async fn an_unknown_master_and_dead_sentinels_are_told_apart() {
    needs_redis!();
    let sentinel = Sentinel::start().await;
    let scaler = Scaler::start().await;
    let work = trigger([
        ("backend", "redis-sentinel"),
        ("addresses", &sentinel.addresses().join(",")),
        ("sentinelMaster", "nobody"),
        ("listName", "jobs"),
    ]);

    let error = scaler.evaluate(&work).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.message().contains("nobody"), "{}", error.message());

    let dead = with(
        with(work, "addresses", "127.0.0.1:1,127.0.0.1:2"),
        "sentinelMaster",
        "mymaster",
    );
    let error = scaler.evaluate(&dead).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        error.message().contains("sentinel 127.0.0.1:"),
        "{}",
        error.message()
    );
}
