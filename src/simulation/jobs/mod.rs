//! KEDA's loop for a ScaledJob, after KEDA 2.21: `pkg/scaling/scaledjob/metrics.go`,
//! `pkg/scaling/executor/scale_jobs.go` and `apis/keda/v1alpha1/scaledjob_types.go`.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::{
    autoscaler::{Periodic, check_targets},
    hpa::{MetricTarget, Milli},
};
use crate::{
    error::{Error, Kind, Result},
    sampling::Reading,
};

/// The settings of a ScaledJob that decide how many jobs it creates, under KEDA's names.
///
/// The default is KEDA's own. `pendingPodConditions` is not simulated: a job is pending until it
/// takes its first item.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaledJob {
    /// `pollingInterval`.
    pub polling_interval: Duration,
    /// `minReplicaCount`: jobs that there are at all times.
    pub min_replica_count: u32,
    /// `maxReplicaCount`. `None`: 100, in addition to those of `minReplicaCount`.
    pub max_replica_count: Option<u32>,
    /// `scalingStrategy.strategy`.
    pub strategy: ScalingStrategy,
    /// `scalingStrategy.multipleScalersCalculation`.
    pub calculation: MultipleScalersCalculation,
}

impl Default for ScaledJob {
    fn default() -> Self {
        ScaledJob {
            polling_interval: Duration::from_secs(30),
            min_replica_count: 0,
            max_replica_count: None,
            strategy: ScalingStrategy::Default,
            calculation: MultipleScalersCalculation::Max,
        }
    }
}

/// How KEDA takes account of the jobs that there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScalingStrategy {
    /// `default`: what waits, less all jobs that are not finished.
    Default,
    /// `custom`: what waits, less a constant and a part of the jobs that are not finished.
    Custom {
        /// `customScalingQueueLengthDeduction`.
        queue_length_deduction: i32,
        /// `customScalingRunningJobPercentage`: 0.5 is half of them.
        running_job_percentage: f64,
    },
    /// `accurate`: what waits, less the jobs that are pending.
    Accurate,
    /// `eager`: as many as fit below the maximum.
    Eager,
}

/// What counts of several triggers that are active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MultipleScalersCalculation {
    /// `max`: the longest queue.
    #[default]
    Max,
    /// `min`: the shortest one.
    Min,
    /// `avg`: the average.
    Avg,
    /// `sum`: all of them.
    Sum,
}

/// `defaultScaledJobMaxReplicaCount`.
const DEFAULT_MAX: u32 = 100;

impl ScaledJob {
    /// What KEDA's CRD refuses; an error of kind [`Kind::Invalid`].
    pub fn check(&self) -> Result<()> {
        match self.max_replica_count {
            Some(0) => Err(Error::new(
                Kind::Invalid,
                "maxReplicaCount is 0",
                "KEDA wants at least 1.",
            )),
            _ => Ok(()),
        }
    }

    /// The most jobs that there are at a time, unless the strategy counts fewer than there are.
    pub fn max_jobs(&self) -> u32 {
        let above_min = DEFAULT_MAX.saturating_add(self.min_replica_count);
        self.max_replica_count.unwrap_or(above_min)
    }

    /// `MinReplicaCount` and `MaxReplicaCount`: the jobs at all times, and the most beyond them.
    fn bounds(&self) -> (i64, i64) {
        let min = i64::from(self.min_replica_count);
        match self.max_replica_count.map(i64::from) {
            None => (min, DEFAULT_MAX.into()),
            Some(max) if min > max => (max, max),
            Some(max) => (min, max - min),
        }
    }

    /// What a poll wants (`IsScaledJobActive`).
    fn wanted(&self, metrics: &[ScalerMetrics]) -> Wanted {
        let (min, max) = self.bounds();
        let combined = self.calculation.combine(metrics);
        let (queue_length, max_value) = combined.unwrap_or((0.0, 0.0));
        Wanted {
            is_active: combined.is_some() || min > 0,
            scale_to: queue_length.ceil() as i64,
            max_scale: max_value.min(max as f64).ceil() as i64,
        }
    }

    /// The jobs that a poll creates (`RequestJobScale`).
    fn creates(&self, wanted: Wanted, jobs: JobCount) -> u32 {
        if !wanted.is_active {
            return 0;
        }
        let (effective, scale_to) = self.decision(wanted, jobs);
        let creates = match effective > 0 {
            true => scale_to.min(effective),
            false => 0,
        };
        u32::try_from(creates).unwrap_or(0)
    }

    /// The most jobs to create, and the jobs that are wanted (`getScalingDecision`).
    fn decision(&self, wanted: Wanted, jobs: JobCount) -> (i64, i64) {
        let (min, max) = self.bounds();
        let (running, pending) = (i64::from(jobs.unfinished), i64::from(jobs.pending));
        match running < min {
            true => (min - running, min - running),
            false => {
                let counted = Counted {
                    running: running - min,
                    pending,
                    max,
                };
                self.strategy.effective_max_scale(wanted, counted)
            }
        }
    }
}

/// What a trigger comes to (`ScalerMetrics`).
#[derive(Clone, Copy, Debug, PartialEq)]
struct ScalerMetrics {
    queue_length: f64,
    max_value: f64,
    is_active: bool,
}

impl ScalerMetrics {
    /// `CalculateQueueLengthAndMaxValue`.
    fn of(target: MetricTarget, reading: &Reading, max: i64) -> Self {
        let number = |milli: Milli| milli.0 as f64 / 1000.0;
        let queue_length = number(Milli::of(reading.value));
        let max_value = match target {
            MetricTarget::AverageValue(target) => {
                (queue_length / number(Milli::of(target))).min(max as f64)
            }
            // KEDA refuses it in a ScaledJob, and looks at the average value alone.
            MetricTarget::Value(_) => 0.0,
        };
        ScalerMetrics {
            queue_length,
            max_value,
            is_active: reading.active,
        }
    }
}

impl MultipleScalersCalculation {
    /// The length of the queue and the jobs for it; `None`: no trigger is active.
    fn combine(self, metrics: &[ScalerMetrics]) -> Option<(f64, f64)> {
        let active = metrics.iter().filter(|metrics| metrics.is_active);
        let active = active.map(|metrics| (metrics.queue_length, metrics.max_value));
        let sum = |(length, value), (more, jobs)| (length + more, value + jobs);
        match self {
            // An active trigger of an empty queue makes the ScaledJob active only where there is a
            // `minReplicaCount`.
            MultipleScalersCalculation::Max => active
                .filter(|(length, _)| *length > 0.0)
                .reduce(|first, next| if next.0 > first.0 { next } else { first }),
            MultipleScalersCalculation::Min => active.reduce(|first, next| {
                let is_less = first.0 == 0.0 || next.0 < first.0;
                if is_less { next } else { first }
            }),
            MultipleScalersCalculation::Sum => active.reduce(sum),
            MultipleScalersCalculation::Avg => {
                let count = active.clone().count() as f64;
                let (length, value) = active.reduce(sum)?;
                Some((length / count, value / count))
            }
        }
    }
}

/// What a poll wants: whether there is work, for how many items, and for how many jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    is_active: bool,
    /// KEDA's `scaleTo`: the length of the queue.
    scale_to: i64,
    /// KEDA's `maxScale`: the length divided by the target.
    max_scale: i64,
}

/// What a strategy takes account of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    /// Unfinished jobs, without those of `minReplicaCount`.
    running: i64,
    pending: i64,
    max: i64,
}

impl ScalingStrategy {
    /// `GetEffectiveMaxScale`.
    fn effective_max_scale(self, wanted: Wanted, counted: Counted) -> (i64, i64) {
        let Wanted {
            scale_to,
            max_scale,
            ..
        } = wanted;
        let Counted {
            running,
            pending,
            max,
        } = counted;
        match self {
            ScalingStrategy::Default => (max_scale - running, scale_to),
            ScalingStrategy::Custom {
                queue_length_deduction,
                running_job_percentage,
            } => {
                let part = (running as f64 * running_job_percentage) as i64;
                let effective = max_scale - i64::from(queue_length_deduction) - part;
                (effective.min(max), scale_to)
            }
            ScalingStrategy::Accurate if max_scale + running - pending > max => {
                (max - running, scale_to)
            }
            ScalingStrategy::Accurate => (max_scale - pending, scale_to),
            ScalingStrategy::Eager => ((max - running - pending).min(max_scale), max),
        }
    }
}

/// The jobs that there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct JobCount {
    /// Those that are not finished, pending ones included.
    pub unfinished: u32,
    /// Those whose pod does not run yet.
    pub pending: u32,
}

/// KEDA's loop for a ScaledJob.
pub(super) struct JobScaler {
    scaled_job: ScaledJob,
    targets: Vec<MetricTarget>,
    polls: Periodic,
}

impl JobScaler {
    /// Errors as those of [`Autoscaler::new`](super::Autoscaler::new).
    pub fn new(scaled_job: ScaledJob, targets: Vec<MetricTarget>) -> Result<Self> {
        scaled_job.check()?;
        check_targets(&targets)?;
        Ok(JobScaler {
            polls: Periodic::new(Duration::ZERO, scaled_job.polling_interval),
            scaled_job,
            targets,
        })
    }

    /// The jobs to create now; none unless a poll is due. `evaluate` calls every trigger.
    pub fn poll(
        &mut self,
        now: Duration,
        jobs: JobCount,
        evaluate: impl FnOnce() -> Vec<Result<Reading>>,
    ) -> u32 {
        if !self.polls.is_due(now) {
            return 0;
        }
        let (_, max) = self.scaled_job.bounds();
        let results = evaluate();
        let results = self.targets.iter().zip(&results);
        // A trigger that fails is left out; ScaledJobs have no fallback.
        let metrics: Vec<_> = results
            .filter_map(|(target, result)| {
                let reading = result.as_ref().ok()?;
                Some(ScalerMetrics::of(*target, reading, max))
            })
            .collect();
        let wanted = self.scaled_job.wanted(&metrics);
        self.scaled_job.creates(wanted, jobs)
    }
}
