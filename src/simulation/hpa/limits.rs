//! How far the number of replicas may go in one step: `calculateScaleUpLimitWithScalingRules` and its
//! neighbours in Kubernetes' `pkg/controller/podautoscaler/horizontal.go`.

use std::time::Duration;

use super::behavior::{Policy, PolicyType, ScalingRules, SelectPolicy};

/// The changes in both directions, as far back as a policy looks.
#[derive(Clone, Debug, Default)]
pub(super) struct ScaleEvents {
    pub up: Vec<ScaleEvent>,
    pub down: Vec<ScaleEvent>,
}

/// A change that the HPA made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScaleEvent {
    pub at: Duration,
    pub change: u32,
}

impl ScaleEvents {
    /// Keeps a change, and drops those of the same direction that no policy looks back to.
    pub fn store(
        &mut self,
        from: u32,
        to: u32,
        up: &ScalingRules,
        down: &ScalingRules,
        now: Duration,
    ) {
        let (events, rules) = match to > from {
            true => (&mut self.up, up),
            false => (&mut self.down, down),
        };
        let longest = rules.policies.iter().map(|policy| policy.period).max();
        let longest = longest.unwrap_or(Duration::ZERO);
        events.retain(|event| now.saturating_sub(event.at) <= longest);
        events.push(ScaleEvent {
            at: now,
            change: to.abs_diff(from),
        });
    }

    /// The replicas at the beginning of a policy's period.
    fn at_start_of(&self, period: Duration, replicas: u32, now: Duration) -> i64 {
        let within = |events: &[ScaleEvent]| -> i64 {
            let recent = events.iter();
            let recent = recent.filter(|event| now.saturating_sub(event.at) < period);
            recent.map(|event| i64::from(event.change)).sum()
        };
        i64::from(replicas) - within(&self.up) + within(&self.down)
    }

    /// The most replicas that the rules allow.
    pub fn most(&self, replicas: u32, rules: &ScalingRules, now: Duration) -> u32 {
        let proposals = rules.policies.iter().map(|policy| {
            let start = self.at_start_of(policy.period, replicas, now);
            let Policy {
                policy_type, value, ..
            } = *policy;
            match policy_type {
                PolicyType::Pods => start + i64::from(value),
                // Up, as a small percentage of few replicas would never lead to more.
                PolicyType::Percent => {
                    (start as f64 * (1.0 + f64::from(value) / 100.0)).ceil() as i64
                }
            }
        });
        let limit = match rules.select_policy {
            SelectPolicy::Disabled => None,
            SelectPolicy::Min => proposals.min(),
            SelectPolicy::Max => proposals.max(),
        };
        // Fewer than there are, after a policy was changed: no more, then.
        whole(limit.unwrap_or(0)).max(replicas)
    }

    /// The fewest replicas that the rules allow.
    pub fn fewest(&self, replicas: u32, rules: &ScalingRules, now: Duration) -> u32 {
        let proposals = rules.policies.iter().map(|policy| {
            let start = self.at_start_of(policy.period, replicas, now);
            let Policy {
                policy_type, value, ..
            } = *policy;
            match policy_type {
                PolicyType::Pods => start - i64::from(value),
                PolicyType::Percent => (start as f64 * (1.0 - f64::from(value) / 100.0)) as i64,
            }
        });
        let limit = match rules.select_policy {
            SelectPolicy::Disabled => None,
            // The smallest change leaves the most replicas.
            SelectPolicy::Min => proposals.max(),
            SelectPolicy::Max => proposals.min(),
        };
        limit.map_or(replicas, whole).min(replicas)
    }
}

/// The most replicas in one step without a `behavior` (`calculateScaleUpLimit`): twice as many, or 4.
pub(super) fn most_without_behavior(replicas: u32) -> u32 {
    replicas.saturating_mul(2).max(4)
}

fn whole(replicas: i64) -> u32 {
    replicas.clamp(0, i64::from(i32::MAX)) as u32
}
