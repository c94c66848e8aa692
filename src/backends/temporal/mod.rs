//! Temporal: the backlog of task queues.
//!
//! Thousands of triggers of one namespace share one HTTP/2 connection and one request budget. The
//! README beside this file has the semantics.

mod channel;
mod client;
mod cloud;
mod config;
mod errors;
mod keys;
mod query;
mod queue_type_usage;
mod rate_limiter;
mod requests;
mod sample;
mod server_version;

use std::time::Duration;

use tokio::time::Instant;

pub use config::Connection;
use config::NamespaceKeys;
use keys::TaskQueueKeys;
pub use query::Query;
use query::{BacklogRule, QueueType};

use crate::sampling::TriggerType;
use crate::{
    error::Result,
    sampling::{Backend, Batch, BatchQuery, Pace},
};

/// The backend.
pub struct Temporal;

/// What a query counted: tasks that wait, by type, and what else keeps a trigger active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Workflow tasks.
    pub workflow: u64,
    /// Activity tasks.
    pub activity: u64,
    /// Nexus tasks. No server counts them so far.
    pub nexus: u64,
    /// Workflows that run whether or not a task waits.
    pub running: Live,
}

/// Whether work is under way that the backlog does not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Live {
    /// Not asked for, or the backlog says enough.
    #[default]
    NotAsked,
    /// Running workflows were counted: this many, at least.
    Workflows(u64),
    /// The version has pinned workflows that have not ended.
    Draining,
}

impl Backlog {
    fn add(&mut self, queue_type: QueueType, tasks: u64) {
        let sum = match queue_type {
            QueueType::Workflow => &mut self.workflow,
            QueueType::Activity => &mut self.activity,
            QueueType::Nexus => &mut self.nexus,
        };
        *sum = sum.saturating_add(tasks);
    }

    /// All tasks that wait.
    pub fn total(&self) -> u64 {
        self.workflow
            .saturating_add(self.activity)
            .saturating_add(self.nexus)
    }
}

impl Live {
    /// Whether it keeps a trigger active.
    pub fn keeps_active(self) -> bool {
        match self {
            Live::NotAsked => false,
            Live::Workflows(workflows) => workflows > 0,
            Live::Draining => true,
        }
    }
}

/// One query of a batch.
type PendingQuery = BatchQuery<Query, Backlog>;

impl Backend for Temporal {
    const NAME: &'static str = "temporal";

    type Connection = Connection;
    type Query = Query;
    type Sample = Backlog;
    type Rule = BacklogRule;
    type Client = client::Client;

    fn trigger_types() -> Vec<TriggerType<Self>> {
        vec![TriggerType::of::<NamespaceKeys, TaskQueueKeys>("temporal")]
    }

    fn pace(&self, _: Duration) -> Pace {
        Pace {
            // The server keeps its own counts for 5 s: asking more often gains nothing.
            fresh_for: Duration::from_secs(5),
            first_call_timeout: Duration::from_secs(20),
            // Every connection has a limit of its own, `minConnectTimeout`, of at most this.
            connect_timeout: Duration::from_secs(61),
            // A cold sweep of a large namespace fills the whole of it. That a server is dead is
            // seen by the limit of each request.
            batch_timeout: Duration::from_secs(30),
            // A short question passes a long sweep; both are paced by the same budget.
            overlap: 16,
        }
    }

    /// KEDA's names begin with the namespace, which is part of the connection here.
    fn readable_name(connection: &Connection, planned: String) -> String {
        format!("temporal-{}-{planned}", connection.namespace)
    }

    fn query_bytes(query: &Query) -> usize {
        query.queues.bytes()
    }

    async fn connect(&self, connection: &Connection, _deadline: Instant) -> Result<Self::Client> {
        channel::connect(connection).await
    }

    async fn sample(
        &self,
        client: &Self::Client,
        batch: Batch<Self>,
        _deadline: Instant,
    ) -> Result<()> {
        sample::answer(client, batch).await
    }
}
