//! Where partitions begin and end: asked of the broker that leads them, all that a batch wants in
//! one request. Who has moved is looked for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, try_join, try_join_all},
};
use kafka_protocol::{
    ResponseError,
    messages::{
        ListOffsetsRequest, TopicName,
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    },
    protocol::StrBytes,
};
use tokio::time::Instant;

use super::{
    batch::{Board, Bounds, Partitions, Source},
    client::Client,
    errors,
    partition_selection::{Known, Names},
    protocol::{self, Cause, Failure},
    query::Isolation,
    retry::Patience,
    topic_cache::Topics,
};
use crate::error::Result;

/// Which end of a partition, as ListOffsets has it.
#[derive(Clone, Copy)]
enum End {
    /// The first offset that retention left.
    Earliest = -2,
    /// The offset after the last message.
    Latest = -1,
}

/// Finds out which partitions the queries of a board concern, reads them and tells the board. A
/// failure means that no broker answers; some partitions are not told of then.
pub async fn read(client: &Client, board: &Board<'_>, deadline: Instant) -> Result<(), Failure> {
    let known = known(client, board.names(), deadline).await?;
    let reader = Reader { client, board };
    let patience = Patience::until(deadline);
    let sources = board.place(&known).into_iter();
    let all =
        sources.map(|(source, partitions)| reader.read(source, source.1, partitions, patience));
    try_join_all(all).await.map(|_| ())
}

async fn known(client: &Client, names: Names, deadline: Instant) -> Result<Known, Failure> {
    let Client {
        cluster,
        topics: remembered,
        ..
    } = client;
    let mut regexes = HashMap::new();
    if !names.regexes.is_empty() {
        let all = remembered.list(cluster, deadline).await?;
        for regex in names.regexes {
            let matching = Topics::matching(&all, &regex);
            regexes.insert(regex, matching);
        }
    }
    let mut topics: BTreeSet<&str> = names.topics.iter().map(String::as_str).collect();
    topics.extend(regexes.values().flatten().flatten().map(String::as_str));
    let topics = remembered.describe(cluster, &topics, deadline).await?;
    Ok(Known { regexes, topics })
}

struct Reader<'a> {
    client: &'a Client,
    board: &'a Board<'a>,
}

/// Partitions with the reason why another try may find them elsewhere.
type Moved = Vec<(Arc<str>, i32, Failure)>;

type Outcomes = Vec<(Arc<str>, i32, Result<Bounds>)>;

impl Reader<'_> {
    /// Reads partitions of a source at the broker that leads them by now.
    fn read(
        &self,
        source: Source,
        leader: i32,
        partitions: Partitions,
        patience: Patience,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            let (outcomes, moved) = self.ask(source.0, leader, partitions, patience).await;
            self.board.tell_ends(source, outcomes);
            if moved.is_empty() {
                return Ok(());
            }
            if !patience.has_time() {
                let failed = moved.into_iter().map(|(topic, partition, failure)| {
                    let error = errors::of_partition(&topic, partition, &failure);
                    (topic, partition, Err(error))
                });
                self.board.tell_ends(source, failed.collect());
                return Ok(());
            }
            let patience = patience.wait().await;
            let (gone, found) = self.look_for(moved, patience).await?;
            self.board.tell_ends(source, gone);
            let found = found.into_iter();
            let all =
                found.map(|(leader, partitions)| self.read(source, leader, partitions, patience));
            try_join_all(all).await.map(|_| ())
        }
        .boxed()
    }

    async fn ask(
        &self,
        isolation: Isolation,
        leader: i32,
        partitions: Partitions,
        patience: Patience,
    ) -> (Outcomes, Moved) {
        let cluster = &self.client.cluster;
        let ask = |end| {
            let partitions = &partitions;
            let request = move |_| list_offsets(partitions, isolation, end);
            cluster.ask(leader, request, patience.one_try())
        };
        let (mut outcomes, mut moved) = (Outcomes::new(), Moved::new());
        match try_join(ask(End::Earliest), ask(End::Latest)).await {
            Ok((starts, ends)) => {
                let (starts, ends) = (offsets(&starts), offsets(&ends));
                for (topic, numbers) in &partitions {
                    for number in numbers {
                        let key = (&**topic, *number);
                        let bounds =
                            offset(&starts, key).and_then(|start| Ok((start, offset(&ends, key)?)));
                        match bounds {
                            Ok(bounds) => outcomes.push((topic.clone(), *number, Ok(bounds))),
                            Err(failure) if may_pass(&failure) => {
                                moved.push((topic.clone(), *number, failure));
                            }
                            Err(failure) => {
                                let error = errors::of_partition(topic, *number, &failure);
                                outcomes.push((topic.clone(), *number, Err(error)));
                            }
                        }
                    }
                }
            }
            Err(failure) => {
                for (topic, numbers) in partitions {
                    let all = numbers.into_iter();
                    moved.extend(all.map(|number| (topic.clone(), number, failure.clone())));
                }
            }
        }
        (outcomes, moved)
    }

    /// Finds out where partitions went: those that are gone or without a leader, and the others by
    /// the broker that leads them.
    async fn look_for(
        &self,
        moved: Moved,
        patience: Patience,
    ) -> Result<(Outcomes, BTreeMap<i32, Partitions>), Failure> {
        let Client {
            cluster, topics, ..
        } = self.client;
        let names: BTreeSet<&str> = moved.iter().map(|(topic, ..)| &**topic).collect();
        topics.forget(names.iter().copied());
        let found = topics.describe(cluster, &names, patience.deadline).await?;
        let mut gone = Outcomes::new();
        let mut led = BTreeMap::<i32, Partitions>::new();
        for (topic, partition, _) in moved {
            let leader = match found.get(&*topic) {
                None => Err(errors::no_topic(&topic)),
                Some(Err(error)) => Err(error.clone()),
                Some(Ok(leaders)) => {
                    match leaders.iter().find(|(number, _)| *number == partition) {
                        Some((_, Some(leader))) => Ok(*leader),
                        Some((_, None)) => Err(errors::no_leader(&topic, partition)),
                        None => Err(errors::no_partition(&topic, partition, leaders.len())),
                    }
                }
            };
            match leader {
                Ok(leader) => {
                    let topics = led.entry(leader).or_default();
                    topics.entry(topic).or_default().insert(partition);
                }
                Err(error) => gone.push((topic, partition, Err(error))),
            }
        }
        Ok((gone, led))
    }
}

/// Whether another try may succeed: the leader has moved or gone.
fn may_pass(failure: &Failure) -> bool {
    let refused = [
        ResponseError::TopicAuthorizationFailed,
        ResponseError::ClusterAuthorizationFailed,
    ];
    failure
        .error()
        .is_none_or(|error| !refused.contains(&error))
}

fn list_offsets(partitions: &Partitions, isolation: Isolation, end: End) -> ListOffsetsRequest {
    let topics = partitions.iter().map(|(topic, numbers)| {
        let partitions = numbers.iter().map(|number| {
            ListOffsetsPartition::default()
                .with_partition_index(*number)
                .with_timestamp(end as i64)
        });
        ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic.to_string())))
            .with_partitions(partitions.collect())
    });
    ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(match isolation {
            Isolation::ReadUncommitted => 0,
            Isolation::ReadCommitted => 1,
        })
        .with_topics(topics.collect())
}

type Offsets<'a> = HashMap<(&'a str, i32), Result<i64, Failure>>;

fn offsets(answer: &protocol::Ends) -> Offsets<'_> {
    let topics = answer.0.iter();
    let partitions = topics.flat_map(|(topic, partitions)| {
        partitions.iter().map(|found| {
            let outcome = match Failure::of_code(found.error) {
                Some(failure) => Err(failure),
                None => Ok(found.offset),
            };
            ((topic.as_str(), found.partition), outcome)
        })
    });
    partitions.collect()
}

/// An offset that there must be: both ends of a log are known, and never negative.
fn offset(offsets: &Offsets<'_>, key: (&str, i32)) -> Result<i64, Failure> {
    match offsets.get(&key) {
        Some(Ok(offset)) if *offset >= 0 => Ok(*offset),
        Some(Err(failure)) => Err(failure.clone()),
        _ => Err(Failure::new(Cause::Garbled, "the answer lacks it")),
    }
}
