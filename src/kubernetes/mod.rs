//! Reads from the Kubernetes API how a trigger authenticates and how many replicas its scale target has,
//! and writes events there. Optional: nothing is connected to unless the settings say so.
//!
//! KEDA sends no parameters of a TriggerAuthentication to an external scaler. It sends the namespace and
//! the name of a ScaledObject and the metadata of one of its triggers, which is enough to find them:
//!
//! 1. A [`collection`] for each of KEDA's kinds is kept up to date by a watch.
//! 2. [`matching`] finds the trigger that a call is for.
//! 3. [`resolve`] follows its `authenticationRef` as KEDA does, and reads what that names.
//! 4. [`sources`] watch each Secret, ConfigMap and scale target in use by its name. No list of Secrets
//!    is ever requested: a Role may name those that this server may read.
//! 5. [`allowed`] decides where the keys may be sent.
//!
//! [`standing`] says whether a call's metadata are those of a trigger, for [`events`] about it, and
//! [`replicas`] follow its scale target.
//!
//! When the API server is away, what is known stays in use.

mod allowed;
mod authentication;
mod client;
mod collection;
mod connect;
mod environment;
mod errors;
mod events;
mod expansion;
mod fresh;
mod kubeconfig;
mod listing;
mod matching;
mod object;
mod options;
mod pod_template;
mod read;
mod reference;
mod replicas;
mod requests;
mod resolve;
mod retry;
mod scalable;
mod source;
mod sources;
mod standing;

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

pub use authentication::{Authentication, Provenance};
pub use connect::Access;
pub use events::{Event, EventWriter};
pub use object::{ObjectId, Resource, WorkloadType, is_name};
pub use options::Options;
pub use reference::References;
pub use replicas::Replicas;
pub use standing::Standing;

use crate::{
    error::{Error, Result},
    telemetry::KubernetesMetrics,
};
use client::ApiServer;
use collection::Collection;
use fresh::FreshReads;
use object::Resource as R;
use retry::Revisions;
use scalable::Scalable;
use sources::Sources;

/// How often sources without users are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(5);

/// The client of the Kubernetes API. Its watches end with it.
pub struct Kubernetes {
    options: Options,
    api: Arc<ApiServer>,
    metrics: KubernetesMetrics,
    revisions: Arc<Revisions>,
    scaled_objects: Arc<Collection<Scalable>>,
    scaled_jobs: Arc<Collection<Scalable>>,
    authentications: Arc<Collection<References>>,
    cluster_authentications: Arc<Collection<References>>,
    sources: Arc<Sources>,
    fresh: FreshReads,
    _tasks: JoinSet<()>,
}

impl Kubernetes {
    /// Starts the watches and returns at once. An error: the settings or the kubeconfig are wrong. An API
    /// server that is away is none; it is tried again.
    pub async fn start(options: Options, metrics: KubernetesMetrics) -> Result<Self> {
        let access = Access::of(&options).await?;
        Kubernetes::new(access, options, metrics)?.watch()
    }

    /// Without watches of KEDA's objects, and without a request.
    pub fn new(access: Access, options: Options, metrics: KubernetesMetrics) -> Result<Self> {
        let api = Arc::new(ApiServer::new(access, metrics.clone())?);
        let revisions = Arc::new(Revisions::default());
        let scalables = |resource| {
            let (namespaces, revisions) = (&options.namespaces, revisions.clone());
            let parse = parse_scalable;
            Arc::new(Collection::new(
                resource,
                parse,
                namespaces,
                revisions,
                metrics.clone(),
            ))
        };
        let references = |resource, namespaces: &[String]| {
            let (parse, revisions) = (parse_references, revisions.clone());
            Arc::new(Collection::new(
                resource,
                parse,
                namespaces,
                revisions,
                metrics.clone(),
            ))
        };
        Ok(Kubernetes {
            scaled_objects: scalables(R::ScaledObjects),
            scaled_jobs: scalables(R::ScaledJobs),
            authentications: references(R::TriggerAuthentications, &options.namespaces),
            cluster_authentications: references(R::ClusterTriggerAuthentications, &[]),
            sources: Arc::new(Sources::new(
                api.clone(),
                metrics.clone(),
                revisions.clone(),
            )),
            fresh: FreshReads::default(),
            _tasks: JoinSet::new(),
            options,
            api,
            metrics,
            revisions,
        })
    }

    /// Starts the watches of KEDA's objects.
    pub fn watch(mut self) -> Result<Self> {
        let mut tasks = JoinSet::new();
        follow(&mut tasks, &self.scaled_objects, R::ScaledObjects, &self)?;
        follow(&mut tasks, &self.scaled_jobs, R::ScaledJobs, &self)?;
        follow(
            &mut tasks,
            &self.authentications,
            R::TriggerAuthentications,
            &self,
        )?;
        let cluster = &self.cluster_authentications;
        follow(&mut tasks, cluster, R::ClusterTriggerAuthentications, &self)?;
        let sources = self.sources.clone();
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(EXPIRE_EVERY).await;
                sources.expire();
            }
        });
        self._tasks = tasks;
        Ok(self)
    }

    /// Returns once a ScaledObject or ScaledJob has changed from now on, whose triggers may then refer to
    /// another authentication.
    pub async fn trigger_changed(&self, namespace: &str, name: &str) {
        let mut objects = self.scaled_objects.changes();
        let mut jobs = self.scaled_jobs.changes();
        let revisions = || {
            let of = |c: &Collection<Scalable>| c.peek(namespace, name).map(|kept| kept.revision);
            (of(&self.scaled_objects), of(&self.scaled_jobs))
        };
        let before = revisions();
        while revisions() == before {
            // The senders are in `self`: they do not end.
            tokio::select! {
                _ = objects.changed() => {}
                _ = jobs.changed() => {}
            }
        }
    }

    /// Reports each change of any object that is followed.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.revisions.changes()
    }

    /// Whether KEDA's objects are all known.
    pub fn is_synced(&self) -> bool {
        self.scaled_objects.is_synced()
            && self.scaled_jobs.is_synced()
            && self.authentications.is_synced()
            && self.cluster_authentications.is_synced()
    }

    /// Returns once KEDA's objects are all known, or it is known why they are not.
    pub async fn settled(&self) {
        self.scaled_objects.settled().await;
        self.scaled_jobs.settled().await;
        self.authentications.settled().await;
        self.cluster_authentications.settled().await;
    }

    /// The last failures, of watches that have not recovered.
    pub fn problems(&self) -> Vec<Error> {
        let mut problems = self.scaled_objects.problems();
        problems.extend(self.scaled_jobs.problems());
        problems.extend(self.authentications.problems());
        problems.extend(self.cluster_authentications.problems());
        problems.extend(self.sources.problems());
        problems
    }

    /// The figures of this client.
    pub fn metrics(&self) -> &KubernetesMetrics {
        &self.metrics
    }

    /// How many Secrets, ConfigMaps and scale targets are watched.
    pub fn watched(&self) -> usize {
        self.sources.len()
    }
}

/// No call is for an object without external triggers.
fn parse_scalable(
    resource: &Resource,
    object: &serde_json::Value,
) -> Option<Result<Scalable, &'static str>> {
    let parsed = Scalable::parse(resource, object);
    let is_useful = |scalable: &Scalable| !scalable.triggers.is_empty();
    Some(parsed).filter(|parsed| parsed.as_ref().is_ok_and(is_useful) || parsed.is_err())
}

fn parse_references(
    _: &Resource,
    object: &serde_json::Value,
) -> Option<Result<References, &'static str>> {
    Some(References::parse(object))
}

fn follow<T: PartialEq + Send + Sync + 'static>(
    tasks: &mut JoinSet<()>,
    collection: &Arc<Collection<T>>,
    resource: Resource,
    kubernetes: &Kubernetes,
) -> Result<()> {
    for namespace in collection.namespaces() {
        let namespace = namespace.map(str::to_owned);
        let (collection, connection) = (collection.clone(), kubernetes.api.watch_connection()?);
        let status = kubernetes.metrics.watch(resource.label());
        tasks.spawn(async move {
            let client = connection.client.clone();
            collection
                .follow(client, namespace.as_deref(), status)
                .await;
            drop(connection);
        });
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
