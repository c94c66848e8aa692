//! What a slot knows: its last results, and the calls that wait for the next.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    error::{Error, Result},
    sampling::{batch::Measured, look_ahead::ExpectedAt, rhythm::Rhythm},
};

/// How old a sample may be, and how long a call waits for a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// A sample younger than this is used without I/O.
    pub fresh_for: Duration,
    /// A sample up to this age is used while a newer one is read, if that is not expected soon
    /// (RFC 5861 has the word). Zero: a call waits for the newer one.
    pub stale_while_revalidate: Duration,
    /// After a failed read, a sample up to this age is used instead of the error. Zero: never.
    pub max_staleness: Duration,
    /// How long a call waits for a sample.
    pub call_timeout: Duration,
    /// The same for a query that has no sample yet, so has nothing to fall back on.
    pub first_call_timeout: Duration,
}

/// The sample that a call gets.
pub struct SlotSample<S> {
    /// What was measured, and when.
    pub measured: Measured<S>,
    /// Why no newer sample could be had, if this one is stale.
    pub stale: Option<Error>,
}

pub(super) struct State<S> {
    pub(super) good: Option<Measured<S>>,
    pub(super) failed: Option<Error>,
    /// The log has the error of this query.
    pub(super) reported: bool,
    /// Queued for a batch, or in one.
    pub(super) pending: bool,
    /// Sent for the second time, after its first connection was lost.
    pub(super) retried: bool,
    /// The earliest deadline of the calls that wait.
    pub(super) deadline: Option<Instant>,
    /// How many results came so far: shows a waiting call that its result is in.
    pub(super) results: u64,
    /// A batch took it along before it was requested.
    pub(super) taken_along: bool,
    /// When the query is requested.
    pub(super) rhythm: Rhythm,
    /// When a request is expected next.
    pub(super) expected: Option<ExpectedAt>,
    /// For how long a sample is fresh, as the last call wanted it.
    pub(super) fresh_for: Duration,
    /// A pushed query that may break connections is not sent again before.
    pub(super) refresh_after: Option<Instant>,
}

/// A call that waits for a result.
pub(super) struct Call {
    /// The results there were when it began to wait.
    pub(super) results_before: u64,
    pub(super) timeout: Duration,
    pub(super) deadline: Instant,
    /// At its deadline it takes the older sample.
    pub(super) has_older: bool,
}

/// How a call that found no fresh sample goes on.
pub(super) enum Joined<S> {
    /// A sample came in meanwhile, or an older one has to do.
    Done(SlotSample<S>),
    Waiting(Call),
}

impl<S: Clone> State<S> {
    /// A call waits until this deadline.
    pub(super) fn expect_by(&mut self, deadline: Instant) {
        let earliest = self.deadline.unwrap_or(deadline);
        self.deadline = Some(earliest.min(deadline));
    }

    pub(super) fn fresh(&self, freshness: &Freshness, now: Instant) -> Option<SlotSample<S>> {
        let measured = self.good.as_ref()?;
        let age = now.saturating_duration_since(measured.at);
        (age < freshness.fresh_for).then(|| SlotSample {
            measured: measured.clone(),
            stale: None,
        })
    }

    /// The last sample, if it may be used while a newer one is read; stale, if reading it failed
    /// since.
    pub(super) fn older(&self, freshness: &Freshness, now: Instant) -> Option<SlotSample<S>> {
        let older = self.last_good()?;
        let most = match older.stale {
            Some(_) => freshness
                .stale_while_revalidate
                .min(freshness.max_staleness),
            None => freshness.stale_while_revalidate,
        };
        let age = now.saturating_duration_since(older.measured.at);
        (age < most).then_some(older)
    }

    pub(super) fn last_good(&self) -> Option<SlotSample<S>> {
        Some(SlotSample {
            measured: self.good.clone()?,
            stale: self.failed.clone(),
        })
    }

    pub(super) fn last_result(&self) -> Result<SlotSample<S>> {
        match (&self.failed, self.last_good()) {
            (Some(error), _) => Err(error.clone()),
            (None, Some(sample)) => Ok(sample),
            (None, None) => unreachable!("a result is a sample or an error"),
        }
    }
}
