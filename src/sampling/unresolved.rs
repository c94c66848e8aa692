//! Triggers that are evaluated by their own metadata, as it is not known which authentication they have.

use std::hash::{BuildHasher, RandomState};

use lru::LruCache;
use parking_lot::Mutex;

use super::trigger_key::TriggerKey;
use crate::{error::Error, metadata::TriggerRef};

/// Each with the reason, for the error of a backend that refuses it. By a hash of the trigger: its
/// metadata may be large, and of two with one hash the error would have the other's reason.
pub(super) struct Unresolved {
    reasons: Mutex<LruCache<u64, Error>>,
    hasher: RandomState,
}

impl Unresolved {
    /// For as many triggers as the engine keeps.
    pub fn new(most: std::num::NonZeroUsize) -> Self {
        let mut reasons = LruCache::unbounded();
        reasons.resize(most);
        Unresolved {
            reasons: Mutex::new(reasons),
            hasher: RandomState::new(),
        }
    }

    pub fn put(&self, request: &TriggerRef, reason: Error) {
        let id = self.id(request);
        self.reasons.lock().put(id, reason);
    }

    pub fn get(&self, request: &TriggerRef) -> Option<Error> {
        let id = self.id(request);
        self.reasons.lock().peek(&id).cloned()
    }

    /// It is known again.
    pub fn remove(&self, request: &TriggerRef) {
        // Usually there are none, and nothing is hashed.
        let mut reasons = self.reasons.lock();
        if !reasons.is_empty() {
            reasons.pop(&self.id(request));
        }
    }

    fn id(&self, request: &TriggerRef) -> u64 {
        self.hasher.hash_one(TriggerKey::of(request))
    }
}
