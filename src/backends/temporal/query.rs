//! What is counted, and what a trigger makes of it.

use std::{collections::BTreeSet, fmt};

use tokio::time::Instant;

use super::Backlog;
use crate::{
    metadata::{patterns::Patterns, values::Activation},
    sampling::{Reading, Rule},
};

/// What to count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    /// The task queues, summed. Plain names: Temporal has no globs.
    pub queues: Patterns,
    pub types: Types,
    pub of: Of,
    /// Whether running workflows keep the trigger active.
    pub running: Option<Running>,
}

/// A type of tasks. Every name of a task queue stands for one queue of each type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QueueType {
    Workflow,
    Activity,
    Nexus,
}

impl QueueType {
    pub const ALL: [QueueType; 3] = [QueueType::Workflow, QueueType::Activity, QueueType::Nexus];

    pub fn name(self) -> &'static str {
        match self {
            QueueType::Workflow => "workflow",
            QueueType::Activity => "activity",
            QueueType::Nexus => "nexus",
        }
    }
}

/// Which types count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Types {
    /// All. Those that a queue does not use are asked rarely.
    All,
    /// Those that the user named: asked every time.
    Named(BTreeSet<QueueType>),
}

impl Types {
    pub fn contains(&self, queue_type: QueueType) -> bool {
        match self {
            Types::All => true,
            Types::Named(named) => named.contains(&queue_type),
        }
    }
}

/// Whose tasks count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Of {
    /// Everybody's.
    Queue,
    /// Those of one version of a worker deployment.
    Version(Version),
    /// Those of build ids, by the deprecated rules-based versioning.
    BuildIds(BuildIds),
}

/// A version of a worker deployment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    pub deployment: String,
    pub build_id: String,
}

impl fmt::Display for Version {
    /// As the server writes it, also into the search attribute `TemporalWorkerDeploymentVersion`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.deployment, self.build_id)
    }
}

/// The deprecated selectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BuildIds {
    pub build_id: Option<String>,
    pub all_active: bool,
    pub unversioned: bool,
}

/// When running workflows are counted, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Running {
    /// The workflows' task queue, where it is not the one whose backlog counts.
    pub queue: Option<String>,
    /// A backlog above this keeps the trigger active by itself: nothing needs to be counted then.
    /// Visibility counts are rare goods (10 a second for a whole namespace, by default).
    pub unless_above: u64,
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Query {
            queues,
            types,
            of,
            running,
        } = self;
        match types {
            Types::All => write!(f, "backlog of task queue {queues}")?,
            Types::Named(named) => {
                let named: Vec<&str> = named.iter().map(|named| named.name()).collect();
                write!(f, "{} backlog of task queue {queues}", named.join(" and "))?;
            }
        }
        match of {
            Of::Queue => {}
            Of::Version(version) => write!(f, ", version {version}")?,
            Of::BuildIds(BuildIds {
                build_id,
                all_active,
                unversioned,
            }) => {
                let build_id = build_id.iter().map(|id| format!("build id {id}"));
                let active = all_active.then(|| "all active".to_owned());
                let unversioned = unversioned.then(|| "unversioned".to_owned());
                let selected: Vec<String> = build_id.chain(active).chain(unversioned).collect();
                write!(f, ", {}", selected.join(" and "))?;
            }
        }
        match running {
            None => Ok(()),
            Some(Running { queue: None, .. }) => f.write_str(" with its running workflows"),
            Some(Running {
                queue: Some(queue), ..
            }) => write!(f, " with the running workflows of {queue}"),
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
        let all = backlog.total();
        Reading {
            value: all as f64,
            active: all > self.activation.0 || backlog.running.keeps_active(),
        }
    }
}
