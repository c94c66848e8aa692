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
        Autoscaler, Between, HpaController, Load, MetricTarget, Points, Scale, ScaledObject,
        Simulation, WorkerModel, backlog,
    },
};

use comparison::{Comparison, compare};
use recording::{POLLING, RATE, Recording, TARGET, controller, spec};

/// Where the recording is that `make test` replays.
pub const KEPT: &str = "tests/it/recorded/run.csv";

/// One sync of the HPA, in seconds: how far the kept run may be off.
pub const ONE_SYNC: usize = 1;

/// The same of a run on a machine that may be busy meanwhile, where syncs are late and left out.
pub const LATE_SYNCS: usize = 3;

/// What the simulation makes of a run.
pub struct Replay {
    /// By the second.
    pub replicas: Vec<u32>,
    pub backlog: Vec<u64>,
    /// Of the replicas, with those of the run.
    pub comparison: Comparison,
}

/// The recording that is kept.
fn kept() -> Recording {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(KEPT);
    Recording::of_csv(&std::fs::read_to_string(file).unwrap())
}

#[test]
fn the_kept_run_is_reproduced() {
    must_be_reproduced(&kept(), ONE_SYNC);
}

/// When KEDA polls and the HPA syncs, which is up to chance in a cluster.
#[derive(Clone, Copy)]
struct Phases {
    /// From a poll to the begin of the run.
    poll: Duration,
    /// From that poll to a sync.
    sync: Duration,
    /// From a sync to the next one. The controller waits for its period once it is done with a sync
    /// (`processNextWorkItem` in `pkg/controller/podautoscaler/horizontal.go`), so that it is the
    /// period and what a sync takes.
    sync_period: Duration,
}

impl Phases {
    /// Those that a cluster may have.
    fn all() -> impl Iterator<Item = Self> {
        let millis =
            |range: std::ops::Range<u64>, step| range.step_by(step).map(Duration::from_millis);
        let polling = POLLING as u64 * 1000;
        millis(0..polling, 500).flat_map(move |poll| {
            millis(0..1000, 200).flat_map(move |sync| {
                millis(1000..1051, 5).map(move |sync_period| Phases {
                    poll,
                    sync,
                    sync_period,
                })
            })
        })
    }
}

/// The simulation's KEDA and HPA alone: their trigger has the backlog that was recorded.
pub fn from_backlog(recording: &Recording, within: usize) -> Replay {
    best(Phases::all().map(|phases| autoscale(recording, phases, within)))
}

/// How fine the clock is.
const TICK: Duration = Duration::from_millis(25);

fn autoscale(recording: &Recording, phases: Phases, within: usize) -> Replay {
    let controller = HpaController {
        sync_period: phases.sync_period,
        first_sync: phases.sync,
        ..controller()
    };
    let autoscaler = Autoscaler::new(scaled_object(), controller, vec![target()]);
    let mut autoscaler = autoscaler.unwrap();
    let (mut replicas, mut now) = (0, phases.poll);
    let by_second = recording.0.iter().enumerate().map(|(second, row)| {
        let evaluate = || {
            let value = row.backlog as f64;
            let active = row.backlog > 0;
            vec![Ok(Reading { value, active })]
        };
        let scale = |replicas| Scale {
            replicas,
            ready_pods: replicas,
        };
        // The replicas of a second are those at its end.
        let end = phases.poll + Duration::from_secs(second as u64 + 1);
        while now < end {
            let polled = autoscaler.poll(now, scale(replicas), evaluate);
            replicas = polled.unwrap_or(replicas);
            let synced = autoscaler.sync(now, scale(replicas), evaluate);
            replicas = synced.unwrap_or(replicas);
            now += TICK;
        }
        replicas
    });
    let replicas: Vec<u32> = by_second.collect();
    Replay {
        comparison: compare(&recording.replicas(), &replicas, within),
        backlog: recording.0.iter().map(|row| row.backlog as u64).collect(),
        replicas,
    }
}

/// The whole loop: what arrived is all that the simulation is given. It begins some seconds before the
/// run, up to one polling interval.
pub fn from_arrivals(recording: &Recording, within: usize) -> Replay {
    best((1..=POLLING).map(|lead| simulate(recording, lead, within)))
}

fn simulate(recording: &Recording, lead: usize, within: usize) -> Replay {
    let seconds = recording.0.iter().enumerate();
    // What the run pushes at the begin of a second arrives in the simulation during the one before.
    let rates = seconds.map(|(second, row)| {
        let at = Duration::from_secs((lead + second - 1) as u64);
        (at, row.arrived as f64)
    });
    let load = Points::new(rates.collect(), Between::Hold).unwrap();
    let mut workers = WorkerModel::new(Duration::from_secs(1) / RATE as u32);
    // The workers of the run take items once in a second.
    workers.startup = Duration::from_millis(500);
    let timeline = Simulation::new(Load::Points(load), workers, scaled_object())
        .controller(controller())
        .trigger(target(), backlog(0))
        .run(Duration::from_secs((lead + recording.0.len() - 1) as u64));
    let points = timeline.unwrap().points;
    let points = &points[lead..];
    let replicas: Vec<u32> = points.iter().map(|point| point.replicas).collect();
    Replay {
        comparison: compare(&recording.replicas(), &replicas, within),
        backlog: points.iter().map(|point| point.queue.backlog).collect(),
        replicas,
    }
}

fn scaled_object() -> ScaledObject {
    ScaledObject::of_spec(&spec()).unwrap()
}

fn target() -> MetricTarget {
    MetricTarget::AverageValue(TARGET as f64)
}

/// The replay that is nearest to the run.
fn best(replays: impl Iterator<Item = Replay>) -> Replay {
    let best = replays.min_by_key(|replay| {
        let Comparison { misses, equal, .. } = &replay.comparison;
        (misses.len(), usize::MAX - equal)
    });
    best.expect("there are phases")
}

/// Panics unless the simulation reproduces the run: from its backlog each second and each change within
/// so many seconds, from its arrivals what it comes to.
pub fn must_be_reproduced(recording: &Recording, within: usize) {
    let alone = from_backlog(recording, within);
    let whole = from_arrivals(recording, within);
    println!("from its backlog: {:?}", alone.comparison);
    println!("from its arrivals: {:?}", whole.comparison);
    let courses = alone.replicas.iter().zip(&whole.replicas);
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
    let added_up = |replicas: &[u32]| replicas.iter().sum::<u32>() as f64;
    let largest = |replicas: &[u32]| replicas.iter().max().copied();
    let (real, simulated) = (recording.replicas(), whole.replicas);
    let off = added_up(&simulated) / added_up(&real) - 1.0;
    assert!(
        off.abs() < 0.05 && largest(&simulated) == largest(&real),
        "from arrivals alone the simulation has {:.1} % more replicas than the cluster, and {:?} \
         rather than {:?} at most",
        off * 100.0,
        largest(&simulated),
        largest(&real)
    );
}
