//! How much groups commit: the rate at which a backlog shrinks.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    query::{Partition, Progress, Query},
    recent::{Recent, Remembered},
};

/// The time over which the rate is measured. Consumers commit every 5 s by default
/// (`auto.commit.interval.ms`), so that a rate over a much shorter time would go up and down.
const WINDOW: Duration = Duration::from_secs(60);
/// A rate over less than this says nothing.
const SHORTEST: Duration = Duration::from_secs(10);
/// Points are not closer to each other, but for the newest.
const SHORTEST_GAP: Duration = Duration::from_secs(1);

/// How much the groups of one cluster commit, by query: the rate is that of the partitions whose lag
/// is measured.
#[derive(Default)]
pub struct ProgressTracker(Mutex<Recent<Query, Group>>);

#[derive(Default)]
struct Group {
    /// Where the group was last.
    committed: HashMap<(Arc<str>, i32), i64>,
    history: CommitHistory,
}

impl Remembered for Group {
    fn partitions(&self) -> usize {
        self.committed.len()
    }
}

/// Messages committed since the beginning: at most one point a second of the window, and one before.
#[derive(Default)]
struct CommitHistory {
    total: u64,
    points: VecDeque<(Instant, u64)>,
}

impl ProgressTracker {
    /// Records where a group is in the partitions of a query, all read at `at`, and returns how much
    /// it has committed lately.
    pub fn record(&self, query: &Query, partitions: &[Partition], at: Instant) -> Progress {
        let mut groups = self.0.lock();
        groups.update(query.clone(), at, Group::default, |group, last| {
            // Batches overlap: one that began earlier and ends later says nothing new.
            if at > last || group.history.is_empty() {
                let progress = group.advance(partitions);
                group.history.add(progress, at);
            }
            group.history.progress()
        })
    }

    /// Whether all of it can be evicted.
    pub fn is_idle(&self) -> bool {
        self.0.lock().is_idle()
    }
}

impl Group {
    /// Takes where the group is now, and returns how many messages it has committed since. What it
    /// has not been seen in before counts nothing, nor does a reset; and what retention deleted was
    /// not read.
    fn advance(&mut self, partitions: &[Partition]) -> u64 {
        let mut progress = 0_u64;
        let mut now = HashMap::with_capacity(partitions.len());
        for partition in partitions {
            let Some(committed) = partition.committed else {
                continue;
            };
            let key = (partition.topic.clone(), partition.partition);
            if let Some(before) = self.committed.get(&key) {
                let before = (*before).max(partition.start);
                let read = committed.offset.saturating_sub(before).max(0);
                progress = progress.saturating_add(read.unsigned_abs());
            }
            now.insert(key, committed.offset);
        }
        self.committed = now;
        progress
    }
}

impl CommitHistory {
    fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    fn add(&mut self, progress: u64, at: Instant) {
        self.total = self.total.saturating_add(progress);
        let points = &mut self.points;
        let is_close = points.len() >= 2 && {
            let (last, before) = (points[points.len() - 1].0, points[points.len() - 2].0);
            last.saturating_duration_since(before) < SHORTEST_GAP
        };
        if is_close {
            points.pop_back();
        }
        points.push_back((at, self.total));
        // The window begins at the last point that is not in it.
        while points.len() > 2 && at.saturating_duration_since(points[1].0) >= WINDOW {
            points.pop_front();
        }
    }

    fn progress(&self) -> Progress {
        let (Some((first, before)), Some((last, total))) =
            (self.points.front(), self.points.back())
        else {
            let seen_for = Duration::ZERO;
            return Progress::TooShort { seen_for };
        };
        let within = last.saturating_duration_since(*first);
        match within < SHORTEST {
            true => Progress::TooShort { seen_for: within },
            false => Progress::Committed {
                messages: total.saturating_sub(*before),
                within,
            },
        }
    }
}

#[cfg(test)]
mod tests;
