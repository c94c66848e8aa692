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
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;
use tonic::{
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use super::{
    config::Connection,
    errors::{OpenError, first_request_error, opening_error},
    server_version::ServerVersion,
};
use crate::{
    backends::tls,
    error::{Error, Kind, Result},
    metadata::{problem::Problem, values::HostPort},
    network::Network,
};

/// The stubs over one channel.
pub type ServiceClient = WorkflowServiceClient<InterceptedService<Channel, RequestHeaders>>;

/// The server refuses pings that come closer together than 10 s
/// (`frontend.keepAliveMinTime`); this detects a dead peer within 30 s even without requests.
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// The largest response that is read: a worker deployment's version with very many task queues.
const MESSAGE_LIMIT: usize = 16 << 20;

/// Opens a channel and proves it: the server responds, and shows us the namespace. Ends by the
/// deadline, and within `minConnectTimeout`.
pub async fn open(
    connection: &Connection,
    network: &Network,
    deadline: Instant,
) -> Result<(ServiceClient, ServerVersion)> {
    let started = Instant::now();
    let attempt = Attempt {
        started,
        deadline: deadline.min(started + connection.connect_timeout),
    };
    let headers = RequestHeaders::new(connection)?;
    let channel = attempt.step("TCP and TLS", open_channel(connection, network));
    let channel = channel.await??;
    let mut service = WorkflowServiceClient::with_interceptor(channel, headers)
        .max_decoding_message_size(MESSAGE_LIMIT);
    // GetSystemInfo shows that it is Temporal, DescribeNamespace that we may see the namespace:
    // both need no more than the right to read it.
    let info = service.get_system_info(GetSystemInfoRequest::default());
    let info = attempt.step("GetSystemInfo", info).await?;
    let info = info.map_err(|status| first_request_error(status, connection))?;
    let namespace = service.describe_namespace(DescribeNamespaceRequest {
        namespace: connection.namespace.clone(),
        ..Default::default()
    });
    let namespace = attempt.step("DescribeNamespace", namespace).await?;
    namespace.map_err(|status| first_request_error(status, connection))?;
    let version = ServerVersion::new(info.into_inner().server_version);
    Ok((service, version))
}

/// One attempt to open a channel.
struct Attempt {
    started: Instant,
    deadline: Instant,
}

impl Attempt {
    /// Runs a step until the deadline of the attempt.
    async fn step<T>(&self, name: &str, step: impl Future<Output = T>) -> Result<T> {
        timeout_at(self.deadline, step).await.map_err(|_| {
            let limit = self.deadline.saturating_duration_since(self.started);
            Error::new(
                Kind::TimedOut,
                format!("no response within {limit:?} of connecting ({name})"),
                "Check that the server runs and that endpoint and tls fit it; minConnectTimeout \
                 sets how long an attempt may take.",
            )
        })
    }
}

async fn open_channel(connection: &Connection, network: &Network) -> Result<Channel> {
    let connector = Connector::new(connection, network)?;
    let scheme = match connection.tls {
        Some(_) => "https",
        None => "http",
    };
    // The connector has the address; the URI is what the server sees.
    let origin = Uri::try_from(format!("{scheme}://{}", connection.endpoint))
        .map_err(|error| Problem::key("endpoint", error.to_string()))?;
    Endpoint::from_static("http://temporal")
        .origin(origin)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
        .map_err(|error| opening_error(error, connection))
}

/// The headers of every request.
#[derive(Clone)]
pub struct RequestHeaders {
    namespace: MetadataValue<Ascii>,
    authorization: Option<MetadataValue<Ascii>>,
}

impl RequestHeaders {
    fn new(connection: &Connection) -> Result<Self> {
        let namespace = header("namespace", &connection.namespace)?;
        let authorization = match &connection.api_key {
            None => None,
            Some(api_key) => {
                let mut value = header("apiKey", &format!("Bearer {}", api_key.expose()))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(RequestHeaders {
            namespace,
            authorization,
        })
    }
}

fn header(key: &str, value: &str) -> Result<MetadataValue<Ascii>, Problem> {
    let value = value.parse();
    value.map_err(|_| Problem::key(key, "cannot be sent as a header"))
}

impl Interceptor for RequestHeaders {
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
    network: Network,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Connector {
    fn new(connection: &Connection, network: &Network) -> Result<Self> {
        let endpoint = connection.endpoint.clone();
        let tls = match &connection.tls {
            None => None,
            Some(tls) => Some((
                Arc::new(tls::client_config(tls, &[b"h2"])?),
                tls::server_name(tls, "endpoint", &endpoint)?,
            )),
        };
        Ok(Connector {
            endpoint,
            network: network.clone(),
            tls,
        })
    }

    async fn open(self) -> Result<ServerStream, OpenError> {
        let stream = self.network.connect(&self.endpoint).await;
        let stream = stream.map_err(OpenError::Tcp)?;
        let Some((config, name)) = self.tls else {
            return Ok(Box::new(stream));
        };
        let handshake = TlsConnector::from(config).connect(name, stream);
        Ok(Box::new(handshake.await.map_err(OpenError::Tls)?))
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<ServerStream>;
    type Error = OpenError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<ServerStream>, OpenError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let opening = self.clone().open();
        Box::pin(async move { opening.await.map(TokioIo::new) })
    }
}

/// A connection to the server, with or without TLS.
trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

type ServerStream = Box<dyn ByteStream>;
