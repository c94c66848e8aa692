//! The queries that are sent.

use super::*;
use crate::{backends::temporal::query::TypeSelection, metadata::patterns::Patterns};

fn version() -> DeploymentVersion {
    DeploymentVersion {
        deployment: "orders".to_owned(),
        build_id: "v1".to_owned(),
    }
}

fn query(queues: impl IntoIterator<Item = String>, tasks: TaskSelection) -> Query {
    Query {
        queues: Patterns {
            names: queues.into_iter().collect(),
            ..Patterns::default()
        },
        types: TypeSelection::All,
        tasks,
        running: None,
        in_flight: Some(InFlight::WorkerSlots),
    }
}

#[test]
fn running_workflows_are_those_of_the_version_or_of_none() {
    assert_eq!(
        visibility_query(&["q"], None),
        "ExecutionStatus = 'Running' AND TaskQueue = 'q' \
         AND TemporalWorkerDeploymentVersion IS NULL"
    );
    assert_eq!(
        visibility_query(&["a", "b"], Some(&version())),
        "ExecutionStatus = 'Running' AND TaskQueue IN ('a','b') \
         AND TemporalWorkerDeploymentVersion = 'orders:v1'"
    );
}

#[test]
fn no_name_can_end_a_literal() {
    assert_eq!(literal("q' OR 'a'='a"), r"'q\' OR \'a\'=\'a'");
    assert_eq!(literal(r"q\' OR"), r"'q\\\' OR'");
}

#[test]
fn many_queues_are_counted_a_hundred_at_a_time() {
    let queues = (0..250).map(|i| format!("q-{i}"));
    let query = query(queues, TaskSelection::All);
    assert_eq!(visibility_queries(&query, None).len(), 3);
    assert_eq!(
        visibility_queries(&query, Some("w")),
        ["ExecutionStatus = 'Running' AND TaskQueue = 'w' \
          AND TemporalWorkerDeploymentVersion IS NULL"]
    );
}

#[test]
fn workers_are_those_of_the_queues_and_the_version() {
    let all = query(["a".to_owned(), "b".to_owned()], TaskSelection::All);
    assert_eq!(worker_queries(&all), ["TaskQueue = 'a' OR TaskQueue = 'b'"]);
    let one = query(["a".to_owned()], TaskSelection::Version(version()));
    assert_eq!(
        worker_queries(&one),
        ["(TaskQueue = 'a') AND DeploymentName = 'orders' AND BuildId = 'v1'"]
    );
    let queues = (0..51).map(|i| format!("q-{i}"));
    assert_eq!(worker_queries(&query(queues, TaskSelection::All)).len(), 2);
}
