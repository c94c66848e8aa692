//! Figures, by hand: `cargo test --release --test it kafka::figures -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use super::{lag, needs_kafka, with};
use crate::support::{kafka, scaler::Scaler};

const TOPICS: usize = 100;
const GROUPS: usize = 1000;

/// A round of 1,000 triggers: 1,000 groups over 100 topics of 10 partitions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures, and takes minutes to set up"]
async fn a_thousand_triggers() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    for i in 0..TOPICS {
        let topic = format!("figure-{i}");
        kafka.create_topic(&topic, 10).await;
        kafka.produce(&topic, 3, 5);
    }
    let all: Vec<_> = (0..10).map(|partition| (partition, 0)).collect();
    for i in 0..GROUPS {
        kafka.commit(
            &format!("figure-{i}"),
            &format!("figure-{}", i % TOPICS),
            &all,
        );
    }
    let triggers: Vec<_> = (0..GROUPS)
        .map(|i| {
            let topic = format!("figure-{}", i % TOPICS);
            with(
                lag(kafka, &format!("figure-{i}"), &topic),
                [("freshFor", "1s")],
            )
        })
        .collect();
    let client = scaler.client().await;
    say(&format!("idle: {} MiB, {} sockets", resident(), sockets()));
    for round in 0..8 {
        let (wall, cpu) = (Instant::now(), cpu());
        let asked = triggers.iter().map(|trigger| {
            let (mut client, trigger) = (client.clone(), trigger.clone());
            async move {
                client
                    .is_active(trigger)
                    .await
                    .map(|answer| answer.into_inner().result)
            }
        });
        let answers = futures_util::future::join_all(asked).await;
        let (wall, cpu) = (wall.elapsed(), self::cpu() - cpu);
        let wrong = answers
            .iter()
            .filter(|answer| !matches!(answer, Ok(true)))
            .count();
        say(&format!(
            "round {round}: {wall:?} wall, {cpu:?} CPU, {wrong} wrong; {} MiB, {} sockets",
            resident(),
            sockets()
        ));
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
}

fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// CPU time of this process: user and system, in ticks of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("procfs");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Resident memory of this process in MiB.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096 / (1 << 20)
}

/// TCP connections of this process, those of the test's own client included.
fn sockets() -> usize {
    let links = std::fs::read_dir("/proc/self/fd")
        .expect("procfs")
        .flatten();
    let links = links.filter_map(|link| std::fs::read_link(link.path()).ok());
    links
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count()
}
