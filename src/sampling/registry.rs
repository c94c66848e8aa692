//! Every trigger type of this server, with the backends' types erased.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    backend::{Backend, Pace},
    connection_budget::ConnectionBudget,
    connection_pool::{ConnectionPool, Owner},
    engine::Spec,
    limits::Limits,
    metric_name::metric_name,
    name_limits::NameLimits,
    shaper::Shaper,
    shaping::Shaping,
    signal_rule::SignalRule,
    trigger::{BoundQuery, Evaluate},
    trigger_type::{Plan, TriggerType, TriggerTypes},
};
use crate::{
    error::Result,
    metadata::{
        CommonKeys,
        parse::Metadata,
        problem::{Problem, Problems},
        schema::{Key, KeySet, nearest_of_words},
        signal::{Needs, Seconds, Signal},
        tls::TlsKeys,
        values::{HostPort, Target},
    },
    telemetry::Telemetry,
};

/// Every trigger type, in the order of registration.
pub struct Registry {
    pub(super) common_keys: KeySet,
    pub(super) tls_keys: KeySet,
    types: Vec<Arc<dyn RegisteredType>>,
    limits: Limits,
    telemetry: Telemetry,
    budget: Arc<ConnectionBudget>,
}

/// The declared keys of one trigger type, for documentation.
#[derive(Clone, Debug, Serialize)]
pub struct TypeKeys {
    /// The trigger type, as in `backend: redis-cluster`.
    #[serde(rename = "backend")]
    pub trigger_type: &'static str,
    /// What to measure, and the thresholds.
    pub query: Vec<Key>,
    /// Address and credentials.
    pub connection: Vec<Key>,
    /// TLS to the backend.
    pub tls: Vec<Key>,
    /// The same for every trigger type.
    pub common: Vec<Key>,
}

impl Registry {
    /// A registry without backends.
    pub fn new(limits: &Limits, telemetry: Telemetry) -> Self {
        let budget = ConnectionBudget::new(limits.connections);
        Registry {
            common_keys: KeySet::of::<CommonKeys>(),
            tls_keys: KeySet::of::<TlsKeys>(),
            types: Vec::new(),
            limits: limits.clone(),
            telemetry,
            budget: Arc::new(budget),
        }
    }

    /// The registry with one more backend and all its trigger types, which share its connections.
    pub fn with<B: TriggerTypes>(mut self, backend: B) -> Self {
        let (telemetry, budget) = (self.telemetry.clone(), self.budget.clone());
        let pool = ConnectionPool::new(backend, &self.limits, telemetry, budget);
        let pool = Arc::new(pool);
        let types: Arc<[TriggerType<B>]> = B::trigger_types().into();
        for index in 0..types.len() {
            self.types.push(Arc::new(TypeOf {
                pool: pool.clone(),
                types: types.clone(),
                index,
            }));
        }
        self
    }

    /// The trigger types' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.types.iter().map(|t| t.name())
    }

    /// The backends' names, once for each of their trigger types.
    pub fn backends(&self) -> impl Iterator<Item = &'static str> {
        self.types.iter().map(|t| t.backend())
    }

    /// How long a sample of each trigger type is used without I/O, by default.
    pub fn fresh_for(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        self.types.iter().map(|t| (t.name(), t.pace().fresh_for))
    }

    /// How often the queries of push triggers are read, by default.
    pub fn push_interval(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        let types = self.types.iter();
        types.map(|t| (t.name(), t.pace().push_interval))
    }

    /// The declared keys of every trigger type.
    pub fn keys(&self) -> impl Iterator<Item = TypeKeys> {
        self.types.iter().map(|t| TypeKeys {
            trigger_type: t.name(),
            query: t.query_keys().0.clone(),
            connection: t.connection_keys().0.clone(),
            tls: self.tls_keys.0.clone(),
            common: self.common_keys.0.clone(),
        })
    }

    /// The trigger type that a trigger's metadata names.
    pub(super) fn of(
        &self,
        metadata: &BTreeMap<String, String>,
    ) -> Result<&Arc<dyn RegisteredType>, Problem> {
        let named = ["backend", "backendFromEnv"]
            .into_iter()
            .find_map(|key| metadata.get(key).map(|name| name.trim()));
        match named.filter(|name| !name.is_empty()) {
            Some(name) => self.find(name),
            None => {
                let known: Vec<_> = self.names().collect();
                let reason = format!("is required; known are {}", known.join(", "));
                Err(Problem::key("backend", reason))
            }
        }
    }

    /// The trigger type of this name.
    pub(super) fn find(&self, name: &str) -> Result<&Arc<dyn RegisteredType>, Problem> {
        let found = self.types.iter().find(|t| t.name() == name);
        found.ok_or_else(|| {
            let known: Vec<_> = self.names().collect();
            let hint = match nearest_of_words(name, &known) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => String::new(),
            };
            Problem::value(
                "backend",
                name,
                format!("is not known; known are {}{hint}", known.join(", ")),
            )
        })
    }
}

/// Why a trigger's own metadata may not use what this process has.
const FOR_NAMED_ONES: &str = "uses credentials of this server's own process, which only its named \
    connections may: put the connection into the settings, and name it with `connection`";

/// The keys of a connection, and whose they are.
pub(super) struct ConnectionSource<'a> {
    /// The trigger type that declares the keys.
    pub trigger_type: &'a str,
    pub metadata: &'a Metadata<'a>,
    pub tls: TlsKeys,
    /// Its name in the settings; `None`: the keys are the trigger's own.
    pub name: Option<&'a str>,
    /// What it may be used for; `None`: everything.
    pub names: Option<&'a NameLimits>,
    /// Of the trigger, if there is one.
    pub namespace: &'a str,
}

/// What a trigger type made of a trigger's metadata.
pub(super) struct Bound {
    pub metric_name: String,
    pub target: f64,
    pub query: Box<dyn Evaluate>,
    /// `None`: what the rule makes of a sample is reported as it is.
    pub shaper: Option<Arc<Shaper>>,
    /// Memory of the query, and of the values that are smoothed.
    pub bytes: usize,
}

/// One trigger type with its backend's types erased.
pub(super) trait RegisteredType: Send + Sync {
    fn name(&self) -> &'static str;
    fn backend(&self) -> &'static str;
    fn pace(&self) -> Pace;
    fn connection_keys(&self) -> &KeySet;
    fn query_keys(&self) -> &KeySet;
    /// Checks the keys of a connection, and opens nothing.
    fn check_connection(&self, metadata: &Metadata<'_>, tls: TlsKeys) -> Result<(), Problems>;
    /// What KEDA is told of a trigger whose credentials, and perhaps address, are not in its metadata.
    /// Depends on the metadata alone.
    fn spec(
        &self,
        metadata: &Metadata<'_>,
        common: &CommonKeys,
        tls: TlsKeys,
    ) -> Result<Spec, Problems>;
    /// Checks the values of a trigger's keys, without those that are the same for every trigger type.
    fn check_values(&self, metadata: &Metadata<'_>) -> Result<(), Problems>;
    /// Checks what a trigger measures against its connection, as [`RegisteredType::bind`] does, and
    /// creates nothing.
    fn check_use(
        &self,
        metadata: &Metadata<'_>,
        common: &CommonKeys,
        connection: ConnectionSource<'_>,
    ) -> Result<(), Problems>;
    /// The servers that get the credentials of a connection.
    fn recipients(&self, metadata: &Metadata<'_>, tls: TlsKeys) -> Result<Vec<HostPort>, Problems>;
    /// Has an open connection of this name use other keys, once they are proven.
    fn replace_connection(&self, source: ConnectionSource<'_>) -> Result<(), Problems>;
    /// Binds a trigger to the slot of its query. All problems are returned together, after those
    /// that were found `before`; with one of them nothing is created.
    fn bind(
        &self,
        metadata: &Metadata<'_>,
        common: &CommonKeys,
        connection: ConnectionSource<'_>,
        before: Problems,
    ) -> Result<Bound>;
}

/// What a trigger asks for, checked.
struct Planned<B: Backend> {
    plan: Plan<B>,
    connection: B::Connection,
    target: Target,
    seconds: Option<Seconds>,
    shaping: Option<Shaping>,
}

/// The one implementation of [`RegisteredType`].
struct TypeOf<B: Backend> {
    pool: Arc<ConnectionPool<B>>,
    /// All types of the backend: any of them may declare the connection of a trigger.
    types: Arc<[TriggerType<B>]>,
    index: usize,
}

impl<B: Backend> TypeOf<B> {
    fn this(&self) -> &TriggerType<B> {
        &self.types[self.index]
    }

    /// What a trigger measures, on which connection, and how it is evaluated. All problems are returned
    /// together, after those that were found `before`.
    fn planned(
        &self,
        metadata: &Metadata<'_>,
        common: &CommonKeys,
        source: &ConnectionSource<'_>,
        before: Problems,
    ) -> Result<Planned<B>, Problems> {
        let mut problems = before;
        let plan = problems.keep(self.this().plan(metadata, Needs::of(common)));
        let seconds = problems.keep(Seconds::of(common));
        let target = |plan: &Plan<B>| match seconds {
            Some(Some(seconds)) => seconds.target,
            _ => plan.target,
        };
        let shaping = plan
            .as_ref()
            .and_then(|plan| problems.keep(Shaping::of(common, target(plan)))?);
        let connection = problems.keep(self.connection(source));
        if source.name.is_none()
            && let Some(key) = connection.as_ref().and_then(B::process_credentials)
        {
            problems.push(Problem::key(key, FOR_NAMED_ONES));
        }
        problems.into_result()?;
        let (Some(plan), Some(connection)) = (plan, connection) else {
            unreachable!("what is missing is a problem");
        };
        Ok(Planned {
            target: target(&plan),
            seconds: seconds.flatten(),
            shaping,
            plan,
            connection,
        })
    }

    fn connection(&self, source: &ConnectionSource<'_>) -> Result<B::Connection, Problems> {
        let mut types = self.types.iter();
        match types.find(|t| t.name == source.trigger_type) {
            Some(found) => found.connection(source.metadata, source.tls.clone()),
            None => {
                let reason = format!("is a connection of another backend than `{}`", self.name());
                let name = source.name.unwrap_or_default();
                Err(Problem::value("connection", name, reason).into())
            }
        }
    }
}

impl<B: Backend> RegisteredType for TypeOf<B> {
    fn name(&self) -> &'static str {
        self.this().name
    }

    fn backend(&self) -> &'static str {
        B::NAME
    }

    fn pace(&self) -> Pace {
        self.pool.pace()
    }

    fn connection_keys(&self) -> &KeySet {
        &self.this().connection_keys
    }

    fn query_keys(&self) -> &KeySet {
        &self.this().query_keys
    }

    fn check_connection(&self, metadata: &Metadata<'_>, tls: TlsKeys) -> Result<(), Problems> {
        self.this().connection(metadata, tls).map(|_| ())
    }

    fn spec(
        &self,
        metadata: &Metadata<'_>,
        common: &CommonKeys,
        tls: TlsKeys,
    ) -> Result<Spec, Problems> {
        let mut problems = Problems::default();
        let plan = problems.keep(self.this().plan(metadata, Needs::of(common)));
        let seconds = problems.keep(Seconds::of(common));
        problems.into_result()?;
        let (Some(plan), Some(seconds)) = (plan, seconds) else {
            unreachable!("what is missing is a problem");
        };
        let target = seconds.map_or(plan.target, |seconds| seconds.target);
        let planned = named_by_signal(plan.readable_name, common.signal);
        // As bound triggers are named, where the metadata is enough for it.
        let derived = match self.this().connection(metadata, tls) {
            Ok(connection) => {
                let readable = B::readable_name(&connection, planned);
                metric_name(&readable, &connection, &plan.query)
            }
            Err(_) => {
                let connection = metadata.shown(self.connection_keys());
                metric_name(&planned, connection, &plan.query)
            }
        };
        let given = common.metric_name.clone();
        Ok(Spec {
            metric_name: given.map_or(derived, |name| name.0),
            target: target.0 as f64,
        })
    }

    fn check_values(&self, metadata: &Metadata<'_>) -> Result<(), Problems> {
        self.this().plan(metadata, Needs::default()).map(|_| ())
    }

    fn check_use(
        &self,
        metadata: &Metadata<'_>,
        common: &CommonKeys,
        source: ConnectionSource<'_>,
    ) -> Result<(), Problems> {
        let planned = self.planned(metadata, common, &source, Problems::default())?;
        check_names::<B>(&source, &planned.plan.query)
            .map_err(|error| Problem::said_of("connection", &error).into())
    }

    fn recipients(&self, metadata: &Metadata<'_>, tls: TlsKeys) -> Result<Vec<HostPort>, Problems> {
        let connection = self.this().connection(metadata, tls)?;
        Ok(B::recipients(&connection))
    }

    fn replace_connection(&self, source: ConnectionSource<'_>) -> Result<(), Problems> {
        let name = source.name.unwrap_or_default();
        self.pool.replace(name, self.connection(&source)?);
        Ok(())
    }

    fn bind(
        &self,
        metadata: &Metadata<'_>,
        common: &CommonKeys,
        source: ConnectionSource<'_>,
        before: Problems,
    ) -> Result<Bound> {
        let Planned {
            plan,
            connection,
            target,
            seconds,
            shaping,
        } = self.planned(metadata, common, &source, before)?;
        check_names::<B>(&source, &plan.query)?;
        let namespace = source.namespace;
        let owner = match source.name {
            Some(name) => Owner::Settings { name },
            None => Owner::Trigger { namespace },
        };
        let planned = named_by_signal(plan.readable_name, common.signal);
        let readable_name = B::readable_name(&connection, planned);
        let metric_name = metric_name(&readable_name, &connection, &plan.query);
        let slot = self.pool.slot(connection, owner, namespace, &plan.query)?;
        let rule = SignalRule::new(plan.rule, common.signal, seconds);
        let rule = Arc::new(rule);
        let shaper = shaping.map(|shaping| Arc::new(Shaper::new(shaping)));
        if let Some(shaper) = shaper.as_ref().filter(|shaper| shaper.remembers_samples()) {
            slot.remember_samples(&rule, shaper);
        }
        Ok(Bound {
            metric_name,
            target: target.0 as f64,
            bytes: B::query_bytes(&plan.query) + shaper.as_ref().map_or(0, |shaper| shaper.bytes()),
            query: Box::new(BoundQuery { slot, rule }),
            shaper,
        })
    }
}

/// Checks that a named connection may be used for what a trigger measures.
fn check_names<B: Backend>(source: &ConnectionSource<'_>, query: &B::Query) -> Result<()> {
    match source.names {
        Some(names) => names.check(source.name.unwrap_or_default(), B::names(query)),
        None => Ok(()),
    }
}

/// The readable part of the metric's name, with a signal that is not the backlog.
fn named_by_signal(planned: String, signal: Signal) -> String {
    match signal {
        Signal::Backlog => planned,
        Signal::Age => planned + "-age-seconds",
        Signal::DrainTime => planned + "-drain-seconds",
    }
}
