//! A trigger as this server shapes it: the code of the product itself, on the time of the
//! simulation.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    queue::QueueState,
    triggers::{Report, Trigger},
};
use crate::{
    error::{Error, Result},
    metadata::{CommonKeys, problem::Problem, shaping::OnOutage, values::Target},
    sampling::{Memory, Observation, Reading, Shaping},
};

/// A trigger with the keys of its metadata that shape what KEDA gets: `activityHold`,
/// `scaleDownBelow`, `minimumWhileInFlight`, `smoothing`, `onOutage` and `maxStaleness`.
pub struct ShapedTrigger<T> {
    trigger: T,
    /// `None`: it has no such keys, and readings are reported as they are.
    shaping: Option<Shaping>,
    max_staleness: Duration,
    sample_interval: Option<Duration>,
    /// Shaping takes times of a clock. Only their differences count, so the start may be any.
    start: Instant,
    memory: Memory,
    last_good: Option<Sample>,
    last_observed: Option<Instant>,
}

/// What was measured.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    report: Report,
    in_flight: u64,
}

/// The server's own setting for triggers that have no `maxStaleness`.
const MAX_STALENESS: Duration = Duration::from_secs(60);

impl<T: Trigger> ShapedTrigger<T> {
    /// Shapes what the trigger measures. A problem where a key does not fit the target.
    pub fn new(keys: &CommonKeys, target: Target, trigger: T) -> Result<Self, Problem> {
        let shaping = Shaping::of(keys, target)?;
        let memory = shaping.as_ref().map(Shaping::empty_memory);
        Ok(ShapedTrigger {
            trigger,
            shaping,
            max_staleness: keys.max_staleness.map_or(MAX_STALENESS, |span| span.0),
            sample_interval: None,
            start: Instant::now(),
            memory: memory.unwrap_or_default(),
            last_good: None,
            last_observed: None,
        })
    }

    /// The query is also read at this interval between the calls of KEDA, as for a stream or for
    /// another trigger. What such a sample shows counts for `activityHold` and
    /// `smoothing`.
    pub fn sampled_every(mut self, interval: Duration) -> Self {
        self.sample_interval = Some(interval);
        self
    }

    /// What is measured now, noted for later calls.
    fn sample(&mut self, queue: &QueueState, now: Instant) -> Result<Sample> {
        let report = self.trigger.evaluate(queue)?;
        let sample = Sample {
            at: now,
            report,
            in_flight: queue.in_flight,
        };
        self.last_good = Some(sample);
        if report.reading.active {
            self.memory.last_work = Some(now);
        }
        if let Some(values) = &mut self.memory.values {
            values.add(report.reading.value, now);
        }
        Ok(sample)
    }

    fn shape(&mut self, sample: Sample, now: Instant) -> Report {
        let raw = sample.report;
        let Some(shaping) = &self.shaping else {
            return raw;
        };
        let observation = Observation {
            reading: raw.reading,
            in_flight: sample.in_flight,
        };
        let shaped = shaping.shape(observation, &self.memory, now);
        self.memory.replicas = shaped.replicas;
        Report {
            reading: shaped.reading,
            ..raw
        }
    }

    /// What a call gets in place of an error: the last good sample until `maxStaleness`, then what
    /// `onOutage` says.
    fn without_sample(&mut self, error: Error, now: Instant) -> Result<Report> {
        let last = self.last_good;
        let is_usable = |at: &Instant| now.saturating_duration_since(*at) <= self.max_staleness;
        let on_outage = self.shaping.as_ref().map(|shaping| shaping.on_outage);
        match (last, on_outage.unwrap_or_default()) {
            (Some(sample), _) if is_usable(&sample.at) => Ok(self.shape(sample, now)),
            (Some(sample), OnOutage::Hold) => Ok(self.shape(sample, now)),
            (last, OnOutage::Value(number)) => Ok(Report {
                raw_value: last.map_or(number as f64, |last| last.report.raw_value),
                reading: Reading {
                    value: number as f64,
                    active: number > 0,
                },
            }),
            _ => Err(error),
        }
    }
}

impl<T: Trigger> Trigger for ShapedTrigger<T> {
    fn evaluate(&mut self, queue: &QueueState) -> Result<Report> {
        let now = self.start + queue.time;
        match self.sample(queue, now) {
            Ok(raw) => Ok(self.shape(raw, now)),
            Err(error) => self.without_sample(error, now),
        }
    }

    fn observe(&mut self, queue: &QueueState) {
        self.trigger.observe(queue);
        let now = self.start + queue.time;
        let is_due = |interval: Duration| {
            let last = self.last_observed;
            last.is_none_or(|last| now.saturating_duration_since(last) >= interval)
        };
        if self.sample_interval.is_some_and(is_due) {
            self.last_observed = Some(now);
            // Nobody waits for it: an error is the next call's.
            let _ = self.sample(queue, now);
        }
    }
}
