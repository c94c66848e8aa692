//! The whole simulation.

mod jobs;
mod scaling;
mod shaping;

use std::time::Duration;

use super::*;
use crate::sampling::Reading;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const NOTHING: Load = Load::Constant(0.0);

/// Workers that take so many seconds for an item.
fn workers(item_time: u64) -> WorkerModel {
    WorkerModel::new(seconds(item_time))
}

/// With a `behavior` that scales down after so many seconds.
fn with_window(min_replica_count: u32, window: u64) -> ScaledObject {
    let mut behavior = Behavior::default();
    behavior.scale_down.stabilization_window = Some(seconds(window));
    ScaledObject {
        min_replica_count,
        behavior: Some(behavior),
        ..ScaledObject::default()
    }
}

/// A trigger whose value is that of a time, in whole seconds, and that is active above 0.
fn value_at(value: impl Fn(u64) -> f64) -> impl Trigger {
    move |queue: &QueueState| {
        let value = value(queue.time.as_secs());
        let active = value > 0.0;
        Ok(Reading { value, active })
    }
}

/// The changes of the replicas: the second of each, and their number from then on.
fn changes(timeline: &Timeline) -> Vec<(u64, u32)> {
    let points = timeline.points.iter();
    let mut changes: Vec<_> = points
        .map(|point| (point.queue.time.as_secs(), point.replicas))
        .collect();
    changes.dedup_by_key(|(_, replicas)| *replicas);
    changes
}

fn at(timeline: &Timeline, second: usize) -> &Point {
    &timeline.points[second]
}
