//! Load curves: how many items arrive per second, over time.

use std::{f64::consts::TAU, time::Duration};

use crate::error::{Error, Kind, Result};

/// How many items arrive per second, as a function of the time since the start.
///
/// Rates are items per second. A rate that is below zero, or not a number, counts as 0.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// The same rate at all times.
    Constant(f64),
    /// One rate before a time, another one from it on.
    Step {
        /// The rate before.
        before: f64,
        /// The rate from `at` on.
        after: f64,
        /// When it changes.
        at: Duration,
    },
    /// A rate that changes evenly from `start` on, for `length`, and then stays.
    Ramp {
        /// The rate until `start`.
        from: f64,
        /// The rate after `start + length`.
        to: f64,
        /// When it begins to change.
        start: Duration,
        /// How long it changes.
        length: Duration,
    },
    /// A rate that rises evenly from `low` to `high` in each period and drops at its end.
    Sawtooth {
        /// The rate at the beginning of a period.
        low: f64,
        /// The rate that is reached at its end.
        high: f64,
        /// The length of a tooth.
        period: Duration,
    },
    /// A rate that swings around its mean: `mean + amplitude × sin(2π × time / period)`.
    Sine {
        /// The rate around which it swings.
        mean: f64,
        /// How far it swings up and down.
        amplitude: f64,
        /// The length of one swing.
        period: Duration,
    },
    /// A rate for a short time, again and again, and nothing in between.
    Bursts {
        /// The rate during a burst.
        rate: f64,
        /// When the first one begins.
        first: Duration,
        /// How long each lasts.
        length: Duration,
        /// The time from the beginning of one to that of the next; [`Duration::MAX`]: there is one.
        every: Duration,
    },
    /// Rates that were measured.
    Points(Points),
    /// Several loads at once.
    Sum(Vec<Load>),
}

/// Rates at given times, to be replayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    rates: Vec<(Duration, f64)>,
    between: Between,
}

/// The rate between two points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// It changes evenly from one point to the next.
    Linear,
    /// It is that of the earlier point until the next one.
    Hold,
}

impl Points {
    /// Times since the start, each with the rate in items per second. Before the first point and
    /// after the last one their rates hold.
    ///
    /// An error of kind [`Kind::Invalid`] if there is no point, if a time is not later than the one
    /// before it, or if a rate is negative or not finite.
    pub fn new(rates: Vec<(Duration, f64)>, between: Between) -> Result<Self> {
        if rates.is_empty() {
            return Err(invalid("the load has no points", "Give at least one."));
        }
        if let Some((_, rate)) = rates.iter().find(|(_, rate)| !is_rate(*rate)) {
            let what = format!("the load has a rate of {rate}");
            return Err(invalid(what, "A rate is a number of items per second."));
        }
        if let Some(pair) = rates.windows(2).find(|pair| pair[1].0 <= pair[0].0) {
            let what = format!("the load has {:?} after {:?}", pair[1].0, pair[0].0);
            return Err(invalid(
                what,
                "Order the points by time, one for each time.",
            ));
        }
        Ok(Points { rates, between })
    }

    /// The time of the last point.
    pub(super) fn end(&self) -> Duration {
        self.rates.last().map_or(Duration::ZERO, |(at, _)| *at)
    }

    fn rate(&self, time: Duration) -> f64 {
        let next = self.rates.partition_point(|(at, _)| *at <= time);
        let Some((start, from)) = next.checked_sub(1).map(|last| self.rates[last]) else {
            return self.rates[0].1;
        };
        match (self.between, self.rates.get(next)) {
            (Between::Linear, Some((end, to))) => {
                let part = (time - start).as_secs_f64() / (*end - start).as_secs_f64();
                from + (to - from) * part
            }
            _ => from,
        }
    }
}

fn invalid(what: impl Into<String>, next: &str) -> Error {
    Error::new(Kind::Invalid, what, next)
}

fn is_rate(rate: f64) -> bool {
    rate.is_finite() && rate >= 0.0
}

impl Load {
    /// The rate at a time, in items per second.
    pub fn rate(&self, time: Duration) -> f64 {
        let rate = match self {
            Load::Constant(rate) => *rate,
            Load::Step { before, after, at } => match time < *at {
                true => *before,
                false => *after,
            },
            Load::Ramp {
                from,
                to,
                start,
                length,
            } => {
                let passed = time.saturating_sub(*start);
                match passed < *length {
                    true => from + (to - from) * passed.as_secs_f64() / length.as_secs_f64(),
                    false => *to,
                }
            }
            Load::Sawtooth { low, high, period } => low + (high - low) * part_of(time, *period),
            Load::Sine {
                mean,
                amplitude,
                period,
            } => mean + amplitude * (TAU * part_of(time, *period)).sin(),
            Load::Bursts {
                rate,
                first,
                length,
                every,
            } => match time.checked_sub(*first) {
                Some(passed) if since_last(passed, *every) < *length => *rate,
                _ => 0.0,
            },
            Load::Points(points) => points.rate(time),
            Load::Sum(loads) => loads.iter().map(|load| load.rate(time)).sum(),
        };
        match is_rate(rate) {
            true => rate,
            false => 0.0,
        }
    }
}

/// The time since the last whole multiple of `period`.
fn since_last(time: Duration, period: Duration) -> Duration {
    match period.is_zero() {
        true => Duration::ZERO,
        false => Duration::from_nanos_u128(time.as_nanos() % period.as_nanos()),
    }
}

/// How much of the current period has passed, from 0 to 1.
fn part_of(time: Duration, period: Duration) -> f64 {
    match period.is_zero() {
        true => 0.0,
        false => since_last(time, period).as_secs_f64() / period.as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn points(between: Between) -> Load {
        let rates = vec![(seconds(10), 4.0), (seconds(20), 8.0), (seconds(30), 0.0)];
        Load::Points(Points::new(rates, between).unwrap())
    }

    #[test]
    fn a_load_has_a_rate_at_each_time() {
        let ramp = Load::Ramp {
            from: 2.0,
            to: 12.0,
            start: seconds(10),
            length: seconds(20),
        };
        let sawtooth = Load::Sawtooth {
            low: 1.0,
            high: 5.0,
            period: seconds(40),
        };
        let sine = Load::Sine {
            mean: 3.0,
            amplitude: 5.0,
            period: seconds(40),
        };
        let step = Load::Step {
            before: 1.0,
            after: 7.0,
            at: seconds(10),
        };
        let bursts = |every| Load::Bursts {
            rate: 9.0,
            first: seconds(10),
            length: seconds(5),
            every,
        };
        for (given, load, rates) in [
            ("constant", Load::Constant(3.0), [3.0, 3.0, 3.0, 3.0, 3.0]),
            ("below zero", Load::Constant(-3.0), [0.0; 5]),
            ("no number", Load::Constant(f64::NAN), [0.0; 5]),
            ("step", step, [1.0, 7.0, 7.0, 7.0, 7.0]),
            ("ramp", ramp, [2.0, 2.0, 7.0, 12.0, 12.0]),
            ("sawtooth", sawtooth, [1.0, 2.0, 3.0, 4.0, 1.0]),
            ("sine, at least 0", sine, [3.0, 8.0, 3.0, 0.0, 3.0]),
            (
                "one burst",
                bursts(Duration::MAX),
                [0.0, 9.0, 0.0, 0.0, 0.0],
            ),
            ("bursts", bursts(seconds(20)), [0.0, 9.0, 0.0, 9.0, 0.0]),
            ("linear", points(Between::Linear), [4.0, 4.0, 8.0, 0.0, 0.0]),
            ("held", points(Between::Hold), [4.0, 4.0, 8.0, 0.0, 0.0]),
            (
                "a sum",
                Load::Sum(vec![Load::Constant(1.0), bursts(seconds(20))]),
                [1.0, 10.0, 1.0, 10.0, 1.0],
            ),
        ] {
            let found = [0, 10, 20, 30, 40].map(|time| load.rate(seconds(time)));
            let differences = found.iter().zip(&rates).map(|(a, b)| (a - b).abs());
            assert!(
                differences.fold(0.0, f64::max) < 1e-9,
                "{given}: {found:?}, not {rates:?}"
            );
        }
        assert_eq!(points(Between::Linear).rate(seconds(15)), 6.0);
        assert_eq!(points(Between::Hold).rate(seconds(15)), 4.0);
    }

    #[test]
    fn points_are_checked() {
        for (given, rates, text) in [
            ("none", vec![], "the load has no points. Give at least one."),
            (
                "a negative rate",
                vec![(seconds(1), -1.0)],
                "the load has a rate of -1. A rate is a number of items per second.",
            ),
            (
                "the same time twice",
                vec![(seconds(1), 1.0), (seconds(1), 2.0)],
                "the load has 1s after 1s. Order the points by time, one for each time.",
            ),
        ] {
            let error = Points::new(rates, Between::Hold).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{given}");
            assert_eq!(error.to_string(), text, "{given}");
        }
    }
}
