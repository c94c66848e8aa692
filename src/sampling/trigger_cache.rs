//! Parsed triggers, kept while they are in use.

use std::{collections::hash_map::RandomState, num::NonZeroUsize, sync::Arc, time::Duration};

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::trigger::Trigger;
use crate::metadata::TriggerRef;

/// A bounded map from what KEDA sends to the parsed trigger. The least recently used is evicted.
pub(super) struct TriggerCache {
    triggers: Mutex<LruCache<TriggerKey, Entry, RandomState>>,
    idle_after: Duration,
}

/// All that KEDA sent, rather than a hash of it, so that no two triggers are confused. One flat
/// buffer, because comparing a map of strings visits a dozen places in memory.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct TriggerKey(Box<[u8]>);

struct Entry {
    namespace: String,
    name: String,
    trigger: Arc<Trigger>,
    used: Instant,
}

impl TriggerKey {
    pub fn of(request: &TriggerRef) -> Self {
        let pairs = || {
            request
                .metadata
                .iter()
                .flat_map(|(key, value)| [key, value])
        };
        let texts = || {
            [&request.namespace, &request.name]
                .into_iter()
                .chain(pairs())
        };
        let length = texts().map(|text| size_of::<usize>() + text.len()).sum();
        let mut key = Vec::with_capacity(length);
        for text in texts() {
            // With its length, so that no two maps read the same.
            key.extend_from_slice(&text.len().to_ne_bytes());
            key.extend_from_slice(text.as_bytes());
        }
        TriggerKey(key.into_boxed_slice())
    }
}

impl TriggerCache {
    pub fn new(capacity: NonZeroUsize, idle_after: Duration) -> Self {
        // Grows as triggers come: a sidecar with one of them pays for one.
        let mut triggers = LruCache::unbounded_with_hasher(RandomState::new());
        triggers.resize(capacity);
        TriggerCache {
            triggers: Mutex::new(triggers),
            idle_after,
        }
    }

    pub fn get(&self, key: &TriggerKey) -> Option<Arc<Trigger>> {
        let mut triggers = self.triggers.lock();
        let entry = triggers.get_mut(key)?;
        entry.used = Instant::now();
        Some(entry.trigger.clone())
    }

    /// Keeps a trigger. `true` if another one was evicted that was not idle yet.
    pub fn put(&self, key: TriggerKey, request: TriggerRef, trigger: Arc<Trigger>) -> bool {
        let entry = Entry {
            namespace: request.namespace,
            name: request.name,
            trigger,
            used: Instant::now(),
        };
        // Dropped after the lock is released: it may close a connection.
        let evicted = {
            let mut triggers = self.triggers.lock();
            let full = triggers.len() == triggers.cap().get() && !triggers.contains(&key);
            let evicted = full.then(|| triggers.pop_lru()).flatten();
            triggers.put(key, entry);
            evicted
        };
        evicted.is_some_and(|(_, entry)| entry.used.elapsed() < self.idle_after)
    }

    /// Evicts idle triggers.
    pub fn evict_idle(&self) {
        loop {
            let evicted = {
                let mut triggers = self.triggers.lock();
                match triggers.peek_lru() {
                    Some((_, entry)) if entry.used.elapsed() >= self.idle_after => {
                        triggers.pop_lru()
                    }
                    _ => None,
                }
            };
            if evicted.is_none() {
                return;
            }
        }
    }

    /// The triggers, the most recently used first.
    pub fn all(&self) -> Vec<(String, String, Arc<Trigger>)> {
        let triggers = self.triggers.lock();
        triggers
            .iter()
            .map(|(_, entry)| {
                (
                    entry.namespace.clone(),
                    entry.name.clone(),
                    entry.trigger.clone(),
                )
            })
            .collect()
    }
}
