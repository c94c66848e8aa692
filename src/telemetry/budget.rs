//! Figures of backends that limit the rate of their own requests.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::connections::Labels;

/// The requests that a backend allows itself on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// Requests a second, now.
    pub allowed: f64,
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// How long a request that comes now waits for its turn.
    pub expected_wait: Duration,
    /// Requests that were sent since the connection was opened.
    pub sent: u64,
    /// Those of them that the server refused for their rate.
    pub refused: u64,
}

type FloatGauge = Gauge<f64, AtomicU64>;

/// The figures of all connections, by name.
#[derive(Clone, Default)]
pub(super) struct Families {
    allowed: Family<Labels, FloatGauge>,
    waiting: Family<Labels, Gauge>,
    sent: Family<Labels, Counter>,
    refused: Family<Labels, Counter>,
}

impl Families {
    pub fn register(registry: &mut Registry) -> Self {
        let families = Families::default();
        registry.register(
            "budget_requests_per_second",
            "Requests a second that a backend allows itself now, of those that limit their own rate",
            families.allowed.clone(),
        );
        registry.register(
            "budget_waiting_requests",
            "Requests that wait for their turn within the budget",
            families.waiting.clone(),
        );
        registry.register(
            "budget_requests",
            "Requests that were sent within the budget",
            families.sent.clone(),
        );
        registry.register(
            "budget_refused_requests",
            "Requests that the server refused for their rate",
            families.refused.clone(),
        );
        families
    }

    /// The part of one connection in the figures of its name.
    pub fn part(&self, labels: &Labels) -> Part {
        Part {
            allowed: self.allowed.get_or_create_owned(labels),
            waiting: self.waiting.get_or_create_owned(labels),
            sent: self.sent.get_or_create_owned(labels),
            refused: self.refused.get_or_create_owned(labels),
            last: Budget::default(),
        }
    }

    pub fn remove(&self, labels: &Labels) {
        self.allowed.remove(labels);
        self.waiting.remove(labels);
        self.sent.remove(labels);
        self.refused.remove(labels);
    }
}

/// What one connection adds to the figures of its name, which it may share with others.
pub(super) struct Part {
    allowed: FloatGauge,
    waiting: Gauge,
    sent: Counter,
    refused: Counter,
    last: Budget,
}

impl Part {
    pub fn set(&mut self, budget: Budget) {
        self.allowed.inc_by(budget.allowed - self.last.allowed);
        self.waiting
            .inc_by(budget.waiting as i64 - self.last.waiting as i64);
        // A new client of the connection counts anew.
        self.sent.inc_by(budget.sent.saturating_sub(self.last.sent));
        self.refused
            .inc_by(budget.refused.saturating_sub(self.last.refused));
        self.last = budget;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.allowed.inc_by(-self.last.allowed);
        self.waiting.inc_by(-(self.last.waiting as i64));
    }
}
