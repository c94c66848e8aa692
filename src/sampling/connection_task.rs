//! The task behind a link: connects, reads batch after batch, and comes back when the connection
//! is lost.

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, sleep, timeout};

use super::{
    backend::{Ask, Backend, Pace},
    connection_state::Shared,
    query_slot::Slot,
};
use crate::error::{Error, Kind, Result};

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
pub(super) struct Driver<B: Backend> {
    backend: Arc<B>,
    connection: B::Connection,
    shared: Arc<Shared<B>>,
    pace: Pace,
    backoff: ExponentialBackoff,
}

/// A slot in a batch, with how many answers it had before: one that is answered early may be asked
/// anew while its batch still runs.
type Read<B> = (Arc<Slot<B>>, u64);

/// How a client came to its end.
struct Loss<B: Backend> {
    error: Error,
    unanswered: Vec<Arc<Slot<B>>>,
    /// The client had served a whole batch before.
    proven: bool,
}

impl<B: Backend> Driver<B> {
    pub fn new(
        backend: Arc<B>,
        connection: B::Connection,
        call_timeout: Duration,
        shared: Arc<Shared<B>>,
    ) -> Self {
        Driver {
            pace: backend.pace(call_timeout),
            backoff: backoff(),
            backend,
            connection,
            shared,
        }
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        // Nothing is opened before somebody asks: a metric spec depends on metadata alone.
        self.shared.queued().await;
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
                    let error = error.at(self.shared.name());
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
        let mut slots: HashMap<u64, Vec<Read<B>>> = HashMap::new();
        let mut next_batch = 0;
        loop {
            if in_flight.len() < self.pace.overlap {
                let batch = self.shared.take();
                if !batch.is_empty() {
                    in_flight.push(self.batch(client, next_batch, &batch));
                    let with_answers = batch.into_iter().map(|slot| {
                        let before = slot.answers();
                        (slot, before)
                    });
                    slots.insert(next_batch, with_answers.collect());
                    next_batch += 1;
                    continue;
                }
            }
            tokio::select! {
                Some((batch, outcome)) = in_flight.next() => match outcome {
                    Ok(()) => {
                        proven = true;
                        for (slot, before) in slots.remove(&batch).unwrap_or_default() {
                            if slot.awaits(before) {
                                slot.fail_if_unanswered(&unanswered());
                            }
                        }
                    }
                    Err(error) => {
                        let batches = slots.into_values().flatten();
                        let unanswered = batches.filter(|(slot, before)| slot.awaits(*before));
                        let unanswered = unanswered.map(|(slot, _)| slot).collect();
                        return Loss { error, unanswered, proven };
                    }
                },
                () = self.shared.queued(), if in_flight.len() < self.pace.overlap => {}
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
            shared.metrics().observe_batch(size, started.elapsed());
            (number, outcome.map_err(|error| error.at(shared.name())))
        }
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
