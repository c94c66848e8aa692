//! One server: pipelines and pages of a scan, each until its deadline.

use parking_lot::Mutex;
use redis::{
    Cmd, Pipeline, RedisError, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::{
    command::Reply,
    errors::{is_of_connection, no_response},
    transport::Allowance,
};

/// An open connection to one server. Requests share it: a response that comes after its deadline is
/// dropped by the client library, and the requests behind it are not affected.
pub struct RedisServer {
    connection: MultiplexedConnection,
    allowance: Allowance,
    /// Reads and writes for the connection.
    _driver: AbortOnDropHandle<()>,
    health: Mutex<ServerHealth>,
}

struct ServerHealth {
    last_response: Instant,
    /// Why the connection is broken, or seems to be.
    failed: Option<RedisError>,
}

/// Keys that one SCAN call looks at: large enough for few round trips, small enough to hold up
/// the server for well under a millisecond.
const SCAN_COUNT: u64 = 1000;

impl RedisServer {
    pub fn new(
        connection: MultiplexedConnection,
        allowance: Allowance,
        driver: AbortOnDropHandle<()>,
    ) -> Self {
        RedisServer {
            connection,
            allowance,
            _driver: driver,
            health: Mutex::new(ServerHealth {
                last_response: Instant::now(),
                failed: None,
            }),
        }
    }

    /// Members or entries are about to be requested, which may be large.
    pub fn expect_payloads(&self, number: usize) {
        if number > 0 {
            self.allowance.expect(number);
        }
    }

    /// Runs a pipeline in one round trip: a reply for each of its commands.
    pub async fn run(
        &self,
        pipeline: &Pipeline,
        deadline: Instant,
    ) -> Result<Vec<Reply>, RedisError> {
        let mut connection = self.connection.clone();
        let length = pipeline.len();
        let request = connection.req_packed_commands(pipeline, 0, length);
        let values = self.until(deadline, request).await?;
        Ok(values.into_iter().map(Value::extract_error).collect())
    }

    /// One page of a scan: the next cursor and some keys.
    pub async fn scan_page(&self, glob: &str, cursor: u64, deadline: Instant) -> Reply {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(glob);
        scan.arg("COUNT").arg(SCAN_COUNT);
        self.command(scan, deadline).await
    }

    /// Runs one command; an error of the server is this command's.
    pub async fn command(&self, command: Cmd, deadline: Instant) -> Reply {
        let mut connection = self.connection.clone();
        let request = command.query_async(&mut connection);
        self.until(deadline, request).await
    }

    /// Why the connection is broken, or seems to be as nothing came back since a request was late.
    pub fn failure(&self) -> Option<RedisError> {
        self.health.lock().failed.clone()
    }

    async fn until<T>(
        &self,
        deadline: Instant,
        request: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, RedisError> {
        let sent = Instant::now();
        let outcome = timeout_at(deadline, request).await;
        let late = outcome.is_err();
        let outcome =
            outcome.unwrap_or_else(|_| Err(no_response(deadline.saturating_duration_since(sent))));
        let mut health = self.health.lock();
        match &outcome {
            Err(error) if late && health.last_response < sent => {
                health.failed = Some(error.clone());
            }
            // Other requests had responses meanwhile.
            Err(_) if late => {}
            Err(error) if is_of_connection(error) => health.failed = Some(error.clone()),
            _ => {
                health.last_response = Instant::now();
                health.failed = None;
            }
        }
        outcome
    }
}
