//! The engine: shared samples, batches, freshness and staleness.
//!
//! A call walks down, a result walks up:
//!
//! - [`Engine`] finds the trigger of a request in its `TriggerCache`, or parses it with the trigger
//!   types of the [`Registry`].
//! - [`Trigger`] binds a rule to a [`QuerySlot`]: one query of one connection, with its last sample
//!   and the calls that wait for the next.
//! - `SharedConnection` holds the slots of one connection. `ConnectionTask` connects, collects
//!   queries into batches while one is in flight, and reconnects; both share a `ConnectionState`.
//!   `Deadlines` ends calls that wait too long.
//! - Each slot learns the `Rhythm` of its requests. `LookAhead` holds what is expected of one
//!   connection, and a batch takes along what will be requested while it is fresh.
//! - A stream of a push trigger holds a [`Subscription`] to its slot. `PushSchedule` has the slots of
//!   one connection that are refreshed by themselves, and `Subscribers` the streams of one slot.
//! - [`Backend`] is what a kind of queue implements, and [`Rule`] how a trigger evaluates a sample.
//! - A trigger with keys for it has a `Shaper`, which applies its `Shaping` to what the rule made of
//!   a sample. `SampleObservers` are those of a slot that remember its samples.
//!
//! People look at it by `Inspected` triggers and connections, which cost no read; each trigger keeps its
//! `Outcomes` and a short `History`.
//!
//! Everything is owned by its users: a trigger holds its slot, a slot its connection, a connection
//! its tasks. When the last trigger is evicted, the connection closes. The way back is by design
//! and weak: a connection finds its slots, and the pool its connections, by `Weak` references; a
//! slot is held by the connection only while it waits for a result. So these files refer to each
//! other: `query_slot`, `connection`, `connection_state`, `connection_task`, `connection_pool`,
//! `deadlines`, `look_ahead`, `push_schedule` and
//! `pushed_queries`.

mod authenticated;
mod authentication;
mod backend;
mod batch;
mod check;
mod connection;
mod connection_budget;
mod connection_figures;
mod connection_name;
mod connection_pool;
mod connection_state;
mod connection_task;
mod deadlines;
mod engine;
mod evaluation;
mod history;
mod inspection;
mod limits;
mod look_ahead;
mod metric_name;
mod metrics;
mod name_limits;
mod named_connections;
mod outcomes;
mod past_errors;
mod push_schedule;
mod pushed_queries;
mod query_slot;
mod read_log;
mod registry;
mod replicas;
mod rhythm;
mod sample_observers;
mod shaper;
mod shaping;
mod signal_rule;
mod state_observer;
mod subscribers;
mod subscription;
#[cfg(test)]
pub(crate) mod tests;
mod trigger;
mod trigger_cache;
mod trigger_key;
mod trigger_type;
mod unresolved;
mod window;

pub use authentication::{Authentication, AuthenticationSource};
pub use backend::{Arrivals, Backend, Batch, Budget, CountRule, Pace, Reading, Rule, Total};
pub use batch::{BatchQuery, Measured};
pub use check::Credentials;
pub use connection_figures::{ConnectionFigures, Health};
pub use connection_name::ConnectionName;
pub use engine::{Engine, Spec};
pub use evaluation::{Evaluation, Shaped};
pub use history::{Past, Point, Replied};
pub use inspection::{Bound, Inspected, InspectedConnection, Refused, ShownKey, ShownValue};
pub use limits::{ConnectionLimits, InlineConnections, Limits};
pub use metrics::trigger_metrics;
pub use name_limits::QueriedName;
pub use named_connections::NamedConnection;
pub use outcomes::{Status, TriggerStatus};
pub use past_errors::PastError;
pub use pushed_queries::PushedQueries;
pub use query_slot::{Freshness, QuerySlot};
pub use registry::{Registry, TypeKeys};
pub use replicas::{ReplicaSource, TargetReplicas};
pub(crate) use shaping::{Memory, Shaping};
pub(crate) use signal_rule::Observation;
pub use state_observer::{StateObserver, TriggerState};
pub use subscription::Subscription;
pub use trigger::Trigger;
pub use trigger_cache::Usage;
pub use trigger_type::{ConnectionKeys, Plan, TriggerKeys, TriggerType, TriggerTypes};
