//! How many items arrived between two samples: pure arithmetic.

use std::{fmt, time::Duration};

use crate::sampling::Arrivals;

/// A sample, as far as it says something of arrivals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it was measured, on the clock of its source.
    pub at: Duration,
    /// What the trigger measured, before its shaping.
    pub value: f64,
    /// What was added to the queue, if the backend says it.
    pub arrivals: Option<Arrivals>,
}

/// Where a rate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The backend counts what is added.
    Counted,
    /// The backend measures the rate itself, as an average.
    Reported,
    /// The change of the backlog, and what workers took meanwhile: they had work all the time.
    Estimated,
    /// The change of the backlog alone, or 0 if it fell.
    AtLeast,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Counted => "counted",
            Method::Reported => "reported",
            Method::Estimated => "estimated",
            Method::AtLeast => "at-least",
        })
    }
}

/// Why a rate is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The backend's count fell, or is of other parts than before.
    BeganAnew,
    /// The queue could not be read in between, and the backend's rate is an average of less time.
    NotRead,
    /// The trigger reports a time, and the backend no arrivals.
    NoBacklog,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unknown::BeganAnew => {
                "the backend counts anew, or other partitions: what arrived is not known"
            }
            Unknown::NotRead => "the queue was not read, and its rate is not known",
            Unknown::NoBacklog => "the sample says nothing of arrivals",
        })
    }
}

/// The time between two samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The earlier sample.
    pub from: Sample,
    /// The time of the later one.
    pub until: Duration,
    /// Items per second, and where that comes from.
    pub rate: Result<(f64, Method), Unknown>,
}

/// Turns samples into rates.
pub struct Estimator {
    /// Whether values are backlogs.
    is_backlog: bool,
    /// How many items per second the workers take while there are enough.
    capacity: Option<f64>,
    last: Option<Sample>,
    /// A read has failed since.
    has_failed: bool,
}

/// Times of the same sample differ by what clocks are adjusted by.
const SAME: Duration = Duration::from_millis(100);

impl Estimator {
    pub fn new(is_backlog: bool, capacity: Option<f64>) -> Self {
        Estimator {
            is_backlog,
            capacity,
            last: None,
            has_failed: false,
        }
    }

    /// A read has failed.
    pub fn failed(&mut self) {
        self.has_failed = true;
    }

    /// Adds a sample. `None`: it is the first one, or that of before.
    pub fn add(&mut self, sample: Sample) -> Option<Interval> {
        let Some(from) = self.last else {
            self.last = Some(sample);
            return None;
        };
        if sample.at < from.at + SAME {
            return None;
        }
        let interval = Interval {
            from,
            until: sample.at,
            rate: self.rate(&from, &sample),
        };
        self.last = Some(sample);
        self.has_failed = false;
        Some(interval)
    }

    fn rate(&self, from: &Sample, until: &Sample) -> Result<(f64, Method), Unknown> {
        let seconds = (until.at - from.at).as_secs_f64();
        match (from.arrivals, until.arrivals) {
            (
                Some(Arrivals::Total { items: a, parts: p }),
                Some(Arrivals::Total { items: b, parts: q }),
            ) => match b.checked_sub(a) {
                Some(items) if p == q => Ok((items as f64 / seconds, Method::Counted)),
                _ => Err(Unknown::BeganAnew),
            },
            (_, Some(Arrivals::PerSecond(_))) if self.has_failed => Err(Unknown::NotRead),
            (_, Some(Arrivals::PerSecond(rate))) => Ok((rate, Method::Reported)),
            _ if !self.is_backlog => Err(Unknown::NoBacklog),
            _ => Ok(self.by_backlog(from.value, until.value, seconds)),
        }
    }

    fn by_backlog(&self, from: f64, until: f64, seconds: f64) -> (f64, Method) {
        let grown = (until - from) / seconds;
        match self.capacity {
            // Where nothing waits, workers may have been idle, and so while nobody has looked.
            Some(taken) if from > 0.0 && until > 0.0 && !self.has_failed => {
                ((grown + taken).max(0.0), Method::Estimated)
            }
            _ => (grown.max(0.0), Method::AtLeast),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, value: f64, arrivals: Option<Arrivals>) -> Sample {
        let at = Duration::from_secs(at);
        Sample {
            at,
            value,
            arrivals,
        }
    }

    fn rate(capacity: Option<f64>, from: Sample, until: Sample) -> Result<(f64, Method), Unknown> {
        let mut estimator = Estimator::new(true, capacity);
        assert_eq!(estimator.add(from), None);
        estimator.add(until).expect("is a newer sample").rate
    }

    const fn total(items: u64, parts: usize) -> Option<Arrivals> {
        Some(Arrivals::Total { items, parts })
    }

    #[test]
    fn what_the_backend_counts_is_the_rate_whatever_the_backlog() {
        let counted = |a, b| rate(Some(1.0), sample(0, 90.0, a), sample(10, 0.0, b));
        assert_eq!(
            counted(total(5, 3), total(45, 3)),
            Ok((4.0, Method::Counted))
        );
        // A topic that was created again, one with another partition.
        assert_eq!(counted(total(5, 3), total(4, 3)), Err(Unknown::BeganAnew));
        assert_eq!(counted(total(5, 3), total(45, 4)), Err(Unknown::BeganAnew));
        let reported = Some(Arrivals::PerSecond(2.5));
        assert_eq!(counted(None, reported), Ok((2.5, Method::Reported)));
    }

    #[test]
    fn a_backlog_is_a_lower_bound_and_with_busy_workers_an_estimate() {
        for (capacity, from, until, then) in [
            (None, 10.0, 30.0, (2.0, Method::AtLeast)),
            (None, 30.0, 10.0, (0.0, Method::AtLeast)),
            (Some(3.0), 10.0, 30.0, (5.0, Method::Estimated)),
            (Some(3.0), 30.0, 10.0, (1.0, Method::Estimated)),
            // More was taken than the workers can: the estimate is no less than nothing.
            (Some(1.0), 30.0, 10.0, (0.0, Method::Estimated)),
            // Idle workers are not known of.
            (Some(3.0), 0.0, 20.0, (2.0, Method::AtLeast)),
            (Some(3.0), 20.0, 0.0, (0.0, Method::AtLeast)),
        ] {
            let found = rate(capacity, sample(0, from, None), sample(10, until, None));
            assert_eq!(found, Ok(then), "{capacity:?}: {from} → {until}");
        }
    }

    #[test]
    fn the_count_spans_an_outage_and_a_rate_does_not() {
        for (first, second, then) in [
            (total(0, 1), total(600, 1), Ok((10.0, Method::Counted))),
            (
                Some(Arrivals::PerSecond(9.0)),
                Some(Arrivals::PerSecond(1.0)),
                Err(Unknown::NotRead),
            ),
        ] {
            let mut estimator = Estimator::new(true, None);
            estimator.add(sample(0, 0.0, first));
            estimator.failed();
            let interval = estimator.add(sample(60, 0.0, second)).unwrap();
            assert_eq!(interval.rate, then);
            // The next one is as usual.
            let interval = estimator.add(sample(70, 0.0, second)).unwrap();
            assert!(interval.rate.is_ok());
        }
    }

    #[test]
    fn workers_may_have_been_idle_during_an_outage() {
        let mut estimator = Estimator::new(true, Some(3.0));
        estimator.add(sample(0, 10.0, None));
        estimator.failed();
        let interval = estimator.add(sample(10, 30.0, None)).unwrap();
        assert_eq!(interval.rate, Ok((2.0, Method::AtLeast)));
        let interval = estimator.add(sample(20, 30.0, None)).unwrap();
        assert_eq!(interval.rate, Ok((3.0, Method::Estimated)));
    }

    #[test]
    fn the_same_sample_is_none_and_a_time_is_no_backlog() {
        let mut estimator = Estimator::new(false, None);
        estimator.add(sample(1, 5.0, None));
        let again = Sample {
            at: Duration::from_millis(1_010),
            ..sample(1, 5.0, None)
        };
        assert_eq!(estimator.add(again), None);
        let interval = estimator.add(sample(2, 9.0, None)).unwrap();
        assert_eq!(interval.rate, Err(Unknown::NoBacklog));
    }
}
