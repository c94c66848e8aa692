//! One query of one connection: its last sample, and the calls that wait for the next.

mod state;

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Notify, time::Instant};

use self::state::{Call, Joined, State};
pub use self::state::{Freshness, SlotSample};
use super::{
    backend::{Backend, LOOK_AHEAD_PART},
    batch::{Completion, Measured},
    connection::SharedConnection,
    look_ahead::Decision,
    rhythm::Rhythm,
    sample_observers::SampleObservers,
    shaper::Shaper,
    signal_rule::SignalRule,
    subscribers::{IntervalChange, Subscribers},
};
use crate::error::{Error, Kind, Result};

/// One query of one connection, shared by all triggers with this query.
pub struct QuerySlot<B: Backend> {
    query: Arc<B::Query>,
    /// That of the trigger which requested the query first.
    namespace: Box<str>,
    connection: Arc<SharedConnection<B>>,
    state: Mutex<State<B::Sample>>,
    /// How often a connection broke while this query was in flight, since its last result. No part
    /// of the state, which is locked while the query is queued.
    strikes: AtomicU32,
    /// Wakes the calls that wait: a result is in, or one of them has reached its deadline.
    changed: Notify,
    /// Streams that report each change.
    subscribers: Subscribers<B>,
    /// Triggers that remember when there was work.
    observers: SampleObservers<B>,
}

/// The pause of a pushed query after it was in flight when a connection broke.
const SUSPECT_REFRESH: Duration = Duration::from_secs(1);

/// How long a call waits for a newer sample where an older one may be used meanwhile. KEDA's HPA
/// controller has five workers by default, and a call that waits holds one of them.
const PATIENCE: Duration = Duration::from_millis(500);

impl<B: Backend> QuerySlot<B> {
    pub(super) fn new(
        query: Arc<B::Query>,
        namespace: &str,
        connection: Arc<SharedConnection<B>>,
    ) -> Self {
        QuerySlot {
            query,
            namespace: namespace.into(),
            connection,
            state: Mutex::new(State {
                good: None,
                failed: None,
                reported: false,
                pending: false,
                retried: false,
                deadline: None,
                results: 0,
                taken_along: false,
                rhythm: Rhythm::default(),
                expected: None,
                fresh_for: Duration::ZERO,
                refresh_after: None,
            }),
            strikes: AtomicU32::new(0),
            changed: Notify::new(),
            subscribers: Subscribers::default(),
            observers: SampleObservers::default(),
        }
    }

    pub(super) fn connection(&self) -> &SharedConnection<B> {
        &self.connection
    }

    /// The last good sample, whatever its age.
    pub fn last(&self) -> Option<Measured<B::Sample>> {
        self.state.lock().good.clone()
    }

    /// The last sample, if it is fresh: the hot path, without I/O.
    ///
    /// Every call begins here, so this is where the rhythm of the calls is seen.
    pub fn fresh(
        self: &Arc<Self>,
        freshness: &Freshness,
        now: Instant,
    ) -> Option<SlotSample<B::Sample>> {
        let mut state = self.state.lock();
        state.fresh_for = freshness.fresh_for;
        if state.rhythm.record(now) {
            self.expect_next(&mut state, now);
        }
        let sample = state.fresh(freshness, now);
        if std::mem::take(&mut state.taken_along) && sample.is_some() {
            self.connection.counts().look_ahead_hit();
        }
        sample
    }

    /// Has the next request after `after` expected by the connection.
    fn expect_next(self: &Arc<Self>, state: &mut State<B::Sample>, after: Instant) {
        let next = state.rhythm.next(after);
        if next.is_none() && state.expected.is_none() {
            return;
        }
        let look_ahead = self.connection.look_ahead();
        state.expected = look_ahead.expect(Arc::downgrade(self), state.expected.take(), next);
    }

    /// A request is expected at `expected`, which is no longer known to the connection, and a batch
    /// goes out at `now`. A query that it takes along counts as queued.
    pub(super) fn take_along(self: &Arc<Self>, now: Instant, expected: Instant) -> Decision {
        let mut state = self.state.lock();
        state.expected = None;
        let ahead = expected.saturating_duration_since(now);
        if ahead >= state.fresh_for.mul_f64(LOOK_AHEAD_PART) && !ahead.is_zero() {
            return Decision::Later;
        }
        self.expect_next(&mut state, expected.max(now));
        let fresh_at = |sample: &Measured<B::Sample>| {
            expected.saturating_duration_since(sample.at) < state.fresh_for
        };
        let is_over = expected < now;
        let is_fresh = state.good.as_ref().is_some_and(fresh_at);
        if is_over || is_fresh || state.pending || self.strikes() > 0 {
            return Decision::Leave;
        }
        state.pending = true;
        state.taken_along = true;
        Decision::Take
    }

    /// Has a request expected at this time, unless another is by now.
    pub(super) fn expect_at(self: &Arc<Self>, at: Instant) {
        let mut state = self.state.lock();
        if state.expected.is_none() {
            let look_ahead = self.connection.look_ahead();
            state.expected = look_ahead.expect(Arc::downgrade(self), None, Some(at));
        }
    }

    /// For how long a sample is fresh, as the last call wanted it.
    pub(super) fn fresh_for(&self) -> Duration {
        self.state.lock().fresh_for
    }

    /// What is known without a read: the last good sample, or why none can be had. `None` before
    /// the first result.
    pub fn current(
        &self,
        freshness: &Freshness,
        now: Instant,
    ) -> Option<Result<SlotSample<B::Sample>>> {
        let (good, failed) = {
            let state = self.state.lock();
            if let Some(sample) = state.fresh(freshness, now) {
                return Some(Ok(sample));
            }
            (state.good.clone(), state.failed.clone())
        };
        if let Some(error) = failed.or_else(|| self.connection.lost()) {
            return Some(self.fall_back(error, freshness));
        }
        let stale = None;
        good.map(|measured| Ok(SlotSample { measured, stale }))
    }

    /// Has a trigger remember when there was work, from the last good sample on.
    pub(super) fn remember_samples(&self, rule: &Arc<SignalRule<B::Rule>>, shaper: &Arc<Shaper>) {
        // Under the lock, so that no sample is missed in between.
        let state = self.state.lock();
        self.observers.add(rule, shaper);
        if let Some(measured) = &state.good {
            self.observers.observe(measured);
        }
    }

    pub(super) fn subscribers(&self) -> &Subscribers<B> {
        &self.subscribers
    }

    /// The slot is pushed at another interval from now on.
    pub(super) fn reschedule(self: &Arc<Self>, change: IntervalChange) {
        let IntervalChange { before, next } = change;
        let schedule = self.connection.push_schedule();
        schedule.set(Arc::downgrade(self), &self.query, before, next);
    }

    /// Has the first result for a new subscriber: the last sample, if it is fresh, or a read.
    pub(super) fn refresh_for_subscriber(self: &Arc<Self>, fresh_for: Duration) {
        let mut state = self.state.lock();
        if let Some(measured) = &state.good
            && measured.at.elapsed() < fresh_for
        {
            self.subscribers.publish(measured);
        } else if !state.pending {
            // A lost connection refuses it: the query is read when it is back.
            state.pending = self.connection.enqueue(self.clone()).is_ok();
        }
    }

    /// Counts as queued from here on. `false` if it was already: what is slow does not pile up.
    pub(super) fn start_refresh(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        if state.refresh_after.is_some_and(|after| now < after) {
            return false;
        }
        !std::mem::replace(&mut state.pending, true)
    }

    /// A fresh sample, from the read that is in flight or from a new one. If that fails or takes too
    /// long, the last good sample up to `max_staleness`.
    pub async fn next(
        self: &Arc<Self>,
        freshness: &Freshness,
        now: Instant,
    ) -> Result<SlotSample<B::Sample>> {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        // From here on no change is missed.
        changed.as_mut().enable();
        let call = match self.join(freshness, now) {
            Ok(Joined::Waiting(call)) => call,
            Ok(Joined::Done(sample)) => return Ok(sample),
            Err(error) => return self.fall_back(error, freshness),
        };
        let result = loop {
            // After the state has it, as the timer looks for deadlines there.
            self.connection.deadlines().add(call.deadline);
            changed.as_mut().await;
            if let Some(result) = self.try_result(&call) {
                break result;
            }
            changed.set(self.changed.notified());
            changed.as_mut().enable();
            // It may have come in between.
            if let Some(result) = self.try_result(&call) {
                break result;
            }
        };
        match result {
            Ok(sample) => Ok(sample),
            Err(error) => self.fall_back(error, freshness),
        }
    }

    /// Joins the read that is in flight, or queues the query for the next batch. Registers the
    /// call's deadline.
    fn join(self: &Arc<Self>, freshness: &Freshness, now: Instant) -> Result<Joined<B::Sample>> {
        let mut state = self.state.lock();
        if let Some(sample) = state.fresh(freshness, now) {
            return Ok(Joined::Done(sample));
        }
        if !state.pending {
            self.connection.enqueue(self.clone())?;
            state.pending = true;
        }
        let older = state.older(freshness, now);
        let has_older = older.is_some();
        if let Some(older) = older
            && self.connection.expected_wait(now) > PATIENCE
        {
            return Ok(Joined::Done(self.settle_for(older)));
        }
        let timeout = match (has_older, &state.good) {
            (true, _) => PATIENCE.min(freshness.call_timeout),
            (false, Some(_)) => freshness.call_timeout,
            (false, None) => freshness.first_call_timeout,
        };
        let call = Call {
            results_before: state.results,
            timeout,
            deadline: now + timeout,
            has_older,
        };
        state.expect_by(call.deadline);
        Ok(Joined::Waiting(call))
    }

    /// The result of a call, if it is in or late. Otherwise registers the call's deadline.
    fn try_result(&self, call: &Call) -> Option<Result<SlotSample<B::Sample>>> {
        let mut state = self.state.lock();
        if state.results > call.results_before {
            return Some(state.last_result());
        }
        if Instant::now() >= call.deadline {
            return Some(match state.last_good() {
                Some(older) if call.has_older => Ok(self.settle_for(older)),
                _ => Err(self.timed_out(call.timeout)),
            });
        }
        state.expect_by(call.deadline);
        None
    }

    /// Wakes the calls if one of them has reached its deadline: that one times out, the others keep
    /// waiting and register theirs again. Returns the earliest deadline that is not reached.
    pub(super) fn wake_expired(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state.lock();
        let deadline = state.deadline?;
        if deadline > now {
            return Some(deadline);
        }
        state.deadline = None;
        drop(state);
        self.changed.notify_waiters();
        None
    }

    /// Uses an older sample, while a newer one is read.
    fn settle_for(&self, older: SlotSample<B::Sample>) -> SlotSample<B::Sample> {
        let metrics = self.connection.metrics();
        match older.stale {
            Some(_) => metrics.stale_answers.inc(),
            None => metrics.revalidating_evaluations.inc(),
        };
        older
    }

    fn timed_out(&self, timeout: Duration) -> Error {
        Error::new(
            Kind::TimedOut,
            format!(
                "{}: no result for {} within {timeout:?}",
                self.connection, self.query
            ),
            "The backend is slow, or has more to read than fits in that time; \
             callTimeout and firstCallTimeout set how long a call waits.",
        )
    }

    fn fall_back(&self, error: Error, freshness: &Freshness) -> Result<SlotSample<B::Sample>> {
        let Some(measured) = self.last() else {
            return Err(error);
        };
        let age = measured.at.elapsed();
        if age > freshness.max_staleness || freshness.max_staleness.is_zero() {
            let age = Duration::from_secs(age.as_secs());
            return Err(error.and(format_args!("the last good sample is {age:?} old")));
        }
        Ok(self.stale(measured, error))
    }

    /// The last good sample in place of an error, whatever its age; the error, if there is none.
    pub fn hold(&self, error: Error) -> Result<SlotSample<B::Sample>> {
        match self.last() {
            Some(measured) => Ok(self.stale(measured, error)),
            None => Err(error),
        }
    }

    fn stale(&self, measured: Measured<B::Sample>, error: Error) -> SlotSample<B::Sample> {
        self.connection.metrics().stale_answers.inc();
        SlotSample {
            measured,
            stale: Some(error),
        }
    }

    /// An error with the connection and the query that it is about.
    pub(super) fn located(&self, error: Error) -> Error {
        error.at(format_args!("{}, {}", self.connection, self.query))
    }

    /// The backend's result for this very query. A change between good and bad is logged once.
    pub(super) fn complete_query(&self, result: Result<Measured<B::Sample>>) {
        let result = result.map_err(|error| self.located(error));
        let mut state = self.state.lock();
        self.strikes.store(0, Relaxed);
        let reported = std::mem::replace(&mut state.reported, result.is_err());
        match &result {
            Err(error) => {
                self.connection.metrics().count_error(error.kind());
                if !reported {
                    self.connection.read_log().failed(error);
                }
            }
            Ok(_) if reported => self.connection.read_log().recovered(&self.query),
            Ok(_) => {}
        }
        self.settle(state, result);
    }

    /// The connection was lost before this query had its result.
    pub(super) fn fail(&self, error: &Error) {
        let mut state = self.state.lock();
        if self.strikes() > 0 {
            state.refresh_after = Some(Instant::now() + SUSPECT_REFRESH);
        }
        self.settle(state, Err(error.clone()));
    }

    /// How often a connection broke while this query was in flight, since its last result.
    pub(super) fn strikes(&self) -> u32 {
        self.strikes.load(Relaxed)
    }

    /// A connection broke while this query was in flight.
    pub(super) fn strike(&self) {
        self.strikes.fetch_add(1, Relaxed);
    }

    /// Whether the query may be sent once more; the second time it may not.
    pub(super) fn may_retry(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().retried, true)
    }

    fn settle(
        &self,
        mut state: MutexGuard<'_, State<B::Sample>>,
        result: Result<Measured<B::Sample>>,
    ) {
        state.pending = false;
        state.retried = false;
        state.deadline = None;
        state.results += 1;
        match result {
            Ok(measured) => {
                self.observers.observe(&measured);
                self.subscribers.publish(&measured);
                state.good = Some(measured);
                state.failed = None;
            }
            Err(error) => state.failed = Some(error),
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

impl<B: Backend> Completion<B::Query, B::Sample> for QuerySlot<B> {
    fn query(&self) -> &B::Query {
        &self.query
    }

    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn measured_at(&self) -> Option<Instant> {
        Some(self.state.lock().good.as_ref()?.at)
    }

    fn is_awaited(&self) -> bool {
        self.state.lock().deadline.is_some()
    }

    fn complete(&self, result: Result<Measured<B::Sample>>) {
        self.complete_query(result);
    }

    fn abandon(self: Arc<Self>) {
        self.connection.clone().abandon(self);
    }
}

impl<B: Backend> Drop for QuerySlot<B> {
    fn drop(&mut self) {
        let expected = self.state.get_mut().expected.take();
        self.connection
            .look_ahead()
            .expect(Weak::new(), expected, None);
        self.connection.remove(&self.query);
    }
}
