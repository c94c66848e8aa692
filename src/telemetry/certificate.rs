//! The listeners' certificates.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    listener: &'static str,
}

/// Metrics of all certificates.
pub(super) struct Certificates {
    expiry: Family<Labels, Gauge>,
    reloads: Family<Labels, Counter>,
    reload_failures: Family<Labels, Counter>,
}

/// Metrics of one listener's certificate.
pub struct CertificateMetrics {
    expiry: Gauge,
    reloads: Counter,
    reload_failures: Counter,
}

impl Certificates {
    pub fn register(registry: &mut Registry) -> Self {
        let certificates = Certificates {
            expiry: Family::default(),
            reloads: Family::default(),
            reload_failures: Family::default(),
        };
        registry.register_with_unit(
            "certificate_expiry_timestamp",
            "When the listener's certificate expires, in Unix time",
            Unit::Seconds,
            certificates.expiry.clone(),
        );
        registry.register(
            "certificate_reloads",
            "How often a changed certificate was taken into use",
            certificates.reloads.clone(),
        );
        registry.register(
            "certificate_reload_failures",
            "How often a changed certificate could not be used, and the old one stayed",
            certificates.reload_failures.clone(),
        );
        certificates
    }

    /// The metrics of a listener: a series for each that has a certificate.
    pub fn of(&self, listener: &'static str) -> CertificateMetrics {
        let labels = Labels { listener };
        CertificateMetrics {
            expiry: self.expiry.get_or_create_owned(&labels),
            reloads: self.reloads.get_or_create_owned(&labels),
            reload_failures: self.reload_failures.get_or_create_owned(&labels),
        }
    }
}

impl CertificateMetrics {
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
