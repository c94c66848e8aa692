//! A day, simulated: the program with the arguments that its help shows, from its start to its end.

use std::process::{Command, Stdio};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// 25 items a second on average, for 24 hours.
const ITEMS: u64 = 25 * 24 * 3600;

criterion_group!(benches, a_day);
criterion_main!(benches);

fn a_day(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let picture = folder.path().join("day.svg").display().to_string();
    let mut group = criterion.benchmark_group("A day of 2.16 million items");
    group
        .throughput(Throughput::Elements(ITEMS))
        .sample_size(10);
    for (name, more) in [
        ("table", &[][..]),
        ("table and picture", &["--picture", &picture]),
        ("two targets", &["--vary", "listLength=20,50"]),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| simulate(more)));
    }
    group.finish();
}

fn simulate(more: &[&str]) {
    let status = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["simulate", "deploy/examples/redis-list.yaml"])
        .args(["--load", "sine(10..40/s, 1h)", "--length", "1d"])
        .args(["--service-time", "2s", "--concurrency", "5"])
        .args(["--startup", "20s", "--price", "0.08"])
        .args(more)
        .stdout(Stdio::null())
        .status()
        .expect("the program starts");
    assert!(status.success(), "{status}");
}
