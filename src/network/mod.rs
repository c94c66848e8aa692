//! Which servers may be connected to.
//!
//! Whoever writes a trigger chooses an address, and the server at that address may name others. So
//! every address is checked where a connection is opened: after the name was resolved, and also
//! where a Kafka broker, a Redis cluster or a sentinel advertised it.

mod hosts;
mod rules;

use std::{
    error::Error as StdError,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::future::select_ok;
use tokio::net::{TcpStream, lookup_host};

pub use hosts::{HostMap, Mapping};
pub use rules::Rules;

use crate::{
    error::{Error, Kind},
    metadata::values::HostPort,
};

/// Opens connections to the servers that are allowed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Network(Arc<Ways>);

#[derive(Clone, Debug)]
struct Ways {
    /// `None`: every server is allowed.
    rules: Option<Rules>,
    hosts: HostMap,
}

impl Network {
    /// Every address: for connections that whoever runs this server has written.
    pub fn unrestricted() -> Self {
        Network(Arc::new(Ways {
            rules: None,
            hosts: HostMap::default(),
        }))
    }

    /// Only what the rules allow.
    pub fn restricted(rules: Rules) -> Self {
        Network(Arc::new(Ways {
            rules: Some(rules),
            hosts: HostMap::default(),
        }))
    }

    /// The same, but some servers are reached elsewhere.
    pub fn with_hosts(mut self, hosts: &HostMap) -> Self {
        Arc::make_mut(&mut self.0).hosts = hosts.clone();
        self
    }

    /// Whether there are servers that may not be connected to.
    pub fn is_restricted(&self) -> bool {
        self.0.rules.is_some()
    }

    /// Whether only listed servers may be connected to.
    pub fn has_list(&self) -> bool {
        self.0.rules.as_ref().is_some_and(|rules| rules.has_list())
    }

    /// The addresses of a server that may be connected to, at least one. The error of a server that
    /// is not allowed is [`NotAllowed`].
    pub async fn resolve(&self, server: &HostPort) -> io::Result<Vec<SocketAddr>> {
        let reached = self.0.hosts.of(server);
        let found = lookup_host((reached.host.as_str(), reached.port)).await?;
        let found: Vec<SocketAddr> = found.collect();
        if found.is_empty() {
            let what = "the name has no address";
            return Err(io::Error::new(io::ErrorKind::NotFound, what));
        }
        let allowed: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| self.allows(&server.host, address.ip(), server.port))
            .collect();
        match allowed.is_empty() {
            true => Err(NotAllowed(server.to_string()).into()),
            false => Ok(allowed),
        }
    }

    /// Connects to whichever address of a server responds first.
    pub async fn connect(&self, server: &HostPort) -> io::Result<TcpStream> {
        let addresses = self.resolve(server).await?.into_iter();
        let attempts = addresses.map(|address| Box::pin(TcpStream::connect(address)));
        let (stream, _) = select_ok(attempts).await?;
        // Requests are small, and a sample waits for each.
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn allows(&self, host: &str, ip: IpAddr, port: u16) -> bool {
        let rules = self.0.rules.as_ref();
        rules.is_none_or(|rules| rules.allow(host, ip, port))
    }
}

/// What to do about a server that is not allowed.
pub const ADVICE: &str = "Whoever runs backlog-scaler can list the server under \
    engine.inlineConnections, or give it a name under connections.";

/// A server that the settings do not allow.
#[derive(Debug)]
pub struct NotAllowed(String);

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = &self.0;
        write!(
            f,
            "this server does not connect to {server} for connections in a trigger's own metadata"
        )
    }
}

impl StdError for NotAllowed {}

impl From<NotAllowed> for io::Error {
    fn from(error: NotAllowed) -> Self {
        io::Error::new(io::ErrorKind::PermissionDenied, error)
    }
}

impl From<&NotAllowed> for Error {
    fn from(error: &NotAllowed) -> Self {
        Error::new(Kind::NotAllowed, error.to_string(), ADVICE)
    }
}

/// The refusal behind an I/O error, if that is what it is.
pub fn refusal(error: &io::Error) -> Option<&NotAllowed> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> HostPort {
        text.parse().expect("is an address")
    }

    #[tokio::test]
    async fn a_name_is_checked_after_it_was_resolved() {
        // A name of the loopback interface on every machine.
        let local = server("localhost:6379");
        let elsewhere = Rules::listed(&["10.0.0.0/8".to_owned()]).unwrap();
        let error = Network::restricted(elsewhere).resolve(&local).await;
        let error = error.expect_err("is elsewhere");
        let refused = refusal(&error).expect("is refused");
        assert!(refused.to_string().contains("localhost:6379"), "{refused}");
        let loopback = ["127.0.0.0/8".to_owned(), "[::1/128]:6379".to_owned()];
        let loopback = Network::restricted(Rules::listed(&loopback).unwrap());
        assert!(loopback.resolve(&local).await.is_ok());
    }

    #[tokio::test]
    async fn link_local_addresses_need_to_be_listed() {
        let metadata = server("169.254.169.254:80");
        let everything = Network::restricted(Rules::everything());
        let error = everything.resolve(&metadata).await.expect_err("is refused");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(
            Network::unrestricted().resolve(&metadata).await.is_ok(),
            "named connections go where the settings say"
        );
    }
}
