//! The connections of one backend. Inline ones are shared if they are equal, named ones by name.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    backend::{Backend, Pace},
    connection::SharedConnection,
    connection_budget::{ConnectionBudget, Share},
    connection_state::ConnectionState,
    connection_task::{ConnectionTask, Target},
    inspection::InspectedConnection,
    limits::Limits,
    query_slot::QuerySlot,
};
use crate::{error::Result, network::Network, telemetry::Telemetry};

/// Every open connection of one backend.
pub struct ConnectionPool<B: Backend> {
    backend: Arc<B>,
    call_timeout: Duration,
    /// What inline connections may connect to.
    inline_network: Network,
    /// What those of the settings may.
    named_network: Network,
    telemetry: Telemetry,
    open: Arc<OpenConnections<B>>,
    budget: Arc<ConnectionBudget>,
}

/// Who has written a connection.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// The settings, under this name.
    Settings { name: &'a str },
    /// A trigger of this namespace.
    Trigger { namespace: &'a str },
}

/// What makes two triggers share a connection.
///
/// A named one and an inline one stay apart even if they are equal: they may connect to different
/// servers. A named one stays the same when its credentials change.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum ConnectionId<C> {
    /// The connection of this name in the settings.
    Named(Arc<str>),
    /// The connection that triggers have in their metadata.
    Inline(C),
}

/// The map of connections. Each holds a weak reference to it, and deregisters itself on drop.
pub struct OpenConnections<B: Backend>(Mutex<OpenById<B>>);

type OpenById<B> = HashMap<ConnectionId<<B as Backend>::Connection>, Weak<SharedConnection<B>>>;

impl<B: Backend> ConnectionPool<B> {
    /// A pool without connections.
    pub fn new(
        backend: B,
        limits: &Limits,
        telemetry: Telemetry,
        budget: Arc<ConnectionBudget>,
    ) -> Self {
        ConnectionPool {
            backend: Arc::new(backend),
            call_timeout: limits.call_timeout,
            inline_network: limits
                .inline_connections
                .network()
                .with_hosts(&limits.hosts),
            named_network: Network::unrestricted().with_hosts(&limits.hosts),
            telemetry,
            open: Arc::new(OpenConnections(Mutex::default())),
            budget,
        }
    }

    /// The slot of this query on this connection, for a trigger of this namespace. Opens nothing yet.
    ///
    /// The connection lives as long as one of its slots. An error: there are too many.
    pub fn slot(
        &self,
        connection: B::Connection,
        owner: Owner<'_>,
        namespace: &str,
        query: &B::Query,
    ) -> Result<Arc<QuerySlot<B>>> {
        let connection = self.connection(connection, owner)?;
        Ok(connection.slot(query, namespace))
    }

    fn connection(
        &self,
        connection: B::Connection,
        owner: Owner<'_>,
    ) -> Result<Arc<SharedConnection<B>>> {
        let (label, server) = (connection.to_string(), B::server(&connection));
        let (id, network, shares) = match owner {
            // Whoever writes triggers cannot use up what these share.
            Owner::Settings { name } => {
                let id = ConnectionId::Named(name.into());
                (id, self.named_network.clone(), Vec::new())
            }
            Owner::Trigger { namespace } => {
                let namespace = namespace.to_owned();
                let shares = vec![
                    Share::Name(namespace.clone(), label.clone()),
                    Share::Server(server.clone()),
                    Share::Namespace(namespace),
                ];
                let id = ConnectionId::Inline(connection.clone());
                (id, self.inline_network.clone(), shares)
            }
        };
        let mut open = self.open.0.lock();
        if let Some(shared) = open.get(&id).and_then(Weak::upgrade) {
            return Ok(shared);
        }
        let reservation = self.budget.reserve(shares)?;
        let task = ConnectionTask::new(
            self.backend.clone(),
            Target {
                connection,
                network,
            },
            self.call_timeout,
            ConnectionState::new(label.clone(), server, self.telemetry.connection(&label)),
        );
        let pool = Arc::downgrade(&self.open);
        let shared = SharedConnection::open(id.clone(), task, reservation, pool);
        open.insert(id, Arc::downgrade(&shared));
        Ok(shared)
    }

    /// Has a named connection use other keys, if it is open. What it has now serves until the other
    /// is proven.
    pub fn replace(&self, name: &str, connection: B::Connection) {
        let id = ConnectionId::Named(name.into());
        let shared = self.open.0.lock().get(&id).and_then(Weak::upgrade);
        if let Some(shared) = shared {
            shared.replace(connection);
        }
    }

    /// What is known of each connection.
    pub fn inspect(&self) -> Vec<InspectedConnection> {
        // Without the lock: a connection that is dropped here takes it.
        let open: Vec<_> = {
            let open = self.open.0.lock();
            open.values().filter_map(Weak::upgrade).collect()
        };
        open.iter().map(|shared| shared.inspect()).collect()
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
    pub(super) fn remove(&self, id: &ConnectionId<B::Connection>) {
        let mut open = self.0.lock();
        // A new connection may have replaced the one that is being dropped.
        if open
            .get(id)
            .is_some_and(|shared| shared.strong_count() == 0)
        {
            open.remove(id);
        }
    }
}
