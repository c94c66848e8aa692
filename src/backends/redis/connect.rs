//! Opening connections: a server, or the master that sentinels name; login and TLS.

use std::sync::Arc;

use futures_util::future::select_ok;
use redis::{
    AsyncConnectionConfig, ErrorKind, RedisConnectionInfo, RedisError, Value,
    aio::{MultiplexedConnection, PubSub},
};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::{
    config::{Connection, Topology},
    errors::{connection_error, no_response},
    server::RedisServer,
    transport::{self, Allowance, ServerStream},
};
use crate::{
    backends::tls::{client_config, server_name},
    error::{Error, Kind, Result},
    metadata::{
        tls::Tls,
        values::{HostPort, Secret},
    },
    network::Network,
};

/// Opens servers with the TLS of a connection.
pub struct RedisConnector {
    pub connection: Connection,
    network: Network,
    tls: Option<(Tls, Arc<ClientConfig>)>,
}

/// As which user, and on which database.
pub fn login(
    username: &Option<String>,
    password: &Option<Secret>,
    database: u32,
) -> RedisConnectionInfo {
    // CLIENT SETINFO needs a right of its own, and is unknown before Redis 7.2.
    let mut login = RedisConnectionInfo::default()
        .set_skip_set_lib_name()
        .set_db(database.into());
    if let Some(username) = username {
        login = login.set_username(username);
    }
    if let Some(password) = password {
        login = login.set_password(password.expose());
    }
    login
}

impl RedisConnector {
    pub fn new(connection: &Connection, network: &Network) -> Result<Self> {
        let tls = match &connection.tls {
            None => None,
            Some(tls) => Some((tls.clone(), Arc::new(client_config(tls, &[])?))),
        };
        Ok(RedisConnector {
            connection: connection.clone(),
            network: network.clone(),
            tls,
        })
    }

    /// Opens a server, and proves the login by a command.
    pub async fn open(
        &self,
        address: &HostPort,
        login: RedisConnectionInfo,
        deadline: Instant,
    ) -> Result<RedisServer, RedisError> {
        let limit = deadline.saturating_duration_since(Instant::now());
        let opened = timeout_at(deadline, self.open_unlimited(address, login));
        opened.await.unwrap_or_else(|_| Err(no_response(limit)))
    }

    async fn open_unlimited(
        &self,
        address: &HostPort,
        login: RedisConnectionInfo,
    ) -> Result<RedisServer, RedisError> {
        let stream = self.open_stream(address).await?;
        let allowance = stream.allowance();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let opened = MultiplexedConnection::new_with_config(&login, stream, config);
        let (mut server, driver) = opened.await?;
        // Without its own end the driver of a server that hangs would wait for ever.
        let driver = AbortOnDropHandle::new(tokio::spawn(driver));
        // Without a password, a server that wants one says so only now.
        redis::cmd("PING").exec_async(&mut server).await?;
        Ok(RedisServer::new(server, allowance, driver))
    }

    /// Opens a connection of its own for messages, with what the server may send on it.
    pub async fn open_pub_sub(
        &self,
        address: &HostPort,
        database: u32,
        deadline: Instant,
    ) -> Result<(PubSub, Allowance), RedisError> {
        let limit = deadline.saturating_duration_since(Instant::now());
        let Connection {
            username, password, ..
        } = &self.connection;
        let login = login(username, password, database);
        let opened = timeout_at(deadline, async {
            let stream = self.open_stream(address).await?;
            let allowance = stream.allowance();
            Ok((PubSub::new(&login, stream).await?, allowance))
        });
        opened.await.unwrap_or_else(|_| Err(no_response(limit)))
    }

    async fn open_stream(&self, address: &HostPort) -> Result<ServerStream, RedisError> {
        let tls = match &self.tls {
            None => None,
            Some((tls, config)) => {
                let name = server_name(tls, "address", address).map_err(|error| {
                    let kind = ErrorKind::InvalidClientConfig;
                    (kind, "the name of the server", error.to_string())
                })?;
                Some((config.clone(), name))
            }
        };
        Ok(transport::connect(address, tls, &self.network).await?)
    }

    /// Requests the master's address of all sentinels at once, and opens the master that the first
    /// response names: a sentinel that hangs delays nothing. Returns its address with it.
    pub async fn open_master(&self, deadline: Instant) -> Result<(HostPort, RedisServer)> {
        let Topology::Sentinel {
            addresses,
            master,
            database,
            username,
            password,
        } = &self.connection.topology
        else {
            unreachable!("only called for sentinels");
        };
        let sentinels = addresses.iter().map(|sentinel| {
            Box::pin(async move {
                let login = login(username, password, 0);
                let found = self.master_from(sentinel, login, master, deadline).await;
                found.map_err(|error| self.error(&error).at(format_args!("sentinel {sentinel}")))
            })
        });
        let (address, _) = select_ok(sentinels).await?;
        let connection = &self.connection;
        let login = login(&connection.username, &connection.password, *database);
        let opened = self.open_as_master(&address, login, deadline).await;
        match opened {
            Ok(server) => Ok((address, server)),
            Err(error) => Err(error.at(format_args!("master {address}"))),
        }
    }

    /// The address that a sentinel has for the master.
    async fn master_from(
        &self,
        sentinel: &HostPort,
        login: RedisConnectionInfo,
        master: &str,
        deadline: Instant,
    ) -> Result<HostPort, RedisError> {
        let sentinel = self.open(sentinel, login, deadline).await?;
        let mut request = redis::cmd("SENTINEL");
        request.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        let address = match sentinel.command(request, deadline).await? {
            Value::Nil => None,
            value => Some(redis::from_redis_value::<(String, String)>(value)?),
        };
        let address = address.and_then(|(host, port)| HostPort::new(&host, &port).ok());
        address.ok_or_else(|| {
            let kind = ErrorKind::MasterNameNotFoundBySentinel;
            let what = "the sentinel watches no master of this name";
            (kind, what, master.to_owned()).into()
        })
    }

    /// During a failover a sentinel may still name the old master. Where the user may not send ROLE,
    /// the sentinel is believed.
    async fn open_as_master(
        &self,
        address: &HostPort,
        login: RedisConnectionInfo,
        deadline: Instant,
    ) -> Result<RedisServer> {
        let opened = self.open(address, login, deadline).await;
        let server = opened.map_err(|error| self.error(&error))?;
        let role = server.command(redis::cmd("ROLE"), deadline).await;
        match role {
            Ok(Value::Array(role)) => match role.first() {
                Some(Value::BulkString(role)) if role != b"master" => Err(Error::new(
                    Kind::Unreachable,
                    format!("the server is a {} now", String::from_utf8_lossy(role)),
                    "A failover is under way, which is usually transient.",
                )),
                _ => Ok(server),
            },
            _ => Ok(server),
        }
    }

    pub fn error(&self, error: &RedisError) -> Error {
        connection_error(error, &self.connection)
    }
}
