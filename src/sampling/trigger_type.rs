//! A trigger type as users write it in `backend:`, with its declared keys.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::backend::Backend;
use crate::metadata::{
    parse::Metadata, problem::Problems, schema::KeySet, tls::TlsKeys, values::Target,
};

/// The declared keys that say where a backend is, and as whom to ask.
pub trait ConnectionKeys<B: Backend>: DeserializeOwned + JsonSchema {
    /// Checks the keys against each other and makes the connection of them.
    fn check(self, tls: TlsKeys) -> Result<B::Connection, Problems>;
}

/// The declared keys that say what to measure, and what to make of it.
pub trait TriggerKeys<B: Backend>: DeserializeOwned + JsonSchema {
    /// Checks the keys against each other and makes a plan of them.
    fn check(self) -> Result<Plan<B>, Problems>;
}

/// What one trigger wants of its connection.
pub struct Plan<B: Backend> {
    /// What to measure.
    pub query: B::Query,
    /// What to make of it.
    pub rule: B::Rule,
    /// The wanted backlog per replica.
    pub target: Target,
    /// The readable part of the metric's name, in the shape of KEDA's own.
    pub readable_name: String,
}

/// A trigger type: its name, and how its keys are parsed.
pub struct TriggerType<B: Backend> {
    /// As in `backend: redis-cluster`; KEDA's name of the scaler.
    pub name: &'static str,
    /// The keys of the connection, without those of TLS, which are the same everywhere.
    pub connection_keys: KeySet,
    /// The keys of the query and its thresholds.
    pub query_keys: KeySet,
    parse_connection: fn(&Metadata<'_>, &KeySet, TlsKeys) -> Result<B::Connection, Problems>,
    parse_plan: fn(&Metadata<'_>, &KeySet) -> Result<Plan<B>, Problems>,
}

impl<B: Backend> TriggerType<B> {
    /// A trigger type whose keys are declared by the two structs.
    pub fn of<C: ConnectionKeys<B>, T: TriggerKeys<B>>(name: &'static str) -> Self {
        TriggerType {
            name,
            connection_keys: KeySet::of::<C>(),
            query_keys: KeySet::of::<T>(),
            parse_connection: |metadata, keys, tls| metadata.parse::<C>(keys)?.check(tls),
            parse_plan: |metadata, keys| metadata.parse::<T>(keys)?.check(),
        }
    }

    /// Makes the connection of the keys that say where.
    pub fn connection(
        &self,
        metadata: &Metadata<'_>,
        tls: TlsKeys,
    ) -> Result<B::Connection, Problems> {
        (self.parse_connection)(metadata, &self.connection_keys, tls)
    }

    /// Makes the plan of the keys that say what.
    pub fn plan(&self, metadata: &Metadata<'_>) -> Result<Plan<B>, Problems> {
        (self.parse_plan)(metadata, &self.query_keys)
    }
}
