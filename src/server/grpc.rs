//! The gRPC server: KEDA's service, health and reflection, and what bounds them.

use std::{path::Path, sync::Arc, time::Duration};

use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{
    Certificate, Identity, Server, ServerTlsConfig,
    server::{Router, TcpIncoming},
};
use tonic_health::{ServingStatus, server::HealthReporter};

use super::{GrpcListener, Life};
use crate::{
    error::{Error, Kind, Result},
    keda::{
        Service, Streams,
        proto::{DESCRIPTORS, external_scaler_server::ExternalScalerServer},
    },
    sampling::Engine,
    settings::{Listen, ServerTls},
    telemetry::Telemetry,
};

/// KEDA's client sends no keepalive pings, so the server finds dead peers.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What `grpc.health.v1` says of the service.
pub struct Health(HealthReporter);

impl Health {
    /// For the whole server (the empty name) and for KEDA's service.
    async fn set(&self, status: ServingStatus) {
        self.0.set_service_status("", status).await;
        self.0
            .set_service_status("externalscaler.ExternalScaler", status)
            .await;
    }

    /// The server is draining.
    pub async fn not_serving(&self) {
        self.set(ServingStatus::NotServing).await;
    }
}

/// All services, ready to be served.
pub async fn router(
    listen: &Listen,
    engine: Arc<Engine>,
    telemetry: Telemetry,
    life: &Life,
) -> Result<(Router, Health)> {
    let streams = Streams {
        shutdown: life.draining.clone(),
        // A stream that began just before its connection reached its age ends by itself before
        // the grace does.
        max_age: listen.connection_max_age_grace.0.mul_f64(0.9),
    };
    let service = ExternalScalerServer::new(Service::new(engine, telemetry, streams))
        .max_decoding_message_size(listen.max_message_bytes);
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .tcp_nodelay(true)
        .max_concurrent_streams(listen.max_concurrent_streams)
        .max_connection_age(listen.connection_max_age.0)
        .max_connection_age_grace(listen.connection_max_age_grace.0);
    if let Some(tls) = &listen.tls {
        server = server.tls_config(tls_config(tls)?).map_err(|error| {
            Error::new(
                Kind::Invalid,
                format!("listen.tls: {}", text(&error)),
                "Check that the files are PEM and belong together.",
            )
        })?;
    }
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let broken = |error: tonic_reflection::server::Error| {
        Error::new(Kind::Internal, format!("reflection: {error}"), "")
    };
    let router = server
        .add_service(service)
        .add_service(health_service)
        .add_service(reflection().build_v1().map_err(broken)?)
        .add_service(reflection().build_v1alpha().map_err(broken)?);
    let health = Health(reporter);
    health.set(ServingStatus::Serving).await;
    Ok((router, health))
}

/// Serves until told to drain, and returns when every call is answered.
pub async fn serve(
    router: Router,
    listener: GrpcListener,
    draining: CancellationToken,
) -> Result<()> {
    let drained = draining.cancelled_owned();
    let served = match listener {
        GrpcListener::Tcp(listener) => {
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            router.serve_with_incoming_shutdown(incoming, drained).await
        }
        GrpcListener::Unix(listener, _file) => {
            let incoming = UnixListenerStream::new(listener);
            router.serve_with_incoming_shutdown(incoming, drained).await
        }
    };
    served.map_err(|error| Error::new(Kind::Internal, format!("gRPC: {}", text(&error)), ""))
}

fn tls_config(tls: &ServerTls) -> Result<ServerTlsConfig> {
    let identity = Identity::from_pem(
        read("listen.tls.certFile", &tls.cert_file)?,
        read("listen.tls.keyFile", &tls.key_file)?,
    );
    let config = ServerTlsConfig::new().identity(identity);
    Ok(match &tls.client_ca_file {
        Some(path) => config.client_ca_root(Certificate::from_pem(read(
            "listen.tls.clientCaFile",
            path,
        )?)),
        None => config,
    })
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::new(
            Kind::Invalid,
            format!("{key}: cannot read {}: {error}", path.display()),
            "",
        )
    })
}

/// tonic's errors say "transport error" and keep the reason behind them.
fn text(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", text(source)),
        None => error.to_string(),
    }
}
