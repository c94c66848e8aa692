//! Redis triggers in KEDA's own rhythm: the operator evaluates each every 30 s (IsActive and
//! GetMetrics), the HPA controller every 15 s (GetMetrics), each trigger at a time of its own.

use std::time::Duration;

use backlog_scaler::keda::proto::{
    GetMetricsRequest, ScaledObjectRef, external_scaler_client::ExternalScalerClient,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tonic::transport::Channel;

use crate::{
    report::{Report, Verdict, mib, ms, percentile, ratio, us_each},
    servers::{Served, trigger},
    usage::{Meter, Process},
};
use testkit::redis::Redis;

const TRIGGERS: usize = 5_000;
const OPERATOR: Duration = Duration::from_secs(30);
const HPA: Duration = Duration::from_secs(15);
/// Long enough for each rhythm to be known.
const WARM_UP: Duration = Duration::from_secs(90);
const MEASURED: Duration = Duration::from_secs(60);
/// The default of `freshFor`, and none: each call reads for itself.
const FRESH_FOR: [&str; 2] = ["1s", "0"];

const READS: &str = "backlog_scaler_batch_size_count";
const QUERIES: &str = "backlog_scaler_batch_size_sum";
const AHEAD: &str = "backlog_scaler_look_ahead_queries_total";

/// Measures, and prints.
pub async fn run(redis: &Redis) {
    for i in 0..TRIGGERS {
        redis.rpush(&format!("jobs-{i}"), 1).await;
    }
    let mut report = Report::new(
        format!("{TRIGGERS} Redis triggers in KEDA's rhythm, a call's share"),
        &[
            "freshFor",
            "calls/s",
            "reads/s",
            "queries a read",
            "from a fresh sample",
            "p50",
            "p99",
            "our CPU",
            "Redis' CPU",
            "RSS",
        ],
    );
    let mut verdicts = Vec::new();
    for fresh_for in FRESH_FOR {
        let figures = measure(redis, fresh_for).await;
        if fresh_for != "0" {
            verdicts = vec![
                Verdict::at_least("the share of calls from a fresh sample", figures.fresh, 0.9),
                Verdict::at_most(
                    "Redis' CPU of a call, in µs",
                    figures.redis_cpu.as_secs_f64() * 1e6 / figures.calls as f64,
                    5.0,
                ),
                Verdict::at_most("calls that failed", figures.errors as f64, 0.0),
            ];
        }
        report.row(figures.cells(fresh_for));
    }
    report.print(&verdicts);
}

struct Figures {
    calls: usize,
    errors: usize,
    latencies: Vec<Duration>,
    reads: f64,
    queries: f64,
    fresh: f64,
    own_cpu: Duration,
    redis_cpu: Duration,
    rss: f64,
}

impl Figures {
    fn cells(mut self, fresh_for: &str) -> [String; 10] {
        let seconds = MEASURED.as_secs_f64();
        [
            fresh_for.to_owned(),
            format!("{:.0}", self.calls as f64 / seconds),
            format!("{:.1}", self.reads / seconds),
            format!("{:.1}", ratio(self.queries, self.reads)),
            format!("{:.1} %", self.fresh * 100.0),
            ms(percentile(&mut self.latencies, 50.0)),
            ms(percentile(&mut self.latencies, 99.0)),
            us_each(self.own_cpu, self.calls),
            us_each(self.redis_cpu, self.calls),
            mib(self.rss),
        ]
    }
}

async fn measure(redis: &Redis, fresh_for: &str) -> Figures {
    let server = Served::ours().await;
    let client = server.client().await;
    let triggers: Vec<_> = (0..TRIGGERS)
        .map(|i| trigger(redis, i, fresh_for))
        .collect();
    eprintln!("load: KEDA's rhythm, freshFor {fresh_for}, {WARM_UP:?} and {MEASURED:?}");
    let polls = polls(WARM_UP + MEASURED);
    let (warm_up, measured) = polls.split_at(polls.partition_point(|poll| poll.at < WARM_UP));
    let start = Instant::now();
    call_all(&client, &triggers, warm_up, start).await;

    let redis_process = Process(redis.pid().expect("redis-server runs"));
    let meter = Meter::start([server.process(), redis_process]);
    let names = [READS, QUERIES, AHEAD];
    let mut before = [0.0; 3];
    for (figure, name) in before.iter_mut().zip(names) {
        *figure = server.figure(name).await;
    }
    let outcomes = call_all(&client, &triggers, measured, start).await;
    let [own_cpu, redis_cpu] = meter.used();
    let mut after = [0.0; 3];
    for (figure, name) in after.iter_mut().zip(names) {
        *figure = server.figure(name).await;
    }
    let [reads, queries, ahead] = std::array::from_fn(|i| after[i] - before[i]);
    let calls = outcomes.len();
    Figures {
        calls,
        errors: outcomes.iter().filter(|(_, ok)| !ok).count(),
        latencies: outcomes.into_iter().map(|(took, _)| took).collect(),
        reads,
        queries,
        // Whoever found none had its query read.
        fresh: 1.0 - (queries - ahead) / calls as f64,
        own_cpu,
        redis_cpu,
        rss: server.process().rss(),
    }
}

/// One poll of one trigger.
struct Poll {
    at: Duration,
    trigger: usize,
    /// The operator's: IsActive as well.
    activity: bool,
}

fn polls(length: Duration) -> Vec<Poll> {
    let mut polls = Vec::new();
    for trigger in 0..TRIGGERS {
        for (period, prime, activity) in [(OPERATOR, 7919, true), (HPA, 104_729, false)] {
            let period = period.as_millis() as u64;
            // Spread evenly, and in no order.
            let mut at = (trigger as u64 * prime) % period;
            while Duration::from_millis(at) < length {
                polls.push(Poll {
                    at: Duration::from_millis(at),
                    trigger,
                    activity,
                });
                at += period;
            }
        }
    }
    polls.sort_by_key(|poll| poll.at);
    polls
}

/// Makes the calls at their times: how long each took, and whether it succeeded.
async fn call_all(
    client: &ExternalScalerClient<Channel>,
    triggers: &[ScaledObjectRef],
    polls: &[Poll],
    start: Instant,
) -> Vec<(Duration, bool)> {
    let mut calls = JoinSet::new();
    let mut outcomes = Vec::new();
    for poll in polls {
        sleep_until(start + poll.at).await;
        let (mut client, trigger) = (client.clone(), triggers[poll.trigger].clone());
        let activity = poll.activity;
        calls.spawn(async move {
            let mut outcomes = Vec::with_capacity(2);
            if activity {
                let started = Instant::now();
                let called = client.is_active(trigger.clone()).await;
                outcomes.push((started.elapsed(), called.is_ok()));
            }
            let request = GetMetricsRequest {
                scaled_object_ref: Some(trigger),
                metric_name: String::new(),
            };
            let started = Instant::now();
            let called = client.get_metrics(request).await;
            outcomes.push((started.elapsed(), called.is_ok()));
            outcomes
        });
        while let Some(ended) = calls.try_join_next() {
            outcomes.extend(ended.expect("no panic"));
        }
    }
    while let Some(ended) = calls.join_next().await {
        outcomes.extend(ended.expect("no panic"));
    }
    outcomes
}
