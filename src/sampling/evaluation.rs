//! The result of evaluating a trigger.

use std::time::Duration;

use super::backend::{Arrivals, Reading};
use crate::error::Error;

/// The result of a trigger.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Value and activity.
    pub reading: Reading,
    /// How much work is taken and not finished.
    pub(super) in_flight: u64,
    /// How many consumers can have work at most, where the sample says it.
    pub most_consumers: Option<usize>,
    /// What was added to the queue, where the sample says it.
    pub arrivals: Option<Arrivals>,
    /// What the trigger's keys made of its reading; `None`: it has no such keys.
    pub shaped: Option<Shaped>,
    /// How old the sample is. Where there is none (`onOutage: value:N`), how long there has been
    /// none.
    pub age: Duration,
    /// Why no newer sample could be had, if this one is stale.
    pub stale: Option<Error>,
}

/// How a reading came about that is not, or may not be, that of its sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Shaped {
    /// The value of the sample; `None`: there is no sample.
    pub raw_value: Option<f64>,
    /// The keys of the trigger that changed the reading.
    pub by: Vec<&'static str>,
}
