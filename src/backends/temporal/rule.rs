//! How a trigger evaluates what was counted.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    backlog::{Backlog, TaskStats},
    query::QueueType,
};
use crate::{
    error::{Error, Kind, Result},
    metadata::values::Activation,
    sampling::{Arrivals, Reading, Rule},
};

/// The value is the backlog; active above the activation threshold, or while workflows run.
#[derive(Clone, Copy, Debug)]
pub struct BacklogRule {
    pub activation: Activation,
}

impl Rule<Backlog> for BacklogRule {
    fn judge(&self, backlog: &Backlog, _: Instant, _: Instant) -> Reading {
        let total = backlog.total();
        Reading {
            value: total as f64,
            active: total > self.activation.0 || backlog.running.keep_active(),
        }
    }

    /// The largest age: a type or a queue that nobody works on must show beside others.
    fn age(&self, backlog: &Backlog, _: Instant) -> Result<Duration> {
        let (total, age) = (backlog.total(), backlog.age());
        match total > 0 && age.is_zero() {
            true => Err(age_unknown(total)),
            false => Ok(age),
        }
    }

    /// The largest of the types, each of which is the backlog of all queues by the rate of all.
    ///
    /// Over queues it is the sums that count: one trigger stands for one fleet of workers, whose
    /// capacity goes where tasks are, and a task that comes to a shard which was idle for half a
    /// minute has no rate of its own. Types are apart, as workers have separate slots for each: a
    /// workflow task takes milliseconds, and the rate of many would hide that activities take
    /// minutes.
    fn drain_time(&self, backlog: &Backlog, _: Instant) -> Result<Duration> {
        let mut longest = Duration::ZERO;
        for queue_type in QueueType::ALL {
            longest = longest.max(drain_time(queue_type, backlog.of(queue_type))?);
        }
        Ok(longest)
    }

    fn in_flight(&self, backlog: &Backlog) -> u64 {
        backlog.in_flight
    }

    fn arrivals(&self, backlog: &Backlog) -> Option<Arrivals> {
        Some(Arrivals::PerSecond(backlog.add_rate()))
    }
}

fn drain_time(queue_type: QueueType, stats: &TaskStats) -> Result<Duration> {
    if stats.backlog == 0 {
        return Ok(Duration::ZERO);
    }
    if stats.dispatch_rate <= 0.0 {
        return Err(not_dispatched(queue_type, stats));
    }
    let seconds = stats.backlog as f64 / stats.dispatch_rate;
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// A server counts the tasks that are stored, and knows the age of those that it has read from
/// there (`BacklogStatsByPriority` in its `pri_backlog_manager.go`).
fn age_unknown(tasks: u64) -> Error {
    Error::new(
        Kind::Undetermined,
        format!("{tasks} tasks wait, and the server does not say yet for how long"),
        "Wait for the next sample: a server that has just loaded a task queue may have yet to read \
         its tasks.",
    )
}

fn not_dispatched(queue_type: QueueType, stats: &TaskStats) -> Error {
    let age = match stats.age.as_secs() {
        0 => String::new(),
        seconds => format!(" (the oldest has waited for {seconds} s)"),
    };
    Error::new(
        Kind::Undetermined,
        format!(
            "{} {queue_type} tasks wait{age}, and the server has dispatched none in the last 30 s, so \
             that their drain time is not known",
            stats.backlog
        ),
        "Check that workers poll the task queue. A trigger with `signal: backlog` beside this one \
         starts the first of them.",
    )
}

#[cfg(test)]
mod tests;
