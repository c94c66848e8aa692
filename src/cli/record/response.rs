//! Of the JSON of `/api/v1`, what is read here; what else is in it may change.

use serde::Deserialize;

use crate::error::{Error, Kind};

/// A page of triggers.
#[derive(Deserialize)]
pub struct Triggers {
    pub triggers: Vec<Trigger>,
}

/// One trigger with its past.
#[derive(Deserialize)]
pub struct Detail {
    pub trigger: Trigger,
}

/// Of a trigger, what matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    pub id: String,
    pub namespace: String,
    pub object: String,
    /// Of a trigger that is refused, stale or failing.
    pub error: Option<Reason>,
    pub metric: Option<String>,
    pub connection: Option<Connection>,
    pub measures: Option<String>,
    pub signal: Option<String>,
    pub measured: Option<f64>,
    /// An older server has neither this nor the next.
    #[serde(default)]
    pub measured_at: Option<String>,
    #[serde(default)]
    pub arrivals: Option<Arrivals>,
}

/// A connection that is referred to.
#[derive(Deserialize)]
pub struct Connection {
    pub address: String,
}

/// What was added to its queue.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Arrivals {
    pub total: Option<u64>,
    pub parts: Option<usize>,
    pub per_second: Option<f64>,
}

/// An error in its parts.
#[derive(Deserialize)]
pub struct Reason {
    pub kind: String,
    pub what: String,
    pub next: String,
}

/// What a request that fails gets.
#[derive(Deserialize)]
pub struct Failure {
    pub error: Reason,
}

impl From<Reason> for Error {
    fn from(Reason { kind, what, next }: Reason) -> Self {
        let known = Kind::ALL.into_iter().find(|known| known.label() == kind);
        Error::new(known.unwrap_or(Kind::Unreadable), what, next)
    }
}
