//! Where the server listens.

use std::{fmt, net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::metadata::values::Span;

/// Listeners and the life of connections.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Listen {
    /// For KEDA: `host:port` or `unix:/path`.
    #[schemars(with = "String")]
    pub grpc: Address,
    /// For the status page, metrics and health: `host:port`, `unix:/path` is not possible here. `off` for none.
    #[schemars(with = "String")]
    pub admin: Admin,
    /// TLS for KEDA. Left out, plain text.
    pub tls: Option<ServerTls>,
    /// TLS for the admin listener. Left out, plain text.
    pub admin_tls: Option<ServerTls>,
    /// A file with the token that `/metrics` and the status page require: a bearer token, or the
    /// password of any user. Read at each request.
    pub admin_token_file: Option<PathBuf>,
    /// A connection closes gracefully after this, so that new replicas get their share.
    pub connection_max_age: Span,
    /// How long calls in flight on such a connection may take, and how long a stream lives.
    pub connection_max_age_grace: Span,
    /// How many connections may be open at once.
    pub max_connections: NonZeroUsize,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Span,
    /// How long the server goes on after SIGTERM, with readiness failing, before it stops accepting:
    /// the time that a load balancer or kube-proxy takes to notice.
    pub pre_stop_delay: Span,
    /// How long calls in flight may take to finish on shutdown.
    pub shutdown_grace: Span,
    /// The largest request in bytes.
    pub max_message_bytes: usize,
    /// Concurrent streams on one connection. Every push trigger holds two on KEDA's only one.
    pub max_concurrent_streams: u32,
}

impl Default for Listen {
    fn default() -> Self {
        Listen {
            grpc: Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 9090))),
            admin: Admin(Some(SocketAddr::from(([127, 0, 0, 1], 9091)))),
            tls: None,
            admin_tls: None,
            admin_token_file: None,
            connection_max_age: Span(Duration::from_secs(30 * 60)),
            connection_max_age_grace: Span(Duration::from_secs(30 * 60)),
            max_connections: NonZeroUsize::new(1_000).expect("is not zero"),
            handshake_timeout: Span(Duration::from_secs(10)),
            pre_stop_delay: Span(Duration::ZERO),
            shutdown_grace: Span(Duration::from_secs(10)),
            max_message_bytes: 1024 * 1024,
            max_concurrent_streams: 100_000,
        }
    }
}

/// A TCP address or the path of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Address::Unix(path.into())),
            Some(_) => Err(serde::de::Error::custom(format!(
                "`{text}` must be unix: and an absolute path"
            ))),
            None => tcp(&text)
                .map(Address::Tcp)
                .map_err(serde::de::Error::custom),
        }
    }
}

/// The admin listener, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admin(pub Option<SocketAddr>);

impl<'de> Deserialize<'de> for Admin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            // YAML 1.1 reads a bare `off` as false.
            "off" | "false" => Ok(Admin(None)),
            _ => tcp(&text)
                .map(|a| Admin(Some(a)))
                .map_err(serde::de::Error::custom),
        }
    }
}

fn tcp(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("`{text}` must be an address and a port, such as 127.0.0.1:9090 or [::]:9090")
    })
}

/// TLS of a listener.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerTls {
    /// Our certificate (PEM), the leaf first.
    pub cert_file: PathBuf,
    /// Its private key (PEM).
    pub key_file: PathBuf,
    /// The authority that signed the clients' certificates (PEM): a client must have one.
    pub client_ca_file: Option<PathBuf>,
    /// Names (DNS or IP) of which the client's certificate must carry one. Needs `clientCaFile`.
    pub client_names: Option<Vec<String>>,
}
