//! A ScaledJob.

use std::time::{Duration, Instant};

use backlog_scaler::simulation::{self, Load, MetricTarget, Simulation, WorkerModel, backlog};
use serde_json::{Value, json};
use testkit::redis::Redis;

use super::{
    SOON, needs_cluster,
    objects::{Namespace, list, pod},
    program::Program,
};

#[tokio::test]
async fn a_scaled_job_makes_jobs_while_there_is_work() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster, "jobs");
    let (redis, program) = (Redis::start().await, Program::start(""));
    let mut pod = pod();
    pod["restartPolicy"] = "Never".into();
    let scaled_job = json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledJob",
        "metadata": {"name": "worker", "namespace": namespace.name},
        "spec": {
            "jobTargetRef": {"template": {"spec": pod}},
            "pollingInterval": 5,
            "maxReplicaCount": 10,
            "successfulJobsHistoryLimit": 100,
            "triggers": [list(&program.address(), &redis.address(), "jobs")],
        },
    });
    namespace.cluster.kubectl.create(&scaled_job.to_string());
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(jobs(&namespace), 0, "no work, no job");

    redis.rpush("jobs", 15).await;
    let begun = Instant::now();
    while jobs(&namespace) < 3 {
        let log = || namespace.cluster.keda_log_tail(&namespace.name);
        assert!(begun.elapsed() < SOON, "no jobs\n{}", log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    redis.command(&["DEL", "jobs"]).await;
    println!(
        "jobs: {} jobs for 15 items after {:.1?}",
        jobs(&namespace),
        begun.elapsed()
    );
    // A poll that has read the list before may still make its jobs.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let made = jobs(&namespace);
    assert_eq!(made % 3, 0, "a poll makes 3 jobs of 15 items, 5 for each");
    assert_eq!(simulated(&scaled_job["spec"], 15), 3);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(jobs(&namespace), made, "no work, no more jobs");
}

/// The jobs of the first poll that finds so many items.
fn simulated(spec: &Value, items: u64) -> u32 {
    let scaled_job = simulation::ScaledJob::of_spec(spec).unwrap();
    let an_hour = WorkerModel::new(Duration::from_secs(3600));
    let timeline = Simulation::new(Load::Constant(0.0), an_hour, scaled_job)
        .trigger(MetricTarget::AverageValue(5.0), backlog(0))
        .initial_backlog(items)
        .run(Duration::from_secs(1));
    timeline.unwrap().summary.max_replicas
}

fn jobs(namespace: &Namespace) -> usize {
    let list = namespace.cluster.kubectl.get(&namespace.name, &["jobs"]);
    list["items"].as_array().expect("a list").len()
}
