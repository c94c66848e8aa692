//! What groups have committed: requested from the broker that coordinates them, many groups in one
//! request.

use std::collections::HashMap;

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use kafka_protocol::{ResponseError, error::ParseResponseErrorCode};
use tokio::time::Instant;

use super::{
    batch::{CommittedOffsets, LagBatch},
    client::Client,
    errors,
    protocol::{
        BrokerError, ErrorCause, FetchedOffsets, GroupOffsets,
        requests::{Unsettled, offset_fetch},
    },
    retry::Retry,
};
use crate::error::Result;

/// Responses stay small, and a broker serves others in between.
const GROUPS_A_REQUEST: usize = 250;

/// Reads what the groups of a batch have committed, and reports each group as soon as it is known.
/// An error means that no broker responds; some groups are not reported then.
///
/// A worklist of steps, each of which leads to others: a coordinator that does not respond holds up
/// its own groups alone.
pub async fn read(client: &Client, batch: &LagBatch<'_>, retry: Retry) -> Result<(), BrokerError> {
    let reader = CommittedReader { client, batch };
    let mut steps = vec![Step::Locate(batch.groups(), retry)];
    let mut in_flight = FuturesUnordered::new();
    loop {
        in_flight.extend(steps.drain(..).map(|step| reader.run(step)));
        match in_flight.next().await {
            Some(next) => steps = next?,
            None => return Ok(()),
        }
    }
}

/// What to do for some groups.
enum Step {
    /// Find the brokers that coordinate them.
    Locate(Vec<String>, Retry),
    /// Fetch their offsets from their coordinator.
    Fetch(i32, Vec<String>, Retry),
    /// Wait, then locate them again: their coordinator has moved, or is not ready.
    LocateAgain(Vec<String>, Retry),
}

/// The outcome of one group.
type Fetched = (String, Result<CommittedOffsets, BrokerError>);

struct CommittedReader<'a> {
    client: &'a Client,
    batch: &'a LagBatch<'a>,
}

impl CommittedReader<'_> {
    /// Takes a step, and returns those that follow from it.
    async fn run(&self, step: Step) -> Result<Vec<Step>, BrokerError> {
        match step {
            Step::Locate(groups, retry) => self.locate(groups, retry).await,
            Step::Fetch(coordinator, groups, retry) => {
                let fetched = self.fetch(coordinator, &groups, retry.attempt_deadline());
                Ok(self.report(fetched.await, retry))
            }
            Step::LocateAgain(groups, retry) => {
                let retry = retry.pause().await;
                Ok(vec![Step::Locate(groups, retry)])
            }
        }
    }

    /// Groups with a known coordinator go on at once; the others are looked up, together.
    async fn locate(&self, groups: Vec<String>, retry: Retry) -> Result<Vec<Step>, BrokerError> {
        let (known, unknown) = self.client.coordinators.sort(groups);
        if !known.is_empty() {
            let fetches = known.into_iter();
            let fetches = fetches.map(|(broker, groups)| Step::Fetch(broker, groups, retry));
            let others = (!unknown.is_empty()).then_some(Step::Locate(unknown, retry));
            return Ok(fetches.chain(others).collect());
        }
        let (coordinators, cluster) = (&self.client.coordinators, &self.client.cluster);
        let located = coordinators.find(cluster, &unknown, retry.deadline).await?;
        let mut by_coordinator = HashMap::<i32, Vec<String>>::new();
        let mut failed = Vec::new();
        for (group, coordinator) in located {
            match coordinator {
                Ok(broker) => by_coordinator.entry(broker).or_default().push(group),
                Err(error) => failed.push((group, Err(error))),
            }
        }
        let mut steps = self.report(failed, retry);
        let fetches = by_coordinator.into_iter();
        steps.extend(fetches.map(|(broker, groups)| Step::Fetch(broker, groups, retry)));
        Ok(steps)
    }

    /// Reports groups to the batch, but for those that another attempt may find elsewhere, or ready.
    fn report(&self, fetched: Vec<Fetched>, retry: Retry) -> Vec<Step> {
        let mut again = Vec::new();
        for (group, outcome) in fetched {
            match outcome {
                Err(error) if is_retriable(&error) && retry.has_time() => again.push(group),
                outcome => {
                    let outcome = outcome.map_err(|error| errors::of_group(&group, &error));
                    if outcome.as_ref().is_ok_and(CommittedOffsets::is_empty)
                        && self.batch.has_topics_of(&group)
                    {
                        self.client.warn_of_no_commits(&group);
                    }
                    self.batch.set_committed(&group, outcome);
                }
            }
        }
        if again.is_empty() {
            return Vec::new();
        }
        self.client.coordinators.remove(&again);
        vec![Step::LocateAgain(again, retry)]
    }

    /// The offsets of groups of one coordinator: the settled ones where a group has them.
    async fn fetch(&self, coordinator: i32, groups: &[String], deadline: Instant) -> Vec<Fetched> {
        let refuse = Unsettled::Refuse;
        let fetched = self.fetch_all(coordinator, groups, refuse, deadline).await;
        let (open, mut settled): (Vec<Fetched>, Vec<Fetched>) = fetched
            .into_iter()
            .partition(|(_, outcome)| is_open(outcome));
        if !open.is_empty() {
            let open: Vec<String> = open.into_iter().map(|(group, _)| group).collect();
            let accept = Unsettled::Accept;
            settled.extend(self.fetch_all(coordinator, &open, accept, deadline).await);
        }
        settled
    }

    async fn fetch_all(
        &self,
        coordinator: i32,
        groups: &[String],
        unsettled: Unsettled,
        deadline: Instant,
    ) -> Vec<Fetched> {
        let chunks = groups.chunks(GROUPS_A_REQUEST);
        let chunks = chunks.map(|chunk| self.fetch_chunk(coordinator, chunk, unsettled, deadline));
        join_all(chunks).await.into_iter().flatten().collect()
    }

    /// One request, or one for each group with brokers before Kafka 3.0: the first response shows.
    async fn fetch_chunk(
        &self,
        coordinator: i32,
        groups: &[String],
        unsettled: Unsettled,
        deadline: Instant,
    ) -> Vec<Fetched> {
        let request = |groups| self.request(coordinator, groups, unsettled, deadline);
        match request(groups).await {
            Ok(FetchedOffsets::One(offsets)) => {
                let (first, rest) = groups.split_first().expect("a request names a group");
                let rest = rest.iter().map(|group| async {
                    let one = request(std::slice::from_ref(group)).await;
                    (group.clone(), one.and_then(|found| of_one(group, found)))
                });
                let mut fetched = vec![(first.clone(), of_topics(offsets))];
                fetched.extend(join_all(rest).await);
                fetched
            }
            Ok(FetchedOffsets::Many(offsets)) => {
                let mut offsets: HashMap<String, GroupOffsets> = offsets.into_iter().collect();
                let of_group = |group: &String| {
                    let found = offsets.remove(group).ok_or_else(|| missing(group));
                    (group.clone(), found.and_then(of_topics))
                };
                groups.iter().map(of_group).collect()
            }
            Err(error) => {
                let failed = |group: &String| (group.clone(), Err(error.clone()));
                groups.iter().map(failed).collect()
            }
        }
    }

    async fn request(
        &self,
        coordinator: i32,
        groups: &[String],
        unsettled: Unsettled,
        deadline: Instant,
    ) -> Result<FetchedOffsets, BrokerError> {
        let request = |version| offset_fetch(version, groups, unsettled);
        let cluster = &self.client.cluster;
        cluster.request(coordinator, request, deadline).await
    }
}

/// Whether a transaction is about to commit offsets of the group.
fn is_open(outcome: &Result<CommittedOffsets, BrokerError>) -> bool {
    let error = outcome.as_ref().err().and_then(BrokerError::code);
    error == Some(ResponseError::UnstableOffsetCommit)
}

/// Whether another attempt may succeed: the coordinator moves, or has died and another takes over.
fn is_retriable(error: &BrokerError) -> bool {
    use ErrorCause as Cause;
    match error.cause {
        Cause::Code(error) => error.is_retriable(),
        Cause::TimedOut | Cause::Closed | Cause::Unreachable | Cause::Unresolved => true,
        Cause::Malformed
        | Cause::SpeaksTls
        | Cause::SpeaksPlain
        | Cause::Tls
        | Cause::NotAllowed
        | Cause::Login => false,
    }
}

fn of_one(group: &str, found: FetchedOffsets) -> Result<CommittedOffsets, BrokerError> {
    match found {
        FetchedOffsets::One(offsets) => of_topics(offsets),
        FetchedOffsets::Many(_) => Err(missing(group)),
    }
}

fn missing(group: &str) -> BrokerError {
    let text = format!("the response lacks group {group}");
    BrokerError::new(ErrorCause::Malformed, text)
}

fn of_topics(group: GroupOffsets) -> Result<CommittedOffsets, BrokerError> {
    if let Some(error) = BrokerError::from_number(group.error) {
        return Err(error);
    }
    let mut offsets = CommittedOffsets::with_capacity(group.topics.len());
    for (topic, found) in group.topics {
        let mut partitions = Vec::with_capacity(found.len());
        for one in found {
            let offset = match one.error.err() {
                None => Ok(one.offset),
                Some(open @ ResponseError::UnstableOffsetCommit) => {
                    return Err(BrokerError::from_code(open));
                }
                Some(error) => Err(error),
            };
            partitions.push((one.partition, offset));
        }
        partitions.sort_unstable_by_key(|(partition, _)| *partition);
        offsets.insert(topic, partitions);
    }
    Ok(offsets)
}
