//! The engine: shared samples, batches, freshness and staleness.
//!
//! - [`Backend`] is what a kind of queue implements; [`Rule`] is what a trigger makes of a sample.
//! - [`Slot`] is one query of one connection: its last sample, and who waits for the next.
//! - `Link` is a connection that triggers share. Its task, the `Driver`, gathers queries while a
//!   batch is in flight, and reconnects; its `Patience` ends calls that wait too long.
//! - `Pool` holds the links of a backend; `Catalog` the backends, with their types erased.
//! - [`Engine`] finds the trigger of a request, parsed once and kept while somebody asks.
//!
//! Everything is owned by who uses it: a trigger holds its slot, a slot its link, a link its tasks.
//! When the last trigger goes, so does the connection.

mod backend;
mod connection;
mod connection_pool;
mod connection_state;
mod connection_task;
mod deadlines;
mod engine;
mod metric_name;
mod metrics;
mod named_connections;
mod query_slot;
mod registry;
#[cfg(test)]
pub(crate) mod tests;
mod trigger;
mod trigger_cache;
mod trigger_type;

pub use backend::{Ask, Backend, Pace, Reading, Rule};
pub use engine::{Engine, Limits};
pub use metrics::TriggerCollector;
pub use named_connections::NamedConnection;
pub use query_slot::{Answer, Freshness, Slot};
pub use registry::{Catalog, TypeKeys};
pub use trigger::{Judged, Trigger};
pub use trigger_type::{ConnectionKeys, Plan, TriggerKeys, TriggerType};
