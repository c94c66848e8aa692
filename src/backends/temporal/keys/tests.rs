//! What users write, and what becomes of it.

use super::*;
use crate::sampling::tests::keys;

fn plan(pairs: &[(&str, &str)]) -> Result<Plan<Temporal>, String> {
    keys::plan::<Temporal>("temporal", pairs).map_err(|problems| problems.to_string())
}

fn error(pairs: &[(&str, &str)]) -> String {
    plan(pairs).err().expect("a problem")
}

#[test]
fn a_queue_alone_has_kedas_defaults() {
    let plan = plan(&[("taskQueue", "orders")]).unwrap();
    assert_eq!(plan.target, Target(5));
    assert_eq!(plan.readable_name, "orders");
    assert_eq!(plan.query.types, TypeSelection::All);
    assert_eq!(plan.query.to_string(), "backlog of task queue orders");
}

#[test]
fn ranges_and_lists_are_one_set_of_queues() {
    let plan = plan(&[("taskQueues", "acme-tenant-{0..31}, acme-tenant-1, jobs")]).unwrap();
    assert_eq!(plan.query.queues.names.len(), 33);
    assert_eq!(
        plan.query.to_string(),
        "backlog of task queue acme-tenant-0, acme-tenant-1, acme-tenant-10 and 30 more"
    );
}

#[test]
fn types_are_a_set_and_a_slip_gets_a_hint() {
    let query = plan(&[("taskQueue", "q"), ("queueTypes", "nexus, activity,nexus")])
        .unwrap()
        .query;
    let named = [QueueType::Activity, QueueType::Nexus].into();
    assert_eq!(query.types, TypeSelection::Named(named));
    assert_eq!(
        query.to_string(),
        "activity and nexus backlog of task queue q"
    );
    assert_eq!(
        error(&[("taskQueue", "q"), ("queueTypes", "workflows")]),
        "queueTypes: `workflows` must be a comma-separated list of workflow, activity and nexus; \
         did you mean `workflow`?"
    );
}

#[test]
fn bad_queues_say_what_is_wrong() {
    for (key, value, reason) in [
        ("taskQueue", "", "taskQueue: is required, or `taskQueues`"),
        ("taskQueue", "  ", "taskQueue: is required, or `taskQueues`"),
        ("taskQueues", "a,,b", "has an empty entry"),
        ("taskQueues", "q-{5..1}", "is reversed"),
        ("taskQueues", "q-{a..b}", "is not numeric"),
        ("taskQueues", "q-{0..100000}", "more than 10000 names"),
        ("taskQueues", "q-*", "is a glob, but Temporal cannot list"),
        ("taskQueue", "/_sys/q/1", "is the name of a partition"),
    ] {
        let error = error(&[(key, value)]);
        assert!(error.contains(reason), "{key}={value}: {error}");
    }
    let both = error(&[("taskQueue", "a"), ("taskQueues", "b")]);
    assert!(
        both.contains("is mutually exclusive with `taskQueue`"),
        "{both}"
    );
    let long = error(&[("taskQueue", &"x".repeat(1001))]);
    assert!(long.contains("longer than the 1000 bytes"), "{long}");
}

#[test]
fn a_deployment_and_its_build_id_need_each_other() {
    let queue = ("taskQueue", "q");
    let name = ("workerDeploymentName", "orders");
    let build = ("workerDeploymentBuildId", "v1");
    assert_eq!(
        error(&[queue, name]),
        "workerDeploymentBuildId: is required with `workerDeploymentName`"
    );
    assert_eq!(
        error(&[queue, build]),
        "workerDeploymentName: is required with `workerDeploymentBuildId`"
    );
    let mixed = error(&[queue, name, build, ("buildId", "v1")]);
    assert_eq!(
        mixed,
        "buildId: cannot be used with `workerDeploymentName`, which replaces it"
    );
    let plan = plan(&[queue, name, build]).unwrap();
    assert_eq!(plan.readable_name, "q-orders:v1");
    assert_eq!(
        plan.query.to_string(),
        "backlog of task queue q, version orders:v1"
    );
}

#[test]
fn deprecated_selectors_still_count() {
    let query = plan(&[
        ("taskQueue", "q"),
        ("buildId", "v1"),
        ("selectUnversioned", "true"),
    ])
    .unwrap()
    .query;
    assert_eq!(
        query.to_string(),
        "backlog of task queue q, build id v1 and unversioned"
    );
}

#[test]
fn running_workflows_need_names_that_a_visibility_query_can_hold() {
    let running = ("includeRunningWorkflowCount", "true");
    assert_eq!(
        error(&[("taskQueue", "q"), ("workflowTaskQueueForCount", "w")]),
        "workflowTaskQueueForCount: has no effect without `includeRunningWorkflowCount: true`, or \
         `minimumWhileInFlight` with `inFlight: workflows`"
    );
    for (key, value) in [
        ("taskQueue", "q' OR 'a'='a"),
        ("taskQueues", "ok,q\""),
        ("taskQueue", "größe"),
    ] {
        let error = error(&[(key, value), running]);
        assert!(error.starts_with(&format!("{key}: `")), "{error}");
        assert!(
            error.contains("cannot be part of a visibility query"),
            "{error}"
        );
    }
    let other = [
        ("taskQueue", "q' "),
        running,
        ("workflowTaskQueueForCount", "w"),
    ];
    assert!(
        plan(&other).is_ok(),
        "the counted queue is not in the query"
    );
    assert!(
        plan(&[("taskQueue", "q' OR 'a'='a")]).is_ok(),
        "nothing is queried"
    );
}

#[test]
fn all_problems_are_reported_at_once() {
    let error = error(&[
        ("taskQueues", "ok,q-{5..1},q-{a..b}"),
        ("workerDeploymentName", "orders"),
        ("workflowTaskQueueForCount", "w"),
    ]);
    for problem in [
        "taskQueues: `q-{5..1}` ",
        "taskQueues: `q-{a..b}` ",
        "workerDeploymentBuildId: is required",
        "workflowTaskQueueForCount: has no effect",
    ] {
        assert!(error.contains(problem), "{problem} is not in {error}");
    }
}

#[test]
fn each_name_that_a_visibility_query_cannot_hold_is_reported() {
    let error = error(&[
        ("taskQueues", "a',b',c"),
        ("workerDeploymentName", "d'"),
        ("workerDeploymentBuildId", "e\\"),
        ("includeRunningWorkflowCount", "true"),
    ]);
    for name in ["`a'`", "`b'`", "`d'`", "`e\\`"] {
        assert!(error.contains(name), "{name} is not in {error}");
    }
}

#[test]
fn a_time_is_measured_by_the_same_query_as_the_backlog() {
    let of = |keys: &[(&str, &str)]| {
        let queue = [("taskQueue", "q")];
        plan(&[&queue, keys].concat()).unwrap().query
    };
    let seconds = ("targetSeconds", "30");
    assert_eq!(of(&[]), of(&[("signal", "age"), seconds]));
    assert_eq!(of(&[]), of(&[("signal", "drainTime"), seconds]));
}

#[test]
fn work_in_flight_is_workflows_or_slots_of_workers() {
    let of = |keys: &[(&str, &str)]| {
        let keys = [&[("taskQueue", "q"), ("minimumWhileInFlight", "5")], keys].concat();
        plan(&keys).map(|plan| (plan.query.to_string(), plan.query.in_flight.unwrap()))
    };
    let workflows = |queue: Option<&str>| InFlight::Workflows {
        queue: queue.map(str::to_owned),
    };
    for (keys, text, in_flight) in [
        (
            &[][..],
            "backlog of task queue q with the number of its running workflows",
            workflows(None),
        ),
        (
            &[
                ("inFlight", "workflows"),
                ("workflowTaskQueueForCount", "w"),
            ],
            "backlog of task queue q with the number of running workflows of w",
            workflows(Some("w")),
        ),
        (
            &[("inFlight", "workers")],
            "backlog of task queue q with its worker slots in use",
            InFlight::WorkerSlots,
        ),
        (
            &[
                ("inFlight", "workers"),
                ("includeRunningWorkflowCount", "true"),
                ("workflowTaskQueueForCount", "w"),
            ],
            "backlog of task queue q with the running workflows of w and its worker slots in use",
            InFlight::WorkerSlots,
        ),
    ] {
        assert_eq!(of(keys), Ok((text.to_owned(), in_flight)));
    }
}

#[test]
fn work_in_flight_that_has_no_effect_or_cannot_be_counted_is_an_error() {
    let (queue, minimum) = (("taskQueue", "q"), ("minimumWhileInFlight", "5"));
    for (keys, then) in [
        (
            &[queue, ("inFlight", "workers")][..],
            "inFlight: has no effect without `minimumWhileInFlight`",
        ),
        (
            &[queue, minimum, ("inFlight", "activities")],
            "inFlight: `activities` must be workflows or workers",
        ),
        (
            &[
                queue,
                minimum,
                ("inFlight", "workers"),
                ("workflowTaskQueueForCount", "w"),
            ],
            "workflowTaskQueueForCount: has no effect without `includeRunningWorkflowCount: true`, \
             or `minimumWhileInFlight` with `inFlight: workflows`",
        ),
        (
            &[queue, minimum, ("inFlight", "workers"), ("buildId", "v1")],
            "inFlight: `workers` is not known of build ids; use `workerDeploymentName`",
        ),
        (
            &[("taskQueue", "q'"), minimum],
            "taskQueue: `q'` cannot be part of a visibility query, which `minimumWhileInFlight` \
             needs; allowed are letters, digits and _ . / : -",
        ),
        (
            &[("taskQueues", "a,b'"), minimum, ("inFlight", "workers")],
            "taskQueues: `b'` cannot be part of a visibility query, which `minimumWhileInFlight` \
             needs; allowed are letters, digits and _ . / : -",
        ),
    ] {
        assert_eq!(error(keys), then);
    }
}
