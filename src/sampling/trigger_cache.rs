//! Parsed triggers, kept while somebody asks for them.

use std::{collections::hash_map::RandomState, num::NonZeroUsize, sync::Arc, time::Duration};

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::trigger::Trigger;
use crate::metadata::TriggerRef;

/// A bounded map from what KEDA sends to what was made of it, with the least recently asked first
/// to go.
pub(super) struct Cache {
    triggers: Mutex<LruCache<Key, Entry, RandomState>>,
    idle_after: Duration,
}

/// All that KEDA sent, so that equal hashes confuse nobody; in one place of memory, because to
/// compare a map of strings is to visit a dozen.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Key(Box<[u8]>);

struct Entry {
    namespace: String,
    name: String,
    trigger: Arc<Trigger>,
    asked: Instant,
}

impl Key {
    pub fn of(asked: &TriggerRef) -> Self {
        let pairs = || asked.metadata.iter().flat_map(|(key, value)| [key, value]);
        let texts = || [&asked.namespace, &asked.name].into_iter().chain(pairs());
        let length = texts().map(|text| size_of::<usize>() + text.len()).sum();
        let mut key = Vec::with_capacity(length);
        for text in texts() {
            // With its length, so that no two maps read the same.
            key.extend_from_slice(&text.len().to_ne_bytes());
            key.extend_from_slice(text.as_bytes());
        }
        Key(key.into_boxed_slice())
    }
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

    pub fn get(&self, key: &Key) -> Option<Arc<Trigger>> {
        let mut triggers = self.triggers.lock();
        let entry = triggers.get_mut(key)?;
        entry.asked = Instant::now();
        Some(entry.trigger.clone())
    }

    /// Keeps a trigger. `true` if another had to go that was not idle yet.
    pub fn put(&self, key: Key, asked: TriggerRef, trigger: Arc<Trigger>) -> bool {
        let entry = Entry {
            namespace: asked.namespace,
            name: asked.name,
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
