//! Points of the search → simulations of the manifest with their settings, on all processors.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZero,
    sync::mpsc,
    thread,
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    edit::{Setting, Site},
    objective::{Measure, Objective},
    search::{Evaluate, Point, Score},
    space::Space,
};
use crate::{
    cli::simulate::{
        Course,
        object::{Scaled, read_some},
        options::Workload,
        progress::Bar,
        report::{Row, row},
    },
    error::{Error, Kind, Result},
    manifests::File,
    sampling::Engine,
    simulation::{Load, ScaledObject},
};

/// A load, and for how long it is simulated.
pub struct Replay {
    pub load: Load,
    pub length: Duration,
}

/// Simulates manifests.
pub struct Simulator<'a> {
    pub site: Site<'a>,
    pub engine: &'a Engine,
    pub workload: &'a Workload,
    pub replays: &'a [Replay],
    pub price: Option<f64>,
}

/// What was simulated of a point.
pub struct Candidate {
    pub settings: Vec<Setting>,
    pub row: Row,
    pub score: Score,
}

/// What is asked of results.
pub struct Wanted<'a> {
    pub objectives: &'a [Objective],
    pub minimize: Measure,
}

/// Evaluates the points of a space, and keeps what came of them.
pub struct Evaluator<'a> {
    pub simulator: &'a Simulator<'a>,
    pub space: &'a Space,
    pub wanted: &'a Wanted<'a>,
    pub bar: Bar<'a>,
    pub candidates: BTreeMap<Point, Candidate>,
    /// Why combinations are refused, each reason once.
    pub refused: BTreeSet<String>,
}

/// Reasons that are kept.
const MOST_REASONS: usize = 5;

/// A simulation keeps the wait of each item: threads have so many of them together.
const MOST_ITEMS_AT_ONCE: f64 = 50_000_000.0;

impl Wanted<'_> {
    /// By how much a result is over the objectives, all together.
    pub fn excess(&self, row: &Row) -> f64 {
        let each = self.objectives.iter();
        each.map(|objective| objective.excess(row)).sum()
    }

    /// The objectives that a result misses.
    pub fn missed(&self, row: &Row) -> Vec<&Objective> {
        let all = self.objectives.iter();
        all.filter(|objective| objective.excess(row) > 0.0)
            .collect()
    }
}

impl Simulator<'_> {
    /// The object with other settings.
    pub fn prepare(&self, settings: &[Setting]) -> Result<Scaled> {
        let file = File::new(self.site.file.name(), self.site.edited(settings)?);
        let read = read_some(&file, self.engine, &[self.site.trigger], |name| {
            name == self.site.object
        })?;
        read.objects.into_iter().next().ok_or_else(|| self.none())
    }

    /// The ScaledObject as it is.
    pub fn present(&self) -> Result<ScaledObject> {
        let object = self.prepare(&[])?.object;
        object.scaled_object().ok_or_else(|| self.none())
    }

    fn none(&self) -> Error {
        let what = format!("{}: holds no such ScaledObject", self.site.object);
        Error::new(Kind::Invalid, what, "")
    }

    /// The worst that settings come to, of all loads; `changed` may change the object.
    pub fn simulate(&self, scaled: impl Fn() -> Result<Scaled>) -> Result<Row> {
        let scaled = self.replays.iter().map(|_| scaled());
        let all = scaled.collect::<Result<Vec<Scaled>>>()?;
        let mut rows = self.simulate_all(vec![all], |_| {});
        match rows.pop() {
            Some(row) => row,
            None => Err(Error::new(Kind::Internal, "nothing was simulated", "")),
        }
    }

    /// The same of several, each with an object for each load. `done` is called as each ends.
    fn simulate_all(
        &self,
        objects: Vec<Vec<Scaled>>,
        mut done: impl FnMut(usize),
    ) -> Vec<Result<Row>> {
        let mut worst: Vec<Option<Result<Row>>> = objects.iter().map(|_| None).collect();
        let jobs = objects.into_iter().enumerate();
        let jobs = jobs.flat_map(|(number, each)| {
            let each = each.into_iter().zip(self.replays);
            each.map(move |(scaled, replay)| (number, scaled, replay))
        });
        let jobs: Vec<_> = jobs.collect();
        let threads = self.threads().min(jobs.len());
        let jobs = Mutex::new(jobs.into_iter());
        let (sender, results) = mpsc::sync_channel(threads.max(1));
        thread::scope(|scope| {
            for _ in 0..threads {
                let (sender, jobs) = (sender.clone(), &jobs);
                scope.spawn(move || {
                    loop {
                        let job = jobs.lock().next();
                        let Some((number, scaled, replay)) = job else {
                            return;
                        };
                        let row = self.replay(scaled, replay);
                        if sender.send((number, row)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for (number, row) in results.iter() {
                worst[number] = Some(match worst[number].take() {
                    Some(before) => before.and_then(|before| Ok(worse_of(before, row?))),
                    None => row,
                });
                done(number);
            }
        });
        worst.into_iter().flatten().collect()
    }

    fn replay(&self, scaled: Scaled, replay: &Replay) -> Result<Row> {
        let Scaled {
            name,
            object,
            triggers,
        } = scaled;
        let Replay { load, length } = replay;
        let simulation = self.workload.simulation(load, object.clone(), triggers)?;
        let timeline = simulation.run(*length)?;
        let course = Course {
            name,
            object,
            timeline,
        };
        Ok(row(&course, *length, self.price))
    }

    fn threads(&self) -> usize {
        let items = self.replays.iter().map(Replay::items);
        let most = items.fold(1.0, f64::max);
        let fit = (MOST_ITEMS_AT_ONCE / most).max(1.0) as usize;
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        processors.min(fit)
    }
}

impl Replay {
    fn items(&self) -> f64 {
        let seconds = 0..self.length.as_secs();
        let rates = seconds.map(|second| self.load.rate(Duration::from_secs(second)));
        rates.sum()
    }

    /// The largest rate, in items per second.
    pub fn largest_rate(&self) -> f64 {
        let seconds = 0..=self.length.as_secs();
        let rates = seconds.map(|second| self.load.rate(Duration::from_secs(second)));
        rates.fold(0.0, f64::max)
    }
}

impl Evaluator<'_> {
    fn score(&self, settings: &[Setting], row: &Row) -> Score {
        Score {
            excess: self.wanted.excess(row),
            value: self.wanted.minimize.of(row),
            changed: settings.len(),
        }
    }

    fn refuse(&mut self, settings: &[Setting], error: &Error) {
        if self.refused.len() < MOST_REASONS {
            let settings: Vec<String> = settings.iter().map(Setting::to_string).collect();
            let settings = settings.join(" ");
            self.refused.insert(format!("{settings}: {error}"));
        }
    }
}

impl Evaluate for Evaluator<'_> {
    fn evaluate(&mut self, points: &[Point]) -> Result<Vec<Option<Score>>> {
        let mut simulated = Vec::new();
        let mut objects = Vec::new();
        for point in points {
            let Some(settings) = self.space.settings(point) else {
                continue;
            };
            let each = self.simulator.replays.iter();
            let scaled = each.map(|_| self.simulator.prepare(&settings));
            match scaled.collect::<Result<Vec<Scaled>>>() {
                Ok(scaled) => {
                    simulated.push((point, settings));
                    objects.push(scaled);
                }
                Err(error) => self.refuse(&settings, &error),
            }
        }
        let before = self.candidates.len();
        let loads = self.simulator.replays.len();
        let mut done = before * loads;
        let rows = self.simulator.simulate_all(objects, |_| {
            done += 1;
            self.bar.show(done as f64);
        });
        for ((point, settings), row) in simulated.into_iter().zip(rows) {
            match row {
                Ok(row) => {
                    let score = self.score(&settings, &row);
                    let candidate = Candidate {
                        settings,
                        row,
                        score,
                    };
                    self.candidates.insert(point.clone(), candidate);
                }
                Err(error) => self.refuse(&settings, &error),
            }
        }
        let scores = points.iter().map(|point| {
            let candidate = self.candidates.get(point);
            candidate.map(|candidate| candidate.score)
        });
        Ok(scores.collect())
    }
}

/// What two loads come to: the worse of each number, and all items.
fn worse_of(a: Row, b: Row) -> Row {
    let mut row = a;
    let larger = f64::max;
    row.items += b.items;
    row.completed += b.completed;
    row.waiting += b.waiting;
    row.interrupted += b.interrupted;
    row.wait_seconds.p50 = larger(row.wait_seconds.p50, b.wait_seconds.p50);
    row.wait_seconds.p95 = larger(row.wait_seconds.p95, b.wait_seconds.p95);
    row.wait_seconds.p99 = larger(row.wait_seconds.p99, b.wait_seconds.p99);
    row.wait_seconds.max = larger(row.wait_seconds.max, b.wait_seconds.max);
    row.largest_backlog = row.largest_backlog.max(b.largest_backlog);
    row.replicas.average = larger(row.replicas.average, b.replicas.average);
    row.replicas.largest = row.replicas.largest.max(b.replicas.largest);
    row.replica_hours = larger(row.replica_hours, b.replica_hours);
    row.cost = row.cost.zip(b.cost).map(|(a, b)| larger(a, b));
    row.changes = row.changes.max(b.changes);
    row.flaps = row.flaps.max(b.flaps);
    row.seconds_at_max = row.seconds_at_max.max(b.seconds_at_max);
    let drains = row.seconds_to_drain.zip(b.seconds_to_drain);
    row.seconds_to_drain = drains.map(|(a, b)| larger(a, b));
    row
}
