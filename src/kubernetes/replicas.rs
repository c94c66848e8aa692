//! The real replicas of the scale target of a trigger.
//!
//! The number is `spec.replicas`: what the HPA has set, or a person. `status.replicas` also counts the
//! pods that a rolling update adds for a moment; held, they would become wanted ones.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tracing::warn;

use super::{
    Kubernetes,
    collection::Kept,
    matching,
    object::{ObjectId, Resource},
    scalable::{EnvironmentSource, Scalable},
    sources::Source,
};
use crate::{
    error::{Error, Kind, Result},
    telemetry::LogLimit,
};

/// Follows the scale target of one trigger. Its watch ends with this.
pub struct Replicas {
    kubernetes: Arc<Kubernetes>,
    namespace: String,
    name: String,
    metadata: BTreeMap<String, String>,
    target: Mutex<Target>,
    log: Arc<LogLimit>,
}

/// What is watched, as one revision of the ScaledObject names it.
struct Target {
    revision: Option<u64>,
    source: Result<Arc<Source>>,
    /// The log has the reason why the number is not known.
    is_reported: bool,
}

impl Replicas {
    /// Of a trigger, by what a call sends of it. Nothing is watched yet.
    pub fn new(
        kubernetes: Arc<Kubernetes>,
        (namespace, name): (&str, &str),
        metadata: &BTreeMap<String, String>,
        log: Arc<LogLimit>,
    ) -> Self {
        Replicas {
            target: Mutex::new(Target {
                revision: None,
                source: Err(unknown(namespace, name)),
                is_reported: false,
            }),
            kubernetes,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            metadata: metadata.clone(),
            log,
        }
    }

    /// The number as the watch has it. `None`: it is not known, and the log says why, once.
    pub fn now(&self) -> Option<u32> {
        // What was watched before is dropped after the lock is released.
        let mut _before = None;
        let mut target = self.target.lock();
        let kept = self
            .kubernetes
            .scaled_objects
            .peek(&self.namespace, &self.name);
        let revision = kept.as_ref().map(|kept| kept.revision);
        if revision != target.revision {
            target.revision = revision;
            let source = self.open(kept);
            _before = Some(std::mem::replace(&mut target.source, source));
        }
        let known = target.source.as_ref().map_err(Clone::clone);
        match known.and_then(|source| source.replicas()) {
            Ok(Some(number)) => {
                target.is_reported = false;
                return Some(number);
            }
            Err(error) if self.is_known_to_be_so() && !target.is_reported => {
                target.is_reported = true;
                drop(target);
                self.report(&error);
            }
            // Not read yet, or reported.
            Ok(None) | Err(_) => {}
        }
        None
    }

    /// Returns once the number is known, or could not be read. Without a deadline of its own.
    pub async fn known(&self) {
        // Until the ScaledObjects are known; a failure shows below.
        let objects = &self.kubernetes.scaled_objects;
        let _ = objects.get(&self.namespace, &self.name).await;
        self.now();
        let source = self.target.lock().source.clone();
        if let Ok(source) = source {
            let _ = source.known().await;
        }
    }

    /// Before the first list of the ScaledObjects nothing is missing.
    fn is_known_to_be_so(&self) -> bool {
        let objects = &self.kubernetes.scaled_objects;
        objects.is_synced() || !objects.problems().is_empty()
    }

    fn report(&self, error: &Error) {
        self.log.warn(|suppressed| {
            warn!(
                namespace = self.namespace,
                scaled_object = self.name,
                suppressed,
                "scaleDownBelow holds the replicas that the trigger's own values led to: {error}"
            );
        });
    }

    /// Watches the target of the ScaledObject. A caller that merely claims its name watches nothing.
    fn open(&self, kept: Option<Kept<Scalable>>) -> Result<Arc<Source>> {
        let scalable = kept.and_then(|kept| kept.value.ok());
        let scalable = scalable.filter(|scalable| {
            let mut triggers = scalable.triggers.iter();
            triggers.any(|trigger| matching::may_be(trigger, &self.metadata))
        });
        let scalable = scalable.ok_or_else(|| unknown(&self.namespace, &self.name))?;
        match &scalable.environment {
            EnvironmentSource::Workload { of, name } => {
                let resource = Resource::Workloads(of.clone());
                let id = ObjectId::new(resource, Some(&self.namespace), name)?;
                self.kubernetes.sources.open(id)
            }
            EnvironmentSource::Inline(_) | EnvironmentSource::Unknown => Err(Error::new(
                Kind::NotFound,
                format!("the type of the scale target of {} is not known", self.name),
                "KEDA writes it into the status; its log says why it has not.",
            )),
        }
    }
}

fn unknown(namespace: &str, name: &str) -> Error {
    let what = format!("no ScaledObject {namespace}/{name} with such a trigger is known");
    Error::new(Kind::NotFound, what, "")
}
