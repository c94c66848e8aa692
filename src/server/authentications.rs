//! The authentications of triggers, for the engine: looked up in the Kubernetes API.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use lru::LruCache;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tracing::info;

use crate::{
    error::{Error, Kind, Result},
    kubernetes::{self, Kubernetes, Options},
    metadata::{
        TriggerRef,
        values::{HostPort, Secret},
    },
    sampling::{Authentication, AuthenticationSource, Engine},
    settings::EngineSettings,
    telemetry::Telemetry,
};

/// With this key the credentials are those of the settings.
const CONNECTION: &str = "connection";

/// What was found is kept while it is in use and nothing that it depends on has changed: KEDA calls
/// often, and objects change rarely.
pub struct Authentications {
    kubernetes: Arc<Kubernetes>,
    found: Mutex<LruCache<TriggerRef, Found>>,
    deadline: Duration,
    idle_after: Duration,
}

struct Found {
    authentication: Arc<Held>,
    used: Instant,
}

/// One that stays up to date while it is held.
struct Held {
    kubernetes: Arc<Kubernetes>,
    authentication: kubernetes::Authentication,
}

impl Authentications {
    /// Starts to watch KEDA's objects. An error: the settings are wrong.
    pub async fn start(
        options: Options,
        engine: &EngineSettings,
        telemetry: &Telemetry,
    ) -> Result<Arc<Self>> {
        let namespaces = match options.namespaces.as_slice() {
            [] => "all".to_owned(),
            listed => listed.join(", "),
        };
        let kubernetes = Kubernetes::start(options, telemetry.kubernetes()).await?;
        info!(
            namespaces,
            "TriggerAuthentications are read from the Kubernetes API"
        );
        let deadline = engine.call_timeout.0;
        Ok(Authentications::of(Arc::new(kubernetes), deadline, engine))
    }

    /// Those that a client reads, each look-up within a deadline.
    pub fn of(
        kubernetes: Arc<Kubernetes>,
        deadline: Duration,
        engine: &EngineSettings,
    ) -> Arc<Self> {
        let authentications = Arc::new(Authentications {
            kubernetes,
            found: Mutex::new(lru(engine.triggers)),
            deadline,
            idle_after: engine.idle_after.0,
        });
        let evict_every = (engine.idle_after.0 / 4).max(Duration::from_millis(100));
        tokio::spawn(evict(Arc::downgrade(&authentications), evict_every));
        authentications
    }

    /// The client that they are read with.
    pub fn kubernetes(&self) -> Arc<Kubernetes> {
        self.kubernetes.clone()
    }

    fn kept(&self, trigger: &TriggerRef) -> Option<Arc<Held>> {
        let mut found = self.found.lock();
        let kept = found.get_mut(trigger)?;
        kept.used = Instant::now();
        let is_current = kept.authentication.authentication.is_current();
        is_current.then(|| kept.authentication.clone())
    }

    async fn resolve(&self, trigger: &TriggerRef) -> Result<Option<Arc<Held>>> {
        let TriggerRef {
            namespace,
            name,
            metadata,
        } = trigger;
        let resolved = self.kubernetes.resolve(namespace, name, metadata);
        let resolved = timeout(self.deadline, resolved).await;
        let resolved = resolved.unwrap_or_else(|_| Err(self.timed_out(trigger)));
        let held = resolved.map(|found| {
            found.map(|authentication| {
                let kubernetes = self.kubernetes.clone();
                Arc::new(Held {
                    kubernetes,
                    authentication,
                })
            })
        });
        // Dropped after the lock is released: it may end watches.
        let _before = match &held {
            Ok(Some(held)) => {
                let found = Found {
                    authentication: held.clone(),
                    used: Instant::now(),
                };
                self.found.lock().push(trigger.clone(), found)
            }
            // An error may be transient: the watches go on, so that the next call costs no request.
            Err(_) => None,
            Ok(None) => self.found.lock().pop_entry(trigger),
        };
        held
    }

    fn timed_out(&self, trigger: &TriggerRef) -> Error {
        let TriggerRef {
            namespace, name, ..
        } = trigger;
        let what = format!(
            "the authentication of a trigger of {namespace}/{name} was not read from the Kubernetes \
             API within {:?}",
            self.deadline
        );
        Error::new(Kind::TimedOut, what, "")
    }

    /// Evicts from now on, with what the engine has made of them, authentications of triggers that are
    /// gone or have none any more: as soon as that is known, so that no secret outlives its use.
    pub fn follow_changes(self: &Arc<Self>, engine: &Arc<Engine>) {
        let changes = self.kubernetes.changes();
        let (this, engine) = (Arc::downgrade(self), Arc::downgrade(engine));
        tokio::spawn(evict_outdated(changes, this, engine));
    }

    async fn evict_outdated(&self, engine: &Engine) {
        let is_outdated = |found: &Found| !found.authentication.authentication.is_current();
        let all: Vec<(TriggerRef, Arc<Held>)> = {
            let found = self.found.lock();
            let outdated = found.iter().filter(|(_, found)| is_outdated(found));
            outdated
                .map(|(trigger, found)| (trigger.clone(), found.authentication.clone()))
                .collect()
        };
        for (trigger, outdated) in all {
            if !self.has_lost_its_own(&trigger).await {
                // The next call replaces it.
                continue;
            }
            // What is evicted is dropped after the lock is released: it may end watches.
            let evicted = {
                let mut found = self.found.lock();
                let is_same = found
                    .peek(&trigger)
                    .is_some_and(|found| Arc::ptr_eq(&found.authentication, &outdated));
                is_same.then(|| found.pop_entry(&trigger))
            };
            // Otherwise a call has found another meanwhile.
            if evicted.is_some() {
                engine.forget_authenticated(&trigger);
            }
        }
    }

    /// Whether a trigger has no authentication any more, or a part of that does not exist. A changed
    /// Secret is nothing of the kind, nor an API server that is away.
    async fn has_lost_its_own(&self, trigger: &TriggerRef) -> bool {
        let TriggerRef {
            namespace,
            name,
            metadata,
        } = trigger;
        if self.has_authentication(trigger) != Some(true) {
            return true;
        }
        let resolved = self.kubernetes.resolve(namespace, name, metadata);
        match timeout(self.deadline, resolved).await {
            Ok(Ok(found)) => found.is_none(),
            Ok(Err(error)) => error.kind() == Kind::NotFound,
            Err(_) => false,
        }
    }

    fn evict_idle(&self) {
        let mut evicted = Vec::new();
        let mut found = self.found.lock();
        while let Some((_, oldest)) = found.peek_lru()
            && oldest.used.elapsed() >= self.idle_after
        {
            evicted.extend(found.pop_lru());
        }
        // `evicted` is dropped after the lock is released: it may end watches.
        drop(found);
    }
}

/// Grows as entries come.
fn lru<V>(capacity: NonZeroUsize) -> LruCache<TriggerRef, V> {
    let mut lru = LruCache::unbounded();
    lru.resize(capacity);
    lru
}

async fn evict(authentications: Weak<Authentications>, every: Duration) {
    loop {
        sleep(every).await;
        match authentications.upgrade() {
            Some(authentications) => authentications.evict_idle(),
            None => return,
        }
    }
}

/// Changes come in groups: an object, what it refers to, a list of all.
const SETTLE: Duration = Duration::from_secs(1);

async fn evict_outdated(
    mut changes: watch::Receiver<()>,
    authentications: Weak<Authentications>,
    engine: Weak<Engine>,
) {
    // The sender is in the client, which ends with the authentications.
    while changes.changed().await.is_ok() {
        sleep(SETTLE).await;
        changes.mark_unchanged();
        match (authentications.upgrade(), engine.upgrade()) {
            (Some(authentications), Some(engine)) => authentications.evict_outdated(&engine).await,
            _ => return,
        }
    }
}

impl AuthenticationSource for Authentications {
    fn has_authentication(&self, trigger: &TriggerRef) -> Option<bool> {
        let TriggerRef {
            namespace,
            name,
            metadata,
        } = trigger;
        match metadata.contains_key(CONNECTION) {
            true => Some(false),
            false => self
                .kubernetes
                .has_authentication(namespace, name, metadata),
        }
    }

    fn find<'a>(
        &'a self,
        trigger: &'a TriggerRef,
    ) -> BoxFuture<'a, Result<Option<Arc<dyn Authentication>>>> {
        async move {
            if trigger.metadata.contains_key(CONNECTION) {
                return Ok(None);
            }
            let found = match self.kept(trigger) {
                Some(kept) => Some(kept),
                None => self.resolve(trigger).await?,
            };
            Ok(found.map(|held| held as Arc<dyn Authentication>))
        }
        .boxed()
    }
}

impl Authentication for Held {
    fn keys(&self) -> &BTreeMap<String, Secret> {
        &self.authentication.keys
    }

    fn may_send_to(&self, server: &HostPort) -> Result<()> {
        self.kubernetes.may_send_to(&self.authentication, server)
    }

    fn may_join(&self, key: &str, value: &str) -> Result<()> {
        self.authentication.may_be_joined(key, value)
    }
}
