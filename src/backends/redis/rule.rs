//! What a trigger makes of a count.

use std::time::Duration;

use tokio::time::Instant;

use super::query::Count;
use crate::{
    error::{Error, Kind, Result},
    metadata::values::Activation,
    sampling::{Reading, Rule},
};

/// The value is the count, and the trigger is active above its activation threshold.
#[derive(Clone, Copy, Debug)]
pub struct EntryRule {
    /// The trigger is active above this many entries.
    pub activation: Activation,
    /// Whether what is taken and not finished is part of the value.
    pub adds_processing: bool,
}

impl Rule<Count> for EntryRule {
    fn judge(&self, count: &Count, _: Instant, _: Instant) -> Reading {
        let total = match self.adds_processing {
            true => count.waiting.saturating_add(count.processing),
            false => count.waiting,
        };
        Reading {
            value: total as f64,
            active: total > self.activation.0,
        }
    }

    fn age(&self, count: &Count, _: Instant) -> Result<Duration> {
        count.age.clone().unwrap_or_else(|| Err(not_read("age")))
    }

    fn in_flight(&self, count: &Count) -> u64 {
        count.processing
    }
}

fn not_read(signal: &str) -> Error {
    let what = format!("the query of this trigger does not read the {signal} that it reports");
    Error::new(Kind::Internal, what, "Report this as a defect.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_added_where_that_is_wanted_and_in_flight_in_any_case() {
        let count = Count {
            waiting: 3,
            processing: 4,
            ..Count::default()
        };
        for (adds_processing, value) in [(true, 7.0), (false, 3.0)] {
            let rule = EntryRule {
                activation: Activation(3),
                adds_processing,
            };
            let now = Instant::now();
            let Reading {
                value: found,
                active,
            } = rule.judge(&count, now, now);
            assert_eq!((found, active), (value, adds_processing));
            assert_eq!(rule.in_flight(&count), 4);
        }
    }
}
