//! Subscriptions of streams: what they read, and when they are woken.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::scripted::{Script, evaluate, trigger};
use crate::{
    metadata::TriggerRef,
    sampling::{Engine, Limits, Subscription, Trigger},
};

/// A trigger with its own interval.
fn every(queue: &str, interval: &str) -> TriggerRef {
    let mut request = trigger("a", queue);
    let interval = ("pushInterval".to_owned(), interval.to_owned());
    request.metadata.extend([interval]);
    request
}

fn open(engine: &Engine, request: TriggerRef) -> (Arc<Trigger>, Subscription) {
    let trigger = engine.trigger(request).unwrap();
    let subscription = trigger.subscribe();
    (trigger, subscription)
}

/// How many batches go out in this time, and how many queries in them.
async fn read_in(script: &Script, time: Duration) -> (usize, usize) {
    let before = script.batches().len();
    sleep(time).await;
    let batches = script.batches().split_off(before);
    (batches.len(), batches.iter().map(Vec::len).sum())
}

async fn is_quiet(subscription: &mut Subscription, time: Duration) -> bool {
    timeout(time, subscription.changed()).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn the_pushed_queries_of_a_connection_are_read_together() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let mut open_ones = Vec::new();
    for i in 0..500 {
        open_ones.push(open(&engine, trigger("a", &format!("q{i}"))));
        sleep(Duration::from_millis(3)).await;
    }
    let (batches, queries) = read_in(&script, Duration::from_secs(10)).await;
    assert_eq!((batches, queries), (100, 50_000));

    drop(open_ones);
    let (batches, _) = read_in(&script, Duration::from_secs(10)).await;
    assert_eq!(batches, 0, "nobody subscribes any more");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_subscribes_to_is_not_read() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    evaluate(&engine, "a", "jobs").await.unwrap();
    assert_eq!(read_in(&script, Duration::from_secs(60)).await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_shortest_interval_of_a_query_applies_while_it_is_subscribed() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let slow = open(&engine, every("jobs", "1s"));
    let fast = open(&engine, every("jobs", "50ms"));
    sleep(Duration::from_secs(1)).await;
    let (batches, _) = read_in(&script, Duration::from_secs(10)).await;
    assert_eq!(batches, 200);

    drop(fast);
    let (batches, _) = read_in(&script, Duration::from_secs(10)).await;
    assert!((9..=11).contains(&batches), "{batches}");

    drop(slow);
    let (batches, _) = read_in(&script, Duration::from_secs(10)).await;
    assert_eq!(batches, 0);
}

#[tokio::test(start_paused = true)]
async fn intervals_that_divide_each_other_share_batches() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let _fast = open(&engine, every("fast", "100ms"));
    sleep(Duration::from_millis(130)).await;
    let _slow = open(&engine, every("slow", "500ms"));
    sleep(Duration::from_secs(1)).await;
    let (batches, queries) = read_in(&script, Duration::from_secs(10)).await;
    assert_eq!((batches, queries), (100, 120));
}

#[tokio::test(start_paused = true)]
async fn slow_batches_do_not_pile_up() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let _open: Vec<_> = (0..10)
        .map(|i| open(&engine, trigger("a", &format!("q{i}"))))
        .collect();
    sleep(Duration::from_secs(1)).await;
    script.server("a", |s| s.takes = Duration::from_millis(1050));
    sleep(Duration::from_secs(2)).await;
    let (batches, queries) = read_in(&script, Duration::from_secs(30)).await;
    assert!((25..=29).contains(&batches), "{batches}");
    assert_eq!(queries, batches * 10);

    script.server("a", |s| s.takes = Duration::from_millis(1));
    sleep(Duration::from_secs(2)).await;
    let (batches, _) = read_in(&script, Duration::from_secs(10)).await;
    assert_eq!(batches, 100, "nothing is made up for");
}

#[tokio::test(start_paused = true)]
async fn a_result_that_changes_nothing_wakes_nobody() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let (_, mut jobs) = open(&engine, trigger("a", "jobs"));
    jobs.changed().await;
    script.server("a", |s| s.count = 8);
    assert!(is_quiet(&mut jobs, Duration::from_secs(60)).await);

    script.server("a", |s| s.count = 0);
    let since = Instant::now();
    jobs.changed().await;
    assert!(since.elapsed() <= Duration::from_millis(102));
    assert!(is_quiet(&mut jobs, Duration::from_secs(60)).await);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_fails_changes_nothing_and_is_read_again_when_it_is_back() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |s| s.refuses = true);
    let (trigger, mut jobs) = open(&engine, trigger("a", "jobs"));
    assert!(is_quiet(&mut jobs, Duration::from_secs(60)).await);
    assert!(trigger.current().unwrap().is_err());

    script.server("a", |s| s.refuses = false);
    jobs.changed().await;
    assert!(trigger.current().unwrap().unwrap().reading.active);

    script.server("a", |s| (s.breaks, s.refuses, s.count) = (true, true, 0));
    assert!(is_quiet(&mut jobs, Duration::from_secs(30)).await);
    let last = trigger.current().unwrap().unwrap();
    assert!(last.reading.active && last.stale.is_some());
    sleep(Duration::from_secs(40)).await;
    assert!(trigger.current().unwrap().is_err(), "it is too old");

    script.server("a", |s| (s.breaks, s.refuses) = (false, false));
    jobs.changed().await;
    assert!(!trigger.current().unwrap().unwrap().reading.active);
    sleep(Duration::from_secs(2)).await;
    let (batches, _) = read_in(&script, Duration::from_secs(10)).await;
    assert_eq!(batches, 100);
}

#[tokio::test(start_paused = true)]
async fn a_pushed_query_that_breaks_connections_pauses_in_between() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let _good = open(&engine, trigger("a", "good"));
    sleep(Duration::from_secs(1)).await;
    let _poison = open(&engine, trigger("a", "poison"));
    sleep(Duration::from_secs(10)).await;
    let before = script.connects();
    sleep(Duration::from_secs(60)).await;
    let connects = script.connects() - before;
    // Each time it is sent once more.
    assert!(connects <= 120, "{connects} connections");
}

#[tokio::test(start_paused = true)]
async fn a_fresh_sample_is_the_first_result_of_a_subscription() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    evaluate(&engine, "a", "jobs").await.unwrap();
    let (_, mut jobs) = open(&engine, trigger("a", "jobs"));
    let since = Instant::now();
    jobs.changed().await;
    assert_eq!(
        (since.elapsed(), script.batches().len()),
        (Duration::ZERO, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn the_interval_of_the_settings_is_for_triggers_without_one() {
    let script = Script::default();
    let interval = ("scripted".to_owned(), Duration::from_secs(2));
    let engine = script.engine(Limits {
        push_interval: [interval].into(),
        ..Limits::default()
    });
    let (of_settings, _) = open(&engine, trigger("a", "jobs"));
    let (own, _) = open(&engine, every("jobs", "20ms"));
    assert_eq!(of_settings.push_interval, Duration::from_secs(2));
    assert_eq!(own.push_interval, Duration::from_millis(20));
    let error = engine
        .trigger(every("jobs", "9ms"))
        .map(|_| ())
        .unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("pushInterval: `9ms` must be a time with its unit from 10ms"),
        "{error}"
    );
}
