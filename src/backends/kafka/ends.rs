//! Where partitions begin and end: which partitions a query concerns, and one read for each broker
//! that leads some of them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, join, join_all},
};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::{Instant, sleep};

use super::{
    client::{Client, left},
    errors,
    native::{End, Failure, Offset},
    query::{Isolation, Query, Topics},
    topics::{self, Leaders},
};
use crate::error::{Error, Result};

/// A partition, and the broker that leads it.
#[derive(Clone, Debug)]
pub struct Place {
    pub topic: Arc<str>,
    pub partition: i32,
    leader: i32,
}

impl Place {
    pub fn is(&self, topic: &str, partition: i32) -> bool {
        *self.topic == *topic && self.partition == partition
    }
}

/// The partitions of a query.
pub type Places = Vec<Place>;

/// What one request asks: the offsets of one isolation level, of one broker.
type Request = (Isolation, i32);

/// Start and end by partition.
type Bounds = HashMap<(Arc<str>, i32), Result<(i64, i64)>>;

/// Reads that are shared by all queries that wait for them.
pub struct Ends<'a> {
    places: HashMap<Query, Result<Places>>,
    reads: HashMap<(Isolation, i32), Shared<BoxFuture<'a, Arc<Bounds>>>>,
}

impl<'a> Ends<'a> {
    /// Finds out which partitions queries concern, and sends the requests. A query for a group's
    /// own topics comes with their names.
    pub async fn read(
        client: &'a Client,
        queries: Vec<(Query, BTreeSet<String>)>,
        deadline: Instant,
    ) -> Self {
        let regexes = regexes(client, &queries, deadline).await;
        let mut names: BTreeSet<&str> = BTreeSet::new();
        for (query, of_group) in &queries {
            names.extend(of_group.iter().map(String::as_str));
            if let Topics::Named { names: named, .. } = &query.topics {
                names.extend(named.iter().map(String::as_str));
            }
        }
        names.extend(regexes.values().flatten().flatten().map(String::as_str));
        let leaders = client
            .topics
            .describe(&client.handle, &names, left(deadline))
            .await;

        let mut wanted: BTreeMap<Request, BTreeSet<(Arc<str>, i32)>> = BTreeMap::new();
        let mut places = HashMap::with_capacity(queries.len());
        let shared: HashMap<&str, Arc<str>> = leaders
            .keys()
            .map(|name| (name.as_str(), Arc::from(name.as_str())))
            .collect();
        for (query, of_group) in &queries {
            let found = find(query, of_group, &regexes, &leaders, &shared);
            for place in found.iter().flatten() {
                let read = wanted.entry((query.isolation, place.leader)).or_default();
                read.insert((place.topic.clone(), place.partition));
            }
            places.insert(query.clone(), found);
        }
        let reads = wanted.into_iter().map(|((isolation, leader), partitions)| {
            let read = read(client, isolation, partitions, deadline)
                .map(Arc::new)
                .boxed();
            ((isolation, leader), read.shared())
        });
        Ends {
            places,
            reads: reads.collect(),
        }
    }

    /// The partitions of a query.
    pub fn places(&self, query: &Query) -> Result<&Places> {
        match self.places.get(query) {
            Some(Ok(places)) => Ok(places),
            Some(Err(error)) => Err(error.clone()),
            None => unreachable!("every query of the batch was looked at"),
        }
    }

    /// Start and end of each place. The first partition that cannot be read is the error: a sum
    /// without it would be wrong.
    pub async fn bounds(&self, isolation: Isolation, places: &Places) -> Result<Vec<(i64, i64)>> {
        let leaders: BTreeSet<i32> = places.iter().map(|place| place.leader).collect();
        let reads = leaders.into_iter().map(|leader| {
            let read = self.reads.get(&(isolation, leader));
            let read = read.cloned().expect("a read for every leader of a place");
            async move { (leader, read.await) }
        });
        let reads: HashMap<i32, Arc<Bounds>> = join_all(reads).await.into_iter().collect();
        let bounds = places.iter().map(|place| {
            let key = (place.topic.clone(), place.partition);
            reads[&place.leader]
                .get(&key)
                .cloned()
                .expect("an outcome for every partition")
        });
        bounds.collect()
    }
}

type Regexes = HashMap<String, Result<Vec<String>>>;

/// The topics that match each regex.
async fn regexes(
    client: &Client,
    queries: &[(Query, BTreeSet<String>)],
    deadline: Instant,
) -> Regexes {
    let mut found = Regexes::new();
    for (query, _) in queries {
        let Topics::Named { regexes, .. } = &query.topics else {
            continue;
        };
        for regex in regexes {
            if !found.contains_key(regex) {
                let limit = left(deadline);
                let matching = client.topics.matching(&client.handle, regex, limit).await;
                found.insert(regex.clone(), matching);
            }
        }
    }
    found
}

/// The partitions of one query.
fn find(
    query: &Query,
    of_group: &BTreeSet<String>,
    regexes: &Regexes,
    leaders: &HashMap<String, Result<Arc<Leaders>>>,
    shared: &HashMap<&str, Arc<str>>,
) -> Result<Places> {
    let mut topics: BTreeSet<&str> = of_group.iter().map(String::as_str).collect();
    if let Topics::Named {
        names,
        regexes: wanted,
    } = &query.topics
    {
        topics.extend(names.iter().map(String::as_str));
        for regex in wanted {
            let matching = regexes.get(regex).expect("every regex was looked at");
            let matching = matching.as_ref().map_err(Error::clone)?;
            topics.extend(matching.iter().map(String::as_str));
        }
    }
    let mut places = Places::new();
    for topic in topics {
        let Some(found) = leaders.get(topic) else {
            return Err(errors::no_topic(topic));
        };
        let partitions = found.as_ref().map_err(Error::clone)?;
        let by_number = |number: i32| {
            partitions
                .iter()
                .find(|(partition, _)| *partition == number)
        };
        let wanted: Vec<&(i32, Option<i32>)> = match query.partitions.is_empty() {
            true => partitions.iter().collect(),
            false => {
                let missing = |number| errors::no_partition(topic, number, partitions.len());
                let numbers = query.partitions.iter();
                let found = numbers.map(|n| by_number(n).ok_or_else(|| missing(n)));
                found.collect::<Result<_>>()?
            }
        };
        for (partition, leader) in wanted {
            places.push(Place {
                topic: shared[topic].clone(),
                partition: *partition,
                leader: leader.ok_or_else(|| errors::no_leader(topic, *partition))?,
            });
        }
    }
    Ok(places)
}

/// The part of the time that is left that a broker may take before its partitions are looked for
/// elsewhere.
const ONE_TRY: f64 = 0.6;

/// Start and end of the partitions of one broker. Where a leader has moved, asks again.
/// The first requests go out at once; the future is the outcome.
fn read(
    client: &Client,
    isolation: Isolation,
    partitions: BTreeSet<(Arc<str>, i32)>,
    deadline: Instant,
) -> impl Future<Output = Bounds> + use<'_> {
    let latest = End::Latest {
        committed_only: isolation == Isolation::ReadCommitted,
    };
    let ask = move |open: &BTreeSet<(Arc<str>, i32)>| {
        let limit = left(deadline).mul_f64(ONE_TRY);
        join(
            client.ends(open, End::Start, limit),
            client.ends(open, latest, limit),
        )
    };
    let mut answers = ask(&partitions);
    async move {
        let mut bounds = Bounds::with_capacity(partitions.len());
        let mut open = partitions;
        let mut pause = Duration::from_millis(50);
        loop {
            let (starts, ends) = answers.await;
            let last = left(deadline) < pause * 3;
            let moved = sort(open, starts, ends, last, &mut bounds);
            if bounds.values().any(Result::is_ok) {
                client.health.well();
            }
            if moved.is_empty() {
                return bounds;
            }
            sleep(pause).await;
            pause *= 2;
            open = look_again(client, moved, &mut bounds, deadline).await;
            answers = ask(&open);
        }
    }
}

/// Gives each partition its outcome, but for those that another try may find elsewhere.
fn sort(
    open: BTreeSet<(Arc<str>, i32)>,
    starts: Result<Vec<Offset>, Failure>,
    ends: Result<Vec<Offset>, Failure>,
    last: bool,
    bounds: &mut Bounds,
) -> BTreeSet<(Arc<str>, i32)> {
    let (starts, ends) = (by_partition(starts), by_partition(ends));
    let mut moved = BTreeSet::new();
    for key in open {
        let start = outcome(&starts, &key);
        match start.and_then(|start| Ok((start, outcome(&ends, &key)?))) {
            Ok(found) => {
                bounds.insert(key, Ok(found));
            }
            Err(failure) if last || !topics::may_have_moved(&failure) => {
                let error = errors::of_partition(&key.0, key.1, &failure);
                bounds.insert(key, Err(error));
            }
            Err(_) => {
                moved.insert(key);
            }
        }
    }
    moved
}

/// Finds out where partitions went: those that are gone or without a leader get their error, the
/// others are asked again.
async fn look_again(
    client: &Client,
    moved: BTreeSet<(Arc<str>, i32)>,
    bounds: &mut Bounds,
    deadline: Instant,
) -> BTreeSet<(Arc<str>, i32)> {
    let names: BTreeSet<&str> = moved.iter().map(|(topic, _)| &**topic).collect();
    client.topics.forget(names.iter().copied());
    let leaders = client
        .topics
        .describe(&client.handle, &names, left(deadline))
        .await;
    // librdkafka has its own idea of who leads what, and keeps it for minutes.
    let (handle, limit) = (client.handle.clone(), left(deadline));
    let _ = tokio::task::spawn_blocking(move || handle.refresh_leaders(limit)).await;
    let mut open = BTreeSet::new();
    for (topic, partition) in &moved {
        let found = match leaders.get(&**topic) {
            Some(Ok(leaders)) => match leaders.iter().find(|(number, _)| number == partition) {
                Some((_, Some(_))) => Ok(()),
                Some((_, None)) => Err(errors::no_leader(topic, *partition)),
                None => Err(errors::no_partition(topic, *partition, leaders.len())),
            },
            Some(Err(error)) => Err(error.clone()),
            None => Err(errors::no_topic(topic)),
        };
        let key = (topic.clone(), *partition);
        match found {
            Ok(()) => {
                open.insert(key);
            }
            Err(error) => {
                bounds.insert(key, Err(error));
            }
        }
    }
    open
}

type Found = Result<HashMap<(Arc<str>, i32), Offset>, Failure>;

fn by_partition(offsets: Result<Vec<Offset>, Failure>) -> Found {
    let keyed = |offset: Offset| ((offset.topic.clone(), offset.partition), offset);
    offsets.map(|offsets| offsets.into_iter().map(keyed).collect())
}

/// The offset of a partition. librdkafka answers −1001 without an error for a leader that has died.
fn outcome(found: &Found, key: &(Arc<str>, i32)) -> Result<i64, Failure> {
    let failure = |code: Code| Failure {
        code,
        text: code.to_string(),
    };
    match found {
        Err(failure) => Err(failure.clone()),
        Ok(offsets) => match offsets.get(key) {
            Some(Offset {
                error: Some(code), ..
            }) => Err(failure(*code)),
            Some(Offset { offset, .. }) if *offset >= 0 => Ok(*offset),
            _ => Err(Failure {
                code: Code::BrokerTransportFailure,
                text: "the broker that leads it does not answer".to_owned(),
            }),
        },
    }
}
