//! What has come in for the queries of a batch, and what each of them still waits for.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use kafka_protocol::ResponseError;

use super::{Bounds, CommittedOffsets, Partitions, Source};
use crate::{
    backends::kafka::{
        errors,
        partition_selection::SelectedPartitions,
        protocol::BrokerError,
        query::{
            Committed, Isolation, Partition, PendingQuery, Query, QueryId, Sample, TopicSelection,
        },
        record_reads::RecordReads,
    },
    error::{Error, Result},
    sampling::Measured,
};

pub(super) struct State {
    pub(super) queries: Vec<LagQuery>,
    pub(super) groups: HashMap<String, Group>,
    /// Groups whose committed offsets are not in yet.
    pub(super) groups_left: usize,
    /// Queries whose topics are known, and whose log offsets are to be read.
    pub(super) ready: Vec<QueryId>,
    /// The queries that wait for log offsets of a source.
    pub(super) waiting: HashMap<Source, Vec<QueryId>>,
    pub(super) bounds: HashMap<Isolation, BoundsByTopic>,
    pub(super) records: RecordReads,
}

type BoundsByTopic = HashMap<Arc<str>, BTreeMap<i32, Result<Bounds>>>;

pub(super) struct LagQuery {
    /// `None` once it is complete.
    pub(super) query: Option<PendingQuery>,
    /// The partitions that count; `None` until topics are known.
    pub(super) partitions: Option<SelectedPartitions>,
    /// Records that it waits for.
    pub(super) records_left: usize,
}

#[derive(Default)]
pub(super) struct Group {
    pub(super) queries: Vec<QueryId>,
    pub(super) offsets: Option<CommittedOffsets>,
}

impl State {
    /// A query that is not complete.
    pub(super) fn query(&self, id: QueryId) -> Option<&Query> {
        Some(self.queries[id.0].query.as_ref()?.query())
    }

    pub(super) fn committed_of(&self, query: &Query) -> Option<&CommittedOffsets> {
        self.groups[&query.group].offsets.as_ref()
    }

    /// The topics of a query are known if they are those of its group.
    pub(super) fn make_ready(&mut self, id: QueryId) {
        let topics = self.query(id).map(|query| &query.topics);
        if matches!(topics, Some(TopicSelection::OfGroup)) {
            self.ready.push(id);
        }
    }

    /// Notes which log offsets a query waits for, and adds them to the wanted ones.
    pub(super) fn wait_for(
        &mut self,
        id: QueryId,
        isolation: Isolation,
        selected: SelectedPartitions,
        wanted: &mut BTreeMap<Source, Partitions>,
    ) {
        for (topic, partitions) in &selected {
            for (partition, leader) in partitions {
                let source = Source {
                    isolation,
                    leader: *leader,
                };
                let topics = wanted.entry(source).or_default();
                topics.entry(topic.clone()).or_default().insert(*partition);
                let waiting = self.waiting.entry(source).or_default();
                if waiting.last() != Some(&id) {
                    waiting.push(id);
                }
            }
        }
        self.queries[id.0].partitions = Some(selected);
    }

    pub(super) fn complete(&mut self, id: QueryId, result: Result<Measured<Sample>>) {
        if let Some(query) = self.queries[id.0].query.take() {
            query.complete(result);
        }
    }

    /// The partitions of a query; `None`: it is complete, or not everything is in yet. The first
    /// partition that cannot be read is the error: a sum without it would be wrong.
    pub(super) fn outcome(&self, id: QueryId) -> Option<Result<Vec<Partition>>> {
        let query = self.query(id)?;
        let committed = self.committed_of(query)?;
        let bounds = self.bounds.get(&query.isolation);
        let mut partitions = Vec::new();
        for (topic, numbers) in self.queries[id.0].partitions.as_ref()? {
            let bounds = bounds.and_then(|bounds| bounds.get(topic))?;
            let committed = committed.get(&**topic);
            for (number, _) in numbers {
                match bounds.get(number)? {
                    Ok(bounds) => match partition(topic, *number, committed, *bounds) {
                        Ok(found) => partitions.push(found),
                        Err(error) => return Some(Err(error)),
                    },
                    Err(error) => return Some(Err(Error::clone(error))),
                }
            }
        }
        Some(Ok(partitions))
    }
}

fn partition(
    topic: &Arc<str>,
    partition: i32,
    committed: Option<&Vec<(i32, Result<i64, ResponseError>)>>,
    (start, end): Bounds,
) -> Result<Partition> {
    let found = committed.and_then(|committed| {
        let at = committed.binary_search_by_key(&partition, |(number, _)| *number);
        at.ok().map(|at| committed[at].1)
    });
    let offset = found.transpose().map_err(|error| {
        let error = BrokerError::from_code(error);
        errors::of_partition(topic, partition, &error)
    })?;
    // A negative offset is none.
    let offset = offset.filter(|offset| *offset >= 0);
    Ok(Partition {
        topic: topic.clone(),
        partition,
        committed: offset.map(|offset| Committed {
            offset,
            unmoved_since: None,
        }),
        start,
        end,
        waiting: None,
    })
}
