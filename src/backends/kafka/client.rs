//! A live connection: a handle with what it learned.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::try_join_all;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::{Instant, sleep};
use tokio_util::sync::DropGuard;

use super::{
    config::Connection,
    errors,
    health::Health,
    native::{Answer, End, Failure, Handle, Offset},
    progress::Progress,
    topics::Topics,
};
use crate::error::Error;

/// A live connection.
pub struct Client {
    pub handle: Arc<Handle>,
    pub health: Arc<Health>,
    /// Which topics there are.
    pub topics: Topics,
    /// Since when groups are where they are.
    pub progress: Arc<Progress>,
    connection: Connection,
    made: Instant,
    /// A request waits in librdkafka for a coordinator that does not answer.
    stuck: AtomicBool,
    /// Ends the task that supplies tokens.
    _tokens: Option<DropGuard>,
}

/// librdkafka remembers a group's coordinator as long as it is asked for, even one that has moved
/// or died: only a new handle forgets it. No more often than this, so that a group whose
/// coordinator is down does not cost the others their connection over and over.
const RENEW_AFTER: Duration = Duration::from_secs(5);

/// The part of the time that is left that a coordinator may take before it is looked for by a new
/// handle; the rest is for that.
const COORDINATOR: f64 = 0.6;

/// librdkafka looks for leaders, and merges the answers of brokers, in time that grows with the
/// square of this.
const PARTITIONS_A_REQUEST: usize = 100;

impl Client {
    pub fn new(
        handle: Arc<Handle>,
        health: Arc<Health>,
        progress: Arc<Progress>,
        connection: Connection,
        tokens: Option<DropGuard>,
    ) -> Self {
        Client {
            handle,
            health,
            topics: Topics::default(),
            progress,
            connection,
            made: Instant::now(),
            stuck: AtomicBool::new(false),
            _tokens: tokens,
        }
    }

    /// Waits until no broker is left, counted from the call.
    pub fn fall(&self) -> impl Future<Output = Error> + use<'_> {
        let fall = self.health.fall();
        async { errors::of_connection(&fall.await, &self.connection) }
    }

    /// Whether a new handle may help against coordinators that have moved.
    pub fn may_renew(&self) -> bool {
        self.made.elapsed() > RENEW_AFTER
    }

    /// Whether the handle should be replaced though everybody has got an answer: requests that wait
    /// in it for ever must not pile up.
    pub fn is_worn(&self) -> bool {
        self.stuck.load(Ordering::Relaxed) && self.may_renew()
    }

    /// How long one request for a group's offsets may take.
    fn group_limit(&self, deadline: Instant) -> Duration {
        match self.may_renew() {
            true => left(deadline).mul_f64(COORDINATOR),
            false => left(deadline),
        }
    }

    /// All offsets that a group has committed. While its coordinator moves, asks again.
    /// The request goes out at once; the future is its answer.
    pub fn committed(
        &self,
        group: String,
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<Offset>, Failure>> + use<'_> {
        let mut request = self.handle.committed(&group, self.group_limit(deadline));
        async move {
            let mut pause = Duration::from_millis(50);
            loop {
                let failure = match request.answer().await {
                    Ok(answer) => return Ok(offsets(answer)),
                    Err(failure) => failure,
                };
                if failure.code == Code::OperationTimedOut {
                    self.stuck.store(true, Ordering::Relaxed);
                }
                let last = left(deadline) < pause * 3;
                if last || !errors::is_of_coordinator(failure.code) {
                    return Err(failure);
                }
                sleep(pause).await;
                pause *= 2;
                request = self.handle.committed(&group, self.group_limit(deadline));
            }
        }
    }

    /// An end of partitions, all of which one broker leads. The requests go out at once; the
    /// future is their answer.
    pub fn ends(
        &self,
        partitions: &BTreeSet<(Arc<str>, i32)>,
        end: End,
        limit: Duration,
    ) -> impl Future<Output = Result<Vec<Offset>, Failure>> + use<> {
        let partitions = Vec::from_iter(partitions.iter().cloned());
        let chunks = partitions.chunks(PARTITIONS_A_REQUEST);
        let requests: Vec<_> = chunks
            .map(|chunk| self.handle.list_offsets(chunk, end, limit).answer())
            .collect();
        async move {
            let mut all = Vec::with_capacity(partitions.len());
            for answer in try_join_all(requests).await? {
                all.extend(offsets(answer));
            }
            Ok(all)
        }
    }
}

/// How much time is left; never nothing, as librdkafka takes that for its default of a minute.
pub fn left(deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left.max(Duration::from_millis(1))
}

fn offsets(answer: Answer) -> Vec<Offset> {
    match answer {
        Answer::Offsets(offsets) => offsets,
        _ => Vec::new(),
    }
}
