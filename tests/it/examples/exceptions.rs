//! `deploy/examples/exceptions`: its workers on a real Kafka, and the numbers of its table.

use std::collections::{BTreeMap, BTreeSet};

use testkit::{
    kafka::{self, Kafka},
    require,
    scaler::{Scaler, trigger},
};

use super::{
    objects::{number, of_kind, requests, variable},
    python,
    worker::{Worker, until},
};

const MESSAGES: usize = 240;
const PARTITIONS: i32 = 6;

struct Group {
    kafka: &'static Kafka,
    name: &'static str,
    topic: String,
    next: String,
}

impl Group {
    async fn with_messages(kafka: &'static Kafka, name: &'static str) -> Self {
        let (topic, next) = (format!("{name}-in"), format!("{name}-out"));
        kafka
            .create_topics(&[topic.clone(), next.clone()], PARTITIONS)
            .await;
        let texts: Vec<String> = (0..MESSAGES)
            .map(|id| format!("{{\"id\": \"{id}\"}}"))
            .collect();
        kafka.produce_texts(&topic, PARTITIONS, &texts);
        Group {
            kafka,
            name,
            topic,
            next,
        }
    }

    fn worker(&self, seconds: &str) -> Worker {
        let servers = self.kafka.servers();
        let env = [
            ("BOOTSTRAP_SERVERS", servers.as_str()),
            ("GROUP", self.name),
            ("TOPIC", &self.topic),
            ("NEXT_TOPIC", &self.next),
            ("CONCURRENCY", "4"),
            ("WORK_SECONDS", seconds),
        ];
        Worker::start("exceptions", &env)
    }

    /// The messages that came out.
    fn done(&self) -> Vec<String> {
        let id = |text: &String| {
            let message: serde_json::Value = serde_json::from_str(text).unwrap();
            message["id"].as_str().unwrap().to_owned()
        };
        self.kafka.texts(&self.next).iter().map(id).collect()
    }

    async fn lag(&self, scaler: &Scaler) -> f64 {
        let servers = self.kafka.servers();
        let trigger = trigger([
            ("backend", "kafka"),
            ("bootstrapServers", &servers),
            ("consumerGroup", self.name),
            ("topic", &self.topic),
            ("offsetResetPolicy", "earliest"),
            ("allowIdleConsumers", "true"),
        ]);
        scaler.evaluate(&trigger).await.expect("a lag").value
    }
}

#[tokio::test]
async fn workers_that_stop_commit_what_they_have_and_lose_nothing() {
    if !require(
        kafka::available() && python("exceptions").is_some(),
        "Kafka and the examples' Python",
    ) {
        return;
    }
    let scaler = Scaler::start().await;
    let group = Group::with_messages(kafka::one().await, "graceful").await;
    assert_eq!(group.lag(&scaler).await, MESSAGES as f64);
    let workers: Vec<Worker> = (0..3).map(|_| group.worker("0.2")).collect();
    until("they are at work", async || !group.done().is_empty()).await;
    workers.iter().for_each(|worker| worker.signal("TERM"));
    for worker in workers {
        worker.has_stopped().await;
    }
    let done = group.done();
    let each: BTreeSet<&String> = done.iter().collect();
    assert!(done.len() < MESSAGES, "they stopped amid their work");
    // All that was worked on is committed, and nothing else. freshFor is 2 s.
    let left = (MESSAGES - each.len()) as f64;
    until("the lag is what is left", async || {
        group.lag(&scaler).await == left
    })
    .await;

    let worker = group.worker("0.01");
    until("all are done", async || group.lag(&scaler).await == 0.0).await;
    let done = group.done();
    assert_eq!(done.iter().collect::<BTreeSet<_>>().len(), MESSAGES);
    worker.signal("TERM");
    worker.has_stopped().await;
}

#[tokio::test]
async fn what_a_killed_worker_had_in_hand_is_read_again() {
    if !require(
        kafka::available() && python("exceptions").is_some(),
        "Kafka and the examples' Python",
    ) {
        return;
    }
    let scaler = Scaler::start().await;
    let group = Group::with_messages(kafka::one().await, "killed").await;
    let killed = group.worker("0.3");
    until("it is at work", async || !group.done().is_empty()).await;
    killed.signal("KILL");
    assert!(!killed.ended().await.success());
    assert!(group.lag(&scaler).await > 0.0);
    // Its partitions are free once its session has ended, after 15 s.
    let worker = group.worker("0.01");
    until("all are done", async || group.lag(&scaler).await == 0.0).await;
    let done = group.done();
    assert_eq!(done.iter().collect::<BTreeSet<_>>().len(), MESSAGES);
    worker.signal("TERM");
    worker.has_stopped().await;
}

/// The partitions that the Job creates, by topic.
fn partitions() -> BTreeMap<String, u64> {
    let job = &of_kind("deploy/examples/exceptions/topics.yaml", "Job")[0];
    let topics = variable(job, "TOPICS");
    let pairs = topics
        .split(',')
        .map(|topic| topic.split_once('=').unwrap());
    pairs
        .map(|(name, count)| (name.to_owned(), count.parse().unwrap()))
        .collect()
}

/// Lag per replica follows the concurrency, no more replicas than partitions, and each topic is
/// read by one group.
#[test]
fn the_table_of_the_page_is_that_of_the_manifests() {
    let page =
        std::fs::read_to_string(super::objects::path("deploy/examples/exceptions/README.md"))
            .unwrap();
    let partitions = partitions();
    let objects = of_kind(
        "deploy/examples/exceptions/scaledobjects.yaml",
        "ScaledObject",
    );
    let deployments = of_kind("deploy/examples/exceptions/workers.yaml", "Deployment");
    assert_eq!(objects.len(), 7);
    let (mut at_least, mut at_most) = ([0.0; 3], [0.0; 3]);
    for object in &objects {
        let name = object["spec"]["scaleTargetRef"]["name"].as_str().unwrap();
        let deployment = deployments
            .iter()
            .find(|deployment| deployment["metadata"]["name"] == name);
        let deployment = deployment.unwrap();
        let spec = &object["spec"];
        let metadata = &spec["triggers"][0]["metadata"];
        let group = metadata["consumerGroup"].as_str().unwrap();
        let topic = metadata["topic"].as_str().unwrap();
        assert_eq!(
            (variable(deployment, "GROUP"), variable(deployment, "TOPIC")),
            (group.into(), topic.into())
        );
        let most = number(&spec["maxReplicaCount"]);
        assert_eq!(most, partitions[topic], "{name}");
        let concurrency: u64 = variable(deployment, "CONCURRENCY").parse().unwrap();
        let seconds: f64 = variable(deployment, "WORK_SECONDS").parse().unwrap();
        let threshold = number(&metadata["lagThreshold"]);
        assert_eq!(threshold % concurrency, 0, "{name}");
        let resources = &deployment["spec"]["template"]["spec"]["containers"][0]["resources"];
        let resource =
            |which: &str, what: &str| resources[which][what].as_str().unwrap().to_owned();
        let row = format!(
            "| {group} | {concurrency} | {}–{} | {}–{} | {seconds} s | {threshold} | {}–{most} | {:.0} | {:.1} s |",
            resource("requests", "cpu"),
            resource("limits", "cpu"),
            resource("requests", "memory"),
            resource("limits", "memory"),
            number(&spec["minReplicaCount"]),
            most as f64 * concurrency as f64 / seconds,
            threshold as f64 * seconds / concurrency as f64,
        );
        assert!(
            page.lines().any(|line| line == row),
            "the page has no row\n{row}"
        );
        let (cpus, gib) = requests(deployment);
        for (sum, replicas) in [
            (&mut at_least, number(&spec["minReplicaCount"])),
            (&mut at_most, most),
        ] {
            let replicas = replicas as f64;
            let each = [1.0, cpus, gib].map(|each| each * replicas);
            (0..3).for_each(|at| sum[at] += each[at]);
        }
    }
    let ([few, cpus, gib], [many, more_cpus, more_gib]) = (at_least, at_most);
    let sums = format!(
        "Without work there are {few} replicas with {cpus:.2} CPUs and {gib:.2} GiB requested; \
         at all limits {many} with {more_cpus:.2} CPUs and {more_gib:.2} GiB."
    );
    assert!(page.contains(&sums), "the page does not say: {sums}");
}
