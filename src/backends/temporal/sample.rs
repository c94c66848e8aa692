//! Measures the queries of a batch: each completed as soon as its requests are, the oldest samples
//! first.

use std::{collections::HashMap, iter, time::Duration};

use futures_util::{StreamExt, TryStreamExt, future, stream};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    client::Client,
    query::{
        Backlog, BuildIdSelection, DeploymentVersion, PendingQuery, Query, QueueType, RunningCheck,
        RunningWorkflows, TaskSelection,
    },
    rate_limiter::Priority,
    request_executor::{RequestContext, RequestError},
    responses::VersionState,
};
use crate::{error::Result, sampling::Measured};

/// A query without a sample is as urgent as one whose sample is this old, the default of
/// `staleWhileRevalidate`: it comes before those that have a sample to return meanwhile, and starves
/// none.
const AGE_WITHOUT_SAMPLE: Duration = Duration::from_secs(30);
/// Queries of a batch that calls wait for, and that are under way together; the rate limiters decide
/// what is really sent.
const AWAITED_AT_ONCE: usize = 32;
/// The same for those that no call waits for yet: they must not come as a burst.
const OTHERS_AT_ONCE: usize = 8;
/// Requests of one query that are under way together.
const REQUESTS_AT_ONCE: usize = 8;
/// Task queues in one visibility query.
const QUEUES_PER_COUNT: usize = 100;

/// Measures the queries of a batch until the deadline. `Err`: the connection is lost.
pub async fn sample_batch(
    client: &Client,
    batch: Vec<PendingQuery>,
    deadline: Instant,
) -> Result<()> {
    let announced = Mutex::new(client.requests.announce(batch.len()));
    let (awaited, others): (Vec<_>, Vec<_>) = batch.into_iter().partition(PendingQuery::is_awaited);
    let measure_all = |queries: Vec<_>, at_once| {
        let announced = &announced;
        let samples = queries
            .into_iter()
            .map(move |(query, measured_at)| async move {
                announced.lock().begin();
                sample_query(client, query, measured_at, deadline).await
            });
        let samples = stream::iter(samples).buffer_unordered(at_once);
        samples.try_for_each(|()| future::ready(Ok(())))
    };
    let awaited = measure_all(in_turn(awaited), AWAITED_AT_ONCE);
    // In the order in which they are expected.
    let others = with_age(others).collect();
    future::try_join(awaited, measure_all(others, OTHERS_AT_ONCE)).await?;
    Ok(())
}

/// The oldest samples first, of each namespace in turn: only so many queries are under way
/// together, and must not be of one namespace alone.
fn in_turn(batch: Vec<PendingQuery>) -> Vec<(PendingQuery, Instant)> {
    let mut queries: Vec<_> = with_age(batch).collect();
    queries.sort_by_key(|(_, measured_at)| *measured_at);
    let mut of_namespace = HashMap::<String, usize>::new();
    let turns = queries.into_iter().map(|(query, measured_at)| {
        let before = of_namespace
            .entry(query.namespace().to_owned())
            .or_default();
        *before += 1;
        (*before, query, measured_at)
    });
    let mut turns: Vec<_> = turns.collect();
    turns.sort_by_key(|(turn, _, _)| *turn);
    let in_turn = turns
        .into_iter()
        .map(|(_, query, measured_at)| (query, measured_at));
    in_turn.collect()
}

/// Queries with the time of their sample, which one without a sample has as well.
fn with_age(batch: Vec<PendingQuery>) -> impl Iterator<Item = (PendingQuery, Instant)> {
    let now = Instant::now();
    let never = now.checked_sub(AGE_WITHOUT_SAMPLE).unwrap_or(now);
    batch.into_iter().map(move |query| {
        let measured_at = query.measured_at().unwrap_or(never);
        (query, measured_at)
    })
}

async fn sample_query(
    client: &Client,
    query: PendingQuery,
    measured_at: Instant,
    deadline: Instant,
) -> Result<()> {
    let context = RequestContext {
        priority: Priority::Waited(measured_at),
        namespace: query.namespace(),
        deadline,
    };
    match measure(client, query.query(), context).await {
        Ok(measured) => query.complete(Ok(measured)),
        Err(RequestError::Failed(error)) => query.complete(Err(error)),
        Err(RequestError::ConnectionLost(error)) => return Err(error),
    }
    Ok(())
}

async fn measure(
    client: &Client,
    query: &Query,
    context: RequestContext<'_>,
) -> Result<Measured<Backlog>, RequestError> {
    let mut version = None;
    let mut measured = match &query.tasks {
        TaskSelection::All => sum_queues(client, query, context).await?,
        TaskSelection::BuildIds(build_ids) => {
            sum_build_ids(client, query, build_ids, context).await?
        }
        TaskSelection::Version(selected) => {
            let state = client.requests.version(selected, context).await?;
            let backlog = version_backlog(&state.sample, query);
            version = Some((selected, state.sample));
            Measured {
                sample: backlog,
                at: state.at,
            }
        }
    };
    if let Some(check) = &query.running
        && measured.sample.total() <= check.unless_above
    {
        let version = version
            .as_ref()
            .map(|(version, state)| (*version, &**state));
        // `at` stays that of the backlog, which is the value: a count only keeps the trigger active,
        // and visibility lags by seconds anyway.
        measured.sample.running = running_workflows(client, query, check, version, context).await?;
    }
    Ok(measured)
}

/// The sum over the queues of a query and the types that they use.
async fn sum_queues(
    client: &Client,
    query: &Query,
    context: RequestContext<'_>,
) -> Result<Measured<Backlog>, RequestError> {
    let now = Instant::now();
    let room = client.requests.has_room();
    let mut needed: Vec<(String, QueueType)> = Vec::new();
    for name in &query.queues.names {
        let usage = client.requests.usage();
        let plan = usage.read_plan(name, &query.types, room, now);
        needed.extend(iter::repeat(name.clone()).zip(plan.needed));
        for queue_type in plan.idle {
            client.read_when_idle(name, queue_type);
        }
    }
    let reads = needed.into_iter().map(|(name, queue_type)| async move {
        let state = client.requests.queue(&name, queue_type, context).await?;
        Ok(Measured {
            sample: vec![(queue_type, state.sample.backlog)],
            at: state.at,
        })
    });
    sum(reads).await
}

async fn sum_build_ids(
    client: &Client,
    query: &Query,
    build_ids: &BuildIdSelection,
    context: RequestContext<'_>,
) -> Result<Measured<Backlog>, RequestError> {
    let names = query.queues.names.iter().cloned();
    let reads = names.map(|name| async move {
        let requests = &client.requests;
        let read = requests.build_ids(&name, &query.types, build_ids, context);
        read.await
    });
    sum(reads).await
}

/// The sum of several responses, as old as the first request of them.
async fn sum<F>(reads: impl Iterator<Item = F>) -> Result<Measured<Backlog>, RequestError>
where
    F: Future<Output = Result<Measured<Vec<(QueueType, u64)>>, RequestError>>,
{
    let mut reads = stream::iter(reads).buffer_unordered(REQUESTS_AT_ONCE);
    let mut backlog = Backlog::default();
    let mut earliest: Option<Instant> = None;
    while let Some(response) = reads.try_next().await? {
        earliest = Some(earliest.map_or(response.at, |at| at.min(response.at)));
        for (queue_type, tasks) in response.sample {
            backlog.add(queue_type, tasks);
        }
    }
    Ok(Measured {
        sample: backlog,
        at: earliest.unwrap_or_else(Instant::now),
    })
}

/// The sum over those queues of a version that the query names. One that the version never polled
/// counts 0.
fn version_backlog(state: &VersionState, query: &Query) -> Backlog {
    let mut backlog = Backlog::default();
    for (name, queue_type, tasks) in &state.backlogs {
        if query.queues.names.contains(name) && query.types.contains(*queue_type) {
            backlog.add(*queue_type, *tasks);
        }
    }
    backlog
}

async fn running_workflows(
    client: &Client,
    query: &Query,
    check: &RunningCheck,
    version: Option<(&DeploymentVersion, &VersionState)>,
    context: RequestContext<'_>,
) -> Result<RunningWorkflows, RequestError> {
    match version {
        Some((_, state)) if state.draining => return Ok(RunningWorkflows::Draining),
        // It gets no new workflows, and none of its old ones is left.
        Some((_, state)) if !state.serving => return Ok(RunningWorkflows::AtLeast(0)),
        _ => {}
    }
    let version = version.map(|(version, _)| version);
    let queues: Vec<&str> = match &check.queue {
        Some(queue) => vec![queue],
        None => query.queues.names.iter().map(String::as_str).collect(),
    };
    for queues in queues.chunks(QUEUES_PER_COUNT) {
        let query = visibility_query(queues, version);
        let workflows = client.requests.count(query, context).await?.sample;
        // That there is one is all that matters.
        if workflows > 0 {
            return Ok(RunningWorkflows::AtLeast(workflows));
        }
    }
    Ok(RunningWorkflows::AtLeast(0))
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

/// Visibility queries have no parameters. The keys allow no quote in a name that gets here; should
/// one come nevertheless, it must not end the literal.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

#[cfg(test)]
mod tests;
