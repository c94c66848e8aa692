use proptest::{collection::vec, prelude::*};

use super::*;
use crate::backends::kafka::{
    partition_list::PartitionList,
    query::{Committed, Isolation, Measure, TopicSelection},
};

fn query() -> Query {
    Query {
        group: "g".to_owned(),
        topics: TopicSelection::OfGroup,
        partitions: PartitionList::default(),
        isolation: Isolation::ReadCommitted,
        measure: Measure::Progress,
    }
}

/// A partition with what is committed, if anything is; its log starts at 0.
fn partition(number: i32, committed: Option<i64>) -> Partition {
    Partition {
        topic: "t".into(),
        partition: number,
        committed: committed.map(|offset| Committed {
            offset,
            unmoved_since: None,
        }),
        start: 0,
        end: 1_000_000,
        waiting: None,
    }
}

/// What is known after the commits of some seconds.
fn after(reads: &[(u64, &[Partition])]) -> Progress {
    let (tracker, start) = (ProgressTracker::default(), Instant::now());
    let record = |(second, partitions): &(u64, &[Partition])| {
        tracker.record(&query(), partitions, start + Duration::from_secs(*second))
    };
    reads.iter().map(record).last().expect("a read")
}

fn committed(messages: u64, seconds: u64) -> Progress {
    let within = Duration::from_secs(seconds);
    Progress::Committed { messages, within }
}

fn too_short(seconds: u64) -> Progress {
    let seen_for = Duration::from_secs(seconds);
    Progress::TooShort { seen_for }
}

#[test]
fn progress_is_what_was_committed_in_the_window() {
    let one = |offset| [partition(0, Some(offset))];
    for (reads, then) in [
        (&[(0, 100)][..], too_short(0)),
        (&[(0, 100), (9, 200)], too_short(9)),
        (&[(0, 100), (10, 200)], committed(100, 10)),
        (&[(0, 100), (10, 200), (60, 300)], committed(200, 60)),
        // From the last read before the window on.
        (
            &[(0, 100), (10, 200), (60, 300), (75, 300)],
            committed(100, 65),
        ),
        (&[(0, 100), (10, 200), (100, 200)], committed(0, 90)),
        (&[(0, 100), (600, 700)], committed(600, 600)),
        // One that began earlier and ends later.
        (&[(0, 100), (20, 200), (15, 150)], committed(100, 20)),
    ] {
        let partitions: Vec<_> = reads
            .iter()
            .map(|(at, offset)| (*at, one(*offset)))
            .collect();
        let reads: Vec<(u64, &[Partition])> =
            partitions.iter().map(|(at, one)| (*at, &one[..])).collect();
        assert_eq!(after(&reads), then, "{reads:?}");
    }
}

#[test]
fn partitions_that_come_go_or_are_reset_do_no_harm() {
    let moved = |number, offset| partition(number, Some(offset));
    for (given, first, second, third, then) in [
        (
            "one is added, far on",
            vec![moved(0, 10)],
            vec![moved(0, 20), moved(1, 5_000)],
            vec![moved(0, 30), moved(1, 5_001)],
            21,
        ),
        (
            "one goes, and comes back elsewhere",
            vec![moved(0, 10), moved(1, 10)],
            vec![moved(0, 20)],
            vec![moved(0, 30), moved(1, 900)],
            20,
        ),
        (
            "one is reset",
            vec![moved(0, 1_000)],
            vec![moved(0, 0)],
            vec![moved(0, 40)],
            40,
        ),
        (
            "one has its first commit",
            vec![partition(0, None)],
            vec![moved(0, 500)],
            vec![moved(0, 510)],
            10,
        ),
        (
            "retention deleted what was not read",
            vec![moved(0, 3)],
            vec![Partition {
                start: 90,
                ..moved(0, 3)
            }],
            vec![Partition {
                start: 90,
                ..moved(0, 100)
            }],
            10,
        ),
    ] {
        let found = after(&[(0, &first), (10, &second), (20, &third)]);
        assert_eq!(found, committed(then, 20), "{given}");
    }
}

#[test]
fn groups_that_no_query_reads_are_evicted() {
    let (tracker, start) = (ProgressTracker::default(), Instant::now());
    let other = Query {
        group: "other".to_owned(),
        ..query()
    };
    tracker.record(&other, &[], start);
    tracker.record(&query(), &[], start + Duration::from_secs(1_000));
    assert_eq!(tracker.0.lock().len(), 1);
}

proptest! {
    #[test]
    fn a_history_is_bounded_and_its_rate_is_one_that_was_seen(
        reads in vec((0..5_000_u64, 0..1_000_u64), 1..400),
    ) {
        let (mut history, start) = (CommitHistory::default(), Instant::now());
        let (mut at, mut total, mut all) = (start, 0, Vec::new());
        for (later, progress) in reads {
            at += Duration::from_millis(later + 1);
            total += progress;
            history.add(progress, at);
            all.push((at, total));
            prop_assert!(history.points.len() <= 63);
            prop_assert!(history.points.iter().is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
            match history.progress() {
                Progress::TooShort { seen_for } => {
                    prop_assert!(seen_for < SHORTEST);
                    prop_assert_eq!(seen_for, at - all[0].0);
                }
                Progress::Committed { messages, within } => {
                    let then = all.iter().find(|(then, _)| *then == at - within);
                    prop_assert_eq!(messages, total - then.expect("a read").1);
                    // The window, and less than one gap before it.
                    prop_assert!(within >= WINDOW.min(at - all[0].0));
                }
            }
        }
    }
}
