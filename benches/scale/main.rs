//! A simulation of very many triggers behind several replicas of the scaler: what each backend gets
//! to serve, and what the engines cost, where each call goes to one of them.
//!
//! `cargo bench --bench scale` simulates 100,000 triggers behind 1 to 10 replicas, on a clock that
//! jumps from event to event; `cargo bench --bench scale -- 10000` so many triggers. The engines and
//! their pace are the real ones. Transport and servers are not: a read takes a millisecond.

#![allow(clippy::disallowed_methods, reason = "CPU is real")]

mod calls;
mod queues;

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use backlog_scaler::{
    backends::{kafka::Kafka, redis::Redis, temporal::Temporal},
    sampling::{Backend, Engine, Limits, Registry},
    telemetry::Telemetry,
};
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use tokio::runtime::Builder;

use calls::{Calls, Kind};
use queues::{Counts, Queues};

/// The argument with which the program simulates one number of replicas.
const ONE: &str = "one";
const REPLICAS: [usize; 5] = [1, 2, 3, 5, 10];
/// Long enough for each rhythm to be known.
const WARM_UP: Duration = Duration::from_secs(95);
const MEASURED: Duration = Duration::from_secs(60);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &str| text.parse().expect("a number");
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [ONE, triggers, replicas] => {
            let row = simulate(number(triggers), number(replicas));
            println!("{}", row.join("\t"));
        }
        ["--bench"] => run(100_000),
        [triggers, "--bench"] => run(number(triggers)),
        // `cargo test --all-targets` runs benchmarks so, to see that they build.
        _ => eprintln!("a simulation of minutes: `cargo bench --bench scale` starts it"),
    }
}

fn run(triggers: usize) {
    println!(
        "{triggers} triggers: 70 % Redis, 20 % Kafka, 10 % Temporal; each is evaluated every 30 s by \
         KEDA's operator (two calls) and every 15 s by the HPA (one call).\nReads are pipelines \
         (Redis), rounds of requests (Kafka) and requests (Temporal: one a queue); fresh is the share \
         of polls that found a sample."
    );
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "replicas",
        "calls/s",
        "Redis reads/s",
        "keys/s",
        "fresh",
        "Kafka reads/s",
        "groups/s",
        "fresh",
        "Temporal reads/s",
        "fresh",
        "CPU a call",
        "memory a replica",
    ]);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for replicas in REPLICAS {
        eprintln!("scale: {replicas} replicas");
        table.add_row(simulate_apart(triggers, replicas));
    }
    println!("\n{}", table.trim_fmt());
}

/// One replica: its engine, and what its backends were requested.
struct Replica {
    engine: Arc<Engine>,
    counts: [Arc<Counts>; Kind::ALL.len()],
}

impl Replica {
    fn start(triggers: usize) -> Self {
        let limits = Limits {
            triggers: triggers.try_into().expect("is not zero"),
            triggers_per_namespace: triggers,
            ..Limits::default()
        };
        let counts: [Arc<Counts>; 3] = Default::default();
        let call_timeout = limits.call_timeout;
        let [redis, kafka, temporal] = counts.clone();
        let registry = Registry::new(&limits, Telemetry::default())
            .with(Queues::<0>::new(Redis::default().pace(call_timeout), redis))
            .with(Queues::<1>::new(Kafka::default().pace(call_timeout), kafka))
            .with(Queues::<2>::new(Temporal.pace(call_timeout), temporal));
        let engine = Engine::start(registry, &Default::default(), limits);
        Replica {
            engine: engine.expect("there is nothing to be wrong"),
            counts,
        }
    }
}

/// In a process of its own, whose memory no other simulation has used before.
fn simulate_apart(triggers: usize, replicas: usize) -> Vec<String> {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args([ONE, &triggers.to_string(), &replicas.to_string()]);
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.expect("this program runs again").stdout;
    let row = String::from_utf8(output).expect("a row");
    row.trim_end().split('\t').map(str::to_owned).collect()
}

fn simulate(triggers: usize, replicas: usize) -> Vec<String> {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let idle = resident();
    runtime.expect("a runtime").block_on(async {
        let replicas: Vec<_> = (0..replicas).map(|_| Replica::start(triggers)).collect();
        let engines = replicas
            .iter()
            .map(|replica| replica.engine.clone())
            .collect();
        let mut calls = Calls::new(triggers, engines);
        calls.run(WARM_UP).await;
        let count = |kind: Kind| {
            let counts = replicas
                .iter()
                .map(|replica| replica.counts[kind as usize].get());
            counts.fold((0, 0), |(reads, queries), (r, q)| (reads + r, queries + q))
        };
        let (before, cpu) = (Kind::ALL.map(count), cpu());
        let made = calls.run(MEASURED).await;
        let cpu = self::cpu() - cpu;
        let after = Kind::ALL.map(count);
        let seconds = MEASURED.as_secs_f64();
        let mut row = vec![
            replicas.len().to_string(),
            format!("{:.0}", made.calls as f64 / seconds),
        ];
        for kind in Kind::ALL {
            let reads = after[kind as usize].0 - before[kind as usize].0;
            let queries = after[kind as usize].1 - before[kind as usize].1;
            if kind != Kind::Temporal {
                row.push(format!("{:.0}", reads as f64 / seconds));
            }
            row.push(format!("{:.0}", queries as f64 / seconds));
            let fresh = made.fresh[kind as usize] as f64 / made.polls[kind as usize] as f64;
            row.push(format!("{:.0} %", fresh * 100.0));
        }
        row.push(format!(
            "{:.1} µs",
            cpu.as_secs_f64() * 1e6 / made.calls as f64
        ));
        row.push(format!(
            "{:.0} MiB",
            (resident() - idle).max(0.0) / replicas.len() as f64
        ));
        row
    })
}

/// CPU time of this process, user and system.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.map(|time| time.parse::<u64>().expect("ticks")).sum();
    // 100 ticks a second, on every Linux.
    Duration::from_millis(ticks * 10)
}

/// Memory in use, in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.expect("VmRSS in kB") / 1024.0
}
