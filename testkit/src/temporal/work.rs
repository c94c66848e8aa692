//! Work for a server: workflows, activities and Nexus operations that wait, and workers.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use temporalio_protos::temporal::api::{
    command::v1::{
        Command, ScheduleActivityTaskCommandAttributes, ScheduleNexusOperationCommandAttributes,
        command::Attributes,
    },
    common::v1::{ActivityType, WorkflowType},
    deployment::v1::WorkerDeploymentOptions,
    enums::v1::{CommandType, TaskQueueType, VersioningBehavior, WorkerVersioningMode},
    nexus::v1::{EndpointSpec, EndpointTarget, endpoint_target},
    operatorservice::v1::{
        CreateNexusEndpointRequest, operator_service_client::OperatorServiceClient,
    },
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{
        DescribeTaskQueueRequest, PollActivityTaskQueueRequest, PollWorkflowTaskQueueRequest,
        PollWorkflowTaskQueueResponse, RespondWorkflowTaskCompletedRequest,
        SetWorkerDeploymentCurrentVersionRequest, StartWorkflowExecutionRequest,
    },
};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Request, Status};

use super::{Stubs, Temporal};

/// A task queue by its plain name.
pub fn normal(name: &str) -> Option<TaskQueue> {
    Some(TaskQueue {
        name: name.to_owned(),
        ..Default::default()
    })
}

/// A worker of one workflow task queue, perhaps of a version of a deployment.
pub struct Poller {
    stubs: Stubs,
    queue: String,
    version: Option<WorkerDeploymentOptions>,
}

impl Temporal {
    /// Starts `n` workflows, many at once.
    pub async fn start_workflows(&self, queue: &str, n: usize) {
        self.start_workflows_in("default", queue, n).await;
    }

    pub async fn start_workflows_in(&self, namespace: &str, queue: &str, n: usize) {
        let stubs = self.stubs().await;
        let starts = (0..n).map(|i| {
            let id = format!("{queue}-{i}");
            let stubs = &stubs;
            async move { start(stubs, namespace, queue, &id).await }
        });
        let started: Vec<_> = stream::iter(starts).buffer_unordered(20).collect().await;
        let failed: Vec<_> = started.into_iter().filter_map(Result::err).collect();
        assert!(
            failed.is_empty(),
            "{} of {n}: {:?}",
            failed.len(),
            failed[0]
        );
    }

    /// A worker without a version.
    pub async fn poller(&self, queue: &str) -> Poller {
        Poller {
            stubs: self.stubs().await,
            queue: queue.to_owned(),
            version: None,
        }
    }

    /// A worker of a version of a deployment.
    pub async fn versioned_poller(&self, queue: &str, deployment: &str, build_id: &str) -> Poller {
        let mut version = WorkerDeploymentOptions {
            deployment_name: deployment.to_owned(),
            build_id: build_id.to_owned(),
            ..Default::default()
        };
        version.set_worker_versioning_mode(WorkerVersioningMode::Versioned);
        Poller {
            version: Some(version),
            ..self.poller(queue).await
        }
    }

    /// Sends new workflows to this version, as soon as the server knows it.
    pub async fn set_current(&self, deployment: &str, build_id: &str) {
        let request = SetWorkerDeploymentCurrentVersionRequest {
            namespace: "default".to_owned(),
            deployment_name: deployment.to_owned(),
            build_id: build_id.to_owned(),
            identity: "test".to_owned(),
            ignore_missing_task_queues: true,
            allow_no_pollers: true,
            ..Default::default()
        };
        let started = Instant::now();
        let mut stubs = self.stubs().await;
        while let Err(status) = stubs
            .set_worker_deployment_current_version(request.clone())
            .await
        {
            assert!(started.elapsed() < Duration::from_secs(20), "{status}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// An endpoint that sends Nexus operations to a task queue.
    pub async fn nexus_endpoint(&self, name: &str, queue: &str) {
        let worker = endpoint_target::Worker {
            namespace: "default".to_owned(),
            task_queue: queue.to_owned(),
        };
        let spec = EndpointSpec {
            name: name.to_owned(),
            target: Some(EndpointTarget {
                variant: Some(endpoint_target::Variant::Worker(worker)),
            }),
            ..Default::default()
        };
        let channel = self.endpoint().expect("an endpoint").connect().await;
        let mut operator = OperatorServiceClient::new(channel.expect("the server responds"));
        let created =
            operator.create_nexus_endpoint(CreateNexusEndpointRequest { spec: Some(spec) });
        created.await.expect("a Nexus endpoint");
    }
}

/// Starts one workflow in the namespace `default`.
pub async fn start_one(stubs: &Stubs, queue: &str, id: &str) -> Result<(), Status> {
    start(stubs, "default", queue, id).await
}

/// What the server itself reports as the workflow tasks that wait on a queue of the namespace
/// `default`. Its count is approximate: a task that a busy server writes twice counts twice.
pub async fn reported(stubs: &Stubs, queue: &str) -> Result<i64, Status> {
    let request = DescribeTaskQueueRequest {
        namespace: "default".to_owned(),
        task_queue: normal(queue),
        task_queue_type: TaskQueueType::Workflow.into(),
        report_stats: true,
        ..Default::default()
    };
    let response = stubs.clone().describe_task_queue(request).await?;
    let stats = response.into_inner().stats;
    Ok(stats.map_or(0, |stats| stats.approximate_backlog_count))
}

async fn start(stubs: &Stubs, namespace: &str, queue: &str, id: &str) -> Result<(), Status> {
    let request = StartWorkflowExecutionRequest {
        namespace: namespace.to_owned(),
        workflow_id: id.to_owned(),
        workflow_type: Some(WorkflowType {
            name: "test".to_owned(),
        }),
        task_queue: normal(queue),
        request_id: id.to_owned(),
        ..Default::default()
    };
    let started = stubs.clone().start_workflow_execution(request).await;
    started.map(|_| ())
}

impl Poller {
    /// Polls once: a task, or `None` when nothing came within the time.
    pub async fn poll(&self, patience: Duration) -> Option<PollWorkflowTaskQueueResponse> {
        self.try_poll(patience)
            .await
            .expect("a poll has a response")
    }

    pub async fn try_poll(
        &self,
        patience: Duration,
    ) -> Result<Option<PollWorkflowTaskQueueResponse>, Status> {
        let request = PollWorkflowTaskQueueRequest {
            namespace: "default".to_owned(),
            task_queue: normal(&self.queue),
            identity: "test-worker".to_owned(),
            deployment_options: self.version.clone(),
            ..Default::default()
        };
        let mut request = Request::new(request);
        // The server wants to know, and responds a little before.
        request.set_timeout(patience + Duration::from_secs(10));
        let mut stubs = self.stubs.clone();
        let polled = timeout(patience, stubs.poll_workflow_task_queue(request)).await;
        let Ok(polled) = polled else { return Ok(None) };
        let task = polled?.into_inner();
        Ok((!task.task_token.is_empty()).then_some(task))
    }

    /// Polls for activities as well, so that the server knows of it. What comes is lost.
    pub async fn poll_activities(&self, patience: Duration) {
        let mut request = Request::new(PollActivityTaskQueueRequest {
            namespace: "default".to_owned(),
            task_queue: normal(&self.queue),
            identity: "test-worker".to_owned(),
            deployment_options: self.version.clone(),
            ..Default::default()
        });
        request.set_timeout(patience + Duration::from_secs(10));
        let mut stubs = self.stubs.clone();
        let _ = timeout(patience, stubs.poll_activity_task_queue(request)).await;
    }

    /// Takes one workflow task and completes it with these commands.
    pub async fn complete_one(&self, commands: Vec<Command>) {
        let started = Instant::now();
        let task = loop {
            if let Some(task) = self.poll(Duration::from_secs(5)).await {
                break task;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "no task came");
        };
        let mut request = RespondWorkflowTaskCompletedRequest {
            namespace: "default".to_owned(),
            identity: "test-worker".to_owned(),
            task_token: task.task_token,
            commands,
            deployment_options: self.version.clone(),
            ..Default::default()
        };
        if self.version.is_some() {
            request.set_versioning_behavior(VersioningBehavior::Pinned);
        }
        let mut stubs = self.stubs.clone();
        let completed = stubs.respond_workflow_task_completed(request).await;
        completed.expect("the task is completed");
    }
}

/// Commands that put `n` activities onto a task queue.
pub fn activities(queue: &str, n: usize) -> Vec<Command> {
    let activity = |i: usize| {
        Attributes::ScheduleActivityTaskCommandAttributes(ScheduleActivityTaskCommandAttributes {
            activity_id: i.to_string(),
            activity_type: Some(ActivityType {
                name: "test".to_owned(),
            }),
            task_queue: normal(queue),
            schedule_to_close_timeout: Duration::from_secs(600).try_into().ok(),
            ..Default::default()
        })
    };
    let command = |i| command(CommandType::ScheduleActivityTask, activity(i));
    (0..n).map(command).collect()
}

/// Commands that start `n` Nexus operations.
pub fn nexus_operations(endpoint: &str, n: usize) -> Vec<Command> {
    let operation = || {
        Attributes::ScheduleNexusOperationCommandAttributes(
            ScheduleNexusOperationCommandAttributes {
                endpoint: endpoint.to_owned(),
                service: "test".to_owned(),
                operation: "test".to_owned(),
                schedule_to_close_timeout: Duration::from_secs(600).try_into().ok(),
                ..Default::default()
            },
        )
    };
    (0..n)
        .map(|_| command(CommandType::ScheduleNexusOperation, operation()))
        .collect()
}

fn command(command_type: CommandType, attributes: Attributes) -> Command {
    Command {
        command_type: command_type.into(),
        attributes: Some(attributes),
        ..Default::default()
    }
}
