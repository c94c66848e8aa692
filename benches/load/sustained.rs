//! The sustained load run: triggers of all backends together, evaluated by KEDA's own client in
//! KEDA's rhythm for minutes, with our server and every backend as processes measured from
//! outside; then the same triggers by KEDA's built-in scalers.
//!
//! Environment variables change what is run; `make bench-load` sets them.

mod backlogs;
mod judge;
mod measure;
mod tables;

use std::{str::FromStr, time::Duration};

use self::{
    backlogs::Backlogs,
    judge::{Hpa, Mode},
    measure::Measured,
};

/// Of the judge's own limit, beside warm-up and length: rounds at the end, and slow servers.
const SPARE: Duration = Duration::from_secs(600);
/// The built-in scalers of more triggers need more memory and sockets than a small machine has.
const MOST_BUILTIN: usize = 1_000;
/// So that a server's limits, compiler and heap come to rest after what was before.
const PAUSE: Duration = Duration::from_secs(10);

/// What is run.
struct Options {
    /// Triggers of each run, ascending.
    triggers: Vec<usize>,
    warm_up: Duration,
    length: Duration,
    /// Of all triggers at once, after the rhythm.
    rounds: usize,
    hpa: Hpa,
    builtin: bool,
}

impl Options {
    fn from_environment() -> Self {
        let triggers: String = variable("BENCH_TRIGGERS", "100 1000 10000".to_owned());
        let triggers = triggers.split([' ', ',']).filter(|word| !word.is_empty());
        let mut triggers: Vec<usize> = triggers
            .map(|word| word.parse().expect("BENCH_TRIGGERS lists numbers"))
            .collect();
        triggers.sort_unstable();
        triggers.dedup();
        for n in &triggers {
            assert!(
                (10..=20_000).contains(n) && n % 10 == 0,
                "BENCH_TRIGGERS: {n} is not a multiple of 10 from 10 to 20000"
            );
        }
        let minutes: f64 = variable("BENCH_MINUTES", 5.0);
        assert!(
            (0.5..=60.0).contains(&minutes),
            "BENCH_MINUTES: {minutes} is not from 0.5 to 60"
        );
        let warm_up: u64 = variable("BENCH_WARM_UP", 90);
        assert!(
            warm_up <= 600,
            "BENCH_WARM_UP: {warm_up} s is more than 600"
        );
        Options {
            triggers,
            warm_up: Duration::from_secs(warm_up),
            length: Duration::from_secs_f64(minutes * 60.0),
            rounds: 5,
            hpa: variable("BENCH_HPA", Hpa::GetMetrics),
            builtin: variable::<u8>("BENCH_BUILTIN", 1) != 0,
        }
    }
}

/// The value of an environment variable; the default if it is empty or not set.
fn variable<T: FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(value) if !value.trim().is_empty() => value
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("{name} cannot be {value:?}")),
        _ => default,
    }
}

/// What the runs with one number of triggers measured.
struct Runs {
    triggers: usize,
    ours: Measured,
    builtin: Result<Measured, String>,
}

/// Measures, and prints.
pub async fn run() {
    let Some(program) = crate::judge::program() else {
        return;
    };
    let options = Options::from_environment();
    let Some(most) = options.triggers.last().copied() else {
        return;
    };
    let Some(backlogs) = Backlogs::start(most).await else {
        return;
    };
    tables::legend(&options);
    let mut all = Vec::new();
    for &triggers in &options.triggers {
        let ours = measure::run(&program, &options, &backlogs, triggers, Mode::External).await;
        let ours = match ours {
            Ok(ours) => ours,
            Err(error) => {
                println!("\n{triggers} triggers are not measured: {error}");
                continue;
            }
        };
        let builtin = builtin(&program, &options, &backlogs, triggers).await;
        let runs = Runs {
            triggers,
            ours,
            builtin,
        };
        tables::print(&runs, &options);
        all.push(runs);
    }
    tables::verdicts(&all);
}

async fn builtin(
    program: &std::ffi::OsStr,
    options: &Options,
    backlogs: &Backlogs,
    triggers: usize,
) -> Result<Measured, String> {
    if !options.builtin {
        return Err("switched off".to_owned());
    }
    if triggers > MOST_BUILTIN {
        return Err(format!(
            "left out above {MOST_BUILTIN} triggers: it would need thousands of sockets and \
             hundreds of MiB"
        ));
    }
    measure::run(program, options, backlogs, triggers, Mode::Builtin).await
}
