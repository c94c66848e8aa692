//! A simulation that runs: load, workers, triggers, KEDA and the HPA together.

use std::time::Duration;

use super::{
    Autoscaler, Point, QueueState, STEP, Scalable, Simulation, Summary, Timeline, Trigger,
    TriggerPoint,
    arrivals::Arrivals,
    hpa::Scale,
    jobs::JobScaler,
    queue::{Item, Queue},
    workers::Workers,
};
use crate::{error::Result, sampling::Reading};

/// A simulation that runs.
pub(super) struct Run {
    arrivals: Arrivals,
    target: ScaleTarget,
    triggers: Triggers,
    scaler: Scaler,
}

/// What decides how many workers there are.
enum Scaler {
    Object(Box<Autoscaler>),
    Job(JobScaler),
}

impl Run {
    /// At the start, before its first step. Errors as those of [`Autoscaler::new`].
    pub fn new(simulation: Simulation) -> Result<Self> {
        let Simulation {
            load,
            workers: model,
            scalable,
            items_per_job,
            controller,
            triggers,
            initial_backlog,
            initial_replicas,
            rate_window,
        } = simulation;
        let (targets, triggers) = triggers.into_iter().unzip();
        let mut queue = Queue::new(rate_window);
        for number in 0..initial_backlog {
            queue.push(Item {
                arrived: Duration::ZERO,
                takes: model.item_time.of(number),
            });
        }
        let (workers, inactive, scaler) = match scalable {
            Scalable::Object(scaled_object) => {
                let inactive = scaled_object.idle_replica_count;
                let inactive = inactive.unwrap_or(scaled_object.min_replica_count);
                let autoscaler = Autoscaler::new(scaled_object, controller, targets)?;
                let scaler = Scaler::Object(Box::new(autoscaler));
                (Workers::new(model), inactive, scaler)
            }
            Scalable::Job(scaled_job) => {
                let waiting = scaled_job.min_replica_count;
                let workers = Workers::jobs(model, items_per_job, waiting);
                let scaler = JobScaler::new(scaled_job, targets)?;
                (workers, 0, Scaler::Job(scaler))
            }
        };
        let mut target = ScaleTarget {
            queue,
            workers,
            replicas: initial_replicas.unwrap_or(inactive),
        };
        let ScaleTarget {
            queue,
            workers,
            replicas,
        } = &mut target;
        workers.scale(*replicas, queue, Duration::ZERO);
        Ok(Run {
            arrivals: Arrivals::new(load),
            target,
            triggers: Triggers::new(triggers),
            scaler,
        })
    }

    /// Runs for a length of time.
    pub fn until(mut self, length: Duration, mut progress: impl FnMut(Duration)) -> Timeline {
        let initial_replicas = self.target.replicas;
        let (mut now, mut points) = (Duration::ZERO, vec![self.step(Duration::ZERO)]);
        while now + STEP <= length {
            now += STEP;
            points.push(self.step(now));
            progress(now);
        }
        let ScaleTarget { queue, workers, .. } = &mut self.target;
        let max_age = queue.longest_wait(now);
        let worker_time = workers.worker_time(now);
        let waits = queue.wait_percentiles(now);
        let summary = Summary::of(&points, initial_replicas, (max_age, waits), worker_time);
        Timeline { points, summary }
    }

    /// What happens up to a time, and then at it: KEDA first, then the HPA.
    fn step(&mut self, now: Duration) -> Point {
        let Run {
            arrivals,
            target,
            triggers,
            scaler,
        } = self;
        let state = target.work(arrivals.until(now), now);
        triggers.observe(&state);
        match scaler {
            Scaler::Object(autoscaler) => {
                let polled = autoscaler.poll(now, target.scale(), || triggers.call(&state));
                target.scale_to(polled, now);
                let synced = autoscaler.sync(now, target.scale(), || triggers.call(&state));
                target.scale_to(synced, now);
            }
            Scaler::Job(scaler) => {
                let jobs = target.workers.job_count();
                let created = scaler.poll(now, jobs, || triggers.call(&state));
                target.create_jobs(created, now);
            }
        }
        self.point(now)
    }

    fn point(&mut self, now: Duration) -> Point {
        let ScaleTarget {
            queue,
            workers,
            replicas,
        } = &mut self.target;
        Point {
            queue: queue.state(now, workers.in_flight()),
            wanted: match &self.scaler {
                Scaler::Object(autoscaler) => autoscaler.wanted(),
                Scaler::Job(_) => None,
            },
            replicas: *replicas,
            ready: workers.ready(),
            interrupted: workers.interrupted(),
            triggers: self.triggers.results.clone(),
        }
    }
}

/// The workers, and the queue that they take from.
struct ScaleTarget {
    queue: Queue,
    workers: Workers,
    /// Replicas, or jobs that are not finished.
    replicas: u32,
}

impl ScaleTarget {
    /// Works until a time, while items arrive; what is known of the queue then.
    fn work(&mut self, arrivals: Vec<Duration>, now: Duration) -> QueueState {
        self.workers.work(&mut self.queue, arrivals, now);
        self.queue.state(now, self.workers.in_flight())
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

    fn create_jobs(&mut self, count: u32, now: Duration) {
        self.workers.create_jobs(count, &mut self.queue, now);
        self.replicas = self.workers.job_count().unfinished;
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
