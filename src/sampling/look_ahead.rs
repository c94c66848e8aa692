//! Which queries a batch takes along: those that are expected to be requested while what it reads
//! is fresh. So one batch serves the calls of the next second, rather than each call a batch of its
//! own. Where many are expected, it goes out before the first of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
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

/// A batch is sent so long before the first request that is expected: what it takes, mostly.
const LEAD: Duration = Duration::from_millis(50);
/// So many requests that are expected together are worth a batch of their own. With fewer, the first
/// call sends it: a lone trigger costs no more than its calls.
const MANY: usize = 10;

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

    /// When a batch is worth sending although no call waits for it: before the first expected
    /// request, if that is one of many.
    pub fn worth_sending(&self, now: Instant, ahead: Duration) -> Option<Instant> {
        let expected = self.0.lock();
        let ((first, _), _) = expected.next.first_key_value()?;
        let begin = (*first - LEAD).max(now);
        let within = expected.next.range(..(begin + ahead, 0));
        (within.take(MANY).count() == MANY).then_some(begin)
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
