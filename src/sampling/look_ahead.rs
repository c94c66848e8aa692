//! Which queries a batch takes along: those that are expected to be requested while what it reads
//! is fresh. So one batch serves the calls of the next second, rather than each call a batch of its
//! own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{backend::Backend, query_slot::QuerySlot};

/// The expected requests of one connection, each slot once.
pub(super) struct LookAhead<B: Backend>(Mutex<Expected<B>>);

struct Expected<B: Backend> {
    next: BTreeMap<ExpectedAt, Weak<QuerySlot<B>>>,
    added: u64,
}

/// Whether a batch takes a query along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Take,
    /// It is on its way, has a sample that will be fresh, or its time is over.
    Leave,
    /// What is read now would not be fresh by then: a later batch may take it.
    Later,
}

/// When, and a number to tell those of one instant apart.
pub(super) type ExpectedAt = (Instant, u64);

impl<B: Backend> Default for LookAhead<B> {
    fn default() -> Self {
        LookAhead(Mutex::new(Expected {
            next: BTreeMap::new(),
            added: 0,
        }))
    }
}

impl<B: Backend> LookAhead<B> {
    /// Expects a request of a slot at `next`, and no longer at `before`.
    pub fn expect(
        &self,
        slot: Weak<QuerySlot<B>>,
        before: Option<ExpectedAt>,
        next: Option<Instant>,
    ) -> Option<ExpectedAt> {
        let mut expected = self.0.lock();
        if let Some(before) = before {
            expected.next.remove(&before);
        }
        let next = next?;
        expected.added += 1;
        let at = (next, expected.added);
        expected.next.insert(at, slot);
        Some(at)
    }

    /// The slots that a batch which goes out at `now` takes along, at most `most`: requested before
    /// `until`, and not fresh by then. They count as queued from here on.
    pub fn take(&self, now: Instant, until: Instant, most: usize) -> Vec<Arc<QuerySlot<B>>> {
        let (mut taken, mut later) = (Vec::new(), Vec::new());
        while taken.len() < most {
            let first = {
                let mut expected = self.0.lock();
                match expected.next.first_key_value() {
                    Some(((at, _), _)) if *at < until => expected.next.pop_first(),
                    _ => None,
                }
            };
            let Some(((at, _), slot)) = first else {
                break;
            };
            let Some(slot) = slot.upgrade() else {
                continue;
            };
            match slot.take_along(now, at) {
                Decision::Take => taken.push(slot),
                Decision::Leave => {}
                Decision::Later => later.push((slot, at)),
            }
        }
        for (slot, at) in later {
            slot.expect_at(at);
        }
        taken
    }
}
