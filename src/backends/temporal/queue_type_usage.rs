//! Which types of tasks a queue uses.
//!
//! Every name stands for a workflow, an activity and a Nexus queue, and most queues use one or
//! two of them. Asking for an unused one loads its partitions into the server's memory (measured:
//! 3 GB for a thousand queues), so it is asked rarely, and never while somebody waits.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::query::{QueueType, Types};

/// What is known of the queues of one namespace.
#[derive(Default)]
pub struct Usage(Mutex<HashMap<String, Queue>>);

/// What one read says of a queue of one type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Tasks that wait.
    pub backlog: u64,
    /// Workers poll.
    pub polled: bool,
    /// Tasks were added or dispatched lately (the server averages over 30 s).
    pub moving: bool,
}

#[derive(Default)]
struct Queue {
    types: [Known; 3],
}

#[derive(Clone, Copy, Default)]
struct Known {
    read: bool,
    /// Workers polled when it was last read.
    polled: bool,
    /// When it was last seen in use.
    used: Option<Instant>,
    /// When it may be asked again although it is not in use. `None`: at any time.
    probe: Option<Instant>,
    /// How long the wait for that was.
    waited: Duration,
}

/// What to read of a queue.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Part of the answer.
    pub now: Vec<QueueType>,
    /// Not waited for; shows whether the type has come into use.
    pub idle: Vec<QueueType>,
}

/// A type is taken to be in use for this long after it last was. Longer than the night of a queue
/// that works by day would be better for it, and worse for the server.
const IN_USE: Duration = Duration::from_secs(60 * 60);
/// An unused type is asked again after this, doubling up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(30);
/// Longer than the five minutes after which a server unloads an idle partition.
const LONGEST: Duration = Duration::from_secs(10 * 60);
/// More known queues than this are forgotten all at once, and learned again.
const KNOWN: usize = 100_000;

impl Usage {
    /// What to read of a queue whose types `types` count.
    pub fn plan(&self, queue: &str, types: &Types, now: Instant) -> Plan {
        let mut queues = self.0.lock();
        if queues.len() >= KNOWN && !queues.contains_key(queue) {
            queues.clear();
        }
        let queue = queues.entry(queue.to_owned()).or_default();
        if let Types::Named(named) = types {
            return Plan {
                now: named.iter().copied().collect(),
                idle: Vec::new(),
            };
        }
        let mut plan = Plan::default();
        for queue_type in QueueType::ALL {
            if queue.counts(queue_type, now) {
                plan.now.push(queue_type);
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
            .get(queue)
            .is_some_and(|queue| queue.types[queue_type as usize].read)
    }

    /// Keeps what a read said.
    pub fn learn(&self, queue: &str, queue_type: QueueType, reading: Reading, now: Instant) {
        let mut queues = self.0.lock();
        let Some(queue) = queues.get_mut(queue) else {
            return;
        };
        let was_polled = queue.types.iter().any(|known| known.polled);
        let known = &mut queue.types[queue_type as usize];
        (known.read, known.polled) = (true, reading.polled);
        if reading.polled || reading.moving || reading.backlog > 0 {
            known.used = Some(now);
        }
        // Workers came, perhaps for the other types as well: find out soon.
        if reading.polled && !was_polled {
            for known in &mut queue.types {
                (known.probe, known.waited) = (None, Duration::ZERO);
            }
        }
    }
}

impl Queue {
    fn in_use(&self, queue_type: QueueType, now: Instant) -> bool {
        let used = self.types[queue_type as usize].used;
        used.is_some_and(|used| now.saturating_duration_since(used) < IN_USE)
    }

    /// Whether the answer needs this type.
    fn counts(&self, queue_type: QueueType, now: Instant) -> bool {
        let other = match queue_type {
            QueueType::Workflow => QueueType::Activity,
            QueueType::Activity => QueueType::Workflow,
            // No server counts a Nexus backlog so far: nobody waits for a number that is 0.
            QueueType::Nexus => return self.in_use(queue_type, now),
        };
        // A queue that rests may wake up with either: both are asked.
        !self.types[queue_type as usize].read
            || self.in_use(queue_type, now)
            || !self.in_use(other, now)
    }

    fn start_probe(&mut self, queue_type: QueueType, now: Instant) -> bool {
        let known = &mut self.types[queue_type as usize];
        if known.probe.is_some_and(|probe| probe > now) {
            return false;
        }
        known.waited = (known.waited * 2).clamp(FIRST, LONGEST);
        known.probe = Some(now + known.waited);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use QueueType::{Activity, Nexus, Workflow};

    const WAITING: Reading = Reading {
        backlog: 3,
        polled: false,
        moving: true,
    };
    const POLLED: Reading = Reading {
        backlog: 0,
        polled: true,
        moving: false,
    };

    fn unused() -> Reading {
        Reading::default()
    }

    fn after(seconds: u64) -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now) + Duration::from_secs(seconds)
    }

    #[test]
    fn types_that_the_user_named_are_asked_every_time() {
        let usage = Usage::default();
        let named = Types::Named([Nexus, Activity].into());
        for seconds in [0, 5, 10] {
            let plan = usage.plan("q", &named, after(seconds));
            assert_eq!((plan.now, plan.idle), (vec![Activity, Nexus], vec![]));
        }
    }

    #[test]
    fn an_unused_type_is_asked_more_and_more_rarely() {
        let usage = Usage::default();
        let plan = usage.plan("q", &Types::All, after(0));
        assert_eq!(
            (plan.now, plan.idle),
            (vec![Workflow, Activity], vec![Nexus])
        );
        usage.learn("q", Workflow, WAITING, after(0));
        usage.learn("q", Activity, unused(), after(0));
        let mut probes = Vec::new();
        for seconds in (5..1200).step_by(5) {
            usage.learn("q", Workflow, WAITING, after(seconds));
            let plan = usage.plan("q", &Types::All, after(seconds));
            assert_eq!(plan.now, [Workflow]);
            if plan.idle.contains(&Activity) {
                probes.push(seconds);
            }
        }
        assert_eq!(probes, [5, 35, 95, 215, 455, 935]);
    }

    #[test]
    fn a_probe_that_finds_use_makes_the_type_count() {
        let usage = Usage::default();
        usage.plan("q", &Types::All, after(0));
        usage.learn("q", Workflow, WAITING, after(0));
        usage.learn("q", Activity, unused(), after(0));
        assert_eq!(usage.plan("q", &Types::All, after(5)).now, [Workflow]);
        usage.learn("q", Activity, WAITING, after(6));
        assert_eq!(
            usage.plan("q", &Types::All, after(10)).now,
            [Workflow, Activity]
        );
    }

    #[test]
    fn when_workers_come_the_other_types_are_looked_at_soon() {
        let usage = Usage::default();
        usage.plan("q", &Types::All, after(0));
        usage.learn("q", Workflow, WAITING, after(0));
        usage.learn("q", Activity, unused(), after(0));
        for seconds in [5, 40, 100] {
            usage.plan("q", &Types::All, after(seconds));
        }
        assert_eq!(usage.plan("q", &Types::All, after(105)).idle, []);
        usage.learn("q", Workflow, POLLED, after(106));
        assert_eq!(
            usage.plan("q", &Types::All, after(110)).idle,
            [Activity, Nexus]
        );
    }

    #[test]
    fn a_queue_that_rests_is_asked_for_workflows_and_activities() {
        let usage = Usage::default();
        usage.plan("q", &Types::All, after(0));
        usage.learn("q", Workflow, unused(), after(0));
        usage.learn("q", Activity, unused(), after(0));
        assert_eq!(
            usage.plan("q", &Types::All, after(9)).now,
            [Workflow, Activity]
        );
        // An hour after its last use, a type rests.
        usage.learn("q", Workflow, WAITING, after(10));
        assert_eq!(usage.plan("q", &Types::All, after(20)).now, [Workflow]);
        let late = after(10 + 3601);
        assert_eq!(usage.plan("q", &Types::All, late).now, [Workflow, Activity]);
    }
}
