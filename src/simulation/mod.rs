//! A simulation of KEDA and the HPA: how a load would be scaled with given settings, without a
//! cluster and without waiting.
//!
//! - [`Load`] says how many items arrive per second, [`WorkerModel`] how workers handle them.
//! - A [`Trigger`] turns what is known of the queue into a value. [`ShapedTrigger`] puts the server's
//!   own shaping (`scaleDownBelow`, `activityHold`, …) around one.
//! - [`ScaledObject`] has KEDA's settings, with the HPA's [`Behavior`]; [`HpaController`] those of
//!   the cluster.
//! - [`Simulation`] runs them together and yields a [`Timeline`].
//!
//! Everything is pure: there is no I/O, no chance and no clock, and the same simulation yields the
//! same timeline. Time is a [`Duration`] since the start. Items arrive and are completed at exact
//! times; KEDA, the HPA and the points of the timeline are on whole seconds.
//!
//! Not simulated: the time that the API server, the scheduler and nodes take beyond
//! [`WorkerModel::startup`]; paused ScaledObjects, `scalingModifiers` and ScaledJobs; metrics of pods
//! and resources; delayed redelivery of interrupted items.
//!
//! ```
//! use std::time::Duration;
//!
//! use backlog_scaler::simulation::{
//!     Load, MetricTarget, ScaledObject, Simulation, WorkerModel, backlog,
//! };
//!
//! let workers = WorkerModel::new(Duration::from_secs(2));
//! let timeline = Simulation::new(Load::Constant(3.0), workers, ScaledObject::default())
//!     .trigger(MetricTarget::AverageValue(10.0), backlog(0))
//!     .run(Duration::from_secs(3600))?;
//! assert!(timeline.summary.max_replicas >= 6);
//! # Ok::<(), backlog_scaler::error::Error>(())
//! ```

mod hpa;
mod keda;
mod load;
mod queue;
mod shaped;
#[cfg(test)]
mod tests;
mod timeline;
mod triggers;
mod workers;

use std::{mem, time::Duration};

pub use hpa::{
    Behavior, HpaController, MetricTarget, Policy, PolicyType, ScalingRules, SelectPolicy,
};
use hpa::{Hpa, Metric, Milli, Scale};
pub use keda::{Fallback, FallbackBehavior, ScaledObject};
use keda::{Keda, Observed};
use load::Arrivals;
pub use load::{Between, Load, Points};
pub use queue::QueueState;
use queue::{Item, Queue};
pub use shaped::ShapedTrigger;
pub use timeline::{Point, Summary, Timeline, TriggerPoint};
pub use triggers::{
    Failing, MinimumWhileInFlight, Report, Trigger, backlog, drain_time, failing,
    minimum_while_in_flight, oldest_age,
};
use workers::Workers;
pub use workers::{ItemTime, WorkerModel};

use crate::error::{Error, Kind, Result};

/// A load, the workers for it, and what scales them.
pub struct Simulation {
    load: Load,
    workers: WorkerModel,
    scaled_object: ScaledObject,
    controller: HpaController,
    triggers: Vec<(MetricTarget, Box<dyn Trigger>)>,
    initial_backlog: u64,
    initial_replicas: Option<u32>,
    rate_window: Duration,
}

/// The resolution of the simulation.
const STEP: Duration = Duration::from_secs(1);

/// Over which the completion rate is known, unless it is set.
const RATE_WINDOW: Duration = Duration::from_secs(60);

impl Simulation {
    /// Without triggers, an empty queue, and the replicas of an inactive ScaledObject.
    pub fn new(load: Load, workers: WorkerModel, scaled_object: ScaledObject) -> Self {
        Simulation {
            load,
            workers,
            scaled_object,
            controller: HpaController::default(),
            triggers: Vec::new(),
            initial_backlog: 0,
            initial_replicas: None,
            rate_window: RATE_WINDOW,
        }
    }

    /// Adds a trigger with its target. The first one is the first in each point of the timeline.
    pub fn trigger(mut self, target: MetricTarget, trigger: impl Trigger + 'static) -> Self {
        self.triggers.push((target, Box::new(trigger)));
        self
    }

    /// Other settings of the cluster's HPA controller.
    pub fn controller(mut self, controller: HpaController) -> Self {
        self.controller = controller;
        self
    }

    /// So many items arrive at the start, all at once.
    pub fn initial_backlog(mut self, items: u64) -> Self {
        self.initial_backlog = items;
        self
    }

    /// The scale target has so many replicas at the start. Otherwise `idleReplicaCount`, or
    /// `minReplicaCount`.
    pub fn initial_replicas(mut self, replicas: u32) -> Self {
        self.initial_replicas = Some(replicas);
        self
    }

    /// [`QueueState::completion_rate`] is that of so much time before; 60 s unless it is set.
    pub fn rate_window(mut self, window: Duration) -> Self {
        self.rate_window = window;
        self
    }

    /// Runs for a length of time.
    ///
    /// An error of kind [`Kind::Invalid`] if KEDA would refuse the ScaledObject, if there is no
    /// trigger, or if a target is not above 0.
    pub fn run(self, length: Duration) -> Result<Timeline> {
        self.check()?;
        let (mut run, mut points) = (Run::new(self), Vec::new());
        let mut now = Duration::ZERO;
        while now <= length {
            points.push(run.step(now));
            now += STEP;
        }
        let end = now - STEP;
        let (max_age, worker_time) = (run.queue.longest_wait(end), run.workers.worker_time(end));
        let summary = Summary::of(&points, max_age, worker_time);
        Ok(Timeline { points, summary })
    }

    fn check(&self) -> Result<()> {
        self.scaled_object.check()?;
        let invalid = |what: String, next| Err(Error::new(Kind::Invalid, what, next));
        if self.triggers.is_empty() {
            return invalid("there is no trigger".to_owned(), "Add one.");
        }
        for (target, _) in &self.triggers {
            if Milli::of(target.number()) == Milli(0) {
                let what = format!("a target is {}", target.number());
                return invalid(what, "It must be above 0, and is rounded to thousandths.");
            }
        }
        Ok(())
    }
}

/// A simulation that runs.
struct Run {
    arrivals: Arrivals,
    queue: Queue,
    workers: Workers,
    replicas: u32,
    triggers: Vec<(MetricTarget, Box<dyn Trigger>)>,
    results: Vec<TriggerPoint>,
    keda: Keda,
    hpa: Hpa,
    wanted: Option<u32>,
    needs_polls: bool,
    polls: Periodic,
    syncs: Periodic,
}

/// What happens at an interval.
struct Periodic {
    next: Duration,
    interval: Duration,
}

impl Periodic {
    fn is_due(&mut self, now: Duration) -> bool {
        let is_due = self.next <= now;
        while self.next <= now {
            self.next = self.next.saturating_add(self.interval.max(STEP));
        }
        is_due
    }
}

impl Run {
    fn new(simulation: Simulation) -> Self {
        let Simulation {
            load,
            workers,
            scaled_object,
            controller,
            triggers,
            initial_backlog,
            initial_replicas,
            rate_window,
        } = simulation;
        let mut queue = Queue::new(rate_window);
        for number in 0..initial_backlog {
            queue.push(Item {
                arrived: Duration::ZERO,
                takes: workers.item_time.of(number),
            });
        }
        let inactive = scaled_object.idle_replica_count;
        let replicas = initial_replicas
            .or(inactive)
            .unwrap_or(scaled_object.min_replica_count);
        let mut workers = Workers::new(workers);
        workers.scale(replicas, &mut queue, Duration::ZERO);
        let (min, max) = (scaled_object.hpa_min(), scaled_object.max_replica_count);
        Run {
            arrivals: Arrivals::new(load),
            queue,
            workers,
            replicas,
            results: vec![TriggerPoint::default(); triggers.len()],
            hpa: Hpa::new(min, max, scaled_object.behavior.clone(), controller),
            wanted: None,
            needs_polls: scaled_object.needs_polls(),
            polls: Periodic {
                next: Duration::ZERO,
                interval: scaled_object.polling_interval,
            },
            syncs: Periodic {
                next: controller.first_sync,
                interval: controller.sync_period,
            },
            keda: Keda::new(scaled_object, triggers.len()),
            triggers,
        }
    }

    /// What happens up to a time, and then at it: KEDA first, then the HPA.
    fn step(&mut self, now: Duration) -> Point {
        let arrivals = self.arrivals.until(now);
        self.workers.work(&mut self.queue, arrivals, now);
        let state = self.queue.state(now, self.workers.in_flight());
        for (_, trigger) in &mut self.triggers {
            trigger.observe(&state);
        }
        if self.polls.is_due(now) {
            self.poll(&state);
        }
        if self.syncs.is_due(now) {
            self.sync(&state);
        }
        self.point(now)
    }

    fn poll(&mut self, state: &QueueState) {
        if !self.needs_polls && self.hpa.is_scaling_active() {
            return;
        }
        let observed = self.call_triggers(state);
        let replicas = self
            .keda
            .request_scale(&observed, self.replicas, state.time);
        self.scale_to(replicas.unwrap_or(self.replicas), state.time);
    }

    fn sync(&mut self, state: &QueueState) {
        // Taken out, as the HPA calls the triggers.
        let off = Hpa::new(0, 0, None, HpaController::default());
        let mut hpa = mem::replace(&mut self.hpa, off);
        let synced = hpa.sync(self.scale(), state.time, || {
            let observed = self.call_triggers(state);
            observed.iter().map(|observed| observed.metric).collect()
        });
        self.hpa = hpa;
        self.wanted = synced.wanted;
        self.scale_to(synced.replicas, state.time);
    }

    fn call_triggers(&mut self, state: &QueueState) -> Vec<Observed> {
        let scale = self.scale();
        let mut all = Vec::with_capacity(self.triggers.len());
        for (at, (target, trigger)) in self.triggers.iter_mut().enumerate() {
            let report = trigger.evaluate(state);
            self.results[at] = match &report {
                Ok(report) => TriggerPoint {
                    raw_value: Some(report.raw_value),
                    reported_value: Some(report.reading.value),
                    active: report.reading.active,
                },
                Err(_) => TriggerPoint::default(),
            };
            let reading = report.map(|report| report.reading);
            all.push(self.keda.observe(at, *target, &reading, scale));
        }
        all
    }

    fn scale(&self) -> Scale {
        Scale {
            replicas: self.replicas,
            ready_pods: self.workers.ready_pods(),
        }
    }

    fn scale_to(&mut self, replicas: u32, now: Duration) {
        if replicas != self.replicas {
            self.replicas = replicas;
            self.workers.scale(replicas, &mut self.queue, now);
        }
    }

    fn point(&mut self, now: Duration) -> Point {
        let state = self.queue.state(now, self.workers.in_flight());
        Point {
            time: now,
            arrived: state.arrived,
            completed: state.completed,
            backlog: state.backlog,
            oldest_age: state.oldest_age,
            in_flight: state.in_flight,
            completion_rate: state.completion_rate,
            wanted: self.wanted,
            replicas: self.replicas,
            ready: self.workers.ready(),
            interrupted: self.workers.interrupted(),
            triggers: self.results.clone(),
        }
    }
}
