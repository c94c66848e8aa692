//! KEDA's own scalers, on both sides: its built-in ones, and its external client against us. The
//! program of `tests/keda` evaluates triggers as KEDA does and says what that cost.

use std::{ffi::OsString, process::Stdio, time::Duration};

use serde::Deserialize;
use tokio::{process::Command, time::timeout};

use crate::{
    TRIGGERS,
    report::{Report, mib},
    servers::Served,
    usage::{Meter, Process},
};

/// Set by `make bench`: the program of `tests/keda`.
const PROGRAM: &str = "KEDA_JUDGE";
const LIMIT: Duration = Duration::from_secs(600);

/// Triggers that KEDA evaluates, and the server that they are about.
pub struct Judge {
    pub program: OsString,
    /// KEDA's trigger type, and ours.
    pub backend: &'static str,
    /// `{i}` stands for the number of the trigger.
    pub metadata: Vec<(&'static str, String)>,
    pub server: Process,
    pub port: u16,
    /// After one that warms up.
    pub rounds: usize,
}

/// What KEDA reports of its share.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Keda {
    pub evaluations: usize,
    pub errors: usize,
    pub wall_ms_per_round: Spread,
    pub evaluation_ms: Tail,
    pub cpu_us_per_evaluation: f64,
    #[serde(rename = "rssMiB")]
    rss_mib: f64,
    pub sockets: usize,
    pub values_sum: f64,
}

#[derive(Deserialize)]
pub struct Spread {
    pub median: f64,
}

#[derive(Deserialize)]
pub struct Tail {
    pub p50: f64,
    pub p99: f64,
}

/// A run, and what it cost everybody else.
pub struct Run {
    pub keda: Keda,
    /// KEDA's memory, less what it needs for a single trigger.
    pub keda_rss_more: f64,
    /// Microseconds an evaluation.
    pub server_cpu: f64,
    pub ours: Option<Ours>,
}

pub struct Ours {
    /// Microseconds an evaluation.
    pub cpu: f64,
    pub rss_more: f64,
    pub sockets: usize,
}

/// The program, or how to get it.
pub fn program() -> Option<OsString> {
    let program = std::env::var_os(PROGRAM);
    if program.is_none() {
        println!(
            "\nKEDA's built-in scalers are not compared: {PROGRAM} does not name the program of \
             tests/keda.\nBuild it there with `go build -o judge .` (minutes, the first time)."
        );
    }
    program
}

impl Judge {
    /// KEDA's built-in scaler.
    pub async fn builtin(&self) -> Result<Run, String> {
        self.measure("builtin", &[], None).await
    }

    /// KEDA's external scaler, which calls us; with some more metadata.
    pub async fn external(&self, more: &[(&str, &str)]) -> Result<Run, String> {
        let ours = Served::ours().await;
        let mut arguments = vec!["--scaler".to_owned(), ours.address.clone()];
        for (key, value) in more {
            arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
        self.measure("external", &arguments, Some(&ours)).await
    }

    async fn measure(
        &self,
        mode: &str,
        more: &[String],
        ours: Option<&Served>,
    ) -> Result<Run, String> {
        let idle_rss = ours.map_or(0.0, |ours| ours.process().rss());
        let one = self.bench(mode, 1, 1, more).await?;
        let own = ours.map_or(self.server, Served::process);
        let meter = Meter::start([self.server, own]);
        let backend = self.backend;
        eprintln!(
            "load: KEDA, {mode} {backend}, {TRIGGERS} triggers {}",
            more.join(" ")
        );
        let bench = self.bench(mode, TRIGGERS, self.rounds, more);
        tokio::pin!(bench);
        // Its sockets go with KEDA's triggers, so they are looked at while it runs.
        let mut sockets = 0;
        let keda = loop {
            tokio::select! {
                keda = &mut bench => break keda?,
                () = tokio::time::sleep(Duration::from_millis(100)) => {
                    sockets = sockets.max(own.sockets_to(self.port));
                }
            }
        };
        // With the round that warms up.
        let evaluations = (TRIGGERS * (self.rounds + 1)) as f64;
        let used = meter.used();
        let [server_cpu, cpu] = used.map(|cpu| cpu.as_secs_f64() * 1e6 / evaluations);
        Ok(Run {
            keda_rss_more: keda.rss_mib - one.rss_mib,
            server_cpu,
            ours: ours.map(|ours| Ours {
                cpu,
                rss_more: ours.process().rss() - idle_rss,
                sockets,
            }),
            keda,
        })
    }

    async fn bench(
        &self,
        mode: &str,
        triggers: usize,
        rounds: usize,
        more: &[String],
    ) -> Result<Keda, String> {
        let metadata = self.metadata.iter();
        let metadata =
            metadata.flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]);
        let running = Command::new(&self.program)
            .args(["bench", "--mode", mode, "--backend", self.backend])
            .args(["--triggers", &triggers.to_string()])
            .args(["--rounds", &rounds.to_string()])
            .args(metadata)
            .args(more)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output();
        let output = timeout(LIMIT, running)
            .await
            .map_err(|_| format!("{PROGRAM} took longer than {LIMIT:?}"))?
            .map_err(|error| format!("{PROGRAM}: {error}"))?;
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{PROGRAM}: {error}"))
    }
}

/// A column for each run.
pub fn table(title: String, server: &str, runs: &[(&str, &Run)]) -> Report {
    let names = runs.iter().map(|(name, _)| *name);
    let columns: Vec<&str> = std::iter::once("").chain(names).collect();
    let mut report = Report::new(title, &columns);
    let mut row = |name: &str, cell: &dyn Fn(&Run) -> String| {
        let cells = runs.iter().map(|(_, run)| cell(run));
        report.cells(std::iter::once(name.to_owned()).chain(cells));
    };
    let ms = |value: f64| format!("{value:.1} ms");
    let us = |value: f64| format!("{value:.1} µs");
    let ours = |run: &Run, cell: &dyn Fn(&Ours) -> String| {
        run.ours.as_ref().map_or_else(|| "-".to_owned(), cell)
    };
    row("round, median", &|run| {
        ms(run.keda.wall_ms_per_round.median)
    });
    row("evaluation, p50", &|run| ms(run.keda.evaluation_ms.p50));
    row("evaluation, p99", &|run| ms(run.keda.evaluation_ms.p99));
    row("KEDA CPU/evaluation", &|run| {
        us(run.keda.cpu_us_per_evaluation)
    });
    row("our CPU/evaluation", &|run| ours(run, &|ours| us(ours.cpu)));
    row(&format!("{server} CPU/evaluation"), &|run| {
        us(run.server_cpu)
    });
    row("KEDA RSS over one trigger", &|run| mib(run.keda_rss_more));
    row("our RSS over idle", &|run| {
        ours(run, &|ours| mib(ours.rss_more))
    });
    row("KEDA sockets", &|run| run.keda.sockets.to_string());
    row(&format!("our sockets to {server}"), &|run| {
        ours(run, &|ours| ours.sockets.to_string())
    });
    row("errors", &|run| {
        format!("{} of {}", run.keda.errors, run.keda.evaluations)
    });
    row("sum of values", &|run| run.keda.values_sum.to_string());
    report
}

/// The most that any of the runs cost us.
pub fn most(runs: &[&Run], figure: impl Fn(&Ours) -> f64) -> f64 {
    let figures = runs.iter().filter_map(|run| run.ours.as_ref()).map(figure);
    figures.fold(0.0, f64::max)
}
