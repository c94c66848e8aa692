//! What a batch waits for, and what has come: each query is answered as soon as the offsets of its
//! group and the ends of its partitions are there, whatever the others wait for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use kafka_protocol::ResponseError;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    PendingQuery, Sample,
    committed_offsets::Offsets,
    errors,
    lag::{Committed, Partition},
    partition_selection::{Known, Names},
    protocol::Failure,
    query::{Isolation, Query},
    stall_tracker::Progress,
};
use crate::{error::Result, sampling::Measured};

/// Start and end of a partition.
pub type Bounds = (i64, i64);

/// Partitions of topics, as they are asked for.
pub type Partitions = BTreeMap<Arc<str>, BTreeSet<i32>>;

/// What one kind of request asks: the ends of one isolation level, of one broker.
pub type Source = (Isolation, i32);

/// The queries of a batch that are not answered yet.
pub struct Board<'a> {
    progress: &'a Progress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queries: Vec<Waiting>,
    groups: HashMap<String, Group>,
    /// The queries that wait for a broker.
    sources: HashMap<Source, Vec<usize>>,
    ends: HashMap<Isolation, HashMap<Arc<str>, Ends>>,
}

/// The ends of a topic's partitions.
type Ends = BTreeMap<i32, Result<Bounds>>;

struct Waiting {
    /// `None` once it is answered.
    ask: Option<PendingQuery>,
    /// The partitions that count, by topic; `None` until topics are known.
    places: Option<Vec<(Arc<str>, Vec<i32>)>>,
}

#[derive(Default)]
struct Group {
    queries: Vec<usize>,
    offsets: Option<Offsets>,
}

impl<'a> Board<'a> {
    pub fn new(progress: &'a Progress, asks: Vec<PendingQuery>) -> Self {
        let mut state = State::default();
        for (number, ask) in asks.into_iter().enumerate() {
            let group = ask.query().group.clone();
            state.groups.entry(group).or_default().queries.push(number);
            state.queries.push(Waiting {
                ask: Some(ask),
                places: None,
            });
        }
        Board {
            progress,
            state: Mutex::new(state),
        }
    }

    /// Every group whose offsets are wanted.
    pub fn groups(&self) -> Vec<String> {
        self.state.lock().groups.keys().cloned().collect()
    }

    /// The topics of all queries.
    pub fn names(&self) -> Names {
        let mut names = Names::default();
        let state = self.state.lock();
        for (query, group) in state.open() {
            names.add(query, group.offsets.as_ref());
        }
        names
    }

    /// Settles which partitions count, and returns them by the broker that leads them. Queries
    /// with a topic or partition that is not there get their error.
    pub fn place(&self, known: &Known) -> BTreeMap<Source, Partitions> {
        let mut wanted = BTreeMap::<Source, Partitions>::new();
        let mut state = self.state.lock();
        let shared: HashMap<&str, Arc<str>> = known
            .topics
            .keys()
            .map(|name| (name.as_str(), Arc::from(name.as_str())))
            .collect();
        for number in 0..state.queries.len() {
            let Some(ask) = &state.queries[number].ask else {
                continue;
            };
            let query = ask.query();
            let isolation = query.isolation;
            let offsets = state.groups[&query.group].offsets.as_ref();
            let found = known.places(query, offsets, &shared);
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    state.answer(number, Err(error));
                    continue;
                }
            };
            let mut places = Vec::with_capacity(found.len());
            for (topic, partitions) in found {
                for (partition, leader) in &partitions {
                    let source = wanted.entry((isolation, *leader)).or_default();
                    source.entry(topic.clone()).or_default().insert(*partition);
                    let waiting = state.sources.entry((isolation, *leader)).or_default();
                    if waiting.last() != Some(&number) {
                        waiting.push(number);
                    }
                }
                let partitions = partitions.into_iter().map(|(partition, _)| partition);
                places.push((topic, partitions.collect()));
            }
            state.queries[number].places = Some(places);
            self.try_answer(&mut state, number);
        }
        wanted
    }

    /// The offsets of a group have come.
    pub fn tell_group(&self, group: &str, offsets: Result<Offsets>) {
        let mut state = self.state.lock();
        let Some(waiting) = state.groups.get_mut(group) else {
            return;
        };
        let queries = waiting.queries.clone();
        match offsets {
            Ok(offsets) => {
                waiting.offsets = Some(offsets);
                for number in queries {
                    self.try_answer(&mut state, number);
                }
            }
            Err(error) => {
                for number in queries {
                    state.answer(number, Err(error.clone()));
                }
            }
        }
    }

    /// Ends of partitions have come that were first asked of this source.
    pub fn tell_ends(&self, source: Source, ends: Vec<(Arc<str>, i32, Result<Bounds>)>) {
        let mut state = self.state.lock();
        let table = state.ends.entry(source.0).or_default();
        for (topic, partition, bounds) in ends {
            table.entry(topic).or_default().insert(partition, bounds);
        }
        for number in state.sources.get(&source).cloned().unwrap_or_default() {
            self.try_answer(&mut state, number);
        }
    }

    fn try_answer(&self, state: &mut State, number: usize) {
        if let Some(outcome) = state.outcome(number) {
            let partitions = outcome.map(|(group, isolation, mut partitions)| {
                let at = Instant::now();
                note(self.progress, &group, isolation, &mut partitions, at);
                Sample {
                    partitions: partitions.into(),
                }
            });
            state.answer(number, partitions);
        }
    }
}

impl State {
    /// The queries without an answer, each with its group.
    fn open(&self) -> impl Iterator<Item = (&Query, &Group)> {
        let asks = self
            .queries
            .iter()
            .filter_map(|waiting| waiting.ask.as_ref());
        asks.map(|ask| (ask.query(), &self.groups[&ask.query().group]))
    }

    fn answer(&mut self, number: usize, answer: Result<Sample>) {
        if let Some(ask) = self.queries[number].ask.take() {
            let at = Instant::now();
            ask.complete(answer.map(|sample| Measured { sample, at }));
        }
    }

    /// What a query's partitions have come to; `None`: it is answered, or not all is known yet.
    /// The first partition that cannot be read is the error: a sum without it would be wrong.
    fn outcome(&self, number: usize) -> Option<Result<(String, Isolation, Vec<Partition>)>> {
        let Waiting { ask, places } = &self.queries[number];
        let query = ask.as_ref()?.query();
        let offsets = self.groups[&query.group].offsets.as_ref()?;
        let ends = self.ends.get(&query.isolation);
        let mut partitions = Vec::new();
        for (topic, numbers) in places.as_ref()? {
            let ends = ends.and_then(|ends| ends.get(topic))?;
            let committed = offsets.get(&**topic);
            for partition in numbers {
                let found = match ends.get(partition)? {
                    Ok(bounds) => self::partition(topic, *partition, committed, *bounds),
                    Err(error) => Err(error.clone()),
                };
                match found {
                    Ok(found) => partitions.push(found),
                    Err(error) => return Some(Err(error)),
                }
            }
        }
        Some(Ok((query.group.clone(), query.isolation, partitions)))
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
        let failure = Failure::answered(error);
        errors::of_partition(topic, partition, &failure)
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
    })
}

/// Notes where the group is, and since when it has been there.
fn note(
    progress: &Progress,
    group: &str,
    isolation: Isolation,
    partitions: &mut [Partition],
    at: Instant,
) {
    let committed = partitions.iter().filter_map(|partition| {
        let offset = partition.committed?.offset;
        let behind = offset.max(partition.start) < partition.end;
        Some((&partition.topic, partition.partition, offset, behind))
    });
    let since = progress.note(group, isolation, committed, at);
    let committed = partitions
        .iter_mut()
        .filter_map(|partition| partition.committed.as_mut());
    for (committed, since) in committed.zip(since) {
        committed.unmoved_since = since;
    }
}
