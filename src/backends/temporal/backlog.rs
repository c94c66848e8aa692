//! What a query counted.

use std::time::Duration;

use super::query::{Query, QueueType};
use crate::sampling::BatchQuery;

/// One query of a batch.
pub type PendingQuery = BatchQuery<Query, Backlog>;

/// What a query counted: tasks by type, and what else is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backlog {
    /// By [`QueueType`].
    types: [TaskStats; 3],
    /// Workflows that run, whether or not a task waits.
    pub running: RunningWorkflows,
    /// Work that is taken and not finished; 0, if its number was not requested.
    pub in_flight: u64,
}

/// The statistics of one or several task queues of a type.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TaskStats {
    /// Tasks that wait.
    pub backlog: u64,
    /// For how long the oldest of them has waited. Zero, if none waits, or if the server does not
    /// say.
    pub age: Duration,
    /// Tasks that go to workers each second, of the backlog and past it: the server's average of
    /// 30 s.
    pub dispatch_rate: f64,
    /// Tasks that are added each second, those that go straight to a worker included: the server's
    /// average of 30 s.
    pub add_rate: f64,
    /// A worker polled in the last moments, as far as the response says.
    pub polled: bool,
}

/// Whether work is under way that the backlog does not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunningWorkflows {
    /// Not requested, or not needed: the backlog alone keeps the trigger active.
    #[default]
    NotCounted,
    /// This many, at least.
    AtLeast(u64),
    /// The version has pinned workflows that have not ended.
    Draining,
}

impl Backlog {
    /// Adds the statistics of another task queue.
    pub fn add(&mut self, queue_type: QueueType, stats: TaskStats) {
        let sum = &mut self.types[queue_type as usize];
        sum.backlog = sum.backlog.saturating_add(stats.backlog);
        sum.age = sum.age.max(stats.age);
        sum.dispatch_rate += stats.dispatch_rate;
        sum.add_rate += stats.add_rate;
        sum.polled |= stats.polled;
    }

    /// The statistics of a type.
    pub fn of(&self, queue_type: QueueType) -> &TaskStats {
        &self.types[queue_type as usize]
    }

    /// All tasks that wait.
    pub fn total(&self) -> u64 {
        let backlogs = self.types.iter().map(|stats| stats.backlog);
        backlogs.fold(0, u64::saturating_add)
    }

    /// The tasks of all types that are added each second.
    pub fn add_rate(&self) -> f64 {
        self.types.iter().map(|stats| stats.add_rate).sum()
    }

    /// For how long the oldest task of all has waited.
    pub fn age(&self) -> Duration {
        let ages = self.types.iter().map(|stats| stats.age);
        ages.max().unwrap_or_default()
    }

    /// Whether a worker polled in the last moments, as far as the responses say.
    pub fn is_polled(&self) -> bool {
        self.types.iter().any(|stats| stats.polled)
    }
}

impl RunningWorkflows {
    /// Whether they keep a trigger active.
    pub fn keep_active(self) -> bool {
        match self {
            RunningWorkflows::NotCounted => false,
            RunningWorkflows::AtLeast(workflows) => workflows > 0,
            RunningWorkflows::Draining => true,
        }
    }
}
