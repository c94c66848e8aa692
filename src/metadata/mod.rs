//! The metadata of triggers, as typed values. No I/O, no transport, no client library.

mod host_port;
pub mod parse;
pub mod patterns;
pub mod problem;
pub mod schema;
mod secret;
pub mod shaping;
pub mod signal;
pub mod tls;
pub mod values;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use shaping::{InFlightPerReplica, OnOutage, ScaleDownBelow, Smoothing};
use signal::Signal;
use values::{Activation, MetricName, PushInterval, Span, Target};

/// A trigger as it reaches us: one entry under `triggers:` of one ScaledObject or ScaledJob.
///
/// No `Debug`: the metadata may hold secrets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TriggerRef {
    /// The namespace of the ScaledObject.
    pub namespace: String,
    /// The name of the ScaledObject.
    pub name: String,
    /// The trigger's metadata map, KEDA's own keys included.
    pub metadata: BTreeMap<String, String>,
}

/// The keys that every trigger has, whatever its backend.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommonKeys {
    /// What holds the work: the name of KEDA's own scaler for it.
    pub backend: String,
    /// A named connection of the server's settings. The keys for address and credentials are then
    /// errors.
    pub connection: Option<String>,
    /// The metric's name, instead of the one derived from what is measured.
    pub metric_name: Option<MetricName>,
    /// What is reported: how much work waits, how many seconds the oldest item has waited, or how many
    /// seconds the backlog would take at the current rate of completion. Times need
    /// `metricType: Value` in the trigger.
    #[serde(default)]
    pub signal: Signal,
    /// The wanted time of the signals `age` and `drainTime`, in seconds.
    pub target_seconds: Option<Target>,
    /// With the signals `age` and `drainTime`: the trigger is active above this many seconds. By
    /// default, it is active as with `backlog`.
    pub activation_seconds: Option<Activation>,
    /// How long a sample is used before the backend is read again. By default, as long as the backend
    /// defines.
    pub fresh_for: Option<Span>,
    /// A sample up to this age is used at once while a newer one is read, unless that is expected
    /// within half a second; `0`: never. By default, as the backend defines.
    pub stale_while_revalidate: Option<Span>,
    /// How often the query is read while KEDA holds a stream of an `external-push` trigger. By default,
    /// as the backend defines (redis 100ms, kafka 500ms, temporal 1s).
    pub push_interval: Option<PushInterval>,
    /// After a failed read, the last good sample is used up to this age; `0`: never. By default,
    /// the server's setting (60s).
    pub max_staleness: Option<Span>,
    /// The trigger stays active for this long after the last sample above the activation threshold,
    /// whichever call, trigger or stream it was read for; its value is at least 1 meanwhile. By
    /// default, only the newest sample decides.
    pub activity_hold: Option<Span>,
    /// The number of replicas that a value led to is held until the backlog per replica is below this,
    /// which must be below the target. With `kubernetes.enabled` in the settings, the actual replicas
    /// are held. By default, the value is the backlog.
    pub scale_down_below: Option<ScaleDownBelow>,
    /// How many unfinished items one replica has in flight. The value is at least enough for the
    /// replicas that the unfinished items need, and the trigger is active while there are any. By
    /// default, the value is the backlog.
    pub minimum_while_in_flight: Option<InFlightPerReplica>,
    /// The value is the maximum, the average or the 90th percentile of the samples in this time:
    /// `2m` or `max:2m`, `average:2m`, `p90:2m`. By default, only the newest sample decides.
    pub smoothing: Option<Smoothing>,
    /// What KEDA gets once there is no sample within `maxStaleness`: the error, so that KEDA's fallback
    /// applies; with `hold` the last good value, whatever its age; with `value:N` that number, active
    /// unless it is 0.
    #[serde(default)]
    pub on_outage: OnOutage,
}
