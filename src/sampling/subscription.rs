//! What a stream holds of a trigger: while it lives, the trigger's query is refreshed by itself.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    backend::Backend, query_slot::QuerySlot, shaper::Shaper, signal_rule::SignalRule,
    subscribers::IntervalChange,
};

/// A subscription to a trigger.
pub struct Subscription {
    changes: watch::Receiver<Option<bool>>,
    _guard: Box<dyn Send + Sync>,
}

impl Subscription {
    /// Subscribes to a slot, which is read at once if it has no fresh sample.
    pub(super) fn new<B: Backend>(
        slot: &Arc<QuerySlot<B>>,
        rule: Arc<SignalRule<B::Rule>>,
        shaper: Option<Arc<Shaper>>,
        interval: Duration,
        fresh_for: Duration,
    ) -> Self {
        let reschedule = |change: IntervalChange| slot.reschedule(change);
        let subscribers = slot.subscribers();
        let (id, changes) = subscribers.add(rule, shaper, interval, reschedule);
        let guard = Guard {
            slot: slot.clone(),
            id,
        };
        slot.refresh_for_subscriber(fresh_for);
        Subscription {
            changes,
            _guard: Box::new(guard),
        }
    }

    /// Waits until a result has changed whether the trigger is active, the first one included.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The sender lives as long as the guard.
            pending::<()>().await;
        }
    }
}

/// Ends the subscription when it is dropped.
struct Guard<B: Backend> {
    slot: Arc<QuerySlot<B>>,
    id: u64,
}

impl<B: Backend> Drop for Guard<B> {
    fn drop(&mut self) {
        let reschedule = |change: IntervalChange| self.slot.reschedule(change);
        self.slot.subscribers().remove(self.id, reschedule);
    }
}
