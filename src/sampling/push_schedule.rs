//! When the pushed slots of one connection are refreshed: those that a stream subscribes to.
//!
//! Slots with the same interval are due together, at multiples of the interval: one timer and one
//! batch serve ten thousand of them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{backend::Backend, query_slot::QuerySlot};

/// The pushed slots of one connection.
pub(super) struct PushSchedule<B: Backend> {
    /// Intervals count from here.
    start: Instant,
    pushed: Mutex<Pushed<B>>,
    /// Something may be due earlier than before.
    earlier: Notify,
    /// The set of pushed queries has changed.
    queries_changed: Notify,
}

type Slots<B> = HashMap<Arc<<B as Backend>::Query>, Weak<QuerySlot<B>>>;

struct Pushed<B: Backend> {
    by_interval: BTreeMap<Duration, Group<B>>,
    /// Slots that the backend has reported a change of.
    notified: Slots<B>,
    /// When they are due.
    notified_due: Instant,
}

/// The slots of one interval.
struct Group<B: Backend> {
    due: Instant,
    slots: Slots<B>,
}

/// Notifications within this time are one batch.
const NOTIFIED_EVERY: Duration = Duration::from_millis(5);

/// The slots that are due.
pub(super) struct Due<B: Backend> {
    pub by_interval: Vec<Arc<QuerySlot<B>>>,
    /// Because of a notification.
    pub notified: Vec<Arc<QuerySlot<B>>>,
}

impl<B: Backend> Default for PushSchedule<B> {
    fn default() -> Self {
        let start = Instant::now();
        PushSchedule {
            start,
            pushed: Mutex::new(Pushed {
                by_interval: BTreeMap::new(),
                notified: HashMap::new(),
                notified_due: start,
            }),
            earlier: Notify::new(),
            queries_changed: Notify::new(),
        }
    }
}

impl<B: Backend> PushSchedule<B> {
    /// Refreshes a slot at the interval `next` from now on, and no longer at `before`.
    pub fn set(
        &self,
        slot: Weak<QuerySlot<B>>,
        query: &Arc<B::Query>,
        before: Option<Duration>,
        next: Option<Duration>,
    ) {
        if before == next {
            return;
        }
        let mut pushed = self.pushed.lock();
        if let Some(before) = before
            && let Some(group) = pushed.by_interval.get_mut(&before)
        {
            group.slots.remove(query);
            if group.slots.is_empty() {
                pushed.by_interval.remove(&before);
            }
        }
        match next {
            Some(interval) => {
                let due = self.next_due(interval, Instant::now());
                let group = pushed.by_interval.entry(interval);
                let group = group.or_insert_with(|| Group {
                    due,
                    slots: HashMap::new(),
                });
                group.slots.insert(query.clone(), slot);
            }
            None => {
                pushed.notified.remove(query);
            }
        }
        drop(pushed);
        self.earlier.notify_one();
        self.queries_changed.notify_one();
    }

    /// The next multiple of the interval. What was missed meanwhile is not made up for, so that slow
    /// batches do not pile up.
    fn next_due(&self, interval: Duration, now: Instant) -> Instant {
        let elapsed = now.saturating_duration_since(self.start).as_nanos();
        let since_last = elapsed % interval.as_nanos().max(1);
        let since_last = Duration::from_nanos(u64::try_from(since_last).unwrap_or(u64::MAX));
        now + interval.saturating_sub(since_last)
    }

    /// Waits until a slot is due.
    pub async fn due(&self) {
        loop {
            let first = self.pushed.lock().first_due();
            let Some(at) = first else {
                self.earlier.notified().await;
                continue;
            };
            tokio::select! {
                () = sleep_until(at) => return,
                () = self.earlier.notified() => {}
            }
        }
    }

    /// The slots that are due, until their next time.
    pub fn take_due(&self, now: Instant) -> Due<B> {
        let mut pushed = self.pushed.lock();
        let mut due = Due {
            by_interval: Vec::new(),
            notified: Vec::new(),
        };
        for (interval, group) in &mut pushed.by_interval {
            if group.due <= now {
                group.due = self.next_due(*interval, now);
                due.by_interval
                    .extend(group.slots.values().filter_map(Weak::upgrade));
            }
        }
        if pushed.notified_due <= now && !pushed.notified.is_empty() {
            pushed.notified_due = now + NOTIFIED_EVERY;
            let notified = std::mem::take(&mut pushed.notified);
            due.notified
                .extend(notified.values().filter_map(Weak::upgrade));
        }
        due
    }

    /// Makes the slot of a query due at once, as it was reported to have changed: if it is pushed, and
    /// a stream waits for it to become active.
    pub fn notify(&self, query: &B::Query) {
        let found = {
            let pushed = self.pushed.lock();
            let mut groups = pushed.by_interval.values();
            let found = groups.find_map(|group| group.slots.get_key_value(query));
            found.map(|(query, slot)| (query.clone(), slot.clone()))
        };
        let Some((query, slot)) = found else {
            return;
        };
        // Of busy queues every entry is reported, and they are active anyway.
        let wait_for_work = |slot: Arc<QuerySlot<B>>| slot.subscribers().wait_for_work();
        if !slot.upgrade().is_some_and(wait_for_work) {
            return;
        }
        let first = {
            let mut pushed = self.pushed.lock();
            pushed.notified.insert(query, slot);
            pushed.notified.len() == 1
        };
        if first {
            self.earlier.notify_one();
        }
    }

    /// The pushed queries.
    pub fn queries(&self) -> Vec<Arc<B::Query>> {
        let pushed = self.pushed.lock();
        let groups = pushed.by_interval.values();
        groups
            .flat_map(|group| group.slots.keys().cloned())
            .collect()
    }

    /// Waits until the set of pushed queries has changed since the last time.
    pub async fn queries_changed(&self) {
        self.queries_changed.notified().await;
    }
}

impl<B: Backend> Pushed<B> {
    fn first_due(&self) -> Option<Instant> {
        let groups = self.by_interval.values().map(|group| group.due);
        let notified = (!self.notified.is_empty()).then_some(self.notified_due);
        groups.chain(notified).min()
    }
}
