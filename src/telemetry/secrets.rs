//! The files of secrets.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// Counts files that changed and cannot be used. Registered with the first use: a server whose
/// connections have no files has none.
#[derive(Clone, Default)]
pub struct SecretMetrics {
    failures: Counter,
}

impl SecretMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = SecretMetrics::default();
        registry.register(
            "secret_reload_failures",
            "How often files of named connections changed and could not be used",
            metrics.failures.clone(),
        );
        metrics
    }

    /// A file has changed and cannot be used.
    pub fn reload_failed(&self) {
        self.failures.inc();
    }
}
