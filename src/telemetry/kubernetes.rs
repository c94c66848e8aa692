//! The Kubernetes API: its requests, and the state of what is watched there.

use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::error::Kind;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    resource: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    resource: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    resource: &'static str,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabels {
    resource: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// Figures of the client of the Kubernetes API. Labels are names of a closed set: no namespace, no
/// object. Registered with the first use: a server without `kubernetes` has none.
#[derive(Clone, Default)]
pub struct KubernetesMetrics {
    requests: Family<RequestLabels, Counter>,
    watches: Family<StateLabels, Gauge>,
    errors: Family<ErrorLabels, Counter>,
    last_event: Family<ResourceLabels, Gauge>,
    last_error: Family<ResourceLabels, Gauge>,
    objects: Family<ResourceLabels, Gauge>,
    resolutions: Family<OutcomeLabels, Counter>,
    events: Family<OutcomeLabels, Counter>,
}

/// The state of one watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// Nothing is known yet.
    Starting,
    /// What is known is what the API server has.
    Synced,
    /// The last request failed. What was known before stays in use.
    Failing,
}

impl WatchState {
    fn label(self) -> &'static str {
        match self {
            WatchState::Starting => "starting",
            WatchState::Synced => "synced",
            WatchState::Failing => "failing",
        }
    }
}

impl KubernetesMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = KubernetesMetrics::default();
        registry.register(
            "kubernetes_requests",
            "Requests to the Kubernetes API by verb, resource and outcome",
            metrics.requests.clone(),
        );
        registry.register(
            "kubernetes_watches",
            "Watches by state: starting, synced, or failing while what was known before is used",
            metrics.watches.clone(),
        );
        registry.register(
            "kubernetes_watch_errors",
            "Failed requests of watches by kind",
            metrics.errors.clone(),
        );
        registry.register_with_unit(
            "kubernetes_watch_last_event_timestamp",
            "When a watch of this resource last received an object, in Unix time",
            Unit::Seconds,
            metrics.last_event.clone(),
        );
        registry.register_with_unit(
            "kubernetes_watch_last_error_timestamp",
            "When a watch of this resource last failed, in Unix time",
            Unit::Seconds,
            metrics.last_error.clone(),
        );
        registry.register(
            "kubernetes_objects",
            "Objects of the Kubernetes API that are kept in memory",
            metrics.objects.clone(),
        );
        registry.register(
            "kubernetes_resolutions",
            "Look-ups of a trigger's authentication: ok, none, or the kind of the error",
            metrics.resolutions.clone(),
        );
        registry.register(
            "kubernetes_events",
            "Events for ScaledObjects and ScaledJobs: written, limited (for now), dropped because too many \
             wait, not_theirs (other values than in the trigger's environment), or the kind of the error",
            metrics.events.clone(),
        );
        metrics
    }

    /// One request; `None`: it succeeded.
    pub fn count_request(&self, verb: &'static str, resource: &'static str, error: Option<Kind>) {
        let outcome = error.map_or("ok", Kind::label);
        let labels = RequestLabels {
            verb,
            resource,
            outcome,
        };
        self.requests.get_or_create(&labels).inc();
    }

    /// Requests of a verb and resource so far, whatever their outcome.
    pub fn requests(&self, verb: &'static str, resource: &'static str) -> u64 {
        let outcomes = Kind::ALL.iter().map(|kind| kind.label()).chain(["ok"]);
        let counts = outcomes.filter_map(|outcome| {
            let labels = RequestLabels {
                verb,
                resource,
                outcome,
            };
            self.requests.get(&labels).map(|counter| counter.get())
        });
        counts.sum()
    }

    /// One look-up of a trigger's authentication.
    pub fn count_resolution(&self, outcome: Result<&'static str, Kind>) {
        let outcome = outcome.unwrap_or_else(Kind::label);
        self.resolutions
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
    }

    /// One event for a ScaledObject or ScaledJob.
    pub fn count_event(&self, outcome: &'static str) {
        self.events.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// How many objects of a resource are kept, more or fewer than before.
    pub fn add_objects(&self, resource: &'static str, more: i64) {
        let labels = ResourceLabels { resource };
        self.objects.get_or_create(&labels).inc_by(more);
    }

    /// A watch that starts.
    pub fn watch(&self, resource: &'static str) -> WatchStatus {
        let status = WatchStatus {
            metrics: self.clone(),
            resource,
            state: Mutex::new(WatchState::Starting),
        };
        status.gauge(WatchState::Starting).inc();
        status
    }
}

/// The state of one watch, until it is dropped.
pub struct WatchStatus {
    metrics: KubernetesMetrics,
    resource: &'static str,
    state: Mutex<WatchState>,
}

impl WatchStatus {
    /// An object was received, or all are known.
    pub fn event(&self) {
        self.change(WatchState::Synced);
        self.stamp(&self.metrics.last_event);
    }

    /// A request failed.
    pub fn error(&self, kind: Kind) {
        self.change(WatchState::Failing);
        self.stamp(&self.metrics.last_error);
        let labels = ErrorLabels {
            resource: self.resource,
            kind: kind.label(),
        };
        self.metrics.errors.get_or_create(&labels).inc();
    }

    fn stamp(&self, family: &Family<ResourceLabels, Gauge>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = now.map_or(0, |now| now.as_secs());
        let resource = self.resource;
        family
            .get_or_create(&ResourceLabels { resource })
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    fn change(&self, to: WatchState) {
        let from = std::mem::replace(&mut *self.state.lock(), to);
        if from != to {
            self.gauge(from).dec();
            self.gauge(to).inc();
        }
    }

    fn gauge(&self, state: WatchState) -> Gauge {
        let labels = StateLabels {
            resource: self.resource,
            state: state.label(),
        };
        self.metrics.watches.get_or_create_owned(&labels)
    }
}

impl Drop for WatchStatus {
    fn drop(&mut self) {
        self.gauge(*self.state.lock()).dec();
    }
}
