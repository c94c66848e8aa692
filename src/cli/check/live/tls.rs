//! TLS to the server: what it is made of, the handshake, and what mends one that fails.

use std::{io, path::Path, sync::Arc};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    backends::tls,
    error::{Error, Kind, Result},
    metadata::{
        tls::{self as keys, Identity},
        values::{HostPort, Secret},
    },
};

/// What a client of HTTP/2 sends first, with empty settings (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// What TLS to the server is made of, in PEM.
pub struct Files<'a> {
    /// Left out, the system's authorities are trusted.
    pub ca: Option<&'a Path>,
    /// A client's certificate and its key.
    pub identity: Option<(&'a Path, &'a Path)>,
}

/// TLS to the server.
#[derive(Clone)]
pub struct Tls {
    keys: keys::Tls,
    config: Arc<ClientConfig>,
}

impl Tls {
    /// With these files, and this name in the server's certificate; `None`: that of its address.
    pub fn new(files: &Files<'_>, name: Option<&str>) -> Result<Self> {
        let ca = files.ca.map(|path| read("--ca-cert", path)).transpose()?;
        let identity = match files.identity {
            None => None,
            Some((cert, key)) => Some(Identity {
                cert: read("--cert", cert)?,
                key: Secret::from(read("--key", key)?.as_str()),
                key_password: None,
            }),
        };
        let keys = keys::Tls {
            skip_verify: false,
            ca,
            identity,
            server_name: name.map(str::to_owned),
        };
        let config = tls::client_config(&keys, &[b"h2"]).map_err(|error| {
            let what = format!("of --ca-cert, --cert and --key, {error}");
            Error::new(Kind::Invalid, what, "")
        })?;
        let config = Arc::new(config);
        Ok(Tls { keys, config })
    }

    /// A new connection.
    pub async fn open(&self, server: &HostPort) -> io::Result<TlsStream<TcpStream>> {
        let name = self.name(server).map_err(io::Error::other)?;
        let stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
        TlsConnector::from(self.config.clone())
            .connect(name, stream)
            .await
    }

    /// A handshake, and the server's first byte: in TLS 1.3 a server that misses the client's
    /// certificate says so after the client's part of the handshake.
    pub async fn prove(&self, server: &HostPort) -> io::Result<()> {
        let mut stream = self.open(server).await?;
        // A server that has closed by now left its reason to be read.
        let sent = stream.write_all(PREFACE).await;
        let sent = match sent {
            Ok(()) => stream.flush().await,
            Err(error) => Err(error),
        };
        stream.read_u8().await?;
        sent
    }

    fn name(&self, server: &HostPort) -> Result<ServerName<'static>> {
        tls::server_name(&self.keys, "scalerAddress", server)
    }
}

/// What mends a failed handshake, by the words of rustls.
pub fn mended(reason: &str) -> &'static str {
    let reason = reason.to_lowercase().replace(' ', "");
    let is = |words: &str| reason.contains(words);
    match () {
        () if is("expired") => {
            "renew the certificate of listen.tls.certFile; kubectl get certificates -A shows those of cert-manager"
        }
        () if is("notvalidforname") => {
            "the host of scalerAddress belongs into the certificate of listen.tls.certFile; behind a \
             port-forward, give that name by --server-name"
        }
        () if is("unknownissuer") => {
            "give the authority of its certificate by --ca-cert, and KEDA the same one as caCert of a \
             TriggerAuthentication"
        }
        () if is("certificaterequired") => {
            "it has listen.tls.clientCaFile: give a client's certificate by --cert and --key, and KEDA one as \
             tlsClientCert and tlsClientKey of a TriggerAuthentication"
        }
        // The server's word on the client's certificate, not ours on its own.
        () if is("fatalalert") => {
            "it refuses the certificate of --cert: its authority must be that of listen.tls.clientCaFile"
        }
        () => {
            "is it a server with listen.tls? If not, remove enableTLS from the triggers, and call it without \
             --ca-cert"
        }
    }
}

fn read(argument: &str, path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        let what = format!("{argument}: cannot read {}: {error}", path.display());
        Error::new(Kind::Invalid, what, "")
    })
}
