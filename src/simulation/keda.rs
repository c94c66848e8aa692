//! KEDA's loop for a ScaledObject, after KEDA 2.21: `pkg/scaling/scale_handler.go`,
//! `pkg/scaling/executor/scale_scaledobjects.go` and `pkg/fallback/fallback.go`.

use std::time::Duration;

use super::hpa::{Behavior, Metric, MetricTarget, Milli, Scale};
use crate::{
    error::{Error, Kind, Result},
    sampling::Reading,
};

/// The settings of a ScaledObject that decide how it scales, under KEDA's names.
///
/// The default is KEDA's own.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaledObject {
    /// `pollingInterval`.
    pub polling_interval: Duration,
    /// `cooldownPeriod`: from the last poll that found it active, until it goes to zero.
    pub cooldown_period: Duration,
    /// `initialCooldownPeriod`: the same from the creation on, if it was never active.
    pub initial_cooldown_period: Duration,
    /// `minReplicaCount`. The HPA's own minimum is at least 1.
    pub min_replica_count: u32,
    /// `maxReplicaCount`.
    pub max_replica_count: u32,
    /// `idleReplicaCount`: the replicas of an inactive one, fewer than `minReplicaCount`.
    pub idle_replica_count: Option<u32>,
    /// `fallback`.
    pub fallback: Option<Fallback>,
    /// `advanced.horizontalPodAutoscalerConfig.behavior`.
    pub behavior: Option<Behavior>,
}

impl Default for ScaledObject {
    fn default() -> Self {
        ScaledObject {
            polling_interval: Duration::from_secs(30),
            cooldown_period: Duration::from_secs(5 * 60),
            initial_cooldown_period: Duration::ZERO,
            min_replica_count: 0,
            max_replica_count: 100,
            idle_replica_count: None,
            fallback: None,
            behavior: None,
        }
    }
}

impl ScaledObject {
    /// The bounds that KEDA's admission webhook checks (`CheckReplicaCountBoundsAreValid`); an error
    /// of kind [`Kind::Invalid`] otherwise.
    pub fn check(&self) -> Result<()> {
        let (min, max) = (self.min_replica_count, self.max_replica_count);
        if self.hpa_min() > max {
            let what = format!("minReplicaCount {min} is above maxReplicaCount {max}");
            return Err(Error::new(
                Kind::Invalid,
                what,
                "The minimum of the HPA is at least 1.",
            ));
        }
        if let Some(idle) = self.idle_replica_count.filter(|idle| *idle >= min) {
            let what = format!("idleReplicaCount {idle} is not below minReplicaCount {min}");
            return Err(Error::new(Kind::Invalid, what, "KEDA supports 0 alone."));
        }
        Ok(())
    }

    /// `minReplicas` of the HPA that KEDA creates (`GetHPAMinReplicas`).
    pub(super) fn hpa_min(&self) -> u32 {
        self.min_replica_count.max(1)
    }

    /// Whether KEDA's loop can scale beyond what the HPA does (`IsPollingIntervalRelevant`). If not,
    /// a poll uses what the HPA's last sync got, and requests nothing.
    pub(super) fn needs_polls(&self) -> bool {
        self.min_replica_count == 0 || self.idle_replica_count.is_some()
    }
}

/// The `fallback` of a ScaledObject: the replicas once a trigger has failed too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// `failureThreshold`: it works after more consecutive failures than this. Polls and the HPA's
    /// syncs count alike.
    pub failure_threshold: u32,
    /// `replicas`.
    pub replicas: u32,
    /// `behavior`.
    pub behavior: FallbackBehavior,
}

/// How many replicas a fallback leads to. KEDA's `scalingModifiers` is not simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FallbackBehavior {
    /// `static`: those of `replicas`.
    #[default]
    Static,
    /// `currentReplicas`: those that there are.
    CurrentReplicas,
    /// `currentReplicasIfHigher`: the larger of the two.
    CurrentReplicasIfHigher,
    /// `currentReplicasIfLower`: the smaller of the two.
    CurrentReplicasIfLower,
}

impl Fallback {
    fn replicas(self, current: u32) -> u32 {
        match self.behavior {
            FallbackBehavior::Static => self.replicas,
            FallbackBehavior::CurrentReplicas => current,
            FallbackBehavior::CurrentReplicasIfHigher => self.replicas.max(current),
            FallbackBehavior::CurrentReplicasIfLower => self.replicas.min(current),
        }
    }
}

/// What KEDA makes of a trigger's result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Observed {
    pub metric: Metric,
    pub active: bool,
}

/// What KEDA remembers of a ScaledObject: its status.
pub(super) struct Keda {
    scaled_object: ScaledObject,
    /// `lastActiveTime`. The creation is at the start of the simulation.
    last_active: Option<Duration>,
    /// Consecutive failures of each trigger (`numberOfFailures`).
    failures: Vec<u32>,
}

impl Keda {
    pub fn new(scaled_object: ScaledObject, triggers: usize) -> Self {
        Keda {
            scaled_object,
            last_active: None,
            failures: vec![0; triggers],
        }
    }

    /// The result of a trigger, with the fallback in place of an error (`observeMetric` and
    /// `GetMetricsWithFallback`). The loop and the HPA's requests both come through here.
    pub fn observe(
        &mut self,
        trigger: usize,
        target: MetricTarget,
        result: &Result<Reading>,
        scale: Scale,
    ) -> Observed {
        let failures = &mut self.failures[trigger];
        let (value, active) = match result {
            Ok(reading) => {
                *failures = 0;
                (Some(Milli::of(reading.value)), reading.active)
            }
            Err(_) => {
                *failures = failures.saturating_add(1);
                let fallback = self.scaled_object.fallback;
                let fallback = fallback.filter(|fallback| *failures > fallback.failure_threshold);
                let value = fallback.and_then(|fallback| fallback_value(fallback, target, scale));
                // A trigger with a fallback is active (`getScalerState`).
                (value, value.is_some())
            }
        };
        Observed {
            metric: Metric { target, value },
            active,
        }
    }

    /// One poll (`RequestScale`): the replicas that KEDA sets itself, if any.
    pub fn request_scale(
        &mut self,
        observed: &[Observed],
        replicas: u32,
        now: Duration,
    ) -> Option<u32> {
        let is_active = observed.iter().any(|observed| observed.active);
        let is_error = observed
            .iter()
            .any(|observed| observed.metric.value.is_none());
        match is_active {
            true => self.when_active(is_error, replicas, now),
            false => self.when_inactive(is_error, replicas, now),
        }
    }

    fn when_active(&mut self, is_error: bool, replicas: u32, now: Duration) -> Option<u32> {
        let ScaledObject {
            min_replica_count: min,
            idle_replica_count: idle,
            ..
        } = self.scaled_object;
        if replicas == 0 || idle.is_some() && replicas < min {
            self.last_active = Some(now);
            return Some(min.max(1));
        }
        // While another trigger fails, KEDA does not note that this one is active.
        if !is_error {
            self.last_active = Some(now);
        }
        None
    }

    fn when_inactive(&self, is_error: bool, replicas: u32, now: Duration) -> Option<u32> {
        let ScaledObject {
            min_replica_count: min,
            idle_replica_count: idle,
            fallback,
            ..
        } = self.scaled_object;
        // An error scales nothing down, unless the fallback is to go to zero anyway.
        if is_error && fallback.is_none_or(|fallback| fallback.replicas != 0) {
            return None;
        }
        match idle {
            Some(idle) if replicas > idle => self.is_cooled_down(now).then_some(idle),
            _ if replicas > 0 && min == 0 => self.is_cooled_down(now).then_some(min),
            None if replicas < min => Some(min),
            _ => None,
        }
    }

    /// `scaleToZeroOrIdle`. KEDA compares strictly, but a status keeps whole seconds, and the poll
    /// comes some milliseconds after that second: exactly the period is over.
    fn is_cooled_down(&self, now: Duration) -> bool {
        let ScaledObject {
            cooldown_period,
            initial_cooldown_period,
            ..
        } = self.scaled_object;
        match self.last_active {
            Some(last_active) => now.saturating_sub(last_active) >= cooldown_period,
            None => now >= initial_cooldown_period,
        }
    }
}

/// The value that leads to the fallback's replicas (`doFallback`). `None`, which is an error, for
/// `Value` while no pod is ready.
fn fallback_value(fallback: Fallback, target: MetricTarget, scale: Scale) -> Option<Milli> {
    let replicas = f64::from(fallback.replicas(scale.replicas));
    let replicas = match (target, scale.ready_pods) {
        (MetricTarget::AverageValue(_), _) => replicas,
        (MetricTarget::Value(_), 0) => return None,
        (MetricTarget::Value(_), ready) => replicas / f64::from(ready),
    };
    // KEDA truncates here.
    Some(Milli((target.number() * 1000.0 * replicas) as i64))
}

#[cfg(test)]
mod tests;
