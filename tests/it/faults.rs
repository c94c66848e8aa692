//! One server under load while what it depends on fails, one after the other: the others keep their
//! values, the failed one is stale, then an error, then back; and nothing is left behind.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use backlog_scaler::keda::proto::{ScaledObjectRef, external_scaler_client::ExternalScalerClient};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tonic::{Status, transport::Channel};

use crate::program::{HANGS, Program, Resources};
use testkit::{
    kafka::{self, Kafka},
    redis::{self, Redis},
    require,
    scaler::{Evaluation, evaluate, trigger, with},
    temporal::{self, Temporal, reported},
};

/// Queues of each backend, each evaluated once a second at a time of its own.
const QUEUES: usize = 20;
/// What waits in each.
const BACKLOG: usize = 7;
/// A failed backend's values are used for this long, and no longer.
const SETTINGS: &str = "engine: {callTimeout: 1s, maxStaleness: 6s}";
const STALE_FOR: Duration = Duration::from_secs(6);
/// How long a backend may take to be served again once it is back: an attempt to connect every 5 s at
/// the least, with as much jitter.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// What was found since it was last taken, by backend.
type Found = Arc<Mutex<BTreeMap<&'static str, Vec<Outcome>>>>;

struct Outcome {
    evaluation: Result<Evaluation, Status>,
    /// What the value must be.
    expected: f64,
}

struct Load {
    found: Found,
    polls: Mutex<JoinSet<()>>,
}

impl Load {
    /// Evaluates each trigger once a second.
    fn start(
        client: &ExternalScalerClient<Channel>,
        temporal: &temporal::Stubs,
        triggers: Vec<(&'static str, ScaledObjectRef)>,
    ) -> Self {
        let (found, mut polls) = (Found::default(), JoinSet::new());
        let count = triggers.len() as u32;
        for (i, (backend, trigger)) in triggers.into_iter().enumerate() {
            let (mut client, found) = (client.clone(), found.clone());
            let temporal = temporal.clone();
            polls.spawn(async move {
                sleep(Duration::from_secs(1) / count * i as u32).await;
                let mut expected = BACKLOG as f64;
                let mut turns = interval(Duration::from_secs(1));
                turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    turns.tick().await;
                    let evaluation = timeout(HANGS, evaluate(&mut client, &trigger)).await;
                    let evaluation = evaluation.expect("a call ends in time");
                    let value = evaluation.as_ref().map(|evaluation| evaluation.value);
                    // Temporal's count is approximate: what it last said is what we must return.
                    if backend == "temporal"
                        && value.is_ok_and(|value| value != expected)
                        && let Ok(count) =
                            reported(&temporal, &trigger.scaler_metadata["taskQueue"]).await
                    {
                        expected = count as f64;
                    }
                    let outcome = Outcome {
                        evaluation,
                        expected,
                    };
                    let mut found = found.lock().unwrap();
                    found.entry(backend).or_default().push(outcome);
                }
            });
        }
        Load {
            found,
            polls: Mutex::new(polls),
        }
    }

    /// What is found in the next so long a time. A value that is returned is always right.
    async fn watch(&self, time: Duration) -> Seen {
        self.found.lock().unwrap().clear();
        sleep(time).await;
        if let Some(ended) = self.polls.lock().unwrap().try_join_next() {
            ended.expect("a poll never ends");
        }
        let found = std::mem::take(&mut *self.found.lock().unwrap());
        let mut seen = Seen::default();
        for (backend, outcomes) in found {
            let mut counts = Counts::default();
            for outcome in outcomes {
                match outcome.evaluation {
                    Ok(evaluation) => {
                        assert_eq!(
                            evaluation.value, outcome.expected,
                            "{backend}: {evaluation:?}"
                        );
                        match evaluation.stale {
                            None => counts.good += 1,
                            Some(_) => counts.stale += 1,
                        }
                    }
                    Err(status) => {
                        counts.errors += 1;
                        counts.last_error = status.message().to_owned();
                    }
                }
            }
            seen.0.insert(backend, counts);
        }
        seen
    }

    /// Waits until a backend is good again.
    async fn recovers(&self, backend: &str) {
        let started = Instant::now();
        loop {
            let seen = self.watch(Duration::from_secs(2)).await;
            let counts = seen.of(backend);
            if counts.good > 0 && counts.stale + counts.errors == 0 {
                return;
            }
            assert!(started.elapsed() < BACK_WITHIN, "{backend}: {counts:?}");
        }
    }
}

#[derive(Debug, Default)]
struct Seen(BTreeMap<&'static str, Counts>);

#[derive(Debug, Default)]
struct Counts {
    good: usize,
    stale: usize,
    errors: usize,
    last_error: String,
}

impl Seen {
    fn of(&self, backend: &str) -> &Counts {
        self.0
            .get(backend)
            .unwrap_or_else(|| panic!("no call of {backend}"))
    }

    /// All but some were evaluated all the time, on samples that are not stale.
    fn assert_good_but(&self, failed: &[&str]) {
        for (backend, counts) in &self.0 {
            if failed.contains(backend) {
                continue;
            }
            assert!(counts.good > 0, "{backend}: {counts:?}");
            assert_eq!(
                (counts.stale, counts.errors),
                (0, 0),
                "{backend}: {counts:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_fails_alone_and_leaves_nothing_behind() {
    let installed = redis::available() && kafka::available() && temporal::available();
    if !require(installed, "a server of each backend") {
        return;
    }
    let ((kafka, _turn), first, second, temporal) = tokio::join!(
        kafka::three(),
        Redis::start(),
        Redis::start(),
        Temporal::builder().on_disk().start()
    );
    let triggers = fill(kafka, &first, &second, &temporal).await;
    let program = Program::start(SETTINGS).await;
    let client = program.client().await;
    let load = Load::start(&client, &temporal.stubs().await, triggers.clone());
    load.watch(Duration::from_secs(5)).await;
    load.watch(Duration::from_secs(5))
        .await
        .assert_good_but(&[]);
    let floor = program.resources();
    let connections = connections_so_far(&first).await;

    // A Redis that hangs for 20 s.
    first.pause();
    load.watch(STALE_FOR - Duration::from_secs(3))
        .await
        .assert_good_but(&["first redis"]);
    load.watch(Duration::from_secs(6))
        .await
        .assert_good_but(&["first redis"]);
    let hanging = load.watch(Duration::from_secs(11)).await;
    hanging.assert_good_but(&["first redis"]);
    let counts = hanging.of("first redis");
    assert!(
        counts.errors > 0 && counts.good + counts.stale == 0,
        "{counts:?}"
    );
    assert!(
        counts.last_error.contains("last good sample is"),
        "{}",
        counts.last_error
    );
    first.resume();
    load.recovers("first redis").await;
    // No herd: a connection for each attempt, which back off.
    let opened = connections_so_far(&first).await - connections;
    assert!(opened <= 20, "{opened} connections");

    // A broker of three that dies and returns.
    let victim = kafka.leader("faults", 0);
    kafka.kill(victim);
    load.watch(Duration::from_secs(5))
        .await
        .assert_good_but(&["kafka"]);
    kafka.restart(victim).await;
    load.watch(Duration::from_secs(1))
        .await
        .assert_good_but(&["kafka"]);
    load.recovers("kafka").await;

    // Temporal stops, and comes back with what it had.
    temporal.stop().await;
    load.watch(Duration::from_secs(3))
        .await
        .assert_good_but(&["temporal"]);
    temporal.restart().await;
    load.recovers("temporal").await;

    // A name that cannot be resolved.
    let nowhere = with(triggers[0].1.clone(), "address", "redis.invalid:6379");
    let error = evaluate(&mut client.clone(), &nowhere).await.unwrap_err();
    assert!(error.message().contains("redis.invalid"), "{error}");

    // Clients that connect and drop, some in the middle of a request.
    let (seen, ()) = tokio::join!(
        load.watch(Duration::from_secs(5)),
        connect_and_drop(&program)
    );
    seen.assert_good_but(&[]);

    // Metadata that is never the same.
    let (seen, ()) = tokio::join!(
        load.watch(Duration::from_secs(5)),
        churn(client.clone(), triggers[0].1.clone())
    );
    seen.assert_good_but(&[]);

    load.watch(Duration::from_secs(5))
        .await
        .assert_good_but(&[]);
    assert_back_at(floor, &program);
    assert!(!program.log().contains("panicked"), "{}", program.log());
}

/// Memory for what the churn left, which is kept until it is idle, and nothing else.
fn assert_back_at(floor: Resources, program: &Program) {
    let now = program.resources();
    assert!(now.memory <= floor.memory + 32, "{floor:?}, then {now:?}");
    // The client's one connection may have been opened anew, and brokers found that were unknown.
    assert!(now.files <= floor.files + 4, "{floor:?}, then {now:?}");
    assert!(now.threads <= floor.threads + 2, "{floor:?}, then {now:?}");
}

async fn fill(
    kafka: &'static Kafka,
    first: &Redis,
    second: &Redis,
    temporal: &Temporal,
) -> Vec<(&'static str, ScaledObjectRef)> {
    kafka.create_topic("faults", 3).await;
    kafka.produce("faults", 0, BACKLOG + 1);
    let mut triggers = Vec::new();
    for i in 0..QUEUES {
        let name = format!("faults-{i}");
        for (backend, redis) in [("first redis", first), ("second redis", second)] {
            redis.rpush(&name, BACKLOG).await;
            let address = redis.address();
            let list = [
                ("backend", "redis"),
                ("address", &*address),
                ("listName", &*name),
            ];
            triggers.push((backend, trigger(list)));
        }
        kafka.commit(&name, "faults", &[(0, 1), (1, 0), (2, 0)]);
        let servers = kafka.servers();
        let group = [
            ("backend", "kafka"),
            ("bootstrapServers", &*servers),
            ("consumerGroup", &*name),
            ("topic", "faults"),
        ];
        triggers.push(("kafka", trigger(group)));
        temporal.start_workflows(&name, BACKLOG).await;
        let endpoint = temporal.address();
        let queue = [
            ("backend", "temporal"),
            ("endpoint", &*endpoint),
            ("taskQueue", &*name),
        ];
        triggers.push(("temporal", trigger(queue)));
    }
    triggers
}

/// How many connections a Redis has accepted.
async fn connections_so_far(redis: &Redis) -> usize {
    let info = redis.command(&["INFO", "stats"]).await;
    let info: String = ::redis::from_redis_value(info).unwrap();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"));
    line.unwrap().trim().parse().unwrap()
}

async fn connect_and_drop(program: &Program) {
    for i in 0..1_000 {
        let mut stream = TcpStream::connect(&program.address).await.unwrap();
        if i % 2 == 0 {
            let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM").await;
        }
    }
}

/// A thousand triggers of one queue that differ in a threshold.
async fn churn(mut client: ExternalScalerClient<Channel>, trigger: ScaledObjectRef) {
    for i in 1..=1_000 {
        let changed = with(trigger.clone(), "listLength", &i.to_string());
        let found = evaluate(&mut client, &changed).await.unwrap();
        assert_eq!((found.value, found.target), (BACKLOG as f64, f64::from(i)));
    }
}
