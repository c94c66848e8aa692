//! Answers a batch: every query as soon as its reads are in, the oldest samples first.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, future, stream};
use tokio::time::Instant;

use super::{
    Backlog, Live, PendingQuery,
    client::{Client, Unread, When},
    query::{Of, Query, QueueType, Running, Version},
    rate_limiter::Urgency,
    requests::VersionState,
};
use crate::{error::Result, sampling::Measured};

/// What a batch could not read by then is answered with the reason. Less than the time after
/// which the engine takes the connection for lost, as this one is only busy.
const BATCH_LIMIT: Duration = Duration::from_secs(25);
/// A query that was never answered is as urgent as one whose sample is this old: it waits for its
/// turn, and starves nobody.
const AS_OLD: Duration = Duration::from_secs(25);
/// Queries of a batch that are under way together; the budgets decide what is really sent.
const QUERIES_AT_ONCE: usize = 32;
/// Reads of one query that are under way together.
const READS_AT_ONCE: usize = 8;
/// Task queues in one visibility query.
const QUEUES_PER_COUNT: usize = 100;

/// Answers the queries of a batch. `Err`: the connection is lost.
pub async fn answer(client: &Client, asks: Vec<PendingQuery>) -> Result<()> {
    let now = Instant::now();
    let never = now.checked_sub(AS_OLD).unwrap_or(now);
    let measured = |ask: &PendingQuery| ask.measured_at().unwrap_or(never);
    let mut asks = asks;
    asks.sort_by_key(measured);
    let answers = asks.into_iter().map(|ask| {
        let when = When {
            urgency: Urgency::Waited(measured(&ask)),
            deadline: now + BATCH_LIMIT,
        };
        answer_one(client, ask, when)
    });
    let answers = stream::iter(answers).buffer_unordered(QUERIES_AT_ONCE);
    answers.try_for_each(|()| future::ready(Ok(()))).await
}

async fn answer_one(client: &Client, ask: PendingQuery, when: When) -> Result<()> {
    match measure(client, ask.query(), when).await {
        Ok(sample) => {
            let at = Instant::now();
            ask.complete(Ok(Measured { sample, at }));
        }
        Err(Unread::Failed(error)) => ask.complete(Err(error)),
        Err(Unread::Lost(error)) => return Err(error),
    }
    Ok(())
}

async fn measure(client: &Client, query: &Query, when: When) -> Result<Backlog, Unread> {
    let (mut backlog, version) = match &query.of {
        Of::Queue => (of_queues(client, query, when).await?, None),
        Of::BuildIds(build_ids) => {
            let mut backlog = Backlog::default();
            for name in &query.queues.names {
                let read = client.reader.build_ids(name, &query.types, build_ids, when);
                for (queue_type, tasks) in read.await? {
                    backlog.add(queue_type, tasks);
                }
            }
            (backlog, None)
        }
        Of::Version(version) => {
            let state = client.reader.version(version, when).await?;
            (of_version(&state, query), Some((version, state)))
        }
    };
    if let Some(running) = &query.running
        && backlog.total() <= running.unless_above
    {
        backlog.running = match &version {
            Some((_, state)) if state.draining => Live::Draining,
            // Nothing new comes to it, and nothing old is left.
            Some((_, state)) if !state.serving => Live::Workflows(0),
            _ => {
                let version = version.as_ref().map(|(version, _)| *version);
                count_running(client, query, running, version, when).await?
            }
        };
    }
    Ok(backlog)
}

/// The sum over the queues of a query and the types that they use.
async fn of_queues(client: &Client, query: &Query, when: When) -> Result<Backlog, Unread> {
    let mut reads: Vec<(String, QueueType)> = Vec::new();
    let now = Instant::now();
    for name in &query.queues.names {
        let plan = client.reader.usage.plan(name, &query.types, now);
        reads.extend(
            plan.now
                .iter()
                .map(|queue_type| (name.clone(), *queue_type)),
        );
        for queue_type in plan.idle {
            client.read_when_idle(name, queue_type);
        }
    }
    let reads = reads.into_iter().map(|(name, queue_type)| async move {
        let reading = client.reader.queue(&name, queue_type, when).await?;
        Ok((queue_type, reading.backlog))
    });
    let reads = stream::iter(reads).buffer_unordered(READS_AT_ONCE);
    let sum = |mut sum: Backlog, (queue_type, tasks)| {
        sum.add(queue_type, tasks);
        future::ready(Ok(sum))
    };
    reads.try_fold(Backlog::default(), sum).await
}

/// The sum over those queues of a version that the query names. One that the version never polled
/// counts 0.
fn of_version(state: &VersionState, query: &Query) -> Backlog {
    let mut backlog = Backlog::default();
    for (name, queue_type, tasks) in &state.backlogs {
        if query.queues.names.contains(name) && query.types.contains(*queue_type) {
            backlog.add(*queue_type, *tasks);
        }
    }
    backlog
}

async fn count_running(
    client: &Client,
    query: &Query,
    running: &Running,
    version: Option<&Version>,
    when: When,
) -> Result<Live, Unread> {
    let queues: Vec<&str> = match &running.queue {
        Some(queue) => vec![queue],
        None => query.queues.names.iter().map(String::as_str).collect(),
    };
    let mut workflows = 0_u64;
    for queues in queues.chunks(QUEUES_PER_COUNT) {
        let counted = client.reader.count(visibility_query(queues, version), when);
        workflows = workflows.saturating_add(counted.await?);
        // Whether any runs is all that matters.
        if workflows > 0 {
            break;
        }
    }
    Ok(Live::Workflows(workflows))
}

/// Restricted to the version, or to workflows that have none, so that the workflows of one version
/// do not keep the workers of another alive (as in KEDA).
fn visibility_query(queues: &[&str], version: Option<&Version>) -> String {
    let queues = match queues {
        [queue] => format!("= '{queue}'"),
        queues => format!("IN ('{}')", queues.join("','")),
    };
    let version = match version {
        Some(version) => format!("= '{version}'"),
        None => "IS NULL".to_owned(),
    };
    format!(
        "ExecutionStatus = 'Running' AND TaskQueue {queues} \
         AND TemporalWorkerDeploymentVersion {version}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backends::temporal::query::Types, metadata::patterns::Patterns};

    #[test]
    fn running_workflows_are_those_of_the_version_or_of_none() {
        assert_eq!(
            visibility_query(&["q"], None),
            "ExecutionStatus = 'Running' AND TaskQueue = 'q' \
             AND TemporalWorkerDeploymentVersion IS NULL"
        );
        let version = Version {
            deployment: "orders".to_owned(),
            build_id: "v1".to_owned(),
        };
        assert_eq!(
            visibility_query(&["a", "b"], Some(&version)),
            "ExecutionStatus = 'Running' AND TaskQueue IN ('a','b') \
             AND TemporalWorkerDeploymentVersion = 'orders:v1'"
        );
    }

    #[test]
    fn a_version_counts_by_queue_and_type() {
        let version = Version {
            deployment: "orders".to_owned(),
            build_id: "v1".to_owned(),
        };
        let state = VersionState {
            draining: false,
            serving: true,
            backlogs: vec![
                ("q".to_owned(), QueueType::Workflow, 1),
                ("q".to_owned(), QueueType::Activity, 20),
                ("other".to_owned(), QueueType::Activity, 300),
            ],
        };
        let of = |types: Types| {
            let queues = Patterns {
                names: ["q".to_owned(), "never-polled".to_owned()].into(),
                ..Patterns::default()
            };
            let query = Query {
                queues,
                types,
                of: Of::Version(version.clone()),
                running: None,
            };
            of_version(&state, &query).total()
        };
        assert_eq!(of(Types::All), 21);
        assert_eq!(of(Types::Named([QueueType::Activity].into())), 20);
    }
}
