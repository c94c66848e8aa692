//! How a request is sent: within a rate limit, and again where that may help, until its deadline.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Response, Status};
use tracing::info;

use super::{
    channel::ServiceClient,
    config::Connection,
    errors::{RequestFailure, request_failure},
    rate_limiter::{Priority, RateLimiter},
};
use crate::{
    error::{Error, Kind},
    sampling::Measured,
};

/// A request that takes longer has failed: well below what a call waits for by default.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Attempts of one request that failed and may have been the connection's failure.
const CONNECTION_ATTEMPTS: u32 = 3;
/// Between two of them. The channel reconnects meanwhile.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Before a request is sent again that was refused for its rate: doubling, up to a second.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// Sends the requests of one connection.
pub struct RequestExecutor {
    service: ServiceClient,
    connection: Connection,
    /// When the server last responded to any request.
    last_response: Mutex<Instant>,
}

/// Why a request has no response.
#[derive(Clone, Debug)]
pub enum RequestError {
    /// The connection is lost.
    ConnectionLost(Error),
    /// This request alone failed.
    Failed(Error),
}

/// How urgent a response is, and until when it is of use.
#[derive(Clone, Copy)]
pub struct RequestContext<'a> {
    pub priority: Priority,
    /// The Kubernetes namespace that it is for.
    pub namespace: &'a str,
    pub deadline: Instant,
}

/// The limiter of a request, and how many ordinary requests it weighs.
#[derive(Clone, Copy)]
pub struct Cost<'a> {
    pub limiter: &'a RateLimiter,
    pub weight: u32,
}

impl<'a> Cost<'a> {
    /// That of an ordinary request.
    pub fn one(limiter: &'a RateLimiter) -> Self {
        Cost { limiter, weight: 1 }
    }
}

/// How one attempt failed.
enum AttemptError {
    /// The deadline passed before there was a response.
    OutOfTime(Error),
    /// The server refused it for its rate.
    RateLimited(Error),
    /// The server refused it for good.
    Rejected(Error),
    /// It may be the connection's failure. `silent`: no request has had a response since this one
    /// was sent.
    Connection { error: Error, silent: bool },
}

impl RequestExecutor {
    pub fn new(service: ServiceClient, connection: Connection) -> Self {
        RequestExecutor {
            service,
            connection,
            last_response: Mutex::new(Instant::now()),
        }
    }

    pub fn namespace(&self) -> &str {
        &self.connection.namespace
    }

    /// The response, with the time at which its request was sent.
    pub async fn execute<T, F>(
        &self,
        cost: Cost<'_>,
        context: RequestContext<'_>,
        request: impl Fn(ServiceClient) -> F,
    ) -> Result<Measured<T>, RequestError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut retries = Retries::default();
        loop {
            match self.attempt(cost, context, &request).await {
                Ok(response) => return Ok(response),
                Err(error) => sleep(retries.pause_after(error)?).await,
            }
        }
    }

    /// Sends a request once.
    async fn attempt<T, F>(
        &self,
        cost: Cost<'_>,
        context: RequestContext<'_>,
        request: &impl Fn(ServiceClient) -> F,
    ) -> Result<Measured<T>, AttemptError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let RequestContext {
            priority,
            namespace,
            ..
        } = context;
        let permit = cost.limiter.acquire(priority, namespace, cost.weight);
        let Ok(permit) = timeout_at(context.deadline, permit).await else {
            return Err(AttemptError::OutOfTime(self.rate_too_low()));
        };
        let sent_at = Instant::now();
        let limit = context.deadline.min(sent_at + REQUEST_TIMEOUT);
        let outcome = timeout_at(limit, request(self.service.clone())).await;
        drop(permit);
        match outcome {
            Ok(Ok(response)) => {
                self.record_response();
                cost.limiter.accepted();
                Ok(Measured {
                    sample: response.into_inner(),
                    at: sent_at,
                })
            }
            Ok(Err(status)) => Err(self.classify(status, cost.limiter, sent_at)),
            // Too little time was left to say anything of the connection.
            Err(_) if limit < sent_at + REQUEST_TIMEOUT => {
                Err(AttemptError::OutOfTime(timed_out(limit - sent_at)))
            }
            Err(_) => Err(self.connection_failure(timed_out(REQUEST_TIMEOUT), sent_at)),
        }
    }

    fn classify(&self, status: Status, limiter: &RateLimiter, sent_at: Instant) -> AttemptError {
        match request_failure(status, &self.connection) {
            RequestFailure::Connection(error) => self.connection_failure(error, sent_at),
            RequestFailure::Rejected(error) => {
                self.record_response();
                limiter.accepted();
                AttemptError::Rejected(error)
            }
            RequestFailure::RateLimited(error) => {
                self.record_response();
                if let Some(rate) = limiter.refused() {
                    info!(connection = %self.connection, rate, "slower for a while: {error}");
                }
                AttemptError::RateLimited(error)
            }
        }
    }

    fn connection_failure(&self, error: Error, sent_at: Instant) -> AttemptError {
        let silent = *self.last_response.lock() < sent_at;
        AttemptError::Connection { error, silent }
    }

    fn record_response(&self) {
        *self.last_response.lock() = Instant::now();
    }

    fn rate_too_low(&self) -> Error {
        Error::new(
            Kind::Exhausted,
            format!(
                "the triggers of this namespace need more than its {} requests a second",
                self.connection.requests_per_second
            ),
            "Raise requestsPerSecond (with the server's limits in mind), name the queueTypes that \
             are used, or sum fewer task queues in one trigger.",
        )
    }
}

/// The failed attempts of one request.
#[derive(Default)]
struct Retries {
    connection_failures: u32,
    refusals: u32,
    last: Option<Error>,
}

impl Retries {
    /// How long to wait before the next attempt, or the error if there must be none.
    fn pause_after(&mut self, error: AttemptError) -> Result<Duration, RequestError> {
        match error {
            // The failure before it says more.
            AttemptError::OutOfTime(error) => {
                Err(RequestError::Failed(self.last.take().unwrap_or(error)))
            }
            AttemptError::Rejected(error) => Err(RequestError::Failed(error)),
            AttemptError::RateLimited(error) => {
                self.last = Some(error);
                let pause = REFUSED_PAUSE * 2_u32.saturating_pow(self.refusals);
                self.refusals += 1;
                Ok(pause.min(LONGEST_REFUSED_PAUSE))
            }
            AttemptError::Connection { error, silent } => {
                self.connection_failures += 1;
                // A server that closes an old connection costs one attempt, and one that hangs must
                // not take all of them.
                let lost = self.connection_failures > 1 || error.kind() == Kind::TimedOut;
                if silent && lost {
                    return Err(RequestError::ConnectionLost(error));
                }
                if self.connection_failures == CONNECTION_ATTEMPTS {
                    return Err(RequestError::Failed(error));
                }
                self.last = Some(error);
                Ok(RETRY_PAUSE)
            }
        }
    }
}

fn timed_out(limit: Duration) -> Error {
    Error::new(
        Kind::TimedOut,
        format!("the server did not respond within {limit:?}"),
        "Check that it runs and is not overloaded.",
    )
}
