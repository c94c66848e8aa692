//! What is counted, what a count found, and how a trigger evaluates it.

use std::{collections::BTreeSet, fmt};

use tokio::time::Instant;

use crate::{
    metadata::{
        patterns::Patterns,
        values::{Activation, words},
    },
    sampling::{BatchQuery, QueriedName, Reading, Rule},
};

/// One query of a batch.
pub type PendingQuery = BatchQuery<Query, Backlog>;

/// What to count.
///
/// Its `Display` is part of the hash in a metric's name: another text is another metric.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    /// The task queues, summed. Plain names: Temporal has no globs.
    pub queues: Patterns,
    pub types: TypeSelection,
    pub tasks: TaskSelection,
    /// Whether running workflows keep the trigger active.
    pub running: Option<RunningCheck>,
}

/// A type of tasks. Every name of a task queue stands for one queue of each type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QueueType {
    Workflow,
    Activity,
    Nexus,
}

words!(QueueType: "workflow, activity or nexus",
    "workflow" => Workflow,
    "activity" => Activity,
    "nexus" => Nexus,
);

impl QueueType {
    pub const ALL: [QueueType; 3] = [QueueType::Workflow, QueueType::Activity, QueueType::Nexus];
}

/// Which types count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TypeSelection {
    /// All. Those that a queue does not use are left out now and then.
    All,
    /// Those that the user named: read every time.
    Named(BTreeSet<QueueType>),
}

impl TypeSelection {
    pub fn contains(&self, queue_type: QueueType) -> bool {
        match self {
            TypeSelection::All => true,
            TypeSelection::Named(named) => named.contains(&queue_type),
        }
    }
}

/// Whose tasks count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TaskSelection {
    /// All tasks of the queues.
    All,
    /// Those of one version of a worker deployment.
    Version(DeploymentVersion),
    /// Those of build ids, by the deprecated rules-based versioning.
    BuildIds(BuildIdSelection),
}

/// A version of a worker deployment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeploymentVersion {
    pub deployment: String,
    pub build_id: String,
}

impl fmt::Display for DeploymentVersion {
    /// As the server writes it, also into the search attribute `TemporalWorkerDeploymentVersion`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.deployment, self.build_id)
    }
}

/// The deprecated selectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BuildIdSelection {
    pub build_id: Option<String>,
    pub all_active: bool,
    pub unversioned: bool,
}

/// When running workflows are counted, and on which task queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunningCheck {
    /// The workflows' task queue, where it is not the one whose backlog counts.
    pub queue: Option<String>,
    /// A backlog above this keeps the trigger active by itself, so that nothing needs to be counted:
    /// a server allows few visibility counts (10 a second for a whole namespace, by default).
    pub unless_above: u64,
}

impl Query {
    /// The task queues that are read.
    pub fn names(&self) -> Vec<QueriedName<'_>> {
        let running = self.running.as_ref();
        let of_running = running.and_then(|running| running.queue.as_ref());
        let queues = self.queues.names.iter().chain(of_running);
        queues.map(|queue| QueriedName::Exact(queue)).collect()
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Query {
            queues,
            types,
            tasks,
            running,
        } = self;
        if let TypeSelection::Named(named) = types {
            let named: Vec<String> = named.iter().map(QueueType::to_string).collect();
            write!(f, "{} ", named.join(" and "))?;
        }
        write!(f, "backlog of task queue {queues}")?;
        match tasks {
            TaskSelection::All => {}
            TaskSelection::Version(version) => write!(f, ", version {version}")?,
            TaskSelection::BuildIds(build_ids) => write!(f, ", {build_ids}")?,
        }
        match running {
            None => Ok(()),
            Some(RunningCheck { queue: None, .. }) => f.write_str(" with its running workflows"),
            Some(RunningCheck {
                queue: Some(queue), ..
            }) => write!(f, " with the running workflows of {queue}"),
        }
    }
}

impl fmt::Display for BuildIdSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let build_id = self.build_id.iter().map(|id| format!("build id {id}"));
        let all_active = self.all_active.then(|| "all active".to_owned());
        let unversioned = self.unversioned.then(|| "unversioned".to_owned());
        let selected: Vec<String> = build_id.chain(all_active).chain(unversioned).collect();
        f.write_str(&selected.join(" and "))
    }
}

/// What a query counted: tasks that wait, by type, and what else keeps a trigger active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Workflow tasks.
    pub workflow: u64,
    /// Activity tasks.
    pub activity: u64,
    /// Nexus tasks. No server counts them so far.
    pub nexus: u64,
    /// Workflows that run, whether or not a task waits.
    pub running: RunningWorkflows,
}

/// Whether work is under way that the backlog does not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunningWorkflows {
    /// Not requested, or not needed: the backlog alone keeps the trigger active.
    #[default]
    NotCounted,
    /// This many, at least.
    AtLeast(u64),
    /// The version has pinned workflows that have not ended.
    Draining,
}

impl Backlog {
    pub fn add(&mut self, queue_type: QueueType, tasks: u64) {
        let sum = match queue_type {
            QueueType::Workflow => &mut self.workflow,
            QueueType::Activity => &mut self.activity,
            QueueType::Nexus => &mut self.nexus,
        };
        *sum = sum.saturating_add(tasks);
    }

    /// All tasks that wait.
    pub fn total(&self) -> u64 {
        self.workflow
            .saturating_add(self.activity)
            .saturating_add(self.nexus)
    }
}

impl RunningWorkflows {
    /// Whether they keep a trigger active.
    fn keep_active(self) -> bool {
        match self {
            RunningWorkflows::NotCounted => false,
            RunningWorkflows::AtLeast(workflows) => workflows > 0,
            RunningWorkflows::Draining => true,
        }
    }
}

/// The value is the backlog; active above the activation threshold, or while workflows run.
#[derive(Clone, Copy, Debug)]
pub struct BacklogRule {
    pub activation: Activation,
}

impl Rule<Backlog> for BacklogRule {
    fn judge(&self, backlog: &Backlog, _: Instant, _: Instant) -> Reading {
        let total = backlog.total();
        Reading {
            value: total as f64,
            active: total > self.activation.0 || backlog.running.keep_active(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_workflows_keep_active_and_do_not_count() {
        let rule = BacklogRule {
            activation: Activation(2),
        };
        let judge = |workflow, running| {
            let backlog = Backlog {
                workflow,
                running,
                ..Backlog::default()
            };
            let now = Instant::now();
            let reading = rule.judge(&backlog, now, now);
            (reading.value, reading.active)
        };
        assert_eq!(judge(2, RunningWorkflows::NotCounted), (2.0, false));
        assert_eq!(judge(3, RunningWorkflows::NotCounted), (3.0, true));
        assert_eq!(judge(0, RunningWorkflows::AtLeast(0)), (0.0, false));
        assert_eq!(judge(0, RunningWorkflows::AtLeast(7)), (0.0, true));
        assert_eq!(judge(0, RunningWorkflows::Draining), (0.0, true));
    }
}
