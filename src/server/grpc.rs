//! The gRPC server: KEDA's service, health and reflection, and what bounds them.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tonic::{
    service::LayerExt,
    transport::{Server, server::Router},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::util::MapRequestLayer;

use super::{
    GrpcListener, Life,
    incoming::{ConnectionLimits, incoming},
    request_body::RequestLimits,
    tls::TlsAcceptor,
};
use crate::{
    error::{Error, Kind, Result},
    keda::{
        Service, Streams,
        proto::{DESCRIPTORS, external_scaler_server::ExternalScalerServer},
    },
    sampling::Engine,
    settings::Listen,
    telemetry::Telemetry,
};

/// KEDA's client sends no keepalive pings, so the server finds dead peers.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest headers of a call: KEDA sends some 200 bytes.
const MOST_HEADER_BYTES: u32 = 16 * 1024;
/// The largest request to health or reflection: the name of a service or a symbol.
const LARGEST_NAME: usize = 4 * 1024;

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
    let requests = RequestLimits::default();
    let service = MapRequestLayer::new(move |request| requests.apply(request)).named_layer(service);
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .http2_max_header_list_size(MOST_HEADER_BYTES)
        .max_concurrent_streams(listen.max_concurrent_streams)
        // Without tonic's own grace, which leaves out the GOAWAY: `Accepted` ends what stays on.
        .max_connection_age(listen.connection_max_age.0);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let broken = |error: tonic_reflection::server::Error| {
        Error::new(Kind::Internal, format!("reflection: {error}"), "")
    };
    let v1 = reflection().build_v1().map_err(broken)?;
    let v1alpha = reflection().build_v1alpha().map_err(broken)?;
    let router = server
        .add_service(service)
        .add_service(health_service.max_decoding_message_size(LARGEST_NAME))
        .add_service(v1.max_decoding_message_size(LARGEST_NAME))
        .add_service(v1alpha.max_decoding_message_size(LARGEST_NAME));
    let health = Health(reporter);
    health.set(ServingStatus::Serving).await;
    Ok((router, health))
}

/// Serves until `draining`, and returns when every call has ended.
pub async fn serve(
    router: Router,
    listener: GrpcListener,
    tls: Option<TlsAcceptor>,
    limits: ConnectionLimits,
    draining: CancellationToken,
) -> Result<()> {
    let incoming = incoming(listener, tls, limits);
    let served = router.serve_with_incoming_shutdown(incoming, draining.cancelled_owned());
    served
        .await
        .map_err(|error| Error::new(Kind::Internal, format!("gRPC: {}", text(&error)), ""))
}

/// What bounds the connections.
pub fn limits(listen: &Listen) -> ConnectionLimits {
    ConnectionLimits {
        connections: listen.max_connections.get(),
        handshake: listen.handshake_timeout.0,
        silence: 2 * (PING_EVERY + PING_TIMEOUT),
        age: listen.connection_max_age.0 + listen.connection_max_age_grace.0,
    }
}

/// tonic's errors say "transport error" and keep the reason behind them.
fn text(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", text(source)),
        None => error.to_string(),
    }
}
