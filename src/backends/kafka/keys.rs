//! The declared keys that say which lag to measure and what to make of it, and KEDA's checks between
//! them.

use std::{collections::BTreeSet, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    config::Kafka,
    partition_list::PartitionList,
    query::{AgeFrom, Isolation, Measure, Query, RecordReach, TopicRegex, TopicSelection},
    rule::{LagRule, OffsetReset},
};
use crate::metadata::{
    patterns::Budget,
    problem::{Problem, Problems},
    signal::{Needs, Signal},
    values::{Activation, NameList, Span, Target, TextValue, text_value, words},
};
use crate::sampling::{Plan, TriggerKeys};

words!(Isolation: "read_committed or read_uncommitted",
    "read_committed" => ReadCommitted,
    "read_uncommitted" => ReadUncommitted);
words!(AgeFrom: "observed or record",
    "observed" => Observed,
    "record" => Record);
words!(OffsetReset: "latest or earliest",
    "latest" => Latest,
    "earliest" => Earliest);

/// Kafka's own rule for names (`org.apache.kafka.common.internals.Topic`).
const LONGEST_TOPIC: usize = 249;

fn check_topic(name: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name {
        "." | ".." => {}
        _ if name.len() <= LONGEST_TOPIC && name.chars().all(legal) => return Ok(()),
        _ => {}
    }
    Err(
        "is not a topic's name (letters, digits, `.`, `_` and `-`, at most 249); \
         a regex starts with `^` and goes under `topics`"
            .to_owned(),
    )
}

/// `topic` of `backend: kafka`: one name.
#[derive(Clone, Debug)]
pub struct OneTopic(String);

impl TextValue for OneTopic {
    const ALLOWED: &'static str = "one topic's name";

    fn parse(text: &str) -> Result<Self, String> {
        let name = text.trim();
        match name.contains(',') {
            true => Err("names several topics; write them under `topics`".to_owned()),
            false => Ok(OneTopic(name.to_owned())),
        }
    }
}
text_value!(OneTopic);

/// What `topic` may hold: `apache-kafka` has a list there.
pub trait TopicKey {
    fn names(self) -> Vec<String>;
}

impl TopicKey for OneTopic {
    fn names(self) -> Vec<String> {
        vec![self.0]
    }
}

impl TopicKey for NameList {
    fn names(self) -> Vec<String> {
        self.0
    }
}

/// The lag of a consumer group.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LagKeys<T> {
    /// The consumer group.
    consumer_group: String,
    /// The topic. Without this and `topics`: all topics in which the group has committed offsets.
    topic: Option<T>,
    /// Several topics, comma-separated, whose lag is added up: names, ranges (`orders-{0..31}`) and regexes
    /// (`^orders-.*`; one that matches nothing is an error). Instead of `topic`.
    topics: Option<NameList>,
    /// Count only these partitions: `1,2,5-8`. Needs a topic.
    partition_limitation: Option<PartitionList>,
    /// The wanted lag per replica.
    #[serde(default = "ten")]
    lag_threshold: Target,
    /// The trigger is active above this lag.
    #[serde(default)]
    activation_lag_threshold: Activation,
    /// How to count a partition in which the group has committed nothing: `latest` as 1, `earliest`
    /// with all its messages.
    #[serde(default)]
    offset_reset_policy: OffsetReset,
    /// A partition in which the group has committed nothing counts 0.
    #[serde(default)]
    scale_to_zero_on_invalid_offset: bool,
    /// Allow more replicas than partitions.
    #[serde(default)]
    allow_idle_consumers: bool,
    /// Allow no more replicas than partitions with lag. Needs a topic.
    #[serde(default)]
    limit_to_partitions_with_lag: bool,
    /// Round up to a number of replicas that divides the number of partitions. Needs a topic.
    #[serde(default)]
    ensure_even_distribution_of_partitions: bool,
    /// Leave the lag of stuck partitions out of the value; the trigger stays active.
    #[serde(default)]
    exclude_persistent_lag: bool,
    /// How long a group must stay at an offset, with messages to read, for its lag to count as
    /// persistent. By default, 30s. Needs `excludePersistentLag`.
    persistent_lag_after: Option<Span>,
    /// Which messages of transactions count.
    #[serde(default)]
    isolation_level: Isolation,
    /// Lag up to this counts 0, per partition: 1 hides the control record that a transaction leaves
    /// after the last message.
    #[serde(default)]
    lag_tolerance: Activation,
    /// With `signal: age`, how the age of the group's next message is determined. `observed`: by when
    /// this server saw the end of the log pass it. `record`: by the record's timestamp, which needs
    /// READ on the topic. By default, observed.
    age_from: Option<AgeFrom>,
    /// The brokers' version. Accepted, but not needed.
    #[expect(dead_code, reason = "accepted for KEDA's sake")]
    version: Option<String>,
    /// Accepted, but not needed: only the topics in question are requested.
    #[serde(default = "yes")]
    full_metadata: bool,
}

fn ten() -> Target {
    Target(10)
}

fn yes() -> bool {
    true
}

/// KEDA's polling interval, which its own rule amounts to by default.
const PERSISTENT_AFTER: Duration = Duration::from_secs(30);

impl<T: TopicKey> TriggerKeys<Kafka> for LagKeys<T>
where
    LagKeys<T>: serde::de::DeserializeOwned + JsonSchema,
{
    fn check(self, needs: Needs) -> Result<Plan<Kafka>, Problems> {
        let signals = [Signal::Backlog, Signal::Age, Signal::DrainTime];
        needs.supports("a consumer group", &signals)?;
        needs.no_in_flight("is not known of a consumer group")?;
        let mut problems = Problems::default();
        if self.age_from.is_some() && needs.signal != Signal::Age {
            problems.push(Problem::key("ageFrom", "needs `signal: age`"));
        }
        if self.consumer_group.trim().is_empty() {
            problems.push(Problem::key("consumerGroup", "is empty"));
        }
        let has_topic = self.topic.is_some() || self.topics.is_some();
        self.check_flags(has_topic, &mut problems);
        let tolerance = i64::try_from(self.lag_tolerance.0).unwrap_or(i64::MAX);
        let rule = LagRule {
            threshold: self.lag_threshold,
            activation: self.activation_lag_threshold,
            reset: self.offset_reset_policy,
            zero_without_commit: self.scale_to_zero_on_invalid_offset,
            allow_idle_consumers: self.allow_idle_consumers,
            limit_to_partitions_with_lag: self.limit_to_partitions_with_lag,
            ensure_even_distribution: self.ensure_even_distribution_of_partitions,
            tolerance,
            exclude_persistent_after: self.exclude_persistent_lag.then(|| {
                self.persistent_lag_after
                    .map_or(PERSISTENT_AFTER, |span| span.0)
            }),
        };
        let measure = measure(needs.signal, self.age_from.unwrap_or_default(), &rule);
        let topics = match (self.topic, self.topics) {
            (Some(_), Some(_)) => Err(Problem::exclusive("topics", "topic")),
            (Some(topic), None) => named("topic", topic.names()),
            (None, Some(topics)) => named("topics", topics.0),
            (None, None) => Ok((TopicSelection::OfGroup, None)),
        };
        let (topics, readable) = match topics {
            Ok(topics) => topics,
            Err(problem) => {
                problems.push(problem);
                return Err(problems);
            }
        };
        let mut partitions = self.partition_limitation.unwrap_or_default();
        if !has_topic && !partitions.is_empty() {
            tracing::warn!(
                group = self.consumer_group,
                "partitionLimitation is ignored without a topic, as in KEDA"
            );
            partitions = PartitionList::default();
        }
        problems.into_result()?;
        let readable = readable.unwrap_or_else(|| format!("{}-topics", self.consumer_group));
        Ok(Plan {
            query: Query {
                group: self.consumer_group,
                topics,
                partitions,
                isolation: self.isolation_level,
                measure,
            },
            rule,
            target: self.lag_threshold,
            readable_name: format!("kafka-{readable}"),
        })
    }
}

impl<T> LagKeys<T> {
    /// KEDA's checks between keys (`kafkaMetadata.Validate`).
    fn check_flags(&self, has_topic: bool, problems: &mut Problems) {
        let limit = (
            "limitToPartitionsWithLag",
            self.limit_to_partitions_with_lag,
        );
        let even = (
            "ensureEvenDistributionOfPartitions",
            self.ensure_even_distribution_of_partitions,
        );
        let idle = ("allowIdleConsumers", self.allow_idle_consumers);
        for ((one, given), (other, beside)) in [(limit, idle), (even, limit)] {
            if given && beside {
                let reason = format!("cannot be combined with `{other}`");
                problems.push(Problem::key(one, reason));
            }
        }
        for (key, given) in [limit, even, ("fullMetadata: false", !self.full_metadata)] {
            if given && !has_topic {
                problems.push(Problem::key(key, "needs `topic` or `topics`"));
            }
        }
        match self.persistent_lag_after {
            Some(_) if !self.exclude_persistent_lag => {
                let reason = "needs `excludePersistentLag: true`";
                problems.push(Problem::key("persistentLagAfter", reason));
            }
            Some(Span(Duration::ZERO)) => {
                problems.push(Problem::value("persistentLagAfter", "0", "must be longer"));
            }
            _ => {}
        }
    }
}

/// What a signal needs to be measured.
fn measure(signal: Signal, age_from: AgeFrom, rule: &LagRule) -> Measure {
    match (signal, age_from) {
        (Signal::Backlog, _) => Measure::Lag,
        (Signal::DrainTime, _) => Measure::Progress,
        (Signal::Age, AgeFrom::Observed) => Measure::ObservedAge,
        (Signal::Age, AgeFrom::Record) => Measure::RecordAge(RecordReach {
            tolerance: rule.tolerance,
            from_start: rule.reset == OffsetReset::Earliest && !rule.zero_without_commit,
        }),
    }
}

/// The topics of a list, and the readable part of the metric's name.
fn named(key: &str, entries: Vec<String>) -> Result<(TopicSelection, Option<String>), Problem> {
    let (mut names, mut regexes) = (BTreeSet::new(), BTreeSet::new());
    let mut budget = Budget::default();
    for entry in &entries {
        let bad = |reason: String| Problem::value(key, entry, reason);
        if key == "topics" && entry.starts_with('^') {
            let error = |error: regex::Error| {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                bad(format!(
                    "is not a regex: {}",
                    last.trim_start_matches("error: ")
                ))
            };
            regexes.insert(TopicRegex::new(entry).map_err(error)?);
            continue;
        }
        let expanded = match key {
            "topics" => budget.expand(entry).map_err(bad)?,
            _ => vec![entry.clone()],
        };
        for name in expanded {
            check_topic(&name).map_err(bad)?;
            names.insert(name);
        }
    }
    Ok((
        TopicSelection::Named { names, regexes },
        Some(entries.join("-")),
    ))
}

#[cfg(test)]
mod tests;
