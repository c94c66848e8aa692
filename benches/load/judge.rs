//! KEDA's own scalers, on both sides: its built-in one, and its external client against us.

use std::{process::Stdio, time::Duration};

use serde::Deserialize;
use tokio::{process::Command, time::timeout};

use crate::{
    TRIGGERS,
    report::{Report, Verdict, mib, ratio},
    servers::Served,
    support::redis::Redis,
    usage::{Meter, Process},
};

/// Set by `make bench`: the program of `tests/keda`.
const PROGRAM: &str = "KEDA_JUDGE";
const ROUNDS: usize = 10;
const LIMIT: Duration = Duration::from_secs(120);

/// What the program reports of KEDA's share.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keda {
    errors: usize,
    wall_ms_per_round: Spread,
    evaluation_ms: Tail,
    cpu_us_per_evaluation: f64,
    #[serde(rename = "rssMiB")]
    rss_mib: f64,
    sockets: usize,
    values_sum: f64,
}

#[derive(Deserialize)]
struct Spread {
    median: f64,
}

#[derive(Deserialize)]
struct Tail {
    p50: f64,
    p99: f64,
}

/// A run, and what it cost everybody else.
struct Run {
    keda: Keda,
    /// KEDA's memory, less what it needs for a single trigger.
    keda_rss_more: f64,
    /// Microseconds an evaluation.
    redis_cpu: f64,
    ours: Option<Ours>,
}

struct Ours {
    /// Microseconds an evaluation.
    cpu: f64,
    rss_more: f64,
    sockets: usize,
}

/// Measures, and prints; without the program it says how to get it.
pub async fn run(redis: &Redis) {
    let Some(program) = std::env::var_os(PROGRAM) else {
        println!(
            "\nKEDA's built-in scaler is not compared: {PROGRAM} does not name the program of \
             tests/keda.\nBuild it there with `go build -o judge .` (minutes, the first time)."
        );
        return;
    };
    let judge = Judge { program, redis };
    let builtin = judge.builtin().await;
    let shared = judge.external("1s").await;
    let expired = judge.external("0").await;
    match (builtin, shared, expired) {
        (Ok(builtin), Ok(shared), Ok(expired)) => print(&builtin, &shared, &expired),
        (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => {
            println!("\nKEDA's built-in scaler is not compared: {error}");
        }
    }
}

struct Judge<'a> {
    program: std::ffi::OsString,
    redis: &'a Redis,
}

impl Judge<'_> {
    async fn builtin(&self) -> Result<Run, String> {
        self.measure("builtin", &[], None).await
    }

    async fn external(&self, fresh_for: &str) -> Result<Run, String> {
        let ours = Served::ours().await;
        let fresh_for = format!("freshFor={fresh_for}");
        let more = ["--scaler", &ours.address, "--set", &fresh_for];
        self.measure("external", &more, Some(&ours)).await
    }

    async fn measure(
        &self,
        mode: &str,
        more: &[&str],
        ours: Option<&Served>,
    ) -> Result<Run, String> {
        let redis = Process(self.redis.pid().expect("redis-server runs"));
        let idle_rss = ours.map_or(0.0, |ours| ours.process().rss());
        let one = self.bench(mode, 1, 1, more).await?;
        let own = ours.map_or(redis, Served::process);
        let meter = Meter::start([redis, own]);
        eprintln!("load: KEDA, {mode}, {TRIGGERS} triggers {}", more.join(" "));
        let bench = self.bench(mode, TRIGGERS, ROUNDS, more);
        tokio::pin!(bench);
        // Its sockets go with KEDA's triggers, so they are looked at while it runs.
        let mut sockets = 0;
        let keda = loop {
            tokio::select! {
                keda = &mut bench => break keda?,
                () = tokio::time::sleep(Duration::from_millis(100)) => {
                    sockets = sockets.max(own.sockets_to(self.redis.port()));
                }
            }
        };
        // With the round that warms up.
        let evaluations = (TRIGGERS * (ROUNDS + 1)) as f64;
        let each = meter
            .used()
            .map(|cpu| cpu.as_secs_f64() * 1e6 / evaluations);
        Ok(Run {
            keda_rss_more: keda.rss_mib - one.rss_mib,
            redis_cpu: each[0],
            ours: ours.map(|ours| Ours {
                cpu: each[1],
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
        more: &[&str],
    ) -> Result<Keda, String> {
        let address = format!("address={}", self.redis.address());
        let running = Command::new(&self.program)
            .args(["bench", "--mode", mode, "--backend", "redis"])
            .args(["--triggers", &triggers.to_string()])
            .args(["--rounds", &rounds.to_string()])
            .args(["--set", "listName=jobs-{i}", "--set", &address])
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

fn print(builtin: &Run, shared: &Run, expired: &Run) {
    let title = format!(
        "{TRIGGERS} Redis triggers, evaluated by KEDA at once, {ROUNDS} rounds without a pause. \
         An evaluation is three\ncalls to an external scaler. With freshFor 0 each of them that \
         needs a value reads it anew."
    );
    let columns = ["", "built-in", "ours, 1s (default)", "ours, freshFor 0"];
    let mut report = Report::new(title, &columns);
    let runs = [builtin, shared, expired];
    let mut row = |name: &str, cell: &dyn Fn(&Run) -> String| {
        let [a, b, c] = runs.map(cell);
        report.row([name.to_owned(), a, b, c]);
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
    row("redis CPU/evaluation", &|run| us(run.redis_cpu));
    row("KEDA RSS over one trigger", &|run| mib(run.keda_rss_more));
    row("our RSS over idle", &|run| {
        ours(run, &|ours| mib(ours.rss_more))
    });
    row("KEDA sockets", &|run| run.keda.sockets.to_string());
    row("our sockets to Redis", &|run| {
        ours(run, &|ours| ours.sockets.to_string())
    });
    row("errors", &|run| run.keda.errors.to_string());
    row("sum of values", &|run| run.keda.values_sum.to_string());
    let cpu = ratio(expired.redis_cpu, builtin.redis_cpu);
    let memory = |run: &Run| run.keda_rss_more + run.ours.as_ref().map_or(0.0, |o| o.rss_more);
    let most = |figure: &dyn Fn(&Ours) -> f64| {
        let figures = [shared, expired].map(|run| run.ours.as_ref().map_or(0.0, figure));
        figures[0].max(figures[1])
    };
    let (rss, sockets) = (
        most(&|ours| ours.rss_more),
        most(&|ours| ours.sockets as f64),
    );
    report.print(&[
        Verdict::at_most("redis CPU, freshFor 0 beside built-in,", cpu, 1.0),
        Verdict::at_most(
            "memory of KEDA and us, beside KEDA's with built-in scalers,",
            ratio(memory(shared), memory(builtin)),
            1.0,
        ),
        Verdict::at_most("our RSS over idle, in MiB,", rss, 16.0),
        Verdict::at_most("our number of sockets to Redis", sockets, 1.0),
    ]);
}
