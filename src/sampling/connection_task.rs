//! The task behind a connection: connects, sends batch after batch, and reconnects when the
//! connection is lost.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    backend::{Backend, Pace},
    batch::BatchQuery,
    connection_state::ConnectionState,
    query_slot::QuerySlot,
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

/// Refused credentials do not get better by themselves, and every attempt is a failed login in the
/// backend's log: 1 s doubling to 2 minutes, with jitter.
fn backoff_of_refused() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(Duration::from_secs(120))
        .without_max_times()
        .with_jitter()
        .build()
}

/// The task of a connection.
pub(super) struct ConnectionTask<B: Backend> {
    backend: Arc<B>,
    connection: B::Connection,
    state: Arc<ConnectionState<B>>,
    pace: Pace,
    backoff: ExponentialBackoff,
    backoff_of_refused: ExponentialBackoff,
}

/// How a client came to its end.
struct Loss {
    error: Error,
    /// The client had served a whole batch before.
    proven: bool,
    /// Only suspects were in flight.
    suspect: bool,
}

impl<B: Backend> ConnectionTask<B> {
    pub fn new(
        backend: Arc<B>,
        connection: B::Connection,
        call_timeout: Duration,
        state: Arc<ConnectionState<B>>,
    ) -> Self {
        ConnectionTask {
            pace: backend.pace(call_timeout),
            backoff: backoff(),
            backoff_of_refused: backoff_of_refused(),
            backend,
            connection,
            state,
        }
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        // Nothing is opened before the first query: a metric spec depends on metadata alone.
        self.state.queued().await;
        loop {
            let client = self.connect().await;
            let loss = self.serve(&client).await;
            drop(client);
            if loss.proven {
                self.backoff = backoff();
                self.state.retry_abandoned(&loss.error);
            } else if loss.suspect {
                self.state.fail_suspects(&loss.error);
                self.pause().await;
            } else {
                self.state.fail(&loss.error);
                self.pause().await;
            }
        }
    }

    /// Connects, however long it takes. From the first failure on, callers fail fast.
    async fn connect(&mut self) -> B::Client {
        loop {
            let limit = self.pace.connect_timeout;
            let deadline = Instant::now() + limit;
            let attempt = self.backend.connect(&self.connection, deadline);
            match guard(deadline, limit, "connecting", attempt).await {
                Ok(client) => {
                    self.state.recovered();
                    self.backoff_of_refused = backoff_of_refused();
                    return client;
                }
                Err(error) => {
                    let refused = error.kind() == Kind::Unauthorized;
                    self.state.fail(&error.at(self.state.name()));
                    match refused {
                        true => self.pause_refused().await,
                        false => self.pause().await,
                    }
                }
            }
        }
    }

    async fn pause(&mut self) {
        if let Some(delay) = self.backoff.next() {
            sleep(delay).await;
        }
    }

    async fn pause_refused(&mut self) {
        if let Some(delay) = self.backoff_of_refused.next() {
            sleep(delay).await;
        }
    }

    /// Sends batch after batch until the connection is lost. Queries that are in flight then are
    /// dropped, and wait in the state for what becomes of them.
    async fn serve(&self, client: &B::Client) -> Loss {
        let (mut proven, mut suspect) = (false, false);
        let mut in_flight = FuturesUnordered::new();
        loop {
            if in_flight.len() < self.pace.overlap && !suspect {
                let next = self.state.take_batch(in_flight.is_empty());
                suspect = next.suspect && !next.slots.is_empty();
                in_flight.extend(self.send(client, next.slots));
            }
            tokio::select! {
                Some(outcome) = in_flight.next() => match outcome {
                    Ok(()) => {
                        (proven, suspect) = (true, false);
                        self.state.end_batch();
                    }
                    Err(error) => return Loss { error, proven, suspect },
                },
                () = self.state.queued(), if in_flight.len() < self.pace.overlap && !suspect => {}
            }
        }
    }

    /// Sends queries as one batch; `None` if there are none.
    fn send<'a>(
        &'a self,
        client: &'a B::Client,
        slots: Vec<Arc<QuerySlot<B>>>,
    ) -> Option<impl Future<Output = Result<()>> + use<'a, B>> {
        if slots.is_empty() {
            return None;
        }
        let size = slots.len();
        let batch = slots.into_iter().map(|slot| BatchQuery::new(slot));
        let batch: Vec<_> = batch.collect();
        Some(async move {
            let (started, limit) = (Instant::now(), self.pace.batch_timeout);
            let deadline = started + limit;
            let sampling = self.backend.sample(client, batch, deadline);
            let outcome = guard(deadline, limit, "reading", sampling).await;
            self.state.metrics().observe_batch(size, started.elapsed());
            outcome.map_err(|error| error.at(self.state.name()))
        })
    }
}

/// Runs a backend's future, which has until `deadline` to end by itself and an eighth of its
/// `limit` more to give the reason. A panic in it is an error like another.
async fn guard<T>(
    deadline: Instant,
    limit: Duration,
    doing: &str,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    match timeout_at(
        deadline + limit / 8,
        AssertUnwindSafe(future).catch_unwind(),
    )
    .await
    {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(Error::new(
            Kind::Internal,
            format!("{doing} panicked: {}", panic_text(&*panic)),
            "This is a defect of backlog-scaler: please report it with this text.",
        )),
        Err(_) => Err(Error::new(
            Kind::TimedOut,
            format!("{doing} took longer than {limit:?}"),
            "Check that the server responds, and that it speaks this protocol (tls: enable or disable).",
        )),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text")
}
