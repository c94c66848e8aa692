//! The listener's certificate.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};

/// Metrics of the certificate. Registered with the first use: a server without TLS has none.
#[derive(Clone, Default)]
pub struct CertificateMetrics {
    expiry: Gauge,
    reloads: Counter,
    reload_failures: Counter,
}

impl CertificateMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = CertificateMetrics::default();
        registry.register_with_unit(
            "certificate_expiry_timestamp",
            "When the listener's certificate expires, in Unix time",
            Unit::Seconds,
            metrics.expiry.clone(),
        );
        registry.register(
            "certificate_reloads",
            "How often a changed certificate was taken into use",
            metrics.reloads.clone(),
        );
        registry.register(
            "certificate_reload_failures",
            "How often a changed certificate could not be used, and the old one stayed",
            metrics.reload_failures.clone(),
        );
        metrics
    }

    /// When the certificate in use expires.
    pub fn expires(&self, expiry: Option<i64>) {
        self.expiry.set(expiry.unwrap_or(0));
    }

    /// A new certificate is in use.
    pub fn reloaded(&self, expiry: Option<i64>) {
        self.expires(expiry);
        self.reloads.inc();
    }

    /// A new certificate cannot be used.
    pub fn reload_failed(&self) {
        self.reload_failures.inc();
    }
}
