//! A batch under way. Each query is completed as soon as its group's committed offsets and its
//! partitions' log offsets are in, independently of the others.

mod state;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use kafka_protocol::ResponseError;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use self::state::{Group, LagQuery, State};
use super::{
    history::History,
    partition_selection::{RequestedTopics, TopicInfo},
    query::{Isolation, Measure, Partition, PendingQuery, Query, QueryId, Sample, TopicSelection},
    record_cache::Position,
    record_reads::{RecordReads, WantedRecord, Written},
};
use crate::{error::Result, sampling::Measured};

/// What a group has committed: by topic, partitions in ascending order.
pub type CommittedOffsets = HashMap<String, Vec<(i32, Result<i64, ResponseError>)>>;

/// Start and end of a partition.
pub type Bounds = (i64, i64);

/// Partitions by topic.
pub type Partitions = BTreeMap<Arc<str>, BTreeSet<i32>>;

/// Partitions with what was read of each.
pub type PartitionBounds = Vec<(Arc<str>, i32, Result<Bounds>)>;

/// What one kind of request reads: the log offsets of one isolation level, from one broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    pub isolation: Isolation,
    pub leader: i32,
}

/// The queries of a batch, and what has come in for them.
pub struct LagBatch<'a> {
    history: &'a History,
    /// No request was sent before: the time of all samples.
    started: Instant,
    state: Mutex<State>,
    /// Queries have become ready, or the last group has come in.
    ready: Notify,
    /// Records are to be read, or there will be no more of them.
    records: Notify,
}

impl<'a> LagBatch<'a> {
    pub fn new(history: &'a History, queries: Vec<PendingQuery>) -> Self {
        let mut groups = HashMap::<String, Group>::new();
        let mut ready = Vec::new();
        let queries = queries.into_iter().enumerate().map(|(index, query)| {
            let id = QueryId(index);
            let Query { group, topics, .. } = query.query();
            groups.entry(group.clone()).or_default().queries.push(id);
            if matches!(topics, TopicSelection::Named { .. }) {
                ready.push(id);
            }
            LagQuery {
                query: Some(query),
                partitions: None,
                records_left: 0,
            }
        });
        let queries = queries.collect();
        LagBatch {
            history,
            started: Instant::now(),
            state: Mutex::new(State {
                queries,
                groups_left: groups.len(),
                groups,
                ready,
                waiting: HashMap::new(),
                bounds: HashMap::new(),
                records: RecordReads::default(),
            }),
            ready: Notify::new(),
            records: Notify::new(),
        }
    }

    /// Every group whose offsets are wanted.
    pub fn groups(&self) -> Vec<String> {
        self.state.lock().groups.keys().cloned().collect()
    }

    /// Whether a query wants whatever topics this group has committed in.
    pub fn has_topics_of(&self, group: &str) -> bool {
        let state = self.state.lock();
        let queries = state
            .groups
            .get(group)
            .map(|group| group.queries.as_slice());
        let mut queries = queries.unwrap_or_default().iter();
        queries.any(|id| {
            let topics = state.query(*id).map(|query| &query.topics);
            matches!(topics, Some(TopicSelection::OfGroup))
        })
    }

    /// Queries whose log offsets are to be read now; `None` when there will be no more.
    pub async fn next_ready(&self) -> Option<Vec<QueryId>> {
        loop {
            let changed = self.ready.notified();
            {
                let mut state = self.state.lock();
                if !state.ready.is_empty() {
                    return Some(std::mem::take(&mut state.ready));
                }
                if state.groups_left == 0 {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Whether a query names topics by a regex.
    pub fn has_regex(&self, id: QueryId) -> bool {
        let state = self.state.lock();
        let topics = state.query(id).map(|query| &query.topics);
        matches!(topics, Some(TopicSelection::Named { regexes, .. }) if !regexes.is_empty())
    }

    /// The topics of queries.
    pub fn topics_of(&self, ids: &[QueryId]) -> RequestedTopics {
        let mut topics = RequestedTopics::default();
        let state = self.state.lock();
        for query in ids.iter().filter_map(|id| state.query(*id)) {
            topics.add(query, state.committed_of(query));
        }
        topics
    }

    /// Selects the partitions that count for queries, and returns them by the broker that leads
    /// them. A query with a topic or partition that does not exist gets its error.
    pub fn select(&self, ids: &[QueryId], topics: &TopicInfo) -> BTreeMap<Source, Partitions> {
        let mut wanted = BTreeMap::new();
        let mut state = self.state.lock();
        for id in ids {
            let Some(query) = state.query(*id) else {
                continue;
            };
            let isolation = query.isolation;
            match topics.select(query, state.committed_of(query)) {
                Ok(selected) => {
                    state.wait_for(*id, isolation, selected, &mut wanted);
                    self.try_complete(&mut state, *id);
                }
                Err(error) => state.complete(*id, Err(error)),
            }
        }
        wanted
    }

    /// The committed offsets of a group have come in.
    pub fn set_committed(&self, group: &str, offsets: Result<CommittedOffsets>) {
        let mut state = self.state.lock();
        let Some(entry) = state.groups.get_mut(group) else {
            return;
        };
        let queries = entry.queries.clone();
        match offsets {
            Ok(offsets) => {
                entry.offsets = Some(offsets);
                for id in queries {
                    state.make_ready(id);
                    self.try_complete(&mut state, id);
                }
            }
            Err(error) => {
                for id in queries {
                    state.complete(id, Err(error.clone()));
                }
            }
        }
        state.groups_left -= 1;
        drop(state);
        self.ready.notify_one();
    }

    /// Log offsets have come in that queries wait for at this source.
    pub fn set_bounds(&self, source: Source, partitions: PartitionBounds) {
        let mut state = self.state.lock();
        let bounds = state.bounds.entry(source.isolation).or_default();
        for (topic, partition, found) in partitions {
            bounds.entry(topic).or_default().insert(partition, found);
        }
        for id in state.waiting.get(&source).cloned().unwrap_or_default() {
            self.try_complete(&mut state, id);
        }
    }

    /// Records to be read now; `None` when there will be no more.
    pub async fn next_records(&self) -> Option<Vec<WantedRecord>> {
        loop {
            let changed = self.records.notified();
            match self.state.lock().records.next() {
                Some(records) if records.is_empty() => {}
                next => return next,
            }
            changed.await;
        }
    }

    /// Everything else has come in: no query will want more records.
    pub fn no_more_records(&self) {
        self.state.lock().records.close();
        self.records.notify_one();
    }

    /// A record has come in.
    pub fn set_record(&self, position: Position, written: Result<Written>) {
        let mut state = self.state.lock();
        for id in state.records.set(position, written) {
            let query = &mut state.queries[id.0];
            query.records_left = query.records_left.saturating_sub(1);
            self.try_complete(&mut state, id);
        }
    }

    fn try_complete(&self, state: &mut State, id: QueryId) {
        if state.queries[id.0].records_left > 0 {
            return;
        }
        let Some(outcome) = state.outcome(id) else {
            return;
        };
        let sample = outcome.and_then(|partitions| self.sample(state, id, partitions));
        if let Some(sample) = sample.transpose() {
            let measured = |sample| Measured {
                sample,
                at: self.started,
            };
            state.complete(id, sample.map(measured));
        }
    }

    /// The sample of a query whose partitions are all known; `None`: records are to be read first.
    fn sample(
        &self,
        state: &mut State,
        id: QueryId,
        mut partitions: Vec<Partition>,
    ) -> Result<Option<Sample>> {
        let State {
            queries, records, ..
        } = state;
        let entry = &mut queries[id.0];
        let Some(query) = entry.query.as_ref().map(PendingQuery::query) else {
            return Ok(None);
        };
        let (isolation, at) = (query.isolation, self.started);
        match query.measure {
            Measure::ObservedAge => self.history.ends.record(isolation, &mut partitions, at)?,
            Measure::RecordAge(reach) => {
                let selected = entry.partitions.iter().flatten();
                let leaders = selected.flat_map(|(_, led)| led.iter().map(|(_, leader)| *leader));
                let led = partitions.iter_mut().zip(leaders);
                entry.records_left = records.set_waiting(id, isolation, reach, led)?;
                if entry.records_left > 0 {
                    self.records.notify_one();
                    return Ok(None);
                }
            }
            Measure::Lag | Measure::Progress => {}
        }
        let stalls = &self.history.stalls;
        stalls.record(&query.group, isolation, &mut partitions, at);
        let progress = (query.measure == Measure::Progress)
            .then(|| self.history.progress.record(query, &partitions, at));
        Ok(Some(Sample {
            partitions: partitions.into(),
            progress,
        }))
    }
}
