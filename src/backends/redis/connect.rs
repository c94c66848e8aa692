//! Opening connections: a single server, a cluster, or the master that sentinels name.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::select_ok;
use redis::{
    AsyncConnectionConfig, Client as RedisClient, ClientTlsConfig, ConnectionAddr, ErrorKind,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, TlsCertificates, Value,
    aio::MultiplexedConnection,
    cluster::{ClusterClientBuilder, TlsMode},
    io::AsyncDNSResolver,
};

use super::{
    client::Client,
    cluster::Cluster,
    connection::{Connection, Topology},
    errors::connection_error,
};
use crate::{
    backends::tls::plain_key,
    error::{Error, Kind, Result},
    metadata::{
        tls::Tls,
        values::{HostPort, Secret},
    },
};

/// Opens a connection and proves it by a command.
pub async fn connect(connection: &Connection) -> Result<Client> {
    let certificates = certificates(connection)?;
    match &connection.topology {
        Topology::Single { address, database } => {
            let login = login(&connection.username, &connection.password, *database);
            let opener = Opener {
                connection,
                certificates,
            };
            let server = opener.open(address, login).await?;
            Ok(Client::single(server, connection.clone()))
        }
        Topology::Cluster { addresses } => {
            let cluster = open_cluster(connection, addresses, certificates).await?;
            Ok(Client::cluster(cluster, connection.clone()))
        }
        Topology::Sentinel { .. } => {
            let opener = Opener {
                connection,
                certificates,
            };
            let server = opener.open_master().await?;
            Ok(Client::single(server, connection.clone()))
        }
    }
}

fn login(
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

fn certificates(connection: &Connection) -> Result<TlsCertificates> {
    let tls = connection.tls.as_ref();
    let identity = tls.and_then(|tls| tls.identity.as_ref());
    let client_tls = match identity {
        None => None,
        Some(identity) => Some(ClientTlsConfig {
            client_cert: identity.cert.clone().into_bytes(),
            client_key: plain_key(identity)?.expose().as_bytes().to_vec(),
        }),
    };
    Ok(TlsCertificates {
        client_tls,
        root_cert: tls.and_then(|tls| tls.ca.clone()).map(String::into_bytes),
    })
}

/// Opens single servers with the connection's TLS.
struct Opener<'a> {
    connection: &'a Connection,
    certificates: TlsCertificates,
}

impl Opener<'_> {
    async fn open(
        &self,
        address: &HostPort,
        login: RedisConnectionInfo,
    ) -> Result<MultiplexedConnection> {
        // Time limits are the engine's.
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let mut named = address.clone();
        if let Some(name) = self
            .connection
            .tls
            .as_ref()
            .and_then(|tls| tls.server_name.clone())
        {
            config = config.set_dns_resolver(AlwaysTo(address.clone()));
            named.host = name;
        }
        let opened = async {
            let info = node(&named, &self.connection.tls)
                .into_connection_info()?
                .set_redis_settings(login);
            let client = match self.connection.tls {
                Some(_) => RedisClient::build_with_tls(info, self.certificates.clone())?,
                None => RedisClient::open(info)?,
            };
            let mut server = client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            // Without a password, a server that wants one says so only now.
            redis::cmd("PING").exec_async(&mut server).await?;
            Ok(server)
        };
        opened
            .await
            .map_err(|error| connection_error(&error, self.connection))
    }

    /// Asks all sentinels at once, and opens the master that the first one names that answers: one
    /// that hangs holds nobody up.
    async fn open_master(&self) -> Result<MultiplexedConnection> {
        let Topology::Sentinel {
            addresses,
            master,
            database,
            ..
        } = &self.connection.topology
        else {
            unreachable!("only called for sentinels");
        };
        let asked = addresses
            .iter()
            .map(|sentinel| Box::pin(self.master_from(sentinel, master)));
        let (address, _) = select_ok(asked).await?;
        let login = login(
            &self.connection.username,
            &self.connection.password,
            *database,
        );
        let opened = self.open(&address, login).await;
        let mut server = opened.map_err(|error| error.at(format_args!("master {address}")))?;
        check_role(&mut server, &address).await?;
        Ok(server)
    }

    /// Where a sentinel says that the master is.
    async fn master_from(&self, sentinel: &HostPort, master: &str) -> Result<HostPort> {
        let Topology::Sentinel {
            username, password, ..
        } = &self.connection.topology
        else {
            unreachable!("only called for sentinels");
        };
        let found = match self.open(sentinel, login(username, password, 0)).await {
            Ok(mut opened) => ask_for_master(&mut opened, master)
                .await
                .map_err(|error| connection_error(&error, self.connection)),
            Err(error) => Err(error),
        };
        found.map_err(|error| error.at(format_args!("sentinel {sentinel}")))
    }
}

async fn ask_for_master(
    sentinel: &mut MultiplexedConnection,
    master: &str,
) -> Result<HostPort, RedisError> {
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let address: Option<(String, String)> = command.query_async(sentinel).await?;
    let address = address.and_then(|(host, port)| HostPort::new(&host, &port).ok());
    address.ok_or_else(|| {
        let what = "the sentinel watches no master of this name";
        (
            ErrorKind::MasterNameNotFoundBySentinel,
            what,
            master.to_owned(),
        )
            .into()
    })
}

/// During a failover a sentinel may still name the old master. A user without the right to ask is
/// believed.
async fn check_role(server: &mut MultiplexedConnection, address: &HostPort) -> Result<()> {
    let role: Result<Vec<Value>, RedisError> = redis::cmd("ROLE").query_async(server).await;
    match role.as_deref() {
        Ok([Value::BulkString(role), ..]) if role != b"master" => Err(Error::new(
            Kind::Unreachable,
            format!("{address} is a {} now", String::from_utf8_lossy(role)),
            "A failover is under way; this passes by itself.",
        )),
        _ => Ok(()),
    }
}

const NODE_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const NODE_RESPONSE_TIMEOUT: Duration = Duration::from_millis(1500);

async fn open_cluster(
    connection: &Connection,
    addresses: &[HostPort],
    certificates: TlsCertificates,
) -> Result<Cluster> {
    let nodes = addresses
        .iter()
        .map(|address| node(address, &connection.tls));
    let mut builder = ClusterClientBuilder::new(nodes)
        // Shorter than a batch may take, so that a node that hangs fails its own keys alone.
        .retries(1)
        .connection_timeout(NODE_CONNECT_TIMEOUT)
        .response_timeout(NODE_RESPONSE_TIMEOUT);
    if let Some(username) = &connection.username {
        builder = builder.username(username);
    }
    if let Some(password) = &connection.password {
        builder = builder.password(password.expose());
    }
    if let Some(tls) = &connection.tls {
        builder = builder
            .tls(if tls.skip_verify {
                TlsMode::Insecure
            } else {
                TlsMode::Secure
            })
            .certs(certificates);
    }
    let opened = async {
        let client = builder.build()?;
        Cluster::open(client.get_async_connection().await?).await
    };
    opened
        .await
        .map_err(|error| connection_error(&error, connection))
}

fn node(address: &HostPort, tls: &Option<Tls>) -> ConnectionAddr {
    let host = address.host.clone();
    match tls {
        None => ConnectionAddr::Tcp(host, address.port),
        Some(tls) => ConnectionAddr::TcpTls {
            host,
            port: address.port,
            insecure: tls.skip_verify,
            tls_params: None,
        },
    }
}

/// Resolves whatever name to one server: the name is what its certificate carries.
struct AlwaysTo(HostPort);

impl AsyncDNSResolver for AlwaysTo {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _: &'b str,
        _: u16,
    ) -> redis::RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((self.0.host.as_str(), self.0.port)).await?;
            let found: Vec<SocketAddr> = found.collect();
            Ok(Box::new(found.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}
