//! What is sent for a query, how old its sample is, and when it ends.

use tonic::Status;

use super::*;
use crate::{
    backends::temporal::{
        backlog::RunningWorkflows,
        query::{DeploymentVersion, InFlight, RunningCheck, TypeSelection},
        testing::FakeFrontend,
    },
    error::{Error, Kind},
    metadata::patterns::Patterns,
    network::Network,
};

fn version() -> DeploymentVersion {
    DeploymentVersion {
        deployment: "orders".to_owned(),
        build_id: "v1".to_owned(),
    }
}

fn query(queues: &[&str], tasks: TaskSelection) -> Query {
    let names = queues.iter().map(|queue| queue.to_string()).collect();
    Query {
        queues: Patterns {
            names,
            ..Patterns::default()
        },
        types: TypeSelection::Named([QueueType::Workflow].into()),
        tasks,
        running: None,
        in_flight: None,
    }
}

async fn connect(frontend: &FakeFrontend) -> Client {
    let deadline = Instant::now() + Duration::from_secs(5);
    let client = Client::connect(&frontend.connection, &Network::unrestricted(), deadline).await;
    client.expect("the frontend runs")
}

fn within(limit: Duration) -> RequestContext<'static> {
    RequestContext {
        priority: Priority::Waited(Instant::now()),
        namespace: "shop",
        deadline: Instant::now() + limit,
    }
}

const LONG: Duration = Duration::from_secs(10);

fn failed(result: Result<Measured<Backlog>, RequestError>) -> Error {
    match result {
        Err(RequestError::Failed(error)) => error,
        other => panic!("{other:?} is no failure of the query alone"),
    }
}

#[tokio::test]
async fn a_sum_is_as_old_as_the_first_of_its_requests() {
    let frontend = FakeFrontend::start("1.32.1").await;
    let mut connection = frontend.connection.clone();
    // Two requests at once, and then one each second.
    connection.requests_per_second = 1;
    let client =
        Client::connect(&connection, &Network::unrestricted(), Instant::now() + LONG).await;
    let client = client.unwrap();
    let started = Instant::now();
    let three = query(&["a", "b", "c"], TaskSelection::All);
    let sum = measure(&client, &three, within(LONG)).await.unwrap();
    assert_eq!(sum.sample.total(), 21);
    assert!(started.elapsed() > Duration::from_millis(800));
    let sent_after = sum.at.duration_since(started);
    assert!(sent_after < Duration::from_millis(700), "{sent_after:?}");
}

#[tokio::test]
async fn a_request_that_waits_for_its_turn_is_not_aged_by_that() {
    let frontend = FakeFrontend::start("1.32.1").await;
    let mut connection = frontend.connection.clone();
    connection.requests_per_second = 1;
    let client =
        Client::connect(&connection, &Network::unrestricted(), Instant::now() + LONG).await;
    let client = client.unwrap();
    let started = Instant::now();
    let read = |queue: &'static str| {
        let client = &client;
        async move { measure(client, &query(&[queue], TaskSelection::All), within(LONG)).await }
    };
    let (_, _, last) = tokio::join!(read("a"), read("b"), read("c"));
    let sent_after = last.unwrap().at.duration_since(started);
    assert!(sent_after > Duration::from_millis(800), "{sent_after:?}");
}

#[tokio::test]
async fn a_shared_state_of_a_version_keeps_the_time_at_which_it_was_requested() {
    let frontend = FakeFrontend::start("1.32.1").await;
    let client = connect(&frontend).await;
    frontend.delay(Duration::from_millis(500));
    let of_version = query(&["q"], TaskSelection::Version(version()));
    let started = Instant::now();
    let first = measure(&client, &of_version, within(LONG)).await.unwrap();
    let second = measure(&client, &of_version, within(LONG)).await.unwrap();
    assert_eq!((first.sample.total(), second.sample.total()), (7, 7));
    assert_eq!(frontend.requests(), ["DescribeWorkerDeploymentVersion"]);
    assert_eq!(first.at, second.at);
    assert!(first.at.duration_since(started) < Duration::from_millis(400));
}

#[tokio::test]
async fn a_count_of_running_workflows_does_not_age_the_backlog() {
    let frontend = FakeFrontend::start("1.32.1").await;
    let client = connect(&frontend).await;
    let mut running = query(&["q"], TaskSelection::All);
    running.running = Some(RunningCheck {
        queue: None,
        unless_above: 100,
    });
    let first = measure(&client, &running, within(LONG)).await.unwrap();
    let second = measure(&client, &running, within(LONG)).await.unwrap();
    assert_eq!(second.sample.running, RunningWorkflows::AtLeast(1));
    assert!(second.at > first.at);
    let counts = frontend.requests();
    let counts = counts.iter().filter(|m| *m == "CountWorkflowExecutions");
    assert_eq!(counts.count(), 1, "the second count is the first's");
}

#[tokio::test]
async fn what_may_succeed_later_is_sent_again() {
    let frontend = FakeFrontend::start("1.32.1").await;
    let client = connect(&frontend).await;
    frontend.fail_with([
        Status::unavailable("starting"),
        Status::resource_exhausted("rps"),
    ]);
    let q = query(&["q"], TaskSelection::All);
    let measured = measure(&client, &q, within(LONG)).await.unwrap();
    assert_eq!(measured.sample.total(), 7);
    assert_eq!(frontend.requests().len(), 3);
}

#[tokio::test]
async fn what_the_server_refuses_is_not_sent_again() {
    let frontend = FakeFrontend::start("1.32.1").await;
    let client = connect(&frontend).await;
    frontend.fail_with([Status::invalid_argument("no")]);
    let q = query(&["q"], TaskSelection::All);
    let error = failed(measure(&client, &q, within(LONG)).await);
    assert_eq!(error.kind(), Kind::Unreadable);
    assert_eq!(frontend.requests().len(), 1);
}

#[tokio::test]
async fn a_query_ends_by_its_deadline_and_leaves_the_connection() {
    let frontend = FakeFrontend::start("1.32.1").await;
    let client = connect(&frontend).await;
    frontend.delay(Duration::from_secs(1));
    let started = Instant::now();
    let q = query(&["q"], TaskSelection::All);
    let measured = measure(&client, &q, within(Duration::from_millis(300))).await;
    let error = failed(measured);
    assert_eq!(error.kind(), Kind::TimedOut, "{error}");
    assert!(started.elapsed() < Duration::from_millis(900));
    frontend.delay(Duration::ZERO);
    assert!(measure(&client, &q, within(LONG)).await.is_ok());
}

#[tokio::test]
async fn a_rate_limit_that_lasts_until_the_deadline_is_the_reason_of_the_failure() {
    let frontend = FakeFrontend::start("1.32.1").await;
    let client = connect(&frontend).await;
    frontend.fail_with((0..1000).map(|_| Status::resource_exhausted("namespace rate limit")));
    let q = query(&["q"], TaskSelection::All);
    let error = failed(measure(&client, &q, within(Duration::from_millis(500))).await);
    assert_eq!(error.kind(), Kind::Exhausted);
    let text = error.to_string();
    assert!(text.contains("namespace rate limit"), "{text}");
}

#[tokio::test]
async fn a_server_that_hangs_loses_the_connection() {
    let frontend = FakeFrontend::start("1.32.1").await;
    let client = connect(&frontend).await;
    frontend.delay(Duration::from_secs(60));
    let q = query(&["q"], TaskSelection::All);
    let started = Instant::now();
    let measured = measure(&client, &q, within(LONG)).await;
    assert!(
        matches!(measured, Err(RequestError::ConnectionLost(_))),
        "{measured:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn the_number_of_running_workflows_is_counted_beside_any_backlog() {
    let frontend = FakeFrontend::start("1.32.1").await;
    let client = connect(&frontend).await;
    let names: Vec<String> = (0..101).map(|i| format!("q-{i:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut counted = query(&names, TaskSelection::All);
    counted.in_flight = Some(InFlight::Workflows { queue: None });
    let measured = measure(&client, &counted, within(LONG)).await.unwrap();
    // One of each of the two counts.
    assert_eq!(measured.sample.in_flight, 2);
    assert_eq!(measured.sample.running, RunningWorkflows::NotCounted);

    counted.in_flight = Some(InFlight::Workflows {
        queue: Some("q".to_owned()),
    });
    let measured = measure(&client, &counted, within(LONG)).await.unwrap();
    assert_eq!(measured.sample.in_flight, 1);
}

#[tokio::test]
async fn without_the_need_nothing_is_counted() {
    let frontend = FakeFrontend::start("1.32.1").await;
    let client = connect(&frontend).await;
    let q = query(&["q"], TaskSelection::All);
    let measured = measure(&client, &q, within(LONG)).await.unwrap();
    assert_eq!(measured.sample.in_flight, 0);
    assert_eq!(frontend.requests(), ["DescribeTaskQueue"]);
}

/// `count` tasks, the oldest `age` seconds old.
fn stats(count: u64, age: u64) -> TaskStats {
    TaskStats {
        backlog: count,
        age: Duration::from_secs(age),
        ..TaskStats::default()
    }
}

#[test]
fn a_version_counts_by_queue_and_type() {
    let state = VersionState {
        draining: false,
        serving: true,
        queues: vec![
            ("q".to_owned(), QueueType::Workflow, stats(1, 5)),
            ("q".to_owned(), QueueType::Activity, stats(20, 40)),
            ("other".to_owned(), QueueType::Activity, stats(300, 900)),
        ],
    };
    let of = |types: TypeSelection| {
        let queues = ["q", "never-polled"];
        let mut query = query(&queues, TaskSelection::Version(version()));
        query.types = types;
        let backlog = version_backlog(&state, &query);
        (backlog.total(), backlog.age().as_secs())
    };
    assert_eq!(of(TypeSelection::All), (21, 40));
    let named = |queue_type| TypeSelection::Named([queue_type].into());
    assert_eq!(of(named(QueueType::Activity)), (20, 40));
    assert_eq!(of(named(QueueType::Workflow)), (1, 5));
    assert_eq!(of(named(QueueType::Nexus)), (0, 0));
}
