//! A trigger type: what users write in `backend:`, with its declared keys.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::backend::Backend;
use crate::metadata::{
    parse::Metadata, problem::Problems, schema::KeySet, signal::Needs, tls::TlsKeys, values::Target,
};

/// The trigger types of a backend, with their declared keys.
pub trait TriggerTypes: Backend {
    /// In the order in which they are documented.
    fn trigger_types() -> Vec<TriggerType<Self>>;
}

/// The declared keys of a connection: address and credentials.
pub trait ConnectionKeys<B: Backend>: DeserializeOwned + JsonSchema {
    /// Checks the keys against each other, and returns the connection or all problems.
    fn check(self, tls: TlsKeys) -> Result<B::Connection, Problems>;
}

/// The declared keys of a trigger: what to measure, and the thresholds.
pub trait TriggerKeys<B: Backend>: DeserializeOwned + JsonSchema {
    /// Checks the keys against each other, and returns the plan or all problems. What is needed
    /// beyond the backlog is an error where it cannot be measured: see [`Needs::supports`].
    fn check(self, needs: Needs) -> Result<Plan<B>, Problems>;
}

/// What one trigger measures on its connection, and how it evaluates that.
pub struct Plan<B: Backend> {
    /// What to measure.
    pub query: B::Query,
    /// How to evaluate it.
    pub rule: B::Rule,
    /// The wanted backlog per replica.
    pub target: Target,
    /// The readable part of the metric's name, in KEDA's own format.
    pub readable_name: String,
}

/// A trigger type: its name, and how its keys are parsed.
pub struct TriggerType<B: Backend> {
    /// The value of `backend`, as in `backend: redis-cluster`: KEDA's name of the scaler.
    pub name: &'static str,
    /// The keys of the connection, without those of TLS, which are the same everywhere.
    pub connection_keys: KeySet,
    /// The keys of the query and its thresholds.
    pub query_keys: KeySet,
    parse_connection: fn(&Metadata<'_>, &KeySet, TlsKeys) -> Result<B::Connection, Problems>,
    parse_plan: fn(&Metadata<'_>, &KeySet, Needs) -> Result<Plan<B>, Problems>,
}

impl<B: Backend> TriggerType<B> {
    /// A trigger type whose keys are declared by the two structs.
    pub fn of<C: ConnectionKeys<B>, T: TriggerKeys<B>>(name: &'static str) -> Self {
        TriggerType {
            name,
            connection_keys: KeySet::of::<C>(),
            query_keys: KeySet::of::<T>(),
            parse_connection: |metadata, keys, tls| metadata.parse::<C>(keys)?.check(tls),
            parse_plan: |metadata, keys, needs| metadata.parse::<T>(keys)?.check(needs),
        }
    }

    /// Parses the keys of a connection.
    pub fn connection(
        &self,
        metadata: &Metadata<'_>,
        tls: TlsKeys,
    ) -> Result<B::Connection, Problems> {
        (self.parse_connection)(metadata, &self.connection_keys, tls)
    }

    /// Parses the keys of a trigger.
    pub fn plan(&self, metadata: &Metadata<'_>, needs: Needs) -> Result<Plan<B>, Problems> {
        (self.parse_plan)(metadata, &self.query_keys, needs)
    }
}
