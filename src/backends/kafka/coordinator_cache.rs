//! Which brokers coordinate groups: requested for many at once, and cached.

use std::{collections::HashMap, num::NonZero};

use futures_util::future::try_join_all;
use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    cluster::Cluster,
    protocol::{BrokerError, Coordinator, FoundCoordinators, requests::find_coordinator},
};

/// How many groups have their coordinator cached.
const CAPACITY: NonZero<usize> = NonZero::new(100_000).expect("is not zero");

/// Which broker coordinates a group, as far as is known.
pub struct CoordinatorCache(Mutex<LruCache<String, i32>>);

impl Default for CoordinatorCache {
    fn default() -> Self {
        let mut cache = LruCache::unbounded();
        cache.resize(CAPACITY);
        CoordinatorCache(Mutex::new(cache))
    }
}

/// Groups by the broker that coordinates them.
pub type ByCoordinator = HashMap<i32, Vec<String>>;

/// A group with the broker that coordinates it.
pub type Located = (String, Result<i32, BrokerError>);

impl CoordinatorCache {
    /// Those that are known, and the groups whose coordinator is not.
    pub fn sort(&self, groups: Vec<String>) -> (ByCoordinator, Vec<String>) {
        let mut cache = self.0.lock();
        let (mut known, mut unknown) = (ByCoordinator::new(), Vec::new());
        for group in groups {
            match cache.get(&group) {
                Some(broker) => known.entry(*broker).or_default().push(group),
                None => unknown.push(group),
            }
        }
        (known, unknown)
    }

    /// Drops what turned out to be wrong.
    pub fn remove(&self, groups: &[String]) {
        let mut cache = self.0.lock();
        for group in groups {
            cache.pop(group);
        }
    }

    /// Which broker coordinates each group: one request, or one for each group with brokers before
    /// Kafka 3.0, as the first response shows.
    pub async fn find(
        &self,
        cluster: &Cluster,
        groups: &[String],
        deadline: Instant,
    ) -> Result<Vec<Located>, BrokerError> {
        let Some((first, rest)) = groups.split_first() else {
            return Ok(Vec::new());
        };
        match self.request(cluster, groups, deadline).await? {
            FoundCoordinators::Many(found) => {
                let found = found.into_iter();
                let found = found.map(|(group, found)| self.keep(cluster, group, &found));
                Ok(found.collect())
            }
            FoundCoordinators::One(found) => {
                let rest = rest.iter().map(|group| async move {
                    let one = std::slice::from_ref(group);
                    match self.request(cluster, one, deadline).await? {
                        FoundCoordinators::One(found) => Ok(vec![(group.clone(), found)]),
                        FoundCoordinators::Many(found) => Ok(found),
                    }
                });
                let rest = try_join_all(rest).await?.into_iter().flatten();
                let all = std::iter::once((first.clone(), found)).chain(rest);
                Ok(all
                    .map(|(group, found)| self.keep(cluster, group, &found))
                    .collect())
            }
        }
    }

    async fn request(
        &self,
        cluster: &Cluster,
        groups: &[String],
        deadline: Instant,
    ) -> Result<FoundCoordinators, BrokerError> {
        let request = |version| find_coordinator(version, groups);
        cluster.request_any(request, deadline).await
    }

    fn keep(&self, cluster: &Cluster, group: String, found: &Coordinator) -> Located {
        if let Some(error) = BrokerError::from_number(found.error) {
            return (group, Err(error));
        }
        let broker = found.node.id;
        cluster.add_broker(&found.node);
        self.0.lock().put(group.clone(), broker);
        (group, Ok(broker))
    }
}
