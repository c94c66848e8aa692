//! Triggers that are evaluated by their own metadata, as it is not known which authentication they have.

use lru::LruCache;
use parking_lot::Mutex;

use super::trigger_key::TriggerKey;
use crate::{error::Error, metadata::TriggerRef};

/// Each with the reason, for the error of a backend that refuses it.
pub(super) struct Unresolved(Mutex<LruCache<TriggerKey, Error>>);

impl Unresolved {
    /// For as many triggers as the engine keeps.
    pub fn new(most: std::num::NonZeroUsize) -> Self {
        let mut reasons = LruCache::unbounded();
        reasons.resize(most);
        Unresolved(Mutex::new(reasons))
    }

    pub fn put(&self, request: &TriggerRef, reason: Error) {
        self.0.lock().put(TriggerKey::of(request), reason);
    }

    pub fn get(&self, request: &TriggerRef) -> Option<Error> {
        self.0.lock().peek(&TriggerKey::of(request)).cloned()
    }

    /// It is known again.
    pub fn remove(&self, request: &TriggerRef) {
        // Usually there are none, and no key is made.
        let mut reasons = self.0.lock();
        if !reasons.is_empty() {
            reasons.pop(&TriggerKey::of(request));
        }
    }
}
