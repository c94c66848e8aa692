//! From an address to a connection that is ready: TCP, TLS, versions, login.

use std::sync::Arc;

use kafka_protocol::messages::ApiVersionsRequest;
use rustls::ClientConfig;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::{
    BrokerConnection, BrokerError, ErrorCause,
    auth::{self, Login},
};
use crate::{
    backends::{kafka::config::Connection, tls},
    error::Result,
    metadata::{tls::Tls, values::HostPort},
};

/// How to speak to every broker of a cluster.
pub struct Security {
    tls: Option<(Tls, Arc<ClientConfig>)>,
    login: Option<Login>,
}

impl Security {
    /// Reads certificates and keys, which takes a moment.
    pub fn new(connection: &Connection) -> Result<Self> {
        let tls = match &connection.tls {
            None => None,
            Some(tls) => Some((tls.clone(), Arc::new(tls::client_config(tls, &[])?))),
        };
        let ca = connection.tls.as_ref().and_then(|tls| tls.ca.clone());
        let login = match &connection.sasl {
            None => None,
            Some(sasl) => Some(Login::new(sasl, ca)?),
        };
        Ok(Security { tls, login })
    }
}

/// Opens a connection that a broker has let in.
pub async fn open(
    address: &HostPort,
    security: &Security,
) -> Result<BrokerConnection, BrokerError> {
    let stream = connect(address).await?;
    let mut connection = match &security.tls {
        None => BrokerConnection::over(stream),
        Some((tls, config)) => {
            let name = tls::server_name(tls, "bootstrapServers", address)
                .map_err(|error| BrokerError::new(ErrorCause::Tls, error.to_string()))?;
            let connector = TlsConnector::from(config.clone());
            let handshake = connector.connect(name, stream).await;
            BrokerConnection::over(handshake.map_err(of_handshake)?)
        }
    };
    learn_versions(&mut connection).await?;
    if let Some(login) = &security.login {
        auth::log_in(&mut connection, &address.host, login).await?;
    }
    Ok(connection)
}

async fn connect(address: &HostPort) -> Result<TcpStream, BrokerError> {
    let resolved = lookup_host((address.host.as_str(), address.port)).await;
    let resolved = resolved.map_err(|error| {
        let text = error.to_string();
        BrokerError::new(ErrorCause::Unresolved, text)
    })?;
    let mut error = BrokerError::new(ErrorCause::Unresolved, "the name has no address");
    for candidate in resolved {
        match TcpStream::connect(candidate).await {
            Ok(stream) => {
                let set = stream.set_nodelay(true);
                return set.map(|()| stream).map_err(BrokerError::from_io);
            }
            Err(refused) => error = BrokerError::from_io(refused),
        }
    }
    Err(error)
}

/// A port that does not speak TLS takes our greeting for a request that is far too large, and
/// hangs up; anything else responds with what TLS cannot read.
fn of_handshake(error: std::io::Error) -> BrokerError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => {
            BrokerError::new(ErrorCause::SpeaksPlain, "the server does not speak TLS")
        }
        Some(_) => BrokerError::from_io(error),
        None => BrokerError::new(
            ErrorCause::SpeaksPlain,
            "the broker hung up when TLS began, as a port without TLS does",
        ),
    }
}

/// Every broker since Kafka 0.10 supports version 0 of this request.
async fn learn_versions(connection: &mut BrokerConnection) -> Result<(), BrokerError> {
    let response = connection.call(&ApiVersionsRequest::default(), 0).await?;
    if let Some(error) = BrokerError::from_number(response.error) {
        return Err(error);
    }
    connection.versions = response.versions.into_iter().collect();
    Ok(())
}
