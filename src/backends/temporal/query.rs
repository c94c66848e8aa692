//! What is counted.

use std::{collections::BTreeSet, fmt};

use crate::{
    metadata::{patterns::Patterns, values::words},
    sampling::QueriedName,
};

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
    /// What is counted as work in flight, where a trigger needs its number. Backlog, age and rate
    /// of a queue are in one response: the signals of triggers are no part of their query.
    pub in_flight: Option<InFlight>,
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

/// What counts as work that is taken and not finished.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum InFlight {
    /// Workflows that run, of this task queue where it is not the one whose backlog counts.
    Workflows { queue: Option<String> },
    /// Slots of workers that are in use.
    WorkerSlots,
}

impl Query {
    /// The task queues that are read.
    pub fn names(&self) -> Vec<QueriedName<'_>> {
        let running = self.running.as_ref();
        let of_running = running.and_then(|running| running.queue.as_ref());
        let in_flight = match &self.in_flight {
            Some(InFlight::Workflows { queue }) => queue.as_ref(),
            Some(InFlight::WorkerSlots) | None => None,
        };
        let queues = self.queues.names.iter().chain(of_running).chain(in_flight);
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
            in_flight,
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
        let running = running.as_ref().map(|check| match &check.queue {
            None => "its running workflows".to_owned(),
            Some(queue) => format!("the running workflows of {queue}"),
        });
        let in_flight = in_flight.as_ref().map(|in_flight| match in_flight {
            InFlight::Workflows { queue: None } => "the number of its running workflows".to_owned(),
            InFlight::Workflows { queue: Some(queue) } => {
                format!("the number of running workflows of {queue}")
            }
            InFlight::WorkerSlots => "its worker slots in use".to_owned(),
        });
        let also: Vec<String> = running.into_iter().chain(in_flight).collect();
        match also.is_empty() {
            true => Ok(()),
            false => write!(f, " with {}", also.join(" and ")),
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
