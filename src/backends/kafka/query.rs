//! What is measured: the lag of one group, in some topics and partitions.

use std::{
    cmp::Ordering,
    collections::BTreeSet,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use regex::{Regex, RegexBuilder};
use tokio::time::Instant;

use super::partition_list::PartitionList;
use crate::{
    error::{Error, Kind, Result},
    sampling::{BatchQuery, QueriedName},
};

/// A group's lag in some topics.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    pub group: String,
    pub topics: TopicSelection,
    /// Only these partitions of each topic; empty: all.
    pub partitions: PartitionList,
    pub isolation: Isolation,
    pub measure: Measure,
}

/// What is measured beside the lag, for the signals that need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Nothing.
    #[default]
    Lag,
    /// For how long messages have waited, as ends of the log that were seen before say.
    ObservedAge,
    /// For how long messages have waited, as the time in their records says.
    RecordAge(RecordReach),
    /// How much the group commits.
    Progress,
}

/// Which partitions a record is read of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordReach {
    /// Those with more lag than this.
    pub tolerance: i64,
    /// Also those in which the group has committed nothing, at their start.
    pub from_start: bool,
}

/// Where the signal `age` has times from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AgeFrom {
    /// From ends of the log that were seen before.
    #[default]
    Observed,
    /// From the record that the group reads next.
    Record,
}

/// Which topics.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicSelection {
    /// Those in which the group has committed offsets.
    OfGroup,
    Named {
        names: BTreeSet<String>,
        regexes: BTreeSet<TopicRegex>,
    },
}

/// A regex of topics, which starts with `^`. Compiled once; equal if its text is.
#[derive(Clone, Debug)]
pub struct TopicRegex(Regex);

/// More topics than this are no longer one trigger's business.
const MOST_TOPICS: usize = 10_000;
/// A regex larger than this when compiled is a slip, or an attack.
const LARGEST_REGEX: usize = 1 << 20;

impl TopicRegex {
    /// As in Kafka's clients it may match anywhere but for its `^`.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        let built = RegexBuilder::new(text).size_limit(LARGEST_REGEX).build();
        built.map(TopicRegex)
    }

    pub fn text(&self) -> &str {
        self.0.as_str()
    }

    /// The topics that match. None is an error: a regex with a slip must not read as 0.
    pub fn matching(&self, all: &[String]) -> Result<Vec<String>> {
        let text = self.text();
        // Kafka's own topics match only a regex that names them.
        let internal = text.starts_with("^__");
        let matching = all
            .iter()
            .filter(|name| (internal || !name.starts_with("__")) && self.0.is_match(name));
        let matching: Vec<String> = matching.cloned().collect();
        match matching.len() {
            0 => Err(Error::new(
                Kind::NotFound,
                format!("no topic matches {text}"),
                "Check the regex; a user without the right to DESCRIBE a topic does not see it.",
            )),
            1..=MOST_TOPICS => Ok(matching),
            _ => Err(Error::new(
                Kind::Exhausted,
                format!("more than {MOST_TOPICS} topics match {text}"),
                "Use a narrower regex; a partial sum would be wrong.",
            )),
        }
    }
}

impl PartialEq for TopicRegex {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for TopicRegex {}

impl PartialOrd for TopicRegex {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TopicRegex {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text().cmp(other.text())
    }
}

impl Hash for TopicRegex {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

/// Which query of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueryId(pub usize);

/// One query of a batch.
pub type PendingQuery = BatchQuery<Query, Sample>;

/// What a group has read of some partitions, and what there is. Many triggers share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Every partition of the query, with or without lag.
    pub partitions: Arc<[Partition]>,
    /// How much the group has committed lately, if that is measured.
    pub progress: Option<Progress>,
}

/// How much a group has committed lately, in all partitions of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has been seen for too short a time.
    TooShort {
        seen_for: Duration,
    },
    Committed {
        messages: u64,
        within: Duration,
    },
}

/// For how long the message that a group reads next has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    For(Duration),
    /// It came before the end of the log was first seen.
    AtLeast(Duration),
}

/// One partition, in Kafka's words. Offsets count messages (and control records) from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub topic: Arc<str>,
    pub partition: i32,
    /// What the group will read next; `None`: it has committed nothing.
    pub committed: Option<Committed>,
    /// The first offset that retention left.
    pub start: i64,
    /// The offset after the last message; with read_committed the last stable offset.
    pub end: i64,
    /// For how long the message at the group's position has waited, if that is measured.
    pub waiting: Option<Waiting>,
}

/// A committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub offset: i64,
    /// Since when the group has been seen behind the end at this very offset.
    pub unmoved_since: Option<Instant>,
}

impl Partition {
    /// How much of the partition the group has not read. A commit beyond the end is none: it hides
    /// no lag of other partitions.
    pub fn lag(&self, committed: Committed) -> i64 {
        // Retention may have deleted what was never read (kedacore/keda#7936).
        (self.end - committed.offset.max(self.start)).max(0)
    }

    /// What the group reads next; without a commit, where it starts with `earliest`.
    pub fn position(&self) -> i64 {
        let committed = self.committed.map(|committed| committed.offset);
        committed.map_or(self.start, |offset| offset.max(self.start))
    }
}

impl Query {
    /// How many bytes of memory the names take, about.
    pub fn bytes(&self) -> usize {
        let TopicSelection::Named { names, regexes } = &self.topics else {
            return 0;
        };
        let regexes = regexes.iter().map(TopicRegex::text);
        let all = names.iter().map(String::as_str).chain(regexes);
        all.map(|name| size_of::<String>() + name.len()).sum()
    }
}

impl Query {
    /// The group and the topics that are read. Topics that only the group knows are the group's.
    pub fn names(&self) -> Vec<QueriedName<'_>> {
        let mut names = vec![QueriedName::Exact(&self.group)];
        if let TopicSelection::Named {
            names: topics,
            regexes,
        } = &self.topics
        {
            names.extend(topics.iter().map(|topic| QueriedName::Exact(topic)));
            names.extend(regexes.iter().map(|regex| QueriedName::Regex(regex.text())));
        }
        names
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lag of group {}", self.group)?;
        if let TopicSelection::Named { names, regexes } = &self.topics {
            // Enough to recognise it: this is part of errors and log lines.
            let shown: Vec<&str> = names
                .iter()
                .map(String::as_str)
                .chain(regexes.iter().map(TopicRegex::text))
                .take(3)
                .collect();
            write!(f, " in {}", shown.join(", "))?;
            match names.len() + regexes.len() - shown.len() {
                0 => {}
                more => write!(f, " and {more} more")?,
            }
        }
        if !self.partitions.is_empty() {
            write!(f, ", partitions {}", self.partitions)?;
        }
        if self.isolation == Isolation::ReadUncommitted {
            write!(f, ", {}", self.isolation)?;
        }
        match self.measure {
            Measure::Lag => Ok(()),
            Measure::ObservedAge => f.write_str(", with its age"),
            Measure::RecordAge(_) => f.write_str(", with the age of records"),
            Measure::Progress => f.write_str(", with its progress"),
        }
    }
}

/// Which messages count that a transaction has written: Kafka's `isolation.level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Isolation {
    /// Those of finished transactions: what a consumer with read_committed can read.
    #[default]
    ReadCommitted,
    /// All.
    ReadUncommitted,
}
