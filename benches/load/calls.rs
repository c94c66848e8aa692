//! One connection full of calls: our GetMetrics from fresh samples, beside a service that does
//! nothing.

use std::{
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use backlog_scaler::keda::proto::{
    GetMetricsRequest, external_scaler_client::ExternalScalerClient,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::{
    TRIGGERS,
    report::{Report, Verdict, mib, ms, percentile, ratio, us_each},
    servers::{Served, trigger},
    usage::Meter,
};
use testkit::redis::Redis;

/// Calls in flight at any time.
const IN_FLIGHT: usize = 64;
const WARM_UP: Duration = Duration::from_secs(2);
/// The servers take turns this often, so that whatever else the machine does hits both.
const TURNS: usize = 10;
const TURN: Duration = Duration::from_secs(1);

/// A server, and what it has done so far.
struct Side {
    server: Served,
    client: ExternalScalerClient<Channel>,
    idle_rss: f64,
    wall: Duration,
    cpu: Duration,
    latencies: Vec<Duration>,
}

/// Measures, and prints.
pub async fn run(redis: &Redis) {
    let requests: Vec<_> = (0..TRIGGERS).map(|i| request(redis, i)).collect();
    let requests = Arc::new(requests);
    let mut ours = Side::new(Served::ours().await).await;
    let mut empty = Side::new(Served::empty().await).await;

    eprintln!("load: warming up");
    for side in [&ours, &empty] {
        drive(&side.client, &requests, WARM_UP).await;
    }
    for turn in 1..=TURNS {
        eprintln!("load: {IN_FLIGHT} calls in flight, turn {turn} of {TURNS}");
        // ABBA: neither is always first.
        let (first, second) = match turn % 2 {
            0 => (&mut ours, &mut empty),
            _ => (&mut empty, &mut ours),
        };
        first.turn(&requests).await;
        second.turn(&requests).await;
    }
    print(ours, empty);
}

fn request(redis: &Redis, i: usize) -> GetMetricsRequest {
    GetMetricsRequest {
        scaled_object_ref: Some(trigger(redis, i, "1h")),
        metric_name: String::new(),
    }
}

impl Side {
    async fn new(server: Served) -> Self {
        Side {
            idle_rss: server.process().rss(),
            client: server.client().await,
            server,
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            latencies: Vec::new(),
        }
    }

    async fn turn(&mut self, requests: &Arc<Vec<GetMetricsRequest>>) {
        let meter = Meter::start([self.server.process()]);
        let started = Instant::now();
        let latencies = drive(&self.client, requests, TURN).await;
        self.wall += started.elapsed();
        let [cpu] = meter.used();
        self.cpu += cpu;
        self.latencies.extend(latencies);
    }

    fn calls_per_second(&self) -> f64 {
        ratio(self.latencies.len() as f64, self.wall.as_secs_f64())
    }
}

/// Keeps calls in flight for a while, and returns how long each took.
async fn drive(
    client: &ExternalScalerClient<Channel>,
    requests: &Arc<Vec<GetMetricsRequest>>,
    time: Duration,
) -> Vec<Duration> {
    let end = Instant::now() + time;
    let next = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (mut client, requests, next) = (client.clone(), requests.clone(), next.clone());
        callers.spawn(async move {
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let i = next.fetch_add(1, Ordering::Relaxed) % requests.len();
                let request = requests[i].clone();
                let started = Instant::now();
                let response = client.get_metrics(request).await;
                latencies.push(started.elapsed());
                response.expect("GetMetrics succeeds");
            }
            latencies
        });
    }
    callers.join_all().await.concat()
}

fn print(ours: Side, empty: Side) {
    let title = format!(
        "GetMetrics over loopback: {IN_FLIGHT} calls in flight on one connection, {TRIGGERS} \
         triggers with fresh samples.\nClient and server share this machine's CPUs."
    );
    let columns = [
        "server",
        "calls/s",
        "p50",
        "p99",
        "CPU/call",
        "RSS idle",
        "RSS after",
    ];
    let mut report = Report::new(title, &columns);
    let throughput = ratio(ours.calls_per_second(), empty.calls_per_second());
    let cpu = |side: &Side| ratio(side.cpu.as_secs_f64(), side.latencies.len() as f64);
    let cpu = ratio(cpu(&ours), cpu(&empty));
    for (name, mut side) in [("empty tonic service", empty), ("backlog-scaler", ours)] {
        let calls = side.latencies.len();
        report.row([
            name.to_owned(),
            format!("{:.0}", side.calls_per_second()),
            ms(percentile(&mut side.latencies, 50.0)),
            ms(percentile(&mut side.latencies, 99.0)),
            us_each(side.cpu, calls),
            mib(side.idle_rss),
            mib(side.server.process().rss()),
        ]);
    }
    report.row([
        "ratio".to_owned(),
        format!("{throughput:.2}"),
        String::new(),
        String::new(),
        format!("{cpu:.2}"),
        String::new(),
        String::new(),
    ]);
    let what = "our calls/s, as a part of the empty service's,";
    report.print(&[Verdict::at_least(what, throughput, 0.8)]);
}
