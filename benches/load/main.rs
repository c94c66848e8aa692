//! A load run over loopback: what this server costs, beside the least that it could cost and
//! beside KEDA's built-in scaler, all measured in the same run.
//!
//! Tables go to stdout, progress to stderr. Nothing here fails because of a figure: a busy machine
//! moves them all, so read ratios. Targets are printed beside them.
//!
//! `cargo bench --bench load -- calls` runs one phase; the others are `rounds`, `keda`, `rhythm`,
//! `push`, `kafka` and `temporal`. The phase `sustained` takes half an hour and more, so it runs
//! only when it is named, which `make bench-load` does.

#![allow(clippy::disallowed_methods, reason = "what is measured is real time")]

mod calls;
mod judge;
mod kafka;
mod keda;
mod push;
mod report;
mod rhythm;
mod rounds;
mod servers;
mod sustained;
mod temporal;
mod usage;
mod wire;

use testkit::redis::Redis;

/// Triggers of every phase.
const TRIGGERS: usize = 1_000;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [servers::EMPTY_SERVICE, address] => servers::serve_empty(address).await,
        // `cargo test --all-targets` runs benchmarks without this, to see that they build.
        [ref phases @ .., "--bench"] => {
            let phases = phases.iter().map(|&phase| phase.to_owned()).collect();
            // Clients run on the runtime's own threads, as our server's calls do.
            tokio::spawn(run(phases)).await.expect("the run ends");
        }
        _ => eprintln!("a load run of minutes: `cargo bench --bench load` starts it"),
    }
}

/// Runs the named phases, or all of them.
async fn run(phases: Vec<String>) {
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
    println!("backlog-scaler {}, {cpus} CPUs", env!("CARGO_PKG_VERSION"));
    let wanted = |phase: &str| phases.is_empty() || phases.iter().any(|named| named == phase);
    if ["calls", "rounds", "keda", "rhythm"]
        .into_iter()
        .any(wanted)
        && testkit::require(testkit::redis::available(), "redis-server")
    {
        // Each trigger has a list of its own with one item.
        let redis = Redis::start().await;
        for i in 0..TRIGGERS {
            redis.rpush(&format!("jobs-{i}"), 1).await;
        }
        if wanted("calls") {
            calls::run(&redis).await;
        }
        if wanted("rounds") {
            rounds::run(&redis).await;
        }
        if wanted("keda") {
            keda::run(&redis).await;
        }
        if wanted("rhythm") {
            rhythm::run(&redis).await;
        }
    }
    if wanted("push") && testkit::require(testkit::redis::available(), "redis-server") {
        push::run().await;
    }
    if wanted("kafka") {
        kafka::run().await;
    }
    if wanted("temporal") {
        temporal::run().await;
    }
    if phases.iter().any(|named| named == "sustained") {
        sustained::run().await;
    }
}
