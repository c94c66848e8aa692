//! What KEDA scales.

use super::{ScaledJob, ScaledObject};

/// A ScaledObject or a ScaledJob.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalable {
    /// An HPA sets the replicas of its target, and KEDA those to and from zero.
    Object(ScaledObject),
    /// KEDA creates jobs, which end by themselves.
    Job(ScaledJob),
}

impl Scalable {
    /// The most replicas, or jobs at a time.
    pub fn max_replicas(&self) -> u32 {
        match self {
            Scalable::Object(scaled_object) => scaled_object.max_replica_count,
            Scalable::Job(scaled_job) => scaled_job.max_jobs(),
        }
    }

    /// The ScaledObject, if it is one.
    pub fn scaled_object(self) -> Option<ScaledObject> {
        match self {
            Scalable::Object(scaled_object) => Some(scaled_object),
            Scalable::Job(_) => None,
        }
    }
}

impl From<ScaledObject> for Scalable {
    fn from(scaled_object: ScaledObject) -> Self {
        Scalable::Object(scaled_object)
    }
}

impl From<ScaledJob> for Scalable {
    fn from(scaled_job: ScaledJob) -> Self {
        Scalable::Job(scaled_job)
    }
}
