//! A simulation that runs: load, workers, triggers, KEDA and the HPA together.

use std::time::Duration;

use super::{
    Autoscaler, Point, QueueState, STEP, Simulation, Summary, Timeline, Trigger, TriggerPoint,
    arrivals::Arrivals,
    hpa::Scale,
    queue::{Item, Queue},
    workers::Workers,
};
use crate::{error::Result, sampling::Reading};

/// A simulation that runs.
pub(super) struct Run {
    arrivals: Arrivals,
    queue: Queue,
    workers: Workers,
    replicas: u32,
    triggers: Triggers,
    autoscaler: Autoscaler,
}

impl Run {
    /// At the start, before its first step. Errors as those of [`Autoscaler::new`].
    pub fn new(simulation: Simulation) -> Result<Self> {
        let Simulation {
            load,
            workers: model,
            scaled_object,
            controller,
            triggers,
            initial_backlog,
            initial_replicas,
            rate_window,
        } = simulation;
        let inactive = scaled_object.idle_replica_count;
        let inactive = inactive.unwrap_or(scaled_object.min_replica_count);
        let (targets, triggers) = triggers.into_iter().unzip();
        let autoscaler = Autoscaler::new(scaled_object, controller, targets)?;
        let mut queue = Queue::new(rate_window);
        for number in 0..initial_backlog {
            queue.push(Item {
                arrived: Duration::ZERO,
                takes: model.item_time.of(number),
            });
        }
        let replicas = initial_replicas.unwrap_or(inactive);
        let mut workers = Workers::new(model);
        workers.scale(replicas, &mut queue, Duration::ZERO);
        Ok(Run {
            arrivals: Arrivals::new(load),
            queue,
            workers,
            replicas,
            triggers: Triggers::new(triggers),
            autoscaler,
        })
    }

    /// Runs for a length of time.
    pub fn until(mut self, length: Duration, mut progress: impl FnMut(Duration)) -> Timeline {
        let initial_replicas = self.replicas;
        let (mut now, mut points) = (Duration::ZERO, vec![self.step(Duration::ZERO)]);
        while now + STEP <= length {
            now += STEP;
            points.push(self.step(now));
            progress(now);
        }
        let max_age = self.queue.longest_wait(now);
        let worker_time = self.workers.worker_time(now);
        let waits = self.queue.wait_percentiles(now);
        let summary = Summary::of(&points, initial_replicas, (max_age, waits), worker_time);
        Timeline { points, summary }
    }

    /// What happens up to a time, and then at it: KEDA first, then the HPA.
    fn step(&mut self, now: Duration) -> Point {
        let arrivals = self.arrivals.until(now);
        self.workers.work(&mut self.queue, arrivals, now);
        let state = self.queue.state(now, self.workers.in_flight());
        self.triggers.observe(&state);
        let scale = self.scale();
        let polled = self
            .autoscaler
            .poll(now, scale, || self.triggers.call(&state));
        self.scale_to(polled, now);
        let scale = self.scale();
        let synced = self
            .autoscaler
            .sync(now, scale, || self.triggers.call(&state));
        self.scale_to(synced, now);
        self.point(now)
    }

    fn scale(&self) -> Scale {
        Scale {
            replicas: self.replicas,
            ready_pods: self.workers.ready_pods(),
        }
    }

    fn scale_to(&mut self, replicas: Option<u32>, now: Duration) {
        if let Some(replicas) = replicas.filter(|replicas| *replicas != self.replicas) {
            self.replicas = replicas;
            self.workers.scale(replicas, &mut self.queue, now);
        }
    }

    fn point(&mut self, now: Duration) -> Point {
        Point {
            queue: self.queue.state(now, self.workers.in_flight()),
            wanted: self.autoscaler.wanted(),
            replicas: self.replicas,
            ready: self.workers.ready(),
            interrupted: self.workers.interrupted(),
            triggers: self.triggers.results.clone(),
        }
    }
}

/// The triggers, as KEDA calls them.
struct Triggers {
    all: Vec<Box<dyn Trigger>>,
    results: Vec<TriggerPoint>,
}

impl Triggers {
    fn new(all: Vec<Box<dyn Trigger>>) -> Self {
        Triggers {
            results: vec![TriggerPoint::default(); all.len()],
            all,
        }
    }

    fn observe(&mut self, state: &QueueState) {
        for trigger in &mut self.all {
            trigger.observe(state);
        }
    }

    fn call(&mut self, state: &QueueState) -> Vec<Result<Reading>> {
        let each = self.all.iter_mut().zip(&mut self.results);
        let each = each.map(|(trigger, result)| {
            let report = trigger.evaluate(state);
            *result = report.as_ref().map(TriggerPoint::of).unwrap_or_default();
            report.map(|report| report.reading)
        });
        each.collect()
    }
}
