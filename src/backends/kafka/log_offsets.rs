//! Where partitions begin and end: requested from the broker that leads them, all that a batch wants
//! in one request. A partition whose leader has moved is located again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use futures_util::{
    StreamExt,
    future::{try_join, try_join_all},
    stream::FuturesUnordered,
};
use kafka_protocol::ResponseError;
use tokio::time::Instant;

use super::{
    batch::{Bounds, LagBatch, PartitionBounds, Partitions, Source},
    client::Client,
    errors,
    partition_selection::{RequestedTopics, TopicInfo},
    protocol::{
        BrokerError, ErrorCause, ListedOffsets,
        requests::{LogEnd, list_offsets},
    },
    query::{Isolation, QueryId},
    retry::Retry,
};
use crate::error::{Error, Result};

/// Reads the log offsets that queries of a batch need, and reports them to the batch. An error means
/// that no broker responds; some partitions are not reported then.
pub async fn read(
    client: &Client,
    batch: &LagBatch<'_>,
    queries: Vec<QueryId>,
    retry: Retry,
) -> Result<(), BrokerError> {
    let topics = topic_info(client, batch.topics_of(&queries), retry.deadline).await?;
    let sources = batch.select(&queries, &topics).into_iter();
    let reads = sources.map(|(source, partitions)| {
        let reader = SourceReader {
            client,
            batch,
            source,
        };
        reader.read(partitions, retry)
    });
    try_join_all(reads).await.map(|_| ())
}

/// What the cluster has of the topics. The list of all topics, which regexes need, is large: where
/// it cannot be had, that is the error of the regexes alone.
async fn topic_info(
    client: &Client,
    requested: RequestedTopics,
    deadline: Instant,
) -> Result<TopicInfo, BrokerError> {
    let Client {
        cluster, topics, ..
    } = client;
    let mut regexes = HashMap::new();
    if !requested.regexes.is_empty() {
        let all = topics.list(cluster, deadline).await;
        let all = all.map_err(|error| errors::of_topic_list(&error));
        for regex in requested.regexes {
            let matching = all.as_ref().map_err(Error::clone);
            let matching = matching.and_then(|all| regex.matching(all));
            regexes.insert(regex.text().to_owned(), matching);
        }
    }
    let mut names: BTreeSet<&str> = requested.topics.iter().map(String::as_str).collect();
    names.extend(regexes.values().flatten().flatten().map(String::as_str));
    let described = topics.describe(cluster, &names, deadline).await?;
    Ok(TopicInfo::new(regexes, described))
}

/// What came of one partition.
enum PartitionRead {
    Read(Bounds),
    /// Another attempt may find it at another broker.
    Moved(BrokerError),
    Failed(Error),
}

/// Partitions whose leader has moved or gone.
type Moved = Vec<(Arc<str>, i32, BrokerError)>;

/// Reads the partitions of one source, wherever they move meanwhile.
struct SourceReader<'a> {
    client: &'a Client,
    batch: &'a LagBatch<'a>,
    source: Source,
}

impl SourceReader<'_> {
    async fn read(self, partitions: Partitions, mut retry: Retry) -> Result<(), BrokerError> {
        let mut by_leader = BTreeMap::from([(self.source.leader, partitions)]);
        loop {
            let moved = self.read_from(by_leader, retry).await;
            if moved.is_empty() {
                return Ok(());
            }
            if !retry.has_time() {
                self.batch.set_bounds(self.source, failed(moved));
                return Ok(());
            }
            retry = retry.pause().await;
            by_leader = self.locate(moved, retry.deadline).await?;
        }
    }

    /// Reads partitions from their leaders, and reports each leader's as they come. Returns those
    /// that have moved.
    async fn read_from(&self, by_leader: BTreeMap<i32, Partitions>, retry: Retry) -> Moved {
        let requests = by_leader
            .into_iter()
            .map(|(leader, partitions)| self.request(leader, partitions, retry.attempt_deadline()));
        let mut requests: FuturesUnordered<_> = requests.collect();
        let mut moved = Moved::new();
        while let Some(partitions) = requests.next().await {
            let mut known = PartitionBounds::new();
            for (topic, partition, read) in partitions {
                match read {
                    PartitionRead::Read(bounds) => known.push((topic, partition, Ok(bounds))),
                    PartitionRead::Failed(error) => known.push((topic, partition, Err(error))),
                    PartitionRead::Moved(error) => moved.push((topic, partition, error)),
                }
            }
            self.batch.set_bounds(self.source, known);
        }
        moved
    }

    /// Both ends of partitions, from one broker.
    async fn request(
        &self,
        leader: i32,
        partitions: Partitions,
        deadline: Instant,
    ) -> Vec<(Arc<str>, i32, PartitionRead)> {
        let Source { isolation, .. } = self.source;
        let request = |end| self.list(leader, &partitions, isolation, end, deadline);
        let listed = try_join(request(LogEnd::Earliest), request(LogEnd::Latest)).await;
        let (starts, ends) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                let moved = |(topic, n)| (topic, n, PartitionRead::Moved(error.clone()));
                return each(&partitions).map(moved).collect();
            }
        };
        let (starts, ends) = (by_partition(&starts), by_partition(&ends));
        let read = |(topic, number): (Arc<str>, i32)| {
            let start = offset(&starts, &topic, number);
            let bounds = start.and_then(|start| Ok((start, offset(&ends, &topic, number)?)));
            let read = of_outcome(&topic, number, bounds);
            (topic, number, read)
        };
        each(&partitions).map(read).collect()
    }

    async fn list(
        &self,
        leader: i32,
        partitions: &Partitions,
        isolation: Isolation,
        end: LogEnd,
        deadline: Instant,
    ) -> Result<ListedOffsets, BrokerError> {
        let request = |_| list_offsets(partitions, isolation, end);
        let cluster = &self.client.cluster;
        cluster.request(leader, request, deadline).await
    }

    /// Finds the brokers that lead partitions now, and reports those that are gone or without one.
    async fn locate(
        &self,
        moved: Moved,
        deadline: Instant,
    ) -> Result<BTreeMap<i32, Partitions>, BrokerError> {
        let Client {
            cluster, topics, ..
        } = self.client;
        let names: BTreeSet<&str> = moved.iter().map(|(topic, ..)| &**topic).collect();
        topics.remove(names.iter().copied());
        let described = topics.describe(cluster, &names, deadline).await?;
        let described = TopicInfo::new(HashMap::new(), described);
        let mut by_leader = BTreeMap::<i32, Partitions>::new();
        let mut gone = PartitionBounds::new();
        for (topic, partition, _) in moved {
            match described.leader(&topic, partition) {
                Ok(leader) => {
                    let topics = by_leader.entry(leader).or_default();
                    topics.entry(topic).or_default().insert(partition);
                }
                Err(error) => gone.push((topic, partition, Err(error))),
            }
        }
        self.batch.set_bounds(self.source, gone);
        Ok(by_leader)
    }
}

fn each(partitions: &Partitions) -> impl Iterator<Item = (Arc<str>, i32)> {
    let topics = partitions.iter();
    topics.flat_map(|(topic, numbers)| numbers.iter().map(|number| (topic.clone(), *number)))
}

fn failed(moved: Moved) -> PartitionBounds {
    let failed = moved.into_iter().map(|(topic, partition, error)| {
        let error = errors::of_partition(&topic, partition, &error);
        (topic, partition, Err(error))
    });
    failed.collect()
}

fn of_outcome(topic: &str, partition: i32, bounds: Result<Bounds, BrokerError>) -> PartitionRead {
    match bounds {
        Ok(bounds) => PartitionRead::Read(bounds),
        Err(error) if is_retriable(&error) => PartitionRead::Moved(error),
        Err(error) => PartitionRead::Failed(errors::of_partition(topic, partition, &error)),
    }
}

/// Whether another attempt may succeed: the leader has moved or gone.
fn is_retriable(error: &BrokerError) -> bool {
    let refused = [
        ResponseError::TopicAuthorizationFailed,
        ResponseError::ClusterAuthorizationFailed,
    ];
    error.code().is_none_or(|error| !refused.contains(&error))
}

type OffsetsByPartition<'a> = HashMap<(&'a str, i32), Result<i64, BrokerError>>;

fn by_partition(response: &ListedOffsets) -> OffsetsByPartition<'_> {
    let topics = response.0.iter();
    let partitions = topics.flat_map(|(topic, partitions)| {
        partitions.iter().map(|found| {
            let outcome = match BrokerError::from_number(found.error) {
                Some(error) => Err(error),
                None => Ok(found.offset),
            };
            ((topic.as_str(), found.partition), outcome)
        })
    });
    partitions.collect()
}

/// An offset that there must be: both ends of a log are known, and never negative.
fn offset(
    offsets: &OffsetsByPartition<'_>,
    topic: &str,
    partition: i32,
) -> Result<i64, BrokerError> {
    match offsets.get(&(topic, partition)) {
        Some(Ok(offset)) if *offset >= 0 => Ok(*offset),
        Some(Err(error)) => Err(error.clone()),
        _ => {
            let text = "the response lacks it";
            Err(BrokerError::new(ErrorCause::Malformed, text))
        }
    }
}
