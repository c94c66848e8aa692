//! A trigger's rule with the signal that it reports.

use tokio::time::Instant;

use super::backend::{Arrivals, Reading, Rule};
use crate::{
    error::Result,
    metadata::signal::{Seconds, Signal},
};

/// How one trigger evaluates a sample.
pub(super) struct SignalRule<R> {
    rule: R,
    signal: Signal,
    seconds: Option<Seconds>,
}

/// What a sample says of a trigger, before its shaping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Observation {
    /// Value and activity.
    pub reading: Reading,
    /// How much work is taken and not finished.
    pub in_flight: u64,
}

impl<R> SignalRule<R> {
    /// A rule for a signal, with target and activation where it is in seconds.
    pub fn new(rule: R, signal: Signal, seconds: Option<Seconds>) -> Self {
        SignalRule {
            rule,
            signal,
            seconds,
        }
    }

    /// Evaluates a sample that was measured at `measured_at`.
    pub fn judge<S>(&self, sample: &S, measured_at: Instant, now: Instant) -> Result<Observation>
    where
        R: Rule<S>,
    {
        let backlog = self.rule.judge(sample, measured_at, now);
        let time = match self.signal {
            Signal::Backlog => None,
            Signal::Age => Some(self.rule.age(sample, measured_at)?),
            Signal::DrainTime => Some(self.rule.drain_time(sample, measured_at)?),
        };
        let reading = match time.map(|time| time.as_secs_f64()) {
            None => backlog,
            Some(value) => Reading {
                value,
                active: match self.activation() {
                    Some(above) => value > above,
                    None => backlog.active,
                },
            },
        };
        Ok(Observation {
            reading,
            in_flight: self.rule.in_flight(sample),
        })
    }

    /// What a sample says of the activity, which may be known where the value is not.
    pub fn activity<S>(&self, sample: &S, measured_at: Instant, now: Instant) -> Result<Observation>
    where
        R: Rule<S>,
    {
        match self.activation() {
            Some(_) => self.judge(sample, measured_at, now),
            None => Ok(Observation {
                reading: self.rule.judge(sample, measured_at, now),
                in_flight: self.rule.in_flight(sample),
            }),
        }
    }

    /// How many consumers can have work at most.
    pub fn most_consumers<S>(&self, sample: &S) -> Option<usize>
    where
        R: Rule<S>,
    {
        self.rule.most_consumers(sample)
    }

    /// What was added to the queue, whatever the signal.
    pub fn arrivals<S>(&self, sample: &S) -> Option<Arrivals>
    where
        R: Rule<S>,
    {
        self.rule.arrivals(sample)
    }

    /// The seconds above which the trigger is active, where they decide.
    fn activation(&self) -> Option<f64> {
        let activation = self.seconds.as_ref()?.activation?;
        Some(activation.0 as f64)
    }
}
