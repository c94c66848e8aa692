use super::*;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Workers that take 10 s for an item, with the queue that they work on.
struct Given {
    workers: Workers,
    queue: Queue,
}

impl Given {
    fn model(change: impl FnOnce(&mut WorkerModel)) -> Self {
        let mut model = WorkerModel::new(seconds(10));
        change(&mut model);
        Given {
            workers: Workers::new(model),
            queue: Queue::new(seconds(60)),
        }
    }

    fn with_items(mut self, items: usize) -> Self {
        let arrivals = vec![Duration::ZERO; items];
        self.workers.work(&mut self.queue, arrivals, Duration::ZERO);
        self
    }

    fn scale(&mut self, replicas: u32, now: u64) {
        self.workers.scale(replicas, &mut self.queue, seconds(now));
    }

    /// Waiting, in hand, completed and interrupted items at a time.
    fn at(&mut self, now: u64) -> [u64; 4] {
        let now = seconds(now);
        self.workers.work(&mut self.queue, Vec::new(), now);
        let state = self.queue.state(now, self.workers.in_flight());
        let interrupted = self.workers.interrupted();
        [state.backlog, state.in_flight, state.completed, interrupted]
    }
}

#[test]
fn workers_take_an_item_each_and_the_next_when_it_is_complete() {
    let mut given = Given::model(|_| {}).with_items(5);
    assert_eq!(given.at(0), [5, 0, 0, 0], "no worker");
    given.scale(2, 0);
    for (now, then) in [
        (0, [3, 2, 0, 0]),
        (9, [3, 2, 0, 0]),
        (10, [1, 2, 2, 0]),
        (20, [0, 1, 4, 0]),
        (30, [0, 0, 5, 0]),
    ] {
        assert_eq!(given.at(now), then, "after {now} s");
    }
}

#[test]
fn a_worker_may_have_several_items_in_hand() {
    let mut given = Given::model(|model| model.concurrency = 3).with_items(5);
    given.scale(1, 0);
    assert_eq!(given.at(0), [2, 3, 0, 0]);
    assert_eq!(given.at(10), [0, 2, 3, 0]);
    assert_eq!(given.at(20), [0, 0, 5, 0]);
}

#[test]
fn a_worker_starts_before_it_works() {
    let mut given = Given::model(|model| model.startup = seconds(15)).with_items(1);
    given.scale(1, 5);
    assert_eq!(given.at(19), [1, 0, 0, 0]);
    assert_eq!((given.workers.ready(), given.workers.ready_pods()), (0, 0));
    assert_eq!(given.at(20), [0, 1, 0, 0]);
    assert_eq!((given.workers.ready(), given.workers.ready_pods()), (1, 1));
    assert_eq!(given.at(30), [0, 0, 1, 0]);
}

#[test]
fn items_take_their_times_in_turn() {
    let times = vec![seconds(1), seconds(4)];
    let mut given = Given::model(|model| model.item_time = ItemTime::Cycle(times)).with_items(4);
    given.scale(1, 0);
    for (now, completed) in [(1, 1), (4, 1), (5, 2), (6, 3), (9, 3), (10, 4)] {
        assert_eq!(given.at(now)[2], completed, "after {now} s");
    }
}

#[test]
fn a_removed_worker_finishes_what_fits_into_its_grace_period() {
    for (given, grace_period, at_4, at_10, at_14) in [
        ("none", seconds(0), [1, 1, 0, 1], [0, 1, 1, 1], [0, 1, 1, 1]),
        (
            "too short",
            seconds(5),
            [0, 2, 0, 0],
            [0, 1, 1, 1],
            [0, 1, 1, 1],
        ),
        (
            "just long enough",
            seconds(6),
            [0, 2, 0, 0],
            [0, 0, 2, 0],
            [0, 0, 2, 0],
        ),
        (
            "endless",
            Duration::MAX,
            [0, 2, 0, 0],
            [0, 0, 2, 0],
            [0, 0, 2, 0],
        ),
    ] {
        let mut world =
            Given::model(|model| model.termination_grace_period = grace_period).with_items(2);
        world.scale(2, 0);
        assert_eq!(world.at(4), [0, 2, 0, 0], "{given}: both work");
        world.scale(1, 4);
        assert_eq!(world.at(4), at_4, "{given}: at the removal");
        assert_eq!(world.at(10), at_10, "{given}: when the items are due");
        assert_eq!(world.at(14), at_14, "{given}: later");
    }
}

#[test]
fn a_terminating_worker_takes_no_item_and_still_counts_as_a_ready_pod() {
    let mut given = Given::model(|_| {}).with_items(3);
    given.scale(2, 0);
    given.scale(1, 5);
    assert_eq!((given.workers.ready(), given.workers.ready_pods()), (1, 2));
    assert_eq!(given.at(10), [0, 1, 2, 0], "the third item is not its own");
    assert_eq!((given.workers.ready(), given.workers.ready_pods()), (1, 1));
}

#[test]
fn workers_that_are_not_ready_are_removed_first_and_then_the_youngest() {
    let mut given = Given::model(|model| {
        model.startup = seconds(5);
        model.termination_grace_period = Duration::ZERO;
    })
    .with_items(3);
    given.scale(1, 0);
    given.at(5);
    given.scale(2, 5);
    given.at(10);
    given.scale(3, 10);
    assert_eq!(given.at(12), [1, 2, 0, 0], "the third is not ready");
    given.scale(2, 12);
    assert_eq!(given.at(12), [1, 2, 0, 0], "nothing was in its hand");
    given.scale(1, 13);
    assert_eq!(given.at(13), [2, 1, 0, 1], "the second has worked for 3 s");
    assert_eq!(given.at(15), [1, 1, 1, 1], "the first goes on");
}

#[test]
fn the_time_of_workers_is_counted_from_creation_until_they_are_gone() {
    let mut given = Given::model(|model| model.startup = seconds(5)).with_items(1);
    given.scale(2, 0);
    given.at(8);
    // The idle one is gone at once, the other one when its item is complete.
    given.scale(0, 8);
    assert_eq!(given.workers.worker_time(seconds(8)), seconds(16));
    given.at(30);
    assert_eq!(given.workers.worker_time(seconds(30)), seconds(8 + 15));
}
