//! The algorithm of Kubernetes' HPA controller for external metrics, after
//! `pkg/controller/podautoscaler/horizontal.go` of Kubernetes 1.36.

mod behavior;
mod limits;
mod metric;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use behavior::{Behavior, HpaController, Policy, PolicyType, ScalingRules, SelectPolicy};
use limits::{ScaleEvents, most_without_behavior};
pub use metric::MetricTarget;
pub(super) use metric::Milli;
use metric::Tolerances;

/// What a HorizontalPodAutoscaler reads of its scale target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// `spec.replicas`. The simulated target has as many in its status at once.
    pub replicas: u32,
    /// The pods whose condition `Ready` is true.
    pub ready_pods: u32,
}

/// An external metric, as KEDA's metrics server returns it. `value: None`: it returns an error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Metric {
    pub target: MetricTarget,
    pub value: Option<Milli>,
}

/// What a sync made of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Synced {
    /// The replicas that the metrics lead to, before windows, policies and bounds. `None`: they were
    /// not requested, or an error kept the HPA from scaling.
    pub wanted: Option<u32>,
    /// The replicas from now on.
    pub replicas: u32,
}

/// A HorizontalPodAutoscaler, with what its controller remembers of it.
pub(super) struct Hpa {
    min: u32,
    max: u32,
    behavior: Option<Behavior>,
    controller: HpaController,
    recommendations: Vec<Recommendation>,
    events: ScaleEvents,
    scaling_active: bool,
}

/// The replicas that metrics led to in an earlier sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Recommendation {
    at: Duration,
    replicas: u32,
}

impl Hpa {
    /// With `minReplicas` and `maxReplicas`.
    pub fn new(min: u32, max: u32, behavior: Option<Behavior>, controller: HpaController) -> Self {
        Hpa {
            min,
            max,
            behavior,
            controller,
            recommendations: Vec::new(),
            events: ScaleEvents::default(),
            scaling_active: false,
        }
    }

    /// The condition `ScalingActive`: whether the last metrics that were requested led to replicas.
    pub fn is_scaling_active(&self) -> bool {
        self.scaling_active
    }

    /// One sync (`reconcileAutoscaler`). The metrics are requested only if they count.
    pub fn sync(
        &mut self,
        scale: Scale,
        now: Duration,
        metrics: impl FnOnce() -> Vec<Metric>,
    ) -> Synced {
        let Scale { replicas, .. } = scale;
        if self.recommendations.is_empty() {
            // The first one keeps what is there for a stabilization window.
            self.recommendations
                .push(Recommendation { at: now, replicas });
        }
        let (wanted, desired) = match replicas {
            // At zero the HPA is off, until KEDA scales up (condition `ScalingDisabled`).
            0 => {
                self.scaling_active = false;
                (None, 0)
            }
            _ if replicas > self.max => (None, self.max),
            _ if replicas < self.min => (None, self.min),
            _ => {
                let wanted = self.wanted(&metrics(), scale);
                self.scaling_active = wanted.is_some();
                let desired = wanted.map(|wanted| self.normalize(replicas, wanted, now));
                (wanted, desired.unwrap_or(replicas))
            }
        };
        if let Some(Behavior {
            scale_up,
            scale_down,
        }) = self.behavior.as_ref().filter(|_| desired != replicas)
        {
            self.events
                .store(replicas, desired, scale_up, scale_down, now);
        }
        Synced {
            wanted,
            replicas: desired,
        }
    }

    /// The largest of what the metrics lead to (`computeReplicasForMetrics`). None if all failed, or
    /// if one failed and the others lead to fewer replicas than there are.
    fn wanted(&self, metrics: &[Metric], scale: Scale) -> Option<u32> {
        let tolerances = self.tolerances();
        let proposals = metrics.iter().filter_map(|Metric { target, value }| {
            Some(metric::replicas(*target, (*value)?, scale, tolerances))
        });
        let wanted = proposals.max()?;
        let one_failed = metrics.iter().any(|metric| metric.value.is_none());
        (!one_failed || wanted >= scale.replicas).then_some(wanted)
    }

    fn tolerances(&self) -> Tolerances {
        let of = |rules: Option<&ScalingRules>| {
            let own = rules.and_then(|rules| rules.tolerance);
            own.unwrap_or(self.controller.tolerance)
        };
        let behavior = self.behavior.as_ref();
        Tolerances {
            scale_up: of(behavior.map(|behavior| &behavior.scale_up)),
            scale_down: of(behavior.map(|behavior| &behavior.scale_down)),
        }
    }

    fn normalize(&mut self, replicas: u32, wanted: u32, now: Duration) -> u32 {
        match self.behavior.clone() {
            Some(behavior) => self.normalize_with(&behavior, replicas, wanted, now),
            None => {
                let stabilized = self.stabilize_down(wanted, now);
                let most = self.max.min(most_without_behavior(replicas));
                stabilized.min(most).max(self.min)
            }
        }
    }

    /// Without a `behavior`: the largest recommendation of the window (`stabilizeRecommendation`).
    fn stabilize_down(&mut self, wanted: u32, now: Duration) -> u32 {
        let window = self.controller.downscale_stabilization;
        let age = |recommendation: &Recommendation| now.saturating_sub(recommendation.at);
        self.recommendations
            .retain(|recommendation| age(recommendation) <= window);
        self.recommendations.push(Recommendation {
            at: now,
            replicas: wanted,
        });
        let replicas = self.recommendations.iter().map(|r| r.replicas);
        replicas.max().unwrap_or(wanted)
    }

    /// `normalizeDesiredReplicasWithBehaviors`.
    fn normalize_with(
        &mut self,
        behavior: &Behavior,
        replicas: u32,
        wanted: u32,
        now: Duration,
    ) -> u32 {
        let up = behavior.scale_up.stabilization_window;
        let down = behavior.scale_down.stabilization_window;
        let up = up.unwrap_or(Duration::ZERO);
        let down = down.unwrap_or(self.controller.downscale_stabilization);
        let stabilized = self.stabilize(replicas, wanted, (up, down), now);
        if stabilized > replicas {
            let most = self.events.most(replicas, &behavior.scale_up, now);
            stabilized.min(most.min(self.max))
        } else if stabilized < replicas {
            let fewest = self.events.fewest(replicas, &behavior.scale_down, now);
            stabilized.max(fewest.max(self.min))
        } else {
            stabilized
        }
    }

    /// The number of replicas, as far as no recommendation within the windows speaks against it
    /// (`stabilizeRecommendationWithBehaviors`).
    fn stabilize(
        &mut self,
        replicas: u32,
        wanted: u32,
        (up, down): (Duration, Duration),
        now: Duration,
    ) -> u32 {
        let (mut at_least, mut at_most) = (wanted, wanted);
        for recommendation in &self.recommendations {
            let age = now.saturating_sub(recommendation.at);
            if age < up {
                at_least = at_least.min(recommendation.replicas);
            }
            if age < down {
                at_most = at_most.max(recommendation.replicas);
            }
        }
        self.recommendations
            .retain(|recommendation| now.saturating_sub(recommendation.at) <= up.max(down));
        self.recommendations.push(Recommendation {
            at: now,
            replicas: wanted,
        });
        replicas.max(at_least).min(at_most)
    }
}
