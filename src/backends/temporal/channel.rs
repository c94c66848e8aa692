//! Opening a channel: TCP, TLS where wanted, HTTP/2, and the proof that a Temporal frontend is
//! there which lets us see the namespace.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use temporalio_protos::temporal::api::workflowservice::v1::{
    DescribeNamespaceRequest, GetSystemInfoRequest, workflow_service_client::WorkflowServiceClient,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tonic::{
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use tracing::{info, warn};

use super::{
    client::Client,
    config::Connection,
    errors::{failure, transport_error},
    server_version::ServerVersion,
};
use crate::{
    backends::tls,
    error::{Error, Kind, Result},
    metadata::values::HostPort,
};

/// The stubs over one channel.
pub type Service = WorkflowServiceClient<InterceptedService<Channel, Headers>>;

/// The server refuses pings that come closer together than 10 s
/// (`frontend.keepAliveMinTime`); this finds a dead peer within 30 s even while nobody asks.
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// The largest answer that is read: a worker deployment's version with very many task queues.
const MESSAGE_LIMIT: usize = 16 << 20;

/// Opens a channel and proves it: the server answers, and shows us the namespace.
pub async fn connect(connection: &Connection) -> Result<Client> {
    let limit = connection.connect_timeout;
    match tokio::time::timeout(limit, open(connection)).await {
        Ok(client) => client,
        Err(_) => Err(Error::new(
            Kind::TimedOut,
            format!("no answer within {limit:?} of connecting"),
            "Check that the server runs and that endpoint and tls fit it; minConnectTimeout sets how long an attempt may take.",
        )),
    }
}

async fn open(connection: &Connection) -> Result<Client> {
    let connector = Connector::new(connection)?;
    let scheme = if connection.tls.is_some() {
        "https"
    } else {
        "http"
    };
    // The connector knows where to go; the URI is what the server sees.
    let origin = Uri::try_from(format!("{scheme}://{}", connection.endpoint))
        .map_err(|error| Error::new(Kind::Invalid, format!("endpoint: {error}"), ""))?;
    let endpoint = Endpoint::from_static("http://temporal")
        .origin(origin)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .keep_alive_while_idle(true);
    let channel = endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|error| transport_error(&error, connection))?;
    let headers = Headers::new(connection)?;
    let mut service = WorkflowServiceClient::with_interceptor(channel, headers)
        .max_decoding_message_size(MESSAGE_LIMIT);
    let version = prove(&mut service, connection).await?;
    Ok(Client::new(service, connection.clone(), version))
}

/// GetSystemInfo shows that it is Temporal, DescribeNamespace that we may see the namespace: both
/// need no more than the right to read it.
async fn prove(service: &mut Service, connection: &Connection) -> Result<ServerVersion> {
    let info = service.get_system_info(GetSystemInfoRequest::default());
    let info = info
        .await
        .map_err(|status| failure(&status, connection).into_error())?;
    let version = ServerVersion::new(info.into_inner().server_version);
    let namespace = service.describe_namespace(DescribeNamespaceRequest {
        namespace: connection.namespace.clone(),
        ..Default::default()
    });
    namespace
        .await
        .map_err(|status| failure(&status, connection).into_error())?;
    report(connection, &version);
    Ok(version)
}

/// What whoever runs this should know of the connection.
fn report(connection: &Connection, version: &ServerVersion) {
    info!(%connection, server = %version, "connected");
    if connection.api_key.is_some() && connection.tls.is_none() {
        warn!(
            %connection,
            "the API key travels unencrypted (tls: disable): only for networks that encrypt by themselves"
        );
    }
    if let Some(caveat) = version.caveat() {
        warn!(%connection, server = %version, "{caveat}");
    }
}

/// The headers of every request.
#[derive(Clone)]
pub struct Headers {
    namespace: MetadataValue<Ascii>,
    authorization: Option<MetadataValue<Ascii>>,
}

impl Headers {
    fn new(connection: &Connection) -> Result<Self> {
        let bad = |key: &str| {
            let what = format!("{key}: cannot be sent as a header");
            Error::new(Kind::Invalid, what, "")
        };
        let namespace = connection.namespace.parse().map_err(|_| bad("namespace"))?;
        let authorization = match &connection.api_key {
            None => None,
            Some(api_key) => {
                let value = format!("Bearer {}", api_key.expose());
                let mut value: MetadataValue<Ascii> = value.parse().map_err(|_| bad("apiKey"))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Headers {
            namespace,
            authorization,
        })
    }
}

impl Interceptor for Headers {
    fn call(
        &mut self,
        mut request: tonic::Request<()>,
    ) -> Result<tonic::Request<()>, tonic::Status> {
        let metadata = request.metadata_mut();
        // Temporal Cloud's gateways route by it.
        metadata.insert("temporal-namespace", self.namespace.clone());
        if let Some(authorization) = &self.authorization {
            metadata.insert("authorization", authorization.clone());
        }
        Ok(request)
    }
}

/// Opens the connection to the one endpoint, again whenever the channel has lost it.
#[derive(Clone)]
struct Connector {
    endpoint: HostPort,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Connector {
    fn new(connection: &Connection) -> Result<Self> {
        let endpoint = connection.endpoint.clone();
        let tls = match &connection.tls {
            None => None,
            Some(tls) => Some((
                Arc::new(tls::client_config(tls, &[b"h2"])?),
                tls::server_name(tls, "endpoint", &endpoint)?,
            )),
        };
        Ok(Connector { endpoint, tls })
    }

    async fn open(self) -> std::io::Result<Stream> {
        let HostPort { host, port } = &self.endpoint;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        // Requests are small, and each is waited for.
        stream.set_nodelay(true)?;
        match self.tls {
            None => Ok(Box::new(stream)),
            Some((config, name)) => {
                let stream = TlsConnector::from(config).connect(name, stream).await?;
                Ok(Box::new(stream))
            }
        }
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let opening = self.clone().open();
        Box::pin(async move { opening.await.map(TokioIo::new) })
    }
}

/// What HTTP/2 speaks over.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Stream = Box<dyn Io>;
