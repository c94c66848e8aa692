//! The Kafka backend against real brokers.

mod counting;
#[cfg(feature = "gssapi")]
mod kerberos;
mod outages;
pub mod security;
mod signals;
mod topics;

use backlog_scaler::keda::proto::ScaledObjectRef;

use testkit::{kafka::Kafka, scaler};

/// A trigger on a group's lag in one topic; nothing is remembered between evaluations, and nothing
/// old responses.
pub fn lag(kafka: &Kafka, group: &str, topic: &str) -> ScaledObjectRef {
    at(&kafka.servers(), group, topic)
}

/// The same at other servers.
pub fn at(servers: &str, group: &str, topic: &str) -> ScaledObjectRef {
    scaler::trigger([
        ("backend", "kafka"),
        ("bootstrapServers", servers),
        ("consumerGroup", group),
        ("topic", topic),
        ("freshFor", "0"),
        ("maxStaleness", "0"),
    ])
}

/// A trigger with more keys.
pub fn with<const N: usize>(trigger: ScaledObjectRef, keys: [(&str, &str); N]) -> ScaledObjectRef {
    keys.into_iter().fold(trigger, |trigger, (key, value)| {
        scaler::with(trigger, key, value)
    })
}

/// Without some keys.
pub fn without(mut trigger: ScaledObjectRef, key: &str) -> ScaledObjectRef {
    trigger.scaler_metadata.remove(key);
    trigger
}

/// Skips a test where Kafka is not installed.
macro_rules! needs_kafka {
    () => {
        if !testkit::require(testkit::kafka::available(), "Kafka") {
            return;
        }
    };
}
pub(crate) use needs_kafka;
