//! The server's life: listeners, the gRPC server, the admin pages, an orderly end.
//!
//! [`run`] is the whole program. Nothing is global: many servers run in one process.

mod admin;
mod authentications;
mod event_states;
mod events;
mod grpc;
mod incoming;
mod listeners;
mod replicas;
mod request_body;
mod secrets;
mod status;
mod stream;
mod tls;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use authentications::Authentications;
use events::Events;
pub use listeners::{GrpcListener, Listeners};
use replicas::TargetSource;
use secrets::Secrets;
use tls::{Place, TlsAcceptor};

use crate::{
    backends,
    error::{Error, Kind, Result},
    kubernetes::Kubernetes,
    network::HostMap,
    sampling::{Engine, NamedConnection, Registry},
    settings::{Address, Listen, Settings},
    telemetry::Telemetry,
};

/// Serves until `shutdown` gives its reason; then drains and returns.
///
/// Errors of the settings come before anything is served. A bind has happened already: the caller
/// owns the listeners.
pub async fn run(
    listeners: Listeners,
    settings: &Settings,
    shutdown: impl Future<Output = String>,
) -> Result<()> {
    let telemetry = Telemetry::default();
    let connections = settings.named_connections()?;
    let engine = engine_with(settings, &connections, &telemetry, &HostMap::default())?;
    if let Some(options) = settings.kubernetes.options()? {
        let writes_events = options.events;
        let source = Authentications::start(options, &settings.engine, &telemetry).await?;
        engine.use_replicas(Arc::new(TargetSource::new(source.kubernetes())));
        if writes_events {
            engine.use_observer(Events::start(source.kubernetes()));
        }
        source.follow_changes(&engine);
        engine.use_authentications(source);
    }
    warn_of_open_connections(&connections);
    let secrets = Secrets::new(&settings.connections, connections);
    tokio::spawn(secrets.watch(Arc::downgrade(&engine), telemetry.clone()));

    let tls = settings.listen.tls.as_ref();
    let tls = tls
        .map(|tls| TlsAcceptor::start(tls, Place::GRPC, &telemetry))
        .transpose()?;
    let guard = admin_guard(&settings.listen, &telemetry)?;
    let life = Life::default();
    let figures = admin::Figures {
        telemetry: telemetry.clone(),
        engine: engine.clone(),
    };
    let (router, health) = grpc::router(&settings.listen, engine, telemetry, &life).await?;
    let admin_address = match &listeners.admin {
        Some(listener) => listener.local_addr().map(|address| address.to_string()),
        None => Ok("off".to_owned()),
    };
    let admin_address = admin_address.unwrap_or_else(|error| error.to_string());
    let admin = listeners
        .admin
        .map(|listener| tokio::spawn(admin::serve(listener, guard, figures, life.clone())));
    warn_of_open_listeners(&settings.listen);
    info!(
        grpc = %listeners.grpc,
        admin = %admin_address,
        tls = tls.is_some(),
        connections = %list_or_none(settings.connections.keys()),
        authentications = settings.kubernetes.enabled,
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );

    let limits = grpc::limits(&settings.listen);
    let serving = grpc::serve(router, listeners.grpc, tls, limits, life.draining.clone());
    let mut serving = tokio::spawn(serving);
    let reason = tokio::select! {
        reason = shutdown => reason,
        ended = &mut serving => return Err(ended_early(ended)),
    };
    info!("{reason}: draining");
    life.unready.cancel();
    health.not_serving().await;
    sleep(settings.listen.pre_stop_delay.0).await;
    life.draining.cancel();
    let grace = settings.listen.shutdown_grace.0;
    match timeout(grace, &mut serving).await {
        Ok(Ok(Ok(()))) => info!("drained: every call has ended"),
        Ok(ended) => return Err(ended_early(ended)),
        Err(_) => {
            serving.abort();
            warn!("the grace period of {grace:?} is over: calls still in flight were cut");
        }
    }
    // The admin pages stay up to the end, so that failing readiness is seen.
    life.ended.cancel();
    if let Some(admin) = admin
        && let Ok(Err(error)) = timeout(Duration::from_secs(1), admin).await
    {
        warn!("the admin pages failed: {error}");
    }
    Ok(())
}

/// How the admin pages are guarded. A token that cannot be read ends the start rather than every
/// scrape.
fn admin_guard(listen: &Listen, telemetry: &Telemetry) -> Result<admin::Guard> {
    let tls = listen.admin_tls.as_ref();
    let tls = tls.map(|tls| TlsAcceptor::start(tls, Place::ADMIN, telemetry));
    if let Some(file) = &listen.admin_token_file {
        let token = std::fs::read_to_string(file).map_err(|error| {
            let what = format!(
                "listen.adminTokenFile: cannot read {}: {error}",
                file.display()
            );
            Error::new(Kind::Invalid, what, "")
        })?;
        if token.trim().is_empty() {
            let what = format!("listen.adminTokenFile: {} is empty", file.display());
            return Err(Error::new(Kind::Invalid, what, ""));
        }
    }
    Ok(admin::Guard {
        tls: tls.transpose()?,
        token_file: listen.admin_token_file.clone(),
    })
}

fn list_or_none<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(","),
    }
}

/// Logs every named connection that each namespace may use.
fn warn_of_open_connections(connections: &BTreeMap<String, NamedConnection>) {
    let open = connections.iter().filter(|(_, c)| c.namespaces.is_none());
    let open: Vec<&str> = open.map(|(name, _)| name.as_str()).collect();
    if !open.is_empty() {
        warn!(
            "every namespace may use the connections {}; list those that may under \
             connections.NAME.namespaces, or write ['*']",
            open.join(", ")
        );
    }
}

/// Logs every listener that is open beyond loopback without TLS.
fn warn_of_open_listeners(listen: &Listen) {
    let beyond = |address: &SocketAddr| !address.ip().is_loopback();
    if let Address::Tcp(address) = &listen.grpc
        && beyond(address)
        && listen.tls.is_none()
    {
        warn!(
            "listen.grpc: {address} is open beyond this host without TLS; set listen.tls, or see \
             that only KEDA reaches it"
        );
    }
    if let Some(address) = listen.admin.0.as_ref().filter(|address| beyond(address))
        && listen.admin_tls.is_none()
    {
        warn!(
            "listen.admin: {address} is open beyond this host without TLS; set listen.adminTls and \
             listen.adminTokenFile, or see that only Prometheus and the kubelet reach it"
        );
    }
}

/// The engine over every backend, as the settings want it. Must be called within a tokio runtime.
pub fn engine(settings: &Settings, telemetry: &Telemetry) -> Result<Arc<Engine>> {
    engine_through(settings, telemetry, &HostMap::default())
}

/// The same, with some servers reached elsewhere.
pub fn engine_through(
    settings: &Settings,
    telemetry: &Telemetry,
    hosts: &HostMap,
) -> Result<Arc<Engine>> {
    engine_with(settings, &settings.named_connections()?, telemetry, hosts)
}

/// The same, with the authentications of triggers as a client of the Kubernetes API reads them, each
/// within a deadline.
pub fn engine_with_authentications(
    settings: &Settings,
    kubernetes: Arc<Kubernetes>,
    deadline: Duration,
    telemetry: &Telemetry,
    hosts: &HostMap,
) -> Result<Arc<Engine>> {
    let engine = engine_through(settings, telemetry, hosts)?;
    let source = Authentications::of(kubernetes, deadline, &settings.engine);
    engine.use_authentications(source);
    Ok(engine)
}

fn engine_with(
    settings: &Settings,
    connections: &BTreeMap<String, NamedConnection>,
    telemetry: &Telemetry,
    hosts: &HostMap,
) -> Result<Arc<Engine>> {
    let mut limits = settings.engine.limits(settings.admin.history()?)?;
    limits.hosts = hosts.clone();
    let registry = backends::register(Registry::new(&limits, telemetry.clone()));
    Engine::start(registry, connections, limits)
}

/// The stages of a server's shutdown.
#[derive(Clone, Default)]
struct Life {
    /// Readiness fails, and everything else goes on.
    unready: CancellationToken,
    /// No new work: streams end, calls in flight finish.
    draining: CancellationToken,
    /// Every call has ended.
    ended: CancellationToken,
}

fn ended_early(ended: std::result::Result<Result<()>, tokio::task::JoinError>) -> Error {
    match ended {
        Ok(Err(error)) => error,
        Ok(Ok(())) => Error::new(Kind::Internal, "the gRPC server ended by itself", ""),
        Err(error) => Error::new(
            Kind::Internal,
            format!("the gRPC server failed: {error}"),
            "",
        ),
    }
}
