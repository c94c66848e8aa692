//! The backends: a new one is a folder and a line in [`register`].

pub mod kafka;
#[cfg(test)]
mod precedence;
pub mod redis;
#[cfg(test)]
mod template;
pub mod temporal;
pub mod tls;
mod ttl_cache;

use crate::sampling::Registry;

/// Every backend of this server.
pub fn register(registry: Registry) -> Registry {
    // rustls leaves the choice of cryptography to the program. Another choice made before stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
    registry
        .with(redis::Redis::default())
        .with(kafka::Kafka::default())
        .with(temporal::Temporal)
}
