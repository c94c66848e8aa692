//! The layouts of job queues, each beside the library that lays them out.

use std::time::Duration;

use backlog_scaler::keda::proto::ScaledObjectRef;
use tokio::time::{Instant, sleep};

use testkit::{
    job_queues::{JobQueue, Library},
    redis::Redis,
    scaler::{Scaler, trigger, with},
};

/// Longer than any test.
const LATER: &str = "600000";

/// Skips a test where the libraries are not installed.
macro_rules! needs_libraries {
    () => {
        super::needs_redis!();
        if !testkit::require(
            testkit::job_queues::available(),
            "BullMQ, Celery, RQ and Sidekiq",
        ) {
            return;
        }
    };
}

fn queue(redis: &Redis, layout: &str, name: &str) -> ScaledObjectRef {
    trigger([
        ("backend", "redis"),
        ("address", &redis.address()),
        ("layout", layout),
        ("queue", name),
        ("freshFor", "0"),
    ])
}

async fn value(scaler: &Scaler, trigger: &ScaledObjectRef) -> f64 {
    scaler.evaluate(trigger).await.unwrap().value
}

/// Waits until the value is this one: a delayed job becomes due by the clock.
async fn becomes(scaler: &Scaler, trigger: &ScaledObjectRef, expected: f64) {
    let started = Instant::now();
    loop {
        let found = value(scaler, trigger).await;
        if found == expected {
            return;
        }
        let waited = started.elapsed();
        assert!(waited < Duration::from_secs(20), "{found}, not {expected}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The sum of what a library counts under these names.
async fn counts<const N: usize>(jobs: &mut JobQueue, names: [&str; N]) -> f64 {
    let mut sum = 0;
    for name in names {
        sum += jobs.count(name).await;
    }
    sum as f64
}

async fn bullmq_is_counted_as_it_counts_itself(library: Library) {
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let mut jobs = JobQueue::open(library, &redis, "emails", "bull");
    let emails = queue(&redis, "bullmq", "emails");
    assert_eq!(value(&scaler, &emails).await, 0.0);

    jobs.run("add 5").await;
    jobs.run("prioritise 2 3").await;
    jobs.run(&format!("delay 3 {LATER}")).await;
    let waiting = counts(&mut jobs, ["wait", "prioritized"]).await;
    assert_eq!(waiting, 7.0);
    let found = scaler.evaluate(&emails).await.unwrap();
    assert_eq!((found.value, found.active), (7.0, true));
    let name = "redis-bullmq-emails-";
    assert!(found.metric.starts_with(name), "{}", found.metric);

    // Due, but still among the delayed: no worker runs that would move them.
    jobs.run("delay 2 100").await;
    becomes(&scaler, &emails, 9.0).await;
    assert_eq!(jobs.count("delayed").await, 5);

    // A worker moves them, and takes two.
    assert_eq!(jobs.run("take 2").await, 2);
    assert_eq!(jobs.count("delayed").await, 3);
    assert_eq!(jobs.count("active").await, 2);
    let unfinished = counts(&mut jobs, ["wait", "prioritized", "active"]).await;
    assert_eq!(unfinished, 9.0);
    assert_eq!(value(&scaler, &emails).await, unfinished);

    jobs.run("pause").await;
    assert_eq!(value(&scaler, &emails).await, 2.0, "what is active");
    jobs.run("resume").await;
    assert_eq!(value(&scaler, &emails).await, 9.0);

    jobs.run("take 7").await;
    let kept = with(emails, "minimumWhileInFlight", "1");
    let found = scaler.evaluate(&kept).await.unwrap();
    assert_eq!(found.value / found.target, 9.0, "a replica for each job");
}

#[tokio::test]
async fn bullmq_6_is_counted_as_it_counts_itself() {
    needs_libraries!();
    bullmq_is_counted_as_it_counts_itself(Library::BullMq6).await;
}

#[tokio::test]
async fn bullmq_5_is_counted_as_it_counts_itself() {
    needs_libraries!();
    bullmq_is_counted_as_it_counts_itself(Library::BullMq5).await;
}

#[tokio::test]
async fn queues_of_one_prefix_are_summed() {
    needs_libraries!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    for (name, jobs) in [("a-0", "add 2"), ("a-1", "add 3"), ("b", "add 4")] {
        let mut queue = JobQueue::open(Library::BullMq6, &redis, name, "{shop}");
        queue.run(jobs).await;
    }
    let mut queue_0 = JobQueue::open(Library::BullMq6, &redis, "a-0", "{shop}");
    let own = |names: &str| with(queue(&redis, "bullmq", names), "prefix", "{shop}");
    assert_eq!(value(&scaler, &own("a-{0..1}, b")).await, 9.0);
    assert_eq!(value(&scaler, &own("b")).await, 4.0);
    assert_eq!(value(&scaler, &queue(&redis, "bullmq", "b")).await, 0.0);

    queue_0.run("pause").await;
    assert_eq!(value(&scaler, &own("a-{0..1}, b")).await, 7.0);
}

#[tokio::test]
async fn celery_is_counted_as_it_counts_itself() {
    needs_libraries!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    for prefix in ["", "shop-"] {
        let mut tasks = JobQueue::open(Library::Celery, &redis, "emails", prefix);
        let emails = queue(&redis, "celery", "emails");
        let emails = match prefix {
            "" => emails,
            _ => with(emails, "prefix", prefix),
        };
        let whole = with(emails.clone(), "sharedKeys", "true");
        assert_eq!(value(&scaler, &whole).await, 0.0);

        tasks.run("add 5").await;
        for priority in [3, 6, 9] {
            tasks.run(&format!("prioritise 1 {priority}")).await;
        }
        // A worker takes a task before its time, and holds it.
        tasks.run(&format!("delay 2 {LATER}")).await;
        let queued = counts(&mut tasks, ["queue"]).await;
        assert_eq!(queued, 10.0);
        assert_eq!(value(&scaler, &emails).await, queued);

        assert_eq!(tasks.run("take 4").await, 4);
        let (queued, taken) = (tasks.count("queue").await, tasks.count("unacked").await);
        assert_eq!((queued, taken), (6, 4));
        assert_eq!(value(&scaler, &emails).await, 6.0);
        assert_eq!(value(&scaler, &whole).await, 10.0);
        let kept = with(whole, "minimumWhileInFlight", "1");
        let found = scaler.evaluate(&kept).await.unwrap();
        assert_eq!(found.value / found.target, 4.0, "a replica for each task");
    }
}

#[tokio::test]
async fn rq_is_counted_as_it_counts_itself() {
    needs_libraries!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    for prefix in ["rq", "shop:rq"] {
        let mut jobs = JobQueue::open(Library::Rq, &redis, "emails", prefix);
        let emails = with(queue(&redis, "rq", "emails"), "prefix", prefix);
        assert_eq!(value(&scaler, &emails).await, 0.0);

        jobs.run("add 5").await;
        jobs.run(&format!("delay 3 {LATER}")).await;
        assert_eq!(jobs.count("queued").await, 5);
        assert_eq!(value(&scaler, &emails).await, 5.0);

        jobs.run("delay 2 100").await;
        becomes(&scaler, &emails, 7.0).await;
        assert_eq!(jobs.count("scheduled").await, 5);
        jobs.run("schedule").await;
        assert_eq!(jobs.count("queued").await, 7);
        assert_eq!(value(&scaler, &emails).await, 7.0);

        // By real workers, which go on with them.
        jobs.run("take 2").await;
        let unfinished = counts(&mut jobs, ["queued", "started"]).await;
        assert_eq!(unfinished, 7.0);
        assert_eq!(jobs.count("started").await, 2);
        assert_eq!(value(&scaler, &emails).await, unfinished);
        let kept = with(emails, "minimumWhileInFlight", "1");
        let found = scaler.evaluate(&kept).await.unwrap();
        assert_eq!(found.value / found.target, 2.0, "a replica for each job");
    }
}

#[tokio::test]
async fn sidekiq_is_counted_as_it_counts_itself() {
    needs_libraries!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    let mut jobs = JobQueue::open(Library::Sidekiq, &redis, "emails", "");
    let emails = queue(&redis, "sidekiq", "emails");
    let whole = with(emails.clone(), "sharedKeys", "true");
    assert_eq!(value(&scaler, &whole).await, 0.0);

    jobs.run("add 5").await;
    jobs.run(&format!("delay 3 {LATER}")).await;
    assert_eq!(counts(&mut jobs, ["queue"]).await, 5.0);
    assert_eq!(value(&scaler, &emails).await, 5.0);
    assert_eq!(value(&scaler, &whole).await, 5.0);

    // Due, but still in the schedule: only a process of Sidekiq moves it.
    jobs.run("delay 2 100").await;
    becomes(&scaler, &whole, 7.0).await;
    assert_eq!(value(&scaler, &emails).await, 5.0);
    jobs.run("schedule").await;
    let queued = counts(&mut jobs, ["queue"]).await;
    assert_eq!(queued, 7.0);
    assert_eq!(jobs.count("schedule").await, 3);
    assert_eq!(value(&scaler, &emails).await, queued);
    assert_eq!(value(&scaler, &whole).await, queued);

    // What a process has taken is in its memory alone.
    assert_eq!(jobs.run("take 2").await, 2);
    let queued = counts(&mut jobs, ["queue"]).await;
    assert_eq!(queued, 5.0);
    assert_eq!(value(&scaler, &emails).await, queued);
}
