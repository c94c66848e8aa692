//! A live connection: one channel, its budgets, and how a request is tried.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Response, Status};
use tracing::info;

use super::{
    channel::Service,
    config::Connection,
    errors::{Failure, failure},
    query::{QueueType, Version},
    queue_type_usage::Usage,
    rate_limiter::{Budget, Urgency},
    requests::VersionState,
    server_version::ServerVersion,
};
use crate::{
    backends::ttl_cache::TtlCache,
    error::{Error, Kind},
};

/// A request that takes longer has failed: well below what a caller waits for by default.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(2);
/// Failures of one request that may have been the connection's, before it is given up.
const TRIES: u32 = 3;
/// Between two of them. The channel reconnects meanwhile.
const BETWEEN_TRIES: Duration = Duration::from_millis(50);
/// Reads of worker deployments that one namespace may spend: the server allows all its readers
/// together 50 a second (`frontend.globalNamespaceWorkerDeploymentReadRPS`).
const DEPLOYMENT_READS: f64 = 20.0;
/// Visibility counts: the server allows 10 a second (`frontend.namespaceRPS.visibility`).
const COUNTS: f64 = 4.0;
/// How long a version's description serves other queries: the triggers of one worker Deployment
/// are evaluated together.
const VERSION_KEPT: Duration = Duration::from_secs(2);
/// How long a count serves them: visibility itself lags by seconds.
const COUNT_KEPT: Duration = Duration::from_secs(10);
/// How many of either are kept.
const KEPT: NonZeroUsize = NonZeroUsize::new(1000).expect("is not zero");
/// Reads that nobody waits for, and that wait themselves.
const IDLE_READS: usize = 10_000;
/// How long such a read waits.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// A live connection.
pub struct Client {
    pub(super) reader: Arc<Reader>,
    /// Where queues go that are to be read though nobody waits for them.
    idle: mpsc::Sender<(String, QueueType)>,
    _idle_reads: DropGuard,
}

/// What reads: shared by the batches and the reads that nobody waits for.
pub struct Reader {
    service: Service,
    connection: Connection,
    pub(super) version: ServerVersion,
    pub(super) queues: Budget,
    pub(super) deployments: Budget,
    pub(super) visibility: Budget,
    pub(super) usage: Usage,
    pub(super) versions: TtlCache<Version, Arc<VersionState>, Unread>,
    pub(super) counts: TtlCache<String, u64, Unread>,
    /// When the server last answered anything at all.
    answered: Mutex<Instant>,
}

/// Why a read gave no answer.
#[derive(Clone, Debug)]
pub enum Unread {
    /// The connection is lost.
    Lost(Error),
    /// This read alone failed.
    Failed(Error),
}

/// How urgently an answer is wanted, and until when.
#[derive(Clone, Copy)]
pub struct When {
    pub urgency: Urgency,
    pub deadline: Instant,
}

/// A budget, and how much of it one request takes.
#[derive(Clone, Copy)]
pub struct Spend<'a> {
    pub budget: &'a Budget,
    pub weight: u32,
}

impl<'a> Spend<'a> {
    /// An ordinary request.
    pub fn one(budget: &'a Budget) -> Self {
        Spend { budget, weight: 1 }
    }
}

impl Client {
    /// Must be called within a tokio runtime.
    pub fn new(service: Service, connection: Connection, version: ServerVersion) -> Self {
        let rate = f64::from(connection.requests_per_second);
        let reader = Arc::new(Reader {
            service,
            connection,
            version,
            queues: Budget::new(rate),
            deployments: Budget::new(rate.min(DEPLOYMENT_READS)),
            visibility: Budget::new(rate.min(COUNTS)),
            usage: Usage::default(),
            versions: TtlCache::new(VERSION_KEPT, KEPT),
            counts: TtlCache::new(COUNT_KEPT, KEPT),
            answered: Mutex::new(Instant::now()),
        });
        let (idle, queue) = mpsc::channel(IDLE_READS);
        let closed = CancellationToken::new();
        let reads = read_idle(reader.clone(), queue);
        tokio::spawn(closed.clone().run_until_cancelled_owned(reads));
        Client {
            reader,
            idle,
            _idle_reads: closed.drop_guard(),
        }
    }

    /// Has a queue read, some time, for what it says of its use.
    pub fn read_when_idle(&self, queue: &str, queue_type: QueueType) {
        // Without room it comes up again later.
        let _ = self.idle.try_send((queue.to_owned(), queue_type));
    }
}

/// Reads what nobody waits for, one after the other. Failures show when somebody waits.
async fn read_idle(reader: Arc<Reader>, mut queue: mpsc::Receiver<(String, QueueType)>) {
    while let Some((name, queue_type)) = queue.recv().await {
        let when = When {
            urgency: Urgency::Idle,
            deadline: Instant::now() + IDLE_LIMIT,
        };
        let _ = reader.queue(&name, queue_type, when).await;
    }
}

impl Reader {
    /// Sends a request within its budget, and again where that may help, until the deadline.
    pub async fn call<T, F>(
        &self,
        Spend { budget, weight }: Spend<'_>,
        when: When,
        request: impl Fn(Service) -> F,
    ) -> Result<T, Unread>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut tries = 0;
        let mut last = None;
        loop {
            let permit = timeout_at(when.deadline, budget.permit(when.urgency, weight)).await;
            let Ok(permit) = permit else {
                return Err(Unread::Failed(last.unwrap_or_else(|| self.no_room())));
            };
            let sent = Instant::now();
            let outcome = timeout(REQUEST_LIMIT, request(self.service.clone())).await;
            drop(permit);
            let failed = match outcome {
                Ok(Ok(response)) => {
                    self.has_answered();
                    return Ok(response.into_inner());
                }
                Ok(Err(status)) => failure(&status, &self.connection),
                Err(_) => Failure::Connection(timed_out()),
            };
            match failed {
                Failure::Request(error) => {
                    self.has_answered();
                    return Err(Unread::Failed(error));
                }
                Failure::Exhausted(error) => {
                    self.has_answered();
                    if let Some(rate) = budget.slow_down() {
                        info!(connection = %self.connection, rate, "slower for a while: {error}");
                    }
                    last = Some(error);
                }
                Failure::Connection(error) => {
                    tries += 1;
                    // A server that closes an old connection costs one try, and a frozen one
                    // must not take all of them.
                    let silent = *self.answered.lock() < sent;
                    if silent && (tries > 1 || error.kind() == Kind::TimedOut) {
                        return Err(Unread::Lost(error));
                    }
                    if tries == TRIES {
                        return Err(Unread::Failed(error));
                    }
                    last = Some(error);
                    sleep(BETWEEN_TRIES).await;
                }
            }
        }
    }

    pub fn namespace(&self) -> &str {
        &self.connection.namespace
    }

    fn has_answered(&self) {
        *self.answered.lock() = Instant::now();
    }

    fn no_room(&self) -> Error {
        Error::new(
            Kind::Exhausted,
            format!(
                "more is asked of this namespace than its {} requests a second allow in time",
                self.connection.requests_per_second
            ),
            "Raise requestsPerSecond (with the server's limits in mind), name the queueTypes that \
             are used, or sum fewer task queues in one trigger.",
        )
    }
}

fn timed_out() -> Error {
    Error::new(
        Kind::TimedOut,
        format!("the server did not answer within {REQUEST_LIMIT:?}"),
        "Check that it runs and is not overloaded.",
    )
}
