//! Which records the queries of a batch need, and what has come in of them.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    query::{Isolation, Partition, QueryId, RecordReach, Waiting},
    record_cache::Position,
};
use crate::error::{Error, Kind, Result};

/// Partitions of a query whose records are read. Each is a request, whose response is a batch of
/// records: mostly up to 1 MB.
const MOST_RECORDS: usize = 200;

/// A record that is to be read.
pub struct WantedRecord {
    pub position: Position,
    /// Where the partition ends: there is no record from here on.
    pub end: i64,
    /// The broker that leads the partition.
    pub leader: i32,
}

/// When a record was written, in ms since 1970; `None`: there is none for consumers.
pub type Written = Option<i64>;

/// The records of a batch.
pub struct RecordReads {
    /// When the batch began.
    now: i64,
    found: HashMap<Position, Result<Written>>,
    waiting: HashMap<Position, Vec<QueryId>>,
    wanted: Vec<WantedRecord>,
    /// There will be no more of them.
    closed: bool,
}

impl Default for RecordReads {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = since.unwrap_or_default().as_millis();
        RecordReads {
            now: i64::try_from(since).unwrap_or(i64::MAX),
            found: HashMap::new(),
            waiting: HashMap::new(),
            wanted: Vec::new(),
            closed: false,
        }
    }
}

impl RecordReads {
    /// Sets for how long the next message of a query's group has waited in each partition, or
    /// returns how many records are to be read before. Each comes with the broker that leads it.
    pub fn set_waiting<'a>(
        &mut self,
        query: QueryId,
        isolation: Isolation,
        reach: RecordReach,
        partitions: impl Iterator<Item = (&'a mut Partition, i32)>,
    ) -> Result<usize> {
        let (mut unread, mut missing) = (HashSet::new(), Vec::new());
        for (partition, leader) in partitions {
            partition.waiting = Some(Waiting::For(Duration::ZERO));
            let Some(offset) = reach.wanted(partition) else {
                continue;
            };
            let position = Position {
                topic: partition.topic.clone(),
                partition: partition.partition,
                offset,
                isolation,
            };
            match self.found.get(&position) {
                Some(Ok(written)) => partition.waiting = Some(self.waited(*written)),
                Some(Err(error)) => return Err(error.clone()),
                None if unread.insert(position.clone()) => missing.push(WantedRecord {
                    position,
                    end: partition.end,
                    leader,
                }),
                None => {}
            }
        }
        if unread.len() > MOST_RECORDS {
            return Err(too_many(unread.len()));
        }
        for record in missing {
            let waiting = self.waiting.entry(record.position.clone()).or_default();
            waiting.push(query);
            if waiting.len() == 1 {
                self.wanted.push(record);
            }
        }
        Ok(unread.len())
    }

    /// A record has come in. Returns the queries that wait for it.
    pub fn set(&mut self, position: Position, written: Result<Written>) -> Vec<QueryId> {
        let waiting = self.waiting.remove(&position).unwrap_or_default();
        self.found.insert(position, written);
        waiting
    }

    /// The records to be read now; `None` when there will be no more.
    pub fn next(&mut self) -> Option<Vec<WantedRecord>> {
        match self.wanted.is_empty() && self.closed {
            true => None,
            false => Some(std::mem::take(&mut self.wanted)),
        }
    }

    /// No query will want more of them.
    pub fn close(&mut self) {
        self.closed = true;
    }

    fn waited(&self, written: Written) -> Waiting {
        // A producer's clock may be ahead of ours.
        let waited = written.map_or(0, |written| self.now.saturating_sub(written).max(0));
        Waiting::For(Duration::from_millis(waited.unsigned_abs()))
    }
}

impl RecordReach {
    /// Where the record is that says for how long the next message has waited; `None`: none waits.
    fn wanted(self, partition: &Partition) -> Option<i64> {
        let lag = match partition.committed {
            Some(committed) => partition.lag(committed),
            None if self.from_start => partition.end.saturating_sub(partition.start),
            None => 0,
        };
        let tolerance = match partition.committed {
            Some(_) => self.tolerance,
            None => 0,
        };
        (lag > tolerance).then(|| partition.position())
    }
}

fn too_many(count: usize) -> Error {
    Error::new(
        Kind::Exhausted,
        format!(
            "{count} partitions have lag, and `ageFrom: record` reads a record of each, \
             {MOST_RECORDS} at most"
        ),
        "Use `ageFrom: observed`, or triggers with fewer topics or partitions each.",
    )
}

#[cfg(test)]
mod tests;
