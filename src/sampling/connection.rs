//! A connection that triggers share: its query slots, and the tasks that serve them.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    backend::Backend,
    connection_budget::Reservation,
    connection_figures::Counts,
    connection_name::ConnectionName,
    connection_pool::{ConnectionId, OpenConnections},
    connection_state::ConnectionState,
    connection_task::ConnectionTask,
    deadlines::Deadlines,
    inspection::InspectedConnection,
    look_ahead::LookAhead,
    push_schedule::PushSchedule,
    query_slot::QuerySlot,
    read_log::ReadLog,
};
use crate::{
    error::{Error, Result},
    telemetry::ConnectionMetrics,
};

type Slots<B> = HashMap<Arc<<B as Backend>::Query>, Weak<QuerySlot<B>>>;

/// A connection's query slots and its tasks. Dropped with its last slot.
pub struct SharedConnection<B: Backend> {
    id: ConnectionId<B::Connection>,
    /// What it is to use from now on, once that is proven.
    replacement: watch::Sender<Option<B::Connection>>,
    slots: Mutex<Slots<B>>,
    state: Arc<ConnectionState<B>>,
    deadlines: Arc<Deadlines>,
    pool: Weak<OpenConnections<B>>,
    read_log: ReadLog,
    _reservation: Reservation,
    _tasks: DropGuard,
}

impl<B: Backend> SharedConnection<B> {
    pub(super) fn open(
        id: ConnectionId<B::Connection>,
        task: ConnectionTask<B>,
        reservation: Reservation,
        pool: Weak<OpenConnections<B>>,
    ) -> Arc<Self> {
        let state = task.state().clone();
        let read_log = ReadLog::new(state.name().to_owned());
        let (replacement, replacements) = watch::channel(None);
        let closed = CancellationToken::new();
        tokio::spawn(
            closed
                .clone()
                .run_until_cancelled_owned(task.run(replacements)),
        );
        Arc::new_cyclic(|shared| {
            let deadlines = Arc::new(Deadlines::default());
            let watch = deadlines.clone().watch(shared.clone());
            tokio::spawn(closed.clone().run_until_cancelled_owned(watch));
            SharedConnection {
                id,
                replacement,
                slots: Mutex::default(),
                state,
                deadlines,
                pool,
                read_log,
                _reservation: reservation,
                _tasks: closed.drop_guard(),
            }
        })
    }

    /// The slot of a query, created if there is none yet.
    pub(super) fn slot(self: &Arc<Self>, query: &B::Query, namespace: &str) -> Arc<QuerySlot<B>> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(query).and_then(Weak::upgrade) {
            return slot;
        }
        let query = Arc::new(query.clone());
        let slot = Arc::new(QuerySlot::new(query.clone(), namespace, self.clone()));
        slots.insert(query, Arc::downgrade(&slot));
        slot
    }

    /// Every slot that is in use.
    pub(super) fn slots(&self) -> Vec<Arc<QuerySlot<B>>> {
        let slots = self.slots.lock();
        slots.values().filter_map(Weak::upgrade).collect()
    }

    /// Uses another connection as soon as it is proven.
    pub(super) fn replace(&self, connection: B::Connection) {
        self.replacement.send_replace(Some(connection));
    }

    /// Called by a slot that is being dropped.
    pub(super) fn remove(&self, query: &B::Query) {
        let mut slots = self.slots.lock();
        // A new slot may have replaced the one that is being dropped.
        if slots
            .get(query)
            .is_some_and(|slot| slot.strong_count() == 0)
        {
            slots.remove(query);
        }
    }

    /// Puts a slot into the next batch, or returns why the connection is lost.
    pub(super) fn enqueue(&self, slot: Arc<QuerySlot<B>>) -> Result<()> {
        self.state.enqueue(slot)
    }

    /// How long a query that is queued now is likely to wait for its turn.
    pub(super) fn expected_wait(&self, now: Instant) -> Duration {
        self.state.expected_wait(now)
    }

    /// A batch dropped the query of this slot without a result.
    pub(super) fn abandon(&self, slot: Arc<QuerySlot<B>>) {
        self.state.abandon(slot);
    }

    pub(super) fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    pub(super) fn look_ahead(&self) -> &LookAhead<B> {
        self.state.look_ahead()
    }

    pub(super) fn push_schedule(&self) -> &PushSchedule<B> {
        self.state.push_schedule()
    }

    /// Why the connection is lost, if it is.
    pub(super) fn lost(&self) -> Option<Error> {
        self.state.lost()
    }

    pub(super) fn read_log(&self) -> &ReadLog {
        &self.read_log
    }

    /// The figures of this very connection.
    pub(super) fn counts(&self) -> &Counts {
        self.state.counts()
    }

    /// All that it is called.
    pub(super) fn full_name(&self) -> ConnectionName<'_> {
        ConnectionName {
            backend: B::NAME,
            address: self.state.name(),
            named: match &self.id {
                ConnectionId::Named(name) => Some(name),
                ConnectionId::Inline(_) => None,
            },
            instance: Arc::as_ptr(&self.state).addr(),
        }
    }

    /// What is known of it now.
    pub(super) fn inspect(&self) -> InspectedConnection {
        let name = self.full_name();
        InspectedConnection {
            id: name.id(),
            instance: name.instance,
            backend: name.backend,
            address: name.address.to_owned(),
            server: self.state.server().to_owned(),
            named: name.named.map(str::to_owned),
            figures: self.counts().figures(),
            shared_queries: self.slots.lock().len(),
            waiting: self.state.waiting(),
        }
    }

    pub(super) fn metrics(&self) -> &ConnectionMetrics {
        self.state.metrics()
    }
}

impl<B: Backend> fmt::Display for SharedConnection<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state.name())
    }
}

impl<B: Backend> Drop for SharedConnection<B> {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.remove(&self.id);
        }
    }
}
