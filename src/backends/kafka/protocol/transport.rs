//! From an address to a connection that is ready: TCP, TLS, versions, login.

use std::sync::Arc;

use kafka_protocol::messages::ApiVersionsRequest;
use rustls::ClientConfig;
use tokio_rustls::TlsConnector;

use super::{
    BrokerConnection, BrokerError, ErrorCause,
    auth::{self, Login},
};
#[cfg(feature = "gssapi")]
use crate::{
    backends::kafka::sasl::Sasl,
    error::{Error, Kind},
};
use crate::{
    backends::{kafka::config::Connection, tls},
    error::Result,
    metadata::{tls::Tls, values::HostPort},
    network::Network,
};

/// How to speak to every broker of a cluster.
pub struct Security {
    network: Network,
    tls: Option<(Tls, Arc<ClientConfig>)>,
    login: Option<Login>,
}

impl Security {
    /// Reads certificates and keys, which takes a moment.
    pub fn new(connection: &Connection, network: Network) -> Result<Self> {
        let tls = match &connection.tls {
            None => None,
            Some(tls) => Some((tls.clone(), Arc::new(tls::client_config(tls, &[])?))),
        };
        #[cfg(feature = "gssapi")]
        if network.has_list() && matches!(connection.sasl, Some(Sasl::Kerberos(_))) {
            // The library contacts whatever ticket server the realm's own records name.
            return Err(Error::new(
                Kind::NotAllowed,
                "sasl: gssapi cannot be used in a trigger's own metadata, as engine.inlineConnections \
                 lists servers and ticket servers are not checked against it",
                "Whoever runs backlog-scaler can give the connection a name under connections.",
            ));
        }
        let ca = connection.tls.as_ref().and_then(|tls| tls.ca.clone());
        let login = match &connection.sasl {
            None => None,
            Some(sasl) => Some(Login::new(sasl, ca, &network)?),
        };
        Ok(Security {
            network,
            tls,
            login,
        })
    }
}

/// Opens a connection that a broker has let in.
pub async fn open(
    address: &HostPort,
    security: &Security,
) -> Result<BrokerConnection, BrokerError> {
    let stream = security.network.connect(address).await;
    let stream = stream.map_err(BrokerError::from_connecting)?;
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
            "the broker closed the connection when TLS began, as a port without TLS does",
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
