//! A thousand consumer groups, all queried at once: by us, by a raw client, and by KEDA's two
//! built-in scalers.

use std::time::{Duration, Instant};

use backlog_scaler::keda::proto::GetMetricsRequest;

use crate::{
    TRIGGERS,
    judge::{self, Judge, Run, table},
    report::{Report, Verdict, ms, percentile, ratio},
    servers::{Callers, Served, scaled_object},
    usage::{Meter, Process},
    wire::{End, Wire},
};
use testkit::kafka::Kafka;

/// Group `i` reads topic `i` modulo this.
pub const TOPICS: usize = 100;
pub const PARTITIONS: i32 = 10;
/// Messages of each topic, on one of its partitions.
pub const MESSAGES: usize = 5;
const ROUNDS: usize = 20;
/// Between rounds, so that each has a broker that rests.
const PAUSE: Duration = Duration::from_millis(200);
const WARM_UP: usize = 3;

/// The offset that a group has committed; so the lag is 1 to 5.
fn committed(group: usize) -> i64 {
    (group % MESSAGES) as i64
}

fn group(i: usize) -> String {
    format!("group-{i}")
}

fn topic(i: usize) -> String {
    format!("topic-{}", i % TOPICS)
}

/// Measures, and prints.
pub async fn run() {
    if !testkit::require(testkit::kafka::available(), "Kafka") {
        return;
    }
    eprintln!("load: Kafka, {TOPICS} topics of {PARTITIONS} partitions, {TRIGGERS} groups");
    let kafka = Kafka::under_load().await;
    prepare(&kafka, TRIGGERS).await;
    rounds(&kafka).await;
    keda(&kafka).await;
}

/// Creates and fills the topics, and commits for so many groups.
pub async fn prepare(kafka: &Kafka, groups: usize) {
    let topics: Vec<String> = (0..TOPICS).map(topic).collect();
    kafka.create_topics(&topics, PARTITIONS).await;
    std::thread::scope(|threads| {
        for part in 0..4 {
            let topics = &topics;
            threads.spawn(move || {
                for topic in topics.iter().skip(part).step_by(4) {
                    kafka.produce(topic, 3, MESSAGES);
                }
                for i in (part..groups).step_by(4) {
                    let offsets: Vec<_> = (0..PARTITIONS)
                        .map(|partition| match partition {
                            3 => (partition, committed(i)),
                            _ => (partition, 0),
                        })
                        .collect();
                    kafka.commit(&group(i), &topic(i), &offsets);
                }
            });
        }
    });
}

/// What the rounds of one kind took.
#[derive(Default)]
struct Rounds {
    walls: Vec<Duration>,
    cpu: Duration,
    broker_cpu: Duration,
}

impl Rounds {
    fn cpu_each(&self) -> Duration {
        self.cpu / self.walls.len().max(1) as u32
    }

    fn cells(&mut self, name: &str) -> [String; 5] {
        let rounds = self.walls.len().max(1) as u32;
        [
            name.to_owned(),
            ms(percentile(&mut self.walls, 50.0)),
            ms(percentile(&mut self.walls, 99.0)),
            ms(self.cpu_each()),
            ms(self.broker_cpu / rounds),
        ]
    }
}

async fn rounds(kafka: &Kafka) {
    let broker = Process(kafka.pid());
    let served = Served::ours().await;
    let idle_rss = served.process().rss();
    let requests = (0..TRIGGERS).map(|i| GetMetricsRequest {
        scaled_object_ref: Some(trigger(kafka, i)),
        metric_name: String::new(),
    });
    let ours = Callers::new(&served, requests.collect()).await;
    let mut raw = Raw::connect(kafka).await;
    let mut wrong = 0;
    for _ in 0..WARM_UP {
        wrong += count_wrong(&ours).await.1;
        raw.round(TRIGGERS).await;
    }
    let [mut batched, mut single, mut requests]: [Rounds; 3] = Default::default();
    let mut sockets = 0;
    for _ in 0..ROUNDS {
        for (rounds, groups) in [(&mut batched, TRIGGERS), (&mut single, 1)] {
            tokio::time::sleep(PAUSE).await;
            let meter = Meter::start([Process::own(), broker]);
            rounds.walls.push(raw.round(groups).await);
            rounds.add(meter);
        }
        tokio::time::sleep(PAUSE).await;
        let meter = Meter::start([served.process(), broker]);
        let (wall, wrong_now) = count_wrong(&ours).await;
        requests.walls.push(wall);
        requests.add(meter);
        wrong += wrong_now;
        sockets = sockets.max(served.process().sockets_to(kafka.port()));
    }
    let title = format!(
        "{TRIGGERS} consumer groups on {TOPICS} Kafka topics of {PARTITIONS} partitions, all queried \
         at once, no sample fresh, {ROUNDS} rounds.\nCPU is a round's: the client's (first two \
         rows) or our server's, and the broker's."
    );
    let mut report = Report::new(title, &["a round", "p50", "p99", "own CPU", "broker CPU"]);
    report.row(batched.cells("raw client, all groups in one request"));
    report.row(single.cells("raw client, one group a request"));
    report.row(requests.cells("our server, over gRPC"));
    let cpu = requests.cpu_each().as_secs_f64() * 1e3;
    let wall = percentile(&mut requests.walls, 50.0).as_secs_f64() * 1e3;
    let rss = served.process().rss() - idle_rss;
    report.print(&[
        Verdict::at_most("our round, in ms,", wall, 250.0),
        Verdict::at_most("our CPU of a round, in ms,", cpu, 120.0),
        Verdict::at_most("our RSS over idle, in MiB,", rss, 40.0),
        Verdict::at_most("our number of sockets to one broker", sockets as f64, 3.0),
        Verdict::at_most("our number of wrong values and errors", wrong as f64, 0.0),
    ]);
}

impl Rounds {
    fn add(&mut self, meter: Meter<2>) {
        let [own, broker] = meter.used();
        self.cpu += own;
        self.broker_cpu += broker;
    }
}

fn trigger(kafka: &Kafka, i: usize) -> backlog_scaler::keda::proto::ScaledObjectRef {
    scaled_object(
        i,
        &[
            ("backend", "kafka"),
            ("bootstrapServers", &kafka.servers()),
            ("consumerGroup", &group(i)),
            ("topic", &topic(i)),
            ("freshFor", "0"),
        ],
    )
}

/// One round of ours: its time, and how many results are not what was produced and committed.
async fn count_wrong(ours: &Callers) -> (Duration, usize) {
    let (wall, responses) = ours.round().await;
    let right = |(i, response): &(usize, Result<f64, tonic::Status>)| {
        let lag = MESSAGES as i64 - committed(*i);
        response.as_ref().is_ok_and(|value| *value == lag as f64)
    };
    let responses = responses.into_iter().enumerate();
    (wall, responses.filter(|response| !right(response)).count())
}

/// A client that knows every topic, partition, group and coordinator.
struct Raw {
    wire: Wire,
    groups: Vec<String>,
    topics: Vec<String>,
}

impl Raw {
    async fn connect(kafka: &Kafka) -> Self {
        Raw {
            wire: Wire::connect(&kafka.servers()).await,
            groups: (0..TRIGGERS).map(group).collect(),
            topics: (0..TOPICS).map(topic).collect(),
        }
    }

    async fn round(&mut self, groups_a_request: usize) -> Duration {
        let started = Instant::now();
        let committed = self.wire.committed(&self.groups, groups_a_request).await;
        let latest = self.wire.ends(&self.topics, PARTITIONS, End::Latest).await;
        let earliest = self.wire.ends(&self.topics, PARTITIONS, End::Earliest);
        let earliest = earliest.await;
        let took = started.elapsed();
        let expected: i64 = (0..TRIGGERS).map(self::committed).sum();
        assert_eq!(
            (committed, latest, earliest),
            (expected, (TOPICS * MESSAGES) as i64, 0)
        );
        took
    }
}

async fn keda(kafka: &Kafka) {
    let Some(program) = judge::program() else {
        return;
    };
    let judge = |backend, rounds| Judge {
        program: program.clone(),
        backend,
        metadata: vec![
            ("bootstrapServers", kafka.servers()),
            ("consumerGroup", "group-{i}".to_owned()),
            ("topic", format!("topic-{{i%{TOPICS}}}")),
        ],
        server: Process(kafka.pid()),
        port: kafka.port(),
        rounds,
    };
    let sarama = judge("kafka", 5);
    let measured = async {
        let ours = sarama.external(&[("freshFor", "2s")]).await?;
        let builtin = sarama.builtin().await?;
        let apache = judge("apache-kafka", 2).builtin().await?;
        Ok::<_, String>([builtin, apache, ours])
    };
    match measured.await {
        Ok(runs) => print(&runs),
        Err(error) => println!("\nKEDA's built-in kafka scalers are not compared: {error}"),
    }
}

fn print([builtin, apache, ours]: &[Run; 3]) {
    let title = format!(
        "{TRIGGERS} Kafka triggers, evaluated by KEDA at once, 5 rounds (apache-kafka: 2) without \
         a pause."
    );
    let columns = [
        ("built-in kafka", builtin),
        ("built-in apache-kafka", apache),
        ("ours, 2s (default)", ours),
    ];
    let memory = |run: &Run| run.keda_rss_more + run.ours.as_ref().map_or(0.0, |o| o.rss_more);
    table(title, "broker", &columns).print(&[
        Verdict::at_most(
            "broker CPU, ours beside built-in kafka,",
            ratio(ours.server_cpu, builtin.server_cpu),
            1.0,
        ),
        Verdict::at_most(
            "memory of KEDA and us, beside KEDA's with built-in kafka,",
            ratio(memory(ours), memory(builtin)),
            1.0,
        ),
    ]);
    println!(
        "  {} messages wait in each round; what a built-in scaler's sum lacks of that times its \
         rounds is wrong.",
        (0..TRIGGERS)
            .map(|i| MESSAGES as i64 - committed(i))
            .sum::<i64>()
    );
}
