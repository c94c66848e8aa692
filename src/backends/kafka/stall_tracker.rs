//! Since when groups have been at their offsets: what makes lag persistent.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    query::{Isolation, Partition},
    recent::{Recent, Remembered},
};

/// Where the groups of one cluster are, and since when.
#[derive(Default)]
pub struct StallTracker(Mutex<Recent<(String, Isolation), Behind>>);

/// The partitions of a group with lag: the offset, and since when it has been seen there.
#[derive(Default)]
struct Behind(HashMap<(Arc<str>, i32), (i64, Instant)>);

impl Remembered for Behind {
    fn partitions(&self) -> usize {
        self.0.len()
    }
}

impl StallTracker {
    /// Records where a group is in partitions, all read at `at`, and sets since when it has been seen
    /// there.
    pub fn record(
        &self,
        group: &str,
        isolation: Isolation,
        partitions: &mut [Partition],
        at: Instant,
    ) {
        let committed = partitions.iter().filter_map(|partition| {
            let offset = partition.committed?.offset;
            let is_behind = offset.max(partition.start) < partition.end;
            Some((&partition.topic, partition.partition, offset, is_behind))
        });
        let since = self.update(group, isolation, committed, at);
        let committed = partitions
            .iter_mut()
            .filter_map(|partition| partition.committed.as_mut());
        for (committed, since) in committed.zip(since) {
            committed.unmoved_since = since;
        }
    }

    /// Takes offsets of partitions; for each, whether it is behind the end. Returns since when it
    /// has been seen behind at this very offset.
    ///
    /// A group that has read everything is not stuck, however long it stays where it is: its time
    /// runs from the first message that it could have read.
    fn update<'a>(
        &self,
        group: &str,
        isolation: Isolation,
        partitions: impl Iterator<Item = (&'a Arc<str>, i32, i64, bool)>,
        now: Instant,
    ) -> Vec<Option<Instant>> {
        let key = (group.to_owned(), isolation);
        let mut groups = self.0.lock();
        groups.update(key, now, Behind::default, |Behind(behind), _| {
            let since = partitions.map(|(topic, partition, offset, is_behind)| {
                let key = (topic.clone(), partition);
                if !is_behind {
                    behind.remove(&key);
                    return None;
                }
                let seen = behind.entry(key).or_insert((offset, now));
                if seen.0 != offset {
                    *seen = (offset, now);
                }
                Some(seen.1)
            });
            since.collect()
        })
    }

    /// Whether all of it can be evicted.
    pub fn is_idle(&self) -> bool {
        self.0.lock().is_idle()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_runs_while_a_group_is_behind_and_does_not_move() {
        let stalls = StallTracker::default();
        let topic: Arc<str> = "t".into();
        let start = Instant::now();
        let note = |offset, behind, after| {
            let now = start + Duration::from_secs(after);
            let one = [(&topic, 0, offset, behind)].into_iter();
            stalls.update("g", Isolation::ReadCommitted, one, now)[0]
                .map(|since| since.duration_since(start).as_secs())
        };
        assert_eq!(note(5, false, 0), None, "has read everything");
        assert_eq!(note(5, true, 100), Some(100), "a message arrived");
        assert_eq!(note(5, true, 120), Some(100));
        assert_eq!(note(6, true, 130), Some(130), "moved");
        assert_eq!(note(6, false, 140), None);
        assert_eq!(note(6, true, 150), Some(150));
        assert_eq!(
            note(2, true, 160),
            Some(160),
            "was reset: that is a move as well"
        );
    }

    #[test]
    fn groups_that_no_query_reads_are_evicted() {
        let stalls = StallTracker::default();
        let topic: Arc<str> = "t".into();
        let start = Instant::now();
        for (group, after) in [("old", 0), ("new", 1000)] {
            let one = [(&topic, 0, 1, true)].into_iter();
            let now = start + Duration::from_secs(after);
            stalls.update(group, Isolation::ReadCommitted, one, now);
        }
        assert_eq!(stalls.0.lock().len(), 1);
    }
}

#[cfg(test)]
mod properties {
    use std::time::Duration;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// A partition as it was read some seconds after the one before: its number, its offset, and
    /// whether there was more to read.
    type Seen = (u64, i32, i64, bool);

    /// Since which second a partition has been seen behind at its offset: that of the first of the
    /// last observations that all say the same.
    fn model(history: &[(u64, Seen)]) -> Option<u64> {
        let (_, (_, partition, offset, _)) = history.last()?;
        let of_partition = history
            .iter()
            .rev()
            .filter(|(_, seen)| seen.1 == *partition);
        let same = of_partition.take_while(|(_, seen)| (seen.2, seen.3) == (*offset, true));
        same.last().map(|(second, _)| *second)
    }

    proptest! {
        #[test]
        fn time_runs_from_the_first_observation_at_the_same_offset_with_more_to_read(
            seen in vec((0..100_u64, 0..3_i32, 0..3_i64, prop::bool::weighted(0.8)), 1..30),
        ) {
            let stalls = StallTracker::default();
            let topic: Arc<str> = "t".into();
            let start = Instant::now();
            let (mut history, mut second) = (Vec::new(), 0);
            for one in seen {
                let (after, partition, offset, is_behind) = one;
                second += after;
                history.push((second, one));
                let now = start + Duration::from_secs(second);
                let one = std::iter::once((&topic, partition, offset, is_behind));
                let since = stalls.update("g", Isolation::ReadCommitted, one, now)[0];
                let since = since.map(|since| since.duration_since(start).as_secs());
                prop_assert_eq!(since, model(&history), "{:?}", history);
            }
        }
    }
}
