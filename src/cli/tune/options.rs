//! The arguments, and what is read by them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{
    evaluate::Replay,
    objective::{Measure, Objective},
    values::Try,
};
use crate::{
    cli::simulate::{
        options::{self, Workload},
        svg,
    },
    error::{Error, Kind, Result},
    manifests::{self, Input},
};

/// Search for settings of a ScaledObject that meet objectives at the least cost.
///
/// Simulates the load (see simulate) with many values of the trigger's target and scaleDownBelow, of
/// minReplicaCount, maxReplicaCount and the HPA's scale-down stabilization window. Prints the present
/// settings, the best ones, and the change to the manifest, which keeps everything else as it is
/// written:
///
///   backlog-scaler tune worker.yaml --load monday.csv --service-time 2s --startup 20s \
///     --price 0.08 --objective 'p95 wait < 30s' --picture tune.svg
///
/// What would a target of 20 instead of 50 cost? With --try, only the named settings are searched:
///
///   backlog-scaler tune worker.yaml --try listLength=20,50 --load 'sine(2..8/s, 1h)' \
///     --service-time 2s --price 0.08 --objective 'p95 wait < 2m'
///
/// An objective is MEASURE < LIMIT or MEASURE <= LIMIT. Measures are p50, p95, p99 and max wait, with a
/// time as limit; largest backlog, cost, replica hours and changes. All of them have to be met.
///
/// LOAD is as in simulate. With --check-load, the settings must also handle other loads: each number is
/// then the worst of all loads.
///
/// It is a search: if there are more combinations than --simulations, there may be better ones than
/// it finds. It is deterministic. A change that saves less than 2 % is left out.
///
/// JSON: {"objectives", "minimize", "meetsObjectives", "why", "simulated", "combinations", "complete",
/// "now", "best", "candidates", "manifest"}; candidates have "settings", "misses" and the fields of
/// simulate. A setting that is null is not in the manifest; "manifest" is the edited one.
///
/// Exit codes: 0 the best one meets the objectives, 1 none does (the nearest is shown, and nothing is
/// written), 2 bad arguments or manifests.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Tune {
    /// A manifest; `-` reads from stdin.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// What has to be met: 'p95 wait < 30s'. If given more than once, all of them.
    #[arg(long, value_name = "OBJECTIVE", required = true, value_parser = Objective::parse)]
    pub objective: Vec<Objective>,

    /// The measure to minimize [default: cost, or replica-hours without a price].
    #[arg(long, value_name = "MEASURE", value_parser = Measure::parse)]
    pub minimize: Option<Measure>,

    #[command(flatten)]
    pub workload: Workload,

    /// Another load that the settings must also handle.
    #[arg(long, value_name = "LOAD")]
    pub check_load: Vec<String>,

    /// What one replica costs per hour.
    #[arg(long, value_name = "PRICE", value_parser = price)]
    pub price: Option<f64>,

    /// The ScaledObject, if the file holds several: NAME or NAMESPACE/NAME.
    #[arg(long, value_name = "NAME")]
    pub object: Option<String>,

    /// The trigger, if the object has several that are external; counted from 0.
    #[arg(long, value_name = "INDEX")]
    pub trigger: Option<usize>,

    /// Search only this key of the trigger or field of the object (may be repeated): listLength=20,50
    /// or listLength=20..100, or just listLength to let the search choose values. scaleDownBelow may
    /// be none.
    #[arg(long = "try", value_name = "KEY=VALUES", value_parser = Try::parse, conflicts_with = "keep")]
    pub tries: Vec<Try>,

    /// Leave this key or field as it is.
    #[arg(long, value_name = "KEY")]
    pub keep: Vec<String>,

    /// The most combinations to simulate.
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub simulations: u32,

    /// How many of the best to show.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub best: u32,

    /// Show those that no other beats in both cost and wait (the Pareto frontier), instead of the best.
    #[arg(long)]
    pub frontier: bool,

    /// Draw all of them as an SVG file, whose name must end in .svg: what each costs, and how long
    /// work waits.
    #[arg(long, value_name = "FILE", value_parser = svg)]
    pub picture: Option<PathBuf>,

    /// Only print the change to the manifest, as a unified diff.
    #[arg(long, conflicts_with_all = ["in_place", "write", "output"])]
    pub diff: bool,

    /// Write the changed manifest into this file.
    #[arg(long, value_name = "FILE", conflicts_with = "in_place")]
    pub write: Option<PathBuf>,

    /// Overwrite the manifest.
    #[arg(long)]
    pub in_place: bool,

    /// A table for people, or JSON for programs.
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
}

impl Tune {
    /// What is minimized. An error: a cost without a price.
    pub fn measures(&self) -> Result<Measure> {
        let default = match self.price {
            Some(_) => Measure::Cost,
            None => Measure::ReplicaHours,
        };
        let minimize = self.minimize.unwrap_or(default);
        let mut all = self.objective.iter().map(|objective| objective.measure);
        let needs_price = minimize == Measure::Cost || all.any(|measure| measure == Measure::Cost);
        if needs_price && self.price.is_none() {
            let next = "Add --price, what one replica costs for an hour.";
            return Err(Error::new(Kind::Invalid, "a cost needs a price", next));
        }
        Ok(minimize)
    }

    pub fn replays(&self) -> Result<Vec<Replay>> {
        let replay = |load| -> Result<Replay> {
            let length = self.workload.length(&load)?;
            Ok(Replay { load, length })
        };
        let mut replays = vec![replay(self.workload.load()?)?];
        for text in &self.check_load {
            replays.push(replay(options::load(text)?)?);
        }
        Ok(replays)
    }

    pub fn input(&self) -> Result<Input> {
        if self.in_place && self.file.as_os_str() == "-" {
            let next = "Leave it out to get the change on stdout.";
            let what = "--in-place: stdin cannot be written";
            return Err(Error::new(Kind::Invalid, what, next));
        }
        let mut inputs = manifests::collect(std::slice::from_ref(&self.file))?;
        match inputs.pop() {
            Some(input) if inputs.is_empty() && !input.in_folder => Ok(input),
            _ => {
                let what = format!("{}: is a folder", self.file.display());
                Err(Error::new(Kind::Invalid, what, "Name one file of it."))
            }
        }
    }
}

fn price(text: &str) -> std::result::Result<f64, String> {
    let price = text.trim().parse().ok();
    let price = price.filter(|price: &f64| price.is_finite() && *price > 0.0);
    price.ok_or_else(|| "expected a number above 0, as 0.08".to_owned())
}
