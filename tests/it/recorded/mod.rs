//! A run that the cluster of `tests/cluster` did, and what the simulation makes of the same: the
//! simulator is held to a real control plane, in `make test` by the recording in this folder, and in
//! `make test-cluster` by a new one.

pub mod comparison;
mod page;
pub mod recording;

use std::{path::Path, time::Duration};

use backlog_scaler::{
    sampling::Reading,
    simulation::{
        Between, Load, MetricTarget, Points, QueueState, ScaledObject, Simulation, Timeline,
        WorkerModel, backlog,
    },
};

use comparison::{Comparison, compare};
use recording::{POLLING, RATE, Recording, TARGET, controller, spec};

/// Where the recording is that `make test` replays.
pub const KEPT: &str = "tests/it/recorded/run.csv";

/// One sync of the HPA.
const WITHIN: usize = 1;

/// What the simulation makes of a run.
pub struct Replay {
    pub timeline: Timeline,
    /// Of the replicas.
    pub comparison: Comparison,
}

impl Replay {
    /// By the second.
    pub fn replicas(&self) -> Vec<u32> {
        let points = self.timeline.points.iter();
        points.map(|point| point.replicas).collect()
    }
}

/// The recording that is kept.
fn kept() -> Recording {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(KEPT);
    Recording::of_csv(&std::fs::read_to_string(file).unwrap())
}

#[test]
fn the_kept_run_is_reproduced() {
    must_be_reproduced(&kept());
}

/// KEDA and the HPA alone: the trigger has the backlog that was recorded.
pub fn from_backlog(recording: &Recording) -> Replay {
    best(recording, |lead| {
        let recorded = recording.0.clone();
        let trigger = move |queue: &QueueState| {
            let second = (queue.time.as_secs() as usize).saturating_sub(lead);
            let value = recorded[second.min(recorded.len() - 1)].backlog as f64;
            Ok(Reading {
                value,
                active: value > 0.0,
            })
        };
        simulation(Load::Constant(0.0)).trigger(target(), trigger)
    })
}

/// The whole loop: what arrived is all that the simulation is given.
pub fn from_arrivals(recording: &Recording) -> Replay {
    best(recording, |lead| {
        let seconds = recording.0.iter().enumerate();
        // What the run pushes at the begin of a second arrives in the simulation during the one before.
        let rates = seconds.map(|(second, row)| {
            let at = Duration::from_secs((lead + second - 1) as u64);
            (at, row.arrived as f64)
        });
        let load = Points::new(rates.collect(), Between::Hold).unwrap();
        simulation(Load::Points(load)).trigger(target(), backlog(0))
    })
}

fn simulation(load: Load) -> Simulation {
    let workers = WorkerModel::new(Duration::from_secs(1) / RATE as u32);
    let scaled_object = ScaledObject::of_spec(&spec()).unwrap();
    Simulation::new(load, workers, scaled_object).controller(controller())
}

fn target() -> MetricTarget {
    MetricTarget::AverageValue(TARGET as f64)
}

/// When in a second of the run KEDA polls is up to chance: the simulation begins some seconds before
/// the run, up to one polling interval, so that its polls come at the time that fits best.
fn best(recording: &Recording, simulation: impl Fn(usize) -> Simulation) -> Replay {
    let replays = (1..=POLLING).map(|lead| {
        let length = Duration::from_secs((lead + recording.0.len() - 1) as u64);
        let mut timeline = simulation(lead).run(length).unwrap();
        timeline.points.drain(..lead);
        let simulated: Vec<u32> = timeline.points.iter().map(|point| point.replicas).collect();
        Replay {
            comparison: compare(&recording.replicas(), &simulated, WITHIN),
            timeline,
        }
    });
    let best = replays.min_by_key(|replay| {
        let Comparison { misses, equal, .. } = &replay.comparison;
        (misses.len(), usize::MAX - equal)
    });
    best.expect("polls have an interval")
}

/// Panics unless the simulation reproduces the run: from its backlog each second and each change, from
/// its arrivals what it comes to.
pub fn must_be_reproduced(recording: &Recording) {
    let (alone, whole) = (from_backlog(recording), from_arrivals(recording));
    println!("from its backlog: {:?}", alone.comparison);
    println!("from its arrivals: {:?}", whole.comparison);
    let courses = alone.replicas().into_iter().zip(whole.replicas());
    let courses = recording.0.iter().zip(courses).enumerate();
    let courses = courses.map(|(second, (row, (alone, whole)))| {
        let recording::Second {
            backlog, replicas, ..
        } = row;
        format!("{second:6} {backlog:7} {replicas:7} {alone:12} {whole:13}")
    });
    let misses = alone.comparison.misses;
    assert!(
        misses.is_empty(),
        "the simulation does other than the cluster did:\n{}\n\
         second backlog cluster from backlog from arrivals\n{}",
        misses.join("\n"),
        Vec::from_iter(courses).join("\n")
    );

    let added_up = |replicas: Vec<u32>| replicas.iter().sum::<u32>() as f64;
    let off = added_up(whole.replicas()) / added_up(recording.replicas()) - 1.0;
    let Comparison {
        equal,
        seconds,
        greatest,
        ..
    } = whole.comparison;
    assert!(
        off.abs() < 0.05 && greatest <= 2 && equal * 10 >= seconds * 8,
        "from arrivals alone the simulation has {:.1} % more replicas than the cluster, at most \
         {greatest} in a sync, and the same in {equal} of {seconds} seconds",
        off * 100.0
    );
}
