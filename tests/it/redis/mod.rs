//! The Redis backend against real servers.

mod layouts;
mod lists;
mod outages;
mod push;
mod security;
mod shaping;
mod signals;
mod slow;
mod streams;
mod topologies;

use backlog_scaler::keda::proto::ScaledObjectRef;

use testkit::{redis::Redis, scaler};

/// A trigger on one list of a server.
pub fn list(redis: &Redis, name: &str) -> ScaledObjectRef {
    scaler::trigger([
        ("backend", "redis"),
        ("address", &redis.address()),
        ("listName", name),
    ])
}

/// A trigger on one stream of a server.
pub fn stream<const N: usize>(
    redis: &Redis,
    name: &str,
    keys: [(&str, &str); N],
) -> ScaledObjectRef {
    let trigger = scaler::trigger([
        ("backend", "redis-streams"),
        ("address", &redis.address()),
        ("stream", name),
    ]);
    keys.into_iter().fold(trigger, |trigger, (key, value)| {
        scaler::with(trigger, key, value)
    })
}

/// Skips a test where no Redis is installed.
macro_rules! needs_redis {
    () => {
        if !testkit::require(testkit::redis::available(), "redis-server") {
            return;
        }
    };
}
pub(crate) use needs_redis;
