//! Opening connections: a server, or the master that sentinels name; login and TLS.

use std::net::SocketAddr;

use futures_util::future::select_ok;
use redis::{
    AsyncConnectionConfig, Client as RedisClient, ClientTlsConfig, ConnectionAddr, ErrorKind,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, TlsCertificates, Value,
    aio::MultiplexedConnection, io::AsyncDNSResolver,
};
use tokio::time::{Instant, timeout_at};

use super::{
    config::{Connection, Topology},
    errors::{connection_error, no_response},
    server::RedisServer,
};
use crate::{
    backends::tls::plain_key,
    error::{Error, Kind, Result},
    metadata::values::{HostPort, Secret},
    network::Network,
};

/// Opens servers with the TLS of a connection.
pub struct RedisConnector {
    pub connection: Connection,
    network: Network,
    certificates: TlsCertificates,
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
        let tls = connection.tls.as_ref();
        let client_tls = match tls.and_then(|tls| tls.identity.as_ref()) {
            None => None,
            Some(identity) => Some(ClientTlsConfig {
                client_cert: identity.cert.clone().into_bytes(),
                client_key: plain_key(identity)?.expose().as_bytes().to_vec(),
            }),
        };
        let certificates = TlsCertificates {
            client_tls,
            root_cert: tls.and_then(|tls| tls.ca.clone()).map(String::into_bytes),
        };
        Ok(RedisConnector {
            connection: connection.clone(),
            network: network.clone(),
            certificates,
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
        let connection = opened.await.unwrap_or_else(|_| Err(no_response(limit)))?;
        Ok(RedisServer::new(connection))
    }

    async fn open_unlimited(
        &self,
        address: &HostPort,
        login: RedisConnectionInfo,
    ) -> Result<MultiplexedConnection, RedisError> {
        // Resolved here, so that what is connected to is what was checked.
        let addresses = self.network.resolve(address).await?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_dns_resolver(Resolved(addresses));
        let tls = self.connection.tls.as_ref();
        let mut named = address.clone();
        if let Some(name) = tls.and_then(|tls| tls.server_name.clone()) {
            named.host = name;
        }
        let address = match tls {
            None => ConnectionAddr::Tcp(named.host, named.port),
            Some(tls) => ConnectionAddr::TcpTls {
                host: named.host,
                port: named.port,
                insecure: tls.skip_verify,
                tls_params: None,
            },
        };
        let info = address.into_connection_info()?.set_redis_settings(login);
        let client = match tls {
            Some(_) => RedisClient::build_with_tls(info, self.certificates.clone())?,
            None => RedisClient::open(info)?,
        };
        let opened = client.get_multiplexed_async_connection_with_config(&config);
        let mut server = opened.await?;
        // Without a password, a server that wants one says so only now.
        redis::cmd("PING").exec_async(&mut server).await?;
        Ok(server)
    }

    /// Requests the master's address of all sentinels at once, and opens the master that the first
    /// response names: a sentinel that hangs delays nothing.
    pub async fn open_master(&self, deadline: Instant) -> Result<RedisServer> {
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
        opened.map_err(|error| error.at(format_args!("master {address}")))
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

/// Resolves whatever name to the addresses of one server: the name is what its certificate carries.
struct Resolved(Vec<SocketAddr>);

impl AsyncDNSResolver for Resolved {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _: &'b str,
        _: u16,
    ) -> redis::RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        let addresses = self.0.clone().into_iter();
        Box::pin(async move { Ok(Box::new(addresses) as Box<dyn Iterator<Item = _> + Send>) })
    }
}
