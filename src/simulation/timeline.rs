//! What a simulation yields: a point for each second, and a summary.

use std::{iter, time::Duration};

use super::{queue::QueueState, triggers::Report, waits::WaitPercentiles};

/// The course of a simulation.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    /// One point for each second, the start and the end included.
    pub points: Vec<Point>,
    /// What it comes to.
    pub summary: Summary,
}

/// What was at a time, after KEDA and the HPA have scaled.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The queue, and the time since the start.
    pub queue: QueueState,
    /// The replicas that the metrics led to in the HPA's last sync, before windows, policies and
    /// bounds. `None`: it was off, its metrics failed, or there is none, as for a ScaledJob.
    pub wanted: Option<u32>,
    /// The replicas of the scale target, or the jobs that are not finished.
    pub replicas: u32,
    /// The workers that take items.
    pub ready: u32,
    /// Items that were interrupted since the start.
    pub interrupted: u64,
    /// The last result of each trigger.
    pub triggers: Vec<TriggerPoint>,
}

/// The last result of a trigger. Without values before its first call, and after an error.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TriggerPoint {
    /// The value that it measured.
    pub raw_value: Option<f64>,
    /// The value that KEDA got.
    pub reported_value: Option<f64>,
    /// Whether it was active.
    pub active: bool,
}

impl TriggerPoint {
    pub(super) fn of(report: &Report) -> Self {
        TriggerPoint {
            raw_value: Some(report.raw_value),
            reported_value: Some(report.reading.value),
            active: report.reading.active,
        }
    }
}

/// What a simulation comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// From the last arrival until nothing waits and nothing is in hand. `None`: not within the
    /// simulated time.
    pub time_to_drain: Option<Duration>,
    /// The longest that an item waited for a worker.
    pub max_age: Duration,
    /// How long items waited for a worker.
    pub waits: WaitPercentiles,
    /// The largest backlog.
    pub max_backlog: u64,
    /// The largest number of replicas.
    pub max_replicas: u32,
    /// How often the number of replicas grew.
    pub scale_ups: u32,
    /// How often it shrank.
    pub scale_downs: u32,
    /// How often it grew after it had shrunk: workers that were removed too early.
    pub flaps: u32,
    /// How long workers existed, added up, in seconds; from creation until they were gone.
    pub worker_seconds: f64,
    /// Items that were interrupted.
    pub interrupted: u64,
    /// Items that were completed.
    pub completed: u64,
}

impl Summary {
    /// Of points from the start to the end, and the replicas before the first. The waits and
    /// `worker_time` are exact, which points are not: a short wait may be between two of them.
    pub(super) fn of(
        points: &[Point],
        initial_replicas: u32,
        (max_age, waits): (Duration, WaitPercentiles),
        worker_time: Duration,
    ) -> Self {
        let last = points.last();
        let after = || points.iter().map(|point| point.replicas);
        let changes = || iter::once(initial_replicas).chain(after()).zip(after());
        let scale_ups = changes().filter(|(before, after)| after > before);
        let scale_downs = changes().filter(|(before, after)| after < before);
        Summary {
            time_to_drain: time_to_drain(points),
            max_age,
            waits,
            max_backlog: largest(points, |point| point.queue.backlog),
            max_replicas: largest(points, |point| point.replicas),
            scale_ups: scale_ups.count() as u32,
            scale_downs: scale_downs.count() as u32,
            flaps: flaps(changes()),
            worker_seconds: worker_time.as_secs_f64(),
            interrupted: last.map_or(0, |point| point.interrupted),
            completed: last.map_or(0, |point| point.queue.completed),
        }
    }
}

fn largest<N: Ord + Default>(points: &[Point], number: impl Fn(&Point) -> N) -> N {
    points.iter().map(number).max().unwrap_or_default()
}

fn time_to_drain(points: &[Point]) -> Option<Duration> {
    let all = points.last()?.queue.arrived;
    let last_arrival = points.iter().position(|point| point.queue.arrived == all)?;
    let after = &points[last_arrival..];
    let drained = after
        .iter()
        .find(|point| point.queue.backlog == 0 && point.queue.in_flight == 0)?;
    Some(drained.queue.time - points[last_arrival].queue.time)
}

fn flaps(changes: impl Iterator<Item = (u32, u32)>) -> u32 {
    let (mut flaps, mut has_shrunk) = (0, false);
    for (before, after) in changes {
        if after > before && has_shrunk {
            flaps += 1;
        }
        if after != before {
            has_shrunk = after < before;
        }
    }
    flaps
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: (Duration, WaitPercentiles) = (
        Duration::ZERO,
        WaitPercentiles {
            p50: Duration::ZERO,
            p95: Duration::ZERO,
            p99: Duration::ZERO,
        },
    );

    /// A point of each second, with so many items arrived and left, and replicas.
    fn points(all: &[(u64, u64, u32)]) -> Vec<Point> {
        let points = all.iter().enumerate().map(|(second, point)| {
            let (arrived, backlog, replicas) = *point;
            Point {
                queue: QueueState {
                    time: Duration::from_secs(second as u64),
                    arrived,
                    backlog,
                    ..QueueState::default()
                },
                wanted: None,
                replicas,
                ready: replicas,
                interrupted: 0,
                triggers: Vec::new(),
            }
        });
        points.collect()
    }

    #[test]
    fn a_flap_is_growth_after_it_has_shrunk() {
        for (given, replicas, (ups, downs, flaps)) in [
            ("nothing", [2, 2, 2, 2, 2], (0, 0, 0)),
            ("at the start", [3, 3, 3, 3, 3], (1, 0, 0)),
            ("up and down", [3, 5, 5, 2, 1], (2, 2, 0)),
            ("down and up", [1, 1, 2, 3, 3], (2, 1, 1)),
            ("to and fro", [3, 2, 3, 2, 3], (3, 2, 2)),
        ] {
            let points = points(&replicas.map(|replicas| (0, 0, replicas)));
            let summary = Summary::of(&points, 2, WAITS, Duration::ZERO);
            let found = (summary.scale_ups, summary.scale_downs, summary.flaps);
            assert_eq!(found, (ups, downs, flaps), "{given}");
        }
    }

    #[test]
    fn a_queue_drains_from_the_last_arrival_on() {
        for (given, all, then) in [
            (
                "drained",
                [(1, 0, 1), (4, 4, 1), (4, 2, 1), (4, 0, 1)],
                Some(2),
            ),
            (
                "not yet",
                [(1, 0, 1), (4, 4, 1), (4, 2, 1), (4, 1, 1)],
                None,
            ),
            ("nothing came", [(0, 0, 1); 4], Some(0)),
        ] {
            let summary = Summary::of(&points(&all), 1, WAITS, Duration::ZERO);
            let then = then.map(Duration::from_secs);
            assert_eq!(summary.time_to_drain, then, "{given}");
        }
    }
}
