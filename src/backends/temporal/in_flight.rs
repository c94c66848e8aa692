//! Work that is taken and not finished: workflows that run, by visibility, and slots of workers.

use tokio::time::Instant;

use super::{
    backlog::{Backlog, RunningWorkflows},
    client::Client,
    query::{DeploymentVersion, InFlight, Query, RunningCheck, TaskSelection},
    request_executor::{RequestContext, RequestError},
    responses::VersionState,
    worker_slots::SlotsInUse,
};

/// Task queues in one visibility query.
const QUEUES_PER_COUNT: usize = 100;
/// Task queues in one query of workers, which has no `IN`.
const QUEUES_PER_LIST: usize = 50;

/// Adds what a query wants to know beside the backlog. `version` is the state of the version that it
/// selects.
pub async fn add_in_flight(
    client: &Client,
    query: &Query,
    version: Option<&VersionState>,
    backlog: &mut Backlog,
    context: RequestContext<'_>,
) -> Result<(), RequestError> {
    if let Some(check) = &query.running
        && backlog.total() <= check.unless_above
    {
        backlog.running = running_workflows(client, query, check, version, context).await?;
    }
    match &query.in_flight {
        None => {}
        Some(InFlight::Workflows { queue }) => {
            let queue = queue.as_deref();
            backlog.in_flight = count_workflows(client, query, queue, version, context).await?;
        }
        Some(InFlight::WorkerSlots) => {
            backlog.in_flight = used_slots(client, query, backlog.is_polled(), context).await?;
        }
    }
    Ok(())
}

/// Whether workflows run: that there is one is all that matters.
async fn running_workflows(
    client: &Client,
    query: &Query,
    check: &RunningCheck,
    version: Option<&VersionState>,
    context: RequestContext<'_>,
) -> Result<RunningWorkflows, RequestError> {
    if version.is_some_and(|state| state.draining) {
        return Ok(RunningWorkflows::Draining);
    }
    if is_without_workflows(version) {
        return Ok(RunningWorkflows::AtLeast(0));
    }
    for query in visibility_queries(query, check.queue.as_deref()) {
        let workflows = client.requests.count(query, context).await?.sample;
        if workflows > 0 {
            return Ok(RunningWorkflows::AtLeast(workflows));
        }
    }
    Ok(RunningWorkflows::AtLeast(0))
}

/// How many workflows run, of all queues.
async fn count_workflows(
    client: &Client,
    query: &Query,
    queue: Option<&str>,
    version: Option<&VersionState>,
    context: RequestContext<'_>,
) -> Result<u64, RequestError> {
    if is_without_workflows(version) {
        return Ok(0);
    }
    let mut sum = 0_u64;
    for query in visibility_queries(query, queue) {
        let workflows = client.requests.count(query, context).await?.sample;
        sum = sum.saturating_add(workflows);
    }
    Ok(sum)
}

/// The version gets no new workflows, and none of its old ones is left.
fn is_without_workflows(version: Option<&VersionState>) -> bool {
    version.is_some_and(|state| !state.draining && !state.serving)
}

/// How many slots the workers of the queues have in use.
async fn used_slots(
    client: &Client,
    query: &Query,
    polled: bool,
    context: RequestContext<'_>,
) -> Result<u64, RequestError> {
    let mut sum = SlotsInUse::default();
    for workers in worker_queries(query) {
        sum.add(client.requests.worker_slots(workers, context).await?);
    }
    let slots = client.requests.slots();
    let silent = slots.check_silent(query, polled, &sum, Instant::now());
    silent.map_err(RequestError::Failed)?;
    Ok(sum.of(&query.types))
}

/// The visibility queries that count the running workflows of a query, or of another task queue.
fn visibility_queries(query: &Query, other: Option<&str>) -> Vec<String> {
    let queues: Vec<&str> = match other {
        Some(queue) => vec![queue],
        None => query.queues.names.iter().map(String::as_str).collect(),
    };
    let version = version(query);
    let chunks = queues.chunks(QUEUES_PER_COUNT);
    chunks
        .map(|queues| visibility_query(queues, version))
        .collect()
}

fn version(query: &Query) -> Option<&DeploymentVersion> {
    match &query.tasks {
        TaskSelection::Version(version) => Some(version),
        TaskSelection::All | TaskSelection::BuildIds(_) => None,
    }
}

/// Restricted to the version, or to workflows that have none, so that the workflows of one version
/// do not keep the workers of another alive (as in KEDA).
fn visibility_query(queues: &[&str], version: Option<&DeploymentVersion>) -> String {
    let queues = match queues {
        [queue] => format!("= {}", literal(queue)),
        queues => {
            let queues: Vec<String> = queues.iter().map(|queue| literal(queue)).collect();
            format!("IN ({})", queues.join(","))
        }
    };
    let version = match version {
        Some(version) => format!("= {}", literal(&version.to_string())),
        None => "IS NULL".to_owned(),
    };
    format!(
        "ExecutionStatus = 'Running' AND TaskQueue {queues} \
         AND TemporalWorkerDeploymentVersion {version}"
    )
}

/// The queries that find the workers of a query's task queues; of one version, if it selects one.
///
/// The server reads no operator but `=` for a name, and takes one that it does not know for a worker
/// that does not match (`evaluateComparison` in its `workers/worker_query_engine.go`).
fn worker_queries(query: &Query) -> Vec<String> {
    let names: Vec<&String> = query.queues.names.iter().collect();
    let chunks = names.chunks(QUEUES_PER_LIST);
    let filters = chunks.map(|names| {
        let queues: Vec<String> = names
            .iter()
            .map(|name| format!("TaskQueue = {}", literal(name)))
            .collect();
        let queues = queues.join(" OR ");
        match version(query) {
            None => queues,
            Some(version) => format!(
                "({queues}) AND DeploymentName = {} AND BuildId = {}",
                literal(&version.deployment),
                literal(&version.build_id)
            ),
        }
    });
    filters.collect()
}

/// Such queries have no parameters. The keys allow no quote in a name that gets here; should one
/// come nevertheless, it must not end the literal.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

#[cfg(test)]
mod tests;
