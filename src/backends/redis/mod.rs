//! Redis: the length of lists, sets, sorted sets, hashes and streams.
//!
//! A thousand keys of one server are one pipeline. The README beside this file has the semantics.

mod addresses;
mod batch_reader;
mod client;
mod cluster;
mod cluster_node;
mod command;
mod config;
mod connect;
mod due_sets;
mod entry_count;
mod entry_ids;
mod errors;
mod key_names;
mod key_scan;
mod keys;
mod layouts;
mod list_batch;
mod lists;
mod long_reads;
mod notifications;
mod paused_queues;
mod query;
mod read_rates;
mod rule;
mod sample;
mod server;
mod stream_batch;
mod streams;
mod transport;
mod unix_time;

use std::time::Duration;

use tokio::time::Instant;

use config::{ClusterKeys, SentinelKeys, SingleKeys};
use keys::{ListKeys, StreamKeys};

pub use config::{Connection, Redis};
pub use query::{Count, Query};
use rule::EntryRule;

use crate::{
    error::Result,
    metadata::values::HostPort,
    network::Network,
    sampling::{Backend, Batch, Pace, PushedQueries, QueriedName, TriggerType, TriggerTypes},
};

impl TriggerTypes for Redis {
    fn trigger_types() -> Vec<TriggerType<Self>> {
        vec![
            TriggerType::of::<SingleKeys, ListKeys>("redis"),
            TriggerType::of::<ClusterKeys, ListKeys>("redis-cluster"),
            TriggerType::of::<SentinelKeys, ListKeys>("redis-sentinel"),
            TriggerType::of::<SingleKeys, StreamKeys>("redis-streams"),
            TriggerType::of::<ClusterKeys, StreamKeys>("redis-cluster-streams"),
            TriggerType::of::<SentinelKeys, StreamKeys>("redis-sentinel-streams"),
        ]
    }
}

impl Backend for Redis {
    const NAME: &'static str = "redis";

    type Connection = Connection;
    type Query = Query;
    type Sample = Count;
    type Rule = EntryRule;
    type Client = sample::Session;

    fn pace(&self, call_timeout: Duration) -> Pace {
        Pace {
            push_interval: Duration::from_millis(100),
            // One pipeline after the other makes the largest batches; the second lets short reads
            // pass the batch that drives the long ones, or that waits for a node that hangs.
            overlap: 2,
            // Some 256 KiB of requests.
            look_ahead: 5_000,
            ..Pace::within(call_timeout)
        }
    }

    fn query_bytes(query: &Query) -> usize {
        query.bytes()
    }

    fn server(connection: &Connection) -> String {
        connection.topology.addresses()
    }

    fn recipients(connection: &Connection) -> Vec<HostPort> {
        connection.topology.servers().to_vec()
    }

    fn names(query: &Query) -> Vec<QueriedName<'_>> {
        query.names()
    }

    async fn connect(
        &self,
        connection: &Connection,
        network: &Network,
        deadline: Instant,
    ) -> Result<Self::Client> {
        let rates = self.rates.of(&connection.to_string());
        sample::Session::open(connection, network, rates, deadline).await
    }

    async fn sample(
        &self,
        session: &Self::Client,
        batch: Batch<Self>,
        deadline: Instant,
    ) -> Result<()> {
        session.sample(batch, deadline).await
    }

    async fn watch(&self, session: &Self::Client, pushed: PushedQueries<'_, Self>) {
        session.watch(pushed).await;
    }
}
