//! Measures the queries of a batch: each completed as soon as its requests are, the oldest samples
//! first.

use std::{collections::HashMap, iter, time::Duration};

use futures_util::{StreamExt, TryStreamExt, future, stream};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    backlog::{Backlog, PendingQuery, TaskStats},
    client::Client,
    in_flight::add_in_flight,
    query::{BuildIdSelection, Query, QueueType, TaskSelection},
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
            version = Some(state.sample);
            Measured {
                sample: backlog,
                at: state.at,
            }
        }
    };
    // `at` stays that of the backlog, which is the value: what is in flight only keeps the trigger
    // active or holds replicas, and visibility and heartbeats lag by seconds anyway.
    let backlog = &mut measured.sample;
    add_in_flight(client, query, version.as_deref(), backlog, context).await?;
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
            sample: vec![(queue_type, state.sample.stats)],
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
    F: Future<Output = Result<Measured<Vec<(QueueType, TaskStats)>>, RequestError>>,
{
    let mut reads = stream::iter(reads).buffer_unordered(REQUESTS_AT_ONCE);
    let mut backlog = Backlog::default();
    let mut earliest: Option<Instant> = None;
    while let Some(response) = reads.try_next().await? {
        earliest = Some(earliest.map_or(response.at, |at| at.min(response.at)));
        for (queue_type, stats) in response.sample {
            backlog.add(queue_type, stats);
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
    for (name, queue_type, stats) in &state.queues {
        if query.queues.names.contains(name) && query.types.contains(*queue_type) {
            backlog.add(*queue_type, *stats);
        }
    }
    backlog
}

#[cfg(test)]
mod tests;
