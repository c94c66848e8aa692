//! Batches that take along what is expected, with calls in KEDA's rhythm: each trigger every 30 s by
//! the operator and every 15 s by the HPA, spread evenly.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::scripted::{Script, evaluate};
use crate::sampling::{Engine, Limits};

/// The calls of so many triggers, in order: when, and of which.
fn calls(triggers: u32, length: u32) -> BTreeMap<Duration, Vec<u32>> {
    let mut calls = BTreeMap::<Duration, Vec<u32>>::new();
    for trigger in 0..triggers {
        let spread = |period: u32, salt: u32| {
            let offset = (trigger * 7919 + salt) % (period * 1000);
            let times = (0..length / period).map(move |i| offset + i * period * 1000);
            times.map(|ms| Duration::from_millis(ms.into()))
        };
        // The operator drifts by what its own work takes.
        let operator = spread(30, 7100).enumerate();
        let operator = operator.map(|(i, at)| at + Duration::from_millis(20 * i as u64));
        for at in operator.chain(spread(15, 13)) {
            calls.entry(at).or_default().push(trigger);
        }
    }
    calls
}

/// Runs the calls; returns batches and queries after the first two minutes, and calls since.
async fn run(
    engine: &Engine,
    script: &Script,
    triggers: u32,
    minutes: u32,
) -> (usize, usize, usize) {
    let start = Instant::now();
    let learned = Duration::from_secs(120);
    let (mut batches_before, mut evaluations) = (None, 0);
    for (at, due) in calls(triggers, minutes * 60) {
        sleep_until(start + at).await;
        if at >= learned {
            batches_before.get_or_insert(script.batches().len());
            evaluations += due.len();
        }
        for trigger in due {
            let queue = format!("q{trigger}");
            let evaluation = evaluate(engine, "a", &queue).await.unwrap();
            assert!(evaluation.age < Duration::from_secs(1) && evaluation.stale.is_none());
        }
    }
    let batches = script.batches().split_off(batches_before.unwrap());
    let queries = batches.iter().map(Vec::len).sum();
    (batches.len(), queries, evaluations)
}

#[tokio::test(start_paused = true)]
async fn one_batch_serves_the_calls_of_a_second() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let (batches, queries, evaluations) = run(&engine, &script, 200, 6).await;
    // 200 triggers are 20 calls a second; without looking ahead each would be a batch.
    assert!(
        batches * 8 < evaluations,
        "{batches} batches for {evaluations} evaluations"
    );
    // Hardly anything is read in vain.
    assert!(
        queries * 10 < evaluations * 11,
        "{queries} queries for {evaluations} evaluations"
    );
}

#[tokio::test(start_paused = true)]
async fn where_many_calls_are_expected_hardly_one_waits() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let start = Instant::now();
    let (mut waited, mut all) = (0, 0);
    for (at, due) in calls(400, 6 * 60) {
        sleep_until(start + at).await;
        for trigger in due {
            let called = Instant::now();
            evaluate(&engine, "a", &format!("q{trigger}"))
                .await
                .unwrap();
            if at >= Duration::from_secs(120) {
                waited += usize::from(called.elapsed() > Duration::ZERO);
                all += 1;
            }
        }
    }
    assert!(waited * 100 < all, "{waited} of {all}");
}

#[tokio::test(start_paused = true)]
async fn a_lone_trigger_costs_what_it_costs() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let (batches, queries, evaluations) = run(&engine, &script, 1, 10).await;
    assert_eq!((batches, queries), (evaluations, evaluations));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_for_a_trigger_that_is_no_longer_called() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let start = Instant::now();
    for second in 0..900_u64 {
        sleep_until(start + Duration::from_secs(second)).await;
        // One keeps batches going out; the other stops after five minutes.
        evaluate(&engine, "a", "kept").await.unwrap();
        if second < 300 && second % 15 == 7 {
            evaluate(&engine, "a", "stopped").await.unwrap();
        }
    }
    let batches = script.batches();
    let reads = batches.iter().flatten().filter(|query| *query == "stopped");
    // Twenty calls, and at most two that did not come.
    assert!((20..=22).contains(&reads.count()));
}

#[tokio::test(start_paused = true)]
async fn a_query_that_fails_ahead_of_its_call_is_read_again_by_the_call() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let start = Instant::now();
    let mut failures = 0;
    for half in 0..240_u64 {
        sleep_until(start + Duration::from_millis(500 * half)).await;
        evaluate(&engine, "a", "kept").await.unwrap();
        if half % 30 == 1 {
            let outcome = evaluate(&engine, "a", "bad").await;
            failures += usize::from(outcome.is_err());
        }
    }
    assert_eq!(failures, 8, "each call meets the error");
}
