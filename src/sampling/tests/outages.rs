//! What callers see when a backend is slow, broken or gone.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::scripted::{Script, evaluate};
use crate::{error::Kind, sampling::Limits};

#[tokio::test(start_paused = true)]
async fn the_last_good_sample_answers_until_it_is_too_old_and_then_the_error_does() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    evaluate(&engine, "a", "jobs").await.unwrap();
    script.server("a", |s| (s.breaks, s.refuses) = (true, true));

    sleep(Duration::from_secs(30)).await;
    let evaluation = evaluate(&engine, "a", "jobs").await.unwrap();
    assert_eq!(evaluation.reading.value, 7.0);
    assert_eq!(evaluation.age.as_secs(), 30);
    assert_eq!(evaluation.stale.unwrap().kind(), Kind::Unreachable);

    sleep(Duration::from_secs(31)).await;
    let error = evaluate(&engine, "a", "jobs").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "a: refused (the last good sample is 61s old). Wait."
    );

    script.server("a", |s| (s.breaks, s.refuses, s.count) = (false, false, 9));
    sleep(Duration::from_secs(11)).await;
    let evaluation = evaluate(&engine, "a", "jobs").await.unwrap();
    assert_eq!((evaluation.reading.value, evaluation.stale), (9.0, None));
}

#[tokio::test(start_paused = true)]
async fn staleness_can_be_switched_off() {
    let script = Script::default();
    let limits = Limits {
        max_staleness: Duration::ZERO,
        ..Limits::default()
    };
    let engine = script.engine(limits);
    evaluate(&engine, "a", "jobs").await.unwrap();
    script.server("a", |s| (s.breaks, s.refuses) = (true, true));

    sleep(Duration::from_secs(2)).await;

    assert!(evaluate(&engine, "a", "jobs").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_never_a_zero() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |s| s.refuses = true);
    let error = evaluate(&engine, "a", "jobs").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn callers_of_a_lost_connection_fail_fast_while_it_is_tried_in_the_background() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |s| s.refuses = true);
    evaluate(&engine, "a", "jobs").await.unwrap_err();

    let started = Instant::now();
    for _ in 0..1000 {
        evaluate(&engine, "a", "jobs").await.unwrap_err();
    }
    assert_eq!(started.elapsed(), Duration::ZERO);

    sleep(Duration::from_secs(60)).await;
    let tried = script.connects();
    // 0.1 s doubling to 5 s, each with up to as much jitter.
    assert!((8..=24).contains(&tried), "{tried} attempts in a minute");
    script.server("a", |s| s.refuses = false);
    sleep(Duration::from_secs(10)).await;
    assert!(evaluate(&engine, "a", "jobs").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_broke_while_idle_costs_no_caller_its_answer() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    evaluate(&engine, "a", "jobs").await.unwrap();
    sleep(Duration::from_secs(5)).await;
    script.server("a", |s| {
        (s.breaks, s.takes) = (true, Duration::from_millis(100))
    });

    let response = async {
        let evaluation = evaluate(&engine, "a", "jobs").await.unwrap();
        (evaluation.age, evaluation.stale)
    };
    let mend = async {
        // After the batch was lost with its connection, before it is sent on the next one.
        sleep(Duration::from_millis(150)).await;
        script.server("a", |s| s.breaks = false);
    };
    let (response, ()) = tokio::join!(response, mend);

    assert_eq!(response, (Duration::from_millis(100), None));
    assert_eq!(script.connects(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_with_every_batch_is_given_up_not_hammered() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    evaluate(&engine, "a", "jobs").await.unwrap();
    sleep(Duration::from_secs(5)).await;
    script.server("a", |s| s.breaks = true);

    let evaluation = evaluate(&engine, "a", "jobs").await.unwrap();

    assert_eq!(evaluation.stale.unwrap().to_string(), "a: broken. Wait.");
    assert_eq!(script.batches().len(), 3, "sent, and sent once more");
}

#[tokio::test(start_paused = true)]
async fn a_call_gives_up_waiting_and_answers_from_the_last_sample() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    evaluate(&engine, "a", "jobs").await.unwrap();
    sleep(Duration::from_secs(5)).await;
    script.server("a", |s| s.takes = Duration::from_secs(10));

    let started = Instant::now();
    let evaluation = evaluate(&engine, "a", "jobs").await.unwrap();

    assert_eq!(started.elapsed(), Duration::from_secs(3));
    let error = evaluation.stale.unwrap();
    assert_eq!(error.kind(), Kind::TimedOut);
    assert!(
        error
            .to_string()
            .starts_with("a: no result for jobs within 3s"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn each_call_gives_up_in_its_own_time_and_the_patient_get_the_answer() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    evaluate(&engine, "a", "jobs").await.unwrap();
    evaluate(&engine, "a", "mail").await.unwrap();
    sleep(Duration::from_secs(5)).await;
    script.server("a", |s| s.takes = Duration::from_secs(5));

    let start = Instant::now();
    let call = async |queue, after: u64| {
        sleep(Duration::from_secs(after)).await;
        let evaluation = evaluate(&engine, "a", queue).await.unwrap();
        (start.elapsed().as_secs(), evaluation.stale.is_some())
    };
    // The first two share a read and the third waits for the next one, which never comes in time.
    let (first, second, other) = tokio::join!(call("jobs", 0), call("jobs", 3), call("mail", 1));

    assert_eq!(first, (3, true));
    assert_eq!(second, (5, false));
    assert_eq!(other, (4, true));
}

#[tokio::test(start_paused = true)]
async fn a_query_that_was_never_answered_waits_longer() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |s| s.takes = Duration::from_secs(12));

    let started = Instant::now();
    assert!(evaluate(&engine, "a", "jobs").await.is_ok());
    assert_eq!(started.elapsed(), Duration::from_secs(12));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_never_ends_loses_its_connection() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |s| s.takes = Duration::from_secs(3600));
    let error = evaluate(&engine, "a", "jobs").await.unwrap_err();
    assert_eq!(error.kind(), Kind::TimedOut);

    // Until the connection is tried again, callers learn at once why it was lost.
    sleep(Duration::from_millis(5050)).await;
    let error = evaluate(&engine, "a", "jobs").await.unwrap_err();
    assert!(
        error.to_string().contains("reading took longer than 20s"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_backend_is_an_error_and_the_next_read_works() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |s| s.panics = true);
    let error = evaluate(&engine, "a", "jobs").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert!(error.to_string().contains("as scripted"), "{error}");

    script.server("a", |s| s.panics = false);
    sleep(Duration::from_secs(1)).await;
    assert!(evaluate(&engine, "a", "jobs").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_query_that_a_batch_leaves_out_is_an_error() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |s| s.forgets = true);
    let error = evaluate(&engine, "a", "jobs").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
}

#[tokio::test(start_paused = true)]
async fn a_query_is_retried_once_and_then_has_the_error() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    // Every connection proves itself before the query breaks it.
    for _ in 0..3 {
        script.server("a", |s| s.breaks = false);
        evaluate(&engine, "a", "jobs").await.unwrap();
        sleep(Duration::from_secs(5)).await;
    }
    script.server("a", |s| s.breaks = true);
    let before = script.batches().len();
    let evaluation = evaluate(&engine, "a", "jobs").await.unwrap();
    assert_eq!(evaluation.stale.unwrap().to_string(), "a: broken. Wait.");
    assert_eq!(
        script.batches().len(),
        before + 2,
        "sent, and sent once more"
    );
}

#[tokio::test(start_paused = true)]
async fn a_query_that_breaks_its_connection_soon_does_so_alone() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let names: Vec<String> = (0..20).map(|i| format!("q{i}")).collect();
    let mut hurt = Vec::new();
    for round in 0..20 {
        // Everybody at once, as at KEDA's interval.
        let good = names.iter().map(|name| evaluate(&engine, "a", name));
        let all = futures_util::future::join(
            futures_util::future::join_all(good),
            evaluate(&engine, "a", "poison"),
        );
        let (good, poison) = all.await;
        assert!(poison.is_err(), "round {round}");
        let failed = |outcome: &crate::error::Result<crate::sampling::Evaluation>| {
            outcome.as_ref().map_or(true, |found| found.stale.is_some())
        };
        hurt.push(good.iter().filter(|outcome| failed(outcome)).count());
        sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(hurt[4..], [0; 16], "{hurt:?}");
}
