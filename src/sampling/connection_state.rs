//! What a link and its task have in common: what waits, and whether the connection is lost.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::{backend::Backend, query_slot::Slot};
use crate::{
    error::{Error, Result},
    telemetry::ConnectionMetrics,
};

/// Shared by a link and its task. The task holds no link, so that a link that nobody uses is
/// dropped and ends its task.
pub(super) struct Shared<B: Backend> {
    name: String,
    metrics: Arc<ConnectionMetrics>,
    queue: Mutex<Queue<B>>,
    queued: Notify,
}

/// What waits for the next batch. One lock for both fields: nothing is queued on a lost connection.
struct Queue<B: Backend> {
    waiting: Vec<Arc<Slot<B>>>,
    /// Why the connection is lost, if it is.
    lost: Option<Error>,
}

impl<B: Backend> Shared<B> {
    pub fn new(name: String, metrics: Arc<ConnectionMetrics>) -> Self {
        Shared {
            name,
            metrics,
            queue: Mutex::new(Queue {
                waiting: Vec::new(),
                lost: None,
            }),
            queued: Notify::new(),
        }
    }

    /// The connection, as errors and logs name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn metrics(&self) -> &ConnectionMetrics {
        &self.metrics
    }

    /// Puts a slot into the next batch, or says why there will be none.
    pub fn enqueue(&self, slot: Arc<Slot<B>>) -> Result<()> {
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

    /// What waits for the next batch.
    pub fn take(&self) -> Vec<Arc<Slot<B>>> {
        std::mem::take(&mut self.queue.lock().waiting)
    }

    /// The connection is lost: whoever waits is told why, and so is who asks from now on.
    pub fn fail(&self, error: &Error, unanswered: Vec<Arc<Slot<B>>>) {
        let (waiting, before) = {
            let mut queue = self.queue.lock();
            let before = queue.lost.replace(error.clone());
            (std::mem::take(&mut queue.waiting), before)
        };
        self.metrics.count_error(error.kind());
        self.metrics.connected.set(0);
        if before.is_none_or(|before| before.kind() != error.kind()) {
            warn!(
                kind = error.kind().label(),
                "connection lost, trying again: {error}"
            );
        }
        for slot in unanswered.into_iter().chain(waiting) {
            slot.fail_if_unanswered(error);
        }
    }

    /// The connection is up (again).
    pub fn recovered(&self) {
        self.metrics.connected.set(1);
        if self.queue.lock().lost.take().is_some() {
            info!(connection = self.name, "connected again");
        }
    }

    /// Puts slots back whose batch was lost.
    pub fn ask_again(&self, slots: Vec<Arc<Slot<B>>>) {
        self.queue.lock().waiting.extend(slots);
    }
}
