//! Which topics a cluster has, and which broker leads each partition. Cached for a while, and
//! requested again when something does not fit.

use std::{
    collections::{BTreeSet, HashMap},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    cluster::Cluster,
    errors,
    partition_selection::Leaders,
    protocol::{BrokerError, TopicMetadata},
};
use crate::{backends::ttl_cache::TtlCache, error::Result};

/// How long topics are cached: a new partition, or a new topic that a regex matches, counts this
/// late at most.
const TTL: Duration = Duration::from_secs(10);
/// How many topics are cached.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(100_000).expect("is not zero");

/// What is known of a cluster's topics.
pub struct TopicCache {
    described: TtlCache<String, Arc<Leaders>, BrokerError>,
    all: TtlCache<(), Arc<Vec<String>>, BrokerError>,
}

impl Default for TopicCache {
    fn default() -> Self {
        TopicCache {
            described: TtlCache::new(TTL, CAPACITY),
            all: TtlCache::new(TTL, NonZeroUsize::MIN),
        }
    }
}

impl TopicCache {
    /// The partitions of topics, each with its own outcome. An error means that no broker responds.
    pub async fn describe(
        &self,
        cluster: &Cluster,
        names: &BTreeSet<&str>,
        deadline: Instant,
    ) -> Result<HashMap<String, Result<Arc<Leaders>>>, BrokerError> {
        let mut described = HashMap::with_capacity(names.len());
        let mut missing = Vec::new();
        for name in names {
            match self.described.get(&(*name).to_owned()) {
                Some(leaders) => {
                    described.insert((*name).to_owned(), Ok(leaders));
                }
                None => missing.push(*name),
            }
        }
        if missing.is_empty() {
            return Ok(described);
        }
        for topic in cluster.topics(Some(&missing), deadline).await? {
            let name = topic.name.clone();
            let found = leaders(topic).map_err(|error| errors::of_topic(&name, &error));
            if let Ok(leaders) = &found {
                self.keep(&name, leaders);
            }
            described.insert(name, found);
        }
        Ok(described)
    }

    /// A partition without a leader may have one in a moment: such a topic is requested again.
    fn keep(&self, name: &str, leaders: &Arc<Leaders>) {
        if leaders.iter().all(|(_, leader)| leader.is_some()) {
            self.described.insert(&name.to_owned(), leaders.clone());
        }
    }

    /// Something did not fit: these are requested again.
    pub fn remove<'a>(&self, names: impl Iterator<Item = &'a str>) {
        names.for_each(|name| self.described.remove(&name.to_owned()));
    }

    /// The names of all topics.
    pub async fn list(
        &self,
        cluster: &Cluster,
        deadline: Instant,
    ) -> Result<Arc<Vec<String>>, BrokerError> {
        let read = async {
            let topics = cluster.topics(None, deadline).await?;
            let names = topics.into_iter().map(|topic| topic.name);
            Ok(Arc::new(names.collect()))
        };
        self.all.get_or_read(&(), read).await
    }
}

fn leaders(topic: TopicMetadata) -> Result<Arc<Leaders>, BrokerError> {
    if let Some(error) = BrokerError::from_number(topic.error) {
        return Err(error);
    }
    let partitions = topic.partitions.into_iter();
    let partitions = partitions.map(|(number, leader)| (number, (leader >= 0).then_some(leader)));
    let mut leaders = Leaders::from_iter(partitions);
    leaders.sort_unstable();
    Ok(Arc::new(leaders))
}
