//! Every trigger type that this server answers for, with the backends' types erased.

use std::{any::Any, sync::Arc, time::Duration};

use serde::Serialize;

use super::metric_name::metric_name;
use super::trigger_type::{Plan, TriggerType};
use super::{
    backend::{Backend, Pace},
    connection_pool::Pool,
    trigger::{Bound, Read},
};
use crate::{
    metadata::{
        CommonKeys,
        parse::Metadata,
        problem::{Problem, Problems},
        schema::{Key, KeySet, nearest},
        tls::TlsKeys,
    },
    telemetry::Telemetry,
};

/// Every trigger type, in the order of registration.
pub struct Catalog {
    pub(super) common_keys: KeySet,
    pub(super) tls_keys: KeySet,
    types: Vec<Arc<dyn AnyType>>,
    call_timeout: Duration,
    telemetry: Telemetry,
}

/// The declared keys of one trigger type, for documentation.
#[derive(Clone, Debug, Serialize)]
pub struct TypeKeys {
    /// As in `backend: redis-cluster`.
    pub backend: &'static str,
    /// What to measure, and what to make of it.
    pub query: Vec<Key>,
    /// Where the backend is, and as whom to ask.
    pub connection: Vec<Key>,
    /// TLS to the backend.
    pub tls: Vec<Key>,
    /// The same for every backend.
    pub common: Vec<Key>,
}

impl Catalog {
    /// A catalog without backends; `call_timeout` is how long a caller waits.
    pub fn new(call_timeout: Duration, telemetry: Telemetry) -> Self {
        Catalog {
            common_keys: KeySet::of::<CommonKeys>(),
            tls_keys: KeySet::of::<TlsKeys>(),
            types: Vec::new(),
            call_timeout,
            telemetry,
        }
    }

    /// The catalog with one more backend and all its trigger types, which share its connections.
    pub fn with<B: Backend>(mut self, backend: B) -> Self {
        let pool = Arc::new(Pool::new(
            backend,
            self.call_timeout,
            self.telemetry.clone(),
        ));
        for trigger_type in B::trigger_types() {
            self.types.push(Arc::new(TypeOf {
                pool: pool.clone(),
                trigger_type,
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

    /// The declared keys of every trigger type.
    pub fn keys(&self) -> impl Iterator<Item = TypeKeys> {
        self.types.iter().map(|t| TypeKeys {
            backend: t.name(),
            query: t.query_keys().0.clone(),
            connection: t.connection_keys().0.clone(),
            tls: self.tls_keys.0.clone(),
            common: self.common_keys.0.clone(),
        })
    }

    pub(super) fn find(&self, name: &str) -> Result<&Arc<dyn AnyType>, Problem> {
        let found = self.types.iter().find(|t| t.name() == name);
        found.ok_or_else(|| {
            let known: Vec<_> = self.names().collect();
            let hint = match nearest(name, known.iter().copied()) {
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

/// A connection whose type only its backend knows.
pub(super) type AnyConnection = Arc<dyn Any + Send + Sync>;

/// What a trigger type made of a trigger's metadata.
pub(super) struct Planned {
    pub metric_name: String,
    pub target: f64,
    pub reader: Box<dyn Read>,
}

/// One trigger type with its backend's types erased.
pub(super) trait AnyType: Send + Sync {
    fn name(&self) -> &'static str;
    fn backend(&self) -> &'static str;
    fn pace(&self) -> Pace;
    fn connection_keys(&self) -> &KeySet;
    fn query_keys(&self) -> &KeySet;
    fn connection(&self, metadata: &Metadata<'_>, tls: TlsKeys) -> Result<AnyConnection, Problems>;
    /// `None` if there is no connection, or one of another backend.
    fn plan(
        &self,
        metadata: &Metadata<'_>,
        connection: Option<&AnyConnection>,
    ) -> Result<Option<Planned>, Problems>;
}

/// The one implementation of [`AnyType`].
struct TypeOf<B: Backend> {
    pool: Arc<Pool<B>>,
    trigger_type: TriggerType<B>,
}

impl<B: Backend> AnyType for TypeOf<B> {
    fn name(&self) -> &'static str {
        self.trigger_type.name
    }

    fn backend(&self) -> &'static str {
        B::NAME
    }

    fn pace(&self) -> Pace {
        self.pool.pace()
    }

    fn connection_keys(&self) -> &KeySet {
        &self.trigger_type.connection_keys
    }

    fn query_keys(&self) -> &KeySet {
        &self.trigger_type.query_keys
    }

    fn connection(&self, metadata: &Metadata<'_>, tls: TlsKeys) -> Result<AnyConnection, Problems> {
        let connection = self.trigger_type.connection(metadata, tls)?;
        Ok(Arc::new(connection))
    }

    fn plan(
        &self,
        metadata: &Metadata<'_>,
        connection: Option<&AnyConnection>,
    ) -> Result<Option<Planned>, Problems> {
        let Plan {
            query,
            rule,
            target,
            readable_name,
        } = self.trigger_type.plan(metadata)?;
        let connection = connection.and_then(|any| any.downcast_ref::<B::Connection>());
        let Some(connection) = connection else {
            return Ok(None);
        };
        let readable_name = B::readable_name(connection, readable_name);
        Ok(Some(Planned {
            metric_name: metric_name(&readable_name, connection, &query),
            target: target.0 as f64,
            reader: Box::new(Bound {
                slot: self.pool.slot(connection, &query),
                rule,
            }),
        }))
    }
}
