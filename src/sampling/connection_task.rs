//! The task behind a connection: connects, sends batch after batch, and reconnects when the
//! connection is lost.

use std::{
    any::Any, future::pending, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tracing::error;

use super::{
    backend::{Backend, LOOK_AHEAD_PART, Pace},
    batch::BatchQuery,
    connection_state::ConnectionState,
    pushed_queries::PushedQueries,
    query_slot::QuerySlot,
};
use crate::{
    error::{Error, Kind, Result},
    network::Network,
};

/// The budget of a backend is looked at this often at least, for metrics.
const BUDGET_EVERY: Duration = Duration::from_secs(1);

/// Batches for expected requests alone have at least this distance: what they find fresh, or would
/// not be fresh, is expected on.
const AHEAD_EVERY: Duration = Duration::from_millis(100);

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

/// What a task connects to.
pub(super) struct Target<C> {
    pub connection: C,
    pub network: Network,
}

/// The task of a connection.
pub(super) struct ConnectionTask<B: Backend> {
    backend: Arc<B>,
    target: Target<B::Connection>,
    /// The target was connected to once.
    proven: bool,
    state: Arc<ConnectionState<B>>,
    pace: Pace,
    backoff: ExponentialBackoff,
    backoff_of_refused: ExponentialBackoff,
}

/// What is to be connected to instead, such as the same server with another password.
pub(super) type Replacements<C> = watch::Receiver<Option<C>>;

/// A connection and its client.
struct Opened<B: Backend> {
    connection: B::Connection,
    client: B::Client,
}

/// Why a client no longer serves.
struct End<B: Backend> {
    loss: Option<Loss>,
    replaced_by: Option<Opened<B>>,
}

/// How a client came to its end.
struct Loss {
    error: Error,
    /// The client had served a whole batch before, or took over from one that had.
    proven: bool,
    /// Only suspects were in flight.
    suspect: bool,
}

impl<B: Backend> ConnectionTask<B> {
    pub fn new(
        backend: Arc<B>,
        target: Target<B::Connection>,
        call_timeout: Duration,
        state: ConnectionState<B>,
    ) -> Self {
        ConnectionTask {
            pace: backend.pace(call_timeout),
            backoff: backoff(),
            backoff_of_refused: backoff_of_refused(),
            proven: false,
            backend,
            target,
            state: Arc::new(state),
        }
    }

    /// What the task shares with its connection.
    pub fn state(&self) -> &Arc<ConnectionState<B>> {
        &self.state
    }

    /// Runs until it is dropped.
    pub async fn run(mut self, mut replacements: Replacements<B::Connection>) {
        // Nothing is opened before the first query: a metric spec depends on metadata alone.
        self.state.queued().await;
        let mut client = self.connect(&mut replacements).await;
        let mut took_over = false;
        loop {
            let end = self.serve(&client, took_over, &mut replacements).await;
            drop(client);
            self.state.set_budget(None);
            if let Some(loss) = end.loss {
                self.recover(&loss).await;
            }
            took_over = end.replaced_by.is_some();
            client = match end.replaced_by {
                Some(opened) => self.adopt(opened),
                None => self.connect(&mut replacements).await,
            };
        }
    }

    /// After the loss of a connection: what becomes of its queries, and a pause.
    async fn recover(&mut self, loss: &Loss) {
        if loss.proven {
            self.backoff = backoff();
            self.state.retry_abandoned(&loss.error);
            return;
        }
        match loss.suspect {
            true => self.state.fail_suspects(&loss.error),
            false => self.state.fail(&loss.error),
        }
        if let Some(delay) = self.backoff.next() {
            sleep(delay).await;
        }
    }

    /// Connects, however long it takes. From the first failure on, callers fail fast.
    async fn connect(&mut self, replacements: &mut Replacements<B::Connection>) -> B::Client {
        loop {
            let mut failure = None;
            for connection in self.candidates(replacements) {
                match self.open(connection).await {
                    Ok(opened) => return self.adopt(opened),
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            let Some(error) = failure else {
                unreachable!("there is always a candidate");
            };
            self.state.fail(&error);
            let delay = match error.kind() {
                Kind::Unauthorized => self.backoff_of_refused.next(),
                _ => self.backoff.next(),
            };
            pause(delay.unwrap_or_default(), replacements).await;
        }
    }

    /// What to connect to: what is wanted now; after it, what was good before.
    fn candidates(&self, replacements: &mut Replacements<B::Connection>) -> Vec<B::Connection> {
        let wanted = self.wanted(replacements);
        let before = (wanted.is_none() || self.proven).then(|| self.target.connection.clone());
        wanted.into_iter().chain(before).collect()
    }

    /// The replacement that is not in use yet.
    fn wanted(&self, replacements: &mut Replacements<B::Connection>) -> Option<B::Connection> {
        let wanted = replacements.borrow_and_update().clone();
        wanted.filter(|wanted| *wanted != self.target.connection)
    }

    async fn open(&self, connection: B::Connection) -> Result<Opened<B>> {
        let limit = self.pace.connect_timeout;
        let deadline = Instant::now() + limit;
        let network = &self.target.network;
        let attempt = self.backend.connect(&connection, network, deadline);
        match guard(deadline, limit, "connecting", attempt).await {
            Ok(client) => Ok(Opened { connection, client }),
            Err(error) => Err(error.at(self.state.name())),
        }
    }

    /// Serves with this connection from now on.
    fn adopt(&mut self, opened: Opened<B>) -> B::Client {
        if self.target.connection != opened.connection {
            self.target.connection = opened.connection;
            self.state.replaced();
        }
        self.state.recovered();
        self.proven = true;
        self.backoff_of_refused = backoff_of_refused();
        opened.client
    }

    /// Connects to the replacement, as soon as there is one and it is good.
    async fn replacement(&self, replacements: &mut Replacements<B::Connection>) -> Opened<B> {
        let mut backoff = backoff_of_refused();
        loop {
            let Some(wanted) = self.wanted(replacements) else {
                changed(replacements).await;
                continue;
            };
            match self.open(wanted).await {
                Ok(opened) => return opened,
                Err(error) => self.state.replacement_failed(&error),
            }
            pause(backoff.next().unwrap_or_default(), replacements).await;
        }
    }

    /// Sends batch after batch until the connection is lost, or its replacement is proven. `took_over`:
    /// the client replaces one that served, so that its first query is no test of it. Queries
    /// that are in flight when it is lost are dropped, and wait in the state for what becomes of
    /// them.
    async fn serve(
        &self,
        client: &B::Client,
        took_over: bool,
        replacements: &mut Replacements<B::Connection>,
    ) -> End<B> {
        let (mut proven, mut suspect) = (took_over, false);
        let mut in_flight = FuturesUnordered::new();
        let mut replacement = pin!(self.replacement(replacements));
        let mut replaced_by = None;
        let (mut watch, mut watches) = (pin!(self.watch(client)), true);
        let mut ahead_of_calls = false;
        let mut not_ahead_before = Instant::now();
        loop {
            if replaced_by.is_some() && in_flight.is_empty() {
                let loss = None;
                return End { loss, replaced_by };
            }
            let may_send = replaced_by.is_none() && in_flight.len() < self.pace.overlap && !suspect;
            if may_send {
                self.state.queue_due(Instant::now());
                let next = self.state.take_batch(in_flight.is_empty());
                suspect = next.suspect && !next.slots.is_empty();
                let mut slots = next.slots;
                if !suspect {
                    self.take_along(&mut slots, ahead_of_calls);
                }
                in_flight.extend(self.send(client, slots));
            }
            let ahead_at = match may_send {
                true => self.ahead_at(not_ahead_before),
                false => None,
            };
            ahead_of_calls = false;
            let budget = B::budget(client);
            self.state.set_budget(budget);
            tokio::select! {
                Some(outcome) = in_flight.next() => match outcome {
                    Ok(()) => {
                        (proven, suspect) = (true, false);
                        self.state.end_batch();
                    }
                    Err(error) => {
                        let loss = Some(Loss { error, proven, suspect });
                        return End { loss, replaced_by };
                    }
                },
                opened = &mut replacement, if replaced_by.is_none() => replaced_by = Some(opened),
                () = &mut watch, if watches => watches = false,
                () = self.state.queued(), if may_send => {}
                () = sleep(BUDGET_EVERY), if budget.is_some() => {}
                () = self.state.push_schedule().due(), if may_send => {}
                () = sleep_until(ahead_at.unwrap_or(not_ahead_before)), if ahead_at.is_some() => {
                    ahead_of_calls = true;
                    not_ahead_before = Instant::now() + AHEAD_EVERY;
                }
            }
        }
    }

    /// Has the backend report changes of pushed queries, until the client is no longer in use.
    async fn watch(&self, client: &B::Client) {
        let watch = self.backend.watch(client, PushedQueries::new(&self.state));
        if let Err(panic) = AssertUnwindSafe(watch).catch_unwind().await {
            let panic = panic_text(&*panic);
            let connection = self.state.name();
            error!(connection, "waiting for notifications panicked: {panic}");
        }
    }

    /// When a batch goes out for expected requests alone.
    fn ahead_at(&self, not_before: Instant) -> Option<Instant> {
        if self.pace.look_ahead == 0 {
            return None;
        }
        let (look_ahead, ahead) = (self.state.look_ahead(), self.pace.look_ahead_for);
        let at = look_ahead.worth_sending(Instant::now(), ahead)?;
        Some(at.max(not_before))
    }

    /// Adds the queries to a batch that are expected to be requested while what it reads is fresh.
    /// None goes out for them alone, unless it is `ahead_of_calls`.
    fn take_along(&self, slots: &mut Vec<Arc<QuerySlot<B>>>, ahead_of_calls: bool) {
        let most = self.pace.look_ahead.saturating_sub(slots.len());
        let ahead = slots.iter().map(|slot| slot.fresh_for()).max();
        let ahead = ahead.map(|fresh_for| fresh_for.mul_f64(LOOK_AHEAD_PART));
        // One trigger with a long `freshFor` must not make each batch go through all that is expected.
        let longest = self.pace.look_ahead_for;
        let Some(ahead) = ahead.or(ahead_of_calls.then_some(longest)) else {
            return;
        };
        let now = Instant::now();
        let until = now + ahead.min(longest);
        let expected = self.state.look_ahead().take(now, until, most);
        let metrics = self.state.metrics();
        metrics.look_ahead_queries.inc_by(expected.len() as u64);
        self.state.counts().looked_ahead(expected.len());
        slots.extend(expected);
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
            self.state.counts().batch(size, started.elapsed());
            outcome.map_err(|error| error.at(self.state.name()))
        })
    }
}

/// Waits, but no longer than until there is another replacement.
async fn pause<C>(delay: Duration, replacements: &mut Replacements<C>) {
    tokio::select! {
        () = sleep(delay) => {}
        () = changed(replacements) => {}
    }
}

/// Waits for another replacement. With its connection gone there is none, and the task ends anyway.
async fn changed<C>(replacements: &mut Replacements<C>) {
    if replacements.changed().await.is_err() {
        pending::<()>().await;
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
