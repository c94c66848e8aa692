//! A rate limiter: so many requests a second, so many at once, the most urgent first.
//!
//! The server's limits are shared with its workers, so a reader stays well below them, and slows
//! down further when the server responds with RESOURCE_EXHAUSTED.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// The order in which requests are sent: the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A call waits for it, and the last sample of its query is from this time.
    Waited(Instant),
    /// No call waits for it: sent with what would be left over.
    Idle,
}

/// A limit that all requests of one kind share.
pub struct RateLimiter {
    state: Mutex<LimiterState>,
}

struct LimiterState {
    /// Requests a second while the server accepts them all.
    full: f64,
    /// Requests a second now.
    rate: f64,
    /// Requests that may be sent at once. Negative: debt of a heavy one.
    tokens: f64,
    refilled: Instant,
    /// When the rate was last halved.
    slowed: Option<Instant>,
    in_flight: usize,
    waiting: BTreeMap<(Priority, u64), Arc<Notify>>,
    arrivals: u64,
}

/// Requests of one limiter that may be in flight at once: enough for its rate at 100 ms each, and
/// few enough that a server which slows down is not flooded.
const AT_ONCE: usize = 24;
/// What an idle limiter saves up, in seconds of its rate. A server saves up twice its own rate
/// (`DefaultIncomingNamespaceBurstRatioFn`), which stays larger as long as the rate does.
const SAVED: f64 = 2.0;
/// After RESOURCE_EXHAUSTED the rate is halved, at most once in this time: requests that were sent
/// before the first refusal must not count again.
const HALVED_ONCE_IN: Duration = Duration::from_secs(1);
/// The rate grows back by a tenth of the full one each second.
const RECOVERY: f64 = 0.1;
/// It never falls below this part of the full one, so that recovery takes seconds.
const FLOOR: f64 = 1.0 / 32.0;

impl RateLimiter {
    pub fn new(per_second: f64) -> Self {
        RateLimiter {
            state: Mutex::new(LimiterState {
                full: per_second,
                rate: per_second,
                tokens: (per_second * SAVED).max(1.0),
                refilled: Instant::now(),
                slowed: None,
                in_flight: 0,
                waiting: BTreeMap::new(),
                arrivals: 0,
            }),
        }
    }

    /// Waits until a request may be sent that weighs as much as `weight` ordinary ones. The request
    /// is over when the permit is dropped.
    pub async fn acquire(&self, priority: Priority, weight: u32) -> Permit<'_> {
        let request = self.enqueue(priority);
        loop {
            let turn = request.turn.notified();
            tokio::pin!(turn);
            // From here on no notification is missed.
            turn.as_mut().enable();
            let next = self.state.lock().try_take(request.key, weight);
            match next {
                Turn::Now => return Permit { limiter: self },
                Turn::In(wait) => {
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = turn => {}
                    }
                }
                Turn::WhenNotified => turn.await,
            }
        }
    }

    /// Whether there is room for requests that could be left out: the server accepts the full rate,
    /// and half of the savings are left to a burst that calls wait for.
    pub fn has_room(&self) -> bool {
        let mut state = self.state.lock();
        state.refill(Instant::now());
        state.waiting.is_empty() && state.rate >= state.full && state.tokens >= state.most() / 2.0
    }

    /// Halves the rate, as the server refused a request. Returns the new rate, unless it was halved
    /// just before.
    pub fn slow_down(&self) -> Option<f64> {
        let mut state = self.state.lock();
        let now = Instant::now();
        state.refill(now);
        let lately = |at: Instant| now.saturating_duration_since(at) < HALVED_ONCE_IN;
        state.tokens = state.tokens.min(0.0);
        if state.slowed.is_some_and(lately) {
            return None;
        }
        state.rate = (state.rate / 2.0).max(state.full * FLOOR);
        state.slowed = Some(now);
        Some(state.rate)
    }

    fn enqueue(&self, priority: Priority) -> QueuedRequest<'_> {
        let turn = Arc::new(Notify::new());
        let mut state = self.state.lock();
        state.arrivals += 1;
        let key = (priority, state.arrivals);
        state.waiting.insert(key, turn.clone());
        QueuedRequest {
            limiter: self,
            key,
            turn,
        }
    }
}

/// When a queued request may be sent.
#[derive(Debug, PartialEq)]
enum Turn {
    Now,
    /// It is the first in the queue, and may be sent after this time.
    In(Duration),
    /// Another one is first, or too many are in flight.
    WhenNotified,
}

impl LimiterState {
    fn try_take(&mut self, key: (Priority, u64), weight: u32) -> Turn {
        let first = self.waiting.keys().next() == Some(&key);
        if !first || self.in_flight >= AT_ONCE {
            return Turn::WhenNotified;
        }
        self.refill(Instant::now());
        // An idle request leaves half of the savings to a burst that calls wait for.
        let needed = match key.0 {
            Priority::Waited(_) => 1.0,
            Priority::Idle => (self.most() / 2.0).max(1.0),
        };
        if self.tokens < needed {
            return Turn::In(Duration::from_secs_f64(
                (needed - self.tokens) / self.rate + 0.001,
            ));
        }
        // A heavy request leaves a debt, which delays the next ones.
        self.tokens -= f64::from(weight);
        self.in_flight += 1;
        self.waiting.remove(&key);
        self.notify_first();
        Turn::Now
    }

    fn most(&self) -> f64 {
        (self.rate * SAVED).max(1.0)
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = now;
        self.rate = (self.rate + self.full * RECOVERY * elapsed).min(self.full);
        self.tokens = (self.tokens + self.rate * elapsed).min(self.most());
    }

    fn notify_first(&self) {
        if let Some(first) = self.waiting.values().next() {
            first.notify_one();
        }
    }
}

/// A request that waits for its turn. Dropped, it leaves the queue.
struct QueuedRequest<'a> {
    limiter: &'a RateLimiter,
    key: (Priority, u64),
    turn: Arc<Notify>,
}

impl Drop for QueuedRequest<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.state.lock();
        if state.waiting.remove(&self.key).is_some() {
            state.notify_first();
        }
    }
}

/// The right to one request.
pub struct Permit<'a> {
    limiter: &'a RateLimiter,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.state.lock();
        state.in_flight -= 1;
        state.notify_first();
    }
}

#[cfg(test)]
mod tests;
