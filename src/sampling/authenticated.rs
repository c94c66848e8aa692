//! The triggers with an authentication: each with the credentials that it uses, until others are
//! proven.

use std::sync::{Arc, Weak};

use lru::LruCache;
use parking_lot::Mutex;

use super::{trigger::Trigger, trigger_cache::TriggerKey};

/// What is used for each trigger, by what KEDA sends of it.
pub(super) struct Authenticated(Mutex<LruCache<TriggerKey, Weak<Trigger>>>);

impl Authenticated {
    /// For as many triggers as the engine keeps.
    pub fn new(most: std::num::NonZeroUsize) -> Self {
        let mut used = LruCache::unbounded();
        used.resize(most);
        Authenticated(Mutex::new(used))
    }

    /// What to use, now that the authentication gives `next`: what was used before, while `next` has no
    /// sample yet and the other still has; `next` is then read beside it.
    pub fn choose(&self, key: TriggerKey, next: Arc<Trigger>) -> Arc<Trigger> {
        let mut used = self.0.lock();
        let current = used.get(&key).and_then(Weak::upgrade);
        if let Some(current) = current.filter(|current| !Arc::ptr_eq(current, &next))
            && next.last().is_none()
            && current.is_up()
        {
            tokio::spawn(async move { next.evaluate().await });
            return current;
        }
        used.put(key, Arc::downgrade(&next));
        next
    }

    /// What is used for a trigger now.
    pub fn current(&self, key: &TriggerKey) -> Option<Arc<Trigger>> {
        self.0.lock().peek(key)?.upgrade()
    }

    /// Forgets triggers that are no longer kept.
    pub fn evict(&self) {
        let mut used = self.0.lock();
        while let Some((_, trigger)) = used.peek_lru()
            && trigger.strong_count() == 0
        {
            used.pop_lru();
        }
    }
}
