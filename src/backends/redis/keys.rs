//! The declared keys of a trigger: what to count, and the thresholds.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    config::Redis,
    query::{Measure, Query},
};
use crate::metadata::{
    patterns::Patterns,
    problem::{Problem, Problems},
    signal::{Needs, Signal},
    values::{Activation, NameList, Target},
};
use crate::sampling::{CountRule, Plan, TriggerKeys};

/// How long lists are, or sets, sorted sets and hashes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListKeys {
    /// The list whose entries wait; it may as well be a set, a sorted set or a hash. A missing one
    /// counts 0.
    list_name: Option<String>,
    /// Several of them, comma-separated, summed: names, globs (`jobs:*`) and ranges
    /// (`jobs-{0..31}`). Instead of `listName`.
    lists: Option<NameList>,
    /// Lists that hold what is taken but not finished, written like `lists`: added to the value,
    /// so that scaling down does not kill the work.
    processing_lists: Option<NameList>,
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
    fn query(&self) -> Result<(Query, String), Problems> {
        let mut problems = Problems::default();
        let waiting = match (&self.list_name, &self.lists) {
            (Some(name), None) => {
                let patterns = Patterns {
                    names: [name.clone()].into(),
                    ..Patterns::default()
                };
                Some((patterns, name.clone()))
            }
            (None, Some(lists)) => {
                let patterns = problems.keep(patterns("lists", lists));
                patterns.map(|patterns| (patterns, lists.0.join("-")))
            }
            (Some(_), Some(lists)) => {
                problems.push(Problem::exclusive("lists", "listName"));
                problems.keep(patterns("lists", lists));
                None
            }
            (None, None) => {
                problems.push(Problem::key("listName", "is required, or `lists`"));
                None
            }
        };
        let processing = match &self.processing_lists {
            Some(lists) => problems.keep(patterns("processingLists", lists)),
            None => Some(Patterns::default()),
        };
        match (waiting, processing) {
            (Some((waiting, readable)), Some(processing)) => {
                let query = Query::Lists {
                    waiting,
                    processing,
                };
                Ok((query, readable))
            }
            _ => Err(problems),
        }
    }
}

impl TriggerKeys<Redis> for ListKeys {
    fn check(self, needs: Needs) -> Result<Plan<Redis>, Problems> {
        let mut problems = Problems::default();
        let what = "a list, set, sorted set or hash, as its entries have no time";
        problems.keep(needs.supports(what, &[Signal::Backlog]));
        if self.processing_lists.is_none() {
            problems.keep(needs.no_in_flight("needs `processingLists`"));
        }
        let query = problems.keep(self.query());
        problems.into_result()?;
        let (query, readable) = query.expect("a missing query is a problem");
        Ok(Plan {
            query,
            rule: CountRule {
                activation: self.activation_list_length,
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
    /// The stream. A missing one counts 0.
    stream: String,
    /// The consumer group. Without one, the stream's length counts.
    consumer_group: Option<String>,
    /// With a group, counts the entries that it was not given yet, and is the wanted number of
    /// them per replica. Needs Redis 7.
    lag_count: Option<Target>,
    /// With a group and without `lagCount`, counts the entries that it was given and has not
    /// acknowledged, and is the wanted number of them per replica.
    #[serde(default = "five")]
    pending_entries_count: Target,
    /// Without a group: the wanted number of entries per replica.
    #[serde(default = "five")]
    stream_length: Target,
    /// The trigger is active above this many entries.
    #[serde(default)]
    activation_lag_count: Activation,
}

impl TriggerKeys<Redis> for StreamKeys {
    fn check(self, needs: Needs) -> Result<Plan<Redis>, Problems> {
        needs.supports("a stream", &[Signal::Backlog])?;
        needs.no_in_flight("is not known of a stream")?;
        // As in KEDA: the group decides, then lagCount.
        let (measure, target) = match (self.consumer_group, self.lag_count) {
            (None, None) => (Measure::Length, self.stream_length),
            (None, Some(_)) => {
                return Err(Problem::key("consumerGroup", "is required with `lagCount`").into());
            }
            (Some(group), Some(lag)) => (Measure::Lag { group }, lag),
            (Some(group), None) => (Measure::Pending { group }, self.pending_entries_count),
        };
        Ok(Plan {
            readable_name: format!("redis-streams-{}", self.stream),
            query: Query::Stream {
                stream: self.stream,
                measure,
            },
            rule: CountRule {
                activation: self.activation_lag_count,
            },
            target,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::tests::keys;

    fn plan(trigger_type: &str, keys: &[(&str, &str)]) -> Result<Plan<Redis>, String> {
        keys::plan::<Redis>(trigger_type, keys).map_err(|problems| problems.to_string())
    }

    fn problems(trigger_type: &str, keys: &[(&str, &str)]) -> String {
        plan(trigger_type, keys).err().expect("the keys are wrong")
    }

    #[test]
    fn lists_become_one_query_with_its_thresholds() {
        let keys = [
            ("lists", "jobs-{0..1}, mail:*"),
            ("processingLists", "taken"),
            ("listLength", "7"),
            ("activationListLength", "3"),
        ];
        let plan = plan("redis", &keys).unwrap();
        assert_eq!(
            plan.query.to_string(),
            "length of jobs-0, jobs-1, mail:* and in processing taken"
        );
        assert_eq!(
            (plan.target, plan.rule.activation),
            (Target(7), Activation(3))
        );
        assert_eq!(plan.readable_name, "redis-jobs-{0..1}-mail:*");
    }

    #[test]
    fn every_problem_of_a_list_trigger_is_reported_at_once() {
        let keys = [
            ("listName", "jobs"),
            ("lists", "jobs-{2..1}"),
            ("processingLists", "taken-{a..b}"),
        ];
        assert_eq!(
            problems("redis", &keys),
            "lists: is mutually exclusive with `listName`; \
             lists: `jobs-{2..1}` has the range {2..1}, which is reversed; it must be {a..b} with \
             0 ≤ a ≤ b; \
             processingLists: `taken-{a..b}` has the range {a..b}, which is not numeric; it must \
             be {a..b} with 0 ≤ a ≤ b"
        );
        assert_eq!(problems("redis", &[]), "listName: is required, or `lists`");
    }

    #[test]
    fn the_group_and_then_lag_count_decide_what_of_a_stream_counts() {
        let measure = |keys: &[(&str, &str)]| {
            let stream = [("stream", "orders")];
            let plan = plan("redis-streams", &[&stream, keys].concat()).unwrap();
            (plan.query.to_string(), plan.target)
        };
        let group = ("consumerGroup", "billing");
        assert_eq!(
            measure(&[("streamLength", "9")]),
            ("length of stream orders".to_owned(), Target(9))
        );
        assert_eq!(
            measure(&[group, ("lagCount", "8"), ("pendingEntriesCount", "9")]),
            (
                "lag of group billing in stream orders".to_owned(),
                Target(8)
            )
        );
        let (query, target) = measure(&[group]);
        assert_eq!(query, "pending entries of group billing in stream orders");
        assert_eq!(target, Target(5));
        assert_eq!(
            problems("redis-streams", &[("stream", "orders"), ("lagCount", "1")]),
            "consumerGroup: is required with `lagCount`"
        );
    }
}
