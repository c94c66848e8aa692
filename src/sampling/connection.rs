//! A connection that triggers share: their queries, and the tasks that read them.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    backend::Backend, connection_pool::Links, connection_state::Shared, connection_task::Driver,
    deadlines::Patience, query_slot::Slot,
};
use crate::{error::Result, telemetry::ConnectionMetrics};

type Slots<B> = HashMap<Arc<<B as Backend>::Query>, Weak<Slot<B>>>;

/// A connection's queries and the tasks that read them. Dropped with its last slot.
pub struct Link<B: Backend> {
    connection: B::Connection,
    slots: Mutex<Slots<B>>,
    shared: Arc<Shared<B>>,
    patience: Arc<Patience>,
    links: Weak<Links<B>>,
    _tasks: DropGuard,
}

impl<B: Backend> Link<B> {
    pub(super) fn open(
        backend: Arc<B>,
        connection: B::Connection,
        call_timeout: Duration,
        metrics: Arc<ConnectionMetrics>,
        links: Weak<Links<B>>,
    ) -> Arc<Self> {
        let shared = Arc::new(Shared::new(connection.to_string(), metrics));
        let driver = Driver::new(backend, connection.clone(), call_timeout, shared.clone());
        let closed = CancellationToken::new();
        tokio::spawn(closed.clone().run_until_cancelled_owned(driver.run()));
        Arc::new_cyclic(|link| {
            let patience = Arc::new(Patience::default());
            let watch = patience.clone().watch(link.clone());
            tokio::spawn(closed.clone().run_until_cancelled_owned(watch));
            Link {
                connection,
                slots: Mutex::default(),
                shared,
                patience,
                links,
                _tasks: closed.drop_guard(),
            }
        })
    }

    /// The slot of a query; made when nobody asks it yet.
    pub(super) fn slot(self: &Arc<Self>, query: &B::Query) -> Arc<Slot<B>> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(query).and_then(Weak::upgrade) {
            return slot;
        }
        let query = Arc::new(query.clone());
        let slot = Arc::new(Slot::new(query.clone(), self.clone()));
        slots.insert(query, Arc::downgrade(&slot));
        slot
    }

    /// Every slot that somebody holds.
    pub(super) fn slots(&self) -> Vec<Arc<Slot<B>>> {
        let slots = self.slots.lock();
        slots.values().filter_map(Weak::upgrade).collect()
    }

    /// Called by a slot that is being dropped.
    pub(super) fn forget(&self, query: &B::Query) {
        let mut slots = self.slots.lock();
        // A new slot may have taken the place of the one that is going.
        if slots
            .get(query)
            .is_some_and(|slot| slot.strong_count() == 0)
        {
            slots.remove(query);
        }
    }

    /// Puts a slot into the next batch, or says why there will be none.
    pub(super) fn enqueue(&self, slot: Arc<Slot<B>>) -> Result<()> {
        self.shared.enqueue(slot)
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.patience
    }

    pub(super) fn metrics(&self) -> &ConnectionMetrics {
        self.shared.metrics()
    }
}

impl<B: Backend> fmt::Display for Link<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shared.name())
    }
}

impl<B: Backend> Drop for Link<B> {
    fn drop(&mut self) {
        if let Some(links) = self.links.upgrade() {
            links.forget(&self.connection);
        }
    }
}
