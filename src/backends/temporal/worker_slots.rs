//! How many slots of workers are in use, by the heartbeats that their SDKs send to the server.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use lru::LruCache;
use parking_lot::Mutex;
use temporalio_protos::temporal::api::{
    enums::v1::WorkerStatus,
    worker::v1::{WorkerHeartbeat, WorkerSlotsInfo},
    workflowservice::v1::{DescribeNamespaceRequest, ListWorkersRequest, ListWorkersResponse},
};
use tokio::time::Instant;
use tonic::{Code, Response};

use super::{
    query::{Query, QueueType, TypeSelection},
    rate_limiter::RateLimiter,
    request_executor::{Cost, RequestContext, RequestError, RequestExecutor},
    server_version::ServerVersion,
};
use crate::{
    backends::ttl_cache::TtlCache,
    error::{Error, Kind},
};

/// Requests a second for one namespace. The server has no limit of their own for them (they count as
/// ordinary requests, `frontend.namespaceRPS` and `matching.rps`), but searches the heartbeats of
/// all workers of the namespace for each (`filterWorkers` in its `workers/registry_impl.go`).
const LIST_RATE: f64 = 5.0;
/// How long a sum serves other queries: SDKs send a heartbeat once a minute.
const SLOTS_TTL: Duration = Duration::from_secs(10);
/// Workers in one response; with what an SDK says of each, about 1 MB.
const PAGE_SIZE: i32 = 1000;
/// More are an error rather than a part of the sum.
const PAGES: usize = 10;
/// How many sums are kept.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1000).expect("is not zero");
/// A worker that polls for longer without a heartbeat sends none: three of an SDK's intervals.
const SILENT_FOR: Duration = Duration::from_secs(3 * 60);

/// Reads and keeps sums of slots, of one connection.
pub struct WorkerSlots {
    limiter: RateLimiter,
    /// The namespace takes heartbeats; one that did not may do so later.
    heartbeats: AtomicBool,
    sums: TtlCache<String, SlotsInUse, RequestError>,
    /// Since when workers have polled without a heartbeat, by the hash of the query.
    silent: Mutex<LruCache<u64, Instant>>,
}

/// The slots that some workers have in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotsInUse {
    /// How many workers they are of.
    pub workers: u64,
    workflow: u64,
    activity: u64,
    nexus: u64,
}

impl SlotsInUse {
    /// Those that hold tasks of these types.
    pub fn of(&self, types: &TypeSelection) -> u64 {
        let slots = QueueType::ALL.map(|queue_type| match queue_type {
            _ if !types.contains(queue_type) => 0,
            QueueType::Workflow => self.workflow,
            QueueType::Activity => self.activity,
            QueueType::Nexus => self.nexus,
        });
        slots.into_iter().fold(0, u64::saturating_add)
    }

    pub fn add(&mut self, other: SlotsInUse) {
        self.workers += other.workers;
        self.workflow = self.workflow.saturating_add(other.workflow);
        self.activity = self.activity.saturating_add(other.activity);
        self.nexus = self.nexus.saturating_add(other.nexus);
    }
}

impl From<&WorkerHeartbeat> for SlotsInUse {
    fn from(heartbeat: &WorkerHeartbeat) -> Self {
        // With the heartbeat by which it says that it shuts down, an SDK says what its slots hold at
        // that moment, and no more ever: the server then lists it for five minutes (seen with
        // Python 1.35). No replica has to stay for it.
        if heartbeat.status() != WorkerStatus::Running {
            return SlotsInUse {
                workers: 1,
                ..SlotsInUse::default()
            };
        }
        let used = |slots: &Option<WorkerSlotsInfo>| {
            let slots = slots.as_ref();
            slots.map_or(0, |slots| slots.current_used_slots.try_into().unwrap_or(0))
        };
        let workflow: u64 = used(&heartbeat.workflow_task_slots_info);
        SlotsInUse {
            workers: 1,
            // A local activity runs in the worker that has the workflow.
            workflow: workflow + used(&heartbeat.local_activity_slots_info),
            activity: used(&heartbeat.activity_task_slots_info),
            nexus: used(&heartbeat.nexus_task_slots_info),
        }
    }
}

impl WorkerSlots {
    /// At most `rate` requests a second.
    pub fn new(rate: f64) -> Self {
        let mut silent = LruCache::unbounded();
        silent.resize(CAPACITY);
        WorkerSlots {
            limiter: RateLimiter::new(rate.min(LIST_RATE)),
            heartbeats: AtomicBool::new(false),
            sums: TtlCache::new(SLOTS_TTL, CAPACITY),
            silent: Mutex::new(silent),
        }
    }

    /// The slots in use of the workers that a query finds: at most as old as [`SLOTS_TTL`], beside
    /// the age of the heartbeats themselves.
    pub async fn in_use(
        &self,
        executor: &RequestExecutor,
        server: &ServerVersion,
        query: String,
        context: RequestContext<'_>,
    ) -> Result<SlotsInUse, RequestError> {
        let read = async {
            self.check_heartbeats(executor, server, context).await?;
            self.list(executor, server, &query, context).await
        };
        self.sums.get_or_read(&query, read).await
    }

    /// Records whether the workers of a query poll and send heartbeats. `Err`: they have polled
    /// without for too long to be new.
    pub fn check_silent(
        &self,
        query: &Query,
        polls: bool,
        slots: &SlotsInUse,
        now: Instant,
    ) -> Result<(), Error> {
        let mut hasher = DefaultHasher::new();
        query.hash(&mut hasher);
        let query = hasher.finish();
        let mut silent = self.silent.lock();
        if !polls || slots.workers > 0 {
            silent.pop(&query);
            return Ok(());
        }
        let since = *silent.get_or_insert(query, || now);
        let silent_for = now.saturating_duration_since(since);
        match silent_for < SILENT_FOR {
            true => Ok(()),
            false => Err(Error::new(
                Kind::Undetermined,
                format!(
                    "workers have polled for {} s, but none of them sends heartbeats, so that their \
                     slots in use are not known",
                    silent_for.as_secs()
                ),
                format!("Update their SDK or switch its worker heartbeats on, or {ALTERNATIVE}."),
            )),
        }
    }

    /// SDKs send heartbeats only where the namespace says that it takes them: without, no worker is
    /// listed, and that would look like no work.
    async fn check_heartbeats(
        &self,
        executor: &RequestExecutor,
        server: &ServerVersion,
        context: RequestContext<'_>,
    ) -> Result<(), RequestError> {
        if self.heartbeats.load(Ordering::Relaxed) {
            return Ok(());
        }
        let request = DescribeNamespaceRequest {
            namespace: executor.namespace().to_owned(),
            ..Default::default()
        };
        let cost = Cost::one(&self.limiter);
        let response = executor.execute(cost, context, |mut service| {
            let request = request.clone();
            async move { service.describe_namespace(request).await }
        });
        let info = response.await?.sample.namespace_info.unwrap_or_default();
        let takes_heartbeats = info.capabilities.unwrap_or_default().worker_heartbeats;
        self.heartbeats.store(takes_heartbeats, Ordering::Relaxed);
        match takes_heartbeats {
            true => Ok(()),
            false => Err(unsupported(
                server,
                "takes no heartbeats of this namespace's workers",
            )),
        }
    }

    async fn list(
        &self,
        executor: &RequestExecutor,
        server: &ServerVersion,
        query: &str,
        context: RequestContext<'_>,
    ) -> Result<SlotsInUse, RequestError> {
        let mut sum = SlotsInUse::default();
        let mut next_page_token = Vec::new();
        for _ in 0..PAGES {
            let request = ListWorkersRequest {
                namespace: executor.namespace().to_owned(),
                page_size: PAGE_SIZE,
                next_page_token,
                query: query.to_owned(),
                ..Default::default()
            };
            let cost = Cost::one(&self.limiter);
            let response = executor.execute(cost, context, |mut service| {
                let request = request.clone();
                async move {
                    match service.list_workers(request).await {
                        Err(status) if status.code() == Code::Unimplemented => {
                            Ok(Response::new(None))
                        }
                        response => Ok(response?.map(Some)),
                    }
                }
            });
            let Some(page) = response.await?.sample else {
                return Err(unsupported(server, "does not list workers"));
            };
            let Some(slots) = slots_of(&page) else {
                return Err(unsupported(server, "lists workers without their slots"));
            };
            sum.add(slots);
            next_page_token = page.next_page_token;
            if next_page_token.is_empty() {
                return Ok(sum);
            }
        }
        Err(RequestError::Failed(Error::new(
            Kind::Exhausted,
            format!("more than {} workers poll", sum.workers),
            format!("Name fewer task queues in one trigger, or {ALTERNATIVE}."),
        )))
    }
}

/// `None`: the slots are not in the response. Its field for them is deprecated: a later server may
/// list workers without them.
#[allow(deprecated)]
fn slots_of(page: &ListWorkersResponse) -> Option<SlotsInUse> {
    if page.workers_info.len() < page.workers.len() {
        return None;
    }
    let mut sum = SlotsInUse::default();
    for info in &page.workers_info {
        sum.add(info.worker_heartbeat.as_ref()?.into());
    }
    Some(sum)
}

const ALTERNATIVE: &str = "use `inFlight: workflows`";

fn unsupported(server: &ServerVersion, what: &str) -> RequestError {
    RequestError::Failed(Error::new(
        Kind::Unreadable,
        format!("server {server} {what}, so that their slots in use are not known"),
        format!(
            "`inFlight: workers` needs Temporal server 1.30 or newer with \
             frontend.WorkerHeartbeatsEnabled on; or {ALTERNATIVE}."
        ),
    ))
}

#[cfg(test)]
mod tests;
