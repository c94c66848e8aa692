//! A live connection: runs commands in one round trip, each with its own outcome.

use std::{collections::BTreeSet, sync::Arc};

use redis::RedisError;
use tokio::time::Instant;

use super::{
    cluster::Cluster,
    command::{Command, Reply, payloads, pipeline},
    config::{Connection, Topology},
    connect::{RedisConnector, login},
    errors::{ReadError, command_error, connection_error, is_of_connection},
    server::RedisServer,
};
use crate::{
    error::{Error, Kind, Result},
    metadata::values::HostPort,
    network::Network,
};

/// A live connection.
pub struct Client {
    connection: Connection,
    servers: Servers,
    /// Where a connection for messages is opened; a cluster has none.
    single: Option<SingleServer>,
}

/// The only server of a connection, and how to connect to it again.
pub struct SingleServer {
    pub connector: RedisConnector,
    pub address: HostPort,
    pub database: u32,
    pub server: Arc<RedisServer>,
}

enum Servers {
    Single(Arc<RedisServer>),
    Cluster(Box<Cluster>),
}

/// A server that holds keys, for a scan.
pub struct Keyspace {
    pub server: Arc<RedisServer>,
    /// Its address, if it is a node of a cluster.
    node: Option<HostPort>,
}

impl Client {
    /// Opens a connection and proves it by a command.
    pub async fn open(
        connection: &Connection,
        network: &Network,
        deadline: Instant,
    ) -> Result<Self> {
        let connector = RedisConnector::new(connection, network)?;
        let (address, database, server) = match &connection.topology {
            Topology::Single { address, database } => {
                let login = login(&connection.username, &connection.password, *database);
                let opened = connector.open(address, login, deadline).await;
                let server = opened.map_err(|error| connector.error(&error))?;
                (address.clone(), *database, server)
            }
            Topology::Sentinel { database, .. } => {
                let (address, server) = connector.open_master(deadline).await?;
                (address, *database, server)
            }
            Topology::Cluster { addresses } => {
                let cluster = Cluster::open(connector, addresses, deadline).await?;
                return Ok(Client {
                    connection: connection.clone(),
                    servers: Servers::Cluster(Box::new(cluster)),
                    single: None,
                });
            }
        };
        let server = Arc::new(server);
        Ok(Client {
            connection: connection.clone(),
            servers: Servers::Single(server.clone()),
            single: Some(SingleServer {
                connector,
                address,
                database,
                server,
            }),
        })
    }

    /// Runs the commands in one round trip for each server. `Err` means that the connection is lost.
    pub async fn run(&self, commands: &[Command<'_>], deadline: Instant) -> Result<Vec<Reply>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let replies = match &self.servers {
            Servers::Single(server) => {
                server.expect_payloads(payloads(commands.iter()));
                server.run(&pipeline(commands.iter()), deadline).await
            }
            Servers::Cluster(cluster) => cluster.run(commands, deadline).await,
        };
        let replies = replies.map_err(|error| connection_error(&error, &self.connection))?;
        let failed = |reply: &Reply| {
            reply
                .as_ref()
                .err()
                .filter(|e| is_of_connection(e))
                .cloned()
        };
        match (&self.servers, replies.iter().find_map(failed)) {
            // A cluster loses single nodes: the keys of the others still have their replies.
            (Servers::Single(_), Some(error)) => Err(connection_error(&error, &self.connection)),
            _ => Ok(replies),
        }
    }

    /// The nodes of a cluster that these keys need. Queries of the same nodes share pipelines, so
    /// that a node that hangs delays only those that need it.
    pub fn nodes_of<'a>(&self, keys: impl Iterator<Item = &'a str>) -> BTreeSet<usize> {
        match &self.servers {
            Servers::Single(_) => BTreeSet::new(),
            Servers::Cluster(cluster) => cluster.nodes_of(keys),
        }
    }

    /// The only server, if this is no cluster.
    pub fn single(&self) -> Option<&SingleServer> {
        self.single.as_ref()
    }

    /// Every server that holds keys.
    pub async fn keyspaces(&self, deadline: Instant) -> Result<Vec<Keyspace>, ReadError> {
        let cluster = match &self.servers {
            Servers::Single(server) => {
                return Ok(vec![Keyspace {
                    server: server.clone(),
                    node: None,
                }]);
            }
            Servers::Cluster(cluster) => cluster,
        };
        let masters = cluster.masters(deadline).await;
        let masters = masters
            .map_err(|error| ReadError::OfQuery(connection_error(&error, &self.connection)))?;
        let keyspaces = masters.into_iter().map(|(address, server)| match server {
            Ok(server) => Ok(Keyspace {
                server,
                node: Some(address),
            }),
            Err(error) => {
                let error = connection_error(&error, &self.connection);
                Err(ReadError::OfQuery(error.at(format_args!("node {address}"))))
            }
        });
        keyspaces.collect()
    }

    /// What an error of a scan of one keyspace means.
    pub fn scan_error(&self, error: &RedisError, keyspace: &Keyspace, glob: &str) -> ReadError {
        if !is_of_connection(error) {
            return ReadError::OfQuery(command_error(error, "SCAN", glob));
        }
        let found = connection_error(error, &self.connection);
        match &keyspace.node {
            Some(node) => ReadError::OfQuery(found.at(format_args!("node {node}"))),
            None if error.is_timeout() => ReadError::OfQuery(
                Error::new(
                    Kind::TimedOut,
                    format!("SCAN {glob}: {error}"),
                    "The server is busy or does not respond; see its SLOWLOG.",
                )
                .caused_by(error.clone()),
            ),
            None => ReadError::OfConnection(found),
        }
    }

    /// Whether the connection works, if a late response made that doubtful. `Err` means that it is
    /// lost.
    pub async fn check(&self, deadline: Instant) -> Result<()> {
        let Servers::Single(server) = &self.servers else {
            return Ok(());
        };
        if server.failure().is_none() {
            return Ok(());
        }
        let replied = server.command(redis::cmd("PING"), deadline).await;
        match replied {
            Err(error) if is_of_connection(&error) => {
                Err(connection_error(&error, &self.connection))
            }
            _ => Ok(()),
        }
    }

    /// What an error of one command means, in our words.
    pub fn error(&self, error: &RedisError, command: &Command<'_>) -> Error {
        if !is_of_connection(error) {
            return command_error(error, command.name, command.key);
        }
        let found = connection_error(error, &self.connection);
        match &self.servers {
            Servers::Single(_) => found,
            Servers::Cluster(cluster) => match cluster.address_of(command.key) {
                Some(node) => found.at(format_args!("node {node}")),
                None => found,
            },
        }
    }
}

/// What a lost connection means for a read of many round trips: a late response is its own error,
/// as the connection may be good.
pub fn of_long_read(error: Error) -> ReadError {
    match error.kind() {
        Kind::TimedOut => ReadError::OfQuery(error),
        _ => ReadError::OfConnection(error),
    }
}
