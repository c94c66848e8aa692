//! The triggers with an authentication: each with the credentials that it uses, until others are
//! proven.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{Arc, Weak},
};

use lru::LruCache;
use parking_lot::Mutex;

use super::{trigger::Trigger, trigger_key::TriggerKey};
use crate::metadata::TriggerRef;

/// What is used for each trigger, by what KEDA sends of it.
pub(super) struct Authenticated {
    used: Mutex<LruCache<TriggerKey, Used>>,
    /// Its seed is secret: a hash says nothing of what it is of.
    hasher: RandomState,
}

/// Distinguishes what authentications have made of one trigger. A hash, so that no key of a map holds a
/// secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version(pub u64);

struct Used {
    version: Version,
    trigger: Weak<Trigger>,
    /// What is tried beside it.
    next: Option<Version>,
}

impl Used {
    fn versions(&self) -> impl Iterator<Item = Version> + use<> {
        [Some(self.version), self.next].into_iter().flatten()
    }
}

impl Authenticated {
    /// For as many triggers as the engine keeps.
    pub fn new(most: std::num::NonZeroUsize) -> Self {
        let mut used = LruCache::unbounded();
        used.resize(most);
        Authenticated {
            used: Mutex::new(used),
            hasher: RandomState::new(),
        }
    }

    /// Of the metadata with the keys of an authentication.
    pub fn version(&self, merged: &TriggerRef) -> Version {
        Version(self.hasher.hash_one(&merged.metadata))
    }

    /// What to use, now that the authentication gives `next`: what was used before, while `next` has no
    /// sample yet and the other still has; `next` is then read beside it. With it the versions that
    /// nobody uses any more.
    pub fn choose(
        &self,
        key: TriggerKey,
        version: Version,
        next: Arc<Trigger>,
    ) -> (Arc<Trigger>, Vec<Version>) {
        let outdated = |before: Option<Version>| {
            let before = before.filter(|before| *before != version);
            before.into_iter().collect()
        };
        let mut used = self.used.lock();
        if let Some(before) = used.get_mut(&key)
            && before.version != version
            && let Some(current) = before.trigger.upgrade()
            && next.last().is_none()
            && current.is_up()
        {
            let unproven = before.next.replace(version);
            tokio::spawn(async move { next.evaluate().await });
            return (current, outdated(unproven));
        }
        let now = Used {
            version,
            trigger: Arc::downgrade(&next),
            next: None,
        };
        let before = used.put(key, now);
        let before = before.iter().flat_map(Used::versions);
        (
            next,
            before.flat_map(|before| outdated(Some(before))).collect(),
        )
    }

    /// What is used for a trigger now.
    pub fn current(&self, key: &TriggerKey) -> Option<Arc<Trigger>> {
        self.used.lock().peek(key)?.trigger.upgrade()
    }

    /// Forgets a trigger; returns its versions.
    pub fn remove(&self, key: &TriggerKey) -> impl Iterator<Item = Version> + use<> {
        let removed = self.used.lock().pop(key);
        removed.into_iter().flat_map(|used| used.versions())
    }

    /// Forgets triggers that are no longer kept.
    pub fn evict(&self) {
        let mut used = self.used.lock();
        while let Some((_, oldest)) = used.peek_lru()
            && oldest.trigger.strong_count() == 0
        {
            used.pop_lru();
        }
    }
}
