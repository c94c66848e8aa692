//! Figures of the connections to backends.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use super::{
    LabelText,
    budget::{self, Budget},
};
use crate::error::Kind;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Labels {
    connection: LabelText,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    connection: LabelText,
    kind: &'static str,
}

type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

#[derive(Clone)]
struct Families {
    connected: Family<Labels, Gauge>,
    disconnected: Family<Labels, Gauge>,
    stale_answers: Family<Labels, Counter>,
    revalidating_evaluations: Family<Labels, Counter>,
    retried_queries: Family<Labels, Counter>,
    look_ahead_queries: Family<Labels, Counter>,
    notifications: Family<Labels, Counter>,
    credential_reloads: Family<Labels, Counter>,
    credential_reload_failures: Family<Labels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    batch_size: Histograms,
    read_seconds: Histograms,
    budget: budget::Families,
}

/// The figures of all connections.
pub(super) struct Connections {
    families: Families,
    live: Arc<Mutex<HashMap<String, Weak<ConnectionMetrics>>>>,
}

/// The figures of one connection, with its labels bound once.
pub struct ConnectionMetrics {
    connected: Gauge,
    disconnected: Gauge,
    /// Evaluations of a sample that could not be renewed in time.
    pub stale_answers: Counter,
    /// Evaluations of an older sample, while a newer one was read.
    pub revalidating_evaluations: Counter,
    /// Queries sent once more because their connection broke.
    pub retried_queries: Counter,
    /// Queries that a batch took along before they were requested.
    pub look_ahead_queries: Counter,
    /// Changes that the backend reported of queries that streams wait for.
    pub notifications: Counter,
    /// How often changed keys were taken into use.
    pub credential_reloads: Counter,
    /// How often changed keys could not be used.
    pub credential_reload_failures: Counter,
    batch_size: Histogram,
    read_seconds: Histogram,
    name: String,
    families: Families,
    live: Arc<Mutex<HashMap<String, Weak<ConnectionMetrics>>>>,
}

impl Connections {
    pub fn register(registry: &mut Registry) -> Self {
        let families = Families {
            connected: Family::default(),
            disconnected: Family::default(),
            stale_answers: Family::default(),
            revalidating_evaluations: Family::default(),
            retried_queries: Family::default(),
            look_ahead_queries: Family::default(),
            notifications: Family::default(),
            credential_reloads: Family::default(),
            credential_reload_failures: Family::default(),
            errors: Family::default(),
            // One query alone up to 8,192 together.
            batch_size: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(1.0, 4.0, 7))
            }),
            // 0.5 ms to 8 s.
            read_seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.0005, 4.0, 8))
            }),
            budget: budget::Families::register(registry),
        };
        registry.register(
            "connected",
            "Connections of this name that are up; those that differ in credentials count apart",
            families.connected.clone(),
        );
        registry.register(
            "disconnected",
            "Connections of this name that are lost or were refused",
            families.disconnected.clone(),
        );
        registry.register(
            "stale_answers",
            "Evaluations of a sample that could not be renewed in time",
            families.stale_answers.clone(),
        );
        registry.register(
            "revalidating_evaluations",
            "Evaluations of an older sample (staleWhileRevalidate), while a newer one was read",
            families.revalidating_evaluations.clone(),
        );
        registry.register(
            "retried_queries",
            "Queries sent once more because their connection broke",
            families.retried_queries.clone(),
        );
        registry.register(
            "look_ahead_queries",
            "Queries that a batch took along before they were requested",
            families.look_ahead_queries.clone(),
        );
        registry.register(
            "notifications",
            "Changes that the backend reported of the queries of push triggers",
            families.notifications.clone(),
        );
        registry.register(
            "credential_reloads",
            "How often changed secrets of a named connection were taken into use",
            families.credential_reloads.clone(),
        );
        registry.register(
            "credential_reload_failures",
            "Attempts to use changed secrets that failed; the old ones stay in use",
            families.credential_reload_failures.clone(),
        );
        registry.register(
            "read_errors",
            "Failed reads of a query, and losses of the connection, by kind",
            families.errors.clone(),
        );
        registry.register(
            "batch_size",
            "Queries read together; the count is the number of reads",
            families.batch_size.clone(),
        );
        registry.register_with_unit(
            "read",
            "Time that a batch took",
            Unit::Seconds,
            families.read_seconds.clone(),
        );
        Connections {
            families,
            live: Arc::default(),
        }
    }

    pub fn get(&self, name: &str) -> Arc<ConnectionMetrics> {
        let mut live = self.live.lock();
        if let Some(metrics) = live.get(name).and_then(Weak::upgrade) {
            return metrics;
        }
        let labels = Labels {
            connection: LabelText(name.to_owned()),
        };
        let families = &self.families;
        let metrics = Arc::new(ConnectionMetrics {
            connected: families.connected.get_or_create_owned(&labels),
            disconnected: families.disconnected.get_or_create_owned(&labels),
            stale_answers: families.stale_answers.get_or_create_owned(&labels),
            revalidating_evaluations: families
                .revalidating_evaluations
                .get_or_create_owned(&labels),
            retried_queries: families.retried_queries.get_or_create_owned(&labels),
            look_ahead_queries: families.look_ahead_queries.get_or_create_owned(&labels),
            notifications: families.notifications.get_or_create_owned(&labels),
            credential_reloads: families.credential_reloads.get_or_create_owned(&labels),
            credential_reload_failures: families
                .credential_reload_failures
                .get_or_create_owned(&labels),
            batch_size: families.batch_size.get_or_create_owned(&labels),
            read_seconds: families.read_seconds.get_or_create_owned(&labels),
            name: name.to_owned(),
            families: families.clone(),
            live: self.live.clone(),
        });
        live.insert(name.to_owned(), Arc::downgrade(&metrics));
        metrics
    }
}

/// Whether one connection is up. Several connections may share a name, as credentials are no part
/// of it: each counts by itself, so that a wrong password does not turn a good connection red.
pub struct ConnectionStatus {
    metrics: Arc<ConnectionMetrics>,
    /// `None` before the first attempt.
    up: Mutex<Option<bool>>,
    /// `None` while there is no client that limits its own rate.
    budget: Mutex<Option<budget::Part>>,
}

impl ConnectionStatus {
    /// A connection that was not opened yet.
    pub fn new(metrics: Arc<ConnectionMetrics>) -> Self {
        ConnectionStatus {
            metrics,
            up: Mutex::new(None),
            budget: Mutex::new(None),
        }
    }

    /// The metrics that it shares with others of its name.
    pub fn metrics(&self) -> &ConnectionMetrics {
        &self.metrics
    }

    /// The connection is up or down from now on.
    pub fn set(&self, up: bool) {
        self.change(Some(up));
    }

    /// What the backend allows itself from now on; `None`: its client is gone, or limits nothing.
    pub fn set_budget(&self, budget: Option<Budget>) {
        let mut part = self.budget.lock();
        match budget {
            Some(budget) => part
                .get_or_insert_with(|| self.metrics.families.budget.part(&self.metrics.labels()))
                .set(budget),
            None => *part = None,
        }
    }

    fn change(&self, to: Option<bool>) {
        let from = std::mem::replace(&mut *self.up.lock(), to);
        if from == to {
            return;
        }
        if let Some(gauge) = from.map(|up| self.gauge(up)) {
            gauge.dec();
        }
        if let Some(gauge) = to.map(|up| self.gauge(up)) {
            gauge.inc();
        }
    }

    fn gauge(&self, up: bool) -> &Gauge {
        match up {
            true => &self.metrics.connected,
            false => &self.metrics.disconnected,
        }
    }
}

impl Drop for ConnectionStatus {
    fn drop(&mut self) {
        self.change(None);
        self.set_budget(None);
    }
}

impl ConnectionMetrics {
    /// One more failure of this kind.
    pub fn count_error(&self, kind: Kind) {
        self.families
            .errors
            .get_or_create(&self.error_labels(kind))
            .inc();
    }

    /// A batch of `size` queries that took `elapsed`.
    pub fn observe_batch(&self, size: usize, elapsed: Duration) {
        self.batch_size.observe(size as f64);
        self.read_seconds.observe(elapsed.as_secs_f64());
    }

    fn labels(&self) -> Labels {
        Labels {
            connection: LabelText(self.name.clone()),
        }
    }

    fn error_labels(&self, kind: Kind) -> ErrorLabels {
        ErrorLabels {
            connection: LabelText(self.name.clone()),
            kind: kind.label(),
        }
    }
}

impl Drop for ConnectionMetrics {
    fn drop(&mut self) {
        let mut live = self.live.lock();
        if live.get(&self.name).is_some_and(|m| m.strong_count() > 0) {
            // A new holder of the same name took over: the figures are its own now.
            return;
        }
        live.remove(&self.name);
        let labels = self.labels();
        self.families.connected.remove(&labels);
        self.families.budget.remove(&labels);
        self.families.disconnected.remove(&labels);
        self.families.stale_answers.remove(&labels);
        self.families.revalidating_evaluations.remove(&labels);
        self.families.retried_queries.remove(&labels);
        self.families.look_ahead_queries.remove(&labels);
        self.families.notifications.remove(&labels);
        self.families.credential_reloads.remove(&labels);
        self.families.credential_reload_failures.remove(&labels);
        self.families.batch_size.remove(&labels);
        self.families.read_seconds.remove(&labels);
        for kind in Kind::ALL {
            self.families.errors.remove(&self.error_labels(kind));
        }
    }
}
