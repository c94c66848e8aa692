//! The backends: a new one is a folder and a line in [`register`].

pub mod kafka;
mod pem;
pub mod redis;
pub mod temporal;
mod tls;
mod ttl_cache;

use crate::sampling::Catalog;

/// Every backend that this server answers for.
pub fn register(catalog: Catalog) -> Catalog {
    // rustls leaves the choice of cryptography to the program. Another choice made before stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
    catalog
        .with(redis::Redis)
        .with(kafka::Kafka::default())
        .with(temporal::Temporal)
}
