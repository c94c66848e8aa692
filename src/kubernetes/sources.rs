//! The Secrets, ConfigMaps and scale targets in use. Each is watched as long as somebody holds it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::watch, task::AbortHandle, time::Instant};

use super::{
    client::ApiServer,
    object::ObjectId,
    retry::Revisions,
    source::{Content, Follower, State},
};
use crate::{
    error::{Error, Kind, Result},
    telemetry::{KubernetesMetrics, LogLimit},
};

/// Objects that are watched at once.
const MOST: usize = 20_000;

/// Of one namespace: whoever writes its objects leaves room for the others.
const MOST_OF_NAMESPACE: usize = 4_000;

/// An object that does not exist, or that could not be read, stays watched for this long: KEDA
/// calls again soon, and its calls send no more requests.
const LINGER: Duration = Duration::from_secs(10);
/// How many of them.
const MOST_LINGERING: usize = 1_000;

/// The objects that are watched.
pub struct Sources {
    api: Arc<ApiServer>,
    metrics: KubernetesMetrics,
    revisions: Arc<Revisions>,
    open: Arc<Open>,
    lingering: Mutex<VecDeque<(Instant, Arc<Source>)>>,
    log: Arc<LogLimit>,
}

type Open = Mutex<HashMap<ObjectId, Weak<Source>>>;

/// An object that is watched until this is dropped, and its content with it.
pub struct Source {
    pub id: ObjectId,
    state: watch::Receiver<State>,
    task: AbortHandle,
    metrics: KubernetesMetrics,
    open: Weak<Open>,
}

impl Sources {
    pub fn new(api: Arc<ApiServer>, metrics: KubernetesMetrics, revisions: Arc<Revisions>) -> Self {
        Sources {
            api,
            metrics,
            revisions,
            open: Arc::default(),
            lingering: Mutex::default(),
            log: Arc::default(),
        }
    }

    /// An object that was read, perhaps long ago if the API server is away since. An error: it never
    /// was, and the last request failed.
    pub async fn read(&self, id: ObjectId) -> Result<Arc<Source>> {
        let source = self.open(id)?;
        let state = source.known().await?;
        if matches!(state.content.as_deref(), None | Some(Content::Missing)) {
            self.linger(source.clone());
        }
        match (state.content, state.error) {
            (None, Some(error)) => Err(error),
            _ => Ok(source),
        }
    }

    /// Ends the watches that only linger, and have for long enough.
    pub fn expire(&self) {
        let mut lingering = self.lingering.lock();
        let expired = lingering.partition_point(|(since, _)| since.elapsed() >= LINGER);
        let expired: Vec<_> = lingering.drain(..expired).collect();
        drop(lingering);
        drop(expired);
    }

    /// How many objects are watched.
    pub fn len(&self) -> usize {
        self.open.lock().len()
    }

    /// The last failures, of watches that have not recovered.
    pub fn problems(&self) -> Vec<Error> {
        let open: Vec<_> = self
            .open
            .lock()
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        let errors = open
            .iter()
            .filter_map(|source| source.state.borrow().error.clone());
        errors.collect()
    }

    /// An object that is watched from now on. An error: too many are.
    pub fn open(&self, id: ObjectId) -> Result<Arc<Source>> {
        let mut open = self.open.lock();
        if let Some(source) = open.get(&id).and_then(Weak::upgrade) {
            return Ok(source);
        }
        if open.len() >= MOST {
            return Err(Error::new(
                Kind::Exhausted,
                format!("{id}: {MOST} Secrets, ConfigMaps and scale targets are watched already"),
                "Run more than one backlog-scaler, each for some namespaces.",
            ));
        }
        let of_namespace = open.keys().filter(|other| other.namespace == id.namespace);
        if of_namespace.count() >= MOST_OF_NAMESPACE {
            return Err(Error::new(
                Kind::Exhausted,
                format!(
                    "{id}: {MOST_OF_NAMESPACE} Secrets, ConfigMaps and scale targets of its namespace \
                     are watched already"
                ),
                "Have its triggers share authentications and Secrets.",
            ));
        }
        let (sender, state) = watch::channel(State::default());
        let label = id.resource.label();
        let follower = Follower {
            api: self.api.clone(),
            id: id.clone(),
            state: sender,
            status: self.metrics.watch(label),
            revisions: self.revisions.clone(),
            log: self.log.clone(),
        };
        self.metrics.add_objects(label, 1);
        let source = Arc::new(Source {
            id: id.clone(),
            state,
            task: tokio::spawn(follower.run()).abort_handle(),
            metrics: self.metrics.clone(),
            open: Arc::downgrade(&self.open),
        });
        open.insert(id, Arc::downgrade(&source));
        Ok(source)
    }

    fn linger(&self, source: Arc<Source>) {
        let mut lingering = self.lingering.lock();
        let evicted = match lingering.len() >= MOST_LINGERING {
            true => lingering.pop_front(),
            false => None,
        };
        // Each lingers once.
        if !lingering
            .iter()
            .any(|(_, other)| Arc::ptr_eq(other, &source))
        {
            lingering.push_back((Instant::now(), source));
        }
        drop(lingering);
        drop(evicted);
    }
}

impl Source {
    /// What is known now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// What is known, once that is anything: the object, or a failure.
    pub async fn known(&self) -> Result<State> {
        let mut state = self.state.clone();
        let known = state
            .wait_for(|state| state.content.is_some() || state.error.is_some())
            .await;
        let state = known.map(|state| state.clone());
        state.map_err(|_| Error::new(Kind::Internal, "a watch has ended", ""))
    }

    /// How many replicas a scale target is to have, as far as the API server is heard of; `Ok(None)`:
    /// not read yet.
    pub fn replicas(&self) -> Result<Option<u32>> {
        let state = self.state.borrow();
        match (&state.error, &state.content, state.replicas) {
            (Some(error), ..) => Err(error.clone()),
            (None, None, _) => Ok(None),
            (None, Some(content), None) => Err(without_replicas(&self.id, content)),
            (None, Some(_), replicas) => Ok(replicas),
        }
    }

    /// Reports what changes from now on.
    pub fn changes(&self) -> watch::Receiver<State> {
        let mut changes = self.state.clone();
        changes.mark_unchanged();
        changes
    }
}

fn without_replicas(id: &ObjectId, content: &Content) -> Error {
    let what = match content {
        Content::Missing => "does not exist",
        _ => "has no number at `spec.replicas`",
    };
    Error::new(Kind::NotFound, format!("{id} {what}"), "")
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
        self.metrics.add_objects(self.id.resource.label(), -1);
        let Some(open) = self.open.upgrade() else {
            return;
        };
        let mut open = open.lock();
        // A new one may have replaced the one that is being dropped.
        if open
            .get(&self.id)
            .is_some_and(|source| source.strong_count() == 0)
        {
            open.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::{object::Resource, tests::without_api_server};

    fn secret(namespace: &str, number: usize) -> ObjectId {
        let name = format!("redis-{number}");
        ObjectId::new(Resource::Secrets, Some(namespace), &name).unwrap()
    }

    #[tokio::test]
    async fn a_namespace_leaves_room_for_the_others() {
        let kubernetes = without_api_server("redis", &[]).await;
        let sources = &kubernetes.sources;
        let open = |number| sources.open(secret("shop", number));
        let mut held: Vec<_> = (0..MOST_OF_NAMESPACE)
            .map(|number| open(number).expect("has room"))
            .collect();
        let error = open(MOST_OF_NAMESPACE).err().expect("is full");
        assert_eq!(error.kind(), Kind::Exhausted);
        assert_eq!(
            error.to_string(),
            "Secret shop/redis-4000: 4000 Secrets, ConfigMaps and scale targets of its namespace are \
             watched already. Have its triggers share authentications and Secrets."
        );
        assert!(open(7).is_ok(), "one that is watched already is shared");
        assert!(sources.open(secret("mail", 0)).is_ok());
        held.truncate(MOST_OF_NAMESPACE - 1);
        assert!(open(MOST_OF_NAMESPACE).is_ok(), "one has gone");
        drop(held);
        assert_eq!(sources.len(), 0, "nobody uses them");
    }
}
