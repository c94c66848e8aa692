//! Finds the trigger of a request: parsed once, bound to the slot of its query, and kept while it
//! is in use.

mod authenticating;
mod parsing;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use parking_lot::RwLock;
use tokio::time::Instant;
use tracing::warn;

use super::{
    authenticated::Authenticated,
    authentication::AuthenticationSource,
    evaluation::Evaluation,
    limits::Limits,
    named_connections::{Checked, NamedConnection, NamedConnections},
    past_errors::ErrorRoom,
    registry::Registry,
    replicas::ReplicaSource,
    state_observer::{StateObserver, TriggerState},
    trigger::Trigger,
    trigger_cache::{CacheLimits, Kept, TriggerCache, Usage},
    trigger_key::TriggerKey,
    unresolved::Unresolved,
};
use crate::{
    error::{Error, Result},
    metadata::{
        CommonKeys, TriggerRef,
        problem::{Problem, Problems},
        tls::TlsKeys,
    },
    telemetry::LogLimit,
};

/// The engine. Lives in an `Arc`; the task that evicts idle triggers ends with it.
pub struct Engine {
    registry: Registry,
    connections: RwLock<Arc<NamedConnections>>,
    limits: Limits,
    triggers: TriggerCache,
    refusals: LogLimit,
    /// Where authentications are looked up, if they are.
    authentications: OnceLock<Arc<dyn AuthenticationSource>>,
    authenticated: Authenticated,
    unresolved: Unresolved,
    started: Instant,
    /// For older errors of all triggers.
    error_room: Arc<ErrorRoom>,
    /// Who knows the replicas of scale targets, if anybody does.
    replicas: OnceLock<Arc<dyn ReplicaSource>>,
    /// Who reports changes of the states of triggers, if anybody does.
    observer: OnceLock<Arc<dyn StateObserver>>,
}

/// What KEDA is told of a trigger before it has a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The metric's name.
    pub metric_name: String,
    /// The wanted backlog per replica, or the wanted time.
    pub target: f64,
}

/// Streams renew their triggers at a quarter of `idleAfter`, within these bounds.
const RENEW_EVERY: Range<Duration> = Duration::from_millis(100)..Duration::from_secs(5);

impl Engine {
    /// An engine over the backends of the registry. Must be called within a tokio runtime.
    pub fn start(
        registry: Registry,
        named: &BTreeMap<String, NamedConnection>,
        limits: Limits,
    ) -> Result<Arc<Self>> {
        let connections = NamedConnections::check(&registry, named)?;
        check_names(&registry, &limits)?;
        let triggers = TriggerCache::new(CacheLimits {
            triggers: limits.triggers,
            triggers_per_namespace: limits.triggers_per_namespace,
            bytes: limits.trigger_bytes,
            bytes_per_namespace: limits.trigger_bytes_per_namespace,
            idle_after: limits.idle_after,
        });
        let limits_of_triggers = limits.triggers;
        let error_room = ErrorRoom::new(!limits.history.is_zero());
        let evict_every = (limits.idle_after / 4).max(Duration::from_millis(100));
        let engine = Arc::new(Engine {
            registry,
            connections: RwLock::new(Arc::new(connections)),
            limits,
            triggers,
            refusals: LogLimit::default(),
            authentications: OnceLock::new(),
            authenticated: Authenticated::new(limits_of_triggers),
            unresolved: Unresolved::new(limits_of_triggers),
            started: Instant::now(),
            error_room,
            replicas: OnceLock::new(),
            observer: OnceLock::new(),
        });
        tokio::spawn(evict_idle(Arc::downgrade(&engine), evict_every));
        Ok(engine)
    }

    /// The trigger of a request. Depends on metadata and settings alone: no I/O.
    pub fn trigger(&self, request: TriggerRef) -> Result<Arc<Trigger>> {
        self.trigger_of(&request)
    }

    fn trigger_of(&self, request: &TriggerRef) -> Result<Arc<Trigger>> {
        let key = TriggerKey::of(request);
        if let Some(kept) = self.triggers.get(&key) {
            return kept;
        }
        match self.parse(request) {
            Ok(trigger) => {
                self.follow_replicas(&trigger, request);
                let trigger = Arc::new(trigger);
                self.triggers.put(key, request, trigger.clone())?;
                Ok(trigger)
            }
            Err(error) => {
                self.refuse(key, request, &error);
                Err(error)
            }
        }
    }

    /// Looks up authentications here from now on; the first call counts.
    pub fn use_authentications(&self, source: Arc<dyn AuthenticationSource>) {
        // A second one is a defect of the caller, and changes nothing.
        let _ = self.authentications.set(source);
    }

    /// Has `scaleDownBelow` hold the replicas that are known here; the first call counts.
    pub fn use_replicas(&self, source: Arc<dyn ReplicaSource>) {
        // As above.
        let _ = self.replicas.set(source);
    }

    /// Has changes of the states of triggers reported to this observer; the first call counts.
    pub fn use_observer(&self, observer: Arc<dyn StateObserver>) {
        // As above.
        let _ = self.observer.set(observer);
    }

    /// What KEDA is told of the trigger of a request. Depends on metadata and settings alone: no I/O.
    pub fn spec(&self, request: &TriggerRef) -> Result<Spec> {
        let spec = self.spec_of(request);
        spec.inspect_err(|error| self.report_refusal(request, error))
    }

    fn spec_of(&self, request: &TriggerRef) -> Result<Spec> {
        let source = self.authentications.get();
        // An object may be so new that only KEDA knows it: what is missing here may be found by then.
        if source.is_some_and(|source| source.has_authentication(request) != Some(false)) {
            return self.spec_without_credentials(request);
        }
        let trigger = self.trigger_of(request)?;
        Ok(Spec {
            metric_name: trigger.metric_name.clone(),
            target: trigger.target,
        })
    }

    /// The trigger of a request, with the keys of its authentication where these are looked up.
    pub async fn authenticated(&self, request: &TriggerRef) -> Result<Arc<Trigger>> {
        let trigger = self.authenticated_of(request).await;
        trigger.inspect_err(|error| self.report_refusal(request, error))
    }

    /// Evaluates the trigger that was found for this request, and reports a change of its state.
    pub async fn evaluate(&self, request: &TriggerRef, trigger: &Trigger) -> Result<Evaluation> {
        let outcome = self.explained(request, trigger.evaluate().await);
        if let Some(observer) = self.observer.get() {
            trigger.report(observer.as_ref(), request, &outcome);
        }
        outcome
    }

    /// The trigger that a request had before counts as unknown: its next success is reported.
    fn report_refusal(&self, request: &TriggerRef, error: &Error) {
        let Some(observer) = self.observer.get() else {
            return;
        };
        let key = TriggerKey::of(request);
        let before = [self.authenticated.current(&key), self.triggers.peek(&key)];
        before
            .iter()
            .flatten()
            .for_each(|trigger| trigger.forget_state());
        observer.observe(request, TriggerState::Refused(error));
    }

    fn follow_replicas(&self, trigger: &Trigger, request: &TriggerRef) {
        if let Some(source) = self.replicas.get() {
            trigger.follow_replicas(|| source.follow(request));
        }
    }

    fn spec_without_credentials(&self, request: &TriggerRef) -> Result<Spec> {
        self.check_size(&request.metadata)?;
        let trigger_type = self.registry.of(&request.metadata)?.as_ref();
        let (metadata, mut problems) = self.known_keys(trigger_type, request);
        let common = metadata.parse::<CommonKeys>(&self.registry.common_keys);
        let common = problems.keep(common);
        let tls = problems.keep(metadata.parse::<TlsKeys>(&self.registry.tls_keys));
        let spec = common
            .zip(tls)
            .and_then(|(common, tls)| problems.keep(trigger_type.spec(&metadata, &common, tls)));
        problems.into_result()?;
        Ok(spec.expect("what is missing is a problem"))
    }

    /// The same for a caller that holds the request, such as a stream: as long as it is called, the
    /// trigger is in use.
    pub async fn renew(&self, request: &TriggerRef) -> Result<Arc<Trigger>> {
        self.authenticated(request).await
    }

    /// How often a stream has to renew its trigger for it to count as in use.
    pub fn renew_every(&self) -> Duration {
        (self.limits.idle_after / 4).clamp(RENEW_EVERY.start, RENEW_EVERY.end)
    }

    /// Remembers a trigger that cannot be parsed, and logs it the first time.
    fn refuse(&self, key: TriggerKey, request: &TriggerRef, error: &Error) {
        let TriggerRef {
            namespace, name, ..
        } = request;
        let trigger_type = self.registry.of(&request.metadata).ok();
        let trigger_type = trigger_type.map(|found| found.name());
        let triggers = &self.triggers;
        if triggers.refuse(key, request, trigger_type, error.clone()) {
            self.refusals.warn(|suppressed| {
                warn!(
                    namespace,
                    scaled_object = name,
                    suppressed,
                    "trigger refused: {error}"
                );
            });
        }
    }

    /// Uses the new keys of a named connection: for new triggers at once, and for those that are
    /// kept as soon as a connection with them is proven. An error leaves everything as it was.
    pub fn replace_connection(&self, name: &str, named: &NamedConnection) -> Result<()> {
        let checked = Checked::new(&self.registry, named);
        let checked = checked.map_err(|found| found.under(&format!("connections.{name}")))?;
        let trigger_type = self.registry.find(&checked.trigger_type)?;
        self.with_keys(name, &checked, "", |source| {
            Ok(trigger_type.replace_connection(source)?)
        })?;
        let mut connections = self.connections.write();
        *connections = Arc::new(connections.with(name, checked));
        Ok(())
    }

    /// The triggers that are kept, and those that were refused.
    pub(super) fn triggers(&self) -> Vec<Kept> {
        self.triggers.all()
    }

    /// The first trigger that is wanted, with its metadata.
    pub(super) fn find_trigger(
        &self,
        wanted: impl Fn(&Kept) -> bool,
    ) -> Option<(Kept, BTreeMap<String, String>)> {
        self.triggers.find(wanted)
    }

    /// How much of the limits on triggers is used.
    pub(super) fn usage_of_triggers(&self) -> Vec<Usage> {
        self.triggers.usage()
    }

    /// The trigger types and their keys.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn connections(&self) -> Arc<NamedConnections> {
        self.connections.read().clone()
    }
}

/// Some settings are by backend, and only the registry knows them.
pub(super) fn check_names(registry: &Registry, limits: &Limits) -> Result<(), Problems> {
    let known: BTreeSet<&str> = registry.backends().collect();
    let mut problems = Problems::default();
    for (key, by_backend) in [
        ("freshFor", &limits.fresh_for),
        ("staleWhileRevalidate", &limits.stale_while_revalidate),
        ("pushInterval", &limits.push_interval),
    ] {
        let names = by_backend.keys().map(String::as_str);
        for name in names.filter(|name| !known.contains(name)) {
            let names: Vec<&str> = known.iter().copied().collect();
            let reason = format!("is not a backend; known are {}", names.join(", "));
            problems.push(Problem::key(format!("engine.{key}.{name}"), reason));
        }
    }
    problems.into_result()
}

async fn evict_idle(engine: Weak<Engine>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        match engine.upgrade() {
            Some(engine) => {
                engine.triggers.evict_idle();
                engine.authenticated.evict();
            }
            None => return,
        }
    }
}
