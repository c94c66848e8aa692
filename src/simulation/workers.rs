//! Workers: what they take from the queue, how long they take, and what happens to an item whose
//! worker is removed.

mod jobs;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    time::Duration,
};

use self::jobs::JobRules;
use super::queue::{Item, Queue};

/// How the workers of a scale target work. One worker is one pod.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerModel {
    /// How long a worker takes for an item.
    pub item_time: ItemTime,
    /// How many items a worker has in hand at once.
    pub concurrency: u32,
    /// From the creation of a worker until it takes its first item.
    pub startup: Duration,
    /// How long a removed worker may go on with the items that it has in hand, while it takes no new
    /// ones: the pod's `terminationGracePeriodSeconds`. What is not complete by then is interrupted:
    /// it waits in the queue again, and takes its full time once more. [`Duration::ZERO`]: the
    /// worker does not handle SIGTERM, and all is interrupted; [`Duration::MAX`]: nothing is.
    pub termination_grace_period: Duration,
}

impl WorkerModel {
    /// Workers that take so long for each item, one at a time, start at once and finish the item
    /// that they have in hand within Kubernetes' default grace period of 30 s.
    pub fn new(item_time: Duration) -> Self {
        WorkerModel {
            item_time: ItemTime::Constant(item_time),
            concurrency: 1,
            startup: Duration::ZERO,
            termination_grace_period: Duration::from_secs(30),
        }
    }
}

/// How long a worker takes for an item.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemTime {
    /// The same for all items.
    Constant(Duration),
    /// These, in turn, in the order of arrival. Empty: no time.
    Cycle(Vec<Duration>),
}

impl ItemTime {
    /// The time of the item before which so many arrived.
    pub(super) fn of(&self, before: u64) -> Duration {
        match self {
            ItemTime::Constant(time) => *time,
            ItemTime::Cycle(times) => match times.len() as u64 {
                0 => Duration::ZERO,
                length => times[(before % length) as usize],
            },
        }
    }
}

/// The workers that exist, with what they have in hand.
pub(super) struct Workers {
    model: WorkerModel,
    /// `None`: they work until they are removed.
    jobs: Option<JobRules>,
    all: BTreeMap<u64, Worker>,
    /// A worker for each item more that it could take; removed workers are left in it.
    free: VecDeque<u64>,
    events: BinaryHeap<Reverse<Event>>,
    /// Numbers workers and items in hand.
    created: u64,
    in_flight: u64,
    interrupted: u64,
    /// The time that workers existed which are gone.
    time_of_gone: Duration,
}

struct Worker {
    created: Duration,
    ready: bool,
    terminating: bool,
    in_hand: Vec<(u64, Item)>,
    /// The items that it takes until it ends; `None`: it does not end by itself.
    left: Option<u32>,
}

/// What happens to a worker. Ordered by time; at one time by the worker's age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: Duration,
    worker: u64,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Ready,
    /// The item in hand with this number is complete.
    Complete(u64),
    /// The grace period is over.
    Killed,
}

impl Workers {
    pub fn new(model: WorkerModel) -> Self {
        Workers {
            model,
            jobs: None,
            all: BTreeMap::new(),
            free: VecDeque::new(),
            events: BinaryHeap::new(),
            created: 0,
            in_flight: 0,
            interrupted: 0,
            time_of_gone: Duration::ZERO,
        }
    }

    /// Works on until a time, while items arrive at the times given.
    pub fn work(&mut self, queue: &mut Queue, arrivals: Vec<Duration>, until: Duration) {
        let mut arrivals = arrivals.into_iter().peekable();
        loop {
            let event = self.events.peek().map(|Reverse(event)| *event);
            let event = event.filter(|event| event.at <= until);
            let arrival = arrivals.peek().copied();
            let now = match (event, arrival) {
                (Some(event), arrival) if arrival.is_none_or(|arrival| event.at <= arrival) => {
                    self.events.pop();
                    self.happen(event, queue);
                    event.at
                }
                (_, Some(arrived)) => {
                    arrivals.next();
                    let takes = self.model.item_time.of(queue.arrived());
                    queue.push(Item { arrived, takes });
                    arrived
                }
                (_, None) => break,
            };
            self.take_items(queue, now);
        }
    }

    /// Creates or removes workers, so that there are so many that are not terminating.
    pub fn scale(&mut self, replicas: u32, queue: &mut Queue, now: Duration) {
        let replicas = replicas as usize;
        let mut removable: Vec<u64> = self.removal_order();
        for _ in removable.len()..replicas {
            self.create(now);
        }
        removable.truncate(removable.len().saturating_sub(replicas));
        for worker in removable {
            self.remove(worker, queue, now);
        }
        self.take_items(queue, now);
    }

    /// Workers that take items.
    pub fn ready(&self) -> u32 {
        let takes = |worker: &&Worker| worker.ready && !worker.terminating;
        self.all.values().filter(takes).count() as u32
    }

    /// Pods whose `Ready` condition is true: a terminating one still runs, and is counted by the
    /// HPA controller and by KEDA alike.
    pub fn ready_pods(&self) -> u32 {
        self.all.values().filter(|worker| worker.ready).count() as u32
    }

    /// Items in hand, those of terminating workers included.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// How many items were interrupted so far.
    pub fn interrupted(&self) -> u64 {
        self.interrupted
    }

    /// How long workers existed, added up, from creation until they were gone.
    pub fn worker_time(&self, now: Duration) -> Duration {
        let existing = self.all.values();
        let existing = existing.map(|worker| now.saturating_sub(worker.created));
        self.time_of_gone + existing.sum::<Duration>()
    }

    /// Workers that are not terminating, those first that a ReplicaSet removes first: those that are
    /// not ready, then the youngest (`ActivePodsWithRanks` in `pkg/controller/controller_utils.go`).
    /// Kubernetes compares ages by their logarithm and is random among equals; here it is not.
    fn removal_order(&self) -> Vec<u64> {
        let active = self.all.iter().rev();
        let active = active.filter(|(_, worker)| !worker.terminating);
        let mut order: Vec<_> = active.map(|(id, worker)| (worker.ready, *id)).collect();
        order.sort_by_key(|(ready, _)| *ready);
        order.into_iter().map(|(_, id)| id).collect()
    }

    fn create(&mut self, now: Duration) {
        let id = self.next_number();
        let worker = Worker {
            created: now,
            ready: false,
            terminating: false,
            in_hand: Vec::new(),
            left: self.jobs.map(|jobs| jobs.items),
        };
        self.all.insert(id, worker);
        match self.model.startup.is_zero() {
            true => self.make_ready(id),
            false => self.schedule(id, now.checked_add(self.model.startup), What::Ready),
        }
    }

    fn remove(&mut self, id: u64, queue: &mut Queue, now: Duration) {
        let grace_period = self.model.termination_grace_period;
        let Some(worker) = self.all.get_mut(&id) else {
            return;
        };
        if worker.in_hand.is_empty() || grace_period.is_zero() {
            return self.end(id, queue, now);
        }
        worker.terminating = true;
        self.schedule(id, now.checked_add(grace_period), What::Killed);
    }

    /// The worker is gone, and what it has in hand waits again.
    fn end(&mut self, id: u64, queue: &mut Queue, now: Duration) {
        let Some(worker) = self.all.remove(&id) else {
            return;
        };
        self.time_of_gone += now.saturating_sub(worker.created);
        self.in_flight -= worker.in_hand.len() as u64;
        self.interrupted += worker.in_hand.len() as u64;
        for (_, item) in worker.in_hand {
            queue.give_back(item);
        }
    }

    fn happen(&mut self, event: Event, queue: &mut Queue) {
        match event.what {
            What::Ready => self.make_ready(event.worker),
            What::Complete(number) => self.complete(event.worker, number, queue, event.at),
            What::Killed => self.end(event.worker, queue, event.at),
        }
    }

    fn make_ready(&mut self, id: u64) {
        if let Some(worker) = self.all.get_mut(&id) {
            worker.ready = true;
            let slots = self.model.concurrency.max(1) as usize;
            self.free.extend(std::iter::repeat_n(id, slots));
        }
    }

    fn complete(&mut self, id: u64, number: u64, queue: &mut Queue, now: Duration) {
        // A worker that was removed has interrupted the item.
        let Some(worker) = self.all.get_mut(&id) else {
            return;
        };
        worker.in_hand.retain(|(in_hand, _)| *in_hand != number);
        self.in_flight -= 1;
        queue.complete(now);
        match worker.terminating || worker.left == Some(0) {
            false => self.free.push_back(id),
            true if worker.in_hand.is_empty() => self.end(id, queue, now),
            true => {}
        }
    }

    /// Free workers take what waits, the one first that has been free for longest.
    fn take_items(&mut self, queue: &mut Queue, now: Duration) {
        while let Some(id) = self.next_free() {
            let Some(item) = queue.take(now) else {
                self.free.push_front(id);
                return self.end_idle_jobs(queue, now);
            };
            let number = self.next_number();
            if let Some(worker) = self.all.get_mut(&id) {
                worker.in_hand.push((number, item));
                worker.left = worker.left.map(|left| left.saturating_sub(1));
            }
            self.in_flight += 1;
            self.schedule(id, now.checked_add(item.takes), What::Complete(number));
        }
    }

    fn next_free(&mut self) -> Option<u64> {
        loop {
            let id = self.free.pop_front()?;
            let takes = |worker: &Worker| !worker.terminating && worker.left != Some(0);
            if self.all.get(&id).is_some_and(takes) {
                return Some(id);
            }
        }
    }

    /// `None`: never.
    fn schedule(&mut self, worker: u64, at: Option<Duration>, what: What) {
        self.events
            .extend(at.map(|at| Reverse(Event { at, worker, what })));
    }

    fn next_number(&mut self) -> u64 {
        self.created += 1;
        self.created
    }
}

#[cfg(test)]
mod tests;
