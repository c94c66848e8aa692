//! A thousand Redis triggers queried at once, every sample expired, beside the raw floor: one client
//! that sends a thousand keys as one pipeline.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use backlog_scaler::{
    keda::proto::GetMetricsRequest,
    metadata::TriggerRef,
    sampling::Trigger,
    server,
    settings::Settings,
    telemetry::{Exposition, Telemetry},
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::aio::MultiplexedConnection;

use crate::{
    TRIGGERS,
    report::{Report, Verdict, mib, ms, percentile, ratio},
    servers::{Callers, Served, figure, trigger},
    usage::{Meter, Process},
};
use testkit::redis::Redis;

const WARM_UP: usize = 10;
/// Rounds of each kind; they take turns.
const ROUNDS: usize = 200;
/// Rounds of one kind in a row: long enough for the CPU clock.
const IN_A_ROW: usize = 20;
/// Every sample has expired as soon as it is there.
const EXPIRED: &str = "0";
/// How many queries were read together; its count is the number of reads.
const READS: &str = "backlog_scaler_batch_size_count";
const READ_SECONDS: &str = "backlog_scaler_read_seconds_sum";

/// What the rounds of one kind took.
#[derive(Default)]
struct Rounds {
    walls: Vec<Duration>,
    own_cpu: Duration,
    redis_cpu: Duration,
    reads: f64,
}

impl Rounds {
    fn p50(&mut self) -> Duration {
        percentile(&mut self.walls, 50.0)
    }

    fn cells(&mut self, name: &str) -> [String; 6] {
        let rounds = self.walls.len().max(1) as u32;
        [
            name.to_owned(),
            ms(self.p50()),
            ms(percentile(&mut self.walls, 99.0)),
            ms(self.own_cpu / rounds),
            ms(self.redis_cpu / rounds),
            format!("{:.1}", self.reads / f64::from(rounds)),
        ]
    }
}

/// Measures, and prints.
pub async fn run(redis: &Redis) {
    let server = Process(redis.pid().expect("redis-server runs"));
    let mut raw = Raw::connect(redis).await;
    let engine = InProcess::start(redis);
    let ours = OverGrpc::start(redis, Served::ours().await).await;
    let empty = OverGrpc::start(redis, Served::empty().await).await;

    eprintln!("load: {TRIGGERS} expired triggers at once, {ROUNDS} rounds");
    for _ in 0..WARM_UP {
        raw.round().await;
        engine.round().await;
        empty.round().await;
        ours.round().await;
    }
    let [mut floor, mut read, mut hop, mut called]: [Rounds; 4] = Default::default();
    let reads_before = (engine.figure(READS), ours.server.figure(READS).await);
    let seconds_before = engine.figure(READ_SECONDS);
    for _ in 0..ROUNDS / IN_A_ROW {
        let meter = Meter::start([Process::own(), server]);
        for _ in 0..IN_A_ROW {
            floor.walls.push(raw.round().await);
        }
        floor.add(meter);
        let meter = Meter::start([Process::own(), server]);
        for _ in 0..IN_A_ROW {
            read.walls.push(engine.round().await);
        }
        read.add(meter);
        let meter = Meter::start([empty.server.process(), server]);
        for _ in 0..IN_A_ROW {
            hop.walls.push(empty.round().await);
        }
        hop.add(meter);
        let meter = Meter::start([ours.server.process(), server]);
        for _ in 0..IN_A_ROW {
            called.walls.push(ours.round().await);
        }
        called.add(meter);
    }
    floor.reads = floor.walls.len() as f64;
    read.reads = engine.figure(READS) - reads_before.0;
    called.reads = ours.server.figure(READS).await - reads_before.1;
    let in_reads = (engine.figure(READ_SECONDS) - seconds_before) / ROUNDS as f64;
    print(redis, [empty, ours], [floor, read, hop, called], in_reads);
}

impl Rounds {
    fn add(&mut self, meter: Meter<2>) {
        let [own, redis] = meter.used();
        self.own_cpu += own;
        self.redis_cpu += redis;
    }
}

/// One client of the same library, which knows every key beforehand.
struct Raw(MultiplexedConnection);

impl Raw {
    async fn connect(redis: &Redis) -> Self {
        let client = redis::Client::open(format!("redis://{}", redis.address()));
        let client = client.expect("a URL");
        let connection = client.get_multiplexed_async_connection().await;
        Raw(connection.expect("redis-server responds"))
    }

    async fn round(&mut self) -> Duration {
        let keys: Vec<_> = (0..TRIGGERS).map(|i| format!("jobs-{i}")).collect();
        let started = Instant::now();
        let mut pipeline = redis::Pipeline::with_capacity(TRIGGERS);
        for key in &keys {
            pipeline.llen(key);
        }
        let lengths: Vec<u64> = pipeline.query_async(&mut self.0).await.expect("lengths");
        let took = started.elapsed();
        assert_eq!(lengths.iter().sum::<u64>() as usize, TRIGGERS);
        took
    }
}

/// Our engine in this process: what a read costs without gRPC.
struct InProcess {
    triggers: Vec<Arc<Trigger>>,
    telemetry: Telemetry,
}

impl InProcess {
    fn start(redis: &Redis) -> Self {
        let telemetry = Telemetry::default();
        let engine = server::engine(&Settings::default(), &telemetry).expect("an engine");
        let triggers = (0..TRIGGERS).map(|i| {
            let request = TriggerRef::from(trigger(redis, i, EXPIRED));
            engine.trigger(request).expect("a trigger")
        });
        InProcess {
            triggers: triggers.collect(),
            telemetry,
        }
    }

    async fn round(&self) -> Duration {
        let started = Instant::now();
        let reads: FuturesUnordered<_> = self.triggers.iter().map(|t| t.evaluate()).collect();
        let values: Vec<_> = reads.collect().await;
        let took = started.elapsed();
        let values = values
            .into_iter()
            .map(|evaluation| evaluation.expect("a value"));
        let sum: f64 = values.map(|evaluation| evaluation.reading.value).sum();
        assert_eq!(sum, TRIGGERS as f64);
        took
    }

    fn figure(&self, name: &str) -> f64 {
        figure(
            &self
                .telemetry
                .encode(Exposition::OpenMetrics)
                .expect("metrics"),
            name,
        )
    }
}

/// A server, called as KEDA does: a thousand calls on one connection.
struct OverGrpc {
    server: Served,
    idle_rss: f64,
    callers: Callers,
}

impl OverGrpc {
    async fn start(redis: &Redis, server: Served) -> Self {
        let requests = (0..TRIGGERS).map(|i| GetMetricsRequest {
            scaled_object_ref: Some(trigger(redis, i, EXPIRED)),
            metric_name: String::new(),
        });
        OverGrpc {
            idle_rss: server.process().rss(),
            callers: Callers::new(&server, requests.collect()).await,
            server,
        }
    }

    async fn round(&self) -> Duration {
        let (took, values) = self.callers.round().await;
        let values = values.into_iter().map(|value| value.expect("a value"));
        assert_eq!(values.sum::<f64>(), TRIGGERS as f64);
        took
    }

    /// In MiB.
    fn rss_over_idle(&self) -> f64 {
        self.server.process().rss() - self.idle_rss
    }
}

fn print(redis: &Redis, servers: [OverGrpc; 2], rounds: [Rounds; 4], in_reads: f64) {
    let [empty, ours] = servers;
    let [mut floor, mut read, mut hop, mut called] = rounds;
    let title = format!(
        "{TRIGGERS} Redis triggers queried at once, no sample fresh, {ROUNDS} rounds. CPU is a \
         round's: the\nclient's (first two rows) or the server's, and redis-server's."
    );
    let columns = ["a round", "p50", "p99", "own CPU", "redis CPU", "reads"];
    let mut report = Report::new(title, &columns);
    let (floor_p50, read_p50) = (floor.p50().as_secs_f64(), read.p50().as_secs_f64());
    report.row(floor.cells("raw client, one pipeline"));
    report.row(read.cells("our engine, in process"));
    report.row(hop.cells("empty service, over gRPC"));
    report.row(called.cells("our server, over gRPC"));
    let sockets = ours.server.process().sockets_to(redis.port());
    report.print(&[
        Verdict::at_most(
            "our engine's round, as a multiple of the raw one,",
            ratio(read_p50, floor_p50),
            2.0,
        ),
        Verdict::at_most("our RSS over idle, in MiB,", ours.rss_over_idle(), 16.0),
        Verdict::at_most("our number of sockets to Redis", sockets as f64, 1.0),
    ]);
    println!(
        "  Of the engine's round, {:.2} ms was spent in reads (mean, all reads of a round). Over \
         gRPC a\n  thousand calls are served as well, all in flight at once: the empty service's \
         RSS is then {} over idle.",
        in_reads * 1e3,
        mib(empty.rss_over_idle()),
    );
}
