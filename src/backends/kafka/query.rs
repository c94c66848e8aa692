//! What is measured: the lag of one group, in which topics and partitions.

use std::{collections::BTreeSet, fmt};

use regex::RegexBuilder;

use super::partition_list::PartitionList;

/// A group's lag in some topics.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    pub group: String,
    pub topics: Topics,
    /// Only these partitions of each topic; empty: all.
    pub partitions: PartitionList,
    pub isolation: Isolation,
}

/// Which topics.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topics {
    /// Those in which the group has committed offsets.
    OfGroup,
    Named {
        names: BTreeSet<String>,
        /// Each starts with `^` and is known to compile.
        regexes: BTreeSet<String>,
    },
}

impl Query {
    /// How many bytes of memory the names take, about.
    pub fn bytes(&self) -> usize {
        let Topics::Named { names, regexes } = &self.topics else {
            return 0;
        };
        let all = names.iter().chain(regexes);
        all.map(|name| size_of::<String>() + name.len()).sum()
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lag of group {}", self.group)?;
        if let Topics::Named { names, regexes } = &self.topics {
            // Enough to recognise it: this is part of errors and log lines.
            let shown: Vec<&str> = names
                .iter()
                .chain(regexes)
                .take(3)
                .map(String::as_str)
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
        match self.isolation {
            Isolation::ReadCommitted => Ok(()),
            Isolation::ReadUncommitted => write!(f, ", {}", self.isolation),
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

/// A regex larger than this when compiled is a slip, or an attack.
const LARGEST_REGEX: usize = 1 << 20;

/// A topic regex, compiled. As in Kafka's clients it may match anywhere but for its `^`.
pub fn compile(regex: &str) -> Result<regex::Regex, regex::Error> {
    RegexBuilder::new(regex).size_limit(LARGEST_REGEX).build()
}
