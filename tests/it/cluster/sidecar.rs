//! KEDA's operator and the program on one Unix socket, as in one pod.

use testkit::redis::Redis;

use super::{
    SOON, needs_cluster,
    objects::{Namespace, ScaledObject, list},
    program::Program,
    timeline::Timeline,
};

#[tokio::test]
async fn a_unix_socket_serves_kedas_operator() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster, "sidecar");
    let (redis, program) = (Redis::start().await, Program::on_socket(""));
    let trigger = list(&program.address(), &redis.address(), "jobs");
    namespace.scale("worker", ScaledObject::new(trigger));
    let timeline = Timeline::start(&namespace, "worker");
    redis.rpush("jobs", 12).await;
    timeline.backlog(12);
    timeline.note("12 jobs come");
    timeline.replicas(3, SOON).await;
}
