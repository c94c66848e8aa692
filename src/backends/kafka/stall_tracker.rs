//! Since when groups have been at their offsets: what makes lag persistent. Kept over reconnects,
//! so that a lost connection does not make stuck lag look new.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{config::Connection, query::Isolation};

/// What nobody has asked for this long is forgotten; longer than the engine keeps triggers.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);

/// The progress of every connection.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<Connection, Arc<Progress>>>);

impl Memory {
    /// The progress of the groups of a cluster.
    pub fn of(&self, connection: &Connection) -> Arc<Progress> {
        let mut all = self.0.lock();
        all.retain(|_, progress| Arc::strong_count(progress) > 1 || !progress.is_forgotten());
        all.entry(connection.clone()).or_default().clone()
    }
}

/// Where the groups of one cluster are, and since when.
#[derive(Default)]
pub struct Progress(Mutex<Groups>);

#[derive(Default)]
struct Groups {
    groups: HashMap<(String, Isolation), Group>,
    swept: Option<Instant>,
}

struct Group {
    noted: Instant,
    /// The partitions with lag: the offset, and since when it has been seen there.
    behind: HashMap<(Arc<str>, i32), (i64, Instant)>,
}

impl Progress {
    /// Notes where a group is in partitions, all read at `now`; for each, whether it is behind the
    /// end. Returns since when it has been seen behind at this very offset.
    ///
    /// A group that has read everything is not stuck, however long it stays where it is: its time
    /// runs from the first message that it could have read.
    pub fn note<'a>(
        &self,
        group: &str,
        isolation: Isolation,
        partitions: impl Iterator<Item = (&'a Arc<str>, i32, i64, bool)>,
        now: Instant,
    ) -> Vec<Option<Instant>> {
        let mut groups = self.0.lock();
        groups.sweep(now);
        let fresh = || Group {
            noted: now,
            behind: HashMap::new(),
        };
        let key = (group.to_owned(), isolation);
        let group = groups.groups.entry(key).or_insert_with(fresh);
        group.noted = now;
        let since = partitions.map(|(topic, partition, offset, is_behind)| {
            let key = (topic.clone(), partition);
            if !is_behind {
                group.behind.remove(&key);
                return None;
            }
            let seen = group.behind.entry(key).or_insert((offset, now));
            if seen.0 != offset {
                *seen = (offset, now);
            }
            Some(seen.1)
        });
        since.collect()
    }

    fn is_forgotten(&self) -> bool {
        let groups = self.0.lock();
        groups
            .groups
            .values()
            .all(|group| group.noted.elapsed() > FORGOTTEN_AFTER)
    }
}

impl Groups {
    fn sweep(&mut self, now: Instant) {
        let due = |swept: Instant| now.duration_since(swept) > FORGOTTEN_AFTER / 4;
        if self.swept.is_none_or(due) {
            self.swept = Some(now);
            self.groups
                .retain(|_, group| now.duration_since(group.noted) <= FORGOTTEN_AFTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_runs_while_a_group_is_behind_and_does_not_move() {
        let progress = Progress::default();
        let topic: Arc<str> = "t".into();
        let start = Instant::now();
        let note = |offset, behind, after| {
            let now = start + Duration::from_secs(after);
            let one = [(&topic, 0, offset, behind)].into_iter();
            progress.note("g", Isolation::ReadCommitted, one, now)[0]
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
    fn groups_that_nobody_asks_for_are_forgotten() {
        let progress = Progress::default();
        let topic: Arc<str> = "t".into();
        let start = Instant::now();
        for (group, after) in [("old", 0), ("new", 1000)] {
            let one = [(&topic, 0, 1, true)].into_iter();
            let now = start + Duration::from_secs(after);
            progress.note(group, Isolation::ReadCommitted, one, now);
        }
        assert_eq!(progress.0.lock().groups.len(), 1);
    }
}
