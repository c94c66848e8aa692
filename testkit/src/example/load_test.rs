//! A load test without a cluster: the example's own ScaledObject, in a simulation of KEDA and the HPA
//! with the product's own shaping, under a load that goes up in steps. `local.yaml` has the load, and
//! what is assumed of workers, under `loadTest`.

mod picture;

use std::{collections::BTreeMap, path::Path, time::Duration};

use backlog_scaler::{
    metadata::{CommonKeys, TriggerRef, parse::Metadata, schema::KeySet, values::Target},
    server,
    settings::Settings,
    simulation::{
        Between, ItemTime, Load, MetricTarget, Points, ShapedTrigger, Simulation, Timeline,
        WorkerModel, backlog,
    },
    telemetry::Telemetry,
};
use serde::Deserialize;

use super::{
    Result,
    local::Local,
    manifests::{Object, System},
};

/// What is simulated.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadTest {
    /// Whose settings count.
    pub scaled_object: String,
    /// Which of its triggers of this scaler, from 0. The others are assumed to want less.
    #[serde(default)]
    pub trigger: usize,
    /// How long a worker takes for an item.
    pub item_seconds: f64,
    /// How many items it has in hand at once.
    pub concurrency: u32,
    /// From the creation of a pod until it takes its first item.
    pub startup_seconds: u64,
    /// Items a second, one step after the other.
    pub rates: Vec<f64>,
    /// How long each step is.
    pub minutes_each: u64,
}

/// What a step led to. Its first quarter, in which the replicas come, is only in the waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Items a second.
    pub rate: f64,
    /// The fewest and most replicas.
    pub replicas: (u32, u32),
    /// Replicas on average.
    pub mean_replicas: f64,
    /// The fewest and most on average of one minute.
    pub minute_replicas: (f64, f64),
    /// The largest backlog, in the whole step and after its first quarter.
    pub most_backlog: (u64, u64),
    /// How long 99 of 100 items waited for a worker at most, in the whole step and after its first
    /// quarter.
    pub p99_wait: (Duration, Duration),
}

/// The result.
pub struct Outcome {
    /// Each step, as in the file.
    pub steps: Vec<Step>,
    test: LoadTest,
    limits: (u32, u32),
    target: f64,
    timeline: Timeline,
}

/// Simulates what the `local.yaml` of a directory describes.
pub fn simulate(directory: &Path) -> Result<Outcome> {
    let local = Local::read(directory)?;
    let test = local.load_test.clone();
    let test = test.ok_or_else(|| no_load_test(directory))?;
    // Nothing is connected: the addresses are those of the manifests.
    let local = Local {
        addresses: Vec::new(),
        ..local
    };
    let system = System::read(directory, &local, "")?;
    let object = system
        .objects
        .into_iter()
        .find(|object| object.name == test.scaled_object);
    let object = object.ok_or_else(|| format!("no ScaledObject {}", test.scaled_object))?;
    let trigger = object.triggers.get(test.trigger).ok_or("no such trigger")?;
    let target = target(&object, &trigger.metadata)?;
    let keys = common_keys(&trigger.metadata)?;
    let shaped = ShapedTrigger::new(&keys, Target(target as u64), backlog(0));
    let shaped = shaped.map_err(|problem| problem.to_string())?;
    let length = Duration::from_secs(test.minutes_each * 60);
    let rates = test.rates.iter().zip(0u32..);
    let rates = rates.map(|(rate, step)| (length * step, *rate)).collect();
    let load = Points::new(rates, Between::Hold).map_err(|error| error.to_string())?;
    let workers = WorkerModel {
        item_time: ItemTime::Constant(Duration::from_secs_f64(test.item_seconds)),
        concurrency: test.concurrency,
        startup: Duration::from_secs(test.startup_seconds),
        termination_grace_period: object.deployment.termination_grace_period,
    };
    let limits = (
        object.settings.min_replica_count,
        object.settings.max_replica_count,
    );
    let timeline = Simulation::new(Load::Points(load), workers, object.settings)
        .trigger(MetricTarget::AverageValue(target), shaped)
        .run(length * test.rates.len() as u32)
        .map_err(|error| error.to_string())?;
    let steps = test.rates.iter().zip(0u32..);
    let steps = steps.map(|(rate, step)| Step::of(&timeline, *rate, length * step, length));
    Ok(Outcome {
        steps: steps.collect(),
        test,
        limits,
        target,
        timeline,
    })
}

fn no_load_test(directory: &Path) -> String {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    format!(
        "{}/local.yaml has no loadTest, so that there are no steps to simulate. `make example NAME={name}` \
         runs its own load with real workers; `backlog-scaler simulate FILE --load LOAD --service-time TIME` \
         replays any other through one of its ScaledObjects",
        directory.display()
    )
}

/// The target as the product reads it from the trigger's keys.
fn target(object: &Object, metadata: &BTreeMap<String, String>) -> Result<f64> {
    let engine = server::engine(&Settings::default(), &Telemetry::default());
    let engine = engine.map_err(|error| error.to_string())?;
    let request = TriggerRef {
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        metadata: metadata.clone(),
    };
    let spec = engine.spec(&request).map_err(|error| error.to_string())?;
    Ok(spec.target)
}

/// The keys that every trigger has, those that shape its value among them.
fn common_keys(metadata: &BTreeMap<String, String>) -> Result<CommonKeys> {
    let known = KeySet::of::<CommonKeys>();
    let common: BTreeMap<String, String> = metadata
        .iter()
        .filter(|(key, _)| known.get(key).is_some())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let (metadata, _) = Metadata::new(&common, &[&known]);
    metadata
        .parse::<CommonKeys>(&known)
        .map_err(|problems| problems.to_string())
}

impl Step {
    fn of(timeline: &Timeline, rate: f64, start: Duration, length: Duration) -> Self {
        let waits = Waits::of(timeline);
        let settled = start + length / 4;
        let within = |from: Duration| {
            let end = start + length;
            let points = timeline.points.iter();
            points.filter(move |point| (from..end).contains(&point.queue.time))
        };
        let replicas = || within(settled).map(|point| point.replicas);
        let count = replicas().count().max(1);
        let all: Vec<f64> = replicas().map(f64::from).collect();
        let minutes = all
            .chunks_exact(60)
            .map(|minute| minute.iter().sum::<f64>() / 60.0);
        let minutes = minutes.fold((f64::INFINITY, 0.0), |(fewest, most), mean| {
            (mean.min(fewest), mean.max(most))
        });
        let most_backlog = |from| within(from).map(|point| point.queue.backlog).max();
        Step {
            rate,
            replicas: (
                replicas().min().unwrap_or_default(),
                replicas().max().unwrap_or_default(),
            ),
            mean_replicas: f64::from(replicas().sum::<u32>()) / count as f64,
            minute_replicas: minutes,
            most_backlog: (
                most_backlog(start).unwrap_or_default(),
                most_backlog(settled).unwrap_or_default(),
            ),
            p99_wait: (
                waits.p99(start, start + length),
                waits.p99(settled, start + length),
            ),
        }
    }
}

/// When each item arrived and when a worker took it. A timeline has a point for each second: in between,
/// items are taken to be spread evenly.
struct Waits {
    arrivals: Vec<f64>,
    starts: Vec<f64>,
}

impl Waits {
    fn of(timeline: &Timeline) -> Self {
        let (mut arrivals, mut starts) = (Vec::new(), Vec::new());
        let mut last = 0.0;
        for point in &timeline.points {
            let now = point.queue.time.as_secs_f64();
            spread(&mut arrivals, point.queue.arrived, last, now);
            let begun = point.queue.arrived - point.queue.backlog;
            spread(&mut starts, begun, last, now);
            last = now;
        }
        Waits { arrivals, starts }
    }

    /// Of the items that arrived within a time, and that a worker took.
    fn p99(&self, from: Duration, until: Duration) -> Duration {
        let range = from.as_secs_f64()..until.as_secs_f64();
        let all = self.arrivals.iter().zip(&self.starts);
        let within = all.filter(|(arrived, _)| range.contains(*arrived));
        let mut waits: Vec<f64> = within
            .map(|(arrived, start)| (start - arrived).max(0.0))
            .collect();
        waits.sort_by(f64::total_cmp);
        let at = (waits.len() * 99).div_ceil(100).saturating_sub(1);
        let wait = waits.get(at).copied().unwrap_or_default();
        Duration::from_secs_f64(wait)
    }
}

/// The times of items up to a count, the new ones spread over the second before.
fn spread(times: &mut Vec<f64>, count: u64, from: f64, until: f64) {
    let new = (count as usize).saturating_sub(times.len());
    for item in 1..=new {
        times.push(from + (until - from) * item as f64 / new as f64);
    }
}

impl Outcome {
    /// The table of the steps, in Markdown.
    pub fn table(&self) -> String {
        let head = "| items a second | replicas | on average | of each minute | largest backlog | 99 % wait at most |";
        let line = "| --- | --- | --- | --- | --- | --- |";
        let rows = self.rows().map(|row| format!("{row} |"));
        let lines = [head.to_owned(), line.to_owned()].into_iter().chain(rows);
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The rows of the table, without their end: a page may have more columns.
    pub fn rows(&self) -> impl Iterator<Item = String> {
        self.steps.iter().map(|step| {
            let (fewest, most) = step.replicas;
            let range = match fewest == most {
                true => most.to_string(),
                false => format!("{fewest}–{most}"),
            };
            format!(
                "| {} | {range} | {:.1} | {:.1}–{:.1} | {} | {:.1} s",
                step.rate,
                step.mean_replicas,
                step.minute_replicas.0,
                step.minute_replicas.1,
                step.most_backlog.1,
                step.p99_wait.1.as_secs_f64(),
            )
        })
    }

    /// Load, backlog and replicas over time, as SVG.
    pub fn picture(&self) -> String {
        picture::draw(self)
    }
}
