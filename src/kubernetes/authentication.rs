//! The keys of a trigger's authentication, and what they depend on.

use std::{collections::BTreeMap, fmt, hash::Hasher, sync::Arc};

use futures_util::future::select_all;
use tokio::sync::watch;

use super::{
    collection::Collection, object::ObjectId, reference::References, scalable::Scalable,
    sources::Source,
};
use crate::metadata::values::Secret;

/// What a (Cluster)TriggerAuthentication gives a trigger. While this is held, the objects that it comes
/// from are watched; their values are dropped with it.
pub struct Authentication {
    /// The values by the parameters that the object names: keys as a trigger would write them. A blank
    /// value is left out, as KEDA does.
    pub keys: BTreeMap<String, Secret>,
    /// Where each key's value comes from.
    pub from: BTreeMap<String, Provenance>,
    /// The (Cluster)TriggerAuthentication: its kind, namespace and name.
    pub origin: ObjectId,
    /// The namespace of the trigger.
    pub namespace: String,
    /// Differs after any object that a key depends on has changed.
    pub version: u64,
    pub(super) depends_on: Dependencies,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// A `secretTargetRef`.
    Secret,
    /// A `configMapTargetRef`.
    ConfigMap,
    /// An `env`: from the scale target, whose author is not that of a ClusterTriggerAuthentication.
    Environment,
}

impl fmt::Debug for Authentication {
    /// The names of keys alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication")
            .field("origin", &self.origin.to_string())
            .field("from", &self.from)
            .field("version", &self.version)
            .finish()
    }
}

impl Authentication {
    /// Whether nothing that this depends on has changed since it was resolved. No I/O.
    pub fn is_current(&self) -> bool {
        self.depends_on.is_current()
    }

    /// Returns once an object has changed that this depends on, or if one has already. It is then to be
    /// resolved anew, and may still be the same.
    pub async fn changed(&self) {
        self.depends_on.changed().await;
    }
}

/// The objects that were used, each with its revision.
#[derive(Default)]
pub(super) struct Dependencies {
    sources: Vec<(Arc<Source>, u64)>,
    /// The (Cluster)TriggerAuthentication, and the ScaledObject or ScaledJob.
    objects: Vec<Object>,
}

struct Object {
    tracked: Arc<dyn Tracked>,
    id: ObjectId,
    revision: u64,
    /// Not if it was read by itself, before its watch has delivered it.
    was_known: bool,
}

/// A collection, whatever its objects are.
pub(super) trait Tracked: Send + Sync {
    fn revision(&self, id: &ObjectId) -> Option<u64>;
    fn changes(&self) -> watch::Receiver<u64>;
}

impl Tracked for Collection<Scalable> {
    fn revision(&self, id: &ObjectId) -> Option<u64> {
        revision(self, id)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        Collection::changes(self)
    }
}

impl Tracked for Collection<References> {
    fn revision(&self, id: &ObjectId) -> Option<u64> {
        revision(self, id)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        Collection::changes(self)
    }
}

fn revision<T: PartialEq>(collection: &Collection<T>, id: &ObjectId) -> Option<u64> {
    let namespace = id.namespace.as_deref().unwrap_or_default();
    collection
        .peek(namespace, &id.name)
        .map(|kept| kept.revision)
}

impl Dependencies {
    pub fn add_source(&mut self, source: Arc<Source>, revision: u64) {
        self.sources.push((source, revision));
    }

    pub fn add_object(&mut self, tracked: Arc<dyn Tracked>, id: ObjectId, revision: u64) {
        let was_known = tracked.revision(&id).is_some();
        self.objects.push(Object {
            tracked,
            id,
            revision,
            was_known,
        });
    }

    /// A number that differs if the origin or the revision of a source does. The ScaledObject does not
    /// count: its other triggers are no reason to connect anew.
    pub fn version(&self, origin: &ObjectId, origin_revision: u64) -> u64 {
        let mut hasher = fnv::FnvHasher::default();
        hasher.write(format!("{origin} {origin_revision}").as_bytes());
        for (source, revision) in &self.sources {
            hasher.write(format!("\n{} {revision}", source.id).as_bytes());
        }
        hasher.finish()
    }

    fn is_current(&self) -> bool {
        let mut sources = self.sources.iter();
        let mut objects = self.objects.iter();
        sources.all(|(source, revision)| source.state().revision == *revision)
            && objects.all(|object| match object.tracked.revision(&object.id) {
                Some(revision) => revision == object.revision,
                None => !object.was_known,
            })
    }

    pub async fn changed(&self) {
        let mut sources: Vec<_> = self.sources.iter().map(|(s, _)| s.changes()).collect();
        let mut objects: Vec<_> = self.objects.iter().map(|o| o.tracked.changes()).collect();
        while self.is_current() {
            let sources = sources
                .iter_mut()
                .map(|source| Box::pin(wait(source)) as Wait<'_>);
            let objects = objects
                .iter_mut()
                .map(|object| Box::pin(wait(object)) as Wait<'_>);
            // Never empty: each authentication is an object itself.
            select_all(sources.chain(objects)).await;
        }
    }
}

type Wait<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

async fn wait<T>(changes: &mut watch::Receiver<T>) {
    if changes.changed().await.is_err() {
        // Its sender is gone with the client itself: there will be no change.
        std::future::pending::<()>().await;
    }
}
