//! The declared keys of a trigger: what to count, and the thresholds.

mod layout;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    config::Redis,
    layouts::Layout,
    query::{Lists, Measure, Query},
    rule::EntryRule,
    unix_time::ScoreScale,
};
use crate::metadata::{
    patterns::Patterns,
    problem::{Problem, Problems},
    signal::{Needs, Signal},
    values::{Activation, NameList, Target, words},
};
use crate::sampling::{Plan, TriggerKeys};

/// What the scores of sorted sets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    /// When a member is due.
    Time,
}

words!(Scores: "time", "time" => Time);

/// The unit of scores that are times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScoreUnit {
    #[default]
    Seconds,
    Milliseconds,
}

words!(ScoreUnit: "seconds or milliseconds",
    "seconds" => Seconds,
    "milliseconds" => Milliseconds);

/// How long lists are, or sets, sorted sets and hashes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListKeys {
    /// The list of waiting entries; it may also be a set, a sorted set or a hash. A list that does not
    /// exist counts 0.
    list_name: Option<String>,
    /// Several lists, comma-separated, whose lengths are added up: names, globs (`jobs:*`) and ranges
    /// (`jobs-{0..31}`). Instead of `listName`.
    lists: Option<NameList>,
    /// Lists of entries that are taken but not finished, in the format of `lists`. They are added to
    /// the value, so that scaling down does not kill work in progress.
    processing_lists: Option<NameList>,
    /// With `time`, the scores of the sorted sets among these lists are Unix times, and only
    /// members that are due count: delayed and scheduled jobs. By default, all members count.
    scores: Option<Scores>,
    /// With `scores: time`, the unit of the scores. By default, seconds.
    score_unit: Option<ScoreUnit>,
    /// The library that keeps its queues in Redis: `bullmq`, `celery`, `sidekiq` or `rq`.
    /// Counts the jobs of `queue` that wait, are due, or are taken and unfinished, wherever the library
    /// keeps them. Instead of `listName` and the other keys for lists.
    layout: Option<Layout>,
    /// With `layout`, the queue's name in that library; or several, comma-separated and added up, with
    /// ranges (`tenant-{0..31}`).
    queue: Option<NameList>,
    /// With `layout`, the prefix of the library's keys. By default, `bull` for BullMQ, `rq` for RQ,
    /// and nothing for Celery (`global_keyprefix`) and Sidekiq (a namespace).
    prefix: Option<String>,
    /// With `layout`, adds what the library keeps in one place for all queues of the database:
    /// Celery's `unacked`, and the due jobs in Sidekiq's `schedule` and `retry`.
    #[serde(default)]
    shared_keys: bool,
    /// The wanted number of entries per replica.
    #[serde(default = "five")]
    list_length: Target,
    /// The trigger is active above this many entries.
    #[serde(default)]
    activation_list_length: Activation,
}

fn five() -> Target {
    Target(5)
}

impl ListKeys {
    /// What to count, with the readable part of the metric's name.
    fn checked_query(&self, needs: Needs) -> Result<(Query, String), Problems> {
        if let Some(layout) = self.layout {
            return self.layout_query(layout, needs);
        }
        let mut problems = Problems::default();
        problems.keep(self.without_layout());
        problems.keep(self.check_signal(needs));
        if self.processing_lists.is_none() {
            problems.keep(needs.no_in_flight("needs `processingLists`"));
        }
        let query = problems.keep(self.query(needs.signal));
        problems.into_result()?;
        Ok(query.expect("a missing query is a problem"))
    }

    fn query(&self, signal: Signal) -> Result<(Query, String), Problems> {
        let mut problems = Problems::default();
        let waiting = problems.keep(self.waiting());
        let scores = problems.keep(self.scale());
        let processing = match &self.processing_lists {
            Some(lists) => problems.keep(patterns("processingLists", lists)),
            None => Some(Patterns::default()),
        };
        match (waiting, scores, processing) {
            (Some((waiting, readable)), Some(scores), Some(processing)) => {
                let lists = Lists {
                    waiting,
                    scores,
                    processing,
                    signal,
                    ..Lists::default()
                };
                Ok((Query::Lists(lists), readable))
            }
            _ => Err(problems),
        }
    }

    /// What waits, with the readable part of the metric's name.
    fn waiting(&self) -> Result<(Patterns, String), Problems> {
        match (&self.list_name, &self.lists) {
            (Some(name), None) => {
                let patterns = Patterns {
                    names: [name.clone()].into(),
                    ..Patterns::default()
                };
                Ok((patterns, name.clone()))
            }
            (None, Some(lists)) => Ok((patterns("lists", lists)?, lists.0.join("-"))),
            (Some(_), Some(lists)) => {
                let mut problems = Problems::from(Problem::exclusive("lists", "listName"));
                problems.keep(patterns("lists", lists));
                Err(problems)
            }
            (None, None) => {
                Err(Problem::key("listName", "is required, or `lists`, or `layout`").into())
            }
        }
    }

    /// The unit is never guessed from the scores: what is due would depend on it.
    fn scale(&self) -> Result<Option<ScoreScale>, Problem> {
        match (self.scores, self.score_unit) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Problem::key("scoreUnit", "needs `scores: time`")),
            (Some(Scores::Time), unit) => Ok(Some(match unit.unwrap_or_default() {
                ScoreUnit::Seconds => ScoreScale::Seconds,
                ScoreUnit::Milliseconds => ScoreScale::Milliseconds,
            })),
        }
    }

    fn check_signal(&self, needs: Needs) -> Result<(), Problem> {
        match (needs.signal, self.scores) {
            (Signal::Age, None) => {
                let reason = "is not known of a list, as its entries have no time in them; it is \
                              known of sorted sets with `scores: time`, and of streams";
                Err(Problem::value("signal", needs.signal.to_string(), reason))
            }
            (_, None) => needs.supports("a list, set, sorted set or hash", &[Signal::Backlog]),
            (_, Some(Scores::Time)) => {
                needs.supports("a sorted set", &[Signal::Backlog, Signal::Age])
            }
        }
    }
}

impl TriggerKeys<Redis> for ListKeys {
    fn check(self, needs: Needs) -> Result<Plan<Redis>, Problems> {
        let (query, readable) = self.checked_query(needs)?;
        Ok(Plan {
            query,
            rule: EntryRule {
                activation: self.activation_list_length,
                adds_processing: true,
            },
            target: self.list_length,
            readable_name: format!("redis-{readable}"),
        })
    }
}

fn patterns(key: &str, list: &NameList) -> Result<Patterns, Problem> {
    let entries = list.0.iter().map(String::as_str);
    Patterns::parse(entries).map_err(|reason| Problem::value(key, list.0.join(","), reason))
}

/// How much of a stream waits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamKeys {
    /// The stream. One that does not exist counts 0.
    stream: String,
    /// The consumer group. Without one, the stream's length counts.
    consumer_group: Option<String>,
    /// With a group, counts the entries not yet delivered to it, and is the wanted number of them
    /// per replica. Needs Redis 7.
    lag_count: Option<Target>,
    /// With a group and without `lagCount`, counts the entries delivered but not acknowledged,
    /// and is the wanted number of them per replica.
    #[serde(default = "five")]
    pending_entries_count: Target,
    /// Without a group: the wanted number of entries per replica.
    #[serde(default = "five")]
    stream_length: Target,
    /// With `lagCount`, also counts the entries delivered but not acknowledged, so that scaling down
    /// does not kill work in progress.
    #[serde(default)]
    include_pending: bool,
    /// The trigger is active above this many entries.
    #[serde(default)]
    activation_lag_count: Activation,
}

impl TriggerKeys<Redis> for StreamKeys {
    fn check(self, needs: Needs) -> Result<Plan<Redis>, Problems> {
        // As in KEDA: the group decides, then lagCount.
        let (measure, target) = match (self.consumer_group, self.lag_count) {
            (None, None) => (Measure::Length, self.stream_length),
            (None, Some(_)) => {
                return Err(Problem::key("consumerGroup", "is required with `lagCount`").into());
            }
            (Some(group), Some(lag)) => (Measure::Lag { group }, lag),
            (Some(group), None) => (Measure::Pending { group }, self.pending_entries_count),
        };
        let mut problems = Problems::default();
        if !matches!(measure, Measure::Lag { .. }) {
            let what = "a stream without `lagCount`";
            problems.keep(needs.supports(what, &[Signal::Backlog, Signal::Age]));
            problems.keep(needs.no_in_flight("needs `lagCount`"));
            if self.include_pending {
                problems.push(Problem::key("includePending", "needs `lagCount`"));
            }
        }
        problems.into_result()?;
        Ok(Plan {
            readable_name: format!("redis-streams-{}", self.stream),
            query: Query::Stream {
                stream: self.stream,
                measure,
                signal: needs.signal,
            },
            rule: EntryRule {
                activation: self.activation_lag_count,
                adds_processing: self.include_pending,
            },
            target,
        })
    }
}

#[cfg(test)]
mod tests;
