//! `judge rhythm`, the program of `tests/keda` that polls triggers as KEDA does: its plan, and the
//! lines that it prints.

use std::{collections::BTreeMap, ffi::OsStr, process::Stdio, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// KEDA's external scaler, which calls us.
    External,
    /// KEDA's built-in scalers.
    Builtin,
}

/// What KEDA calls when the HPA polls.
#[derive(Clone, Copy, PartialEq, Serialize)]
pub enum Hpa {
    GetMetrics,
    /// GetMetricSpec, GetMetrics and IsActive, as KEDA 2.21 does.
    #[serde(rename = "all")]
    All,
}

impl FromStr for Hpa {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "GetMetrics" => Ok(Hpa::GetMetrics),
            "all" => Ok(Hpa::All),
            _ => Err(()),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub mode: Mode,
    pub scaler: String,
    pub hpa: Hpa,
    /// These three in seconds.
    pub warm_up: f64,
    pub length: f64,
    pub limit: f64,
    pub rounds: usize,
    pub groups: [Group; 3],
}

/// Triggers of one backend.
#[derive(Serialize)]
pub struct Group {
    pub name: &'static str,
    pub backend: &'static str,
    pub count: usize,
    pub metadata: BTreeMap<String, String>,
    /// Of trigger i the value at i modulo the length.
    pub expected: Vec<usize>,
}

/// A line of the judge.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum Event {
    WarmingUp,
    /// What is polled from now on is counted.
    Measuring,
    /// All that is counted has ended; for some seconds nothing happens.
    Measured,
    FlatOut,
    Report(Box<Report>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub evaluations: usize,
    pub cpu_us_per_evaluation: f64,
    #[serde(rename = "rssMiB")]
    pub rss_mib: f64,
    pub sockets: usize,
    /// In the plan's order.
    pub groups: [GroupReport; 3],
    pub flat_out: FlatOut,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlatOut {
    pub wall_ms_per_round: Wall,
    pub cpu_us_per_evaluation: f64,
    pub groups: [GroupReport; 3],
}

#[derive(Deserialize)]
pub struct Wall {
    pub median: f64,
    pub max: f64,
}

/// Of one backend's triggers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupReport {
    pub evaluations: usize,
    pub errors: usize,
    pub wrong: usize,
    pub skipped: usize,
    /// Of the HPA's calls.
    pub stale: usize,
    pub get_metric_spec_ms: Tail,
    pub get_metrics_ms: Tail,
    pub get_metrics_and_is_active_ms: Tail,
    pub sample_age_ms: Tail,
    pub late_ms: Tail,
}

impl GroupReport {
    /// Calls to us that need a sample: GetMetrics, and IsActive.
    pub fn sample_calls(&self) -> f64 {
        (self.get_metrics_ms.count + 2 * self.get_metrics_and_is_active_ms.count) as f64
    }
}

#[derive(Deserialize)]
pub struct Tail {
    pub count: usize,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// A running judge; killed when dropped.
pub struct Judge {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Judge {
    pub async fn start(program: &OsStr, plan: &Plan) -> Result<Self, String> {
        let mut process = Command::new(program)
            .arg("rhythm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let plan = serde_json::to_vec(plan).expect("JSON");
        let mut stdin = process.stdin.take().expect("a pipe");
        // A judge that ends at once says why by itself.
        let _ = stdin.write_all(&plan).await;
        let stdout = process.stdout.take().expect("a pipe");
        Ok(Judge {
            _process: process,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// The next line. Nothing is lost if it is not waited for to the end.
    pub async fn event(&mut self) -> Result<Event, String> {
        let line = self.lines.next_line().await;
        let line = line.map_err(|error| error.to_string())?;
        let line = line.ok_or("KEDA's program ended without a report")?;
        serde_json::from_str(&line).map_err(|error| format!("{error} in {line}"))
    }
}

/// In seconds, as a plan has it.
pub fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
