//! A live connection: a cluster with what is known of it.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    cluster::Cluster, config::Connection, coordinator_cache::Coordinators, errors,
    protocol::Failure, stall_tracker::Progress, topic_cache::Topics,
};
use crate::error::{Error, Result};

/// A live connection.
pub struct Client {
    pub cluster: Cluster,
    /// Which topics there are.
    pub topics: Topics,
    /// Which broker keeps the offsets of a group.
    pub coordinators: Coordinators,
    /// Since when groups are where they are.
    pub progress: Arc<Progress>,
    connection: Connection,
}

impl Client {
    /// Finds the cluster, which proves that it lets us in.
    pub async fn connect(
        connection: &Connection,
        progress: Arc<Progress>,
        deadline: Instant,
    ) -> Result<Self> {
        Ok(Client {
            cluster: Cluster::join(connection, deadline).await?,
            topics: Topics::default(),
            coordinators: Coordinators::default(),
            progress,
            connection: connection.clone(),
        })
    }

    /// No broker answers: the connection is lost.
    pub fn lost(&self, failure: &Failure) -> Error {
        errors::of_connection(failure, &self.connection)
    }
}
