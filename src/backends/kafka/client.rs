//! A live connection: a cluster with what is known of it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    cluster::Cluster, config::Connection, errors, groups::Coordinators, progress::Progress,
    topics::Topics, wire::Failure,
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
        limit: Duration,
    ) -> Result<Self> {
        Ok(Client {
            cluster: Cluster::join(connection, Instant::now() + limit).await?,
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

/// The part of the time that is left that one try may take.
const ONE_TRY: f64 = 0.6;

/// How often what has moved is looked for: the first pause doubles until the time is up.
#[derive(Clone, Copy)]
pub struct Patience {
    pub deadline: Instant,
    pause: Duration,
}

impl Patience {
    pub fn until(deadline: Instant) -> Self {
        Patience {
            deadline,
            pause: Duration::from_millis(50),
        }
    }

    /// How long one try may take, so that another is left when nobody answers.
    pub fn one_try(&self) -> Instant {
        let left = self.deadline.saturating_duration_since(Instant::now());
        Instant::now() + left.mul_f64(ONE_TRY)
    }

    /// Whether there is time for another try.
    pub fn has_time(&self) -> bool {
        self.deadline.saturating_duration_since(Instant::now()) > self.pause * 3
    }

    /// Waits before the next try; returns the patience that is left for it.
    pub async fn wait(self) -> Self {
        tokio::time::sleep(self.pause).await;
        Patience {
            pause: self.pause * 2,
            ..self
        }
    }
}
