//! Heartbeats of workers, as SDKs send them.

use std::time::SystemTime;

use temporalio_protos::temporal::api::{
    deployment::v1::WorkerDeploymentVersion,
    enums::v1::WorkerStatus,
    worker::v1::{WorkerHeartbeat, WorkerSlotsInfo},
    workflowservice::v1::RecordWorkerHeartbeatRequest,
};

use super::Temporal;

/// A worker of one task queue, with what it has in use.
#[derive(Clone, Debug, Default)]
pub struct SlotsOfWorker {
    /// Unique in the namespace.
    pub key: String,
    pub queue: String,
    /// The name of its deployment, and its build id.
    pub version: Option<(String, String)>,
    pub workflow_tasks: i32,
    pub activities: i32,
}

impl Temporal {
    /// Sends a heartbeat of a running worker.
    pub async fn heartbeat(&self, worker: &SlotsOfWorker) {
        self.heartbeat_of(worker, WorkerStatus::Running).await;
    }

    /// Sends a worker's last heartbeat, which has the slots that it holds when it begins to shut
    /// down.
    pub async fn last_heartbeat(&self, worker: &SlotsOfWorker) {
        self.heartbeat_of(worker, WorkerStatus::ShuttingDown).await;
    }

    async fn heartbeat_of(&self, worker: &SlotsOfWorker, status: WorkerStatus) {
        let slots = |used| {
            Some(WorkerSlotsInfo {
                current_available_slots: 100 - used,
                current_used_slots: used,
                ..Default::default()
            })
        };
        let version = worker.version.clone();
        let heartbeat = WorkerHeartbeat {
            worker_instance_key: worker.key.clone(),
            worker_identity: worker.key.clone(),
            task_queue: worker.queue.clone(),
            deployment_version: version.map(|(deployment_name, build_id)| {
                WorkerDeploymentVersion {
                    deployment_name,
                    build_id,
                }
            }),
            status: status.into(),
            heartbeat_time: Some(SystemTime::now().into()),
            workflow_task_slots_info: slots(worker.workflow_tasks),
            activity_task_slots_info: slots(worker.activities),
            ..Default::default()
        };
        let request = RecordWorkerHeartbeatRequest {
            namespace: "default".to_owned(),
            identity: worker.key.clone(),
            worker_heartbeat: vec![heartbeat],
            ..Default::default()
        };
        let mut stubs = self.stubs().await;
        let recorded = stubs.record_worker_heartbeat(request).await;
        recorded.expect("the server takes heartbeats");
    }
}
