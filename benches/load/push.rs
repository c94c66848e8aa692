//! Streams of push triggers on as many Redis lists: how soon new work is reported, and what waiting
//! for it costs, by polling and with keyspace notifications.

use std::{sync::Arc, time::Duration};

use backlog_scaler::keda::proto::IsActiveResponse;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tonic::Streaming;

use crate::{
    report::{Report, Verdict, mib, ms, percentile},
    servers::{Served, trigger},
    usage::Meter,
};
use testkit::redis::Redis;

const STREAMS: [usize; 3] = [1, 1_000, 10_000];
const PUSHES: usize = 200;
const AT_REST: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

const READS: &str = "backlog_scaler_batch_size_count";

/// Measures, and prints.
pub async fn run() {
    let mut report = Report::new(
        "streams of push triggers, from RPUSH to true",
        &[
            "streams",
            "by",
            "p50",
            "p99",
            "reads/s",
            "our CPU",
            "Redis' CPU",
            "RSS over idle",
        ],
    );
    let mut verdicts = Vec::new();
    for notifies in [false, true] {
        for streams in STREAMS {
            let mut figures = measure(streams, notifies).await;
            if streams == 1_000 {
                let (by, target) = match notifies {
                    false => ("polling", 150.0),
                    true => ("notification", 20.0),
                };
                verdicts.push(Verdict::at_most(
                    &format!("p99 by {by}, in ms"),
                    percentile(&mut figures.latencies, 99.0).as_secs_f64() * 1e3,
                    target,
                ));
            }
            report.row(figures.cells(streams, notifies));
        }
    }
    report.print(&verdicts);
}

struct Figures {
    latencies: Vec<Duration>,
    reads: f64,
    own_cpu: Duration,
    redis_cpu: Duration,
    rss: f64,
}

impl Figures {
    fn cells(mut self, streams: usize, notifies: bool) -> [String; 8] {
        let share = |cpu: Duration| {
            let share = cpu.as_secs_f64() / AT_REST.as_secs_f64();
            format!("{:.1} %", share * 100.0)
        };
        [
            streams.to_string(),
            if notifies { "notification" } else { "polling" }.to_owned(),
            ms(percentile(&mut self.latencies, 50.0)),
            ms(percentile(&mut self.latencies, 99.0)),
            format!("{:.1}", self.reads / AT_REST.as_secs_f64()),
            share(self.own_cpu),
            share(self.redis_cpu),
            mib(self.rss),
        ]
    }
}

async fn measure(streams: usize, notifies: bool) -> Figures {
    eprintln!("push: {streams} streams");
    let (redis, served) = (Redis::start().await, Served::ours().await);
    if notifies {
        let setting = ["CONFIG", "SET", "notify-keyspace-events", "KA"];
        redis.command(&setting).await;
    }
    let idle = served.process().rss();
    let mut states = open(&served, &redis, streams).await;
    for _ in 0..streams {
        let first = timeout(PATIENCE, states.received.recv()).await;
        let (_, active) = first.expect("a state in time").expect("a stream");
        assert!(!active, "nothing waits yet");
    }
    // The keys are subscribed to, and nothing is left of the start.
    sleep(Duration::from_secs(2)).await;

    let redis_process = crate::usage::Process(redis.pid().expect("it runs"));
    let reads = served.figure(READS).await;
    let meter = Meter::start([served.process(), redis_process]);
    sleep(AT_REST).await;
    let [own_cpu, redis_cpu] = meter.used();
    let reads = served.figure(READS).await - reads;
    let rss = served.process().rss() - idle;

    let mut latencies = Vec::new();
    for push in 0..PUSHES {
        let list = push * 7919 % streams;
        // At any time of the interval.
        let offset = u64::try_from(push * 37 % 100).unwrap_or(0);
        sleep(Duration::from_millis(offset)).await;
        let pushed = Instant::now();
        redis.rpush(&format!("jobs-{list}"), 1).await;
        states.wait(list, true).await;
        latencies.push(pushed.elapsed());
        redis.command(&["DEL", &format!("jobs-{list}")]).await;
        states.wait(list, false).await;
    }
    Figures {
        latencies,
        reads,
        own_cpu,
        redis_cpu,
        rss,
    }
}

/// The states that all streams receive.
struct States {
    received: mpsc::UnboundedReceiver<(usize, bool)>,
    _tasks: JoinSet<()>,
}

impl States {
    async fn wait(&mut self, list: usize, active: bool) {
        let wanted = async { while self.received.recv().await != Some((list, active)) {} };
        timeout(PATIENCE, wanted).await.expect("a state in time");
    }
}

/// Opens all streams on one connection, as KEDA does, a hundred at a time: KEDA opens each when it
/// has reconciled the object.
async fn open(served: &Served, redis: &Redis, streams: usize) -> States {
    let client = served.client().await;
    let (sender, received) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    let opening = Arc::new(Semaphore::new(100));
    for i in 0..streams {
        let permit = opening.clone().acquire_owned().await.expect("is open");
        let (mut client, sender) = (client.clone(), sender.clone());
        let request = trigger(redis, i, "1s");
        tasks.spawn(async move {
            let opened = client.stream_is_active(request).await;
            drop(permit);
            let mut states: Streaming<IsActiveResponse> = opened.expect("a stream").into_inner();
            while let Ok(Some(state)) = states.message().await {
                if sender.send((i, state.result)).is_err() {
                    break;
                }
            }
        });
    }
    States {
        received,
        _tasks: tasks,
    }
}
