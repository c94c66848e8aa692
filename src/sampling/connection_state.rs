//! What a shared connection and its task have in common: the queries that wait for a batch, and
//! whether the connection is lost.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tracing::{info, warn};

use super::{
    backend::Backend, batch::Completion, connection_figures::Counts, look_ahead::LookAhead,
    push_schedule::PushSchedule, query_slot::QuerySlot,
};
use crate::{
    error::{Error, Kind, Result},
    telemetry::{Budget, ConnectionMetrics, ConnectionStatus},
};

/// Shared by a connection and its task. The task does not hold the connection itself, so that a
/// connection that no trigger uses is dropped and ends its task.
pub(super) struct ConnectionState<B: Backend> {
    name: String,
    server: String,
    status: ConnectionStatus,
    counts: Counts,
    queue: Mutex<Queue<B>>,
    queued: Notify,
    look_ahead: LookAhead<B>,
    /// Until when the backend is busy with requests that wait for their turn.
    busy_until: Mutex<Option<Instant>>,
    push_schedule: PushSchedule<B>,
}

type Slots<B> = Vec<Arc<QuerySlot<B>>>;

/// One lock for all fields: nothing is queued on a lost connection.
struct Queue<B: Backend> {
    /// For the next batch.
    waiting: Slots<B>,
    /// For a batch of their own, with nothing else in flight: a query that was in flight when a
    /// connection broke for the second time may be the reason.
    suspects: Slots<B>,
    /// How many suspects of one strike go together: twice as many after each batch that ends well.
    together: usize,
    /// Suspects wait for what is in flight to end.
    suspects_are_next: bool,
    /// Left without a result by their batch.
    abandoned: Slots<B>,
    /// Why the connection is lost, if it is.
    lost: Option<Error>,
}

impl<B: Backend> ConnectionState<B> {
    pub fn new(name: String, server: String, status: ConnectionStatus) -> Self {
        ConnectionState {
            name,
            server,
            status,
            counts: Counts::default(),
            queue: Mutex::new(Queue {
                waiting: Vec::new(),
                suspects: Vec::new(),
                together: 1,
                suspects_are_next: false,
                abandoned: Vec::new(),
                lost: None,
            }),
            queued: Notify::new(),
            look_ahead: LookAhead::default(),
            busy_until: Mutex::default(),
            push_schedule: PushSchedule::default(),
        }
    }

    /// The connection's name in errors, log lines and metrics.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address without the user.
    pub fn server(&self) -> &str {
        &self.server
    }

    pub fn metrics(&self) -> &ConnectionMetrics {
        self.status.metrics()
    }

    /// The figures of this very connection.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many queries wait for a batch.
    pub fn waiting(&self) -> usize {
        let queue = self.queue.lock();
        queue.waiting.len() + queue.suspects.len()
    }

    /// Puts a slot into the next batch, or returns why the connection is lost.
    pub fn enqueue(&self, slot: Arc<QuerySlot<B>>) -> Result<()> {
        let mut queue = self.queue.lock();
        if let Some(error) = &queue.lost {
            return Err(error.clone());
        }
        queue.push(slot);
        drop(queue);
        self.queued.notify_one();
        Ok(())
    }

    /// Waits until something may be queued.
    pub async fn queued(&self) {
        self.queued.notified().await;
    }

    /// The slots of the next batch; none if there are none, or if they wait for what is in flight.
    pub fn take_batch(&self, nothing_in_flight: bool) -> NextBatch<B> {
        self.queue.lock().take_batch(nothing_in_flight)
    }

    /// The requests that are expected.
    pub fn look_ahead(&self) -> &LookAhead<B> {
        &self.look_ahead
    }

    /// How long a query that is queued now is likely to wait for its turn.
    pub fn expected_wait(&self, now: Instant) -> Duration {
        let busy_until = *self.busy_until.lock();
        busy_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// What the backend allows itself from now on, if it limits its own rate.
    pub fn set_budget(&self, budget: Option<Budget>) {
        self.status.set_budget(budget);
        self.counts.set_budget(budget);
        *self.busy_until.lock() = budget.map(|budget| Instant::now() + budget.expected_wait);
    }

    /// The slots that are refreshed by themselves.
    pub fn push_schedule(&self) -> &PushSchedule<B> {
        &self.push_schedule
    }

    /// Why the connection is lost, if it is.
    pub fn lost(&self) -> Option<Error> {
        self.queue.lock().lost.clone()
    }

    /// Puts the pushed slots that are due into the next batch, but for those that are on their way.
    pub fn queue_due(&self, now: Instant) {
        let due = self.push_schedule.take_due(now);
        let by_interval = due.by_interval.into_iter();
        let mut slots: Slots<B> = by_interval.filter(|slot| slot.start_refresh(now)).collect();
        for slot in due.notified {
            match slot.start_refresh(now) {
                true => slots.push(slot),
                // What is on its way may have been read before the change.
                false => self.push_schedule.notify(slot.query()),
            }
        }
        let mut queue = self.queue.lock();
        slots.into_iter().for_each(|slot| queue.push(slot));
    }

    /// A batch dropped the query of this slot without a result.
    pub fn abandon(&self, slot: Arc<QuerySlot<B>>) {
        self.queue.lock().abandoned.push(slot);
    }

    /// A batch of suspects was lost: they fail, and other queries wait for the next connection.
    pub fn fail_suspects(&self, error: &Error) {
        self.status.set(false);
        self.counts.lost(error);
        self.metrics().count_error(error.kind());
        self.queue.lock().together = 1;
        for slot in self.take_abandoned() {
            warn!(
                kind = error.kind().label(),
                "this query may be what breaks the connection, and is sent alone: {error}"
            );
            slot.strike();
            slot.fail(error);
        }
    }

    /// A batch has ended well: a query that it dropped without a result is a defect of the backend.
    pub fn end_batch(&self) {
        {
            let mut queue = self.queue.lock();
            queue.together = queue.together.saturating_mul(2);
        }
        for slot in self.take_abandoned() {
            slot.complete_query(Err(no_result()));
        }
    }

    /// The connection broke after it had served a batch. An idle connection that the server closed
    /// must not cost a caller its result: what was in flight is sent once more on the next one.
    pub fn retry_abandoned(&self, error: &Error) {
        let slots = self.take_abandoned();
        self.status.set(false);
        self.counts.lost(error);
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
        {
            let mut queue = self.queue.lock();
            again.into_iter().for_each(|slot| queue.push(slot));
        }
        for slot in failed {
            slot.strike();
            slot.fail(error);
        }
    }

    /// The connection is lost: the callers that wait get the reason, and so do new ones.
    pub fn fail(&self, error: &Error) {
        for slot in &self.queue.lock().abandoned {
            slot.strike();
        }
        let (slots, before) = {
            let mut queue = self.queue.lock();
            let before = queue.lost.replace(error.clone());
            queue.together = 1;
            let mut slots = std::mem::take(&mut queue.abandoned);
            slots.append(&mut queue.waiting);
            slots.append(&mut queue.suspects);
            (slots, before)
        };
        self.metrics().count_error(error.kind());
        self.status.set(false);
        self.counts.lost(error);
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
        self.counts.opened();
        if self.queue.lock().lost.take().is_some() {
            info!(connection = self.name, "connected again");
        }
    }

    /// Other keys are in use from now on.
    pub fn replaced(&self) {
        self.metrics().credential_reloads.inc();
        info!(
            connection = self.name,
            "connected with the connection's new keys"
        );
    }

    /// Other keys cannot be used: those that there were stay.
    pub fn replacement_failed(&self, error: &Error) {
        self.metrics().credential_reload_failures.inc();
        warn!(
            kind = error.kind().label(),
            "the connection's new keys cannot be used, and the old ones stay: {error}"
        );
    }

    fn take_abandoned(&self) -> Slots<B> {
        std::mem::take(&mut self.queue.lock().abandoned)
    }
}

/// What goes out next.
pub(super) struct NextBatch<B: Backend> {
    pub slots: Slots<B>,
    pub suspect: bool,
}

impl<B: Backend> Queue<B> {
    fn push(&mut self, slot: Arc<QuerySlot<B>>) {
        match slot.strikes() {
            0 => self.waiting.push(slot),
            _ => self.suspects.push(slot),
        }
    }

    fn take_batch(&mut self, nothing_in_flight: bool) -> NextBatch<B> {
        let has_suspects = !self.suspects.is_empty();
        let suspects_turn = has_suspects && (self.suspects_are_next || self.waiting.is_empty());
        if suspects_turn {
            // The others wait as well, or the turn would never come.
            self.suspects_are_next = !nothing_in_flight;
            let slots = match nothing_in_flight {
                true => self.take_suspects(),
                false => Vec::new(),
            };
            return NextBatch {
                slots,
                suspect: true,
            };
        }
        self.suspects_are_next = has_suspects;
        NextBatch {
            slots: std::mem::take(&mut self.waiting),
            suspect: false,
        }
    }

    /// Some suspects of one strike together, or one of more strikes alone.
    fn take_suspects(&mut self) -> Slots<B> {
        let (first, rest): (Slots<B>, Slots<B>) = std::mem::take(&mut self.suspects)
            .into_iter()
            .partition(|slot| slot.strikes() == 1);
        let (mut batch, mut later) = match first.is_empty() {
            true => (rest, Vec::new()),
            false => (first, rest),
        };
        let most = match later.is_empty() && batch.iter().all(|slot| slot.strikes() > 1) {
            true => 1,
            false => self.together,
        };
        later.extend(batch.split_off(most.min(batch.len())));
        self.suspects = later;
        batch
    }
}

fn no_result() -> Error {
    Error::new(
        Kind::Internal,
        "the backend ended a batch without a result for this query",
        "This is a defect of backlog-scaler: please report it with this text.",
    )
}
