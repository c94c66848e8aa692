//! Workers that end by themselves: the jobs of a ScaledJob.

use std::{collections::BTreeSet, time::Duration};

use super::{WorkerModel, Workers};
use crate::simulation::{jobs::JobCount, queue::Queue};

/// When a job ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct JobRules {
    /// After so many items.
    pub items: u32,
    /// So many jobs wait for an item where none waits for them; all others end.
    pub waiting: usize,
}

impl Workers {
    /// Jobs that end after so many items, or if they find none; `waiting` of them wait instead.
    pub fn jobs(model: WorkerModel, items: u32, waiting: u32) -> Self {
        Workers {
            jobs: Some(JobRules {
                items: items.max(1),
                waiting: waiting as usize,
            }),
            ..Workers::new(model)
        }
    }

    /// Creates jobs.
    pub fn create_jobs(&mut self, count: u32, queue: &mut Queue, now: Duration) {
        for _ in 0..count {
            self.create(now);
        }
        self.take_items(queue, now);
    }

    /// Those that there are. One is pending until it takes items.
    pub fn job_count(&self) -> JobCount {
        let pending = self.all.values().filter(|worker| !worker.ready);
        JobCount {
            unfinished: self.all.len() as u32,
            pending: pending.count() as u32,
        }
    }

    /// Ends the jobs that have found nothing, which is known once nothing waits for free ones.
    pub(super) fn end_idle_jobs(&mut self, queue: &mut Queue, now: Duration) {
        let Some(JobRules { waiting, .. }) = self.jobs else {
            return;
        };
        let free: BTreeSet<u64> = self.free.iter().copied().collect();
        let is_idle = |id: &u64| self.all.get(id).is_some_and(|job| job.in_hand.is_empty());
        let idle: Vec<u64> = free.into_iter().filter(is_idle).collect();
        for id in idle.into_iter().skip(waiting) {
            self.end(id, queue, now);
        }
        self.free.retain(|id| self.all.contains_key(id));
    }
}
