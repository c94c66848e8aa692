//! How many replicas a scale target really has, where that can be looked up.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::metadata::TriggerRef;

/// Knows the replicas of scale targets.
pub trait ReplicaSource: Send + Sync + 'static {
    /// Follows the scale target of a trigger for as long as the result is held.
    fn follow(&self, trigger: &TriggerRef) -> Arc<dyn TargetReplicas>;
}

/// The replicas of one scale target.
pub trait TargetReplicas: Send + Sync {
    /// The wanted number as it is known now, without I/O; `None`: it is not known.
    fn now(&self) -> Option<u32>;

    /// Returns once the number is known, or could not be read.
    fn known(&self) -> BoxFuture<'_, ()>;
}
