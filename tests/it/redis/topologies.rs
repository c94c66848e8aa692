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

/// A cluster whose nodes go on without one of them. Set when all know each other.
async fn cluster_that_survives_a_node() -> Cluster {
    let cluster = Cluster::start(3).await;
    for node in &cluster.nodes {
        let set = ["CONFIG", "SET", "cluster-require-full-coverage", "no"];
        node.command(&set).await;
    }
    cluster
}

/// Lists of a cluster with one entry each: one on the node that has `a`, and one on each other node.
async fn one_list_a_node(cluster: &Cluster) -> (&Redis, Vec<String>) {
    let first = cluster.owner("a").await;
    first.rpush("a", 1).await;
    let mut elsewhere: Vec<(u16, String)> = Vec::new();
    for number in 0..100 {
        let list = format!("list-{number}");
        let owner = cluster.owner(&list).await;
        let known = elsewhere.iter().any(|(port, _)| *port == owner.port());
        if owner.port() != first.port() && !known {
            owner.rpush(&list, 1).await;
            elsewhere.push((owner.port(), list));
        }
    }
    assert_eq!(elsewhere.len(), 2, "three nodes have lists");
    (first, elsewhere.into_iter().map(|(_, list)| list).collect())
}

/// While a node does not respond, the other nodes' keys are read at once, every time; its own keys
/// and the globs, which need every node, fail with its address.
async fn assert_only_its_keys_fail(
    scaler: &Scaler,
    cluster: &Cluster,
    node: &Redis,
    elsewhere: &[String],
    rounds: u32,
) {
    for round in 0..rounds {
        let here = in_cluster(cluster, "a");
        let also_here = in_cluster(cluster, &format!("a, {}", elsewhere[0]));
        let glob = in_cluster(cluster, &format!("list-*{round}"));
        let failing = async {
            for failing in [&here, &also_here, &glob] {
                let error = scaler.evaluate(failing).await.unwrap_err();
                let text = error.message();
                assert!(text.contains(&format!("node {}", node.address())), "{text}");
            }
        };
        let working = async {
            for list in elsewhere.iter().cycle().take(20) {
                let started = Instant::now();
                let found = scaler.evaluate(&in_cluster(cluster, list)).await;
                assert_eq!(found.unwrap().value, 1.0);
                let elapsed = started.elapsed();
                assert!(elapsed < Duration::from_millis(900), "{elapsed:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::join!(failing, working);
    }
}

#[tokio::test]
async fn a_node_that_hangs_delays_no_other_nodes_keys() {
    needs_redis!();
    let cluster = cluster_that_survives_a_node().await;
    let (hung, elsewhere) = one_list_a_node(&cluster).await;
    let scaler = Scaler::start().await;
    let all = in_cluster(&cluster, &format!("a, {}", elsewhere.join(",")));
    assert_eq!(scaler.evaluate(&all).await.unwrap().value, 3.0);

    hung.pause();
    assert_only_its_keys_fail(&scaler, &cluster, hung, &elsewhere, 2).await;
    hung.resume();

    let started = Instant::now();
    while scaler.evaluate(&all).await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "not back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_dead_node_fails_only_the_keys_on_it() {
    needs_redis!();
    let cluster = cluster_that_survives_a_node().await;
    let (dead, elsewhere) = one_list_a_node(&cluster).await;
    let scaler = Scaler::start().await;
    let all = in_cluster(&cluster, &format!("a, {}", elsewhere.join(",")));
    assert_eq!(scaler.evaluate(&all).await.unwrap().value, 3.0);

    dead.kill();
    assert_only_its_keys_fail(&scaler, &cluster, dead, &elsewhere, 4).await;

    // A new connection, whose first address is the dead node's.
    let mut addresses = cluster.addresses();
    addresses.sort_by_key(|address| *address != dead.address());
    let anew = with(
        in_cluster(&cluster, &elsewhere[1]),
        "addresses",
        &addresses.join(","),
    );
    assert_eq!(scaler.evaluate(&anew).await.unwrap().value, 1.0);
}

#[tokio::test]
async fn slots_that_move_are_followed() {
    needs_redis!();
    let cluster = Cluster::start(3).await;
    let (from, elsewhere) = one_list_a_node(&cluster).await;
    let to = cluster.owner(&elsewhere[0]).await;
    let scaler = Scaler::start().await;
    let lists = in_cluster(&cluster, &format!("a, {{a}}-new, {}", elsewhere[0]));
    let glob = in_cluster(&cluster, "*a*");
    assert_eq!(scaler.evaluate(&lists).await.unwrap().value, 2.0);

    // The slot of `a` is on its way: keys that are no longer there are redirected by ASK.
    let slot = redis::Value::Int(15495);
    assert_eq!(from.command(&["CLUSTER", "KEYSLOT", "a"]).await, slot);
    let id = |node: redis::Value| redis::from_redis_value::<String>(node).unwrap();
    let from_id = id(from.command(&["CLUSTER", "MYID"]).await);
    let to_id = id(to.command(&["CLUSTER", "MYID"]).await);
    let set_slot = ["CLUSTER", "SETSLOT", "15495"];
    to.command(&[&set_slot[..], &["IMPORTING", &from_id]].concat())
        .await;
    from.command(&[&set_slot[..], &["MIGRATING", &to_id]].concat())
        .await;
    assert_eq!(scaler.evaluate(&lists).await.unwrap().value, 2.0);

    let port = to.port().to_string();
    let migrate = ["MIGRATE", "127.0.0.1", &port, "a", "0", "5000"];
    from.command(&migrate).await;
    assert_eq!(scaler.evaluate(&lists).await.unwrap().value, 2.0);

    for node in [to, from] {
        node.command(&[&set_slot[..], &["NODE", &to_id]].concat())
            .await;
    }
    assert_eq!(scaler.evaluate(&lists).await.unwrap().value, 2.0);
    assert_eq!(scaler.evaluate(&glob).await.unwrap().value, 1.0);
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
        "the last good sample is used"
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
