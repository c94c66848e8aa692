//! The way to the server: name, connection, TLS, health.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::select_ok;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpStream, UnixStream, lookup_host},
    time::{Instant, timeout},
};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::service_fn;

use super::{
    stage::{Mark, Stage},
    tls::{self, Tls},
};
use crate::{
    error::{Error, Kind, Result},
    keda::client::{Address, CALL_TIMEOUT, Scaler, root},
    metadata::values::HostPort,
};

/// A server that takes longer than this is as good as away: KEDA evaluates every few seconds.
const LIMIT: Duration = Duration::from_secs(5);

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
    if let (Some(tls), Address::Tcp(server)) = (tls, address)
        && let Err(reason) = prove(tls, server).await
    {
        let failed = Stage::new(&section, Mark::Failed, "TLS").because(&reason);
        stages.push(failed.mended_by(tls::mended(&reason)));
        return false;
    }
    let how = if tls.is_some() {
        "TLS: with TLS"
    } else {
        "TLS: plain text"
    };
    match health(address, tls).await {
        Ok(ServingStatus::Serving) => {
            stages.push(Stage::new(&section, Mark::Passed, how));
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
                Some(_) => (
                    "gRPC with TLS",
                    "check that this is its gRPC port (9090), not the one for metrics (9091)",
                ),
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

async fn prove(tls: &Tls, server: &HostPort) -> Result<(), String> {
    match timeout(LIMIT, tls.prove(server)).await {
        Ok(proven) => proven.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no response in {LIMIT:?}")),
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
    let is_here = matches!(server.host.as_str(), "localhost" | "127.0.0.1" | "::1");
    let fix = match is_here {
        true => format!(
            "is the server up? One in a cluster: kubectl -n keda port-forward service/backlog-scaler {}:9090",
            server.port
        ),
        false => "kubectl -n keda get pods,endpointslices -l app.kubernetes.io/name=backlog-scaler; without \
                  endpoints the pods are not ready, with them a NetworkPolicy is in between"
            .to_owned(),
    };
    let failed = Stage::new(section, Mark::Failed, format!("TCP: port {}", server.port));
    stages.push(failed.because(reason).mended_by(fix));
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
    let limited = |endpoint: Endpoint| endpoint.connect_timeout(LIMIT).timeout(CALL_TIMEOUT);
    let channel = match (address, tls) {
        (Address::Tcp(server), Some(tls)) => {
            let origin = format!("https://{server}").parse();
            let origin: Uri = origin.map_err(|error| reason(&error))?;
            let open = |tls: Tls, server: HostPort| async move {
                tls.open(&server).await.map(TokioIo::new)
            };
            let (tls, server) = (tls.clone(), server.clone());
            // The connector has the address and speaks TLS; the origin is what the server sees.
            limited(Endpoint::from_static("http://backlog-scaler").origin(origin))
                .connect_with_connector(service_fn(move |_: Uri| open(tls.clone(), server.clone())))
                .await
        }
        _ => {
            let endpoint = address.endpoint(None).map_err(|error| reason(&error))?;
            limited(endpoint).connect().await
        }
    };
    channel.map_err(|error| reason(&error))
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
