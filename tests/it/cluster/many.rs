//! A hundred ScaledObjects at once.

use std::time::{Duration, Instant};

use testkit::redis::Redis;

use super::{
    control_plane::{Replicas, Seen},
    needs_cluster,
    objects::{Namespace, ScaledObject, list},
    program::Program,
};

const OBJECTS: usize = 100;
const DEADLINE: Duration = Duration::from_secs(240);

/// 1 to 5.
fn wanted(object: usize) -> Replicas {
    (object % 5) as Replicas + 1
}

#[tokio::test]
async fn a_hundred_objects_get_each_its_own_number() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster, "hundred");
    let (redis, program) = (Redis::start().await, Program::start(""));
    let names: Vec<String> = (0..OBJECTS).map(|i| format!("worker-{i}")).collect();
    let begun = Instant::now();
    namespace.scale_all(names.iter().map(|name| {
        let trigger = list(&program.address(), &redis.address(), name);
        (name.clone(), ScaledObject::new(trigger))
    }));
    every(&namespace, &names, begun, "have an HPA", |_, seen| {
        seen.wanted.is_some()
    })
    .await;

    for (i, name) in names.iter().enumerate() {
        redis.rpush(name, 5 * wanted(i) as usize).await;
    }
    let begun = Instant::now();
    let right = |i, seen: Seen| seen.replicas == wanted(i);
    every(
        &namespace,
        &names,
        begun,
        "have 1 to 5 replicas after the jobs came",
        right,
    )
    .await;

    redis.command(&["FLUSHALL"]).await;
    let begun = Instant::now();
    every(
        &namespace,
        &names,
        begun,
        "are at 0 after the lists were empty",
        |_, seen| seen.replicas == 0,
    )
    .await;
}

/// Waits until a condition holds for every object, and prints how long that took.
async fn every(
    namespace: &Namespace,
    names: &[String],
    begun: Instant,
    what: &str,
    condition: impl Fn(usize, Seen) -> bool,
) {
    loop {
        let seen = names
            .iter()
            .map(|name| namespace.cluster.seen(&namespace.name, name));
        let missing: Vec<_> = seen
            .enumerate()
            .filter(|(i, seen)| !condition(*i, *seen))
            .collect();
        if missing.is_empty() {
            println!("hundred: all {what}: {:.1?}", begun.elapsed());
            return;
        }
        assert!(
            begun.elapsed() < DEADLINE,
            "not all {what}: {missing:?}\nKEDA's log:\n{}",
            namespace.cluster.keda_log_tail(&namespace.name)
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
