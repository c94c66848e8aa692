//! Finds the trigger of a request: parsed once, bound to its slot, kept while somebody asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::{Arc, Weak},
    time::Duration,
};

use tracing::warn;

use super::{
    named_connections::{Connections, NamedConnection},
    query_slot::Freshness,
    registry::{AnyConnection, AnyType, Catalog},
    trigger::Trigger,
    trigger_cache::{Cache, Key},
};
use crate::{
    error::{Error, Kind, Result},
    metadata::{
        CommonKeys, TriggerRef,
        parse::Metadata,
        problem::{Problem, Problems},
    },
};

/// What bounds the engine, in time and memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a call waits for a sample. KEDA sets no deadline, so the server does.
    pub call_timeout: Duration,
    /// The same for a query that was never answered. `None`: the backend decides.
    pub first_call_timeout: Option<Duration>,
    /// How old the last good sample may be that answers in place of an error.
    pub max_staleness: Duration,
    /// How long a sample answers without I/O, by backend; the backend's own pace where not given.
    pub fresh_for: BTreeMap<String, Duration>,
    /// A trigger that nobody asked for this long is forgotten, and its connection with the last.
    pub idle_after: Duration,
    /// How many triggers are kept.
    pub triggers: NonZeroUsize,
    /// How many entries a trigger's metadata may have.
    pub metadata_entries: usize,
    /// Whether triggers may bring their own connections.
    pub inline_connections: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            call_timeout: Duration::from_secs(3),
            first_call_timeout: None,
            max_staleness: Duration::from_secs(60),
            fresh_for: BTreeMap::new(),
            idle_after: Duration::from_secs(10 * 60),
            triggers: NonZeroUsize::new(20_000).expect("is not zero"),
            metadata_entries: 200,
            inline_connections: true,
        }
    }
}

/// The engine. Lives in an `Arc`; its sweeper ends with it.
pub struct Engine {
    catalog: Catalog,
    connections: Connections,
    limits: Limits,
    cache: Cache,
}

impl Engine {
    /// An engine over the backends of the catalog. Must be called within a tokio runtime.
    pub fn start(
        catalog: Catalog,
        named: &BTreeMap<String, NamedConnection>,
        limits: Limits,
    ) -> Result<Arc<Self>> {
        let connections = Connections::check(&catalog, named)?;
        check_names(&catalog, &limits)?;
        let cache = Cache::new(limits.triggers, limits.idle_after);
        let sweep_every = (limits.idle_after / 4).max(Duration::from_millis(100));
        let engine = Arc::new(Engine {
            catalog,
            connections,
            limits,
            cache,
        });
        tokio::spawn(sweep(Arc::downgrade(&engine), sweep_every));
        Ok(engine)
    }

    /// The trigger of a request. Depends on metadata and settings alone: no I/O.
    pub fn trigger(&self, asked: TriggerRef) -> Result<Arc<Trigger>> {
        let key = Key::of(&asked);
        if let Some(trigger) = self.cache.get(&key) {
            return Ok(trigger);
        }
        let trigger = Arc::new(self.parse(&asked)?);
        if self.cache.put(key, asked, trigger.clone()) {
            warn!(
                limit = self.limits.triggers,
                "more triggers are in use than are kept; raise engine.triggers, or reads cannot be shared"
            );
        }
        Ok(trigger)
    }

    /// The triggers that are kept, with namespace and name of their ScaledObjects.
    pub fn triggers(&self) -> Vec<(String, String, Arc<Trigger>)> {
        self.cache.all()
    }

    /// The trigger types and their keys.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn parse(&self, asked: &TriggerRef) -> Result<Trigger> {
        let map = &asked.metadata;
        if map.len() > self.limits.metadata_entries {
            return Err(Problems::from(Problem::key(
                "metadata",
                format!(
                    "has {} entries; at most {} are read",
                    map.len(),
                    self.limits.metadata_entries
                ),
            ))
            .into());
        }
        let trigger_type = self.trigger_type(map)?;
        let known = [
            &self.catalog.common_keys,
            trigger_type.query_keys(),
            trigger_type.connection_keys(),
            &self.catalog.tls_keys,
        ];
        let (metadata, mut problems) = Metadata::new(map, &known);
        let common = metadata.parse::<CommonKeys>(&self.catalog.common_keys);
        let common = keep(common, &mut problems);
        let Some(common) = common else {
            return Err(problems.into());
        };
        // Without a connection the plan is still made, so that its problems are reported as well.
        let connection =
            self.connection(asked, &**trigger_type, &metadata, &common, &mut problems)?;
        let planned = keep(
            trigger_type.plan(&metadata, connection.as_ref()),
            &mut problems,
        );
        problems.into_result()?;
        let planned = planned.flatten().ok_or_else(|| mismatch(&common))?;
        Ok(Trigger {
            backend: trigger_type.name(),
            metric_name: common
                .metric_name
                .as_ref()
                .map_or(planned.metric_name, |name| name.0.clone()),
            target: planned.target,
            freshness: self.freshness(&**trigger_type, &common),
            reader: planned.reader,
        })
    }

    fn trigger_type(&self, map: &BTreeMap<String, String>) -> Result<&Arc<dyn AnyType>, Problems> {
        let named = ["backend", "backendFromEnv"]
            .into_iter()
            .find_map(|key| map.get(key));
        match named.filter(|name| !name.is_empty()) {
            Some(name) => Ok(self.catalog.find(name)?),
            None => {
                let known: Vec<_> = self.catalog.names().collect();
                let reason = format!("is required; known are {}", known.join(", "));
                Err(Problem::key("backend", reason).into())
            }
        }
    }

    /// The named connection, or the one that the trigger brings. `None` if there are problems.
    fn connection(
        &self,
        asked: &TriggerRef,
        trigger_type: &dyn AnyType,
        metadata: &Metadata<'_>,
        common: &CommonKeys,
        problems: &mut Problems,
    ) -> Result<Option<AnyConnection>> {
        if let Some(name) = &common.connection {
            let connection = self.connections.get(name, &asked.namespace)?;
            let keys = [trigger_type.connection_keys(), &self.catalog.tls_keys];
            for key in keys.into_iter().flat_map(|keys| metadata.given(keys)) {
                let reason =
                    format!("belongs to the connection `{name}`, whose settings decide it");
                problems.push(Problem::key(key, reason));
            }
            return Ok(Some(connection.clone()));
        }
        if !self.limits.inline_connections {
            return Err(Error::new(
                Kind::NotAllowed,
                "connection: is required, as this server allows no connections in the trigger's own metadata",
                "Name one of the server's connections instead of an address.",
            ));
        }
        let tls = keep(metadata.parse(&self.catalog.tls_keys), problems);
        Ok(tls.and_then(|tls| keep(trigger_type.connection(metadata, tls), problems)))
    }

    fn freshness(&self, trigger_type: &dyn AnyType, common: &CommonKeys) -> Freshness {
        let pace = trigger_type.pace();
        let of_backend = self.limits.fresh_for.get(trigger_type.backend()).copied();
        Freshness {
            fresh_for: common
                .fresh_for
                .map_or(of_backend.unwrap_or(pace.fresh_for), |span| span.0),
            max_staleness: common
                .max_staleness
                .map_or(self.limits.max_staleness, |span| span.0),
            call_timeout: self.limits.call_timeout,
            first_call_timeout: self
                .limits
                .first_call_timeout
                .unwrap_or(pace.first_call_timeout),
        }
    }
}

/// `freshFor` of the settings is by backend, and only the catalog knows which there are.
fn check_names(catalog: &Catalog, limits: &Limits) -> Result<(), Problems> {
    let known: BTreeSet<&str> = catalog.backends().collect();
    let mut problems = Problems::default();
    for name in limits
        .fresh_for
        .keys()
        .filter(|name| !known.contains(name.as_str()))
    {
        let names: Vec<&str> = known.iter().copied().collect();
        let reason = format!("is not a backend; known are {}", names.join(", "));
        problems.push(Problem::key(format!("engine.freshFor.{name}"), reason));
    }
    problems.into_result()
}

/// The value, or its problems added to the others.
fn keep<T>(result: Result<T, Problems>, problems: &mut Problems) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(found) => {
            problems.0.extend(found.0);
            None
        }
    }
}

fn mismatch(common: &CommonKeys) -> Error {
    let name = common.connection.as_deref().unwrap_or_default();
    Problems::from(Problem::value(
        "connection",
        name,
        format!(
            "is a connection of another backend than `{}`",
            common.backend
        ),
    ))
    .into()
}

async fn sweep(engine: Weak<Engine>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        match engine.upgrade() {
            Some(engine) => engine.cache.sweep(),
            None => return,
        }
    }
}
