//! A connection that triggers share: gathers their queries, reads them in batches, and comes
//! back by itself when it is lost.

use std::{
    collections::HashMap,
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use super::{
    backend::{Ask, Backend, Pace},
    pool::Links,
    slot::Slot,
};
use crate::{
    error::{Error, Kind, Result},
    telemetry::ConnectionMetrics,
};

/// A connection's queries and the task that reads them. Dropped with its last slot.
pub struct Link<B: Backend> {
    connection: B::Connection,
    slots: Mutex<HashMap<B::Query, Weak<Slot<B>>>>,
    shared: Arc<Shared<B>>,
    links: Weak<Links<B>>,
    _task: DropGuard,
}

/// What the link and its task have in common. The task holds no link, so that a link that nobody
/// uses is dropped and ends its task.
struct Shared<B: Backend> {
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

impl<B: Backend> Link<B> {
    pub(super) fn open(
        backend: Arc<B>,
        connection: B::Connection,
        call_timeout: Duration,
        metrics: Arc<ConnectionMetrics>,
        links: Weak<Links<B>>,
    ) -> Self {
        let shared = Arc::new(Shared {
            name: connection.to_string(),
            metrics,
            queue: Mutex::new(Queue {
                waiting: Vec::new(),
                lost: None,
            }),
            queued: Notify::new(),
        });
        let pace = backend.pace(call_timeout);
        let driver = Driver {
            connection: connection.clone(),
            shared: shared.clone(),
            pace,
            backoff: backoff(),
            backend,
        };
        let closed = CancellationToken::new();
        tokio::spawn(closed.clone().run_until_cancelled_owned(driver.run()));
        Link {
            connection,
            slots: Mutex::default(),
            shared,
            links,
            _task: closed.drop_guard(),
        }
    }

    /// The slot of a query; made when nobody asks it yet.
    pub(super) fn slot(self: &Arc<Self>, query: &B::Query) -> Arc<Slot<B>> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(query).and_then(Weak::upgrade) {
            return slot;
        }
        let slot = Arc::new(Slot::new(query.clone(), self.clone()));
        slots.insert(query.clone(), Arc::downgrade(&slot));
        slot
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
        let mut queue = self.shared.queue.lock();
        if let Some(error) = &queue.lost {
            return Err(error.clone());
        }
        queue.waiting.push(slot);
        drop(queue);
        self.shared.queued.notify_one();
        Ok(())
    }

    pub(super) fn metrics(&self) -> &ConnectionMetrics {
        &self.shared.metrics
    }
}

impl<B: Backend> fmt::Display for Link<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shared.name)
    }
}

impl<B: Backend> Drop for Link<B> {
    fn drop(&mut self) {
        if let Some(links) = self.links.upgrade() {
            links.forget(&self.connection);
        }
    }
}

/// Waits between attempts to connect: 0.1 s doubling to 5 s, each with up to as much again of
/// jitter, so that a fleet does not return to a restarted server in step.
fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .without_max_times()
        .with_jitter()
        .build()
}

/// The task of a link.
struct Driver<B: Backend> {
    backend: Arc<B>,
    connection: B::Connection,
    shared: Arc<Shared<B>>,
    pace: Pace,
    backoff: ExponentialBackoff,
}

/// How a client came to its end.
struct Loss<B: Backend> {
    error: Error,
    unanswered: Vec<Arc<Slot<B>>>,
    /// The client had served a whole batch before.
    proven: bool,
}

impl<B: Backend> Driver<B> {
    async fn run(mut self) {
        // Nothing is opened before somebody asks: a metric spec depends on metadata alone.
        self.shared.queued.notified().await;
        self.shared.queued.notify_one();
        loop {
            let client = self.connect().await;
            let loss = self.serve(&client).await;
            drop(client);
            if loss.proven {
                // An idle connection that the server closed must not cost a caller its answer:
                // what was in flight is asked once more on the next connection.
                self.backoff = backoff();
                self.shared.ask_again(loss.unanswered);
            } else {
                self.shared.fail(&loss.error, loss.unanswered);
                self.pause().await;
            }
        }
    }

    /// Connects, however long it takes. From the first failure on, callers fail fast.
    async fn connect(&mut self) -> B::Client {
        loop {
            let attempt = guard(
                self.pace.connect_timeout,
                "connecting",
                self.backend.connect(&self.connection),
            );
            match attempt.await {
                Ok(client) => {
                    self.shared.recovered();
                    return client;
                }
                Err(error) => {
                    let error = error.at(&self.shared.name);
                    self.shared.fail(&error, Vec::new());
                    self.pause().await;
                }
            }
        }
    }

    async fn pause(&mut self) {
        if let Some(delay) = self.backoff.next() {
            sleep(delay).await;
        }
    }

    /// Reads batch after batch until the connection is lost.
    async fn serve(&mut self, client: &B::Client) -> Loss<B> {
        let mut proven = false;
        let mut in_flight = FuturesUnordered::new();
        let mut slots: HashMap<u64, Vec<Arc<Slot<B>>>> = HashMap::new();
        let mut next_batch = 0;
        loop {
            if in_flight.len() < self.pace.overlap {
                let batch = std::mem::take(&mut self.shared.queue.lock().waiting);
                if !batch.is_empty() {
                    in_flight.push(self.batch(client, next_batch, &batch));
                    slots.insert(next_batch, batch);
                    next_batch += 1;
                    continue;
                }
            }
            tokio::select! {
                Some((batch, outcome)) = in_flight.next() => match outcome {
                    Ok(()) => {
                        proven = true;
                        for slot in slots.remove(&batch).unwrap_or_default() {
                            slot.fail_if_unanswered(&unanswered());
                        }
                    }
                    Err(error) => {
                        let unanswered = slots.into_values().flatten().filter(|s| s.is_asked());
                        return Loss { error, unanswered: unanswered.collect(), proven };
                    }
                },
                () = self.shared.queued.notified(), if in_flight.len() < self.pace.overlap => {}
            }
        }
    }

    /// Reads one batch, with its figures.
    fn batch<'a>(
        &self,
        client: &'a B::Client,
        number: u64,
        slots: &[Arc<Slot<B>>],
    ) -> impl Future<Output = (u64, Result<()>)> + use<'a, B> {
        let (backend, shared, limit) = (
            self.backend.clone(),
            self.shared.clone(),
            self.pace.batch_timeout,
        );
        let asks: Vec<_> = slots.iter().cloned().map(Ask::new).collect();
        async move {
            let started = Instant::now();
            let size = asks.len();
            let outcome = guard(limit, "reading", backend.sample(client, asks)).await;
            shared.metrics.observe_batch(size, started.elapsed());
            (number, outcome.map_err(|error| error.at(&shared.name)))
        }
    }
}

impl<B: Backend> Shared<B> {
    /// The connection is lost: whoever waits is told why, and so is who asks from now on.
    fn fail(&self, error: &Error, unanswered: Vec<Arc<Slot<B>>>) {
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

    fn recovered(&self) {
        self.metrics.connected.set(1);
        if self.queue.lock().lost.take().is_some() {
            info!(connection = self.name, "connected again");
        }
    }

    fn ask_again(&self, slots: Vec<Arc<Slot<B>>>) {
        self.queue.lock().waiting.extend(slots);
    }
}

/// Runs a backend's future within a time limit; a panic in it is an error like another.
async fn guard<T>(
    limit: Duration,
    doing: &str,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    match timeout(limit, AssertUnwindSafe(future).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(Error::new(
            Kind::Internal,
            format!("{doing} panicked: {}", panic_text(&*panic)),
            "This is a defect of backlog-scaler: please report it with this text.",
        )),
        Err(_) => Err(Error::new(
            Kind::TimedOut,
            format!("{doing} took longer than {limit:?}"),
            "Check that the server answers, and that it speaks this protocol (tls: enable or disable).",
        )),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text")
}

fn unanswered() -> Error {
    Error::new(
        Kind::Internal,
        "the backend ended a batch without answering this query",
        "This is a defect of backlog-scaler: please report it with this text.",
    )
}
