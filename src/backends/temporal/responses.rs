//! Responses of the server as values of this backend.

use temporalio_protos::temporal::api::{
    enums::v1::{TaskQueueType, WorkerDeploymentVersionStatus as VersionStatus},
    taskqueue::v1::TaskQueueStats,
    workflowservice::v1::{DescribeTaskQueueResponse, DescribeWorkerDeploymentVersionResponse},
};

use super::query::QueueType;

/// The state of a task queue of one type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueState {
    /// Tasks that wait.
    pub backlog: u64,
    /// Workers poll.
    pub has_pollers: bool,
    /// Tasks were added or dispatched lately (the server averages over 30 s).
    pub has_traffic: bool,
}

impl QueueState {
    /// Whether anything happens on the queue.
    pub fn in_use(&self) -> bool {
        self.has_pollers || self.has_traffic || self.backlog > 0
    }
}

/// The state of a version of a worker deployment.
#[derive(Debug, PartialEq, Eq)]
pub struct VersionState {
    /// It gets no new workflows, but pinned ones still run.
    pub draining: bool,
    /// It gets new workflows.
    pub serving: bool,
    /// Backlogs by task queue and type, of all queues that the version ever polled.
    pub backlogs: Vec<(String, QueueType, u64)>,
}

/// `None`: the server does not know `report_stats`.
pub fn queue_state(response: &DescribeTaskQueueResponse) -> Option<QueueState> {
    let stats = response.stats.as_ref()?;
    Some(QueueState {
        backlog: backlog(stats),
        has_pollers: !response.pollers.is_empty(),
        has_traffic: stats.tasks_add_rate > 0.0 || stats.tasks_dispatch_rate > 0.0,
    })
}

/// The backlogs of a response in enhanced mode, of all build ids in it. `None`: statistics are
/// missing, so that the sum is not known.
#[allow(deprecated)]
pub fn build_id_backlogs(response: &DescribeTaskQueueResponse) -> Option<Vec<(QueueType, u64)>> {
    let versions = response.versions_info.values();
    let types = versions.flat_map(|version| &version.types_info);
    // A type that is not known here was not requested.
    let known = types.filter_map(|(number, info)| Some((queue_type(*number)?, info)));
    known
        .map(|(queue_type, info)| Some((queue_type, backlog(info.stats.as_ref()?))))
        .collect()
}

/// `None`: the server does not know `report_task_queue_stats`.
#[allow(deprecated)]
pub fn version_state(response: DescribeWorkerDeploymentVersionResponse) -> Option<VersionState> {
    let info = response.worker_deployment_version_info.unwrap_or_default();
    let queues = response.version_task_queues;
    let has_stats = queues.iter().any(|queue| queue.stats.is_some());
    let has_queues = !queues.is_empty() || !info.task_queue_infos.is_empty();
    if has_queues && !has_stats {
        return None;
    }
    let backlogs = queues.into_iter().filter_map(|queue| {
        let queue_type = queue_type(queue.r#type)?;
        Some((queue.name, queue_type, backlog(queue.stats.as_ref()?)))
    });
    let status = info.status();
    Some(VersionState {
        draining: status == VersionStatus::Draining,
        serving: matches!(status, VersionStatus::Current | VersionStatus::Ramping),
        backlogs: backlogs.collect(),
    })
}

/// The estimate may fall below 0 for a moment.
fn backlog(stats: &TaskQueueStats) -> u64 {
    stats.approximate_backlog_count.try_into().unwrap_or(0)
}

/// A type as the API numbers it.
pub fn type_number(queue_type: QueueType) -> i32 {
    let queue_type = match queue_type {
        QueueType::Workflow => TaskQueueType::Workflow,
        QueueType::Activity => TaskQueueType::Activity,
        QueueType::Nexus => TaskQueueType::Nexus,
    };
    queue_type.into()
}

fn queue_type(number: i32) -> Option<QueueType> {
    let mut all = QueueType::ALL.into_iter();
    all.find(|queue_type| type_number(*queue_type) == number)
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
        assert_eq!(queue_state(&DescribeTaskQueueResponse::default()), None);
        let empty = DescribeTaskQueueResponse {
            stats: stats(-1),
            ..Default::default()
        };
        assert_eq!(queue_state(&empty), Some(QueueState::default()));
    }

    #[test]
    #[allow(deprecated)]
    fn a_build_id_without_stats_is_not_one_without_tasks() {
        use temporalio_protos::temporal::api::taskqueue::v1::{
            TaskQueueTypeInfo, TaskQueueVersionInfo,
        };
        let activity: i32 = TaskQueueType::Activity.into();
        let response = |stats| {
            let info = TaskQueueTypeInfo {
                stats,
                ..Default::default()
            };
            let version = TaskQueueVersionInfo {
                types_info: [(activity, info)].into(),
                ..Default::default()
            };
            DescribeTaskQueueResponse {
                versions_info: [("v1".to_owned(), version)].into(),
                ..Default::default()
            }
        };
        let with = build_id_backlogs(&response(stats(7)));
        assert_eq!(with, Some(vec![(QueueType::Activity, 7)]));
        assert_eq!(build_id_backlogs(&response(None)), None);
    }

    #[test]
    fn a_version_without_stats_is_an_old_servers() {
        let mut info = WorkerDeploymentVersionInfo::default();
        info.set_status(VersionStatus::Draining);
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
