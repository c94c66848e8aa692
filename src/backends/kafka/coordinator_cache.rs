//! Which brokers coordinate groups: asked for many at once, and remembered.

use std::{collections::HashMap, num::NonZero};

use futures_util::{
    FutureExt,
    future::{BoxFuture, try_join_all},
};
use kafka_protocol::{messages::FindCoordinatorRequest, protocol::StrBytes};
use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    cluster::Cluster,
    protocol::{Coordinator, Coordinators as Found, Failure},
};

/// Coordinators of more groups than this are asked for anew.
const REMEMBERED: NonZero<usize> = NonZero::new(100_000).expect("more than none");
/// Since this version a request may name many groups (KIP-699, Kafka 3.0).
const MANY_COORDINATORS: i16 = 4;

/// Which broker coordinates a group, as far as is known.
pub struct Coordinators(Mutex<LruCache<String, i32>>);

impl Default for Coordinators {
    fn default() -> Self {
        Coordinators(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

/// Groups by the broker that coordinates them.
pub type ByCoordinator = HashMap<i32, Vec<String>>;

impl Coordinators {
    /// Those that are known, and the groups whose coordinator is not.
    pub fn sort(&self, groups: Vec<String>) -> (ByCoordinator, Vec<String>) {
        let mut remembered = self.0.lock();
        let (mut known, mut unknown) = (ByCoordinator::new(), Vec::new());
        for group in groups {
            match remembered.get(&group) {
                Some(broker) => known.entry(*broker).or_default().push(group),
                None => unknown.push(group),
            }
        }
        (known, unknown)
    }

    pub fn forget<'a>(&self, groups: impl Iterator<Item = &'a String>) {
        let mut remembered = self.0.lock();
        groups.for_each(|group| {
            remembered.pop(group);
        });
    }

    /// Which broker coordinates each group.
    pub fn find<'a>(
        &'a self,
        cluster: &'a Cluster,
        groups: &'a [String],
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<Located>, Failure>> {
        async move {
            if groups.is_empty() {
                return Ok(Vec::new());
            }
            let request = |version| find_coordinator(version, groups);
            match cluster.ask_any(request, deadline).await? {
                Found::Many(found) => {
                    let found = found.into_iter();
                    Ok(found
                        .map(|(group, found)| self.locate(cluster, group, &found))
                        .collect())
                }
                Found::One(found) => {
                    let (first, rest) = groups.split_first().expect("a request names a group");
                    let mut all = vec![self.locate(cluster, first.clone(), &found)];
                    let rest = rest.chunks(1).map(|one| self.find(cluster, one, deadline));
                    all.extend(try_join_all(rest).await?.into_iter().flatten());
                    Ok(all)
                }
            }
        }
        .boxed()
    }

    fn locate(&self, cluster: &Cluster, group: String, found: &Coordinator) -> Located {
        if let Some(failure) = Failure::of_code(found.error) {
            return (group, Err(failure));
        }
        let broker = found.node.id;
        cluster.meet(&found.node);
        self.0.lock().put(group.clone(), broker);
        (group, Ok(broker))
    }
}

/// A group with the broker that coordinates it.
pub type Located = (String, Result<i32, Failure>);

/// An older broker takes one group a request, which is the first then.
fn find_coordinator(version: i16, groups: &[String]) -> FindCoordinatorRequest {
    let mut keys = groups.iter().cloned().map(StrBytes::from_string);
    let request = FindCoordinatorRequest::default();
    match version >= MANY_COORDINATORS {
        true => request.with_coordinator_keys(keys.collect()),
        false => request.with_key(keys.next().unwrap_or_default()),
    }
}
