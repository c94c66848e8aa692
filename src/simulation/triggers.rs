//! Triggers: what they make of the queue.

use std::time::Duration;

use super::queue::QueueState;
use crate::{
    error::{Error, Kind, Result},
    sampling::Reading,
};

/// A trigger of the simulated ScaledObject. A closure from the state of the queue to a [`Reading`]
/// is one.
pub trait Trigger {
    /// A call of KEDA: by its loop, and by the HPA while there are replicas. An error is counted by
    /// KEDA as one of the trigger.
    fn evaluate(&mut self, queue: &QueueState) -> Result<Report>;

    /// Called at each second, before a call of KEDA at the same time: for a trigger that sees the
    /// queue between the calls as well.
    fn observe(&mut self, _queue: &QueueState) {}
}

/// What a trigger reports to KEDA, and from what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// The value that was measured.
    pub raw_value: f64,
    /// The value and the activity that KEDA gets.
    pub reading: Reading,
}

impl From<Reading> for Report {
    fn from(reading: Reading) -> Self {
        Report {
            raw_value: reading.value,
            reading,
        }
    }
}

impl<F: FnMut(&QueueState) -> Result<Reading>> Trigger for F {
    fn evaluate(&mut self, queue: &QueueState) -> Result<Report> {
        self(queue).map(Report::from)
    }
}

/// The backlog, active above `activation` items: what a queue's trigger measures by default.
pub fn backlog(activation: u64) -> impl Fn(&QueueState) -> Result<Reading> {
    move |queue| {
        Ok(Reading {
            value: queue.backlog as f64,
            active: queue.backlog > activation,
        })
    }
}

/// The age of the oldest item that waits, in seconds; active while one waits.
pub fn oldest_age() -> impl Fn(&QueueState) -> Result<Reading> {
    |queue| {
        Ok(Reading {
            value: queue.oldest_age.as_secs_f64(),
            active: queue.backlog > 0,
        })
    }
}

/// How long the backlog takes at the rate of completion, in seconds; active while an item waits.
/// While nothing is completed it is not known, which is an error, as in the server.
pub fn drain_time() -> impl Fn(&QueueState) -> Result<Reading> {
    |queue| {
        let value = match (queue.backlog, queue.completion_rate > 0.0) {
            (0, _) => 0.0,
            (backlog, true) => backlog as f64 / queue.completion_rate,
            (_, false) => {
                let what = "nothing was completed lately";
                return Err(Error::new(Kind::Undetermined, what, ""));
            }
        };
        Ok(Reading {
            value,
            active: queue.backlog > 0,
        })
    }
}

/// A trigger that fails during a part of the time, as while its backend cannot be reached.
pub fn failing<T: Trigger>(from: Duration, until: Duration, trigger: T) -> Failing<T> {
    Failing {
        from,
        until,
        trigger,
    }
}

/// See [`failing`].
#[derive(Clone, Debug)]
pub struct Failing<T> {
    from: Duration,
    until: Duration,
    trigger: T,
}

impl<T: Trigger> Trigger for Failing<T> {
    fn evaluate(&mut self, queue: &QueueState) -> Result<Report> {
        match (self.from..self.until).contains(&queue.time) {
            true => Err(Error::new(Kind::Unreachable, "simulated outage", "")),
            false => self.trigger.evaluate(queue),
        }
    }

    fn observe(&mut self, queue: &QueueState) {
        self.trigger.observe(queue);
    }
}
