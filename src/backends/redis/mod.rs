//! Redis: the length of lists, sets, sorted sets, hashes and streams.
//!
//! A thousand keys of one server are one pipeline. The README beside this file has the semantics.

mod addresses;
mod client;
mod cluster;
mod config;
mod connect;
mod connection;
mod errors;
mod key_scan;
mod lists;
mod query;
mod streams;

use std::time::Duration;

use tokio::time::Instant;

use config::{ClusterKeys, ListKeys, SentinelKeys, SingleKeys, StreamKeys};
pub use connection::Connection;
pub use query::{Count, Query};

use crate::sampling::TriggerType;
use crate::{
    error::Result,
    sampling::{Backend, Batch, BatchQuery, CountRule, Pace},
};

/// The backend.
pub struct Redis;

/// One query of a batch.
type PendingQuery = BatchQuery<Query, Count>;

impl Backend for Redis {
    const NAME: &'static str = "redis";

    type Connection = Connection;
    type Query = Query;
    type Sample = Count;
    type Rule = CountRule;
    type Client = client::Client;

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

    fn pace(&self, call_timeout: Duration) -> Pace {
        Pace {
            // One pipeline after the other gathers best; the second lets plain lengths pass a
            // batch that has a large keyspace to scan.
            overlap: 2,
            ..Pace::within(call_timeout)
        }
    }

    fn query_bytes(query: &Query) -> usize {
        query.bytes()
    }

    async fn connect(&self, connection: &Connection, _deadline: Instant) -> Result<Self::Client> {
        connect::connect(connection).await
    }

    async fn sample(
        &self,
        client: &Self::Client,
        batch: Batch<Self>,
        _deadline: Instant,
    ) -> Result<()> {
        let (lists, streams): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|ask| matches!(ask.query(), Query::Lists { .. }));
        // Both go out at once; what each answers does not wait for the other.
        futures_util::future::try_join(
            lists::answer(client, lists),
            streams::answer(client, streams),
        )
        .await?;
        Ok(())
    }
}
