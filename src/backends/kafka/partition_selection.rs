//! Which partitions count for a query, and which brokers lead them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use kafka_protocol::ResponseError;

use super::{
    errors,
    query::{Query, TopicRegex, TopicSelection},
};
use crate::error::{Error, Result};

/// A topic's partitions in ascending order, each with the broker that leads it.
pub type Leaders = Vec<(i32, Option<i32>)>;

/// Partitions of a topic, each with the broker that leads it.
pub type LedPartitions = Vec<(i32, i32)>;

/// The partitions that count for a query, by topic.
pub type SelectedPartitions = Vec<(Arc<str>, LedPartitions)>;

/// What a group has committed, by topic: only the topics matter here.
type ByTopic = HashMap<String, Vec<(i32, Result<i64, ResponseError>)>>;

/// The topics that queries name.
#[derive(Default)]
pub struct RequestedTopics {
    pub topics: BTreeSet<String>,
    pub regexes: BTreeSet<TopicRegex>,
}

impl RequestedTopics {
    /// Adds those of a query; where it wants whatever its group has committed in, of `committed`.
    pub fn add(&mut self, query: &Query, committed: Option<&ByTopic>) {
        match &query.topics {
            TopicSelection::Named { names, regexes } => {
                self.topics.extend(names.iter().cloned());
                self.regexes.extend(regexes.iter().cloned());
            }
            TopicSelection::OfGroup => {
                let committed = committed.into_iter().flat_map(ByTopic::keys);
                self.topics.extend(committed.cloned());
            }
        }
    }
}

/// What the cluster has of the requested topics.
pub struct TopicInfo {
    /// By the text of the regex.
    regexes: HashMap<String, Result<Vec<String>>>,
    topics: HashMap<Arc<str>, Result<Arc<Leaders>>>,
}

impl TopicInfo {
    /// Of the topics that match each regex, and of the partitions of each topic.
    pub fn new(
        regexes: HashMap<String, Result<Vec<String>>>,
        topics: HashMap<String, Result<Arc<Leaders>>>,
    ) -> Self {
        let topics = topics.into_iter();
        TopicInfo {
            regexes,
            topics: topics.map(|(name, found)| (name.into(), found)).collect(),
        }
    }

    /// The broker that leads a partition.
    pub fn leader(&self, topic: &str, partition: i32) -> Result<i32> {
        let (_, leaders) = self.leaders(topic)?;
        let found = leaders.binary_search_by_key(&partition, |(number, _)| *number);
        let at = found.map_err(|_| errors::no_partition(topic, partition, leaders.len()))?;
        let (_, leader) = leaders[at];
        leader.ok_or_else(|| errors::no_leader(topic, partition))
    }

    /// The partitions that count for a query.
    pub fn select(&self, query: &Query, committed: Option<&ByTopic>) -> Result<SelectedPartitions> {
        let topics = self.topics_of(query, committed)?.into_iter();
        let selected = topics.map(|topic| {
            let (name, leaders) = self.leaders(topic)?;
            Ok((name.clone(), self.led(query, topic, leaders)?))
        });
        selected.collect()
    }

    fn leaders(&self, topic: &str) -> Result<(&Arc<str>, &Leaders)> {
        let found = self.topics.get_key_value(topic);
        let (name, leaders) = found.ok_or_else(|| errors::no_topic(topic))?;
        Ok((name, leaders.as_ref().map_err(Error::clone)?))
    }

    /// The topics that count for a query.
    fn topics_of<'a>(
        &'a self,
        query: &'a Query,
        committed: Option<&'a ByTopic>,
    ) -> Result<BTreeSet<&'a str>> {
        let mut topics = BTreeSet::new();
        match &query.topics {
            TopicSelection::OfGroup => {
                let committed = committed.into_iter().flat_map(ByTopic::keys);
                topics.extend(committed.map(String::as_str));
            }
            TopicSelection::Named { names, regexes } => {
                topics.extend(names.iter().map(String::as_str));
                for regex in regexes {
                    let matching = self.regexes[regex.text()].as_ref().map_err(Error::clone)?;
                    topics.extend(matching.iter().map(String::as_str));
                }
            }
        }
        Ok(topics)
    }

    fn led(&self, query: &Query, topic: &str, leaders: &Leaders) -> Result<LedPartitions> {
        let led = |partition| Ok((partition, self.leader(topic, partition)?));
        match query.partitions.is_empty() {
            true => leaders
                .iter()
                .map(|(partition, _)| led(*partition))
                .collect(),
            false => query.partitions.iter().map(led).collect(),
        }
    }
}
