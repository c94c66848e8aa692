//! An older sample is used while a newer one is read, where that is not expected soon.

use std::time::Duration;

use tokio::time::{Instant, advance, sleep, sleep_until};

use super::scripted::{Script, evaluate};
use crate::sampling::Limits;

const MOST: Duration = Duration::from_secs(30);

fn limits() -> Limits {
    Limits {
        stale_while_revalidate: [("scripted".to_owned(), MOST)].into(),
        max_staleness: Duration::from_secs(60),
        ..Limits::default()
    }
}

/// How long an evaluation of `jobs` took, its value, its age, and whether it counts as stale.
async fn timed(engine: &crate::sampling::Engine) -> (Duration, f64, Duration, bool) {
    let start = Instant::now();
    let evaluation = evaluate(engine, "a", "jobs").await.unwrap();
    let took = start.elapsed();
    let value = evaluation.reading.value;
    (took, value, evaluation.age, evaluation.stale.is_some())
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_what_comes_soon() {
    let script = Script::default();
    let engine = script.engine(limits());
    evaluate(&engine, "a", "jobs").await.unwrap();
    script.server("a", |server| {
        server.count = 8;
        server.takes = Duration::from_millis(400);
    });
    advance(Duration::from_secs(20)).await;
    let (took, value, age, stale) = timed(&engine).await;
    assert_eq!((value, stale), (8.0, false));
    assert!(took >= Duration::from_millis(400) && age <= took);
}

#[tokio::test(start_paused = true)]
async fn a_call_does_not_wait_where_the_line_is_long() {
    let script = Script::default();
    let engine = script.engine(limits());
    script.server("a", |server| {
        server.expected_wait = Some(Duration::from_secs(3))
    });
    evaluate(&engine, "a", "jobs").await.unwrap();
    script.server("a", |server| {
        server.count = 8;
        server.takes = Duration::from_secs(2);
    });
    // The budget is looked at once a second.
    sleep(Duration::from_secs(20)).await;
    let (took, value, age, stale) = timed(&engine).await;
    assert_eq!((value, stale), (7.0, false));
    assert!(took < Duration::from_millis(5), "{took:?}");
    assert!(
        age >= Duration::from_secs(20),
        "its age is that of the sample"
    );
    // The newer one was read behind it.
    sleep(Duration::from_millis(2100)).await;
    assert_eq!(script.batches().len(), 2);
    let (took, value, ..) = timed(&engine).await;
    assert!(value == 8.0 && took < Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_no_longer_than_half_a_second_for_what_does_not_come() {
    let script = Script::default();
    let engine = script.engine(limits());
    evaluate(&engine, "a", "jobs").await.unwrap();
    script.server("a", |server| server.takes = Duration::from_secs(2));
    advance(Duration::from_secs(20)).await;
    let (took, value, _, stale) = timed(&engine).await;
    assert_eq!((value, stale), (7.0, false));
    assert!(took >= Duration::from_millis(500) && took < Duration::from_millis(520));
}

#[tokio::test(start_paused = true)]
async fn too_old_a_sample_is_waited_for() {
    let script = Script::default();
    let engine = script.engine(limits());
    script.server("a", |server| {
        server.expected_wait = Some(Duration::from_secs(2))
    });
    evaluate(&engine, "a", "jobs").await.unwrap();
    script.server("a", |server| {
        server.count = 8;
        server.takes = Duration::from_secs(2);
    });
    sleep(MOST).await;
    let (took, value, ..) = timed(&engine).await;
    assert_eq!(value, 8.0);
    assert!(took >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_query_that_was_never_read_is_waited_for() {
    let script = Script::default();
    let engine = script.engine(limits());
    script.server("a", |server| {
        server.expected_wait = Some(Duration::from_secs(3));
        server.takes = Duration::from_secs(4);
    });
    let (took, value, ..) = timed(&engine).await;
    assert_eq!(value, 7.0);
    assert!(took >= Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn an_older_sample_is_stale_once_its_renewal_failed() {
    let script = Script::default();
    let engine = script.engine(limits());
    script.server("a", |server| {
        server.expected_wait = Some(Duration::from_secs(3))
    });
    evaluate(&engine, "a", "jobs").await.unwrap();
    script.server("a", |server| server.breaks = true);
    sleep(Duration::from_secs(2)).await;
    // Read behind this one, and lost.
    let (.., stale) = timed(&engine).await;
    assert!(!stale);
    script.server("a", |server| server.refuses = true);
    sleep(Duration::from_secs(2)).await;
    let (took, value, _, stale) = timed(&engine).await;
    assert_eq!((value, stale), (7.0, true));
    assert!(took < Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn work_that_comes_just_before_a_poll_is_seen_by_it() {
    let script = Script::default();
    let engine = script.engine(limits());
    script.server("a", |server| {
        server.count = 0;
        server.expected_wait = Some(Duration::ZERO);
    });
    let start = Instant::now();
    for second in 0..=600_u64 {
        sleep_until(start + Duration::from_secs(second)).await;
        if second % 30 == 0 {
            let (_, value, ..) = timed(&engine).await;
            assert_eq!(value, if second == 600 { 3.0 } else { 0.0 }, "at {second}");
            continue;
        }
        // Others keep batches going out, which look ahead.
        evaluate(&engine, "a", &format!("other-{}", second % 30))
            .await
            .unwrap();
        if second == 599 {
            script.server("a", |server| server.count = 3);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn zero_is_never() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |server| {
        server.expected_wait = Some(Duration::from_secs(2))
    });
    evaluate(&engine, "a", "jobs").await.unwrap();
    script.server("a", |server| server.count = 8);
    sleep(Duration::from_secs(2)).await;
    let (_, value, ..) = timed(&engine).await;
    assert_eq!(value, 8.0);
}
