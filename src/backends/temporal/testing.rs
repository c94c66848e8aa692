//! A frontend for what no real server can be made to do in a test: to be old, slow, or to fail just
//! once.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::Mutex;
use prost::Message;
use temporalio_protos::temporal::api::{
    enums::v1::TaskQueueType,
    namespace::v1::{NamespaceInfo, namespace_info::Capabilities},
    taskqueue::v1::TaskQueueStats,
    worker::v1::{WorkerHeartbeat, WorkerInfo, WorkerListInfo},
    workflowservice::v1::{
        CountWorkflowExecutionsRequest, CountWorkflowExecutionsResponse, DescribeNamespaceRequest,
        DescribeNamespaceResponse, DescribeTaskQueueRequest, DescribeTaskQueueResponse,
        DescribeWorkerDeploymentVersionRequest, DescribeWorkerDeploymentVersionResponse,
        GetSystemInfoRequest, GetSystemInfoResponse, ListWorkersRequest, ListWorkersResponse,
        describe_worker_deployment_version_response::VersionTaskQueue,
    },
};
use tokio::{net::TcpListener, time::sleep};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{
    Request, Response, Status,
    body::Body,
    server::{Grpc, NamedService, UnaryService},
};
use tonic_prost::ProstCodec;

use super::config::Connection;

/// A connection with the defaults.
pub fn connection(endpoint: &str) -> Connection {
    Connection {
        endpoint: endpoint.parse().unwrap(),
        namespace: "default".to_owned(),
        api_key: None,
        tls: None,
        connect_timeout: Duration::from_secs(5),
        requests_per_second: 170,
    }
}

/// A frontend, until it is dropped.
pub struct FakeFrontend {
    pub connection: Connection,
    state: FrontendState,
    _closed: DropGuard,
}

#[derive(Clone)]
struct FrontendState {
    version: &'static str,
    script: Arc<Mutex<FrontendScript>>,
}

/// What the frontend does with a request that is not one of connecting.
#[derive(Default)]
struct FrontendScript {
    delay: Duration,
    failures: VecDeque<Status>,
    requests: Vec<String>,
    workers: Option<Vec<WorkerHeartbeat>>,
    lists_slots: bool,
}

/// Workers in one response, whatever the page size.
const WORKERS_A_PAGE: usize = 2;

impl FakeFrontend {
    /// A frontend that says it has this version. Each queue has 7 tasks of each type.
    pub async fn start(version: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connection = connection(&listener.local_addr().unwrap().to_string());
        let state = FrontendState {
            version,
            script: Arc::default(),
        };
        let closed = CancellationToken::new();
        let server = tonic::transport::Server::builder()
            .add_service(state.clone())
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(closed.clone().run_until_cancelled_owned(server));
        FakeFrontend {
            connection,
            state,
            _closed: closed.drop_guard(),
        }
    }

    /// Every response takes this long from now on.
    pub fn delay(&self, delay: Duration) {
        self.state.script.lock().delay = delay;
    }

    /// The next requests fail with these.
    pub fn fail_with(&self, failures: impl IntoIterator<Item = Status>) {
        self.state.script.lock().failures.extend(failures);
    }

    /// The namespace takes heartbeats from now on, and these have come. `lists_slots`: with what
    /// each worker has in use.
    pub fn has_workers(&self, workers: Vec<WorkerHeartbeat>, lists_slots: bool) {
        let mut script = self.state.script.lock();
        (script.workers, script.lists_slots) = (Some(workers), lists_slots);
    }

    /// The methods that were called since the client connected.
    pub fn requests(&self) -> Vec<String> {
        self.state.script.lock().requests.clone()
    }
}

impl NamedService for FrontendState {
    const NAME: &'static str = "temporal.api.workflowservice.v1.WorkflowService";
}

impl tower::Service<http::Request<Body>> for FrontendState {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let state = self.clone();
        Box::pin(async move { Ok(state.respond(request).await) })
    }
}

impl FrontendState {
    async fn respond(self, request: http::Request<Body>) -> http::Response<Body> {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        match method.to_owned().as_str() {
            "GetSystemInfo" => {
                let version = self.version.to_owned();
                unary(request, move |_: GetSystemInfoRequest| {
                    Ok(GetSystemInfoResponse {
                        server_version: version.clone(),
                        ..Default::default()
                    })
                })
                .await
            }
            "DescribeNamespace" => {
                let worker_heartbeats = self.script.lock().workers.is_some();
                let response = move |_: DescribeNamespaceRequest| {
                    Ok(DescribeNamespaceResponse {
                        namespace_info: Some(NamespaceInfo {
                            capabilities: Some(Capabilities {
                                worker_heartbeats,
                                ..Default::default()
                            }),
                            ..Default::default()
                        }),
                        ..Default::default()
                    })
                };
                unary(request, response).await
            }
            "ListWorkers" => {
                let outcome = self.next_outcome("ListWorkers").await;
                let script = self.script;
                let list = move |request: ListWorkersRequest| {
                    outcome.clone()?;
                    Ok(list_workers(&script.lock(), &request))
                };
                unary(request, list).await
            }
            method => {
                let outcome = self.next_outcome(method).await;
                respond_to(method, request, outcome).await
            }
        }
    }

    async fn next_outcome(&self, method: &str) -> Result<(), Status> {
        let (delay, failure) = {
            let mut script = self.script.lock();
            script.requests.push(method.to_owned());
            (script.delay, script.failures.pop_front())
        };
        sleep(delay).await;
        failure.map_or(Ok(()), Err)
    }
}

#[allow(deprecated)]
fn list_workers(script: &FrontendScript, request: &ListWorkersRequest) -> ListWorkersResponse {
    let all = script.workers.as_deref().unwrap_or_default();
    let from = request.next_page_token.len();
    let page = &all[from..all.len().min(from + WORKERS_A_PAGE)];
    let rest = from + page.len();
    let info = |heartbeat: &WorkerHeartbeat| WorkerInfo {
        worker_heartbeat: Some(heartbeat.clone()),
    };
    ListWorkersResponse {
        workers: vec![WorkerListInfo::default(); page.len()],
        workers_info: match script.lists_slots {
            true => page.iter().map(info).collect(),
            false => Vec::new(),
        },
        // As long as what has been listed.
        next_page_token: match rest < all.len() {
            true => vec![0; rest],
            false => Vec::new(),
        },
    }
}

async fn respond_to(
    method: &str,
    request: http::Request<Body>,
    outcome: Result<(), Status>,
) -> http::Response<Body> {
    let stats = Some(TaskQueueStats {
        approximate_backlog_count: 7,
        ..Default::default()
    });
    match method {
        "DescribeTaskQueue" => {
            let response = DescribeTaskQueueResponse {
                stats,
                ..Default::default()
            };
            let response = outcome.map(|()| response);
            unary(request, move |_: DescribeTaskQueueRequest| response.clone()).await
        }
        "DescribeWorkerDeploymentVersion" => {
            let response = DescribeWorkerDeploymentVersionResponse {
                version_task_queues: vec![VersionTaskQueue {
                    name: "q".to_owned(),
                    r#type: TaskQueueType::Workflow.into(),
                    stats,
                    ..Default::default()
                }],
                ..Default::default()
            };
            let response = outcome.map(|()| response);
            let respond = move |_: DescribeWorkerDeploymentVersionRequest| response.clone();
            unary(request, respond).await
        }
        "CountWorkflowExecutions" => {
            let response = CountWorkflowExecutionsResponse {
                count: 1,
                ..Default::default()
            };
            let response = outcome.map(|()| response);
            unary(request, move |_: CountWorkflowExecutionsRequest| {
                response.clone()
            })
            .await
        }
        other => panic!("{other} is not expected"),
    }
}

struct Unary<F>(F);

impl<F, Req, Res> UnaryService<Req> for Unary<F>
where
    F: Fn(Req) -> Result<Res, Status>,
{
    type Response = Res;
    type Future = std::future::Ready<Result<Response<Res>, Status>>;

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        std::future::ready(self.0(request.into_inner()).map(Response::new))
    }
}

async fn unary<Req, Res>(
    request: http::Request<Body>,
    respond: impl Fn(Req) -> Result<Res, Status>,
) -> http::Response<Body>
where
    Req: Message + Default + 'static,
    Res: Message + 'static,
{
    let mut grpc = Grpc::new(ProstCodec::<Res, Req>::default());
    grpc.unary(Unary(respond), request).await
}
