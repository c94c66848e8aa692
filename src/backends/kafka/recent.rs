//! What is remembered of the groups that queries read, within bounds.

use std::{hash::Hash, num::NonZeroUsize};

use lru::LruCache;
use tokio::time::Instant;

use super::eviction::is_kept;

/// Groups of one cluster: twice the triggers that a server keeps by default.
const MOST_GROUPS: NonZeroUsize = NonZeroUsize::new(20_000).expect("is not zero");
/// Partitions of them together, with less than 100 bytes each.
const MOST_PARTITIONS: usize = 1_000_000;

/// What is remembered of a group.
pub trait Remembered {
    /// Of how many partitions something is remembered.
    fn partitions(&self) -> usize;
}

/// What is remembered of each group. The one that was read least recently is evicted when there is
/// too much, or when no query has read it for long.
pub struct Recent<K: Hash + Eq, V> {
    groups: LruCache<K, Entry<V>>,
    partitions: usize,
}

struct Entry<V> {
    read: Instant,
    value: V,
}

impl<K: Hash + Eq, V> Default for Recent<K, V> {
    fn default() -> Self {
        // Grows as groups come.
        Recent {
            groups: LruCache::unbounded(),
            partitions: 0,
        }
    }
}

impl<K: Hash + Eq, V: Remembered> Recent<K, V> {
    /// Changes what is remembered of a group, which is new at first. `change` is also told when the
    /// group was read last.
    pub fn update<R>(
        &mut self,
        key: K,
        now: Instant,
        new: impl FnOnce() -> V,
        change: impl FnOnce(&mut V, Instant) -> R,
    ) -> R {
        let entry = self.groups.get_or_insert_mut(key, || Entry {
            read: now,
            value: new(),
        });
        let before = entry.value.partitions();
        let result = change(&mut entry.value, entry.read);
        entry.read = entry.read.max(now);
        self.partitions += entry.value.partitions();
        self.partitions -= before;
        self.evict(now);
        result
    }

    fn evict(&mut self, now: Instant) {
        while let Some((_, oldest)) = self.groups.peek_lru() {
            // The one that was just read stays, however large it is.
            let is_too_much = self.groups.len() > MOST_GROUPS.get()
                || (self.partitions > MOST_PARTITIONS && self.groups.len() > 1);
            if !is_too_much && is_kept(oldest.read, now) {
                return;
            }
            if let Some((_, evicted)) = self.groups.pop_lru() {
                self.partitions -= evicted.value.partitions();
            }
        }
    }

    /// Whether all of it can be evicted.
    pub fn is_idle(&self) -> bool {
        let now = Instant::now();
        let mut groups = self.groups.iter();
        groups.all(|(_, entry)| !is_kept(entry.read, now))
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.groups.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Partitions(usize);

    impl Remembered for Partitions {
        fn partitions(&self) -> usize {
            self.0
        }
    }

    /// The groups that are left after some of so many partitions were read at these seconds.
    fn left(reads: impl IntoIterator<Item = (usize, usize, u64)>) -> Vec<usize> {
        let (mut recent, start) = (Recent::default(), Instant::now());
        for (group, partitions, second) in reads {
            let now = start + Duration::from_secs(second);
            let change = |value: &mut Partitions, _| value.0 = partitions;
            recent.update(group, now, || Partitions(0), change);
        }
        let left: usize = recent.groups.iter().map(|(_, entry)| entry.value.0).sum();
        assert_eq!(recent.partitions, left);
        let mut groups: Vec<_> = recent.groups.iter().map(|(group, _)| *group).collect();
        groups.sort_unstable();
        groups
    }

    #[test]
    fn the_least_recently_read_are_evicted() {
        let most = MOST_PARTITIONS;
        for (reads, then) in [
            (&[(1, 5, 0), (2, 5, 0)][..], &[1, 2][..]),
            // For long.
            (&[(1, 5, 0), (2, 5, 800), (3, 5, 901)], &[2, 3]),
            (&[(1, 5, 0), (2, 5, 0), (1, 5, 800), (3, 5, 901)], &[1, 3]),
            // A result that comes late does not make a group older.
            (&[(1, 5, 800), (1, 5, 0), (2, 5, 1000)], &[1, 2]),
            // Too many partitions.
            (&[(1, most, 0), (2, 1, 0)], &[2]),
            (&[(1, most / 2, 0), (2, most / 2, 0)], &[1, 2]),
            (&[(1, most, 0), (1, 1, 0), (2, 1, 0)], &[1, 2]),
            (&[(1, most + 1, 0)], &[1]),
        ] {
            assert_eq!(left(reads.iter().copied()), then, "{reads:?}");
        }
    }

    #[test]
    fn the_number_of_groups_is_bounded() {
        let most = MOST_GROUPS.get();
        let groups = left((0..most + 7).map(|group| (group, 0, 0)));
        assert_eq!((groups.len(), groups[0]), (most, 7));
    }
}
