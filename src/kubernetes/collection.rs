//! All objects of one kind, in the namespaces of the settings, kept up to date by a watch. Of each
//! object only the parts that are used are kept.

use std::{
    collections::{BTreeMap, HashMap},
    pin::pin,
    sync::Arc,
};

use futures_util::StreamExt;
use kube::{
    Api, Client,
    core::DynamicObject,
    runtime::watcher::{self, Event, watcher},
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    errors::of_watcher,
    object::Resource,
    retry::{Backoff, Revisions},
};
use crate::{
    error::{Error, Kind, Result},
    telemetry::{KubernetesMetrics, WatchStatus},
};

/// Objects in one page of a list: whole ones are in memory while a page is read.
const PAGE: u32 = 200;

/// Objects of one kind that are kept; beyond that they count as unknown.
const MOST: usize = 50_000;

/// The parts of an object that are kept, or why there are none. `None`: the object is of no use here.
pub type Parse<T> = fn(&Resource, &Value) -> Option<Result<T, &'static str>>;

/// All objects of one kind.
pub struct Collection<T> {
    resource: Resource,
    parse: Parse<T>,
    /// By namespace; `None` holds those of the whole cluster.
    scopes: BTreeMap<Option<String>, Mutex<Scope<T>>>,
    /// Counts changes of whatever kind.
    changes: watch::Sender<u64>,
    revisions: Arc<Revisions>,
    metrics: KubernetesMetrics,
}

struct Scope<T> {
    /// By namespace and name.
    objects: Objects<T>,
    is_synced: bool,
    error: Option<Error>,
}

type Objects<T> = HashMap<(String, String), Kept<T>>;

/// What is kept of an object.
pub struct Kept<T> {
    pub value: Result<Arc<T>, &'static str>,
    /// Differs from that of an earlier object of the same name.
    pub uid: Arc<str>,
    /// Changes with the value, and with the uid.
    pub revision: u64,
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Kept {
            value: self.value.clone(),
            uid: self.uid.clone(),
            revision: self.revision,
        }
    }
}

impl<T: PartialEq> Collection<T> {
    /// Without objects. `namespaces` may be empty: the whole cluster.
    pub fn new(
        resource: Resource,
        parse: Parse<T>,
        namespaces: &[String],
        revisions: Arc<Revisions>,
        metrics: KubernetesMetrics,
    ) -> Self {
        let scope = || {
            Mutex::new(Scope {
                objects: HashMap::new(),
                is_synced: false,
                error: None,
            })
        };
        let scopes: BTreeMap<_, _> = match namespaces {
            [] => BTreeMap::from([(None, scope())]),
            all => all
                .iter()
                .map(|name| (Some(name.clone()), scope()))
                .collect(),
        };
        Collection {
            resource,
            parse,
            scopes,
            changes: watch::Sender::new(0),
            revisions,
            metrics,
        }
    }

    /// The namespaces, each with a watch of its own; `None`: the whole cluster.
    pub fn namespaces(&self) -> impl Iterator<Item = Option<&str>> {
        self.scopes.keys().map(Option::as_deref)
    }

    fn scope(&self, namespace: &str) -> Option<&Mutex<Scope<T>>> {
        let own = || self.scopes.get(&Some(namespace.to_owned()));
        self.scopes.get(&None).or_else(own)
    }

    /// An object, once the objects of its namespace are known. An error: they are not, and the last
    /// request failed.
    pub async fn get(&self, namespace: &str, name: &str) -> Result<Option<Kept<T>>> {
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(scope) = self.scope(namespace) {
                let scope = scope.lock();
                match &scope.error {
                    _ if scope.is_synced => {
                        let key = (namespace.to_owned(), name.to_owned());
                        return Ok(scope.objects.get(&key).cloned());
                    }
                    Some(error) => return Err(error.clone()),
                    None => {}
                }
            } else {
                return Ok(None);
            }
            // The sender is in `self`: it does not end.
            let _ = changes.changed().await;
        }
    }

    /// An object, if it is known now.
    pub fn peek(&self, namespace: &str, name: &str) -> Option<Kept<T>> {
        let scope = self.scope(namespace)?.lock();
        let key = (namespace.to_owned(), name.to_owned());
        scope.objects.get(&key).cloned()
    }

    /// Reports every change, whichever object it is of.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Returns once everything is known, or the last request has failed.
    pub async fn settled(&self) {
        let mut changes = self.changes.subscribe();
        let is_settled = |scope: &Mutex<Scope<T>>| {
            let scope = scope.lock();
            scope.is_synced || scope.error.is_some()
        };
        while !self.scopes.values().all(is_settled) {
            // The sender is in `self`: it does not end.
            let _ = changes.changed().await;
        }
    }

    /// Whether everything is known.
    pub fn is_synced(&self) -> bool {
        self.scopes.values().all(|scope| scope.lock().is_synced)
    }

    /// The last failures, of watches that have not recovered.
    pub fn problems(&self) -> Vec<Error> {
        let errors = self
            .scopes
            .values()
            .filter_map(|scope| scope.lock().error.clone());
        errors.collect()
    }

    /// Follows the objects of a namespace, forever.
    pub async fn follow(&self, client: Client, namespace: Option<&str>, status: WatchStatus) {
        let resource = self.resource.api_resource();
        let mut backoff = Backoff::new();
        loop {
            let api: Api<DynamicObject> = match namespace {
                Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
                None => Api::all_with(client.clone(), &resource),
            };
            let error = self
                .follow_once(api, namespace, &status, &mut backoff)
                .await;
            status.error(error.kind());
            self.failed(namespace, error);
            // Listed anew afterwards: kube's watcher does not say that a watch goes on again.
            backoff.wait().await;
        }
    }

    async fn follow_once(
        &self,
        api: Api<DynamicObject>,
        namespace: Option<&str>,
        status: &WatchStatus,
        backoff: &mut Backoff,
    ) -> Error {
        let config = watcher::Config::default().page_size(PAGE);
        let mut events = pin!(watcher(api, config));
        let mut listed = Objects::new();
        while let Some(event) = events.next().await {
            match event {
                // Of a request that is only going to be made.
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => self.list(namespace, &mut listed, object),
                Ok(Event::InitDone) => {
                    self.replace(namespace, std::mem::take(&mut listed));
                    status.event();
                    *backoff = Backoff::new();
                }
                Ok(Event::Apply(object)) => {
                    self.apply(namespace, object);
                    status.event();
                }
                Ok(Event::Delete(object)) => {
                    self.delete(namespace, &object);
                    status.event();
                }
                Err(error) => return of_watcher(&error, &self.resource, namespace),
            }
        }
        Error::new(Kind::Internal, "kube's watcher has ended", "")
    }

    fn at(&self, namespace: Option<&str>) -> &Mutex<Scope<T>> {
        // Followed are the namespaces that `new` has made.
        &self.scopes[&namespace.map(str::to_owned)]
    }

    fn list(&self, namespace: Option<&str>, listed: &mut Objects<T>, object: DynamicObject) {
        if listed.len() >= MOST {
            return;
        }
        let key = key(&object);
        let before = self.at(namespace).lock().objects.get(&key).cloned();
        if let Some(kept) = self.keep(before.as_ref(), &object) {
            listed.insert(key, kept);
        }
    }

    fn keep(&self, before: Option<&Kept<T>>, object: &DynamicObject) -> Option<Kept<T>> {
        let value = (self.parse)(&self.resource, &object.data)?.map(Arc::new);
        let uid = object.metadata.uid.as_deref().unwrap_or_default();
        match before {
            Some(before) if before.value == value && &*before.uid == uid => Some(before.clone()),
            _ => Some(Kept {
                value,
                uid: uid.into(),
                revision: self.revisions.next(),
            }),
        }
    }

    fn replace(&self, namespace: Option<&str>, listed: Objects<T>) {
        let failed = {
            let mut scope = self.at(namespace).lock();
            self.count(listed.len() as i64 - scope.objects.len() as i64);
            if listed.len() >= MOST {
                warn!(
                    resource = self.resource.label(),
                    "only the first {MOST} objects are kept"
                );
            }
            scope.objects = listed;
            scope.is_synced = true;
            scope.error.take()
        };
        if failed.is_some() {
            info!(
                resource = self.resource.label(),
                "the watch in the Kubernetes API has recovered"
            );
        }
        self.changed();
    }

    fn apply(&self, namespace: Option<&str>, object: DynamicObject) {
        let key = key(&object);
        {
            let mut scope = self.at(namespace).lock();
            let before = scope.objects.get(&key);
            let kept = self.keep(before, &object);
            let same = |kept: &Kept<T>| before.is_some_and(|b| b.revision == kept.revision);
            match kept {
                // KEDA writes the status of an object often; none of that is kept.
                Some(kept) if same(&kept) => return,
                Some(_) if before.is_none() && scope.objects.len() >= MOST => return,
                Some(kept) => {
                    self.count(i64::from(scope.objects.insert(key, kept).is_none()));
                }
                None => self.count(-i64::from(scope.objects.remove(&key).is_some())),
            }
        }
        self.changed();
    }

    fn delete(&self, namespace: Option<&str>, object: &DynamicObject) {
        let removed = self.at(namespace).lock().objects.remove(&key(object));
        if removed.is_some() {
            self.count(-1);
            self.changed();
        }
    }

    fn failed(&self, namespace: Option<&str>, error: Error) {
        let (before, is_synced) = {
            let mut scope = self.at(namespace).lock();
            (scope.error.replace(error.clone()), scope.is_synced)
        };
        // Once for each change, not once for each attempt.
        match before.as_ref() == Some(&error) {
            true => {}
            false if is_synced => warn!("what is known stays in use: {error}"),
            false => warn!("{} are not known yet: {error}", self.resource.plural()),
        }
        self.changed();
    }

    /// Objects of the whole cluster, as if they had been listed.
    #[cfg(test)]
    pub fn put(&self, objects: Vec<Value>) {
        let mut listed = Objects::new();
        for object in objects {
            let object = serde_json::from_value(object).expect("an object");
            self.list(None, &mut listed, object);
        }
        self.replace(None, listed);
    }

    fn count(&self, more: i64) {
        self.metrics.add_objects(self.resource.label(), more);
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
        self.revisions.announce();
    }
}

/// Objects of the cluster have an empty namespace.
fn key(object: &DynamicObject) -> (String, String) {
    let metadata = &object.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_default();
    (namespace, metadata.name.clone().unwrap_or_default())
}
