//! The real replicas of scale targets, for the engine: looked up in the Kubernetes API.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    kubernetes::{Kubernetes, Replicas},
    metadata::TriggerRef,
    sampling::{ReplicaSource, TargetReplicas},
    telemetry::LogLimit,
};

/// Scale targets by what KEDA sends of a trigger.
pub struct TargetSource {
    kubernetes: Arc<Kubernetes>,
    log: Arc<LogLimit>,
}

impl TargetSource {
    pub fn new(kubernetes: Arc<Kubernetes>) -> Self {
        let log = Arc::default();
        TargetSource { kubernetes, log }
    }
}

impl ReplicaSource for TargetSource {
    fn follow(&self, trigger: &TriggerRef) -> Arc<dyn TargetReplicas> {
        let TriggerRef {
            namespace,
            name,
            metadata,
        } = trigger;
        let (kubernetes, log) = (self.kubernetes.clone(), self.log.clone());
        Arc::new(Replicas::new(kubernetes, (namespace, name), metadata, log))
    }
}

impl TargetReplicas for Replicas {
    fn now(&self) -> Option<u32> {
        self.now()
    }

    fn known(&self) -> BoxFuture<'_, ()> {
        self.known().boxed()
    }
}
