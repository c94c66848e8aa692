//! A run by the second, for the simulation to be held to.

use std::{path::Path, time::Duration};

use redis::FromRedisValue;
use testkit::redis::Redis;
use tokio::time::{Instant, sleep_until};

use super::{
    SOON, needs_cluster,
    objects::{Namespace, ScaledObject, list},
    program::Program,
    timeline::Timeline,
};
use crate::recorded::{
    KEPT, LATE_SYNCS, must_be_reproduced,
    recording::{LENGTH, RATE, Recording, Second, TARGET, arrivals, spec},
};

/// Set to keep the run as the one that `make test` replays.
const UPDATE: &str = "UPDATE_RECORDING";

/// The workers of the run are the test: it takes from the list what the pods would.
#[tokio::test]
async fn a_run_is_reproduced_by_the_simulation() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster, "recorded");
    let (redis, program) = (Redis::start().await, Program::start(""));
    let mut trigger = list(&program.address(), &redis.address(), "jobs");
    trigger["metadata"]["listLength"] = TARGET.to_string().into();
    // Each sync is to see the backlog of its second.
    trigger["metadata"]["freshFor"] = "1ms".into();
    let spec = spec();
    let fields = spec.as_object().expect("a map").iter();
    let scaled_object = fields.fold(ScaledObject::new(trigger), |object, (key, value)| {
        object.with(key, value.clone())
    });
    namespace.scale("worker", scaled_object);
    let timeline = Timeline::quiet(&namespace, "worker");
    timeline
        .until("HPA", SOON, |seen| seen.wanted.is_some())
        .await;

    let begun = Instant::now();
    let mut seconds = Vec::new();
    for second in 0..LENGTH {
        let begin = begun + Duration::from_secs(second as u64);
        sleep_until(begin).await;
        let arrived = arrivals(second);
        if arrived > 0 {
            redis.rpush("jobs", arrived).await;
        }
        let done = timeline.seen().replicas as usize * RATE;
        if done > 0 {
            redis.command(&["LPOP", "jobs", &done.to_string()]).await;
        }
        let length = redis.command(&["LLEN", "jobs"]).await;
        let backlog = usize::from_redis_value(length).unwrap();
        timeline.backlog(backlog);
        let late = begin.elapsed();
        if late > Duration::from_millis(700) {
            timeline.fail(&format!(
                "second {second}: the machine is too busy, the list is done after {late:?}"
            ));
        }
        sleep_until(begin + Duration::from_millis(950)).await;
        seconds.push(Second {
            arrived,
            backlog,
            replicas: timeline.seen().decided,
        });
    }
    let recording = Recording(seconds);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir_all(folder.join("target/cluster")).unwrap();
    std::fs::write(folder.join("target/cluster/recorded.csv"), recording.csv()).unwrap();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(folder.join(KEPT), recording.csv()).unwrap();
    }
    must_be_reproduced(&recording, LATE_SYNCS);
}
