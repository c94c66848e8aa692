//! The streams that subscribe to a slot. Each is woken only when a result changes what it reports.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use super::{
    backend::{Backend, Rule},
    batch::Measured,
    shaper::Shaper,
};

/// The subscribers of one slot.
pub(super) struct Subscribers<B: Backend>(Mutex<List<B>>);

struct List<B: Backend> {
    added: u64,
    subscribers: Vec<Subscriber<B>>,
}

struct Subscriber<B: Backend> {
    id: u64,
    interval: Duration,
    rule: Arc<B::Rule>,
    shaper: Option<Arc<Shaper>>,
    /// The last result showed work. Its trigger may be active without.
    has_work: bool,
    /// Whether its trigger is active; `None` before the first result.
    active: watch::Sender<Option<bool>>,
}

/// How the slot's interval changes with a subscriber.
pub(super) struct IntervalChange {
    pub before: Option<Duration>,
    pub next: Option<Duration>,
}

impl<B: Backend> Default for Subscribers<B> {
    fn default() -> Self {
        Subscribers(Mutex::new(List {
            added: 0,
            subscribers: Vec::new(),
        }))
    }
}

impl<B: Backend> Subscribers<B> {
    /// Adds a subscriber. `changed` is called under the lock, so that changes stay in order.
    pub fn add(
        &self,
        rule: Arc<B::Rule>,
        shaper: Option<Arc<Shaper>>,
        interval: Duration,
        changed: impl FnOnce(IntervalChange),
    ) -> (u64, watch::Receiver<Option<bool>>) {
        let (active, changes) = watch::channel(None);
        let mut list = self.0.lock();
        list.added += 1;
        let id = list.added;
        let before = list.interval();
        list.subscribers.push(Subscriber {
            id,
            interval,
            rule,
            shaper,
            has_work: false,
            active,
        });
        let next = list.interval();
        changed(IntervalChange { before, next });
        (id, changes)
    }

    /// Removes a subscriber.
    pub fn remove(&self, id: u64, changed: impl FnOnce(IntervalChange)) {
        let mut list = self.0.lock();
        let before = list.interval();
        list.subscribers.retain(|subscriber| subscriber.id != id);
        let next = list.interval();
        changed(IntervalChange { before, next });
    }

    /// Evaluates a sample for each subscriber, and wakes those whose activity it changes.
    pub fn publish(&self, measured: &Measured<B::Sample>) {
        let mut list = self.0.lock();
        if list.subscribers.is_empty() {
            return;
        }
        let now = Instant::now();
        for subscriber in &mut list.subscribers {
            let reading = subscriber.rule.judge(&measured.sample, measured.at, now);
            subscriber.has_work = reading.active;
            let now_active = match &subscriber.shaper {
                Some(shaper) => shaper.is_active(reading, now),
                None => reading.active,
            };
            subscriber.active.send_if_modified(|active| {
                let before = active.replace(now_active);
                before != *active
            });
        }
    }

    /// Whether a subscriber waits for work: its trigger is not active, or only because it is held.
    pub fn wait_for_work(&self) -> bool {
        let list = self.0.lock();
        let mut subscribers = list.subscribers.iter();
        subscribers.any(|subscriber| !subscriber.has_work)
    }
}

impl<B: Backend> List<B> {
    /// The shortest.
    fn interval(&self) -> Option<Duration> {
        self.subscribers.iter().map(|s| s.interval).min()
    }
}
