//! The servers under load, each a process of its own: ours, and one that does nothing.

use std::{
    collections::BTreeMap,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use backlog_scaler::{
    keda::proto::{
        GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse,
        MetricValue, ScaledObjectRef,
        external_scaler_client::ExternalScalerClient,
        external_scaler_server::{ExternalScaler, ExternalScalerServer},
    },
    settings::Listen,
};
use futures_util::{future::join_all, stream::Empty};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tonic::{
    Request, Response, Status,
    transport::{Channel, Server, server::TcpIncoming},
};

use crate::usage::Process;
use testkit::{process, redis::Redis};

/// The argument with which the benchmark starts itself as the empty service.
pub const EMPTY_SERVICE: &str = "--empty-service";
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server; stopped when dropped.
pub struct Served {
    pub address: String,
    admin: String,
    process: Child,
}

impl Served {
    /// Our program as it is released, with no settings but its ports.
    pub async fn ours() -> Self {
        let (grpc, admin) = (address(), address());
        let mut command = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"));
        command
            .arg("serve")
            .env("BACKLOG_SCALER__LISTEN__GRPC", &grpc)
            .env("BACKLOG_SCALER__LISTEN__ADMIN", &admin)
            .env("BACKLOG_SCALER__LOG__LEVEL", "warn");
        Served::start(command, grpc, admin).await
    }

    /// tonic with the same settings, and nothing behind it.
    pub async fn empty() -> Self {
        let own = std::env::current_exe().expect("the path of this program");
        let grpc = address();
        let mut command = Command::new(own);
        command.arg(EMPTY_SERVICE).arg(&grpc);
        Served::start(command, grpc, String::new()).await
    }

    async fn start(mut command: Command, address: String, admin: String) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        let started = command.process_group(process::group()).spawn();
        let server = Served {
            address,
            admin,
            process: started.expect("a server"),
        };
        let since = Instant::now();
        while TcpStream::connect(&server.address).await.is_err() {
            let address = &server.address;
            assert!(since.elapsed() < PATIENCE, "nobody serves {address}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Start-up is no part of what is measured.
        tokio::time::sleep(Duration::from_millis(200)).await;
        server
    }

    pub fn process(&self) -> Process {
        Process(self.process.id())
    }

    /// A client on one connection, which is how KEDA calls.
    pub async fn client(&self) -> ExternalScalerClient<Channel> {
        let endpoint = Channel::from_shared(format!("http://{}", self.address));
        let channel = endpoint.expect("a URI").tcp_nodelay(true).connect().await;
        ExternalScalerClient::new(channel.expect("the server responds"))
    }

    /// The sum of a figure over its labels on our `/metrics`.
    pub async fn figure(&self, name: &str) -> f64 {
        figure(&self.page().await, name)
    }

    /// All of our `/metrics`.
    pub async fn page(&self) -> String {
        self.metrics().await.expect("the admin pages respond")
    }

    async fn metrics(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.admin).await?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            .await?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await?;
        Ok(page)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It has no state to lose. An error means that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The sum of a figure over its labels, in the text that `/metrics` serves.
pub fn figure(page: &str, name: &str) -> f64 {
    let lines = page.lines().filter_map(|line| line.strip_prefix(name));
    let values = lines.filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok());
    values.sum()
}

fn address() -> String {
    format!("127.0.0.1:{}", process::free_port())
}

/// A trigger as KEDA sends it.
pub fn scaled_object(i: usize, metadata: &[(&str, &str)]) -> ScaledObjectRef {
    let address = ("scalerAddress", "backlog-scaler.keda:9090");
    let metadata = metadata.iter().copied().chain([address]);
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    ScaledObjectRef {
        name: format!("worker-{i}"),
        namespace: "default".to_owned(),
        scaler_metadata: BTreeMap::from_iter(metadata),
    }
}

/// The trigger of the list `jobs-{i}` of this Redis.
pub fn trigger(redis: &Redis, i: usize, fresh_for: &str) -> ScaledObjectRef {
    scaled_object(
        i,
        &[
            ("backend", "redis"),
            ("address", &redis.address()),
            ("listName", &format!("jobs-{i}")),
            ("listLength", "10"),
            ("freshFor", fresh_for),
        ],
    )
}

/// Many calls at once on one connection, as KEDA makes them.
pub struct Callers {
    client: ExternalScalerClient<Channel>,
    requests: Vec<GetMetricsRequest>,
}

impl Callers {
    pub async fn new(server: &Served, requests: Vec<GetMetricsRequest>) -> Self {
        Callers {
            client: server.client().await,
            requests,
        }
    }

    /// Makes all calls: how long that took, and the value of each.
    pub async fn round(&self) -> (Duration, Vec<Result<f64, Status>>) {
        let started = Instant::now();
        let calls = self.requests.iter().map(|request| {
            let (mut client, request) = (self.client.clone(), request.clone());
            tokio::spawn(async move {
                let response = client.get_metrics(request).await?;
                Ok(response.into_inner().metric_values[0].metric_value_float)
            })
        });
        let calls: Vec<_> = calls.collect();
        let responses = join_all(calls).await;
        let took = started.elapsed();
        let responses = responses.into_iter().map(|call| call.expect("no panic"));
        (took, responses.collect())
    }
}

/// Serves [`Empty`] with our own server's settings, for ever.
pub async fn serve_empty(address: &str) {
    let listen = Listen::default();
    let listener = TcpListener::bind(address).await.expect("a free port");
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let served = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .tcp_nodelay(true)
        .max_concurrent_streams(listen.max_concurrent_streams)
        .max_connection_age(listen.connection_max_age.0)
        .max_connection_age_grace(listen.connection_max_age_grace.0)
        .add_service(ExternalScalerServer::new(Nothing))
        .serve_with_incoming(incoming);
    served.await.expect("the empty service runs");
}

/// Responds to every GetMetrics with the same value.
struct Nothing;

#[tonic::async_trait]
impl ExternalScaler for Nothing {
    type StreamIsActiveStream = Empty<Result<IsActiveResponse, Status>>;
    type StreamMetricSpecStream = Empty<Result<GetMetricSpecResponse, Status>>;

    #[allow(deprecated)]
    async fn get_metrics(
        &self,
        _: Request<GetMetricsRequest>,
    ) -> Result<Response<GetMetricsResponse>, Status> {
        Ok(Response::new(GetMetricsResponse {
            metric_values: vec![MetricValue {
                metric_name: "redis-jobs-0123456789abcdef".to_owned(),
                metric_value: 1,
                metric_value_float: 1.0,
            }],
        }))
    }

    async fn get_metric_spec(
        &self,
        _: Request<ScaledObjectRef>,
    ) -> Result<Response<GetMetricSpecResponse>, Status> {
        Err(Status::unimplemented("an empty service"))
    }

    async fn is_active(
        &self,
        _: Request<ScaledObjectRef>,
    ) -> Result<Response<IsActiveResponse>, Status> {
        Err(Status::unimplemented("an empty service"))
    }

    async fn stream_is_active(
        &self,
        _: Request<ScaledObjectRef>,
    ) -> Result<Response<Self::StreamIsActiveStream>, Status> {
        Err(Status::unimplemented("an empty service"))
    }

    async fn stream_metric_spec(
        &self,
        _: Request<ScaledObjectRef>,
    ) -> Result<Response<Self::StreamMetricSpecStream>, Status> {
        Err(Status::unimplemented("an empty service"))
    }
}
