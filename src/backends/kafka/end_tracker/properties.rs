use proptest::{collection::vec, prelude::*};

use super::*;

/// Ends and when they were read, in any order and with any gaps: how much later, and how much more.
fn reads() -> impl Strategy<Value = Vec<(u64, i64)>> {
    let later = prop_oneof![6 => 0..5_000_u64, 1 => 0..100_000_000_u64];
    let more = prop_oneof![3 => 0..10_i64, 1 => Just(0), 1 => 0..1_000_000_i64];
    vec((later, more), 1..400)
}

proptest! {
    #[test]
    fn a_history_is_bounded_and_ascending_whatever_is_read(
        reads in vec((any::<u64>(), any::<i64>()), 1..300),
    ) {
        let mut history = EndHistory::default();
        for (at, end) in reads {
            history.add(end, at);
            prop_assert!(history.0.len() <= MOST_POINTS);
            prop_assert!(history.0.is_sorted_by(|a, b| a.at < b.at && a.end <= b.end));
            history.waiting(end.saturating_sub(1), end, at);
        }
    }

    /// Against a model that keeps everything: the answer is between the last read at which the message
    /// was not there and the first at which it was, as far as the points that are left say; and a
    /// later message has waited for less time.
    #[test]
    fn a_wait_is_within_the_points_around_it(reads in reads(), back in 1..2_000_000_i64) {
        let (mut history, mut all) = (EndHistory::default(), Vec::new());
        let (mut at, mut end) = (0, 0);
        for (later, more) in reads {
            (at, end) = (at + later + 1, end + more);
            history.add(end, at);
            all.push((end, at));
        }
        let next = end - back;
        let since = |time: u64| Duration::from_millis(at - time);
        match history.waiting(next, end, at) {
            Waiting::AtLeast(least) => {
                let (first_end, first_at) = all[0];
                prop_assert!(next < first_end);
                prop_assert_eq!(least, since(first_at));
            }
            Waiting::For(time) => {
                prop_assert!(next >= all[0].0);
                let points = &history.0;
                let after = points.iter().position(|point| point.end > next).expect("it is there");
                prop_assert!(since(points[after].at) <= time);
                prop_assert!(time <= since(points[after - 1].at));
                // No point is an invention.
                for point in points {
                    prop_assert!(all.contains(&(point.end, point.at)));
                }
                // The truth is in there as well.
                let came_by = all.iter().find(|(end, _)| *end > next).expect("it is there").1;
                prop_assert!(came_by <= points[after].at);
                if next + 1 < end {
                    match history.waiting(next + 1, end, at) {
                        Waiting::For(later) => prop_assert!(later <= time),
                        Waiting::AtLeast(_) => prop_assert!(false, "known before, and not now"),
                    }
                }
            }
        }
    }

    /// Without a new end, a message grows old by the clock.
    #[test]
    fn a_message_grows_old_by_the_clock(reads in reads(), back in 1..1_000_i64, later in 0..1_u64 << 40) {
        let mut history = EndHistory::default();
        let (mut at, mut end) = (0, 0);
        for (gap, more) in reads {
            (at, end) = (at + gap + 1, end + more);
            history.add(end, at);
        }
        let before = history.waiting(end - back, end, at);
        history.add(end, at + later);
        let after = history.waiting(end - back, end, at + later);
        let later = Duration::from_millis(later);
        match (before, after) {
            (Waiting::For(before), Waiting::For(after))
            | (Waiting::AtLeast(before), Waiting::AtLeast(after)) => {
                let expected = before + later;
                let thinned = expected / 4 + Duration::from_secs(2);
                prop_assert!(after.abs_diff(expected) <= thinned, "{:?} {:?}", before, after);
            }
            _ => prop_assert!(false, "{:?} {:?}", before, after),
        }
    }
}
