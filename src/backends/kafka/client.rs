//! An open connection: a cluster, with what is known of it.

use std::{num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::warn;

use super::{
    cluster::Cluster, config::Connection, coordinator_cache::CoordinatorCache, errors,
    history::History, protocol::BrokerError, record_cache::RecordCache, topic_cache::TopicCache,
};
use crate::{
    error::{Error, Result},
    network::Network,
};

/// An open connection.
pub struct Client {
    pub cluster: Cluster,
    /// Which topics there are.
    pub topics: TopicCache,
    /// Which broker keeps the offsets of a group.
    pub coordinators: CoordinatorCache,
    /// When records were written.
    pub records: RecordCache,
    /// What is known of groups and partitions from before.
    pub history: Arc<History>,
    /// Groups of which it was logged that they have no commits.
    without_commits: Mutex<LruCache<String, ()>>,
    connection: Connection,
}

/// Groups without commits that are logged once; more are logged again.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1000).expect("is not zero");

impl Client {
    /// Discovers the cluster, which proves the login.
    pub async fn connect(
        connection: &Connection,
        network: &Network,
        history: Arc<History>,
        deadline: Instant,
    ) -> Result<Self> {
        Ok(Client {
            cluster: Cluster::discover(connection, network, deadline).await?,
            topics: TopicCache::default(),
            coordinators: CoordinatorCache::default(),
            records: RecordCache::default(),
            history,
            without_commits: Mutex::new(LruCache::new(REMEMBERED)),
            connection: connection.clone(),
        })
    }

    /// Logs, once, that a group counts 0 as it has committed nothing, and no topic is named.
    pub fn warn_of_no_commits(&self, group: &str) {
        let mut known = self.without_commits.lock();
        if known.put(group.to_owned(), ()).is_none() {
            warn!(
                connection = %self.connection,
                group,
                "the group has no committed offsets in topics that this user may DESCRIBE, so its \
                 lag counts 0; check consumerGroup, or name the topics"
            );
        }
    }

    /// The error when no broker responds: the connection is lost.
    pub fn lost(&self, error: &BrokerError) -> Error {
        errors::of_connection(error, &self.connection)
    }
}
