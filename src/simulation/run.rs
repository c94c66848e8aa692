//! A simulation that runs: load, workers, triggers, KEDA and the HPA together.

use std::time::Duration;

use super::{
    MetricTarget, Point, QueueState, STEP, Simulation, Summary, Timeline, Trigger, TriggerPoint,
    arrivals::Arrivals,
    hpa::{Hpa, Scale},
    keda::{Keda, Observed},
    queue::{Item, Queue},
    workers::Workers,
};

/// A simulation that runs.
pub(super) struct Run {
    arrivals: Arrivals,
    queue: Queue,
    workers: Workers,
    replicas: u32,
    triggers: Triggers,
    hpa: Hpa,
    /// What the HPA's metrics led to last.
    wanted: Option<u32>,
    polls: Periodic,
    syncs: Periodic,
    /// KEDA's polls request the triggers even while the HPA does.
    needs_polls: bool,
}

impl Run {
    /// At the start, before its first step.
    pub fn new(simulation: Simulation) -> Self {
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
        let mut queue = Queue::new(rate_window);
        for number in 0..initial_backlog {
            queue.push(Item {
                arrived: Duration::ZERO,
                takes: model.item_time.of(number),
            });
        }
        let inactive = scaled_object.idle_replica_count;
        let inactive = inactive.unwrap_or(scaled_object.min_replica_count);
        let replicas = initial_replicas.unwrap_or(inactive);
        let mut workers = Workers::new(model);
        workers.scale(replicas, &mut queue, Duration::ZERO);
        let (min, max) = (scaled_object.hpa_min(), scaled_object.max_replica_count);
        Run {
            arrivals: Arrivals::new(load),
            queue,
            workers,
            replicas,
            hpa: Hpa::new(min, max, scaled_object.behavior.clone(), controller),
            wanted: None,
            polls: Periodic::new(Duration::ZERO, scaled_object.polling_interval),
            syncs: Periodic::new(controller.first_sync, controller.sync_period),
            needs_polls: scaled_object.needs_polls(),
            triggers: Triggers {
                results: vec![TriggerPoint::default(); triggers.len()],
                keda: Keda::new(scaled_object, triggers.len()),
                all: triggers,
            },
        }
    }

    /// Runs for a length of time.
    pub fn until(mut self, length: Duration) -> Timeline {
        let initial_replicas = self.replicas;
        let (mut now, mut points) = (Duration::ZERO, vec![self.step(Duration::ZERO)]);
        while now + STEP <= length {
            now += STEP;
            points.push(self.step(now));
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
        let observed = self.triggers.call(state, self.scale());
        let keda = &mut self.triggers.keda;
        if let Some(replicas) = keda.request_scale(&observed, self.replicas, state.time) {
            self.scale_to(replicas, state.time);
        }
    }

    fn sync(&mut self, state: &QueueState) {
        let scale = self.scale();
        let synced = self.hpa.sync(scale, state.time, || {
            let observed = self.triggers.call(state, scale);
            observed.iter().map(|observed| observed.metric).collect()
        });
        self.wanted = synced.wanted;
        self.scale_to(synced.replicas, state.time);
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
        Point {
            queue: self.queue.state(now, self.workers.in_flight()),
            wanted: self.wanted,
            replicas: self.replicas,
            ready: self.workers.ready(),
            interrupted: self.workers.interrupted(),
            triggers: self.triggers.results.clone(),
        }
    }
}

/// The triggers, as KEDA calls them.
struct Triggers {
    all: Vec<(MetricTarget, Box<dyn Trigger>)>,
    results: Vec<TriggerPoint>,
    keda: Keda,
}

impl Triggers {
    fn observe(&mut self, state: &QueueState) {
        for (_, trigger) in &mut self.all {
            trigger.observe(state);
        }
    }

    fn call(&mut self, state: &QueueState, scale: Scale) -> Vec<Observed> {
        let mut all = Vec::with_capacity(self.all.len());
        for (at, (target, trigger)) in self.all.iter_mut().enumerate() {
            let report = trigger.evaluate(state);
            self.results[at] = report.as_ref().map(TriggerPoint::of).unwrap_or_default();
            let reading = report.map(|report| report.reading);
            all.push(self.keda.observe(at, *target, &reading, scale));
        }
        all
    }
}

/// What happens at an interval.
struct Periodic {
    next: Duration,
    interval: Duration,
}

impl Periodic {
    fn new(first: Duration, interval: Duration) -> Self {
        Periodic {
            next: first,
            interval: interval.max(STEP),
        }
    }

    fn is_due(&mut self, now: Duration) -> bool {
        let is_due = self.next <= now;
        if is_due {
            self.next = self.next.saturating_add(self.interval);
        }
        is_due
    }
}
