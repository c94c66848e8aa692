//! Logs and metrics. Nothing global but the log's subscriber: each server has its own registry.

mod budget;
mod certificate;
mod connections;
mod exposition;
mod kubernetes;
mod label;
mod log_limit;
pub mod logs;
mod rpc;
mod secrets;

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::{encoding::text, registry::Registry};

pub use budget::Budget;
pub use certificate::CertificateMetrics;
use certificate::Certificates;
use connections::Connections;
pub use connections::{ConnectionMetrics, ConnectionStatus};
pub use exposition::{Descriptor, Exposition};
pub use kubernetes::{KubernetesMetrics, WatchState, WatchStatus};
pub use label::{Escaped, LabelText};
pub use log_limit::LogLimit;
pub use rpc::Method;
use rpc::Rpcs;
pub use secrets::SecretMetrics;

/// The metrics of one server. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry(Arc<Inner>);

struct Inner {
    registry: Mutex<Registry>,
    connections: Connections,
    rpcs: Rpcs,
    certificates: Certificates,
}

/// What every metric's name begins with.
const PREFIX: &str = "backlog_scaler";

impl Default for Telemetry {
    fn default() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let info = vec![("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
        registry.register(
            "build",
            "The version that runs",
            prometheus_client::metrics::info::Info::new(info),
        );
        Telemetry(Arc::new(Inner {
            connections: Connections::register(&mut registry),
            rpcs: Rpcs::register(&mut registry),
            certificates: Certificates::register(&mut registry),
            registry: Mutex::new(registry),
        }))
    }
}

impl Telemetry {
    /// The figures of a connection, shared by all that have its name. They leave `/metrics` with
    /// the last holder.
    pub fn connection(&self, name: &str) -> ConnectionStatus {
        ConnectionStatus::new(self.0.connections.get(name))
    }

    /// Measures one call from now on, until the returned value gets its code or is dropped.
    pub fn call(&self, method: Method) -> rpc::Call {
        self.0.rpcs.start(method)
    }

    /// The metrics of a listener's certificate.
    pub fn certificate(&self, listener: &'static str) -> CertificateMetrics {
        self.0.certificates.of(listener)
    }

    /// Registers the metrics of the files of secrets.
    pub fn secrets(&self) -> SecretMetrics {
        SecretMetrics::register(&mut self.0.registry.lock())
    }

    /// Registers the metrics of the client of the Kubernetes API.
    pub fn kubernetes(&self) -> KubernetesMetrics {
        KubernetesMetrics::register(&mut self.0.registry.lock())
    }

    /// All metrics but those of triggers, without the end of the page.
    pub fn encode(&self, exposition: Exposition) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.0.registry.lock())?;
        let without_end = page.strip_suffix(exposition::END).map(str::len);
        page.truncate(without_end.unwrap_or(page.len()));
        Ok(exposition.page(page))
    }
}
