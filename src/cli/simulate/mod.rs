//! `simulate`: how a ScaledObject or ScaledJob would scale a load, without a cluster and without waiting.

mod course;
pub(super) mod object;
pub(super) mod options;
pub(super) mod progress;
pub(super) mod report;
pub(super) mod vary;

use std::{collections::BTreeSet, fs, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};

pub(super) use self::course::Course;
use self::{
    object::Scaled,
    options::Workload,
    report::Report,
    vary::{Vary, variants},
};
use super::{runtime, to_json, to_stderr, to_stdout};
use crate::{
    error::{Error, Kind, Result},
    manifests::{self, File, Input},
    server,
    settings::Settings,
    simulation,
    telemetry::Telemetry,
};

/// Replay a load through a ScaledObject or ScaledJob: how long work waits, how many replicas that
/// takes, and what they cost.
///
/// The ScaledObject's own settings apply: triggers of type external with their signal, target and
/// keys such as scaleDownBelow or smoothing (evaluated by the server's own code), pollingInterval,
/// cooldownPeriod, fallback and the HPA's behavior. KEDA's loop is that of KEDA 2.21, the HPA that
/// of Kubernetes 1.36. It makes no connections. Several FILEs, or objects in one, are compared:
///
///   backlog-scaler simulate worker.yaml --load 'sine(10..40/s, 1h)' --length 1d \
///     --service-time 2s --concurrency 5 --startup 20s --price 0.08 --picture worker.svg
///
///   backlog-scaler simulate worker.yaml --vary listLength=20,50 --load monday.csv --service-time 2s
///
/// LOAD is items per second over time: a CSV file of times and rates, or an expression. 40/s or 90/m
/// is constant; step(A..B/s, AT); ramp(A..B/s, LENGTH) or ramp(A..B/s, START, LENGTH);
/// sine(A..B/s, PERIOD); sawtooth(A..B/s, PERIOD); bursts(RATE, LENGTH, EVERY); several are added
/// with +.
///
/// For a ScaledJob, pollingInterval, minReplicaCount, maxReplicaCount and scalingStrategy apply. Replicas
/// are its jobs: each takes --items-per-job items and ends. A job that finds none also ends, except
/// for minReplicaCount jobs, which wait. --vary strategy=default,accurate,eager compares strategies.
///
/// Not simulated: triggers that are not external, scalingModifiers, pendingPodConditions, the time
/// that the API server and nodes take beyond --startup, and randomness: items arrive evenly at the
/// rate, and all take the same time.
///
/// WAIT is the time from an item's arrival until a worker takes it; P95 means that 95 of 100 items
/// wait at most this long. AT MAX is how long there were maxReplicaCount replicas, CHANGES how often their number
/// changed. COST is REPLICA-HOURS times --price.
///
/// JSON: {"simulations": [{name, items, completed, waiting, interrupted, waitSeconds: {p50, p95, p99,
/// max}, largestBacklog, replicas: {average, largest}, replicaHours, cost, changes, flaps,
/// secondsAtMax, secondsToDrain}]}; cost is null without a price.
///
/// Exit codes: 0 simulated, 2 bad arguments or manifests.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Simulate {
    /// Manifests; `-` reads from stdin.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    #[command(flatten)]
    workload: Workload,

    /// Simulate only this object of each file: NAMESPACE/NAME or NAME.
    #[arg(long, value_name = "NAME")]
    object: Option<String>,

    /// Simulate only these triggers, counted from 0; by default all external ones. They all measure
    /// the same queue.
    #[arg(long, value_name = "INDEX")]
    trigger: Vec<usize>,

    /// Compare values of a key of the triggers, or of minReplicaCount, maxReplicaCount, cooldownPeriod
    /// and the like, or of a ScaledJob's strategy: listLength=20,50. If given more than
    /// once, all combinations.
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = Vary::parse)]
    vary: Vec<Vary>,

    /// What one replica costs per hour.
    #[arg(long, value_name = "PRICE", value_parser = price)]
    price: Option<f64>,

    /// Draw arrivals, backlog, replicas and waits as an SVG file; its name must end in .svg.
    #[arg(long, value_name = "FILE", value_parser = svg)]
    picture: Option<PathBuf>,

    /// A table for people, or JSON for programs.
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Json,
}

impl Simulate {
    /// Reads, simulates and prints.
    pub fn run(self) -> Result<ExitCode> {
        let scaled = self.scaled()?;
        let load = self.workload.load()?;
        let length = self.workload.length(&load)?;
        let mut courses = Vec::new();
        for Scaled {
            name,
            object,
            triggers,
        } in scaled
        {
            let simulation = self.workload.simulation(&load, object.clone(), triggers)?;
            let timeline = {
                let bar = progress::Bar::new(&name, length.as_secs_f64());
                simulation.run_with(length, |now| bar.show(now.as_secs_f64()))
            };
            let timeline = timeline
                .map_err(|error| Error::new(error.kind(), format!("{name}: {error}"), ""))?;
            courses.push(Course {
                name,
                object,
                timeline,
            });
        }
        if let Some(path) = &self.picture {
            let drawn: Vec<_> = courses.iter().map(|course| course.drawn(&load)).collect();
            write(path, &simulation::draw(&drawn)?)?;
        }
        let report = Report::new(&courses, length, self.price);
        to_stdout(&match self.output {
            Output::Table => report.table(),
            Output::Json => to_json(&report)?,
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn is_chosen(&self, id: &str) -> bool {
        self.object.as_deref().is_none_or(|wanted| {
            id == wanted || id.split_once('/').is_some_and(|(_, name)| name == wanted)
        })
    }

    /// The objects of the files.
    fn scaled(&self) -> Result<Vec<Scaled>> {
        let inputs = manifests::collect(&self.files)?;
        let several = inputs.len() > 1;
        // The triggers are parsed as the server parses them; nothing connects.
        runtime()?.block_on(async {
            let engine = server::engine(&Settings::default(), &Telemetry::default())?;
            let mut scaled = Vec::new();
            for Input { name, text, .. } in inputs {
                let file = File::new(name.clone(), text);
                let mut notes = BTreeSet::new();
                for variant in variants(&file, &self.vary, &self.trigger)? {
                    let file = File::new(name.clone(), variant.text);
                    let read =
                        object::read_some(&file, &engine, &self.trigger, |id| self.is_chosen(id))?;
                    notes.extend(read.notes);
                    scaled.extend(read.objects.into_iter().map(|mut object| {
                        let file = if several { name.as_str() } else { "" };
                        object.name = title(file, &object.name, &variant.name);
                        object
                    }));
                }
                notes.into_iter().for_each(|note| to_stderr("note", note));
            }
            Ok(scaled)
        })
    }
}

/// `f.yaml: shop/orders listLength=20`.
fn title(file: &str, object: &str, variant: &str) -> String {
    let file = match file {
        "" => String::new(),
        file => format!("{file}: "),
    };
    format!("{file}{object} {variant}").trim_end().to_owned()
}

pub(super) fn write(path: &PathBuf, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| {
        let what = format!("cannot write {}: {error}", path.display());
        Error::new(Kind::Invalid, what, "")
    })
}

/// Where a picture goes. Viewers go by the name, and would take SVG in a `.png` for a broken file.
pub(super) fn svg(text: &str) -> std::result::Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().is_some_and(|extension| extension == "svg") {
        true => Ok(path),
        false => Err("must end in .svg: pictures are drawn as SVG alone".to_owned()),
    }
}

/// A length of time as people write it: `90s`, `10m`, `1d`.
pub(super) fn span(text: &str) -> std::result::Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; expected as 90s, 10m or 1h"))
}

/// What a replica costs for an hour.
fn price(text: &str) -> std::result::Result<f64, String> {
    let price = text.parse::<f64>().ok();
    let price = price.filter(|price| price.is_finite() && *price >= 0.0);
    price.ok_or_else(|| "must be a number, and not below 0, as 0.08".to_owned())
}
