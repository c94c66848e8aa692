//! A rate limiter: so many requests a second, so many at once, the most urgent first.
//!
//! The server's limits are shared with its workers, so a reader stays well below them, and slows
//! down further when the server refuses too many requests with RESOURCE_EXHAUSTED.

mod line;
mod responses;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use crate::sampling::Budget;
use line::{Line, Place};
use responses::Responses;

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
    /// Requests a second while the server accepts them.
    full: f64,
    /// Requests a second now.
    rate: f64,
    /// Requests that may be sent at once. Negative: debt of a heavy one.
    tokens: f64,
    refilled: Instant,
    in_flight: usize,
    line: Line,
    /// Requests that will join the line.
    announced: usize,
    responses: Responses,
    /// How long a request takes, of late.
    takes: Duration,
    sent: u64,
    refused: u64,
}

/// Requests of one limiter that may be in flight at once: enough for its rate at 100 ms each, and
/// few enough that a server which slows down is not flooded.
const AT_ONCE: usize = 24;
/// What an idle limiter saves up, in seconds of its rate. A server saves up twice its own rate
/// (`DefaultIncomingNamespaceBurstRatioFn`), which stays larger as long as the rate does.
const SAVED: f64 = 2.0;
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
                in_flight: 0,
                line: Line::default(),
                announced: 0,
                responses: Responses::since(Instant::now()),
                takes: Duration::ZERO,
                sent: 0,
                refused: 0,
            }),
        }
    }

    /// Waits until a request for a namespace may be sent that weighs as much as `weight` ordinary
    /// ones. The request is over when the permit is dropped.
    pub async fn acquire(&self, priority: Priority, namespace: &str, weight: u32) -> Permit<'_> {
        let request = self.enqueue(priority, namespace);
        loop {
            let turn = request.turn.notified();
            tokio::pin!(turn);
            // From here on no notification is missed.
            turn.as_mut().enable();
            let next = self.state.lock().try_take(&request.place, weight);
            match next {
                Turn::Now => {
                    return Permit {
                        limiter: self,
                        sent_at: Instant::now(),
                    };
                }
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
        state.line.len() == 0 && state.rate >= state.full && state.tokens >= state.most() / 2.0
    }

    /// So many requests will join the line: they count as waiting until the announcement is dropped.
    pub fn announce(&self, requests: usize) -> Announcement<'_> {
        self.state.lock().announced += requests;
        Announcement {
            limiter: self,
            requests,
        }
    }

    /// The server accepted a request, or responded with another error than its rate limit.
    pub fn accepted(&self) {
        self.state.lock().record(false);
    }

    /// The server refused a request for its rate. Returns the new rate when it falls below half.
    pub fn refused(&self) -> Option<f64> {
        self.state.lock().record(true)
    }

    /// What is allowed and used.
    pub fn budget(&self) -> Budget {
        let mut state = self.state.lock();
        state.refill(Instant::now());
        Budget {
            allowed: state.rate,
            waiting: state.waiting(),
            expected_wait: state.expected_wait(),
            sent: state.sent,
            refused: state.refused,
        }
    }

    fn enqueue(&self, priority: Priority, namespace: &str) -> QueuedRequest<'_> {
        let turn = Arc::new(Notify::new());
        QueuedRequest {
            limiter: self,
            place: self.state.lock().line.join(priority, namespace, &turn),
            turn,
        }
    }
}

/// When a queued request may be sent.
#[derive(Debug, PartialEq)]
enum Turn {
    Now,
    /// It is the first in the line, and may be sent after this time.
    In(Duration),
    /// Another one is first, or too many are in flight.
    WhenNotified,
}

impl LimiterState {
    fn try_take(&mut self, place: &Place, weight: u32) -> Turn {
        if !self.line.is_first(place) || self.in_flight >= AT_ONCE {
            return Turn::WhenNotified;
        }
        self.refill(Instant::now());
        // An idle request leaves half of the savings to a burst that calls wait for.
        let needed = match place.priority() {
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
        self.sent += 1;
        self.line.serve(place, weight);
        self.line.notify_first();
        Turn::Now
    }

    fn waiting(&self) -> usize {
        self.line.len() + self.announced
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

    /// Follows the share of refusals. Returns the new rate when it falls below half.
    fn record(&mut self, refused: bool) -> Option<f64> {
        let now = Instant::now();
        self.refill(now);
        self.refused += u64::from(refused);
        let share = self.responses.record(refused, now)?;
        let before = self.rate;
        // What was in flight when the rate was lowered counts once more: at most half at a time.
        self.rate = (self.rate * (1.0 - share).max(0.5)).max(self.full * FLOOR);
        self.tokens = self.tokens.min(0.0);
        let half = self.full / 2.0;
        (before >= half && self.rate < half).then_some(self.rate)
    }

    /// How long a request that comes now waits for its turn: for the tokens of those before it, or
    /// for those in flight.
    fn expected_wait(&self) -> Duration {
        let before = self.waiting() as f64 + 1.0;
        let for_tokens = ((before - self.tokens) / self.rate).max(0.0);
        let for_places = match self.in_flight < AT_ONCE {
            true => 0.0,
            false => before * self.takes.as_secs_f64() / AT_ONCE as f64,
        };
        Duration::from_secs_f64(for_tokens.max(for_places))
    }
}

/// A request that waits for its turn. Dropped, it leaves the line.
struct QueuedRequest<'a> {
    limiter: &'a RateLimiter,
    place: Place,
    turn: Arc<Notify>,
}

impl Drop for QueuedRequest<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.state.lock();
        if state.line.leave(&self.place) {
            state.line.notify_first();
        }
    }
}

/// Requests that will join the line.
pub struct Announcement<'a> {
    limiter: &'a RateLimiter,
    requests: usize,
}

impl Announcement<'_> {
    /// One of them joins it now.
    pub fn begin(&mut self) {
        self.requests -= 1;
        self.limiter.state.lock().announced -= 1;
    }
}

impl Drop for Announcement<'_> {
    fn drop(&mut self) {
        self.limiter.state.lock().announced -= self.requests;
    }
}

/// The right to one request.
pub struct Permit<'a> {
    limiter: &'a RateLimiter,
    sent_at: Instant,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.state.lock();
        state.in_flight -= 1;
        state.takes = (state.takes * 7 + self.sent_at.elapsed()) / 8;
        state.line.notify_first();
    }
}

#[cfg(test)]
mod tests;
