//! Kafka: the lag of consumer groups.
//!
//! One connection to each broker; a batch is a few requests for each, all under way at once. The
//! README beside this file has the semantics.

mod batch;
mod client;
mod cluster;
mod committed_offsets;
mod config;
mod coordinator_cache;
mod end_tracker;
mod errors;
mod eviction;
mod history;
mod keys;
mod log_offsets;
mod partition_list;
mod partition_selection;
mod progress_tracker;
mod protocol;
mod query;
mod recent;
mod record_cache;
mod record_reads;
mod record_times;
mod retry;
mod rule;
mod sample;
mod sasl;
mod stall_tracker;
#[cfg(test)]
mod testing;
mod topic_cache;

use std::time::Duration;

use tokio::time::Instant;

use client::Client;
use config::ClusterKeys;
pub use config::{Connection, Kafka};
use keys::{LagKeys, OneTopic};
pub use query::{Query, Sample};
use rule::LagRule;
use sasl::Sasl;

use crate::{
    error::Result,
    metadata::values::{HostPort, NameList},
    network::Network,
    sampling::{Backend, Batch, Pace, QueriedName, TriggerType, TriggerTypes},
};

impl TriggerTypes for Kafka {
    fn trigger_types() -> Vec<TriggerType<Self>> {
        vec![
            TriggerType::of::<ClusterKeys, LagKeys<OneTopic>>("kafka"),
            TriggerType::of::<ClusterKeys, LagKeys<NameList>>("apache-kafka"),
        ]
    }
}

impl Backend for Kafka {
    const NAME: &'static str = "kafka";

    type Connection = Connection;
    type Query = Query;
    type Sample = Sample;
    type Rule = LagRule;
    type Client = Client;

    fn pace(&self, call_timeout: Duration) -> Pace {
        Pace {
            fresh_for: Duration::from_secs(2),
            push_interval: Duration::from_millis(500),
            shortest_push_interval: Duration::from_millis(100),
            // A batch that waits for a broker that is down, or for a coordinator that moves, does
            // not hold up the next ones.
            overlap: 4,
            // A few requests to each broker.
            look_ahead: 1_000,
            look_ahead_for: Duration::from_millis(1500),
            ..Pace::within(call_timeout)
        }
    }

    fn query_bytes(query: &Query) -> usize {
        query.bytes()
    }

    fn server(connection: &Connection) -> String {
        connection.addresses()
    }

    fn recipients(connection: &Connection) -> Vec<HostPort> {
        let token_endpoint = connection.sasl.as_ref().and_then(Sasl::token_endpoint);
        let brokers = connection.servers.iter().cloned();
        brokers.chain(token_endpoint).collect()
    }

    fn names(query: &Query) -> Vec<QueriedName<'_>> {
        query.names()
    }

    fn process_credentials(connection: &Connection) -> Option<&'static str> {
        connection.sasl.as_ref()?.process_credentials()
    }

    async fn connect(
        &self,
        connection: &Connection,
        network: &Network,
        deadline: Instant,
    ) -> Result<Self::Client> {
        let history = self.histories.of(&connection.to_string());
        Client::connect(connection, network, history, deadline).await
    }

    async fn sample(
        &self,
        client: &Self::Client,
        batch: Batch<Self>,
        deadline: Instant,
    ) -> Result<()> {
        sample::sample_batch(client, batch, deadline).await
    }
}
