//! How fast consumer groups read their streams: a short history of each group, kept over reconnects,
//! so that a lost connection does not make the rate unknown.

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{query::Progress, unix_time::EntryId};

/// The rate is that of about this time.
const WINDOW: Duration = Duration::from_secs(60);
/// Readings that are closer than this are not kept: push triggers have ten in a second.
const SPACING: Duration = Duration::from_secs(2);
/// A group that no query has read for this long is evicted; longer than the engine keeps triggers.
const EVICTED_AFTER: Duration = Duration::from_secs(15 * 60);
/// Groups of one connection with a history.
const MOST_GROUPS: NonZeroUsize = NonZeroUsize::new(10_000).expect("is not zero");

/// The histories of every connection.
#[derive(Default)]
pub struct ReadRates(Mutex<HashMap<String, Arc<GroupRates>>>);

impl ReadRates {
    /// The histories of the groups of a server, by the name of its connection: how fast a group
    /// reads does not depend on who looks.
    pub fn of(&self, connection: &str) -> Arc<GroupRates> {
        let mut all = self.0.lock();
        all.retain(|_, rates| Arc::strong_count(rates) > 1 || !rates.is_idle());
        all.entry(connection.to_owned()).or_default().clone()
    }
}

/// The histories of the groups of one server.
pub struct GroupRates(Mutex<LruCache<(String, String), History>>);

struct History {
    /// The start of the window, and what was read since, at least `SPACING` apart.
    kept: VecDeque<Position>,
    latest: Position,
}

/// How far a group was, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub at: Instant,
    /// Entries that the group was given since the stream began.
    pub entries_read: u64,
    /// The last entry that it was given.
    pub last_id: EntryId,
}

impl Default for GroupRates {
    fn default() -> Self {
        // Grows as groups come, so that most connections have an empty one.
        let mut groups = LruCache::unbounded();
        groups.resize(MOST_GROUPS);
        GroupRates(Mutex::new(groups))
    }
}

impl GroupRates {
    /// Records how far a group is, and returns how far it came in the window.
    pub fn record(&self, stream: &str, group: &str, position: Position) -> Progress {
        let mut groups = self.0.lock();
        let now = position.at;
        let old = |history: &History| now.duration_since(history.latest.at) > EVICTED_AFTER;
        while groups.peek_lru().is_some_and(|(_, history)| old(history)) {
            groups.pop_lru();
        }
        let key = (stream.to_owned(), group.to_owned());
        let history = groups.get_or_insert_mut(key, || History::from(position));
        history.add(position);
        history.progress()
    }

    /// Starts the history of a group again: how far it is is not known.
    pub fn restart(&self, stream: &str, group: &str) {
        let key = (stream.to_owned(), group.to_owned());
        self.0.lock().pop(&key);
    }

    fn is_idle(&self) -> bool {
        let groups = self.0.lock();
        let old = |history: &History| history.latest.at.elapsed() > EVICTED_AFTER;
        groups.iter().all(|(_, history)| old(history))
    }
}

impl From<Position> for History {
    fn from(position: Position) -> Self {
        History {
            kept: [position].into(),
            latest: position,
        }
    }
}

impl History {
    fn add(&mut self, position: Position) {
        if position.at < self.latest.at {
            // Two batches may end in another order than they began.
            return;
        }
        let went_back = position.entries_read < self.latest.entries_read
            || position.last_id < self.latest.last_id;
        if went_back {
            // XGROUP SETID, or a new stream or group of the same name.
            *self = History::from(position);
            return;
        }
        self.latest = position;
        let last = self.kept.back();
        if last.is_none_or(|last| position.at.duration_since(last.at) >= SPACING) {
            self.kept.push_back(position);
        }
        let is_outside = |start: &Position| position.at.duration_since(start.at) >= WINDOW;
        // One position before the window stays, so that a trigger that is read seldom has a rate.
        while self.kept.get(1).is_some_and(is_outside) {
            self.kept.pop_front();
        }
    }

    fn progress(&self) -> Progress {
        let start = self.kept.front().unwrap_or(&self.latest);
        Progress::Known {
            entries: self.latest.entries_read - start.entries_read,
            over: self.latest.at.duration_since(start.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Group {
        rates: GroupRates,
        start: Instant,
    }

    impl Group {
        fn new() -> Self {
            Group {
                rates: GroupRates::default(),
                start: Instant::now(),
            }
        }

        /// Entries, and the seconds in which they were read.
        fn read(&self, seconds: f64, entries_read: u64, last_id: u64) -> (u64, f64) {
            let at = self.start + Duration::from_secs_f64(seconds);
            let position = Position {
                at,
                entries_read,
                last_id: EntryId(last_id, 0),
            };
            match self.rates.record("s", "g", position) {
                Progress::Known { entries, over } => (entries, over.as_secs_f64()),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn progress_is_that_of_the_last_minute() {
        let group = Group::new();
        for (second, read, then) in [
            (0.0, 100, (0, 0.0)),
            (0.1, 110, (10, 0.1)),
            (10.0, 200, (100, 10.0)),
            (30.0, 400, (300, 30.0)),
            (60.0, 700, (600, 60.0)),
            (69.0, 700, (600, 69.0)),
            (70.0, 700, (500, 60.0)),
            (90.0, 700, (300, 60.0)),
            // Nothing for long: the last position before the window counts.
            (600.0, 1700, (1000, 510.0)),
        ] {
            assert_eq!(group.read(second, read, read), then, "at {second} s");
        }
    }

    #[test]
    fn a_group_that_goes_back_starts_again() {
        let group = Group::new();
        assert_eq!(group.read(0.0, 100, 100), (0, 0.0));
        assert_eq!(group.read(9.0, 200, 200), (100, 9.0));
        assert_eq!(group.read(10.0, 50, 250), (0, 0.0), "fewer entries");
        assert_eq!(group.read(20.0, 60, 260), (10, 10.0));
        assert_eq!(group.read(21.0, 60, 10), (0, 0.0), "an older id");
        group.rates.restart("s", "g");
        assert_eq!(group.read(30.0, 90, 90), (0, 0.0), "not known between");
    }

    #[test]
    fn a_history_is_bounded_and_late_results_do_not_count() {
        let group = Group::new();
        for tenth in 0..3_000 {
            group.read(f64::from(tenth) / 10.0, 7, 7);
        }
        let groups = group.rates.0.lock();
        let history = groups.peek(&("s".to_owned(), "g".to_owned())).unwrap();
        assert!(history.kept.len() <= 32, "{}", history.kept.len());
        drop(groups);
        assert_eq!(group.read(10.0, 3, 3).0, 0);
    }

    #[test]
    fn groups_that_no_query_reads_are_evicted() {
        let group = Group::new();
        group.read(0.0, 1, 1);
        let at = group.start + EVICTED_AFTER + SPACING;
        let position = Position {
            at,
            entries_read: 1,
            last_id: EntryId(1, 0),
        };
        group.rates.record("s", "other", position);
        assert_eq!(group.rates.0.lock().len(), 1);
    }
}
