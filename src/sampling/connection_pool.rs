//! The connections of one backend: equal ones are shared.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    backend::{Backend, Pace},
    connection::SharedConnection,
    connection_budget::ConnectionBudget,
    query_slot::QuerySlot,
};
use crate::{error::Result, telemetry::Telemetry};

/// Every open connection of one backend.
pub struct ConnectionPool<B: Backend> {
    backend: Arc<B>,
    call_timeout: Duration,
    telemetry: Telemetry,
    open: Arc<OpenConnections<B>>,
    budget: Arc<ConnectionBudget>,
}

/// The map of connections. Each holds a weak reference to it, and deregisters itself on drop.
pub struct OpenConnections<B: Backend>(Mutex<HashMap<B::Connection, Weak<SharedConnection<B>>>>);

impl<B: Backend> ConnectionPool<B> {
    /// A pool without connections.
    pub fn new(
        backend: B,
        call_timeout: Duration,
        telemetry: Telemetry,
        budget: Arc<ConnectionBudget>,
    ) -> Self {
        ConnectionPool {
            backend: Arc::new(backend),
            call_timeout,
            telemetry,
            open: Arc::new(OpenConnections(Mutex::default())),
            budget,
        }
    }

    /// The slot of this query on this connection. Opens nothing yet.
    ///
    /// The connection lives as long as one of its slots. An error: there are too many.
    pub fn slot(&self, connection: &B::Connection, query: &B::Query) -> Result<Arc<QuerySlot<B>>> {
        Ok(self.connection(connection)?.slot(query))
    }

    fn connection(&self, connection: &B::Connection) -> Result<Arc<SharedConnection<B>>> {
        let mut open = self.open.0.lock();
        if let Some(shared) = open.get(connection).and_then(Weak::upgrade) {
            return Ok(shared);
        }
        let name = connection.to_string();
        let reservation = self.budget.reserve(name.clone())?;
        let shared = SharedConnection::open(
            self.backend.clone(),
            connection.clone(),
            self.call_timeout,
            (self.telemetry.connection(&name), reservation),
            Arc::downgrade(&self.open),
        );
        open.insert(connection.clone(), Arc::downgrade(&shared));
        Ok(shared)
    }

    /// How many connections are held.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.open.0.lock().len()
    }

    /// The backend's own pace, for defaults.
    pub fn pace(&self) -> Pace {
        self.backend.pace(self.call_timeout)
    }
}

impl<B: Backend> OpenConnections<B> {
    /// Called by a connection that is being dropped.
    pub(super) fn remove(&self, connection: &B::Connection) {
        let mut open = self.0.lock();
        // A new connection may have replaced the one that is being dropped.
        if open
            .get(connection)
            .is_some_and(|shared| shared.strong_count() == 0)
        {
            open.remove(connection);
        }
    }
}
