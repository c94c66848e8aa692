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
mod errors;
mod keys;
mod lag;
mod log_offsets;
mod partition_list;
mod partition_selection;
mod protocol;
mod query;
mod retry;
mod sample;
mod sasl;
mod stall_tracker;
#[cfg(test)]
mod testing;
mod topic_cache;

use std::{sync::OnceLock, time::Duration};

use client::Client;
use config::ClusterKeys;
pub use config::Connection;
use keys::{LagKeys, OneTopic};
use lag::LagRule;
pub use lag::Sample;
pub use query::Query;
use stall_tracker::Memory;

use crate::sampling::TriggerType;
use crate::{
    error::Result,
    metadata::values::NameList,
    sampling::{Ask, Backend, Pace},
};

/// The backend.
#[derive(Default)]
pub struct Kafka {
    /// What outlives a connection.
    memory: Memory,
    /// How long connecting and reading may take by the engine's clock.
    limit: OnceLock<Duration>,
}

/// The part of the engine's limit after which we give up by ourselves, so that the reason is told.
const OURS: f64 = 0.85;

impl Kafka {
    fn limit(&self) -> Duration {
        let engines = self.limit.get().copied();
        engines.unwrap_or(Duration::from_secs(2)).mul_f64(OURS)
    }
}

impl Backend for Kafka {
    const NAME: &'static str = "kafka";

    type Connection = Connection;
    type Query = Query;
    type Sample = Sample;
    type Rule = LagRule;
    type Client = Client;

    fn trigger_types() -> Vec<TriggerType<Self>> {
        vec![
            TriggerType::of::<ClusterKeys, LagKeys<OneTopic>>("kafka"),
            TriggerType::of::<ClusterKeys, LagKeys<NameList>>("apache-kafka"),
        ]
    }

    fn pace(&self, call_timeout: Duration) -> Pace {
        // A little less than a caller waits, so that it learns the reason.
        let limit = call_timeout.mul_f64(0.8);
        // A backend has one engine, which has one timeout.
        let limit = *self.limit.get_or_init(|| limit);
        Pace {
            fresh_for: Duration::from_secs(2),
            first_call_timeout: Duration::from_secs(15),
            connect_timeout: limit,
            batch_timeout: limit,
            // A batch that waits for a broker that is down, or for a coordinator that moves, does
            // not hold up the next ones.
            overlap: 4,
        }
    }

    async fn connect(&self, connection: &Connection) -> Result<Self::Client> {
        Client::connect(connection, self.memory.of(connection), self.limit()).await
    }

    async fn sample(&self, client: &Self::Client, batch: Vec<Ask<Self>>) -> Result<()> {
        sample::answer(client, batch, self.limit()).await
    }
}
