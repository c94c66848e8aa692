//! What a shared connection and its task have in common: the queries that wait for a batch, and
//! whether the connection is lost.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::{backend::Backend, query_slot::QuerySlot};
use crate::{
    error::{Error, Kind, Result},
    telemetry::{ConnectionMetrics, ConnectionStatus},
};

/// Shared by a connection and its task. The task does not hold the connection itself, so that a
/// connection that no trigger uses is dropped and ends its task.
pub(super) struct ConnectionState<B: Backend> {
    name: String,
    status: ConnectionStatus,
    queue: Mutex<Queue<B>>,
    queued: Notify,
}

type Slots<B> = Vec<Arc<QuerySlot<B>>>;

/// One lock for all fields: nothing is queued on a lost connection.
struct Queue<B: Backend> {
    /// For the next batch.
    waiting: Slots<B>,
    /// Left without a result by their batch.
    abandoned: Slots<B>,
    /// Why the connection is lost, if it is.
    lost: Option<Error>,
}

impl<B: Backend> ConnectionState<B> {
    pub fn new(name: String, status: ConnectionStatus) -> Self {
        ConnectionState {
            name,
            status,
            queue: Mutex::new(Queue {
                waiting: Vec::new(),
                abandoned: Vec::new(),
                lost: None,
            }),
            queued: Notify::new(),
        }
    }

    /// The connection's name in errors, log lines and metrics.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn metrics(&self) -> &ConnectionMetrics {
        self.status.metrics()
    }

    /// Puts a slot into the next batch, or returns why the connection is lost.
    pub fn enqueue(&self, slot: Arc<QuerySlot<B>>) -> Result<()> {
        let mut queue = self.queue.lock();
        if let Some(error) = &queue.lost {
            return Err(error.clone());
        }
        queue.waiting.push(slot);
        drop(queue);
        self.queued.notify_one();
        Ok(())
    }

    /// Waits until something may be queued.
    pub async fn queued(&self) {
        self.queued.notified().await;
    }

    /// The slots of the next batch.
    pub fn take_batch(&self) -> Slots<B> {
        std::mem::take(&mut self.queue.lock().waiting)
    }

    /// A batch dropped the query of this slot without a result.
    pub fn abandon(&self, slot: Arc<QuerySlot<B>>) {
        self.queue.lock().abandoned.push(slot);
    }

    /// A batch has ended well: a query that it dropped without a result is a defect of the backend.
    pub fn fail_abandoned(&self) {
        for slot in self.take_abandoned() {
            slot.complete_query(Err(no_result()));
        }
    }

    /// The connection broke after it had served a batch. An idle connection that the server closed
    /// must not cost a caller its result: what was in flight is sent once more on the next one.
    pub fn retry_abandoned(&self, error: &Error) {
        let slots = self.take_abandoned();
        self.status.set(false);
        self.metrics().count_error(error.kind());
        let (again, failed): (Slots<B>, Slots<B>) =
            slots.into_iter().partition(|slot| slot.may_retry());
        info!(
            kind = error.kind().label(),
            retried = again.len(),
            failed = failed.len(),
            "connection broke, opening a new one: {error}"
        );
        self.metrics().retried_queries.inc_by(again.len() as u64);
        self.queue.lock().waiting.extend(again);
        for slot in failed {
            slot.fail(error);
        }
    }

    /// The connection is lost: the callers that wait get the reason, and so do new ones.
    pub fn fail(&self, error: &Error) {
        let (slots, before) = {
            let mut queue = self.queue.lock();
            let before = queue.lost.replace(error.clone());
            let mut slots = std::mem::take(&mut queue.abandoned);
            slots.append(&mut queue.waiting);
            (slots, before)
        };
        self.metrics().count_error(error.kind());
        self.status.set(false);
        if before.is_none_or(|before| before.kind() != error.kind()) {
            warn!(
                kind = error.kind().label(),
                "connection lost, trying again: {error}"
            );
        }
        for slot in slots {
            slot.fail(error);
        }
    }

    /// The connection is up (again).
    pub fn recovered(&self) {
        self.status.set(true);
        if self.queue.lock().lost.take().is_some() {
            info!(connection = self.name, "connected again");
        }
    }

    fn take_abandoned(&self) -> Slots<B> {
        std::mem::take(&mut self.queue.lock().abandoned)
    }
}

fn no_result() -> Error {
    Error::new(
        Kind::Internal,
        "the backend ended a batch without a result for this query",
        "This is a defect of backlog-scaler: please report it with this text.",
    )
}
