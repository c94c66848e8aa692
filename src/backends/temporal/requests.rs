//! The requests: a task queue, its build ids, a version of a worker deployment, how many workflows
//! run, and the slots of workers.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use temporalio_protos::temporal::api::{
    deployment::v1::WorkerDeploymentVersion,
    enums::v1::{DescribeTaskQueueMode, TaskQueueKind},
    taskqueue::v1::{TaskQueue, TaskQueueVersionSelection},
    workflowservice::v1::{
        CountWorkflowExecutionsRequest, DescribeTaskQueueRequest, DescribeTaskQueueResponse,
        DescribeWorkerDeploymentVersionRequest,
    },
};
use tokio::time::Instant;

use super::{
    backlog::TaskStats,
    channel::ServiceClient,
    config::Connection,
    query::{BuildIdSelection, DeploymentVersion, QueueType, TypeSelection},
    queue_type_usage::{KNOWN, QueueTypeUsage},
    rate_limiter::{Announcement, Priority, RateLimiter},
    request_executor::{Cost, RequestContext, RequestError, RequestExecutor},
    responses::{
        QueueState, VersionState, build_id_stats, queue_state, type_number, version_state,
    },
    server_version::ServerVersion,
    worker_slots::{SlotsInUse, WorkerSlots},
};
use crate::{
    backends::ttl_cache::TtlCache,
    error::{Error, Kind},
    sampling::{Budget, Measured},
};

/// Reads of worker deployments a second for one namespace: the server allows 50 for all its clients
/// (`frontend.globalNamespaceWorkerDeploymentReadRPS`).
const DEPLOYMENT_RATE: f64 = 20.0;
/// Visibility counts a second: the server allows 10 (`frontend.namespaceRPS.visibility`).
const VISIBILITY_RATE: f64 = 4.0;
/// How long a version's state serves other queries: the triggers of one worker Deployment are
/// evaluated together.
const VERSION_TTL: Duration = Duration::from_secs(2);
/// How long a count serves other queries: visibility itself lags by seconds.
const COUNT_TTL: Duration = Duration::from_secs(10);
/// How many versions and counts are kept.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1000).expect("is not zero");

/// The requests of one connection, with what their responses leave for the next.
pub struct Requests {
    executor: RequestExecutor,
    server: ServerVersion,
    queue_limiter: RateLimiter,
    deployment_limiter: RateLimiter,
    visibility_limiter: RateLimiter,
    usage: QueueTypeUsage,
    /// With the time at which the request was sent, so that a shared state is as old as it is.
    versions: TtlCache<DeploymentVersion, Measured<Arc<VersionState>>, RequestError>,
    counts: TtlCache<String, Measured<u64>, RequestError>,
    slots: WorkerSlots,
}

impl Requests {
    pub fn new(service: ServiceClient, connection: Connection, server: ServerVersion) -> Self {
        let rate = f64::from(connection.requests_per_second);
        Requests {
            executor: RequestExecutor::new(service, connection),
            server,
            queue_limiter: RateLimiter::new(rate),
            deployment_limiter: RateLimiter::new(rate.min(DEPLOYMENT_RATE)),
            visibility_limiter: RateLimiter::new(rate.min(VISIBILITY_RATE)),
            usage: QueueTypeUsage::new(KNOWN),
            versions: TtlCache::new(VERSION_TTL, CAPACITY),
            counts: TtlCache::new(COUNT_TTL, CAPACITY),
            slots: WorkerSlots::new(rate),
        }
    }

    /// Which types of a queue are in use.
    pub fn usage(&self) -> &QueueTypeUsage {
        &self.usage
    }

    /// The slots of workers.
    pub fn slots(&self) -> &WorkerSlots {
        &self.slots
    }

    /// Whether the rate of queue reads has room for more than what is needed.
    pub fn has_room(&self) -> bool {
        self.queue_limiter.has_room()
    }

    /// What reads of queues are allowed, and use.
    pub fn budget(&self) -> Budget {
        self.queue_limiter.budget()
    }

    /// So many reads of queues are about to be requested.
    pub fn announce(&self, reads: usize) -> Announcement<'_> {
        self.queue_limiter.announce(reads)
    }

    /// The state of a task queue of one type, whatever workers its tasks are for.
    pub async fn queue(
        &self,
        name: &str,
        queue_type: QueueType,
        context: RequestContext<'_>,
    ) -> Result<Measured<QueueState>, RequestError> {
        let request = DescribeTaskQueueRequest {
            task_queue_type: type_number(queue_type),
            ..self.describe(name)
        };
        let cost = self.queue_cost(name, queue_type, context.priority);
        let response = self.describe_task_queue(request, cost, context).await?;
        let Some(state) = queue_state(&response.sample) else {
            return Err(self.too_old("backlogs of task queues", "1.28"));
        };
        self.usage.record(name, queue_type, state, Instant::now());
        Ok(Measured {
            sample: state,
            at: response.at,
        })
    }

    /// The statistics of a task queue by type, of selected build ids. Deprecated by Temporal.
    #[allow(deprecated)]
    pub async fn build_ids(
        &self,
        name: &str,
        types: &TypeSelection,
        build_ids: &BuildIdSelection,
        context: RequestContext<'_>,
    ) -> Result<Measured<Vec<(QueueType, TaskStats)>>, RequestError> {
        let types = QueueType::ALL.into_iter().filter(|t| types.contains(*t));
        let request = DescribeTaskQueueRequest {
            api_mode: DescribeTaskQueueMode::Enhanced.into(),
            task_queue_types: types.map(type_number).collect(),
            versions: Some(TaskQueueVersionSelection {
                build_ids: build_ids.build_id.iter().cloned().collect(),
                unversioned: build_ids.unversioned,
                all_active: build_ids.all_active,
            }),
            ..self.describe(name)
        };
        let cost = Cost::one(&self.queue_limiter);
        let response = self.describe_task_queue(request, cost, context).await?;
        let Some(stats) = build_id_stats(&response.sample) else {
            return Err(self.too_old("backlogs of build ids", "1.24"));
        };
        Ok(Measured {
            sample: stats,
            at: response.at,
        })
    }

    /// The state of a worker deployment's version: at most as old as [`VERSION_TTL`], and shared by
    /// all queries of the version.
    pub async fn version(
        &self,
        version: &DeploymentVersion,
        context: RequestContext<'_>,
    ) -> Result<Measured<Arc<VersionState>>, RequestError> {
        let read = async {
            let request = DescribeWorkerDeploymentVersionRequest {
                namespace: self.executor.namespace().to_owned(),
                deployment_version: Some(WorkerDeploymentVersion {
                    deployment_name: version.deployment.clone(),
                    build_id: version.build_id.clone(),
                }),
                report_task_queue_stats: true,
                ..Default::default()
            };
            let cost = Cost::one(&self.deployment_limiter);
            let response = self.executor.execute(cost, context, |mut service| {
                let request = request.clone();
                async move { service.describe_worker_deployment_version(request).await }
            });
            let response = response.await?;
            match version_state(response.sample) {
                Some(state) => Ok(Measured {
                    sample: Arc::new(state),
                    at: response.at,
                }),
                None => Err(self.too_old("backlogs of worker-deployment versions", "1.29")),
            }
        };
        self.versions.get_or_read(version, read).await
    }

    /// How many workflows a visibility query finds: at most as old as [`COUNT_TTL`].
    pub async fn count(
        &self,
        query: String,
        context: RequestContext<'_>,
    ) -> Result<Measured<u64>, RequestError> {
        let read = async {
            let request = CountWorkflowExecutionsRequest {
                namespace: self.executor.namespace().to_owned(),
                query: query.clone(),
            };
            let cost = Cost::one(&self.visibility_limiter);
            let response = self.executor.execute(cost, context, |mut service| {
                let request = request.clone();
                async move { service.count_workflow_executions(request).await }
            });
            let response = response.await?;
            Ok(Measured {
                sample: response.sample.count.try_into().unwrap_or(0),
                at: response.at,
            })
        };
        // Visibility is a database of its own: that it is slow says nothing of the connection.
        let read = async {
            read.await.map_err(|error| match error {
                RequestError::ConnectionLost(error) if error.kind() == Kind::TimedOut => {
                    RequestError::Failed(error)
                }
                other => other,
            })
        };
        self.counts.get_or_read(&query, read).await
    }

    /// The slots in use of the workers that a query finds.
    pub async fn worker_slots(
        &self,
        query: String,
        context: RequestContext<'_>,
    ) -> Result<SlotsInUse, RequestError> {
        let slots = &self.slots;
        slots
            .in_use(&self.executor, &self.server, query, context)
            .await
    }

    /// What all requests of a task queue have in common.
    fn describe(&self, name: &str) -> DescribeTaskQueueRequest {
        DescribeTaskQueueRequest {
            namespace: self.executor.namespace().to_owned(),
            task_queue: Some(TaskQueue {
                name: name.to_owned(),
                kind: TaskQueueKind::Normal.into(),
                normal_name: String::new(),
            }),
            report_stats: true,
            ..Default::default()
        }
    }

    async fn describe_task_queue(
        &self,
        request: DescribeTaskQueueRequest,
        cost: Cost<'_>,
        context: RequestContext<'_>,
    ) -> Result<Measured<DescribeTaskQueueResponse>, RequestError> {
        let send = |mut service: ServiceClient| {
            let request = request.clone();
            async move { service.describe_task_queue(request).await }
        };
        self.executor.execute(cost, context, send).await
    }

    /// How much a read of a queue weighs.
    ///
    /// A read costs a matching host 5 requests, and one that loads the queue's partitions into its
    /// memory about 12, as each fetches the queue's user data first (measured). Workflow queues
    /// are loaded as long as tasks come. Idle reads weigh so much that they take a tenth of the
    /// rate.
    fn queue_cost(&self, name: &str, queue_type: QueueType, priority: Priority) -> Cost<'_> {
        let weight = match (priority, queue_type) {
            (Priority::Idle, _) => 8,
            (_, QueueType::Workflow) => 1,
            _ if self.usage.has_read(name, queue_type) => 1,
            _ => 2,
        };
        Cost {
            limiter: &self.queue_limiter,
            weight,
        }
    }

    fn too_old(&self, what: &str, since: &str) -> RequestError {
        RequestError::Failed(Error::new(
            Kind::Unreadable,
            format!("server {} does not report the {what}", self.server),
            format!("That needs Temporal server {since} or newer."),
        ))
    }
}
