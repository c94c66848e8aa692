//! TLS of the listeners, with certificates that may change while the server runs.

use std::{io, path::Path, sync::Arc, time::Duration};

use parking_lot::RwLock;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::time::sleep;
use tracing::{info, warn};

use super::stream::Stream;
use crate::{
    error::{Error, Kind, Result},
    settings::ServerTls,
    telemetry::{CertificateMetrics, Telemetry},
};

/// How often the files are looked at. Kubernetes itself takes about a minute to update a mounted
/// Secret, by a symlink that file watchers miss.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Accepts TLS with the certificate of the moment. Cheap to clone.
#[derive(Clone)]
pub struct TlsAcceptor {
    config: Arc<RwLock<Arc<ServerConfig>>>,
    /// Names of which a client's certificate must carry one; `None`: any.
    client_names: Option<Arc<[ServerName<'static>]>>,
}

/// Which listener the files are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// In metrics.
    listener: &'static str,
    /// In the settings.
    key: &'static str,
    /// ALPN.
    protocols: &'static [&'static [u8]],
}

impl Place {
    /// The listener for KEDA.
    pub const GRPC: Place = Place {
        listener: "grpc",
        key: "listen.tls",
        protocols: &[b"h2"],
    };
    /// The listener for metrics and health.
    pub const ADMIN: Place = Place {
        listener: "admin",
        key: "listen.adminTls",
        protocols: &[b"h2", b"http/1.1"],
    };

    fn invalid(self, key: &str, reason: &dyn std::fmt::Display) -> Error {
        Error::new(
            Kind::Invalid,
            format!("{}.{key}: {reason}", self.key),
            "Check that the files are PEM and belong together.",
        )
    }

    fn read(self, key: &str, path: &Path) -> Result<Vec<u8>> {
        std::fs::read(path)
            .map_err(|error| self.invalid(key, &format!("cannot read {}: {error}", path.display())))
    }
}

/// The contents of the files.
#[derive(PartialEq, Eq)]
struct Files {
    place: Place,
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl TlsAcceptor {
    /// Reads the files, and reads them again when they change, until the last clone is dropped.
    pub fn start(tls: &ServerTls, place: Place, telemetry: &Telemetry) -> Result<Self> {
        let files = Files::read(tls, place)?;
        let metrics = telemetry.certificate(place.listener);
        let config = files.config()?;
        metrics.expires(files.expiry());
        let config = Arc::new(RwLock::new(Arc::new(config)));
        let client_names = tls.client_names.as_deref();
        let client_names = client_names.map(|list| names(list, place)).transpose()?;
        let watched = Arc::downgrade(&config);
        let tls = tls.clone();
        tokio::spawn(async move {
            let mut files = files;
            loop {
                sleep(LOOK_EVERY).await;
                let Some(config) = watched.upgrade() else {
                    return;
                };
                if let Some(new) = reload(&tls, &mut files, &metrics) {
                    *config.write() = Arc::new(new);
                }
            }
        });
        Ok(TlsAcceptor {
            config,
            client_names,
        })
    }

    /// The TLS handshake.
    pub async fn accept(&self, stream: Stream) -> io::Result<Stream> {
        let config = self.config.read().clone();
        let stream = tokio_rustls::TlsAcceptor::from(config)
            .accept(stream)
            .await?;
        if let Some(names) = &self.client_names {
            let certificates = stream.get_ref().1.peer_certificates();
            check_client(certificates.unwrap_or_default(), names)?;
        }
        Ok(Box::new(stream))
    }
}

/// The new configuration, if the files have changed and are good. Broken ones are reported once, and
/// the old ones stay in use.
fn reload(
    tls: &ServerTls,
    files: &mut Files,
    metrics: &CertificateMetrics,
) -> Option<ServerConfig> {
    let read = match Files::read(tls, files.place) {
        Ok(read) if read == *files => return None,
        Ok(read) => read,
        Err(error) => {
            metrics.reload_failed();
            warn!("the old certificate stays in use: {error}");
            return None;
        }
    };
    let config = read.config();
    let expiry = read.expiry();
    *files = read;
    match config {
        Ok(config) => {
            metrics.reloaded(expiry);
            info!("the listener's certificate was reloaded");
            Some(config)
        }
        Err(error) => {
            metrics.reload_failed();
            warn!("the old certificate stays in use: {error}");
            None
        }
    }
}

impl Files {
    fn read(tls: &ServerTls, place: Place) -> Result<Self> {
        let client_ca = tls.client_ca_file.as_deref();
        Ok(Files {
            place,
            cert: place.read("certFile", &tls.cert_file)?,
            key: place.read("keyFile", &tls.key_file)?,
            client_ca: client_ca
                .map(|path| place.read("clientCaFile", path))
                .transpose()?,
        })
    }

    fn config(&self) -> Result<ServerConfig> {
        let chain = self.certificates("certFile", &self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| self.place.invalid("keyFile", &error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| self.place.invalid("certFile", &error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in self.certificates("clientCaFile", pem)? {
                    roots
                        .add(certificate)
                        .map_err(|error| self.place.invalid("clientCaFile", &error))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .map_err(|error| self.place.invalid("clientCaFile", &error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| self.place.invalid("certFile", &error))?;
        let protocols = self.place.protocols.iter();
        config.alpn_protocols = protocols.map(|name| name.to_vec()).collect();
        Ok(config)
    }

    fn certificates(&self, key: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            Ok(_) => Err(self.place.invalid(key, &"holds no certificate in PEM")),
            Err(error) => Err(self.place.invalid(key, &error)),
        }
    }

    /// When the certificate expires, in Unix time.
    fn expiry(&self) -> Option<i64> {
        let leaf = CertificateDer::from_pem_slice(&self.cert).ok()?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).ok()?;
        Some(parsed.validity().not_after.timestamp())
    }
}

fn names(names: &[String], place: Place) -> Result<Arc<[ServerName<'static>]>> {
    let parse = |name: &String| {
        ServerName::try_from(name.clone())
            .map_err(|_| place.invalid("clientNames", &format!("`{name}` is not a name")))
    };
    names.iter().map(parse).collect()
}

fn check_client(
    certificates: &[CertificateDer<'_>],
    names: &[ServerName<'static>],
) -> io::Result<()> {
    let refused = |what: &str| io::Error::new(io::ErrorKind::PermissionDenied, what.to_owned());
    let leaf = certificates
        .first()
        .ok_or_else(|| refused("no client certificate"))?;
    let leaf = webpki::EndEntityCert::try_from(leaf)
        .map_err(|_| refused("the client certificate cannot be read"))?;
    let carries = |name: &ServerName<'_>| leaf.verify_is_valid_for_subject_name(name).is_ok();
    match names.iter().any(carries) {
        true => Ok(()),
        false => Err(refused(
            "the client certificate carries none of clientNames",
        )),
    }
}
