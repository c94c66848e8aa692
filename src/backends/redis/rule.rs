//! What a trigger makes of a count.

use std::time::Duration;

use tokio::time::Instant;

use super::query::{Count, Progress};
use crate::{
    error::{Error, Kind, Result},
    metadata::values::Activation,
    sampling::{Arrivals, Reading, Rule},
};

/// Over less time than this a rate is chance.
const SHORTEST: Duration = Duration::from_secs(5);

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

    fn drain_time(&self, count: &Count, _: Instant) -> Result<Duration> {
        let Some(progress) = &count.progress else {
            return Err(not_read("drain time"));
        };
        match progress {
            _ if count.waiting == 0 => Ok(Duration::ZERO),
            Progress::NoGroup => Err(undetermined(
                format!(
                    "{} entries wait, and the group does not exist yet, so nothing reads them",
                    count.waiting
                ),
                "Create it (XGROUP CREATE), or start a consumer that does.",
            )),
            Progress::Unknown => Err(undetermined(
                format!(
                    "{} entries wait, and Redis does not know how many entries the group has read, \
                     as after XGROUP SETID or for a group that was created in the middle",
                    count.waiting
                ),
                "It knows again once the group has read the newest entry; create groups at 0 or $.",
            )),
            Progress::Known { over, .. } if *over < SHORTEST => Err(undetermined(
                format!(
                    "{} entries wait, and the group has been observed for {:.1} s only",
                    count.waiting,
                    over.as_secs_f64()
                ),
                format!("The rate is known after {SHORTEST:?}."),
            )),
            Progress::Known { entries: 0, over } => Err(undetermined(
                format!(
                    "{} entries wait, and the group has read nothing for at least {} s",
                    count.waiting,
                    over.as_secs()
                ),
                "Check its consumers; `signal: age` needs no rate.",
            )),
            Progress::Known { entries, over } => {
                let share = count.waiting as f64 / *entries as f64;
                Ok(
                    Duration::try_from_secs_f64(over.as_secs_f64() * share)
                        .unwrap_or(Duration::MAX),
                )
            }
        }
    }

    fn in_flight(&self, count: &Count) -> u64 {
        count.processing
    }

    fn arrivals(&self, count: &Count) -> Option<Arrivals> {
        count.added.map(|items| Arrivals::Total { items, parts: 1 })
    }
}

fn not_read(signal: &str) -> Error {
    let what = format!("the query of this trigger does not read the {signal} that it reports");
    Error::new(Kind::Internal, what, "Report this as a defect.")
}

fn undetermined(what: String, next: impl Into<String>) -> Error {
    Error::new(Kind::Undetermined, what, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: EntryRule = EntryRule {
        activation: Activation(0),
        adds_processing: false,
    };

    fn drain(waiting: u64, progress: Progress) -> Result<Duration> {
        let count = Count {
            waiting,
            progress: Some(progress),
            ..Count::default()
        };
        RULE.drain_time(&count, Instant::now())
    }

    fn known(entries: u64, seconds: f64) -> Progress {
        let over = Duration::from_secs_f64(seconds);
        Progress::Known { entries, over }
    }

    #[test]
    fn the_drain_time_is_the_lag_at_the_rate_of_the_group() {
        for (waiting, progress, seconds) in [
            (100, known(200, 20.0), 10),
            (100, known(1, 60.0), 6_000),
            (0, known(0, 0.0), 0),
            (0, Progress::Unknown, 0),
            (0, Progress::NoGroup, 0),
        ] {
            let found = drain(waiting, progress.clone());
            assert_eq!(found, Ok(Duration::from_secs(seconds)), "{progress:?}");
        }
    }

    #[test]
    fn what_is_known_is_said_where_the_rate_is_not() {
        for (progress, text) in [
            (
                known(9, 3.21),
                "the group has been observed for 3.2 s only. The rate is known after 5s.",
            ),
            (
                known(0, 42.9),
                "the group has read nothing for at least 42 s. Check its consumers",
            ),
            (
                Progress::Unknown,
                "Redis does not know how many entries the group has read",
            ),
            (
                Progress::NoGroup,
                "the group does not exist yet, so nothing reads them",
            ),
        ] {
            let error = drain(7, progress).unwrap_err();
            assert_eq!(error.kind(), Kind::Undetermined);
            let found = error.to_string();
            assert!(found.starts_with("7 entries wait, and "), "{found}");
            assert!(found.contains(text), "{found}");
        }
    }

    #[test]
    fn what_is_not_read_is_a_defect() {
        let (count, now) = (Count::default(), Instant::now());
        for found in [RULE.age(&count, now), RULE.drain_time(&count, now)] {
            assert_eq!(found.unwrap_err().kind(), Kind::Internal);
        }
    }

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
