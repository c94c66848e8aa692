//! What to count, and what was counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use super::unix_time::ScoreScale;
use crate::{
    error::Result,
    metadata::{patterns::Patterns, signal::Signal},
    sampling::{BatchQuery, QueriedName},
};

/// A query of a batch, until it has its result.
pub type PendingQuery = BatchQuery<Query, Count>;

/// What a query counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Entries that wait, or that the stream measure counts.
    pub waiting: u64,
    /// Entries that are taken, but not finished: of `processingLists`, or pending in the group whose
    /// lag is counted.
    pub processing: u64,
    /// For how long the oldest that waits has waited, or why that is not known. `None` where no
    /// trigger needs it.
    pub age: Option<Result<Duration>>,
    /// How far the group came lately. `None` where no trigger needs it.
    pub progress: Option<Progress>,
    /// Entries that were added to the stream since it began, as far as the replies say.
    pub added: Option<u64>,
}

/// How far a consumer group came lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Entries that the group was given, and in which time.
    Known { entries: u64, over: Duration },
    /// Redis does not know how many it was given.
    Unknown,
    /// There is no such group.
    NoGroup,
}

/// What to count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Query {
    /// Entries of lists, sets, sorted sets and hashes, summed.
    Lists(Lists),
    /// Entries of a stream.
    Stream {
        stream: String,
        measure: Measure,
        /// What is reported of it.
        signal: Signal,
    },
}

/// Which keys are summed. A key that is named more than once counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lists {
    /// What waits: all entries of these.
    pub waiting: Patterns,
    /// With a scale, the scores of the sorted sets among `waiting` are times in it, and only members
    /// that are due count.
    pub scores: Option<ScoreScale>,
    /// Sorted sets whose members wait once they are due, each with the scale of its scores. One that
    /// turns out to be a list, set or hash counts whole.
    pub due: BTreeMap<String, ScoreScale>,
    /// What is taken, but not finished: all entries of these, whatever the scores.
    pub processing: Patterns,
    /// The hashes `meta` of BullMQ's queues: while one has a field `paused`, the keys of its queue
    /// among those that wait count 0.
    pub paused_by: BTreeSet<String>,
    /// What is reported of it: the backlog or the age.
    pub signal: Signal,
    /// What these keys are together, in words that stand for their names.
    pub name: Option<String>,
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
            Query::Lists(lists) => lists.bytes(),
            Query::Stream { stream, .. } => stream.len(),
        }
    }

    /// The keys that are read.
    pub fn names(&self) -> Vec<QueriedName<'_>> {
        match self {
            Query::Lists(lists) => lists.names(),
            Query::Stream { stream, .. } => vec![QueriedName::Exact(stream)],
        }
    }
}

impl Lists {
    /// Whether any score may be a time.
    pub fn have_times(&self) -> bool {
        self.scores.is_some() || !self.due.is_empty()
    }

    fn bytes(&self) -> usize {
        let due = self.due.keys();
        let due = due.map(|key| size_of::<(String, ScoreScale)>() + key.len());
        let others = self.paused_by.iter().chain(&self.name);
        let others = others.map(|text| size_of::<String>() + text.len());
        self.waiting.bytes() + self.processing.bytes() + due.chain(others).sum::<usize>()
    }

    fn names(&self) -> Vec<QueriedName<'_>> {
        let all = [&self.waiting, &self.processing];
        let names = all.iter().flat_map(|all| &all.names);
        let names = names.chain(self.due.keys()).chain(&self.paused_by);
        let globs = all.iter().flat_map(|all| &all.globs);
        let names = names.map(|name| QueriedName::Exact(name));
        names
            .chain(globs.map(|glob| QueriedName::Glob(glob)))
            .collect()
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Query::Lists(lists) => lists.fmt(f),
            Query::Stream {
                stream,
                measure,
                signal,
            } => {
                if *signal != Signal::Backlog {
                    write!(f, "{signal} of the ")?;
                }
                match measure {
                    Measure::Length => write!(f, "length of stream {stream}"),
                    Measure::Lag { group } => write!(f, "lag of group {group} in stream {stream}"),
                    Measure::Pending { group } => {
                        write!(f, "pending entries of group {group} in stream {stream}")
                    }
                }
            }
        }
    }
}

impl fmt::Display for Lists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            return f.write_str(name);
        }
        match self.signal {
            Signal::Backlog => write!(f, "length of {}", self.waiting)?,
            signal => write!(f, "{signal} of {}", self.waiting)?,
        }
        if let Some(scale) = self.scores {
            write!(f, ", due by scores in {}", scale.unit())?;
        }
        for (index, (key, scale)) in self.due.iter().enumerate() {
            let joint = if index == 0 { " and due in" } else { "," };
            write!(f, "{joint} {key} by {}", scale.unit())?;
        }
        match self.processing == Patterns::default() {
            true => Ok(()),
            false => write!(f, " and in processing {}", self.processing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_part_of_the_name_of_a_query() {
        let jobs = || Lists {
            waiting: Patterns::parse(["jobs"]).unwrap(),
            ..Lists::default()
        };
        assert_eq!(Query::Lists(jobs()).to_string(), "length of jobs");
        let scores = Lists {
            scores: Some(ScoreScale::Seconds),
            signal: Signal::Age,
            ..jobs()
        };
        assert_eq!(scores.to_string(), "age of jobs, due by scores in seconds");
        let due = [
            ("delayed", ScoreScale::BullMq),
            ("retry", ScoreScale::Seconds),
        ];
        let due = Lists {
            due: due.map(|(key, scale)| (key.to_owned(), scale)).into(),
            processing: Patterns::parse(["active"]).unwrap(),
            ..jobs()
        };
        assert_eq!(
            due.to_string(),
            "length of jobs and due in delayed by BullMQ's unit, retry by seconds and in \
             processing active"
        );
        assert_eq!(due.names().len(), 4);
    }
}
