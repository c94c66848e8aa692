use super::*;

const SECOND: u64 = 1_000;

/// A history of ends, each with its second.
fn history(ends: &[(i64, u64)]) -> EndHistory {
    let mut history = EndHistory::default();
    for (end, second) in ends {
        history.add(*end, second * SECOND);
    }
    history
}

fn seconds(waiting: Waiting) -> (&'static str, f64) {
    match waiting {
        Waiting::For(time) => ("for", time.as_secs_f64()),
        Waiting::AtLeast(time) => ("at least", time.as_secs_f64()),
    }
}

#[test]
fn a_message_has_waited_since_the_end_passed_it() {
    // Ten messages a second for ten seconds, nothing for a minute, then a hundred.
    let ends = [(0, 0), (50, 5), (100, 10), (100, 70), (200, 72)];
    for (next, at, then) in [
        // The last but one of the first five seconds.
        (49, 72, ("for", 72.0 - 4.95)),
        (0, 72, ("for", 72.0 - 0.05)),
        (50, 72, ("for", 72.0 - 5.05)),
        // Of the second burst: not before the minute was over.
        (100, 72, ("for", 1.99)),
        (199, 72, ("for", 0.01)),
        (200, 72, ("for", 0.0)),
        (300, 72, ("for", 0.0)),
        (100, 172, ("for", 101.99)),
    ] {
        let found = history(&ends).waiting(next, 200, at * SECOND);
        let (kind, time) = seconds(found);
        assert_eq!(kind, then.0, "{next} at {at}");
        assert!((time - then.1).abs() < 0.002, "{next} at {at}: {time}");
    }
}

#[test]
fn what_came_before_the_first_point_has_waited_for_at_least_as_long() {
    let ends = [(100, 5), (110, 10)];
    let waiting = |next, at: u64| seconds(history(&ends).waiting(next, 110, at * SECOND));
    assert_eq!(waiting(99, 10), ("at least", 5.0));
    assert_eq!(waiting(0, 65), ("at least", 60.0));
    assert_eq!(waiting(110, 65), ("for", 0.0));
    // The end was at this message when it was first seen, so that the message came later.
    assert_eq!(waiting(100, 10).0, "for");
}

#[test]
fn an_end_that_goes_back_starts_anew() {
    let mut history = history(&[(100, 0), (110, 10)]);
    // A read that was overtaken by another, and its like.
    history.add(105, 9 * SECOND);
    history.add(105, 12 * SECOND);
    assert_eq!(history.0.len(), 2);
    assert_eq!(
        seconds(history.waiting(100, 105, 12 * SECOND)),
        ("at least", 0.0)
    );
    // The topic was created again.
    history.add(3, 20 * SECOND);
    history.add(9, 30 * SECOND);
    assert_eq!(
        seconds(history.waiting(2, 9, 30 * SECOND)),
        ("at least", 10.0)
    );
    assert_eq!(seconds(history.waiting(3, 9, 30 * SECOND)).0, "for");
}

#[test]
fn what_does_not_move_takes_two_points_and_what_is_read_often_one_a_second() {
    let mut still = EndHistory::default();
    (0..100_000).for_each(|second| still.add(7, second * SECOND));
    assert_eq!(still.0.len(), 2);
    let mut often = EndHistory::default();
    (0..100).for_each(|tenth| often.add(tenth, tenth as u64 * 100));
    assert!(often.0.len() <= 12, "{:?}", often.0);
}

#[test]
fn gaps_grow_with_their_age_and_memory_does_not() {
    let mut history = EndHistory::default();
    for step in 0..43_200_u64 {
        history.add(step as i64 * 10, step * 2 * SECOND);
        assert!(history.0.len() <= MOST_POINTS);
    }
    let now = history.0.last().unwrap().at;
    assert_eq!(history.0[0].at, 0, "it reaches back to the beginning");
    for pair in history.0.windows(2) {
        let (gap, age) = (pair[1].at - pair[0].at, now - pair[0].at);
        let most = (age / 7).max(4 * SECOND);
        assert!(gap <= most, "{gap} ms, {age} ms ago");
    }
}

#[test]
fn partitions_that_no_query_reads_are_evicted_and_their_number_is_bounded() {
    let tracker = EndTracker::default();
    let partition = |number| Partition {
        topic: "t".into(),
        partition: number,
        committed: None,
        start: 0,
        end: 5,
        waiting: None,
    };
    let start = Instant::now();
    let record = |numbers: std::ops::Range<i32>, after| {
        let mut partitions: Vec<Partition> = numbers.map(partition).collect();
        let at = start + Duration::from_secs(after);
        tracker.record(Isolation::ReadCommitted, &mut partitions, at)
    };
    record(0..10, 0).unwrap();
    record(10..20, 1_000).unwrap();
    assert_eq!(tracker.tables.lock().tables.len(), 10);
    let of_query = MOST_OF_QUERY as i32;
    let error = record(0..of_query + 1, 1_001).unwrap_err();
    assert_eq!(error.kind(), Kind::Exhausted);
    assert!(
        error
            .to_string()
            .contains("at most 5000 partitions of a query")
    );
    assert_eq!(tracker.tables.lock().tables.len(), 10, "none of them is");

    let mut queries = (0..).map(|query| record(query * of_query..(query + 1) * of_query, 1_001));
    let error = queries.find_map(Result::err).unwrap();
    assert_eq!(error.kind(), Kind::Exhausted);
    assert!(
        error
            .to_string()
            .contains("at most 50000 partitions of a cluster")
    );
    assert_eq!(tracker.tables.lock().tables.len(), MOST_PARTITIONS);
}
