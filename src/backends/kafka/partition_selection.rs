//! Which partitions count for a query, and which brokers lead them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    committed_offsets::Offsets,
    errors,
    query::{Query, Topics},
    topic_cache::Leaders,
};
use crate::error::{Error, Result};

/// The topics that queries name.
#[derive(Default)]
pub struct Names {
    pub topics: BTreeSet<String>,
    pub regexes: BTreeSet<String>,
}

/// What the cluster says of them.
pub struct Known {
    pub regexes: HashMap<String, Result<Vec<String>>>,
    pub topics: HashMap<String, Result<Arc<Leaders>>>,
}

/// Partitions of a topic, each with the broker that leads it.
pub type Led = Vec<(i32, i32)>;

impl Names {
    /// Adds those of a query; where it wants whatever its group has committed in, of `offsets`.
    pub fn add(&mut self, query: &Query, offsets: Option<&Offsets>) {
        match &query.topics {
            Topics::Named { names, regexes } => {
                extend(&mut self.topics, names);
                extend(&mut self.regexes, regexes);
            }
            Topics::OfGroup => {
                let committed = offsets.into_iter().flat_map(Offsets::keys);
                self.topics.extend(committed.cloned());
            }
        }
    }
}

fn extend(names: &mut BTreeSet<String>, more: &BTreeSet<String>) {
    for name in more {
        if !names.contains(name) {
            names.insert(name.clone());
        }
    }
}

impl Known {
    /// The partitions that count for a query, by topic.
    pub fn places(
        &self,
        query: &Query,
        offsets: Option<&Offsets>,
        shared: &HashMap<&str, Arc<str>>,
    ) -> Result<Vec<(Arc<str>, Led)>> {
        let topics = self.topics_of(query, offsets)?.into_iter();
        let places = topics.map(|topic| {
            let found = self.topics.get(topic);
            let found = found.ok_or_else(|| errors::no_topic(topic))?;
            let leaders = found.as_ref().map_err(Error::clone)?;
            Ok((shared[topic].clone(), led(query, topic, leaders)?))
        });
        places.collect()
    }

    /// The topics that count for a query.
    fn topics_of<'a>(
        &'a self,
        query: &'a Query,
        offsets: Option<&'a Offsets>,
    ) -> Result<BTreeSet<&'a str>> {
        let mut topics = BTreeSet::new();
        match &query.topics {
            Topics::OfGroup => {
                let committed = offsets.into_iter().flat_map(Offsets::keys);
                topics.extend(committed.map(String::as_str));
            }
            Topics::Named { names, regexes } => {
                topics.extend(names.iter().map(String::as_str));
                for regex in regexes {
                    let matching = self.regexes[regex].as_ref().map_err(Error::clone)?;
                    topics.extend(matching.iter().map(String::as_str));
                }
            }
        }
        Ok(topics)
    }
}

fn led(query: &Query, topic: &str, leaders: &Leaders) -> Result<Led> {
    let led = |(partition, leader): (i32, Option<i32>)| match leader {
        Some(leader) => Ok((partition, leader)),
        None => Err(errors::no_leader(topic, partition)),
    };
    if query.partitions.is_empty() {
        return leaders.iter().copied().map(led).collect();
    }
    let wanted = query.partitions.iter().map(|number| {
        let found = leaders.binary_search_by_key(&number, |(partition, _)| *partition);
        let at = found.map_err(|_| errors::no_partition(topic, number, leaders.len()))?;
        led(leaders[at])
    });
    wanted.collect()
}
