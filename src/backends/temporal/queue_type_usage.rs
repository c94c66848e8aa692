//! Which types of tasks a queue uses.
//!
//! Every name stands for a workflow, an activity and a Nexus queue, and most queues use one or
//! two of them. While the namespace's rate has room, workflows and activities are read every time.
//! When it has not, a type that was quiet is left out for a while, so that the others are not
//! delayed. No server counts Nexus tasks so far, and reading a queue loads its partitions into the
//! server's memory, so that type is read rarely, and never while a call waits.

use std::{num::NonZeroUsize, time::Duration};

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    query::{QueueType, TypeSelection},
    responses::QueueState,
};

/// The use of the queues of one namespace. The least recently used are evicted first: their next
/// read begins anew.
pub struct QueueTypeUsage(Mutex<LruCache<String, QueueUsage>>);

#[derive(Default)]
struct QueueUsage {
    types: [TypeUsage; 3],
}

#[derive(Clone, Copy, Default)]
struct TypeUsage {
    /// When it was last read.
    read: Option<Instant>,
    /// Workers polled when it was last read.
    has_pollers: bool,
    /// When it was last seen in use.
    used: Option<Instant>,
    /// Nexus: when it is read next although it is not in use. `None`: at any time.
    next_probe: Option<Instant>,
    /// The wait before that.
    probe_interval: Duration,
}

/// What to read of a queue.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReadPlan {
    /// Part of the sample.
    pub needed: Vec<QueueType>,
    /// No call waits for these: they show whether the type has come into use.
    pub idle: Vec<QueueType>,
}

/// The most queues whose use is kept.
pub const KNOWN: NonZeroUsize = NonZeroUsize::new(100_000).expect("is not zero");
/// A type counts as in use for this long after it last was. More would suit a queue that works by
/// day, and cost the server more.
const IN_USE: Duration = Duration::from_secs(60 * 60);
/// What a quiet type last was is used for this long when the rate has no room: the default of
/// `maxStaleness`.
const QUIET_FOR: Duration = Duration::from_secs(60);
/// An unused Nexus queue is read again after this, doubling up to [`LONGEST_PROBE`].
const FIRST_PROBE: Duration = Duration::from_secs(30);
/// Longer than the five minutes after which a server unloads an idle partition.
const LONGEST_PROBE: Duration = Duration::from_secs(10 * 60);

impl QueueTypeUsage {
    pub fn new(capacity: NonZeroUsize) -> Self {
        // Grows as queues come, so that an empty cache costs nothing.
        let mut queues = LruCache::unbounded();
        queues.resize(capacity);
        QueueTypeUsage(Mutex::new(queues))
    }

    /// What to read of a queue whose types `types` count. `room`: the rate has room for quiet types.
    pub fn read_plan(
        &self,
        queue: &str,
        types: &TypeSelection,
        room: bool,
        now: Instant,
    ) -> ReadPlan {
        let mut queues = self.0.lock();
        let queue = queues.get_or_insert_mut_ref(queue, QueueUsage::default);
        if let TypeSelection::Named(named) = types {
            return ReadPlan {
                needed: named.iter().copied().collect(),
                idle: Vec::new(),
            };
        }
        let mut plan = ReadPlan::default();
        for queue_type in QueueType::ALL {
            let is_counted = queue_type != QueueType::Nexus;
            let is_needed = is_counted && (room || queue.is_due(queue_type, now));
            if is_needed || queue.in_use(queue_type, now) {
                plan.needed.push(queue_type);
            } else if !is_counted && queue.start_probe(now) {
                plan.idle.push(queue_type);
            }
        }
        plan
    }

    /// Whether this queue was read before, so that the server is likely to have it in memory.
    pub fn has_read(&self, queue: &str, queue_type: QueueType) -> bool {
        let queues = self.0.lock();
        queues
            .peek(queue)
            .is_some_and(|queue| queue.types[queue_type as usize].read.is_some())
    }

    /// Records what a read found.
    pub fn record(&self, queue: &str, queue_type: QueueType, state: QueueState, now: Instant) {
        let mut queues = self.0.lock();
        let Some(queue) = queues.get_mut(queue) else {
            return;
        };
        let had_pollers = queue.types.iter().any(|usage| usage.has_pollers);
        let usage = &mut queue.types[queue_type as usize];
        (usage.read, usage.has_pollers) = (Some(now), state.has_pollers);
        if state.in_use() {
            usage.used = Some(now);
        }
        // Workers came, perhaps for Nexus as well: read that soon.
        if state.has_pollers && !had_pollers {
            let nexus = &mut queue.types[QueueType::Nexus as usize];
            (nexus.next_probe, nexus.probe_interval) = (None, Duration::ZERO);
        }
    }
}

impl QueueUsage {
    fn in_use(&self, queue_type: QueueType, now: Instant) -> bool {
        let used = self.types[queue_type as usize].used;
        used.is_some_and(|used| now.saturating_duration_since(used) < IN_USE)
    }

    /// Whether the sample needs a quiet type: it was not read for long, or all types are quiet, so
    /// that any may be the first to come into use.
    fn is_due(&self, queue_type: QueueType, now: Instant) -> bool {
        let read = self.types[queue_type as usize].read;
        read.is_none_or(|read| now.saturating_duration_since(read) >= QUIET_FOR)
            || !QueueType::ALL
                .into_iter()
                .any(|other| self.in_use(other, now))
    }

    fn start_probe(&mut self, now: Instant) -> bool {
        let usage = &mut self.types[QueueType::Nexus as usize];
        if usage.next_probe.is_some_and(|probe| probe > now) {
            return false;
        }
        usage.probe_interval = (usage.probe_interval * 2).clamp(FIRST_PROBE, LONGEST_PROBE);
        usage.next_probe = Some(now + usage.probe_interval);
        true
    }
}

#[cfg(test)]
mod tests;
