//! When partitions ended where: how long a group's next message has waited, without reading it.
//!
//! As lag exporters do it (the lookup table of kafka-lag-exporter), with two exceptions: nothing is
//! extrapolated beyond what was seen, and the table reaches back to its beginning, with points that
//! are farther apart the older they are.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    eviction::{Eviction, is_kept},
    query::{Isolation, Partition, Waiting},
};
use crate::error::{Error, Kind, Result};

/// Points of a partition. A table of a hundred that is read every 2 s has gaps of at most an eighth
/// of their age after a day, and a seventh after three.
const MOST_POINTS: usize = 100;
/// Points are not closer to each other, but for the newest.
const SHORTEST_GAP: u64 = 1_000;
/// Batches overlap, so that an end may come in after a newer one. One that is below the last is
/// that, unless the last is older than any read takes: then the partition was created again.
const OVERTAKEN: u64 = 5_000;
/// Partitions of a connection, with up to 1.6 KB each.
const MOST_PARTITIONS: usize = 50_000;

/// Partitions of one query: a single trigger leaves room for the others of its cluster.
const MOST_OF_QUERY: usize = 5_000;

/// The ends of the partitions of one cluster. All its groups share them.
pub struct EndTracker {
    epoch: Instant,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    tables: HashMap<(Arc<str>, i32, Isolation), Table>,
    eviction: Eviction,
}

struct Table {
    updated: Instant,
    ends: EndHistory,
}

/// Where a partition ended when, in ms: both in ascending order.
#[derive(Default)]
struct EndHistory(Vec<Point>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    end: i64,
    at: u64,
}

impl Default for EndTracker {
    fn default() -> Self {
        EndTracker {
            epoch: Instant::now(),
            tables: Mutex::default(),
        }
    }
}

impl EndTracker {
    /// Records where partitions end, all read at `at`, and sets for how long the group's next
    /// message has waited in each.
    pub fn record(
        &self,
        isolation: Isolation,
        partitions: &mut [Partition],
        at: Instant,
    ) -> Result<()> {
        if partitions.len() > MOST_OF_QUERY {
            return Err(too_many("a query", MOST_OF_QUERY));
        }
        let mut all = self.tables.lock();
        let Tables { tables, eviction } = &mut *all;
        if eviction.is_due(at) {
            tables.retain(|_, table| is_kept(table.updated, at));
        }
        let now = self.milliseconds(at);
        for partition in partitions {
            let key = (partition.topic.clone(), partition.partition, isolation);
            if tables.len() >= MOST_PARTITIONS && !tables.contains_key(&key) {
                return Err(too_many("a cluster", MOST_PARTITIONS));
            }
            let new = || Table {
                updated: at,
                ends: EndHistory::default(),
            };
            let table = tables.entry(key).or_insert_with(new);
            table.updated = at;
            table.ends.add(partition.end, now);
            partition.waiting = Some(table.ends.waiting(partition.position(), partition.end, now));
        }
        Ok(())
    }

    fn milliseconds(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX)
    }

    /// Whether all of it can be evicted.
    pub fn is_idle(&self) -> bool {
        let tables = self.tables.lock();
        let mut tables = tables.tables.values();
        tables.all(|table| !is_kept(table.updated, Instant::now()))
    }
}

impl EndHistory {
    /// Adds where the partition ends now.
    fn add(&mut self, end: i64, at: u64) {
        let points = &mut self.0;
        let new = Point { end, at };
        match *points.as_slice() {
            [.., last] if at <= last.at => {}
            [.., last] if end < last.end => {
                if at - last.at > OVERTAKEN {
                    points.clear();
                    points.push(new);
                }
            }
            // What does not move needs its first and its last point.
            [.., before, _] if before.end == end || at - before.at < SHORTEST_GAP => {
                let newest = points.len() - 1;
                points[newest] = new;
            }
            _ => {
                points.push(new);
                if points.len() > MOST_POINTS {
                    self.thin();
                }
            }
        }
    }

    /// Removes the point whose absence leaves the smallest gap for its age.
    fn thin(&mut self) {
        let Some(last) = self.0.last().copied() else {
            return;
        };
        let around = self.0.windows(3).map(|around| {
            let (gap, age) = (around[2].at - around[0].at, last.at - around[0].at);
            gap as f64 / age as f64
        });
        let smallest = around.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b));
        if let Some((before, _)) = smallest {
            self.0.remove(before + 1);
        }
    }

    /// For how long the message at `next` has waited, at a time when the partition ends at `end`.
    fn waiting(&self, next: i64, end: i64, at: u64) -> Waiting {
        let since = |time: u64| Duration::from_millis(at.saturating_sub(time));
        if next >= end {
            return Waiting::For(Duration::ZERO);
        }
        let points = &self.0;
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return Waiting::AtLeast(Duration::ZERO);
        };
        if last.end > end {
            // An end that goes back: nothing of before counts.
            return Waiting::AtLeast(Duration::ZERO);
        }
        let after = points.partition_point(|point| point.end <= next);
        let Some(before) = after.checked_sub(1).map(|before| points[before]) else {
            return Waiting::AtLeast(since(first.at));
        };
        let Some(after) = points.get(after) else {
            return Waiting::For(since(last.at));
        };
        // The message came while the end went from one point to the other. If there is but one
        // message between them, then it came in the middle, as far as is known.
        let (all, part) = (
            after.end as f64 - before.end as f64,
            next as f64 - before.end as f64,
        );
        let part = ((part + 0.5) / all).clamp(0.0, 1.0);
        let came = before.at + ((after.at - before.at) as f64 * part) as u64;
        Waiting::For(since(came.min(after.at)))
    }
}

fn too_many(whose: &str, most: usize) -> Error {
    Error::new(
        Kind::Exhausted,
        format!("the ends of at most {most} partitions of {whose} are remembered"),
        "Use `signal: age` for fewer topics; or `ageFrom: record`, which remembers nothing.",
    )
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
