//! The backend of an example: a real server.

use super::{Result, local::Local};
use crate::{
    kafka::{self, Kafka},
    redis::{self, Redis},
    temporal::{self, Temporal},
};

/// A running one. It ends when it is dropped.
pub enum Server {
    Temporal(Box<Temporal>),
    Redis(Box<Redis>),
    Kafka(&'static Kafka),
}

impl Server {
    /// Starts the server that `local.yaml` names.
    pub async fn start(local: &Local) -> Result<Self> {
        let missing = |what: &str| Err(format!("{what} is not installed; `make example` does it"));
        match local.server.as_str() {
            "temporal" if !temporal::available() => missing("Temporal's server"),
            "redis" if !redis::available() => missing("redis-server"),
            "kafka" if !kafka::available() => missing("Kafka"),
            "temporal" => Ok(Server::Temporal(Box::new(
                Temporal::builder().start().await,
            ))),
            "redis" => Ok(Server::Redis(Box::new(Redis::start().await))),
            "kafka" => {
                let kafka = kafka::one().await;
                for (topic, partitions) in &local.topics {
                    kafka.create_topic(topic, *partitions).await;
                }
                // The first commit has the broker create its topic of offsets, which takes seconds
                // in which no lag can be read.
                if let Some(topic) = local.topics.keys().next() {
                    kafka.commit("example", topic, &[(0, 0)]);
                }
                Ok(Server::Kafka(kafka))
            }
            other => Err(format!(
                "local.yaml: server: {other} is none of temporal, redis and kafka"
            )),
        }
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        match self {
            Server::Temporal(server) => server.address(),
            Server::Redis(server) => server.address(),
            Server::Kafka(server) => server.servers(),
        }
    }
}
