//! The keys that declare what to count, and the query and rule that they become.

mod names;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;
use tracing::warn;

use names::{check_literal, check_literals, check_queue, parse_list};

use super::{
    config::Temporal,
    query::{
        BuildIdSelection, DeploymentVersion, InFlight, Query, QueueType, RunningCheck,
        TaskSelection, TypeSelection,
    },
    rule::BacklogRule,
};
use crate::metadata::{
    patterns::Patterns,
    problem::{Problem, Problems},
    schema::nearest,
    signal::{Needs, Signal},
    values::{Activation, NameList, Target, TextValue, not_allowed, text_value, words},
};
use crate::sampling::{Plan, TriggerKeys};

/// Queue types as users list them.
#[derive(Clone, Debug)]
struct QueueTypes(BTreeSet<QueueType>);

impl TextValue for QueueTypes {
    const ALLOWED: &'static str = "a comma-separated list of workflow, activity and nexus";

    fn parse(text: &str) -> Result<Self, String> {
        let types = text.split(',').map(|word| parse_type(word.trim()));
        types.collect::<Result<_, _>>().map(QueueTypes)
    }
}
text_value!(QueueTypes);

fn parse_type(word: &str) -> Result<QueueType, String> {
    QueueType::parse(word).map_err(|_| {
        let known = QueueType::ALL.map(|queue_type| queue_type.to_string());
        let reason = not_allowed::<QueueTypes>();
        match nearest(word, known.iter().map(String::as_str)) {
            Some(near) => format!("{reason}; did you mean `{near}`?"),
            None => reason,
        }
    })
}

/// What users name as work in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum InFlightWork {
    #[default]
    Workflows,
    Workers,
}

words!(InFlightWork: "workflows or workers",
    "workflows" => Workflows,
    "workers" => Workers,
);

/// What to count, and the thresholds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskQueueKeys {
    /// The task queue. One that does not exist counts 0.
    task_queue: Option<String>,
    /// Several task queues, comma-separated, added up: names and ranges (`orders-tenant-{0..31}`).
    /// Instead of `taskQueue`.
    task_queues: Option<NameList>,
    /// Which types of tasks count. By default, all of them; while the rate limit is reached, a type that
    /// a queue does not use is read only once a minute. A type named here is read every time.
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
    /// The task queue of those workflows, if it differs from the one that is counted (activity
    /// workers). Needs `includeRunningWorkflowCount`, or `minimumWhileInFlight` with workflows.
    workflow_task_queue_for_count: Option<String>,
    /// What `minimumWhileInFlight` counts as work in flight: running `workflows`, or the slots that
    /// `workers` have in use, from their SDKs' heartbeats (server 1.30). By default, workflows.
    in_flight: Option<InFlightWork>,
}

fn five() -> Target {
    Target(5)
}

const DEPLOYMENT: &str = "workerDeploymentName";
const BUILD: &str = "workerDeploymentBuildId";
const COUNTED_QUEUE: &str = "workflowTaskQueueForCount";
const IN_FLIGHT: &str = "inFlight";
const MINIMUM: &str = "minimumWhileInFlight";

impl TriggerKeys<Temporal> for TaskQueueKeys {
    fn check(self, needs: Needs) -> Result<Plan<Temporal>, Problems> {
        let signals = [Signal::Backlog, Signal::Age, Signal::DrainTime];
        needs.supports("a task queue", &signals)?;
        let mut problems = Problems::default();
        let queues = problems.keep(self.queues()).unwrap_or_default();
        let tasks = problems.keep(self.tasks());
        let version = match &tasks {
            Some(TaskSelection::Version(version)) => Some(version),
            _ => None,
        };
        let running = problems.keep(self.running(&queues, version));
        let in_flight = problems.keep(self.in_flight(needs, &queues, tasks.as_ref()));
        problems.keep(self.counted_queue_is_used(needs));
        let (Some(tasks), Some(running), Some(in_flight)) = (&tasks, running, in_flight) else {
            return Err(problems);
        };
        problems.into_result()?;
        let readable_name = match tasks {
            TaskSelection::Version(version) => format!("{}-{version}", self.readable_queues()),
            _ => self.readable_queues(),
        };
        Ok(Plan {
            query: Query {
                queues,
                types: match self.queue_types {
                    None => TypeSelection::All,
                    Some(named) => TypeSelection::Named(named.0),
                },
                tasks: tasks.clone(),
                running,
                in_flight,
            },
            rule: BacklogRule {
                activation: self.activation_target_queue_size,
            },
            target: self.target_queue_size,
            readable_name,
        })
    }
}

impl TaskQueueKeys {
    fn queues(&self) -> Result<Patterns, Problems> {
        let (key, queues) = match (&self.task_queue, &self.task_queues) {
            // Not a pattern: `*` is a character like any other in the name of a task queue.
            (Some(name), None) => {
                let names = [name.clone()].into();
                let globs = BTreeSet::new();
                ("taskQueue", Patterns { names, globs })
            }
            (None, Some(list)) => ("taskQueues", parse_list(list)?),
            (Some(_), Some(_)) => {
                return Err(Problem::exclusive("taskQueues", "taskQueue").into());
            }
            (None, None) => {
                return Err(Problem::key("taskQueue", "is required, or `taskQueues`").into());
            }
        };
        let mut problems = Problems::default();
        for glob in &queues.globs {
            let reason = "is a glob, but Temporal cannot list task queues; \
                          name them, or use a range (orders-{0..31})";
            problems.push(Problem::value(key, glob, reason));
        }
        for name in &queues.names {
            problems.keep(check_queue(key, name));
        }
        problems.into_result().map(|()| queues)
    }

    /// The queues as the user wrote them.
    fn readable_queues(&self) -> String {
        let list = || self.task_queues.as_ref().map(|list| list.0.join("-"));
        let name = self.task_queue.clone().or_else(list);
        name.unwrap_or_default().replace(',', "-")
    }

    fn tasks(&self) -> Result<TaskSelection, Problems> {
        match (
            &self.worker_deployment_name,
            &self.worker_deployment_build_id,
        ) {
            (Some(deployment), Some(build_id)) => {
                let mut problems = Problems::default();
                for key in self.deprecated() {
                    let reason = format!("cannot be used with `{DEPLOYMENT}`, which replaces it");
                    problems.push(Problem::key(key, reason));
                }
                let version = DeploymentVersion {
                    deployment: deployment.clone(),
                    build_id: build_id.clone(),
                };
                let selection = TaskSelection::Version(version);
                problems.into_result().map(|()| selection)
            }
            (Some(_), None) => {
                let reason = format!("is required with `{DEPLOYMENT}`");
                Err(Problem::key(BUILD, reason).into())
            }
            (None, Some(_)) => {
                let reason = format!("is required with `{BUILD}`");
                Err(Problem::key(DEPLOYMENT, reason).into())
            }
            (None, None) => Ok(self.unversioned_tasks()),
        }
    }

    /// Without a worker deployment: all tasks, or those of the deprecated selectors.
    fn unversioned_tasks(&self) -> TaskSelection {
        let deprecated = self.deprecated();
        if deprecated.is_empty() {
            return TaskSelection::All;
        }
        warn!(
            keys = deprecated.join(", "),
            task_queue = self.task_queue,
            "deprecated by Temporal and removed from KEDA: use {DEPLOYMENT} and {BUILD}, or none of \
             them for workers without versions"
        );
        TaskSelection::BuildIds(BuildIdSelection {
            build_id: self.build_id.clone(),
            all_active: self.select_all_active,
            unversioned: self.select_unversioned,
        })
    }

    /// The deprecated keys that are given.
    fn deprecated(&self) -> Vec<&'static str> {
        let keys = [
            ("buildId", self.build_id.is_some()),
            ("selectAllActive", self.select_all_active),
            ("selectUnversioned", self.select_unversioned),
        ];
        let given = keys.into_iter().filter(|(_, given)| *given);
        given.map(|(key, _)| key).collect()
    }

    /// Whether running workflows keep the trigger active.
    fn running(
        &self,
        queues: &Patterns,
        version: Option<&DeploymentVersion>,
    ) -> Result<Option<RunningCheck>, Problems> {
        if !self.include_running_workflow_count {
            return Ok(None);
        }
        self.check_counted("includeRunningWorkflowCount", queues, version)?;
        Ok(Some(RunningCheck {
            queue: self.workflow_task_queue_for_count.clone(),
            unless_above: self.activation_target_queue_size.0,
        }))
    }

    /// What counts as work in flight, where its number is needed.
    fn in_flight(
        &self,
        needs: Needs,
        queues: &Patterns,
        tasks: Option<&TaskSelection>,
    ) -> Result<Option<InFlight>, Problems> {
        if !needs.in_flight {
            let reason = "has no effect without `minimumWhileInFlight`";
            return match self.in_flight {
                None => Ok(None),
                Some(_) => Err(Problem::key(IN_FLIGHT, reason).into()),
            };
        }
        let version = match tasks {
            Some(TaskSelection::Version(version)) => Some(version),
            _ => None,
        };
        match self.in_flight.unwrap_or_default() {
            InFlightWork::Workflows => {
                self.check_counted(MINIMUM, queues, version)?;
                let queue = self.workflow_task_queue_for_count.clone();
                Ok(Some(InFlight::Workflows { queue }))
            }
            InFlightWork::Workers => {
                if let Some(TaskSelection::BuildIds(_)) = tasks {
                    let reason = "is not known of build ids; use `workerDeploymentName`";
                    return Err(Problem::value(IN_FLIGHT, "workers", reason).into());
                }
                self.check_names(MINIMUM, queues, version)?;
                Ok(Some(InFlight::WorkerSlots))
            }
        }
    }

    /// Checks the names of a count of workflows.
    fn check_counted(
        &self,
        needed_by: &str,
        queues: &Patterns,
        version: Option<&DeploymentVersion>,
    ) -> Result<(), Problems> {
        let Some(queue) = &self.workflow_task_queue_for_count else {
            return self.check_names(needed_by, queues, version);
        };
        let mut problems = Problems::default();
        problems.keep(check_literal(COUNTED_QUEUE, queue, needed_by));
        problems.keep(check_version(version, needed_by));
        problems.into_result()
    }

    /// Checks the names of the task queues and of the version for a query.
    fn check_names(
        &self,
        needed_by: &str,
        queues: &Patterns,
        version: Option<&DeploymentVersion>,
    ) -> Result<(), Problems> {
        let mut problems = Problems::default();
        match &self.task_queue {
            Some(queue) => problems.keep(check_literal("taskQueue", queue, needed_by)),
            None => problems.keep(check_literals("taskQueues", &queues.names, needed_by)),
        };
        problems.keep(check_version(version, needed_by));
        problems.into_result()
    }

    fn counted_queue_is_used(&self, needs: Needs) -> Result<(), Problem> {
        let counts_workflows =
            needs.in_flight && self.in_flight.unwrap_or_default() == InFlightWork::Workflows;
        let is_used = self.include_running_workflow_count || counts_workflows;
        match &self.workflow_task_queue_for_count {
            Some(_) if !is_used => {
                let reason = "has no effect without `includeRunningWorkflowCount: true`, or \
                              `minimumWhileInFlight` with `inFlight: workflows`";
                Err(Problem::key(COUNTED_QUEUE, reason))
            }
            _ => Ok(()),
        }
    }
}

fn check_version(version: Option<&DeploymentVersion>, needed_by: &str) -> Result<(), Problems> {
    let mut problems = Problems::default();
    if let Some(version) = version {
        problems.keep(check_literal(DEPLOYMENT, &version.deployment, needed_by));
        problems.keep(check_literal(BUILD, &version.build_id, needed_by));
    }
    problems.into_result()
}

#[cfg(test)]
mod tests;
