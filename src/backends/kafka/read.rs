//! Reads a batch: offsets of every group, and ends of every partition by the broker that leads it,
//! all under way at once. A query waits for its own group and its own brokers, and for no others.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{
    StreamExt,
    future::{join, join_all},
    stream::FuturesUnordered,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    Kafka, Sample,
    client::Client,
    ends::{Ends, Places},
    errors,
    lag::{Committed, Partition},
    native::Offset,
    query::{Query, Topics},
};
use crate::{
    error::{Error, Result},
    sampling::Ask,
};

/// Answers the queries of a batch within `limit`.
pub async fn answer(client: &Client, asks: Vec<Ask<Kafka>>, limit: Duration) -> Result<()> {
    let fall = client.fall();
    let batch = Batch {
        client,
        deadline: Instant::now() + limit,
        moved: Mutex::default(),
    };
    let (of_group, named): (Vec<_>, Vec<_>) = asks
        .into_iter()
        .partition(|ask| matches!(ask.query().topics, Topics::OfGroup));
    tokio::select! {
        _ = join(batch.answer_named(named), batch.answer_of_group(of_group)) => {}
        error = fall => return Err(error),
    }
    // What this left unanswered is asked once more on a new handle.
    match batch.moved.into_inner() {
        Some(error) => Err(error),
        None if client.is_worn() => Err(errors::worn()),
        None => Ok(()),
    }
}

struct Batch<'a> {
    client: &'a Client,
    deadline: Instant,
    /// A group's coordinator has moved and librdkafka does not find it: a new handle will.
    moved: Mutex<Option<Error>>,
}

/// Queries that concern the same group.
type ByGroup = BTreeMap<String, Vec<Ask<Kafka>>>;

fn by_group(asks: Vec<Ask<Kafka>>) -> ByGroup {
    let mut groups = ByGroup::new();
    for ask in asks {
        groups
            .entry(ask.query().group.clone())
            .or_default()
            .push(ask);
    }
    groups
}

impl Batch<'_> {
    /// Topics are known beforehand: offsets of groups and ends of partitions go out together.
    async fn answer_named(&self, asks: Vec<Ask<Kafka>>) {
        if asks.is_empty() {
            return;
        }
        let groups = by_group(asks);
        let queries = groups
            .values()
            .flatten()
            .map(|ask| (ask.query().clone(), BTreeSet::new()));
        let queries: Vec<_> = queries.collect();
        let committed = groups
            .into_iter()
            .map(|(group, asks)| self.committed(group, asks));
        let mut committed: FuturesUnordered<_> = committed.collect();
        let ends = Ends::read(self.client, queries, self.deadline).await;
        let mut answers = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(group) = committed.next() => {
                    if let Some((group, asks, committed)) = group {
                        let ends = &ends;
                        answers.push(async move {
                            for ask in asks {
                                self.answer_one(&group, ask, &committed, ends).await;
                            }
                        });
                    }
                }
                Some(()) = answers.next() => {}
                else => return,
            }
        }
    }

    /// Topics are those in which the group has offsets: ends are read as groups answer.
    async fn answer_of_group(&self, asks: Vec<Ask<Kafka>>) {
        let groups = by_group(asks).into_iter();
        let committed = groups.map(|(group, asks)| self.committed(group, asks));
        let committed: FuturesUnordered<_> = committed.collect();
        // Whatever has answered by now is read together.
        let ready = committed.ready_chunks(1000).map(|groups| async move {
            let groups: Vec<_> = groups.into_iter().flatten().collect();
            let topics = |committed: &[Offset]| {
                committed
                    .iter()
                    .map(|offset| offset.topic.to_string())
                    .collect::<BTreeSet<_>>()
            };
            let queries = groups.iter().flat_map(|(_, asks, committed)| {
                asks.iter()
                    .map(move |ask| (ask.query().clone(), topics(committed)))
            });
            let ends = Ends::read(self.client, queries.collect(), self.deadline).await;
            let ends = &ends;
            let answers = groups
                .into_iter()
                .map(|(group, asks, committed)| async move {
                    for ask in asks {
                        self.answer_one(&group, ask, &committed, ends).await;
                    }
                });
            join_all(answers).await;
        });
        ready.buffer_unordered(8).collect::<()>().await;
    }

    /// The offsets of a group, with the queries that wait for them; `None` if they have got, or
    /// will get, an error. The request goes out at once.
    fn committed(
        &self,
        group: String,
        asks: Vec<Ask<Kafka>>,
    ) -> impl Future<Output = Option<(String, Vec<Ask<Kafka>>, Vec<Offset>)>> + use<'_> {
        let committed = self.client.committed(group.clone(), self.deadline);
        async move {
            let failure = match committed.await {
                Ok(committed) => return Some((group, asks, committed)),
                Err(failure) => failure,
            };
            let error = errors::of_group(&group, &failure);
            if errors::may_have_moved(failure.code) && self.client.may_renew() {
                *self.moved.lock() = Some(error);
            } else {
                asks.into_iter()
                    .for_each(|ask| ask.answer(Err(error.clone())));
            }
            None
        }
    }

    async fn answer_one(
        &self,
        group: &str,
        ask: Ask<Kafka>,
        committed: &[Offset],
        ends: &Ends<'_>,
    ) {
        let places = match ends.places(ask.query()) {
            Ok(places) => places,
            Err(error) => return ask.answer(Err(error)),
        };
        let query = ask.query();
        let bounds = match ends.bounds(query.isolation, places).await {
            Ok(bounds) => bounds,
            Err(error) => return ask.answer(Err(error)),
        };
        let sample = self.sample(group, query, committed, places, bounds);
        ask.answer(sample);
    }

    fn sample(
        &self,
        group: &str,
        query: &Query,
        committed: &[Offset],
        places: &Places,
        bounds: Vec<(i64, i64)>,
    ) -> Result<Sample> {
        let mut offsets: BTreeMap<(&str, i32), i64> = BTreeMap::new();
        for offset in committed {
            if let Some(code) = offset.error {
                let failure = super::native::Failure {
                    code,
                    text: code.to_string(),
                };
                if places
                    .iter()
                    .any(|place| place.is(&offset.topic, offset.partition))
                {
                    return Err(errors::of_partition(
                        &offset.topic,
                        offset.partition,
                        &failure,
                    ));
                }
            }
            // A negative offset is none.
            if offset.offset >= 0 {
                offsets.insert((&offset.topic, offset.partition), offset.offset);
            }
        }
        let at = Instant::now();
        let mut partitions: Vec<Partition> = Vec::with_capacity(places.len());
        for (place, (start, end)) in places.iter().zip(bounds) {
            let offset = offsets.get(&(&*place.topic, place.partition));
            partitions.push(Partition {
                topic: place.topic.clone(),
                partition: place.partition,
                committed: offset.map(|offset| Committed {
                    offset: *offset,
                    unmoved_since: None,
                }),
                start,
                end,
            });
        }
        self.note_progress(group, query, &mut partitions, at);
        let partitions = partitions.into();
        Ok(Sample { partitions, at })
    }

    fn note_progress(&self, group: &str, query: &Query, partitions: &mut [Partition], at: Instant) {
        let committed = partitions.iter().filter_map(|partition| {
            let offset = partition.committed?.offset;
            let behind = offset.max(partition.start) < partition.end;
            Some((&partition.topic, partition.partition, offset, behind))
        });
        let since = self
            .client
            .progress
            .note(group, query.isolation, committed, at);
        let committed = partitions
            .iter_mut()
            .filter_map(|partition| partition.committed.as_mut());
        for (committed, since) in committed.zip(since) {
            committed.unmoved_since = since;
        }
    }
}
