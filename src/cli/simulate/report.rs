//! What simulations come to.

use std::time::Duration;

use serde::Serialize;

use super::course::Course;
use crate::cli::table;

/// The results, as JSON has them.
#[derive(Serialize)]
pub struct Report {
    simulations: Vec<Row>,
}

/// What one simulation comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub name: String,
    pub items: u64,
    pub completed: u64,
    pub waiting: u64,
    pub interrupted: u64,
    pub wait_seconds: Waits,
    pub largest_backlog: u64,
    pub replicas: Replicas,
    pub replica_hours: f64,
    pub cost: Option<f64>,
    pub changes: u32,
    pub flaps: u32,
    pub seconds_at_max: u64,
    pub seconds_to_drain: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Waits {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replicas {
    pub average: f64,
    pub largest: u32,
}

pub const HEADER: [&str; 13] = [
    "OBJECT",
    "WAIT P50",
    "P95",
    "P99",
    "MAX",
    "LARGEST BACKLOG",
    "REPLICAS",
    "LARGEST",
    "REPLICA-HOURS",
    "COST",
    "CHANGES",
    "AT MAX",
    "COMPLETED",
];

impl Report {
    pub fn new(courses: &[Course], length: Duration, price: Option<f64>) -> Self {
        let rows = courses.iter().map(|course| row(course, length, price));
        Report {
            simulations: rows.collect(),
        }
    }

    pub fn table(&self) -> String {
        table::unwrapped(&HEADER, self.simulations.iter().map(Row::cells))
    }
}

/// The result of one.
pub fn row(course: &Course, length: Duration, price: Option<f64>) -> Row {
    let Course {
        name,
        object,
        timeline,
    } = course;
    let summary = &timeline.summary;
    let last = timeline.points.last();
    let seconds = |time: Duration| time.as_secs_f64();
    let replica_hours = summary.worker_seconds / 3600.0;
    // The first point is the start: each of the others stands for the second before it.
    let after = timeline.points.iter().skip(1);
    let at_max = after.filter(|point| point.replicas >= object.max_replicas());
    Row {
        name: name.clone(),
        items: last.map_or(0, |point| point.queue.arrived),
        completed: summary.completed,
        waiting: last.map_or(0, |point| point.queue.backlog),
        interrupted: summary.interrupted,
        wait_seconds: Waits {
            p50: seconds(summary.waits.p50),
            p95: seconds(summary.waits.p95),
            p99: seconds(summary.waits.p99),
            max: seconds(summary.max_age),
        },
        largest_backlog: summary.max_backlog,
        replicas: Replicas {
            average: summary.worker_seconds / seconds(length).max(1.0),
            largest: summary.max_replicas,
        },
        replica_hours,
        cost: price.map(|price| price * replica_hours),
        changes: summary.scale_ups + summary.scale_downs,
        flaps: summary.flaps,
        seconds_at_max: at_max.count() as u64,
        seconds_to_drain: summary.time_to_drain.map(seconds),
    }
}

impl Row {
    /// Its cells below [`HEADER`].
    pub fn cells(&self) -> [String; 13] {
        let Waits { p50, p95, p99, max } = self.wait_seconds;
        let [p50, p95, p99, max] = [p50, p95, p99, max].map(time);
        let completed = match self.waiting {
            0 => self.completed.to_string(),
            waiting => format!("{} ({waiting} wait)", self.completed),
        };
        [
            self.name.clone(),
            p50,
            p95,
            p99,
            max,
            self.largest_backlog.to_string(),
            format!("{:.1}", self.replicas.average),
            self.replicas.largest.to_string(),
            format!("{:.1}", self.replica_hours),
            self.cost.map_or("-".to_owned(), money),
            self.changes.to_string(),
            time(self.seconds_at_max as f64),
            completed,
        ]
    }
}

/// A cost for people: of small ones, thousandths say something.
pub fn money(cost: f64) -> String {
    match cost < 1.0 {
        true => format!("{cost:.3}"),
        false => format!("{cost:.2}"),
    }
}

/// Seconds for people: `0.4s`, `37s`, `12m5s`, `3h20m`.
pub fn time(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 if seconds == 0.0 => "0s".to_owned(),
        0..10 => format!("{seconds:.1}s"),
        10..60 => format!("{whole}s"),
        60..3600 => format!("{}m{}s", whole / 60, whole % 60),
        _ => format!("{}h{}m", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let times = [0.0, 0.04, 9.4, 59.6, 59.4, 61.0, 3600.0, 12_000.0].map(time);
        let texts = ["0s", "0.0s", "9.4s", "1m0s", "59s", "1m1s", "1h0m", "3h20m"];
        assert_eq!(times, texts);
    }
}
