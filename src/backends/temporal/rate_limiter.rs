//! A request budget: so many a second, so many at once, the most urgent first.
//!
//! The server's limits are shared with its workers, so a reader keeps well below them, and goes
//! slower still when the server says that it is too much.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// How urgent a request is; the least is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Somebody waits for it, with a sample from this time.
    Waited(Instant),
    /// Nobody waits for it: served from what would be left over.
    Idle,
}

/// A budget that all requests of one kind share.
pub struct Budget {
    state: Mutex<State>,
}

struct State {
    /// Requests a second, when the server does not complain.
    full: f64,
    /// Requests a second now.
    rate: f64,
    /// Requests that may be sent at once.
    tokens: f64,
    refilled: Instant,
    slowed: Option<Instant>,
    in_flight: usize,
    waiting: BTreeMap<(Urgency, u64), Arc<Notify>>,
    arrivals: u64,
}

/// Requests of one budget that may be in flight at once: enough for the budget's rate at 100 ms
/// each, and few enough that a server which slows down is not flooded.
const AT_ONCE: usize = 24;
/// What an idle budget saves up, in seconds of its rate. A server saves up twice its own rate
/// (`DefaultIncomingNamespaceBurstRatioFn`), which stays larger as long as the rate does.
const SAVED: f64 = 2.0;
/// After a complaint of the server the rate is halved, at most once in this time: what was sent
/// before the first complaint must not count again.
const HALVED_ONCE_IN: Duration = Duration::from_secs(1);
/// The rate grows back by a tenth of the full one each second.
const RECOVERY: f64 = 0.1;
/// It never falls below this part of the full one, so that recovery takes seconds.
const FLOOR: f64 = 1.0 / 32.0;

impl Budget {
    pub fn new(per_second: f64) -> Self {
        Budget {
            state: Mutex::new(State {
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

    /// Waits for the turn of a request that weighs as much as `weight` ordinary ones. The request
    /// is over when the permit is dropped.
    pub async fn permit(&self, urgency: Urgency, weight: u32) -> Permit<'_> {
        let place = self.queue(urgency);
        loop {
            let turn = place.turn.notified();
            tokio::pin!(turn);
            // From here on no call is missed.
            turn.as_mut().enable();
            let next = self.state.lock().try_take(place.key, weight);
            match next {
                Turn::Taken => return Permit { budget: self },
                Turn::In(wait) => {
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = turn => {}
                    }
                }
                Turn::WhenCalled => turn.await,
            }
        }
    }

    /// The server says that it is asked too much. The new rate, if it was not lowered just before.
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

    fn queue(&self, urgency: Urgency) -> Place<'_> {
        let turn = Arc::new(Notify::new());
        let mut state = self.state.lock();
        state.arrivals += 1;
        let key = (urgency, state.arrivals);
        state.waiting.insert(key, turn.clone());
        Place {
            budget: self,
            key,
            turn,
        }
    }
}

enum Turn {
    Taken,
    /// First in line, and there will be room by then.
    In(Duration),
    /// Another is first, or too many are in flight.
    WhenCalled,
}

impl State {
    fn try_take(&mut self, key: (Urgency, u64), weight: u32) -> Turn {
        let first = self.waiting.keys().next() == Some(&key);
        if !first || self.in_flight >= AT_ONCE {
            return Turn::WhenCalled;
        }
        self.refill(Instant::now());
        // What nobody waits for leaves half of the savings to a burst that somebody waits for.
        let needed = match key.0 {
            Urgency::Waited(_) => 1.0,
            Urgency::Idle => (self.most() / 2.0).max(1.0),
        };
        if self.tokens < needed {
            return Turn::In(Duration::from_secs_f64(
                (needed - self.tokens) / self.rate + 0.001,
            ));
        }
        // A heavy request goes into debt, which the next ones wait for.
        self.tokens -= f64::from(weight);
        self.in_flight += 1;
        self.waiting.remove(&key);
        self.call_first();
        Turn::Taken
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

    fn call_first(&self) {
        if let Some(first) = self.waiting.values().next() {
            first.notify_one();
        }
    }
}

/// A place in the line, left when it is dropped.
struct Place<'a> {
    budget: &'a Budget,
    key: (Urgency, u64),
    turn: Arc<Notify>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.state.lock();
        if state.waiting.remove(&self.key).is_some() {
            state.call_first();
        }
    }
}

/// The right to one request.
pub struct Permit<'a> {
    budget: &'a Budget,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.state.lock();
        state.in_flight -= 1;
        state.call_first();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};

    use super::*;

    /// Takes and ends one request.
    async fn one(budget: &Budget, urgency: Urgency) -> Urgency {
        drop(budget.permit(urgency, 1).await);
        urgency
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_the_rest_is_paced() {
        let budget = Budget::new(100.0);
        let start = Instant::now();
        let all = (0..500).map(|_| one(&budget, Urgency::Waited(start)));
        join_all(all).await;
        let elapsed = start.elapsed().as_secs_f64();
        assert!(
            (2.9..3.5).contains(&elapsed),
            "200 saved, 300 paced: {elapsed}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_sample_is_renewed_first_and_idle_requests_come_last() {
        let budget = Budget::new(1.0);
        let now = Instant::now();
        let old = |seconds| Urgency::Waited(now - Duration::from_secs(seconds));
        join_all([one(&budget, old(0)), one(&budget, old(0))]).await;
        let order = [Urgency::Idle, old(5), old(30), old(10)];
        let served: FuturesUnordered<_> = order.map(|u| one(&budget, u)).into_iter().collect();
        let served: Vec<Urgency> = served.collect().await;
        assert_eq!(served, [old(30), old(10), old(5), Urgency::Idle]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_in_flight() {
        let budget = Budget::new(1000.0);
        let urgency = Urgency::Waited(Instant::now());
        let permits = join_all((0..AT_ONCE).map(|_| budget.permit(urgency, 1))).await;
        let one_more = tokio::time::timeout(Duration::from_secs(9), budget.permit(urgency, 1));
        assert!(one_more.await.is_err());
        drop(permits);
        budget.permit(urgency, 1).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_complaint_halves_the_rate_for_a_while() {
        let budget = Budget::new(100.0);
        assert_eq!(budget.slow_down(), Some(50.0));
        assert_eq!(budget.slow_down(), None);
        let start = Instant::now();
        let urgency = Urgency::Waited(start);
        join_all((0..52).map(|_| one(&budget, urgency))).await;
        let elapsed = start.elapsed().as_secs_f64();
        assert!((0.8..1.2).contains(&elapsed), "{elapsed}");
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(
            budget.state.lock().try_take((urgency, 0), 1),
            Turn::WhenCalled
        );
        budget.state.lock().refill(Instant::now());
        assert_eq!(budget.state.lock().rate, 100.0);
    }

    impl PartialEq for Turn {
        fn eq(&self, other: &Self) -> bool {
            std::mem::discriminant(self) == std::mem::discriminant(other)
        }
    }

    impl std::fmt::Debug for Turn {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Turn")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_heavy_request_takes_as_much_as_several() {
        let budget = Budget::new(10.0);
        let start = Instant::now();
        let urgency = Urgency::Waited(start);
        for _ in 0..14 {
            drop(budget.permit(urgency, 5).await);
        }
        let elapsed = start.elapsed().as_secs_f64();
        assert!(
            (4.4..5.2).contains(&elapsed),
            "20 saved, 70 taken: {elapsed}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_leaves_the_line() {
        let budget = Budget::new(1.0);
        let urgency = Urgency::Waited(Instant::now());
        join_all([one(&budget, urgency), one(&budget, urgency)]).await;
        let impatient = tokio::time::timeout(Duration::from_millis(1), budget.permit(urgency, 1));
        assert!(impatient.await.is_err());
        let start = Instant::now();
        one(&budget, urgency).await;
        assert!(start.elapsed() < Duration::from_millis(1100));
    }
}
