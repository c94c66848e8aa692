//! An open connection: a cluster, with what is known of it.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    cluster::Cluster, config::Connection, coordinator_cache::CoordinatorCache, errors,
    protocol::BrokerError, stall_tracker::StallTracker, topic_cache::TopicCache,
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
    /// Since when groups are where they are.
    pub stalls: Arc<StallTracker>,
    connection: Connection,
}

impl Client {
    /// Discovers the cluster, which proves the login.
    pub async fn connect(
        connection: &Connection,
        network: &Network,
        stalls: Arc<StallTracker>,
        deadline: Instant,
    ) -> Result<Self> {
        Ok(Client {
            cluster: Cluster::discover(connection, network, deadline).await?,
            topics: TopicCache::default(),
            coordinators: CoordinatorCache::default(),
            stalls,
            connection: connection.clone(),
        })
    }

    /// The error when no broker responds: the connection is lost.
    pub fn lost(&self, error: &BrokerError) -> Error {
        errors::of_connection(error, &self.connection)
    }
}
