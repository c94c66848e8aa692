//! What a backend implements: the one trait behind a new kind of queue.

use std::{fmt::Display, future::ready, hash::Hash, time::Duration};

use tokio::time::Instant;

use super::{batch::BatchQuery, name_limits::QueriedName, pushed_queries::PushedQueries};
pub use crate::telemetry::Budget;
use crate::{
    error::{Error, Kind, Result},
    metadata::values::{Activation, HostPort},
    network::Network,
};

/// A system that holds queues: how to connect to it, and how to measure many queries at once.
///
/// # What the engine does
///
/// - It opens one connection for all triggers whose [`Connection`](Backend::Connection) values are
///   equal, and reconnects with a backoff. While a connection is lost, callers get the reason at
///   once (or the last good sample, within `maxStaleness`).
/// - It collects the queries of all callers into batches, and gives equal queries one place in a
///   batch.
/// - It prefixes every error with the connection, and the error of a query with the query as well:
///   a backend's own text names neither.
/// - It logs the first error of a query, and the recovery. A backend logs only what no error says.
///
/// # What a backend does
///
/// - Every query of a batch gets a result through [`BatchQuery::complete`], as soon as it is known
///   and independently of the others. A query that is dropped without one fails as a defect.
/// - A missing queue is 0 where the backend's own client library treats it so; anything that cannot
///   be read is an error, never 0.
/// - `connect` and `sample` end by their deadline, and say in their errors what was late. The engine
///   cuts them off an eighth of their time later, with an error that can say less.
pub trait Backend: Send + Sync + Sized + 'static {
    /// The backend's name: its folder, and its key under `engine.freshFor` in the settings.
    const NAME: &'static str;
    /// Address and credentials. `Display` is `name user@host:port`, without secrets: it is part of
    /// errors, log lines and metric labels.
    type Connection: Clone + Eq + Hash + Display + Send + Sync;
    /// What to measure on a connection, without thresholds. `Display` is part of errors and log
    /// lines: short, and without secrets.
    type Query: Clone + Eq + Hash + Display + Send + Sync;
    /// What one request measured, in the backend's own terms; cheap to clone.
    type Sample: Clone + Send + Sync;
    /// How one trigger evaluates a sample.
    type Rule: Rule<Self::Sample>;
    /// An open connection. Dropping it closes it.
    type Client: Send + Sync;

    /// Limits and intervals for this backend, given how long a caller waits.
    fn pace(&self, call_timeout: Duration) -> Pace;

    /// The readable part of a metric's name, in KEDA's own format, where it depends on the
    /// connection. `planned` is that of the plan.
    fn readable_name(_connection: &Self::Connection, planned: String) -> String {
        planned
    }

    /// How many bytes of memory the names in a query take, with what ranges expand to.
    fn query_bytes(query: &Self::Query) -> usize;

    /// The address of a connection, without the user.
    fn server(connection: &Self::Connection) -> String;

    /// The servers that get the credentials of a connection before anything else says where they may
    /// go.
    fn recipients(connection: &Self::Connection) -> Vec<HostPort>;

    /// The names that a query reads, as the settings may limit a connection to some.
    fn names(query: &Self::Query) -> Vec<QueriedName<'_>>;

    /// The key by which a connection uses what belongs to this process, such as the role of its pod:
    /// only named connections may, as everybody who writes a trigger could use it otherwise.
    fn process_credentials(_connection: &Self::Connection) -> Option<&'static str> {
        None
    }

    /// Connects and proves the connection good: authenticated, and speaking the right protocol.
    /// Every address, also one that a server advertises, is connected to through `network`.
    fn connect(
        &self,
        connection: &Self::Connection,
        network: &Network,
        deadline: Instant,
    ) -> impl Future<Output = Result<Self::Client>> + Send;

    /// What the backend allows itself, for one that limits the rate of its requests; read at each
    /// batch, and once a second.
    fn budget(_client: &Self::Client) -> Option<Budget> {
        None
    }

    /// Measures the queries of a batch.
    ///
    /// `Err` means that the connection is lost: it is opened again, and each query without a result
    /// is sent once more on the new connection if this one had served a batch before; otherwise it
    /// fails with this error. An error that concerns one query goes to that query alone.
    fn sample(
        &self,
        client: &Self::Client,
        batch: Batch<Self>,
        deadline: Instant,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Reports changes of pushed queries by [`PushedQueries::notify`], where the server notifies its
    /// clients of them. Runs beside the batches for as long as the client is in use, and may end
    /// earlier: pushed queries are read at their interval in any case.
    fn watch(
        &self,
        _client: &Self::Client,
        _pushed: PushedQueries<'_, Self>,
    ) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// The queries of one batch.
pub type Batch<B> = Vec<BatchQuery<<B as Backend>::Query, <B as Backend>::Sample>>;

/// Pure functions from a sample to what KEDA sees: no I/O, and no clock but the times given.
///
/// A trigger reports one signal. Those other than the backlog are requested only of rules whose
/// [`TriggerKeys`](super::TriggerKeys) have accepted them.
pub trait Rule<S>: Send + Sync + 'static {
    /// The backlog of a sample that was measured at `measured_at`, at the time `now`.
    fn judge(&self, sample: &S, measured_at: Instant, now: Instant) -> Reading;

    /// For how long the oldest of the waiting work had waited when the sample was measured; zero,
    /// if none waits. [`Kind::Undetermined`], if the samples so far do not say.
    fn age(&self, _sample: &S, _measured_at: Instant) -> Result<Duration> {
        Err(not_measured())
    }

    /// How long the backlog takes at the rate of completion that the sample says; zero, if nothing
    /// waits. [`Kind::Undetermined`], if the rate is zero or not known.
    fn drain_time(&self, _sample: &S, _measured_at: Instant) -> Result<Duration> {
        Err(not_measured())
    }

    /// How much work is taken and not finished.
    fn in_flight(&self, _sample: &S) -> u64 {
        0
    }

    /// How many consumers can have work at most, whatever waits; `None`: there is no such bound.
    fn most_consumers(&self, _sample: &S) -> Option<usize> {
        None
    }

    /// What was added to what the sample measures; `None`: the sample does not say.
    fn arrivals(&self, _sample: &S) -> Option<Arrivals> {
        None
    }
}

fn not_measured() -> Error {
    let what = "the rule of this trigger has no such signal, but its keys accepted it";
    Error::new(Kind::Internal, what, "Report this as a defect.")
}

/// What KEDA sees of a trigger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The metric's value: how much work is waiting.
    pub value: f64,
    /// Whether that is above the activation threshold.
    pub active: bool,
}

/// What was added to a queue, whether or not it was completed since.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// So many items since the queue began, summed over some parts, such as the partitions of
    /// topics. Totals compare if they are of the same number of parts; one that falls began anew.
    Total { items: u64, parts: usize },
    /// So many items per second lately, as the backend itself measures.
    PerSecond(f64),
}

/// A sample that is a number of waiting entries.
pub trait Total {
    /// The number of entries.
    fn total(&self) -> u64;

    /// How many are taken and not finished.
    fn in_flight(&self) -> u64 {
        0
    }
}

impl Total for u64 {
    fn total(&self) -> u64 {
        *self
    }
}

/// The usual rule: the value is the count, and the trigger is active above its activation threshold.
#[derive(Clone, Copy, Debug)]
pub struct CountRule {
    /// The trigger is active above this many entries.
    pub activation: Activation,
}

impl<S: Total> Rule<S> for CountRule {
    fn judge(&self, sample: &S, _: Instant, _: Instant) -> Reading {
        let total = sample.total();
        Reading {
            value: total as f64,
            active: total > self.activation.0,
        }
    }

    fn in_flight(&self, sample: &S) -> u64 {
        sample.in_flight()
    }
}

/// Limits and intervals of a backend.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long a sample is used without I/O, unless the trigger or the settings say otherwise.
    /// Each query costs the backend at most one request in this time.
    pub fresh_for: Duration,
    /// A sample up to this age is returned while a newer one is read, if that is not expected soon;
    /// unless the trigger or the settings say otherwise.
    pub stale_while_revalidate: Duration,
    /// How often the query of a push trigger is read while a stream is open, unless the trigger or
    /// the settings say otherwise.
    pub push_interval: Duration,
    /// The shortest that a trigger may set for itself, unless the settings have a shorter one: whoever
    /// writes a trigger must not use up what others share.
    pub shortest_push_interval: Duration,
    /// How long a call waits for a query that has no sample yet.
    pub first_call_timeout: Duration,
    /// An attempt to connect that takes longer has failed.
    pub connect_timeout: Duration,
    /// A batch that takes longer has failed, and its connection with it.
    pub batch_timeout: Duration,
    /// How many batches of one connection may be in flight at once. More of them let a short query
    /// pass a long one, but make batches smaller.
    pub overlap: usize,
    /// How many queries a batch takes along that are expected to be requested while what it reads
    /// is fresh. Zero where queries of one batch cost the backend as much as those of several.
    pub look_ahead: usize,
    /// For how long a batch looks ahead: at most [`LOOK_AHEAD_PART`] of the time that its samples
    /// are fresh.
    pub look_ahead_for: Duration,
}

/// The part of its `freshFor` for which a batch looks ahead. The rest is for calls that come later
/// than expected.
pub(super) const LOOK_AHEAD_PART: f64 = 0.75;

/// The part of a caller's timeout that an attempt or a batch may take, so that the caller gets the
/// reason of a failure rather than a bare timeout.
const PART_OF_CALL: f64 = 0.8;

impl Pace {
    /// The usual pace: connecting and reading end a little before the call does.
    pub fn within(call_timeout: Duration) -> Self {
        let limit = call_timeout.mul_f64(PART_OF_CALL);
        Pace {
            fresh_for: Duration::from_secs(1),
            stale_while_revalidate: Duration::ZERO,
            push_interval: Duration::from_secs(1),
            shortest_push_interval: Duration::from_millis(10),
            first_call_timeout: Duration::from_secs(15),
            connect_timeout: limit,
            batch_timeout: limit,
            overlap: 1,
            look_ahead: 0,
            look_ahead_for: Duration::from_secs(1).mul_f64(LOOK_AHEAD_PART),
        }
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_count_is_its_value_and_active_above_the_threshold_alone(
            total in prop_oneof![0..20_u64, any::<u64>()],
            activation in prop_oneof![0..20_u64, 0..=1_u64 << 53],
        ) {
            let now = Instant::now();
            let rule = CountRule { activation: Activation(activation) };
            let Reading { value, active } = rule.judge(&total, now, now);
            prop_assert!(value.is_finite() && value >= 0.0);
            prop_assert_eq!(value > 0.0, total > 0);
            prop_assert_eq!(active, total > activation);
        }
    }
}
