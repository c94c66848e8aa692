//! How a trigger evaluates lag: KEDA's rules.

use std::time::Duration;

use tokio::time::Instant;

use super::query::{Partition, Progress, Sample, Waiting};
use crate::{
    error::{Error, Kind, Result},
    metadata::values::{Activation, Target},
    sampling::{Arrivals, Reading, Rule},
};

/// Where a group starts that has committed nothing: Kafka's `auto.offset.reset`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// It will read nothing that is there now, but must run once to commit: counts 1.
    #[default]
    Latest,
    /// It will read all that retention left.
    Earliest,
}

/// How a trigger evaluates a sample: KEDA's rules (`kafka_scaler.go`, `getLagForPartition` and
/// `getTotalLag`), with the exceptions that the README lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LagRule {
    pub threshold: Target,
    pub activation: Activation,
    pub reset: OffsetReset,
    /// A partition without a commit counts 0.
    pub zero_without_commit: bool,
    /// No cap at the number of partitions.
    pub allow_idle_consumers: bool,
    /// The cap is the number of partitions that have lag.
    pub limit_to_partitions_with_lag: bool,
    /// The value becomes a number of replicas that divides the partitions evenly.
    pub ensure_even_distribution: bool,
    /// Lag up to this counts 0, by partition.
    pub tolerance: i64,
    /// A partition whose commit has not moved for so long is left out of the value.
    pub exclude_persistent_after: Option<Duration>,
}

/// Sums over the partitions of a sample.
#[derive(Default)]
struct Total {
    /// What counts for the value.
    lag: i64,
    /// The same with persistent lag: decides activity.
    all: i64,
    with_lag: i64,
}

impl Rule<Sample> for LagRule {
    /// A partition is read by one consumer of a group; idle ones may be wanted.
    fn most_consumers(&self, sample: &Sample) -> Option<usize> {
        let partitions = sample.partitions.len();
        (!self.allow_idle_consumers && partitions > 0).then_some(partitions)
    }

    /// The ends of the partitions, which consuming and retention do not change.
    fn arrivals(&self, sample: &Sample) -> Option<Arrivals> {
        let ends = sample.partitions.iter().map(|partition| partition.end);
        let ends = ends.map(|end| u64::try_from(end).unwrap_or(0));
        Some(Arrivals::Total {
            items: ends.fold(0, u64::saturating_add),
            parts: sample.partitions.len(),
        })
    }

    // By the time of the measurement: an outage, during which no commit is seen to move, must not
    // make lag look persistent.
    fn judge(&self, sample: &Sample, measured_at: Instant, _: Instant) -> Reading {
        let total = self.total(sample, measured_at);
        let partitions = i64::try_from(sample.partitions.len()).unwrap_or(i64::MAX);
        Reading {
            value: self.capped(&total, partitions) as f64,
            // As in KEDA, activity looks at the lag before any cap.
            active: u64::try_from(total.all).unwrap_or(0) > self.activation.0,
        }
    }

    fn age(&self, sample: &Sample, measured_at: Instant) -> Result<Duration> {
        let (mut oldest, mut is_known) = (Duration::ZERO, true);
        for partition in sample.partitions.iter() {
            let (lag, persistent) = self.of_partition(partition, measured_at);
            // Without a commit `latest` counts 1, so that the group starts; no message waits for it.
            let is_nominal = partition.committed.is_none() && self.reset == OffsetReset::Latest;
            if lag == 0 || persistent || is_nominal {
                continue;
            }
            let (age, is_exact) = match partition.waiting {
                Some(Waiting::For(age)) => (age, true),
                Some(Waiting::AtLeast(age)) => (age, false),
                None => (Duration::ZERO, false),
            };
            oldest = oldest.max(age);
            is_known &= is_exact;
        }
        match is_known {
            true => Ok(oldest),
            false => Err(behind_from_the_start(oldest)),
        }
    }

    fn drain_time(&self, sample: &Sample, measured_at: Instant) -> Result<Duration> {
        let lag = self.total(sample, measured_at).lag;
        if lag == 0 {
            return Ok(Duration::ZERO);
        }
        let progress = sample.progress.unwrap_or(Progress::TooShort {
            seen_for: Duration::ZERO,
        });
        match progress {
            Progress::TooShort { seen_for } => Err(no_rate_yet(lag, seen_for)),
            Progress::Committed {
                messages: 0,
                within,
            } => Err(no_progress(lag, within)),
            Progress::Committed { messages, within } => {
                let seconds = lag as f64 / messages as f64 * within.as_secs_f64();
                Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
            }
        }
    }
}

fn behind_from_the_start(at_least: Duration) -> Error {
    let what = format!(
        "the group has been behind for at least {} s, since before the end of the log was first \
         seen here",
        at_least.as_secs()
    );
    let next = "The age is known once the group has read what was there; `ageFrom: record` knows \
                it at once.";
    Error::new(Kind::Undetermined, what, next)
}

fn no_rate_yet(lag: i64, seen_for: Duration) -> Error {
    let what = format!(
        "the lag is {lag}, and the group has been seen for {} s, which is too short for a rate",
        seen_for.as_secs()
    );
    let next = "The rate is known from 10 s on, if the group is read again.";
    Error::new(Kind::Undetermined, what, next)
}

fn no_progress(lag: i64, within: Duration) -> Error {
    let what = format!(
        "the lag is {lag}, and the group has committed nothing in the last {} s",
        within.as_secs()
    );
    let next = "Check that its consumers run and commit; `signal: backlog` needs no rate.";
    Error::new(Kind::Undetermined, what, next)
}

impl LagRule {
    fn total(&self, sample: &Sample, measured_at: Instant) -> Total {
        let mut total = Total::default();
        for partition in sample.partitions.iter() {
            let (lag, persistent) = self.of_partition(partition, measured_at);
            total.all = total.all.saturating_add(lag);
            if !persistent && lag > 0 {
                total.lag = total.lag.saturating_add(lag);
                total.with_lag += 1;
            }
        }
        total
    }

    /// The lag of a partition, and whether it is persistent.
    fn of_partition(&self, partition: &Partition, at: Instant) -> (i64, bool) {
        let Some(committed) = partition.committed else {
            let lag = match (self.zero_without_commit, self.reset) {
                (true, _) => 0,
                (false, OffsetReset::Latest) => 1,
                (false, OffsetReset::Earliest) => (partition.end - partition.start).max(0),
            };
            return (lag, false);
        };
        let lag = match partition.lag(committed) {
            lag if lag <= self.tolerance => 0,
            lag => lag,
        };
        let unmoved = committed
            .unmoved_since
            .map(|since| at.duration_since(since));
        let persistent = self
            .exclude_persistent_after
            .is_some_and(|limit| unmoved.is_some_and(|unmoved| unmoved >= limit));
        (lag, persistent)
    }

    fn capped(&self, total: &Total, partitions: i64) -> i64 {
        let threshold = i64::try_from(self.threshold.0).unwrap_or(i64::MAX);
        let uncapped = self.allow_idle_consumers
            && !self.limit_to_partitions_with_lag
            && !self.ensure_even_distribution;
        if uncapped {
            return total.lag;
        }
        let lag = match self.ensure_even_distribution {
            true => even_share(total.lag, partitions, threshold).saturating_mul(threshold),
            false => total.lag,
        };
        let most = match self.limit_to_partitions_with_lag {
            true => total.with_lag,
            false => partitions,
        };
        // KEDA's integer division: with 10 partitions and threshold 10, 109 passes and 110 is
        // capped.
        match lag / threshold > most {
            true => most.saturating_mul(threshold),
            false => lag,
        }
    }
}

/// The smallest number of consumers that divides the partitions evenly and is enough for the lag;
/// all of them where none is enough. No lag needs none (KEDA says one).
fn even_share(lag: i64, partitions: i64, threshold: i64) -> i64 {
    if lag == 0 {
        return 0;
    }
    let enough =
        |consumers: &i64| partitions % consumers == 0 && consumers.saturating_mul(threshold) >= lag;
    (1..=partitions).find(enough).unwrap_or(partitions)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
