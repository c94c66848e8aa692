//! What to count, and what was counted.

use std::fmt;

use crate::{
    metadata::patterns::Patterns,
    sampling::{BatchQuery, QueriedName, Total},
};

/// A query of a batch, until it has its result.
pub type PendingQuery = BatchQuery<Query, Count>;

/// What a query counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Entries that wait, or that the stream measure counts.
    pub waiting: u64,
    /// Entries of `processingLists`: taken, but not finished.
    pub processing: u64,
}

/// What to count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Query {
    /// The lengths of lists, sets, sorted sets and hashes, summed.
    Lists {
        waiting: Patterns,
        processing: Patterns,
    },
    /// Entries of a stream.
    Stream { stream: String, measure: Measure },
}

/// Which entries of a stream count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// All of them.
    Length,
    /// Those that the group has not been given yet.
    Lag { group: String },
    /// Those that the group was given and has not acknowledged.
    Pending { group: String },
}

impl Query {
    /// How many bytes of memory the names take, about.
    pub fn bytes(&self) -> usize {
        match self {
            Query::Lists {
                waiting,
                processing,
            } => waiting.bytes() + processing.bytes(),
            Query::Stream { stream, .. } => stream.len(),
        }
    }
}

impl Query {
    /// The keys that are read.
    pub fn names(&self) -> Vec<QueriedName<'_>> {
        match self {
            Query::Lists {
                waiting,
                processing,
            } => {
                let all = [waiting, processing];
                let names = all.iter().flat_map(|all| &all.names);
                let globs = all.iter().flat_map(|all| &all.globs);
                let names = names.map(|name| QueriedName::Exact(name));
                names
                    .chain(globs.map(|glob| QueriedName::Glob(glob)))
                    .collect()
            }
            Query::Stream { stream, .. } => vec![QueriedName::Exact(stream)],
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Query::Lists {
                waiting,
                processing,
            } => {
                write!(f, "length of {waiting}")?;
                match processing == &Patterns::default() {
                    true => Ok(()),
                    false => write!(f, " and in processing {processing}"),
                }
            }
            Query::Stream { stream, measure } => match measure {
                Measure::Length => write!(f, "length of stream {stream}"),
                Measure::Lag { group } => write!(f, "lag of group {group} in stream {stream}"),
                Measure::Pending { group } => {
                    write!(f, "pending entries of group {group} in stream {stream}")
                }
            },
        }
    }
}

impl Total for Count {
    fn total(&self) -> u64 {
        self.waiting.saturating_add(self.processing)
    }

    fn in_flight(&self) -> u64 {
        self.processing
    }
}
