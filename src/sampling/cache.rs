//! Parsed triggers, kept while somebody asks for them.

use std::{collections::hash_map::RandomState, num::NonZeroUsize, sync::Arc, time::Duration};

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::trigger::Trigger;
use crate::trigger::TriggerRef;

/// A bounded map from what KEDA sends to what was made of it, with the least recently asked first
/// to go. Keyed by the whole map, so that equal hashes confuse nobody.
pub(super) struct Cache {
    triggers: Mutex<LruCache<TriggerRef, Entry, RandomState>>,
    idle_after: Duration,
}

struct Entry {
    trigger: Arc<Trigger>,
    asked: Instant,
}

impl Cache {
    pub fn new(capacity: NonZeroUsize, idle_after: Duration) -> Self {
        // Room is made as triggers come: a sidecar with one of them pays for one.
        let mut triggers = LruCache::unbounded_with_hasher(RandomState::new());
        triggers.resize(capacity);
        Cache {
            triggers: Mutex::new(triggers),
            idle_after,
        }
    }

    pub fn get(&self, key: &TriggerRef) -> Option<Arc<Trigger>> {
        let mut triggers = self.triggers.lock();
        let entry = triggers.get_mut(key)?;
        entry.asked = Instant::now();
        Some(entry.trigger.clone())
    }

    /// Keeps a trigger. `true` if another had to go that was not idle yet.
    pub fn put(&self, key: TriggerRef, trigger: Arc<Trigger>) -> bool {
        let entry = Entry {
            trigger,
            asked: Instant::now(),
        };
        // What goes is dropped after the lock: it may close a connection.
        let gone = {
            let mut triggers = self.triggers.lock();
            let full = triggers.len() == triggers.cap().get() && !triggers.contains(&key);
            let gone = full.then(|| triggers.pop_lru()).flatten();
            triggers.put(key, entry);
            gone
        };
        gone.is_some_and(|(_, entry)| entry.asked.elapsed() < self.idle_after)
    }

    /// Forgets what nobody asked for.
    pub fn sweep(&self) {
        loop {
            let gone = {
                let mut triggers = self.triggers.lock();
                match triggers.peek_lru() {
                    Some((_, entry)) if entry.asked.elapsed() >= self.idle_after => {
                        triggers.pop_lru()
                    }
                    _ => None,
                }
            };
            if gone.is_none() {
                return;
            }
        }
    }

    /// The triggers, the most recently asked first.
    pub fn all(&self) -> Vec<(String, String, Arc<Trigger>)> {
        let triggers = self.triggers.lock();
        triggers
            .iter()
            .map(|(key, entry)| {
                (
                    key.namespace.clone(),
                    key.name.clone(),
                    entry.trigger.clone(),
                )
            })
            .collect()
    }
}
