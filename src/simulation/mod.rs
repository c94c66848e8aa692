//! A simulation of KEDA and the HPA: how a load would be scaled with given settings, without a
//! cluster and without waiting.
//!
//! - [`Load`] says how many items arrive per second, [`WorkerModel`] how workers handle them.
//! - A [`Trigger`] turns what is known of the queue into a value. [`ShapedTrigger`] puts the server's
//!   own shaping (`scaleDownBelow`, `activityHold`, …) around one.
//! - [`ScaledObject`] has KEDA's settings, with the HPA's [`Behavior`]; [`HpaController`] those of
//!   the cluster. A [`ScaledJob`] takes the place of a ScaledObject: its workers are jobs, which take
//!   so many items and end.
//! - [`Simulation`] runs them together and yields a [`Timeline`]. Its [`Autoscaler`] also decides for
//!   workers that are real.
//!
//! Everything is pure: there is no I/O, no chance and no clock, and the same simulation yields the
//! same timeline. Time is a [`Duration`] since the start. Items arrive and are completed at exact
//! times; KEDA, the HPA and the points of the timeline are on whole seconds.
//!
//! Not simulated: the time that the API server, the scheduler and nodes take beyond
//! [`WorkerModel::startup`]; paused ScaledObjects, `scalingModifiers`, a ScaledJob's
//! `pendingPodConditions` and `rollout`; metrics of pods and resources; delayed redelivery of
//! interrupted items.
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

mod arrivals;
mod autoscaler;
mod hpa;
mod job_spec;
mod jobs;
mod keda;
mod load;
mod load_text;
mod picture;
mod queue;
mod run;
mod scalable;
mod scatter;
mod shaped;
mod spec;
#[cfg(test)]
mod tests;
mod timeline;
mod triggers;
mod waits;
mod workers;

use std::time::Duration;

pub use autoscaler::Autoscaler;
pub use hpa::{
    Behavior, HpaController, MetricTarget, Policy, PolicyType, Scale, ScalingRules, SelectPolicy,
};
pub use jobs::{MultipleScalersCalculation, ScaledJob, ScalingStrategy};
pub use keda::{Fallback, FallbackBehavior, ScaledObject};
pub use load::{Between, Load, Points};
pub use picture::{Course, Diagram, Line, draw, draw_diagrams};
pub use queue::QueueState;
use run::Run;
pub use scalable::Scalable;
pub use scatter::{Dot, Mark, Scatter};
pub use shaped::ShapedTrigger;
pub use timeline::{Point, Summary, Timeline, TriggerPoint};
pub use triggers::{Failing, Report, Trigger, backlog, drain_time, failing, oldest_age};
pub use waits::WaitPercentiles;
pub use workers::{ItemTime, WorkerModel};

use crate::error::Result;

/// A load, the workers for it, and what scales them.
pub struct Simulation {
    load: Load,
    workers: WorkerModel,
    scalable: Scalable,
    items_per_job: u32,
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
    /// Without triggers, an empty queue, and the replicas of an inactive ScaledObject, or no job.
    pub fn new(load: Load, workers: WorkerModel, scalable: impl Into<Scalable>) -> Self {
        Simulation {
            load,
            workers,
            scalable: scalable.into(),
            items_per_job: 1,
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

    /// A job of a ScaledJob takes so many items, [`WorkerModel::concurrency`] of them at once, and
    /// ends; 1 unless it is set. One that finds no item ends as well, except for as many as
    /// `minReplicaCount` says, which wait for one.
    pub fn items_per_job(mut self, items: u32) -> Self {
        self.items_per_job = items;
        self
    }

    /// So many items arrive at the start, all at once.
    pub fn initial_backlog(mut self, items: u64) -> Self {
        self.initial_backlog = items;
        self
    }

    /// The scale target has so many replicas at the start. Otherwise `idleReplicaCount`, or
    /// `minReplicaCount`; no job of a ScaledJob.
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
    /// An error of kind [`Invalid`](crate::error::Kind::Invalid) if KEDA would refuse the object, if there is no
    /// trigger, or if a target is not above 0.
    pub fn run(self, length: Duration) -> Result<Timeline> {
        self.run_with(length, |_| {})
    }

    /// The same, and tells each simulated second.
    pub fn run_with(self, length: Duration, progress: impl FnMut(Duration)) -> Result<Timeline> {
        Ok(Run::new(self)?.until(length, progress))
    }
}
