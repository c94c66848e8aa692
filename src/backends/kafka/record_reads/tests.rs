use std::sync::Arc;

use super::*;
use crate::backends::kafka::query::Committed;

const REACH: RecordReach = RecordReach {
    tolerance: 0,
    from_start: false,
};

fn partition(number: i32, committed: Option<i64>, start: i64, end: i64) -> Partition {
    Partition {
        topic: Arc::from("t"),
        partition: number,
        committed: committed.map(|offset| Committed {
            offset,
            unmoved_since: None,
        }),
        start,
        end,
        waiting: None,
    }
}

fn set(reads: &mut RecordReads, query: QueryId, partitions: &mut [Partition]) -> Result<usize> {
    let led = partitions.iter_mut().map(|partition| (partition, 1));
    reads.set_waiting(query, Isolation::ReadCommitted, REACH, led)
}

#[test]
fn a_record_is_wanted_where_the_group_lags() {
    let tolerant = RecordReach {
        tolerance: 1,
        ..REACH
    };
    let from_start = RecordReach {
        from_start: true,
        ..REACH
    };
    for (given, reach, partition, then) in [
        ("caught up", REACH, partition(0, Some(9), 0, 9), None),
        ("behind", REACH, partition(0, Some(8), 0, 9), Some(8)),
        ("tolerated", tolerant, partition(0, Some(8), 0, 9), None),
        (
            "beyond that",
            tolerant,
            partition(0, Some(7), 0, 9),
            Some(7),
        ),
        (
            "before the start",
            REACH,
            partition(0, Some(2), 5, 9),
            Some(5),
        ),
        (
            "all of it deleted",
            REACH,
            partition(0, Some(2), 9, 9),
            None,
        ),
        ("beyond the end", REACH, partition(0, Some(12), 0, 9), None),
        ("no commit, latest", REACH, partition(0, None, 3, 9), None),
        (
            "no commit, earliest",
            from_start,
            partition(0, None, 3, 9),
            Some(3),
        ),
        ("nor a message", from_start, partition(0, None, 9, 9), None),
    ] {
        assert_eq!(reach.wanted(&partition), then, "{given}");
    }
}

#[test]
fn queries_share_a_record_and_wait_for_their_own_alone() {
    let mut reads = RecordReads::default();
    let (one, other) = (QueryId(0), QueryId(1));
    let mut few = [partition(0, Some(3), 0, 9), partition(1, Some(9), 0, 9)];
    let mut more = [partition(0, Some(3), 0, 9), partition(2, Some(4), 0, 9)];
    assert_eq!(set(&mut reads, one, &mut few), Ok(1));
    assert_eq!(set(&mut reads, other, &mut more), Ok(2));
    let wanted: Vec<Position> = reads
        .next()
        .unwrap()
        .into_iter()
        .map(|r| r.position)
        .collect();
    assert_eq!(wanted.len(), 2, "{wanted:?}");

    let now = reads.now;
    assert_eq!(
        reads.set(wanted[0].clone(), Ok(Some(now - 1_500))),
        [one, other]
    );
    assert_eq!(set(&mut reads, one, &mut few), Ok(0));
    assert_eq!(
        few[0].waiting,
        Some(Waiting::For(Duration::from_millis(1_500)))
    );
    assert_eq!(few[1].waiting, Some(Waiting::For(Duration::ZERO)));
    // A clock that is ahead, and a record that is for no consumer.
    for written in [Some(now + 60_000), None] {
        assert_eq!(
            reads.set(wanted[1].clone(), Ok(written)).len(),
            written.map_or(0, |_| 1)
        );
        assert_eq!(set(&mut reads, other, &mut more), Ok(0));
        assert_eq!(more[1].waiting, Some(Waiting::For(Duration::ZERO)));
    }
    assert!(reads.next().unwrap().is_empty());
    reads.close();
    assert!(reads.next().is_none());
}

#[test]
fn too_many_records_are_an_error_that_names_the_limit() {
    let mut reads = RecordReads::default();
    let mut all: Vec<_> = (0..201).map(|n| partition(n, Some(0), 0, 1)).collect();
    assert_eq!(set(&mut reads, QueryId(0), &mut all[..200]), Ok(200));
    let error = set(&mut reads, QueryId(1), &mut all).unwrap_err();
    assert_eq!(error.kind(), Kind::Exhausted);
    let text = "reads a record of each, 200 at most";
    assert!(error.to_string().contains(text), "{error}");
}
