//! A backend that counts what it is requested, with the pace of a real one.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use backlog_scaler::{
    error::Result,
    metadata::{
        problem::Problems,
        signal::{Needs, Signal},
        tls::TlsKeys,
        values::{Activation, HostPort, Target},
    },
    network::Network,
    sampling::{
        Backend, Batch, ConnectionKeys, CountRule, Measured, Pace, Plan, QueriedName, TriggerKeys,
        TriggerType, TriggerTypes,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

/// Redis, Kafka or Temporal, by its number.
pub struct Queues<const KIND: usize> {
    pace: Pace,
    counts: Arc<Counts>,
}

/// What was requested.
#[derive(Default)]
pub struct Counts {
    reads: AtomicU64,
    queries: AtomicU64,
}

impl Counts {
    /// Reads, and the queries in them.
    pub fn get(&self) -> (u64, u64) {
        (self.reads.load(Relaxed), self.queries.load(Relaxed))
    }
}

impl<const KIND: usize> Queues<KIND> {
    pub fn new(pace: Pace, counts: Arc<Counts>) -> Self {
        Queues { pace, counts }
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(String);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Deserialize, JsonSchema)]
pub struct AddressKeys {
    address: String,
}

#[derive(Deserialize, JsonSchema)]
pub struct QueueKeys {
    queue: String,
}

impl<const KIND: usize> ConnectionKeys<Queues<KIND>> for AddressKeys {
    fn check(self, _: TlsKeys) -> Result<Name, Problems> {
        Ok(Name(self.address))
    }
}

impl<const KIND: usize> TriggerKeys<Queues<KIND>> for QueueKeys {
    fn check(self, needs: Needs) -> Result<Plan<Queues<KIND>>, Problems> {
        needs.supports("a simulated queue", &[Signal::Backlog])?;
        needs.no_in_flight("is not known of a simulated queue")?;
        Ok(Plan {
            readable_name: self.queue.clone(),
            query: Name(self.queue),
            rule: CountRule {
                activation: Activation(0),
            },
            target: Target(5),
        })
    }
}

impl<const KIND: usize> TriggerTypes for Queues<KIND> {
    fn trigger_types() -> Vec<TriggerType<Self>> {
        vec![TriggerType::of::<AddressKeys, QueueKeys>(Self::NAME)]
    }
}

impl<const KIND: usize> Backend for Queues<KIND> {
    const NAME: &'static str = ["redis", "kafka", "temporal"][KIND];

    type Connection = Name;
    type Query = Name;
    type Sample = u64;
    type Rule = CountRule;
    type Client = ();

    fn pace(&self, _: Duration) -> Pace {
        self.pace
    }

    fn query_bytes(query: &Name) -> usize {
        query.0.len()
    }

    fn server(connection: &Name) -> String {
        connection.0.clone()
    }

    fn recipients(_: &Name) -> Vec<HostPort> {
        Vec::new()
    }

    fn names(query: &Name) -> Vec<QueriedName<'_>> {
        vec![QueriedName::Exact(&query.0)]
    }

    async fn connect(&self, _: &Name, _: &Network, _: Instant) -> Result<()> {
        Ok(())
    }

    async fn sample(&self, (): &(), batch: Batch<Self>, _: Instant) -> Result<()> {
        let at = Instant::now();
        self.counts.reads.fetch_add(1, Relaxed);
        self.counts.queries.fetch_add(batch.len() as u64, Relaxed);
        sleep(Duration::from_millis(1)).await;
        for query in batch {
            query.complete(Ok(Measured { sample: 7, at }));
        }
        Ok(())
    }
}
