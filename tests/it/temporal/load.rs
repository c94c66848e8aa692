//! Very many task queues of one namespace, under the server's default limits.

use std::{
    fs,
    io::Write,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use backlog_scaler::keda::proto::external_scaler_client::ExternalScalerClient;
use futures_util::{StreamExt, future::join_all, stream};
use tokio::time::{Instant, sleep};
use tonic::{Code, transport::Channel};

use super::{needs_temporal, queue};
use crate::support::{
    process,
    scaler::{self, Evaluation},
    temporal::{Builder, Temporal, start_one},
};

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_queues_at_once_are_answered_in_time() {
    needs_temporal!();
    let load = Load::start(200).await;
    let cold = load.evaluate_all().await;
    assert!(cold.slowest < Duration::from_secs(20), "{cold:?}");
    load.check_server_side();
}

/// The figures of the documentation. On its own: `cargo test thousand -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes, and both cores"]
async fn a_thousand_queues_are_answered_in_time() {
    needs_temporal!();
    let load = Load::start(1000).await;
    let idle = load.resident();
    let cold = load.evaluate_all().await;
    say(&format!("cold, all at once: {cold:?}"));
    assert!(cold.slowest < Duration::from_secs(20), "{cold:?}");

    sleep(Duration::from_secs(15)).await;
    let warm = load.evaluate_all().await;
    say(&format!("warm, all at once: {warm:?}"));
    // GetMetrics waits, and IsActive once more at most.
    assert!(warm.slowest < Duration::from_secs(7), "{warm:?}");
    assert!(warm.oldest < Duration::from_secs(30), "{warm:?}");

    for round in 1..=2 {
        let spread = load.evaluate_spread(Duration::from_secs(30)).await;
        say(&format!("spread over 30 s, round {round}: {spread:?}"));
        assert_eq!(spread.stale, 0, "{spread:?}");
        assert!(spread.slowest < Duration::from_secs(3), "{spread:?}");
        assert!(spread.oldest < Duration::from_secs(30), "{spread:?}");
    }

    let grown = load.resident().saturating_sub(idle);
    say(&format!(
        "resident: {idle} KiB idle, {grown} KiB more now; sockets: {}",
        load.sockets()
    ));
    assert!(grown < 16 * 1024, "{grown} KiB");
    load.check_server_side();
}

fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

struct Load {
    temporal: Temporal,
    /// The program itself, so that its memory and sockets are its own.
    scaler: Child,
    client: ExternalScalerClient<Channel>,
    queues: usize,
    refused: std::sync::Arc<AtomicU32>,
    worked: std::sync::Arc<AtomicU32>,
}

/// What a round of evaluations saw.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "shown")]
struct Round {
    elapsed: Duration,
    median: Duration,
    slowest: Duration,
    /// Age of the oldest sample that was an answer.
    oldest: Duration,
    stale: usize,
    /// Processor time of the Temporal server and of the scaler meanwhile.
    server: Duration,
    scaler: Duration,
}

impl Load {
    /// One workflow waits on each queue, and the scaler is cold.
    async fn start(queues: usize) -> Self {
        // Default limits and caches, unlike other tests.
        let temporal = Builder::default().start().await;
        let starts = stream::iter(0..queues).map(|i| {
            let temporal = &temporal;
            async move { temporal.start_workflows(&format!("load-{i}"), 1).await }
        });
        starts.buffer_unordered(16).collect::<Vec<()>>().await;

        let address = format!("127.0.0.1:{}", process::free_port());
        let scaler = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
            .arg("serve")
            .env("BACKLOG_SCALER__LISTEN__GRPC", &address)
            .env(
                "BACKLOG_SCALER__LISTEN__ADMIN",
                format!("127.0.0.1:{}", process::free_port()),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the scaler starts");
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        let started = Instant::now();
        let channel = loop {
            match channel.connect().await {
                Ok(channel) => break channel,
                Err(error) => assert!(started.elapsed() < Duration::from_secs(10), "{error}"),
            }
            sleep(Duration::from_millis(50)).await;
        };
        let load = Load {
            temporal,
            scaler,
            client: ExternalScalerClient::new(channel),
            queues,
            refused: Default::default(),
            worked: Default::default(),
        };
        load.start_worker().await;
        load
    }

    /// Starts workflows and takes their tasks, all the time, and counts refusals.
    async fn start_worker(&self) {
        let worker = self.temporal.poller("busy").await;
        let stubs = self.temporal.stubs().await;
        let (refused, worked) = (self.refused.clone(), self.worked.clone());
        tokio::spawn(async move {
            for i in 0.. {
                let id = format!("busy-{i}");
                let started = start_one(&stubs, "busy", &id);
                let polled = worker.try_poll(Duration::from_secs(5));
                for status in [started.await.err(), polled.await.err()]
                    .into_iter()
                    .flatten()
                {
                    if status.code() == Code::ResourceExhausted {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
                worked.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(50)).await;
            }
        });
    }

    async fn evaluate(&self, i: usize, after: Duration) -> (Duration, Evaluation) {
        sleep(after).await;
        let mut trigger = queue(&self.temporal, &format!("load-{i}"), []);
        trigger.scaler_metadata.remove("freshFor");
        let started = Instant::now();
        let found = scaler::evaluate(&mut self.client.clone(), &trigger).await;
        let found = found.unwrap_or_else(|error| panic!("load-{i}: {error}"));
        assert_eq!((found.value, found.active), (1.0, true), "load-{i}");
        (started.elapsed(), found)
    }

    async fn evaluate_all(&self) -> Round {
        self.evaluate_spread(Duration::ZERO).await
    }

    async fn evaluate_spread(&self, over: Duration) -> Round {
        let started = Instant::now();
        let pids = [self.temporal.pid(), self.scaler.id()];
        let before = pids.map(processor_time);
        let step = over / self.queues as u32;
        let all = (0..self.queues).map(|i| self.evaluate(i, step * i as u32));
        let all = join_all(all).await;
        let mut times: Vec<Duration> = all.iter().map(|(time, _)| *time).collect();
        times.sort();
        let oldest = all.iter().map(|(_, found)| found.age_ms).max().unwrap();
        let after = pids.map(processor_time);
        Round {
            elapsed: started.elapsed(),
            median: times[times.len() / 2],
            slowest: times[times.len() - 1],
            oldest: Duration::from_millis(oldest),
            stale: all
                .iter()
                .filter(|(_, found)| found.stale.is_some())
                .count(),
            server: after[0] - before[0],
            scaler: after[1] - before[1],
        }
    }

    /// KiB.
    fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.scaler.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Connections of the scaler to the Temporal server.
    fn sockets(&self) -> usize {
        let fds = fs::read_dir(format!("/proc/{}/fd", self.scaler.id())).unwrap();
        let links = fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
        let mine: Vec<String> = links
            .filter_map(|link| {
                let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
                Some(inode.to_owned())
            })
            .collect();
        let port: u16 = self
            .temporal
            .address()
            .rsplit(':')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let remote = format!("0100007F:{port:04X}");
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let is_ours = |line: &&str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.len() > 9 && fields[2] == remote && mine.iter().any(|inode| inode == fields[9])
        };
        table.lines().filter(is_ours).count()
    }

    fn check_server_side(&self) {
        assert_eq!(self.sockets(), 1, "one connection for all triggers");
        let (refused, worked) = (&self.refused, &self.worked);
        let (refused, worked) = (
            refused.load(Ordering::Relaxed),
            worked.load(Ordering::Relaxed),
        );
        say(&format!(
            "{worked} tasks of the worker meanwhile, {refused} refused"
        ));
        assert!(worked > 0 && refused == 0, "{refused} of {worked} refused");
    }
}

/// User and system time, in ticks of 10 ms.
fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.scaler.kill();
        let _ = self.scaler.wait();
    }
}
