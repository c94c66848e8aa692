//! The servers that triggers are about, with real backlogs.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use redis::FromRedisValue;

use super::judge::Group;
use crate::{
    kafka, temporal,
    usage::{Meter, Process},
};
use testkit::{kafka::Kafka, redis::Redis, temporal::Temporal};

/// A list has 1 to 5 items.
const ITEMS: usize = 5;
/// Long, because a JVM and Temporal work on when nobody calls them, and not evenly.
const IDLE: Duration = Duration::from_secs(30);

/// The backends, in the order of every table. All triggers of one share a server.
pub const BACKENDS: [&str; 3] = ["redis", "kafka", "temporal"];
/// Tenths of the triggers.
const TENTHS: [usize; 3] = [7, 2, 1];

pub struct Backlogs {
    redis: Redis,
    kafka: Kafka,
    temporal: Temporal,
}

impl Backlogs {
    /// Starts all servers and fills them for so many triggers.
    pub async fn start(triggers: usize) -> Option<Self> {
        let installed = [
            (testkit::redis::available(), "redis-server"),
            (testkit::kafka::available(), "Kafka"),
            (testkit::temporal::available(), "the Temporal server"),
        ];
        if !installed
            .into_iter()
            .all(|(available, what)| testkit::require(available, what))
        {
            return None;
        }
        let [lists, groups, queues] = counts(triggers);
        eprintln!("load: {lists} Redis lists");
        let redis = Redis::start().await;
        for i in 0..lists {
            redis.rpush(&format!("jobs-{i}"), 1 + i % ITEMS).await;
        }
        eprintln!("load: {groups} Kafka groups on {} topics", kafka::TOPICS);
        let kafka = Kafka::under_load().await;
        kafka::prepare(&kafka, groups).await;
        let temporal = Temporal::under_load().await;
        temporal::start_workflows(&temporal, queues).await;
        Some(Backlogs {
            redis,
            kafka,
            temporal,
        })
    }

    /// CPU of each server, as a part of a core, while nobody calls it.
    pub async fn idle(&self) -> [f64; 3] {
        eprintln!("load: what the servers use when idle, {IDLE:?}");
        let meter = Meter::start(self.processes());
        let started = Instant::now();
        tokio::time::sleep(IDLE).await;
        let seconds = started.elapsed().as_secs_f64();
        meter.used().map(|cpu| cpu.as_secs_f64() / seconds)
    }

    pub fn processes(&self) -> [Process; 3] {
        [
            Process(self.redis.pid().expect("redis-server runs")),
            Process(self.kafka.pid()),
            Process(self.temporal.pid()),
        ]
    }

    pub fn ports(&self) -> [u16; 3] {
        [self.redis.port(), self.kafka.port(), self.temporal.port()]
    }

    /// Commands that Redis has processed, and requests that Temporal's frontend and matching have
    /// handled. Kafka reports none without JMX.
    pub async fn requests(&self) -> Requests {
        let stats = self.redis.command(&["INFO", "stats"]).await;
        let stats = String::from_redis_value(stats).expect("a text");
        let commands = stats
            .lines()
            .find_map(|line| line.strip_prefix("total_commands_processed:"));
        let [frontend, matching] = temporal::requests(&self.temporal).await;
        Requests {
            redis: commands.map_or(0.0, |count| count.trim().parse().expect("a count")),
            frontend,
            matching,
        }
    }

    /// So many triggers, mixed, with the values that they should have.
    pub fn groups(&self, triggers: usize) -> [Group; 3] {
        let [lists, groups, queues] = counts(triggers);
        let group = |name, count, metadata: &[(&str, &str)], expected| Group {
            name,
            backend: name,
            count,
            metadata: BTreeMap::from_iter(
                metadata
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
            ),
            expected,
        };
        [
            group(
                "redis",
                lists,
                &[
                    ("address", &self.redis.address()),
                    ("listName", "jobs-{i}"),
                    ("listLength", "10"),
                ],
                (1..=ITEMS).collect(),
            ),
            group(
                "kafka",
                groups,
                &[
                    ("bootstrapServers", &self.kafka.servers()),
                    ("consumerGroup", "group-{i}"),
                    ("topic", &format!("topic-{{i%{}}}", kafka::TOPICS)),
                ],
                // As kafka::prepare commits.
                (1..=kafka::MESSAGES).rev().collect(),
            ),
            group(
                "temporal",
                queues,
                &[
                    ("endpoint", &self.temporal.address()),
                    ("taskQueue", "load-{i}"),
                ],
                vec![1],
            ),
        ]
    }
}

/// Counters of the servers.
#[derive(Clone, Copy)]
pub struct Requests {
    pub redis: f64,
    pub frontend: f64,
    pub matching: f64,
}

fn counts(triggers: usize) -> [usize; 3] {
    TENTHS.map(|tenths| triggers * tenths / 10)
}
