//! A queue of items with their times of arrival, so that backlog, ages and rates are known exactly.

use std::{collections::VecDeque, time::Duration};

use super::waits::{WaitPercentiles, Waits};

/// What is known of the queue and its workers at a time: what a trigger can measure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueueState {
    /// The time since the start.
    pub time: Duration,
    /// How many items have arrived since the start, those of the initial backlog included.
    pub arrived: u64,
    /// How many items were completed since the start.
    pub completed: u64,
    /// How many items wait.
    pub backlog: u64,
    /// The age of the oldest item that waits; zero if none does.
    pub oldest_age: Duration,
    /// How many items the workers have in hand.
    pub in_flight: u64,
    /// How many items were completed per second, over the simulation's rate window or since the
    /// start, whichever is shorter.
    pub completion_rate: f64,
}

/// An item of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// When it arrived.
    pub arrived: Duration,
    /// How long a worker takes for it.
    pub takes: Duration,
}

/// The items that wait, oldest first.
pub(super) struct Queue {
    waiting: VecDeque<Item>,
    /// The times of the completions within the rate window.
    completions: VecDeque<Duration>,
    rate_window: Duration,
    arrived: u64,
    completed: u64,
    longest_wait: Duration,
    waits: Waits,
}

impl Queue {
    pub fn new(rate_window: Duration) -> Self {
        Queue {
            waiting: VecDeque::new(),
            completions: VecDeque::new(),
            rate_window,
            arrived: 0,
            completed: 0,
            longest_wait: Duration::ZERO,
            waits: Waits::default(),
        }
    }

    /// An item arrives. Items arrive in the order of their times.
    pub fn push(&mut self, item: Item) {
        self.waiting.push_back(item);
        self.arrived += 1;
    }

    /// The oldest item, for a worker.
    pub fn take(&mut self, now: Duration) -> Option<Item> {
        let item = self.waiting.pop_front()?;
        let wait = now.saturating_sub(item.arrived);
        self.longest_wait = self.longest_wait.max(wait);
        self.waits.add(wait);
        Some(item)
    }

    /// An item whose worker was interrupted waits again, at the place that its age gives it.
    pub fn give_back(&mut self, item: Item) {
        let younger = |waiting: &Item| waiting.arrived > item.arrived;
        let at = self.waiting.iter().position(younger);
        self.waiting.insert(at.unwrap_or(self.waiting.len()), item);
    }

    /// An item is completed. Completions come in the order of their times.
    pub fn complete(&mut self, now: Duration) {
        self.completions.push_back(now);
        self.completed += 1;
    }

    /// How many items have arrived.
    pub fn arrived(&self) -> u64 {
        self.arrived
    }

    /// The longest that an item has waited for a worker, or waits already.
    pub fn longest_wait(&self, now: Duration) -> Duration {
        self.longest_wait.max(self.oldest_age(now))
    }

    /// How long items waited for a worker, or wait already.
    pub fn wait_percentiles(&mut self, now: Duration) -> WaitPercentiles {
        let waiting = self.waiting.iter();
        let waiting = waiting.map(|item| now.saturating_sub(item.arrived));
        std::mem::take(&mut self.waits).percentiles(waiting)
    }

    /// What is known at a time, which is not before that of an earlier call.
    pub fn state(&mut self, now: Duration, in_flight: u64) -> QueueState {
        let window = self.rate_window.min(now);
        let start = now - window;
        while self.completions.front().is_some_and(|at| *at <= start) {
            self.completions.pop_front();
        }
        QueueState {
            time: now,
            arrived: self.arrived,
            completed: self.completed,
            backlog: self.waiting.len() as u64,
            oldest_age: self.oldest_age(now),
            in_flight,
            completion_rate: match window.is_zero() {
                true => 0.0,
                false => self.completions.len() as f64 / window.as_secs_f64(),
            },
        }
    }

    fn oldest_age(&self, now: Duration) -> Duration {
        let oldest = self.waiting.front();
        oldest.map_or(Duration::ZERO, |item| now.saturating_sub(item.arrived))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn item(arrived: u64) -> Item {
        Item {
            arrived: seconds(arrived),
            takes: seconds(1),
        }
    }

    #[test]
    fn an_interrupted_item_is_the_oldest_again() {
        let mut queue = Queue::new(seconds(60));
        (1..=3).for_each(|arrived| queue.push(item(arrived)));
        let (first, second) = (queue.take(seconds(3)), queue.take(seconds(4)));
        assert_eq!((first, second), (Some(item(1)), Some(item(2))));
        queue.give_back(item(2));
        queue.give_back(item(1));
        let order: Vec<_> = std::iter::from_fn(|| queue.take(seconds(9))).collect();
        assert_eq!(order, [item(1), item(2), item(3)]);
        assert_eq!(queue.longest_wait(seconds(9)), seconds(8));
        assert_eq!(queue.arrived(), 3, "an item arrives once");
    }

    #[test]
    fn the_completion_rate_is_that_of_the_window() {
        let mut queue = Queue::new(seconds(10));
        for second in 1..=20 {
            queue.complete(seconds(second));
            queue.complete(seconds(second));
            let rate = queue.state(seconds(second), 0).completion_rate;
            assert_eq!(rate, 2.0, "after {second} s");
        }
        assert_eq!(queue.state(seconds(25), 0).completion_rate, 1.0);
        let state = queue.state(seconds(30), 4);
        assert_eq!((state.completion_rate, state.completed), (0.0, 40));
        assert_eq!(state.in_flight, 4);
    }

    #[test]
    fn the_oldest_item_that_waits_has_the_age() {
        let mut queue = Queue::new(seconds(10));
        assert_eq!(queue.state(seconds(5), 0).oldest_age, Duration::ZERO);
        queue.push(item(2));
        queue.push(item(4));
        let state = queue.state(seconds(7), 0);
        assert_eq!((state.backlog, state.oldest_age), (2, seconds(5)));
        queue.take(seconds(7));
        let state = queue.state(seconds(7), 1);
        assert_eq!((state.backlog, state.oldest_age), (1, seconds(3)));
    }
}
