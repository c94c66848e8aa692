//! The way to the server: name, connection, TLS, health.

use std::{net::SocketAddr, path::Path, time::Duration};

use futures_util::future::select_ok;
use tokio::{
    net::{TcpStream, UnixStream, lookup_host},
    time::{Instant, timeout},
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::stage::{Mark, Stage};
use crate::{
    error::{Error, Kind, Result},
    keda::client::{Address, Scaler, root},
    metadata::values::HostPort,
};

/// A server that takes longer than this is as good as away: KEDA evaluates every few seconds.
const LIMIT: Duration = Duration::from_secs(5);

/// What TLS to the server is made of, in PEM.
pub struct Files<'a> {
    /// Left out, the system's authorities are trusted.
    pub ca: Option<&'a Path>,
    /// A client's certificate and its key.
    pub identity: Option<(&'a Path, &'a Path)>,
}

/// TLS to the server.
pub struct Tls(ClientTlsConfig);

impl Tls {
    /// With these files, and this name in the server's certificate; `None`: that of its address.
    pub fn new(files: &Files<'_>, name: Option<&str>) -> Result<Self> {
        let mut tls = match files.ca {
            Some(path) => {
                let authority = Certificate::from_pem(read("--ca-cert", path)?);
                ClientTlsConfig::new().ca_certificate(authority)
            }
            None => {
                let roots = rustls_native_certs::load_native_certs().certs;
                let roots = roots.into_iter().map(|cert| pem(cert.as_ref()));
                ClientTlsConfig::new().ca_certificates(roots)
            }
        };
        if let Some((cert, key)) = files.identity {
            let (cert, key) = (read("--cert", cert)?, read("--key", key)?);
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        if let Some(name) = name {
            tls = tls.domain_name(name);
        }
        Ok(Tls(tls))
    }
}

/// What mends a failed handshake, by the words of rustls.
fn mended_tls(reason: &str) -> &'static str {
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
        // In TLS 1.3 the server's alert comes after the handshake, and the library reports what follows.
        () if is("certificaterequired")
            || is("connectionclosed")
            || is("connectionreset")
            || is("brokenpipe") =>
        {
            "if it has listen.tls.clientCaFile: give a client's certificate by --cert and --key, and KEDA one as \
             tlsClientCert and tlsClientKey of a TriggerAuthentication"
        }
        () => {
            "give the authority of its certificate by --ca-cert; without listen.tls in its settings, remove \
             enableTLS from the triggers"
        }
    }
}

fn read(argument: &str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        let what = format!("{argument}: cannot read {}: {error}", path.display());
        Error::new(Kind::Invalid, what, "")
    })
}

/// The library takes PEM alone.
fn pem(der: &[u8]) -> Certificate {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(der);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    Certificate::from_pem(pem)
}

/// Adds the steps up to the server's health; `true`: it serves.
pub async fn check(address: &Address, tls: Option<&Tls>, stages: &mut Vec<Stage>) -> bool {
    let section = format!("server {address}");
    let passed = match address {
        Address::Tcp(server) => reach(&section, server, stages).await,
        Address::Unix(path) => match UnixStream::connect(path).await {
            Ok(_) => true,
            Err(error) => {
                let failed = Stage::new(&section, Mark::Failed, "Unix socket").because(error);
                stages.push(failed.mended_by(format!(
                    "ls -l {path}; is the server up, and may you write to it?"
                )));
                false
            }
        },
    };
    if !passed {
        return false;
    }
    match health(address, tls).await {
        Ok(ServingStatus::Serving) => {
            let how = if tls.is_some() {
                "with TLS"
            } else {
                "plain text"
            };
            stages.push(Stage::new(&section, Mark::Passed, format!("TLS: {how}")));
            stages.push(Stage::new(&section, Mark::Passed, "gRPC health: SERVING"));
            true
        }
        Ok(status) => {
            let what = format!("gRPC health: {}", status.as_str_name());
            let failed = Stage::new(&section, Mark::Failed, what);
            stages.push(failed.mended_by("the server drains or has not started: kubectl -n keda rollout status deployment/backlog-scaler"));
            false
        }
        Err(reason) => {
            let (what, fix) = match tls {
                Some(_) => ("TLS and gRPC", mended_tls(&reason)),
                None => (
                    "gRPC in plain text",
                    "if its settings have listen.tls, give --ca-cert, and the triggers enableTLS; else check \
                     that this is its gRPC port (9090), not the one for metrics (9091)",
                ),
            };
            stages.push(
                Stage::new(&section, Mark::Failed, what)
                    .because(reason)
                    .mended_by(fix),
            );
            false
        }
    }
}

/// Name and connection.
async fn reach(section: &str, server: &HostPort, stages: &mut Vec<Stage>) -> bool {
    let found = timeout(LIMIT, lookup_host((server.host.as_str(), server.port))).await;
    let found: Vec<SocketAddr> = match found {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => {
            stages.push(unresolved(section, server, &error.to_string()));
            return false;
        }
        Err(_) => {
            stages.push(unresolved(
                section,
                server,
                &format!("no response in {LIMIT:?}"),
            ));
            return false;
        }
    };
    let shown: Vec<String> = found
        .iter()
        .map(|address| address.ip().to_string())
        .collect();
    let what = format!("DNS: {} is {}", server.host, shown.join(", "));
    stages.push(Stage::new(section, Mark::Passed, what));
    let start = Instant::now();
    let attempts = found
        .into_iter()
        .map(|address| Box::pin(TcpStream::connect(address)));
    let reason = match timeout(LIMIT, select_ok(attempts)).await {
        Ok(Ok(_)) => {
            let what = format!("TCP: connected in {} ms", start.elapsed().as_millis());
            stages.push(Stage::new(section, Mark::Passed, what));
            return true;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no response in {LIMIT:?}"),
    };
    let failed = Stage::new(section, Mark::Failed, format!("TCP: port {}", server.port));
    stages.push(failed.because(reason).mended_by(
        "kubectl -n keda get pods,endpointslices -l app.kubernetes.io/name=backlog-scaler; without endpoints the \
         pods are not ready, with them a NetworkPolicy is in between",
    ));
    false
}

fn unresolved(section: &str, server: &HostPort, reason: &str) -> Stage {
    let HostPort { host, port } = server;
    let failed = Stage::new(section, Mark::Failed, format!("DNS: {host}")).because(reason);
    let service = crate::cli::probe::service_of(host);
    failed.mended_by(match service {
        Some((name, namespace)) => format!(
            "from outside the cluster: kubectl -n {namespace} port-forward service/{name} {port}, and \
             --address 127.0.0.1:{port}; within it: kubectl -n {namespace} get service {name}"
        ),
        None => "check the name in scalerAddress".to_owned(),
    })
}

async fn connect(address: &Address, tls: Option<&Tls>) -> Result<Channel, String> {
    let reason = |error: &dyn std::error::Error| root(error).unwrap_or_else(|| error.to_string());
    let endpoint = address.endpoint(tls.map(|tls| tls.0.clone()));
    let endpoint = endpoint.map_err(|error| reason(&error))?;
    let endpoint = endpoint.connect_timeout(LIMIT);
    endpoint.connect().await.map_err(|error| reason(&error))
}

async fn health(address: &Address, tls: Option<&Tls>) -> Result<ServingStatus, String> {
    let channel = timeout(LIMIT, connect(address, tls)).await;
    let channel = channel.map_err(|_| format!("no response in {LIMIT:?}"))??;
    let mut client = HealthClient::new(channel);
    let response = timeout(LIMIT, client.check(HealthCheckRequest::default())).await;
    match response.map_err(|_| format!("no response in {LIMIT:?}"))? {
        Ok(response) => Ok(response.into_inner().status()),
        Err(status) => Err(root(&status).unwrap_or_else(|| status.message().to_owned())),
    }
}

/// The server as a scaler to call.
pub async fn scaler(address: &Address, tls: Option<&Tls>) -> Result<Scaler> {
    let channel = connect(address, tls)
        .await
        .map_err(|reason| Error::new(Kind::Unreachable, format!("{address}: {reason}"), ""))?;
    Ok(Scaler::Remote(channel))
}
