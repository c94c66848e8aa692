//! The four things that are read: a task queue, its build ids, a version of a worker deployment,
//! and how many workflows run.

use std::sync::Arc;

use temporalio_protos::temporal::api::{
    deployment::v1::WorkerDeploymentVersion,
    enums::v1::{
        DescribeTaskQueueMode, TaskQueueKind, TaskQueueType, WorkerDeploymentVersionStatus,
    },
    taskqueue::v1::{TaskQueue, TaskQueueStats, TaskQueueVersionSelection},
    workflowservice::v1::{
        CountWorkflowExecutionsRequest, DescribeTaskQueueRequest, DescribeTaskQueueResponse,
        DescribeWorkerDeploymentVersionRequest, DescribeWorkerDeploymentVersionResponse,
    },
};
use tokio::time::Instant;

use super::{
    client::{Reader, Spend, Unread, When},
    query::{BuildIds, QueueType, Types, Version},
    queue_type_usage::Reading,
    rate_limiter::Urgency,
};
use crate::error::{Error, Kind};

/// What is known of a version of a worker deployment.
#[derive(Debug, PartialEq, Eq)]
pub struct VersionState {
    /// No new workflows come to it, but pinned ones still run.
    pub draining: bool,
    /// New workflows come to it.
    pub serving: bool,
    /// Backlogs by task queue and type, of all queues that the version ever polled.
    pub backlogs: Vec<(String, QueueType, u64)>,
}

impl Reader {
    /// The backlog of a task queue of one type, whoever is to work on it, and whether the queue is
    /// in use.
    pub async fn queue(
        &self,
        name: &str,
        queue_type: QueueType,
        when: When,
    ) -> Result<Reading, Unread> {
        let request = DescribeTaskQueueRequest {
            namespace: self.namespace().to_owned(),
            task_queue: Some(normal(name)),
            task_queue_type: proto(queue_type).into(),
            report_stats: true,
            ..Default::default()
        };
        let response = self
            .call(self.weigh(name, queue_type, when), when, |mut service| {
                let request = request.clone();
                async move { service.describe_task_queue(request).await }
            })
            .await?;
        let Some(reading) = reading(&response) else {
            return Err(self.lacks("backlogs of task queues", "1.28"));
        };
        self.usage.learn(name, queue_type, reading, Instant::now());
        Ok(reading)
    }

    /// The backlogs of a task queue by type, of selected build ids. Deprecated by Temporal.
    #[allow(deprecated)]
    pub async fn build_ids(
        &self,
        name: &str,
        types: &Types,
        build_ids: &BuildIds,
        when: When,
    ) -> Result<Vec<(QueueType, u64)>, Unread> {
        let types = QueueType::ALL.into_iter().filter(|t| types.contains(*t));
        let request = DescribeTaskQueueRequest {
            namespace: self.namespace().to_owned(),
            task_queue: Some(normal(name)),
            report_stats: true,
            api_mode: DescribeTaskQueueMode::Enhanced.into(),
            task_queue_types: types.map(|t| proto(t).into()).collect(),
            versions: Some(TaskQueueVersionSelection {
                build_ids: build_ids.build_id.iter().cloned().collect(),
                unversioned: build_ids.unversioned,
                all_active: build_ids.all_active,
            }),
            ..Default::default()
        };
        let response = self
            .call(Spend::one(&self.queues), when, |mut service| {
                let request = request.clone();
                async move { service.describe_task_queue(request).await }
            })
            .await?;
        let infos = response.versions_info.values();
        let backlogs = infos.flat_map(|info| &info.types_info);
        let backlogs = backlogs.filter_map(|(number, info)| {
            Some((from_proto(*number)?, backlog(info.stats.as_ref()?)))
        });
        Ok(backlogs.collect())
    }

    /// The state of a worker deployment's version, shared with whoever else asks for it now.
    pub async fn version(
        &self,
        version: &Version,
        when: When,
    ) -> Result<Arc<VersionState>, Unread> {
        let read = async {
            let request = DescribeWorkerDeploymentVersionRequest {
                namespace: self.namespace().to_owned(),
                deployment_version: Some(WorkerDeploymentVersion {
                    deployment_name: version.deployment.clone(),
                    build_id: version.build_id.clone(),
                }),
                report_task_queue_stats: true,
                ..Default::default()
            };
            let response = self
                .call(Spend::one(&self.deployments), when, |mut service| {
                    let request = request.clone();
                    async move { service.describe_worker_deployment_version(request).await }
                })
                .await?;
            match version_state(response) {
                Some(state) => Ok(Arc::new(state)),
                None => Err(self.lacks("backlogs of worker-deployment versions", "1.29")),
            }
        };
        self.versions.get_or_read(version, read).await
    }

    /// How many workflows a visibility query finds. Its literals must have been checked.
    pub async fn count(&self, query: String, when: When) -> Result<u64, Unread> {
        let read = async {
            let request = CountWorkflowExecutionsRequest {
                namespace: self.namespace().to_owned(),
                query: query.clone(),
            };
            let response = self
                .call(Spend::one(&self.visibility), when, |mut service| {
                    let request = request.clone();
                    async move { service.count_workflow_executions(request).await }
                })
                .await?;
            Ok(response.count.try_into().unwrap_or(0))
        };
        self.counts.get_or_read(&query, read).await
    }

    /// How much a read of a queue takes of the budget.
    ///
    /// A read costs a matching host 5 requests, and one that loads the queue's partitions into its
    /// memory about 12, as each fetches the queue's user data first (measured). Workflow queues
    /// are loaded as long as tasks come. What nobody waits for is weighed so that it takes a tenth.
    fn weigh(&self, name: &str, queue_type: QueueType, when: When) -> Spend<'_> {
        let weight = match (when.urgency, queue_type) {
            (Urgency::Idle, _) => 8,
            (_, QueueType::Workflow) => 1,
            _ if self.usage.has_read(name, queue_type) => 1,
            _ => 2,
        };
        Spend {
            budget: &self.queues,
            weight,
        }
    }

    fn lacks(&self, what: &str, since: &str) -> Unread {
        Unread::Failed(Error::new(
            Kind::Unreadable,
            format!("server {} does not tell the {what}", self.version),
            format!("That needs Temporal server {since} or newer."),
        ))
    }
}

fn normal(name: &str) -> TaskQueue {
    TaskQueue {
        name: name.to_owned(),
        kind: TaskQueueKind::Normal.into(),
        normal_name: String::new(),
    }
}

/// `None`: the server does not know `report_stats`.
fn reading(response: &DescribeTaskQueueResponse) -> Option<Reading> {
    let stats = response.stats.as_ref()?;
    Some(Reading {
        backlog: backlog(stats),
        polled: !response.pollers.is_empty(),
        moving: stats.tasks_add_rate > 0.0 || stats.tasks_dispatch_rate > 0.0,
    })
}

/// The estimate may fall below 0 for a moment.
fn backlog(stats: &TaskQueueStats) -> u64 {
    stats.approximate_backlog_count.try_into().unwrap_or(0)
}

/// `None`: the server does not know `report_task_queue_stats`.
#[allow(deprecated)]
fn version_state(response: DescribeWorkerDeploymentVersionResponse) -> Option<VersionState> {
    let info = response.worker_deployment_version_info.unwrap_or_default();
    let queues = response.version_task_queues;
    let has_stats = queues.iter().any(|queue| queue.stats.is_some());
    let has_queues = !queues.is_empty() || !info.task_queue_infos.is_empty();
    if has_queues && !has_stats {
        return None;
    }
    let backlogs = queues.into_iter().filter_map(|queue| {
        let queue_type = from_proto(queue.r#type)?;
        Some((queue.name, queue_type, backlog(queue.stats.as_ref()?)))
    });
    use WorkerDeploymentVersionStatus as Status;
    let status = info.status();
    Some(VersionState {
        draining: status == Status::Draining,
        serving: matches!(status, Status::Current | Status::Ramping),
        backlogs: backlogs.collect(),
    })
}

fn proto(queue_type: QueueType) -> TaskQueueType {
    match queue_type {
        QueueType::Workflow => TaskQueueType::Workflow,
        QueueType::Activity => TaskQueueType::Activity,
        QueueType::Nexus => TaskQueueType::Nexus,
    }
}

fn from_proto(number: i32) -> Option<QueueType> {
    QueueType::ALL
        .into_iter()
        .find(|queue_type| i32::from(proto(*queue_type)) == number)
}

#[cfg(test)]
mod tests {
    use temporalio_protos::temporal::api::{
        deployment::v1::{
            WorkerDeploymentVersionInfo, worker_deployment_version_info::VersionTaskQueueInfo,
        },
        workflowservice::v1::describe_worker_deployment_version_response::VersionTaskQueue,
    };

    use super::*;

    fn stats(count: i64) -> Option<TaskQueueStats> {
        Some(TaskQueueStats {
            approximate_backlog_count: count,
            ..Default::default()
        })
    }

    #[test]
    fn a_server_without_stats_is_not_a_server_with_an_empty_queue() {
        assert_eq!(reading(&DescribeTaskQueueResponse::default()), None);
        let empty = DescribeTaskQueueResponse {
            stats: stats(-1),
            ..Default::default()
        };
        assert_eq!(reading(&empty), Some(Reading::default()));
    }

    #[test]
    fn a_version_without_stats_is_an_old_servers() {
        let mut info = WorkerDeploymentVersionInfo::default();
        info.set_status(WorkerDeploymentVersionStatus::Draining);
        let mut response = DescribeWorkerDeploymentVersionResponse {
            worker_deployment_version_info: Some(info.clone()),
            version_task_queues: vec![VersionTaskQueue {
                name: "q".to_owned(),
                r#type: TaskQueueType::Activity.into(),
                stats: stats(7),
                ..Default::default()
            }],
        };
        let state = version_state(response.clone()).unwrap();
        assert_eq!(state.backlogs, [("q".to_owned(), QueueType::Activity, 7)]);
        assert!(state.draining && !state.serving);

        response.version_task_queues[0].stats = None;
        assert_eq!(version_state(response.clone()), None);

        response.version_task_queues.clear();
        #[allow(deprecated)]
        info.task_queue_infos.push(VersionTaskQueueInfo::default());
        response.worker_deployment_version_info = Some(info);
        assert_eq!(version_state(response), None);
    }
}
