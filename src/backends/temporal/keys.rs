//! The declared keys that say what to count.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;
use tracing::warn;

use super::{
    Temporal,
    query::{BacklogRule, BuildIds, Of, Query, QueueType, Running, Types, Version},
};
use crate::metadata::{
    patterns::Patterns,
    problem::{Problem, Problems},
    schema::nearest,
    values::{Activation, NameList, Target, TextValue, text_value},
};
use crate::sampling::{Plan, TriggerKeys};

/// Queue types as users list them.
#[derive(Clone, Debug)]
struct QueueTypes(BTreeSet<QueueType>);

impl TextValue for QueueTypes {
    const ALLOWED: &'static str = "a comma-separated list of workflow, activity and nexus";

    fn parse(text: &str) -> Result<Self, String> {
        let parse = |word: &str| {
            let found = QueueType::ALL.into_iter().find(|t| t.name() == word);
            found.ok_or_else(|| {
                let known = QueueType::ALL.map(QueueType::name);
                let hint = nearest(word, known).map(|near| format!("; did you mean `{near}`?"));
                format!("must be {}{}", Self::ALLOWED, hint.unwrap_or_default())
            })
        };
        let types: Result<_, _> = text.split(',').map(|word| parse(word.trim())).collect();
        types.map(QueueTypes)
    }
}
text_value!(QueueTypes);

/// How much of a task queue waits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskQueueKeys {
    /// The task queue. One that does not exist counts 0.
    task_queue: Option<String>,
    /// Several of them, comma-separated, summed: names and ranges (`orders-tenant-{0..31}`).
    /// Instead of `taskQueue`.
    task_queues: Option<NameList>,
    /// Which types of tasks count. Left out, all of them, and a type that a queue does not use is
    /// asked rarely; a type named here is asked every time.
    queue_types: Option<QueueTypes>,
    /// The wanted number of tasks per replica.
    #[serde(default = "five")]
    target_queue_size: Target,
    /// The trigger is active above this many tasks.
    #[serde(default)]
    activation_target_queue_size: Activation,
    /// Counts only the tasks of one version of this worker deployment. Needs
    /// `workerDeploymentBuildId`.
    worker_deployment_name: Option<String>,
    /// The build id of that version. Needs `workerDeploymentName`.
    worker_deployment_build_id: Option<String>,
    /// Deprecated by Temporal: counts only the tasks of this build id. Use `workerDeploymentName`
    /// and `workerDeploymentBuildId`.
    build_id: Option<String>,
    /// Deprecated by Temporal: counts the tasks of all active build ids.
    #[serde(default)]
    select_all_active: bool,
    /// Deprecated by Temporal: counts the tasks that have no build id.
    #[serde(default)]
    select_unversioned: bool,
    /// Keeps the trigger active while workflows run, whatever the backlog. The value stays the
    /// backlog.
    #[serde(default)]
    include_running_workflow_count: bool,
    /// The task queue of those workflows, where it is not the one that is counted (activity
    /// workers). Needs `includeRunningWorkflowCount`.
    workflow_task_queue_for_count: Option<String>,
}

fn five() -> Target {
    Target(5)
}

impl TriggerKeys<Temporal> for TaskQueueKeys {
    fn check(self) -> Result<Plan<Temporal>, Problems> {
        let mut problems = Problems::default();
        let (queues, readable) = match self.queues() {
            Ok(queues) => queues,
            Err(problem) => {
                problems.push(problem);
                Default::default()
            }
        };
        let of = self.of(&mut problems);
        let running = self.running(&queues, &of, &mut problems);
        problems.into_result()?;
        let readable = match &of {
            Of::Version(version) => format!("{readable}-{version}"),
            _ => readable,
        };
        Ok(Plan {
            query: Query {
                queues,
                types: self.queue_types.map_or(Types::All, |t| Types::Named(t.0)),
                of,
                running,
            },
            rule: BacklogRule {
                activation: self.activation_target_queue_size,
            },
            target: self.target_queue_size,
            readable_name: readable,
        })
    }
}

impl TaskQueueKeys {
    /// The queues, and how the user wrote them.
    fn queues(&self) -> Result<(Patterns, String), Problem> {
        let (key, entries, queues) = match (&self.task_queue, &self.task_queues) {
            (Some(name), None) => {
                let names = [name.clone()].into();
                let globs = BTreeSet::new();
                ("taskQueue", name.clone(), Patterns { names, globs })
            }
            (None, Some(list)) => {
                let written = list.0.join(",");
                let queues = Patterns::parse(list.0.iter().map(String::as_str))
                    .map_err(|reason| Problem::value("taskQueues", &written, reason))?;
                ("taskQueues", written, queues)
            }
            (Some(_), Some(_)) => {
                let reason = "is mutually exclusive with `taskQueue`";
                return Err(Problem::key("taskQueues", reason));
            }
            (None, None) => {
                return Err(Problem::key("taskQueue", "is required, or `taskQueues`"));
            }
        };
        if let Some(glob) = queues.globs.first() {
            let reason = "is a glob, but Temporal cannot list task queues; \
                          name them, or use a range (orders-{0..31})";
            return Err(Problem::value(key, glob, reason));
        }
        queues
            .names
            .iter()
            .try_for_each(|name| check_name(key, name))?;
        Ok((queues, entries.replace(',', "-")))
    }

    fn of(&self, problems: &mut Problems) -> Of {
        let build_ids = BuildIds {
            build_id: self.build_id.clone(),
            all_active: self.select_all_active,
            unversioned: self.select_unversioned,
        };
        let deprecated = [
            ("buildId", build_ids.build_id.is_some()),
            ("selectAllActive", build_ids.all_active),
            ("selectUnversioned", build_ids.unversioned),
        ];
        let deprecated = deprecated.into_iter().filter(|(_, given)| *given);
        let deprecated: Vec<&str> = deprecated.map(|(key, _)| key).collect();
        let (name, build) = ("workerDeploymentName", "workerDeploymentBuildId");
        match (
            &self.worker_deployment_name,
            &self.worker_deployment_build_id,
        ) {
            (Some(_), None) => {
                problems.push(Problem::key(build, format!("is required with `{name}`")));
            }
            (None, Some(_)) => {
                problems.push(Problem::key(name, format!("is required with `{build}`")));
            }
            (Some(deployment), Some(build_id)) => {
                for key in deprecated {
                    let reason = format!("cannot be used with `{name}`, which replaces it");
                    problems.push(Problem::key(key, reason));
                }
                let (deployment, build_id) = (deployment.clone(), build_id.clone());
                return Of::Version(Version {
                    deployment,
                    build_id,
                });
            }
            (None, None) if deprecated.is_empty() => {}
            (None, None) => {
                warn!(
                    keys = deprecated.join(", "),
                    task_queue = self.task_queue,
                    "deprecated by Temporal and removed from KEDA: use {name} and {build}, \
                     or none of them for workers without versions"
                );
                return Of::BuildIds(build_ids);
            }
        }
        Of::Queue
    }

    fn running(&self, queues: &Patterns, of: &Of, problems: &mut Problems) -> Option<Running> {
        const FOR_COUNT: &str = "workflowTaskQueueForCount";
        if !self.include_running_workflow_count {
            if self.workflow_task_queue_for_count.is_some() {
                let reason = "has no effect without `includeRunningWorkflowCount: true`";
                problems.push(Problem::key(FOR_COUNT, reason));
            }
            return None;
        }
        let named = match &self.workflow_task_queue_for_count {
            Some(name) => vec![(FOR_COUNT, name)],
            None => {
                let key = self
                    .task_queue
                    .as_ref()
                    .map_or("taskQueues", |_| "taskQueue");
                queues.names.iter().map(|name| (key, name)).collect()
            }
        };
        let version = match of {
            Of::Version(version) => vec![
                ("workerDeploymentName", &version.deployment),
                ("workerDeploymentBuildId", &version.build_id),
            ],
            _ => Vec::new(),
        };
        let bad = named.into_iter().chain(version);
        if let Some((key, value)) = bad.into_iter().find(|(_, value)| !is_literal(value)) {
            let reason = "cannot be part of a visibility query, which \
                          `includeRunningWorkflowCount` needs; allowed are letters, digits and _ . / : -";
            problems.push(Problem::value(key, value, reason));
        }
        Some(Running {
            queue: self.workflow_task_queue_for_count.clone(),
            unless_above: self.activation_target_queue_size.0,
        })
    }
}

/// The server's limit of names, `limit.maxIDLength`, by default.
const LONGEST_NAME: usize = 1000;

fn check_name(key: &str, name: &str) -> Result<(), Problem> {
    let reason = if name.trim().is_empty() {
        "is empty; it must be the name of a task queue"
    } else if name.starts_with("/_sys/") {
        "is the name of a partition; use the task queue's own, which stands for all of them"
    } else if name.len() > LONGEST_NAME {
        "is longer than the 1000 bytes that a task queue's name may have"
    } else if name.contains(char::is_control) {
        "has control characters"
    } else {
        return Ok(());
    };
    Err(Problem::value(key, name, reason))
}

/// Visibility queries have no parameters: what is put into one must not be able to end a literal.
pub fn is_literal(value: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | ':' | '-');
    !value.is_empty() && value.chars().all(good)
}

#[cfg(test)]
mod tests;
