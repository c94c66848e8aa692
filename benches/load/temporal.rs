//! A thousand task queues of one namespace with a waiting task each and no workers, under the
//! server's default limits: scale from zero. Cold and all at once, warm, spread, and beside KEDA's
//! built-in scaler.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use backlog_scaler::keda::proto::external_scaler_client::ExternalScalerClient;
use futures_util::{StreamExt, future::join_all, stream};
use tokio::time::sleep;
use tonic::{Code, transport::Channel};

use crate::{
    TRIGGERS,
    judge::{self, Judge, Run, table},
    report::{Report, Verdict, percentile},
    servers::{Served, figure, scaled_object},
    usage::{Meter, Process},
};
use testkit::{
    scaler::{Evaluation, evaluate, page},
    temporal::{Temporal, start_one},
};

/// KEDA's default polling interval.
const SPREAD: Duration = Duration::from_secs(30);
/// Requests that the server's services handled, by service and operation.
const REQUESTS: &str = "service_requests{";

/// Measures, and prints.
pub async fn run() {
    if !testkit::require(testkit::temporal::available(), "the Temporal server") {
        return;
    }
    let loaded = Loaded::start().await;
    loaded.measure().await;
    drop(loaded);
    // Anew, so that KEDA's scaler finds the server as we did.
    keda().await;
}

/// A server where one workflow waits on each queue, and a worker of another queue is at work.
struct Loaded {
    temporal: Temporal,
    worked: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

/// Starts a workflow, which waits, on each of so many queues.
pub async fn start_workflows(temporal: &Temporal, queues: usize) {
    eprintln!("load: Temporal, a workflow on each of {queues} queues");
    let starts = stream::iter(0..queues).map(|i| async move {
        temporal.start_workflows(&format!("load-{i}"), 1).await;
    });
    starts.buffer_unordered(16).collect::<Vec<()>>().await;
}

/// Reads that the frontend handled, and all requests to matching, whose limit they share with
/// workers.
pub async fn requests(temporal: &Temporal) -> [f64; 2] {
    let (_, page) = page(&temporal.metrics(), "/metrics").await;
    let sum = |marks: &[&str]| {
        let lines = page.lines();
        let lines = lines.filter(|line| marks.iter().all(|mark| line.contains(mark)));
        figure(&lines.collect::<Vec<_>>().join("\n"), REQUESTS)
    };
    let reads = [
        "service_name=\"frontend\"",
        "operation=\"DescribeTaskQueue\"",
    ];
    [sum(&reads), sum(&["service_name=\"matching\""])]
}

/// What a round of evaluations saw.
#[derive(Default)]
struct Round {
    name: &'static str,
    took: Duration,
    times: Vec<Duration>,
    /// Age of the oldest sample that was returned.
    oldest: Duration,
    stale: usize,
    errors: usize,
    /// Of the frontend, and of matching.
    requests: [f64; 2],
    /// Calls of the worker that the server refused.
    refused: usize,
    server_cpu: Duration,
    our_cpu: Duration,
}

impl Loaded {
    async fn start() -> Self {
        let temporal = Temporal::under_load().await;
        start_workflows(&temporal, TRIGGERS).await;
        let loaded = Loaded {
            temporal,
            worked: Arc::default(),
            refused: Arc::default(),
        };
        loaded.start_worker().await;
        loaded
    }

    /// Starts workflows and takes their tasks, all the time, and counts what is refused.
    async fn start_worker(&self) {
        let worker = self.temporal.poller("busy").await;
        let stubs = self.temporal.stubs().await;
        let (worked, refused) = (self.worked.clone(), self.refused.clone());
        tokio::spawn(async move {
            for i in 0.. {
                let started = start_one(&stubs, "busy", &format!("busy-{i}")).await;
                let polled = worker.try_poll(Duration::from_secs(5)).await;
                for status in [started.err(), polled.err()].into_iter().flatten() {
                    match status.code() {
                        Code::ResourceExhausted => refused.fetch_add(1, Ordering::Relaxed),
                        // The server has been stopped.
                        _ => return,
                    };
                }
                worked.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(50)).await;
            }
        });
    }

    async fn measure(&self) {
        let served = Served::ours().await;
        let idle_rss = served.process().rss();
        let client = served.client().await;
        let round = |name, over| self.round(name, over, &served, &client);
        let cold = round("cold, all at once", Duration::ZERO).await;
        let after_cold = served.process().rss() - idle_rss;
        sleep(Duration::from_secs(10)).await;
        let warm = round("10 s later, all at once", Duration::ZERO).await;
        let first = round("then spread over 30 s", SPREAD).await;
        let second = round("and again", SPREAD).await;

        let rss = (served.process().rss() - idle_rss).max(after_cold);
        let port = self.temporal.port();
        let sockets = served.process().sockets_to(port);
        let worked = self.worked.load(Ordering::Relaxed);
        let slowest = |round: &Round| round.times.iter().max().copied().unwrap_or_default();
        let seconds = |duration: Duration| duration.as_secs_f64();
        let rounds = [cold, warm, first, second];
        let errors: usize = rounds.iter().map(|round| round.errors).sum();
        let refused: usize = rounds.iter().map(|round| round.refused).sum();
        let verdicts = [
            Verdict::at_most("our number of errors", errors as f64, 0.0),
            Verdict::at_most(
                "the slowest cold call, in s,",
                seconds(slowest(&rounds[0])),
                20.0,
            ),
            Verdict::at_most(
                "the slowest call when spread, in s,",
                seconds(slowest(&rounds[2]).max(slowest(&rounds[3]))),
                3.0,
            ),
            Verdict::at_most(
                "the oldest sample returned, in s,",
                seconds(
                    rounds
                        .iter()
                        .map(|round| round.oldest)
                        .max()
                        .unwrap_or_default(),
                ),
                30.0,
            ),
            Verdict::at_most("our RSS over idle, in MiB,", rss, 16.0),
            Verdict::at_most("our number of sockets", sockets as f64, 1.0),
            Verdict::at_most("refusals of the worker's calls", refused as f64, 0.0),
        ];
        print(rounds, &verdicts);
        println!("  The worker took {worked} tasks meanwhile.");
    }

    async fn round(
        &self,
        name: &'static str,
        over: Duration,
        served: &Served,
        client: &ExternalScalerClient<Channel>,
    ) -> Round {
        eprintln!("load: Temporal, {TRIGGERS} queues, {name}");
        let [reads, inside] = requests(&self.temporal).await;
        self.refused.store(0, Ordering::Relaxed);
        let meter = Meter::start([Process(self.temporal.pid()), served.process()]);
        let started = Instant::now();
        let step = over / TRIGGERS as u32;
        let all = join_all((0..TRIGGERS).map(|i| self.evaluate(i, step * i as u32, client)));
        let mut round = Round {
            name,
            ..Round::default()
        };
        for (time, found) in all.await {
            round.times.push(time);
            match found {
                Ok(found) => {
                    round.oldest = round.oldest.max(Duration::from_millis(found.age_ms));
                    round.stale += usize::from(found.stale.is_some());
                    round.errors += usize::from((found.value, found.active) != (1.0, true));
                }
                Err(status) => {
                    if round.errors == 0 {
                        eprintln!("load: the first error: {status}");
                    }
                    round.errors += 1;
                }
            }
        }
        round.took = started.elapsed();
        [round.server_cpu, round.our_cpu] = meter.used();
        let after = requests(&self.temporal).await;
        round.requests = [after[0] - reads, after[1] - inside];
        round.refused = self.refused.load(Ordering::Relaxed);
        round
    }

    /// GetMetricSpec, GetMetrics and IsActive, and how long GetMetrics and IsActive took.
    async fn evaluate(
        &self,
        i: usize,
        after: Duration,
        client: &ExternalScalerClient<Channel>,
    ) -> (Duration, Result<Evaluation, tonic::Status>) {
        sleep(after).await;
        let trigger = scaled_object(
            i,
            &[
                ("backend", "temporal"),
                ("endpoint", &self.temporal.address()),
                ("taskQueue", &format!("load-{i}")),
            ],
        );
        let started = Instant::now();
        let found = evaluate(&mut client.clone(), &trigger).await;
        (started.elapsed(), found)
    }
}

fn print(rounds: [Round; 4], verdicts: &[Verdict]) {
    let title = format!(
        "{TRIGGERS} Temporal task queues, a task on each, default types, default limits of the \
         server, no workers.\nAn evaluation is GetMetricSpec, GetMetrics and IsActive, one after \
         the other. Refused are calls\nof a worker that is busy at another queue."
    );
    let columns = [
        "evaluations",
        "took",
        "p50",
        "slowest",
        "oldest sample",
        "stale",
        "errors",
        "reads",
        "in matching",
        "refused",
        "server CPU",
        "our CPU",
    ];
    let mut report = Report::new(title, &columns);
    let s = |duration: Duration| format!("{:.2} s", duration.as_secs_f64());
    for mut round in rounds {
        report.row([
            round.name.to_owned(),
            s(round.took),
            s(percentile(&mut round.times, 50.0)),
            s(percentile(&mut round.times, 100.0)),
            s(round.oldest),
            round.stale.to_string(),
            round.errors.to_string(),
            format!("{:.0}", round.requests[0]),
            format!("{:.0}", round.requests[1]),
            round.refused.to_string(),
            s(round.server_cpu),
            s(round.our_cpu),
        ]);
    }
    report.print(verdicts);
}

async fn keda() {
    let Some(program) = judge::program() else {
        return;
    };
    let loaded = Loaded::start().await;
    let judge = Judge {
        program,
        backend: "temporal",
        metadata: vec![
            ("endpoint", loaded.temporal.address()),
            ("taskQueue", "load-{i}".to_owned()),
        ],
        server: Process(loaded.temporal.pid()),
        port: loaded.temporal.port(),
        rounds: 2,
    };
    let measured = async {
        let builtin = judge.builtin().await?;
        let refused = loaded.refused.swap(0, Ordering::Relaxed);
        // Let the server's limits recover.
        sleep(Duration::from_secs(5)).await;
        Ok::<_, String>((builtin, refused, judge.external(&[]).await?))
    };
    match measured.await {
        Ok((builtin, refused, ours)) => {
            print_keda(&builtin, &ours);
            println!(
                "  The worker's calls were refused {refused} times beside the built-in scaler, {} \
                 times beside ours.",
                loaded.refused.load(Ordering::Relaxed)
            );
        }
        Err(error) => println!("\nKEDA's built-in temporal scaler is not compared: {error}"),
    }
}

fn print_keda(builtin: &Run, ours: &Run) {
    let title = format!(
        "The same {TRIGGERS} queues evaluated by KEDA at once, 2 rounds after one to warm up, \
         without a pause."
    );
    let columns = [("built-in", builtin), ("ours", ours)];
    table(title, "server", &columns).print(&[Verdict::at_most(
        "our number of errors",
        ours.keda.errors as f64,
        0.0,
    )]);
}
