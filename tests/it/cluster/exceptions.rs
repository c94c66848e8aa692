//! `deploy/examples/exceptions`, scaled by the lag of its groups.

use testkit::{
    kafka::{self, Kafka},
    require,
};

use super::{
    SOON, needs_cluster,
    pools::{apply, without_cpu_and_memory},
    program::Program,
    timeline::Timeline,
};

/// Writes messages to each partition that a group has not read.
fn behind(kafka: &Kafka, topic: &str, partitions: i32, each: usize) {
    (0..partitions).for_each(|partition| kafka.produce(topic, partition, each));
}

fn caught_up(kafka: &Kafka, group: &str, topic: &str, partitions: i32, each: usize) {
    let offsets: Vec<_> = (0..partitions)
        .map(|partition| (partition, each as i64))
        .collect();
    kafka.commit(group, topic, &offsets);
}

#[tokio::test]
async fn the_groups_of_exceptions_follow_their_lag_up_and_down() {
    let cluster = needs_cluster!();
    if !require(kafka::available(), "Kafka") {
        return;
    }
    let kafka = kafka::one().await;
    // Messages of each partition, and the replicas for all of them.
    let groups = [
        ("intake", "exceptions-intake", 12, 50, 6, 2),
        ("triage", "exceptions-triage", 6, 60, 5, 1),
        ("policy", "exceptions-policy", 6, 80, 3, 1),
        ("playbook", "exceptions-playbook", 8, 20, 4, 1),
        ("tool", "exceptions-tool", 12, 60, 12, 1),
        ("feedback", "exceptions-feedback", 3, 60, 2, 0),
        ("sla_monitor", "exceptions-closed", 3, 400, 3, 1),
    ];
    for (_, topic, partitions, ..) in groups {
        kafka.create_topic(topic, partitions).await;
    }
    let program = Program::start("");
    let addresses = [
        ("backlog-scaler.keda.svc:9090", program.address()),
        ("kafka.exceptions.svc:9092", kafka.servers()),
    ];
    let namespace = apply(&cluster, "exceptions", &addresses);
    for (group, topic, partitions, each, replicas, least) in groups {
        let timeline = Timeline::start(&namespace, &group.replace('_', "-"));
        timeline.replicas(least, SOON).await;
        behind(kafka, topic, partitions, each);
        timeline.backlog(partitions as usize * each);
        timeline.replicas(replicas, SOON).await;
        if group == "intake" {
            without_cpu_and_memory(&namespace, group);
        }
        caught_up(kafka, group, topic, partitions, each);
        timeline.backlog(0);
        timeline.replicas(least, SOON).await;
    }
}
