//! The systems of `deploy/examples`: their manifests are complete, and their workers, under what KEDA and
//! the HPA would decide, do all of the work that the real backend has for them.

mod exceptions;
pub mod generated;
mod manifests;
mod objects;
mod picture;
mod pipeline;
mod pipeline_load;
mod pipeline_tuned;
mod runbooks;
mod simulated;
mod sizing;
mod worker;

use std::{
    future::pending,
    path::{Path, PathBuf},
    process::Command,
};

use testkit::example::{self, Options, Summary, local::Local};

/// Every directory of an example that runs on one machine.
fn directories() -> Vec<PathBuf> {
    let folder = root().join("deploy/examples");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut all: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    all.retain(|directory| directory.join("local.yaml").exists());
    all.sort();
    assert!(!all.is_empty());
    all
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Its name, for messages.
fn name(directory: &Path) -> String {
    let name = directory.file_name().unwrap();
    name.to_string_lossy().into_owned()
}

/// What `scripts/example-python.sh` prints; `None` if it is not installed.
fn python(example: &str) -> Option<PathBuf> {
    let script = |flag: &str| {
        let mut script = Command::new(root().join("scripts/example-python.sh"));
        script.args([example, flag]).output().unwrap()
    };
    let output = script("--where");
    let path = String::from_utf8(output.stdout).unwrap();
    script("--check")
        .status
        .success()
        .then(|| PathBuf::from(path.trim()))
}

/// Whether everything that an example needs is installed; under `make test` it must be.
fn available(example: &str, directory: &Path) -> Option<PathBuf> {
    let server = Local::read(directory).unwrap().server;
    let is_there = match server.as_str() {
        "temporal" => testkit::temporal::available(),
        "redis" => testkit::redis::available(),
        _ => testkit::kafka::available(),
    };
    let python = python(example);
    let what = format!("{server} or the client library of {example}'s workers");
    testkit::require(is_there && python.is_some(), &what)
        .then_some(python)
        .flatten()
}

/// A run of so many items a second for some seconds. `None`: it cannot run here.
async fn run(example: &str, rate: f64, seconds: u64) -> Option<Summary> {
    let directory = root().join("deploy/examples").join(example);
    let python = available(example, &directory)?;
    let options = Options {
        directory,
        program: env!("CARGO_BIN_EXE_backlog-scaler").into(),
        python,
        rate: Some(rate),
        seconds: Some(seconds),
        speed: Some(20.0),
        max_workers: Some(6),
        shown: true,
    };
    let summary = example::run(options, pending()).await;
    Some(summary.unwrap_or_else(|error| panic!("{example}: {error}")))
}

/// Of an object: more replicas for a moment, all of the work done, none of it lost, no worker killed. One may end by
/// itself, as while a busy machine keeps it from its server, and is started again as in a cluster.
fn scaled_and_lost_nothing(summary: &Summary, object: &str) {
    let Summary {
        put,
        done,
        lost,
        killed,
        ..
    } = summary;
    assert!(*put > 0 && put == done && *lost == 0, "{summary:?}");
    assert_eq!(*killed, 0, "{summary:?}");
    let (_, [first, most, last]) = summary
        .replicas
        .iter()
        .find(|(name, _)| name == object)
        .unwrap_or_else(|| panic!("{object}: {summary:?}"));
    assert!(most > first && last < most, "{object}: {summary:?}");
}

/// One after the other, as each is enough for a small machine; and in one test, as tests that wait for
/// their turn would hold the threads of others.
#[tokio::test(flavor = "multi_thread")]
async fn each_system_scales_and_loses_nothing() {
    for (example, rate, seconds, object) in [
        ("documents", 15.0, 8, "documents-worker"),
        ("exceptions", 80.0, 8, "triage"),
        ("incidents", 30.0, 10, "incident-worker"),
        ("pipeline", 15.0, 8, "crawler"),
        ("tenants-and-jobs", 40.0, 8, "tenant"),
    ] {
        if let Some(summary) = run(example, rate, seconds).await {
            scaled_and_lost_nothing(&summary, object);
        }
    }
}
