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

use config::{ClusterKeys, ListKeys, SentinelKeys, SingleKeys, StreamKeys};
pub use connection::Connection;
pub use query::{Count, CountRule, Query};

use crate::sampling::TriggerType;
use crate::{
    error::Result,
    sampling::{Ask, Backend, Pace},
};

/// The backend.
pub struct Redis;

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
        // A little less than a caller waits, so that it learns the reason.
        let limit = call_timeout.mul_f64(0.8);
        Pace {
            fresh_for: Duration::from_secs(1),
            first_call_timeout: Duration::from_secs(15),
            connect_timeout: limit,
            batch_timeout: limit,
            // One pipeline after the other gathers best; the second lets plain lengths pass a
            // batch that has a large keyspace to scan.
            overlap: 2,
        }
    }

    async fn connect(&self, connection: &Connection) -> Result<Self::Client> {
        connect::connect(connection).await
    }

    async fn sample(&self, client: &Self::Client, batch: Vec<Ask<Self>>) -> Result<()> {
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
