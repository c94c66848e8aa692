//! Sharing, freshness, batches, forgetting.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, advance, sleep};

use super::scripted::{Name, Script, Scripted, evaluate, trigger};
use crate::{
    error::Kind,
    sampling::{
        ConnectionLimits, Limits,
        connection_budget::ConnectionBudget,
        connection_pool::{ConnectionPool, Owner},
    },
    telemetry::Telemetry,
};

#[tokio::test(start_paused = true)]
async fn many_callers_cost_one_read() {
    let script = Script::default();
    let engine = script.engine(Limits::default());

    let responses = join_all((0..100).map(|_| evaluate(&engine, "a", "jobs"))).await;

    assert!(
        responses
            .iter()
            .all(|a| a.as_ref().unwrap().reading.value == 7.0)
    );
    assert_eq!(script.batches(), [["jobs"]]);
    assert_eq!(script.connects(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sample_answers_while_it_is_fresh_and_is_read_anew_after() {
    let script = Script::default();
    let engine = script.engine(Limits::default());

    evaluate(&engine, "a", "jobs").await.unwrap();
    advance(Duration::from_millis(990)).await;
    evaluate(&engine, "a", "jobs").await.unwrap();
    assert_eq!(script.batches().len(), 1, "still fresh");

    advance(Duration::from_millis(20)).await;
    script.server("a", |s| s.count = 8);
    let evaluation = evaluate(&engine, "a", "jobs").await.unwrap();
    assert_eq!((evaluation.reading.value, script.batches().len()), (8.0, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_during_a_batch_goes_into_the_next_one_together() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |s| s.takes = Duration::from_millis(100));

    let first = evaluate(&engine, "a", "first");
    let rest = async {
        sleep(Duration::from_millis(50)).await;
        let names: Vec<String> = (0..1000).map(|i| format!("q{i}")).collect();
        let requests = names.iter().map(|name| evaluate(&engine, "a", name));
        join_all(requests).await
    };
    let (first, rest) = tokio::join!(first, rest);

    assert!(first.is_ok() && rest.iter().all(Result::is_ok));
    let sizes: Vec<usize> = script.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 1000]);
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_early_and_asked_anew_waits_for_its_own_batch() {
    let script = Script::default();
    let limits = Limits {
        fresh_for: [("scripted".to_owned(), Duration::ZERO)].into(),
        ..Limits::default()
    };
    let engine = script.engine(limits);
    script.server("a", |s| s.lingers = Duration::from_millis(500));

    for _ in 0..3 {
        let evaluation = evaluate(&engine, "a", "jobs").await.unwrap();
        assert_eq!(evaluation.stale, None);
    }
    assert_eq!(script.batches().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_slow_connection_does_not_delay_another() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("slow", |s| s.takes = Duration::from_secs(10));

    let slow = evaluate(&engine, "slow", "jobs");
    let quick = async {
        let started = Instant::now();
        evaluate(&engine, "quick", "jobs").await.unwrap();
        started.elapsed()
    };
    let (_, quick) = tokio::join!(slow, quick);

    assert!(quick < Duration::from_millis(10), "{quick:?}");
}

#[tokio::test(start_paused = true)]
async fn one_bad_query_does_not_fail_its_batch() {
    let script = Script::default();
    let engine = script.engine(Limits::default());

    let (good, bad) = tokio::join!(
        evaluate(&engine, "a", "good"),
        evaluate(&engine, "a", "bad")
    );

    assert!(good.is_ok());
    let error = bad.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert_eq!(error.to_string(), "a, bad: bad queue. Wait.");
    assert_eq!(script.connects(), 1, "the connection is good");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_is_forgotten_with_its_connection() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    evaluate(&engine, "a", "jobs").await.unwrap();
    evaluate(&engine, "b", "jobs").await.unwrap();
    assert_eq!((engine.triggers().len(), script.open()), (2, 2));

    // One stays in use, the other does not.
    for _ in 0..30 {
        sleep(Duration::from_secs(30)).await;
        evaluate(&engine, "b", "jobs").await.unwrap();
    }
    assert_eq!((engine.triggers().len(), script.open()), (1, 1));

    sleep(Duration::from_secs(15 * 60)).await;
    assert_eq!((engine.triggers().len(), script.open()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_slot_leaves_nothing_in_its_pool() {
    let script = Script::default();
    let pool = ConnectionPool::new(
        Scripted(script),
        &Limits::default(),
        Telemetry::default(),
        Arc::new(ConnectionBudget::new(ConnectionLimits::default())),
    );
    let (a, jobs) = (Name("a".to_owned()), Name("jobs".to_owned()));

    let slot = |owner| pool.slot(a.clone(), owner, "shop", &jobs).unwrap();
    let shop = Owner::Trigger { namespace: "shop" };
    let one = slot(shop);
    let same = slot(shop);
    assert!(std::sync::Arc::ptr_eq(&one, &same));
    drop(one);
    assert_eq!(pool.len(), 1);
    let named = slot(Owner::Settings { name: "a" });
    assert!(!Arc::ptr_eq(&named, &same), "a named one has its own");
    drop((same, named));
    assert_eq!(pool.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_triggers_is_bounded() {
    let script = Script::default();
    let limits = Limits {
        triggers: NonZeroUsize::new(10).unwrap(),
        ..Limits::default()
    };
    let engine = script.engine(limits);

    for i in 0..100 {
        evaluate(&engine, &format!("server-{i}"), "jobs")
            .await
            .unwrap();
    }
    sleep(Duration::from_millis(10)).await;

    assert_eq!((engine.triggers().len(), script.open()), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn triggers_in_use_are_not_evicted_for_those_that_are_requested_once() {
    let script = Script::default();
    let limits = Limits {
        triggers: NonZeroUsize::new(10).unwrap(),
        ..Limits::default()
    };
    let engine = script.engine(limits);
    for _ in 0..2 {
        for queue in ["a", "b", "c"] {
            evaluate(&engine, "real", queue).await.unwrap();
        }
    }
    for i in 0..100 {
        evaluate(&engine, "junk", &format!("{i}")).await.unwrap();
    }
    let reads = script.batches().len();
    for queue in ["a", "b", "c"] {
        evaluate(&engine, "real", queue).await.unwrap();
    }
    assert_eq!(script.batches().len(), reads, "with their last samples");
}

#[tokio::test(start_paused = true)]
async fn over_a_limit_a_new_trigger_is_refused_with_the_limits_name() {
    let small = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        Script::default().engine(limits)
    };
    for (setting, engine) in [
        (
            "engine.triggers,",
            small(|limits| limits.triggers = NonZeroUsize::MIN),
        ),
        (
            "engine.triggersPerNamespace,",
            small(|limits| limits.triggers_per_namespace = 1),
        ),
        (
            "engine.triggerBytesPerNamespace,",
            small(|limits| limits.trigger_bytes_per_namespace = 250),
        ),
        (
            "engine.triggerBytes,",
            small(|limits| limits.trigger_bytes = 250),
        ),
    ] {
        for _ in 0..2 {
            evaluate(&engine, "a", "first").await.unwrap();
        }
        let error = evaluate(&engine, "a", "second").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Exhausted);
        assert!(error.to_string().contains(setting), "{setting}: {error}");
        evaluate(&engine, "a", "first").await.unwrap();

        // Idle triggers make room.
        sleep(Duration::from_secs(11 * 60)).await;
        evaluate(&engine, "a", "second").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_trigger_is_remembered_with_its_error() {
    let engine = Script::default().engine(Limits::default());
    let refused = || {
        let mut request = trigger("a", "jobs");
        request.metadata.insert("quueue".to_owned(), "x".to_owned());
        engine.trigger(request).err().expect("an unknown key")
    };
    let first = refused();
    assert_eq!(first.kind(), Kind::Invalid);
    assert_eq!(refused(), first);
    assert_eq!(engine.triggers().len(), 1);
    sleep(Duration::from_secs(15 * 60)).await;
    assert_eq!(engine.triggers().len(), 0, "until nobody requests it");
}

#[tokio::test(start_paused = true)]
async fn a_trigger_is_parsed_once_for_each_distinct_map() {
    let engine = Script::default().engine(Limits::default());
    let parse = |queue| engine.trigger(trigger("a", queue)).unwrap();
    assert!(std::sync::Arc::ptr_eq(&parse("jobs"), &parse("jobs")));
    assert!(!std::sync::Arc::ptr_eq(&parse("jobs"), &parse("mail")));
}

#[tokio::test(start_paused = true)]
async fn a_trigger_says_how_fresh_its_samples_are() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let mut custom = trigger("a", "jobs");
    custom
        .metadata
        .insert("freshFor".to_owned(), "1m".to_owned());

    let custom = engine.trigger(custom).unwrap();
    custom.evaluate().await.unwrap();
    sleep(Duration::from_secs(50)).await;
    custom.evaluate().await.unwrap();
    assert_eq!(script.batches().len(), 1);

    evaluate(&engine, "a", "jobs").await.unwrap();
    assert_eq!(
        script.batches().len(),
        2,
        "another trigger of the same queue wants a newer sample"
    );
}

#[tokio::test(start_paused = true)]
async fn a_sample_is_as_old_as_its_request() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |s| s.takes = Duration::from_millis(1500));

    let evaluation = evaluate(&engine, "a", "jobs").await.unwrap();
    assert_eq!(evaluation.age, Duration::from_millis(1500));

    // Older than freshFor by now, although the response has only just come.
    evaluate(&engine, "a", "jobs").await.unwrap();
    assert_eq!(script.batches().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_batch_gets_its_deadline() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    evaluate(&engine, "a", "jobs").await.unwrap();
    assert_eq!(script.deadlines(), [Duration::from_secs(20)]);
}
