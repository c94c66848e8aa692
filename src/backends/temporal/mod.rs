//! Temporal: the backlog of task queues.
//!
//! Thousands of triggers of one namespace share one HTTP/2 connection and one request rate. The
//! README beside this file has the semantics, and how the files depend on each other.

mod backlog;
mod channel;
mod client;
mod cloud;
mod config;
mod errors;
mod in_flight;
mod keys;
mod query;
mod queue_type_usage;
mod rate_limiter;
mod request_executor;
mod requests;
mod responses;
mod rule;
mod sample;
mod server_version;
#[cfg(test)]
mod testing;
mod worker_slots;

use std::time::Duration;

use tokio::time::Instant;

pub use backlog::Backlog;
use client::Client;
use config::NamespaceKeys;
pub use config::{Connection, Temporal};
use keys::TaskQueueKeys;
pub use query::Query;
pub use rule::BacklogRule;

use crate::{
    error::Result,
    metadata::values::HostPort,
    network::Network,
    sampling::{Backend, Batch, Budget, Pace, QueriedName, TriggerType, TriggerTypes},
};

impl TriggerTypes for Temporal {
    fn trigger_types() -> Vec<TriggerType<Self>> {
        vec![TriggerType::of::<NamespaceKeys, TaskQueueKeys>("temporal")]
    }
}

impl Backend for Temporal {
    const NAME: &'static str = "temporal";

    type Connection = Connection;
    type Query = Query;
    type Sample = Backlog;
    type Rule = BacklogRule;
    type Client = Client;

    fn pace(&self, _: Duration) -> Pace {
        Pace {
            // The server keeps its own counts for 5 s: reading more often gains nothing.
            fresh_for: Duration::from_secs(5),
            // Where the rate is not enough for all, an older backlog is better than a long wait.
            stale_while_revalidate: Duration::from_secs(30),
            // As the rate limit allows: what is on its way is not requested again.
            push_interval: Duration::from_secs(1),
            shortest_push_interval: Duration::from_secs(1),
            first_call_timeout: Duration::from_secs(20),
            // The most that `minConnectTimeout` allows: each connection has its own limit.
            connect_timeout: Duration::from_secs(config::LONGEST_CONNECT),
            // The first read of a large namespace needs all of it. A dead server is noticed
            // earlier, by the timeout of each request.
            batch_timeout: Duration::from_secs(25),
            // A short query passes a long batch; all are paced by the same rate limiter.
            overlap: 64,
            // Every queue is a request of its own, whoever it is sent for: so no further ahead than
            // spares the calls the wait.
            look_ahead: 1_000,
            look_ahead_for: Duration::from_millis(750),
        }
    }

    /// KEDA's names begin with the namespace, which is part of the connection here.
    fn readable_name(connection: &Connection, planned: String) -> String {
        format!("temporal-{}-{planned}", connection.namespace)
    }

    fn query_bytes(query: &Query) -> usize {
        query.queues.bytes()
    }

    fn server(connection: &Connection) -> String {
        connection.endpoint.to_string()
    }

    fn recipients(connection: &Connection) -> Vec<HostPort> {
        vec![connection.endpoint.clone()]
    }

    fn names(query: &Query) -> Vec<QueriedName<'_>> {
        query.names()
    }

    async fn connect(
        &self,
        connection: &Connection,
        network: &Network,
        deadline: Instant,
    ) -> Result<Client> {
        Client::connect(connection, network, deadline).await
    }

    fn budget(client: &Client) -> Option<Budget> {
        Some(client.requests.budget())
    }

    async fn sample(&self, client: &Client, batch: Batch<Self>, deadline: Instant) -> Result<()> {
        sample::sample_batch(client, batch, deadline).await
    }
}
