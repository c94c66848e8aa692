//! The streams that subscribe to a slot. Each is woken only when a result changes what it reports.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use super::{backend::Backend, batch::Measured, shaper::Shaper, signal_rule::SignalRule};

/// The subscribers of one slot.
pub(super) struct Subscribers<B: Backend>(Mutex<List<B>>);

/// A hundred thousand streams of one query may come and go together, so neither costs a walk through
/// the others.
struct List<B: Backend> {
    added: u64,
    subscribers: BTreeMap<u64, Subscriber<B>>,
    /// How many subscribers have each interval.
    intervals: BTreeMap<Duration, usize>,
}

struct Subscriber<B: Backend> {
    interval: Duration,
    rule: Arc<SignalRule<B::Rule>>,
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
            subscribers: BTreeMap::new(),
            intervals: BTreeMap::new(),
        }))
    }
}

impl<B: Backend> Subscribers<B> {
    /// Adds a subscriber. `changed` is called under the lock, so that changes stay in order.
    pub fn add(
        &self,
        rule: Arc<SignalRule<B::Rule>>,
        shaper: Option<Arc<Shaper>>,
        interval: Duration,
        changed: impl FnOnce(IntervalChange),
    ) -> (u64, watch::Receiver<Option<bool>>) {
        let (active, changes) = watch::channel(None);
        let mut list = self.0.lock();
        list.added += 1;
        let id = list.added;
        let before = list.interval();
        *list.intervals.entry(interval).or_default() += 1;
        let subscriber = Subscriber {
            interval,
            rule,
            shaper,
            has_work: false,
            active,
        };
        list.subscribers.insert(id, subscriber);
        let next = list.interval();
        changed(IntervalChange { before, next });
        (id, changes)
    }

    /// Removes a subscriber.
    pub fn remove(&self, id: u64, changed: impl FnOnce(IntervalChange)) {
        let mut list = self.0.lock();
        let before = list.interval();
        let Some(removed) = list.subscribers.remove(&id) else {
            return;
        };
        if let Some(count) = list.intervals.get_mut(&removed.interval) {
            *count -= 1;
            if *count == 0 {
                list.intervals.remove(&removed.interval);
            }
        }
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
        for subscriber in list.subscribers.values_mut() {
            let rule = &subscriber.rule;
            // Where a sample does not say, the activity stays what it was, and the stream's own
            // evaluation has the error.
            let Ok(observation) = rule.activity(&measured.sample, measured.at, now) else {
                continue;
            };
            subscriber.has_work = observation.reading.active;
            let now_active = match &subscriber.shaper {
                Some(shaper) => shaper.is_active(observation, now),
                None => observation.reading.active,
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
        let mut subscribers = list.subscribers.values();
        subscribers.any(|subscriber| !subscriber.has_work)
    }
}

impl<B: Backend> List<B> {
    /// The shortest.
    fn interval(&self) -> Option<Duration> {
        self.intervals.keys().next().copied()
    }
}
