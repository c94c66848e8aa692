//! What a HorizontalPodAutoscaler's `behavior` says, and the cluster's own settings, with Kubernetes'
//! defaults.

use std::time::Duration;

/// The `behavior` of a HorizontalPodAutoscaler: `advanced.horizontalPodAutoscalerConfig.behavior` of
/// a ScaledObject.
///
/// The default is what Kubernetes fills in where a part is left out
/// (`pkg/apis/autoscaling/v2/defaults.go`).
#[derive(Clone, Debug, PartialEq)]
pub struct Behavior {
    /// The rules for more replicas.
    pub scale_up: ScalingRules,
    /// The rules for fewer replicas.
    pub scale_down: ScalingRules,
}

impl Default for Behavior {
    fn default() -> Self {
        Behavior {
            scale_up: ScalingRules::scale_up(),
            scale_down: ScalingRules::scale_down(),
        }
    }
}

/// The rules for one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingRules {
    /// `stabilizationWindowSeconds`. `None`: 0 up, and down the controller's own setting
    /// ([`HpaController::downscale_stabilization`]).
    pub stabilization_window: Option<Duration>,
    /// How fast the number of replicas may change.
    pub policies: Vec<Policy>,
    /// Which of the policies counts.
    pub select_policy: SelectPolicy,
    /// The part of the target by which the metric may be off, instead of the controller's own
    /// ([`HpaController::tolerance`]). Kubernetes has it from 1.33 on behind the feature gate
    /// `HPAConfigurableTolerance`, which is on by default from 1.35 on.
    pub tolerance: Option<f64>,
}

impl ScalingRules {
    /// The default rules for more replicas: 4 pods or 100 % in 15 s, whichever is more, at once.
    pub fn scale_up() -> Self {
        ScalingRules {
            stabilization_window: None,
            policies: vec![Policy::pods(4, PERIOD), Policy::percent(100, PERIOD)],
            select_policy: SelectPolicy::Max,
            tolerance: None,
        }
    }

    /// The default rules for fewer replicas: down to the minimum at once, after the stabilization
    /// window.
    pub fn scale_down() -> Self {
        ScalingRules {
            stabilization_window: None,
            policies: vec![Policy::percent(100, PERIOD)],
            select_policy: SelectPolicy::Max,
            tolerance: None,
        }
    }
}

/// The period of the default policies.
const PERIOD: Duration = Duration::from_secs(15);

/// How much the number of replicas may change within a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What `value` counts.
    pub policy_type: PolicyType,
    /// So many pods, or percent of the replicas at the beginning of the period.
    pub value: u32,
    /// `periodSeconds`.
    pub period: Duration,
}

impl Policy {
    /// So many pods within a period.
    pub const fn pods(value: u32, period: Duration) -> Self {
        Policy {
            policy_type: PolicyType::Pods,
            value,
            period,
        }
    }

    /// So many percent within a period.
    pub const fn percent(value: u32, period: Duration) -> Self {
        Policy {
            policy_type: PolicyType::Percent,
            value,
            period,
        }
    }
}

/// The `type` of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyType {
    /// Pods.
    Pods,
    /// Percent.
    Percent,
}

/// Which of several policies counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectPolicy {
    /// That of the largest change.
    Max,
    /// That of the smallest change.
    Min,
    /// None: there is no scaling in this direction.
    Disabled,
}

/// The settings of the cluster's HPA controller, which are flags of kube-controller-manager.
///
/// The default is Kubernetes' own (`pkg/controller/podautoscaler/config/v1alpha1/defaults.go`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HpaController {
    /// `--horizontal-pod-autoscaler-sync-period`.
    pub sync_period: Duration,
    /// When the first sync is: its phase relative to KEDA's polls is up to chance in a cluster.
    pub first_sync: Duration,
    /// `--horizontal-pod-autoscaler-tolerance`: the part of the target by which a metric may be off.
    pub tolerance: f64,
    /// `--horizontal-pod-autoscaler-downscale-stabilization`.
    pub downscale_stabilization: Duration,
}

impl Default for HpaController {
    fn default() -> Self {
        HpaController {
            sync_period: Duration::from_secs(15),
            first_sync: Duration::ZERO,
            tolerance: 0.1,
            downscale_stabilization: Duration::from_secs(5 * 60),
        }
    }
}
