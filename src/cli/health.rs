//! `health`: whether a server serves, for probes of containers.

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use tokio::time::timeout;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{runtime, to_stdout};
use crate::{
    error::{Error, Kind, Result},
    keda::client::{Address, root},
    metadata::values::{Span, TextValue},
};

/// Check with grpc.health.v1 whether a server is serving.
///
/// Prints its status, such as SERVING. A server that is draining reports NOT_SERVING. The state of
/// the backends does not matter.
///
/// Exit codes: 0 it is serving, 1 it is not, or cannot be reached, 2 bad arguments.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Health {
    /// The server's host:port or unix:/path.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "BACKLOG_SCALER__LISTEN__GRPC",
        default_value = "127.0.0.1:9090"
    )]
    address: Address,

    /// A gRPC service; by default, the server as a whole.
    #[arg(long, value_name = "NAME", default_value = "")]
    #[arg(hide_default_value = true)]
    service: String,

    /// How long the check may take.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = Span::parse)]
    timeout: Span,

    /// Use TLS, and trust this CA (PEM).
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,

    /// The client certificate to present (PEM).
    #[arg(long, value_name = "FILE", requires_all = ["key", "ca_cert"])]
    cert: Option<PathBuf>,

    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// The name in the server's certificate, if it is not the host of the address.
    #[arg(long, value_name = "NAME", requires = "ca_cert")]
    server_name: Option<String>,
}

impl Health {
    /// Checks and prints.
    pub fn run(self) -> Result<ExitCode> {
        let tls = self.tls()?;
        let Span(limit) = self.timeout;
        let check = async { timeout(limit, self.check(tls)).await };
        match runtime()?.block_on(check) {
            Ok(status) => {
                let status = status?;
                to_stdout(&format!("{}\n", status.as_str_name()))?;
                match status {
                    ServingStatus::Serving => Ok(ExitCode::SUCCESS),
                    _ => Ok(ExitCode::FAILURE),
                }
            }
            Err(_) => Err(self.late(limit)),
        }
    }

    fn tls(&self) -> Result<Option<ClientTlsConfig>> {
        let Some(ca) = &self.ca_cert else {
            return Ok(None);
        };
        let mut tls =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("--ca-cert", ca)?));
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            let (cert, key) = (read("--cert", cert)?, read("--key", key)?);
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        if let Some(name) = &self.server_name {
            tls = tls.domain_name(name);
        }
        Ok(Some(tls))
    }

    async fn check(&self, tls: Option<ClientTlsConfig>) -> Result<ServingStatus> {
        let failed = |error: &dyn std::error::Error| self.unreachable(error);
        let endpoint = self.address.endpoint(tls).map_err(|e| failed(&e))?;
        let channel = endpoint.connect().await.map_err(|e| failed(&e))?;
        let request = HealthCheckRequest {
            service: self.service.clone(),
        };
        match HealthClient::new(channel).check(request).await {
            Ok(response) => Ok(response.into_inner().status()),
            Err(status) if status.code() == tonic::Code::NotFound => {
                Ok(ServingStatus::ServiceUnknown)
            }
            Err(status) => Err(failed(&status)),
        }
    }

    fn unreachable(&self, error: &dyn std::error::Error) -> Error {
        let reason = root(error).unwrap_or_else(|| error.to_string());
        let advice = match self.ca_cert {
            Some(_) => {
                "Check that --address is its gRPC port, and that --ca-cert, --cert and --key fit its TLS settings."
            }
            None => "Check that --address is its gRPC port; --ca-cert if it serves there with TLS.",
        };
        let what = format!("--address: {} is not healthy: {reason}", self.address);
        Error::new(Kind::Unreachable, what, advice)
    }

    fn late(&self, limit: Duration) -> Error {
        let what = format!("--address: {} did not respond in {limit:?}", self.address);
        Error::new(Kind::TimedOut, what, "--timeout allows it more.")
    }
}

fn read(argument: &str, path: &PathBuf) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        let what = format!("{argument}: cannot read {}: {error}", path.display());
        Error::new(Kind::Invalid, what, "")
    })
}
