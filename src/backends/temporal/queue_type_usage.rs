//! Which types of tasks a queue uses.
//!
//! Every name stands for a workflow, an activity and a Nexus queue, and most queues use one or
//! two of them. Reading an unused one loads its partitions into the server's memory (measured:
//! 3 GB for a thousand queues), so it is read rarely, and never while a call waits.

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
    /// It was read at least once.
    read: bool,
    /// Workers polled when it was last read.
    has_pollers: bool,
    /// When it was last seen in use.
    used: Option<Instant>,
    /// When it is read next although it is not in use. `None`: at any time.
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
/// An unused type is read again after this, doubling up to [`LONGEST_PROBE`].
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

    /// What to read of a queue whose types `types` count.
    pub fn read_plan(&self, queue: &str, types: &TypeSelection, now: Instant) -> ReadPlan {
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
            if queue.counts(queue_type, now) {
                plan.needed.push(queue_type);
            } else if queue.start_probe(queue_type, now) {
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
            .is_some_and(|queue| queue.types[queue_type as usize].read)
    }

    /// Records what a read found.
    pub fn record(&self, queue: &str, queue_type: QueueType, state: QueueState, now: Instant) {
        let mut queues = self.0.lock();
        let Some(queue) = queues.get_mut(queue) else {
            return;
        };
        let had_pollers = queue.types.iter().any(|usage| usage.has_pollers);
        let usage = &mut queue.types[queue_type as usize];
        (usage.read, usage.has_pollers) = (true, state.has_pollers);
        if state.in_use() {
            usage.used = Some(now);
        }
        // Workers came, perhaps for the other types as well: read those soon.
        if state.has_pollers && !had_pollers {
            for usage in &mut queue.types {
                (usage.next_probe, usage.probe_interval) = (None, Duration::ZERO);
            }
        }
    }
}

impl QueueUsage {
    fn in_use(&self, queue_type: QueueType, now: Instant) -> bool {
        let used = self.types[queue_type as usize].used;
        used.is_some_and(|used| now.saturating_duration_since(used) < IN_USE)
    }

    /// Whether the sample needs this type.
    fn counts(&self, queue_type: QueueType, now: Instant) -> bool {
        let other = match queue_type {
            QueueType::Workflow => QueueType::Activity,
            QueueType::Activity => QueueType::Workflow,
            // No server counts a Nexus backlog so far: no call needs to wait for 0.
            QueueType::Nexus => return self.in_use(queue_type, now),
        };
        // Any of the two may be the first to come into use: both are read until one has.
        !self.types[queue_type as usize].read
            || self.in_use(queue_type, now)
            || !self.in_use(other, now)
    }

    fn start_probe(&mut self, queue_type: QueueType, now: Instant) -> bool {
        let usage = &mut self.types[queue_type as usize];
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
