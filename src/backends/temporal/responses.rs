//! Responses of the server as values of this backend.

use std::time::{Duration, SystemTime};

use temporalio_protos::temporal::api::{
    enums::v1::{TaskQueueType, WorkerDeploymentVersionStatus as VersionStatus},
    taskqueue::v1::{PollerInfo, TaskQueueStats},
    workflowservice::v1::{DescribeTaskQueueResponse, DescribeWorkerDeploymentVersionResponse},
};

use super::{backlog::TaskStats, query::QueueType};

/// A worker that waits for tasks polls again at least this often: polls last a minute at most, and
/// the server keeps those of workers that are gone for five.
const POLL_LASTS: Duration = Duration::from_secs(90);

/// The state of a task queue of one type.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueueState {
    /// Its tasks.
    pub stats: TaskStats,
    /// Workers poll, or did so lately.
    pub has_pollers: bool,
    /// Tasks were added or dispatched lately (the server averages over 30 s).
    pub has_traffic: bool,
}

impl QueueState {
    /// Whether anything happens on the queue.
    pub fn in_use(&self) -> bool {
        self.has_pollers || self.has_traffic || self.stats.backlog > 0
    }
}

/// The state of a version of a worker deployment.
#[derive(Debug, PartialEq)]
pub struct VersionState {
    /// It gets no new workflows, but pinned ones still run.
    pub draining: bool,
    /// It gets new workflows.
    pub serving: bool,
    /// Statistics by task queue and type, of all queues that the version ever polled.
    pub queues: Vec<(String, QueueType, TaskStats)>,
}

/// `None`: the server does not know `report_stats`.
pub fn queue_state(response: &DescribeTaskQueueResponse) -> Option<QueueState> {
    let stats = response.stats.as_ref()?;
    let now = SystemTime::now();
    let polled = response.pollers.iter().any(|poller| polls(poller, now));
    Some(QueueState {
        stats: TaskStats {
            polled,
            ..task_stats(stats)
        },
        has_pollers: !response.pollers.is_empty(),
        has_traffic: stats.tasks_add_rate > 0.0 || stats.tasks_dispatch_rate > 0.0,
    })
}

fn polls(poller: &PollerInfo, now: SystemTime) -> bool {
    let last = poller.last_access_time;
    let last = last.and_then(|last| SystemTime::try_from(last).ok());
    // A clock that is ahead of ours is one of a poll just now.
    last.is_some_and(|last| {
        now.duration_since(last)
            .map_or(true, |ago| ago < POLL_LASTS)
    })
}

/// The statistics of a response in enhanced mode, of all build ids in it. `None`: statistics are
/// missing, so that the sum is not known.
#[allow(deprecated)]
pub fn build_id_stats(response: &DescribeTaskQueueResponse) -> Option<Vec<(QueueType, TaskStats)>> {
    let versions = response.versions_info.values();
    let types = versions.flat_map(|version| &version.types_info);
    // A type that is not known here was not requested.
    let known = types.filter_map(|(number, info)| Some((queue_type(*number)?, info)));
    known
        .map(|(queue_type, info)| Some((queue_type, task_stats(info.stats.as_ref()?))))
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
    let stats = queues.into_iter().filter_map(|queue| {
        let queue_type = queue_type(queue.r#type)?;
        Some((queue.name, queue_type, task_stats(queue.stats.as_ref()?)))
    });
    let status = info.status();
    Some(VersionState {
        draining: status == VersionStatus::Draining,
        serving: matches!(status, VersionStatus::Current | VersionStatus::Ramping),
        queues: stats.collect(),
    })
}

fn task_stats(stats: &TaskQueueStats) -> TaskStats {
    // The estimate may fall below 0 for a moment.
    let backlog = stats.approximate_backlog_count.try_into().unwrap_or(0);
    let age = stats.approximate_backlog_age.unwrap_or_default();
    TaskStats {
        backlog,
        age: match backlog {
            // The two are counted apart: a task that a worker has just taken still has an age for a
            // moment. Where the server divides a queue between versions, it does the same
            // (`subtractStats` in its `task_queue_partition_manager.go`).
            0 => Duration::ZERO,
            _ => age.try_into().unwrap_or_default(),
        },
        dispatch_rate: rate(stats.tasks_dispatch_rate),
        add_rate: rate(stats.tasks_add_rate),
        polled: false,
    }
}

fn rate(rate: f32) -> f64 {
    let rate = f64::from(rate);
    if rate.is_finite() { rate.max(0.0) } else { 0.0 }
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

    fn waiting(backlog: u64) -> TaskStats {
        TaskStats {
            backlog,
            ..TaskStats::default()
        }
    }

    #[test]
    fn an_age_is_that_of_tasks_that_are_counted() {
        for (given, count, age, then) in [
            ("tasks of an age", 3, Some((7, 500_000_000)), 7.5),
            ("an age without a task", 0, Some((7, 0)), 0.0),
            ("tasks without an age", 3, None, 0.0),
            ("an age from the future", 3, Some((-7, 0)), 0.0),
        ] {
            let mut stats = TaskQueueStats {
                approximate_backlog_count: count,
                ..Default::default()
            };
            if let Some((seconds, nanos)) = age {
                let age = stats.approximate_backlog_age.get_or_insert_default();
                (age.seconds, age.nanos) = (seconds, nanos);
            }
            assert_eq!(task_stats(&stats).age.as_secs_f64(), then, "{given}");
        }
    }

    #[test]
    fn a_rate_is_a_number_from_zero() {
        for (rate, then) in [
            (0.5, 0.5),
            (-1.0, 0.0),
            (f32::NAN, 0.0),
            (f32::INFINITY, 0.0),
        ] {
            let stats = TaskQueueStats {
                tasks_dispatch_rate: rate,
                tasks_add_rate: rate,
                ..Default::default()
            };
            let found = task_stats(&stats);
            assert_eq!(
                (found.dispatch_rate, found.add_rate),
                (then, then),
                "{rate}"
            );
        }
    }

    #[test]
    fn a_worker_that_is_gone_polls_no_more() {
        let now = SystemTime::now();
        for (given, last, then) in [
            ("just now", Some(now), true),
            ("by a clock ahead", Some(now + POLL_LASTS), true),
            ("a minute ago", Some(now - Duration::from_secs(60)), true),
            ("minutes ago", Some(now - Duration::from_secs(120)), false),
            ("never", None, false),
        ] {
            let poller = PollerInfo {
                last_access_time: last.map(Into::into),
                ..Default::default()
            };
            assert_eq!(polls(&poller, now), then, "{given}");
        }
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
        let with = build_id_stats(&response(stats(7)));
        assert_eq!(with, Some(vec![(QueueType::Activity, waiting(7))]));
        assert_eq!(build_id_stats(&response(None)), None);
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
        let queue = ("q".to_owned(), QueueType::Activity, waiting(7));
        assert_eq!(state.queues, [queue]);
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
