//! What a backend must be: the one trait that a new kind of queue implements.

use std::{
    fmt::{Debug, Display},
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::query_slot::Slot;
use super::trigger_type::TriggerType;
use crate::error::Result;

/// A kind of system that holds work: how to connect to it, and how to measure many queries at once.
///
/// Connections and queries are plain values with equality: equal ones are shared by all triggers.
/// `Display` of both appears in errors, logs and metrics, so neither may show a secret.
pub trait Backend: Send + Sync + Sized + 'static {
    /// The backend's name: its folder, and its key under `engine.freshFor` in the settings.
    const NAME: &'static str;
    /// Where a backend is, and as whom to ask.
    type Connection: Clone + Eq + Hash + Display + Send + Sync;
    /// What to measure on a connection. Thresholds are no part of it.
    type Query: Clone + Eq + Hash + Display + Send + Sync;
    /// What a read measured, in the backend's own words; cheap to clone.
    type Sample: Clone + Send + Sync;
    /// What one trigger makes of a sample.
    type Rule: Rule<Self::Sample>;
    /// A live connection.
    type Client: Send + Sync;

    /// The trigger types that this backend answers for, with their declared keys.
    fn trigger_types() -> Vec<TriggerType<Self>>;

    /// How this backend likes to be read, given how long a caller waits.
    fn pace(&self, call_timeout: Duration) -> Pace;

    /// The readable part of a metric's name, in the shape of KEDA's own, where the connection has
    /// a say in it. `planned` is that of the plan.
    fn readable_name(_connection: &Self::Connection, planned: String) -> String {
        planned
    }

    /// Connects and proves the connection good (authenticated, speaking the right protocol).
    fn connect(
        &self,
        connection: &Self::Connection,
    ) -> impl Future<Output = Result<Self::Client>> + Send;

    /// Answers the queries of a batch, each as soon as its answer is known.
    ///
    /// `Err` means that the connection is lost: it is opened anew, and what the batch left
    /// unanswered fails with this error (or is asked once more on the new connection).
    /// An error of a single query is that query's answer and leaves the others alone.
    fn sample(
        &self,
        client: &Self::Client,
        batch: Vec<Ask<Self>>,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// A pure function from a sample to what KEDA sees: no I/O, and no clock but the one given.
pub trait Rule<S>: Send + Sync + 'static {
    /// Judges a sample at the time `now`.
    fn judge(&self, sample: &S, now: Instant) -> Reading;
}

/// What KEDA sees of a trigger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The metric's value: how much work waits.
    pub value: f64,
    /// Whether that is above the activation threshold.
    pub active: bool,
}

/// How a backend likes to be read.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long a sample answers without I/O, unless the trigger or the settings say otherwise.
    pub fresh_for: Duration,
    /// How long a query that was never answered may wait while its connection is healthy.
    pub first_call_timeout: Duration,
    /// A connection that is not up by then has failed.
    pub connect_timeout: Duration,
    /// A batch that has not ended by then has failed, and its connection with it.
    pub batch_timeout: Duration,
    /// How many batches of one connection may be in flight at once.
    pub overlap: usize,
}

/// One query of a batch, waiting for its answer.
pub struct Ask<B: Backend>(Arc<Slot<B>>);

impl<B: Backend> Ask<B> {
    pub(super) fn new(slot: Arc<Slot<B>>) -> Self {
        Ask(slot)
    }

    /// What to measure.
    pub fn query(&self) -> &B::Query {
        self.0.query()
    }

    /// When the last good sample was measured; `None` before the first. For backends that cannot
    /// read everything at once, and read first what waited longest.
    pub fn measured_at(&self) -> Option<Instant> {
        self.0.last().map(|(_, at)| at)
    }

    /// Gives the answer to every caller that waits for it.
    pub fn answer(self, answer: Result<B::Sample>) {
        self.0.answer_query(answer);
    }
}

impl<B: Backend> Debug for Ask<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ask({})", self.query())
    }
}
