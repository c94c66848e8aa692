//! Triggers that hold their activity or replicas, or that have a value while a backend is lost.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::time::{Instant, advance, sleep, timeout};

use super::scripted::{Script, Scripted, ScriptedRule, evaluate, trigger};
use crate::{
    error::Kind,
    metadata::{TriggerRef, signal::Signal, values::Activation},
    sampling::{
        CountRule, Engine, Evaluation, Limits, Measured, Reading, Shaped, Trigger,
        signal_rule::SignalRule, subscribers::Subscribers, trigger_metrics,
    },
    telemetry::Exposition,
};

const NONE: Reading = reading(0.0, false);

const fn reading(value: f64, active: bool) -> Reading {
    Reading { value, active }
}

fn with<const N: usize>(keys: [(&str, &str); N]) -> TriggerRef {
    let mut request = trigger("a", "jobs");
    let keys = keys.map(|(key, value)| (key.to_owned(), value.to_owned()));
    request.metadata.extend(keys);
    request
}

fn parse<const N: usize>(engine: &Engine, keys: [(&str, &str); N]) -> Arc<Trigger> {
    engine.trigger(with(keys)).unwrap()
}

/// Evaluates the trigger with these keys, as a call of KEDA does.
async fn call<const N: usize>(engine: &Engine, keys: [(&str, &str); N]) -> Evaluation {
    parse(engine, keys).evaluate().await.unwrap()
}

fn shaped_by(evaluation: &Evaluation) -> &[&str] {
    let Shaped { by, .. } = evaluation.shaped.as_ref().expect("has keys for it");
    by
}

const HOLD: [(&str, &str); 1] = [("activityHold", "60s")];

#[tokio::test(start_paused = true)]
async fn a_burst_between_two_polls_is_seen_through_another_trigger() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |server| server.count = 0);
    assert_eq!(call(&engine, HOLD).await.reading, NONE);

    // Nobody but another trigger of the same query calls during the burst.
    sleep(Duration::from_secs(10)).await;
    script.server("a", |server| server.count = 7);
    sleep(Duration::from_secs(4)).await;
    evaluate(&engine, "a", "jobs").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    script.server("a", |server| server.count = 0);
    sleep(Duration::from_secs(15)).await;

    let held = call(&engine, HOLD).await;
    assert_eq!(held.reading, reading(1.0, true));
    assert_eq!(shaped_by(&held), ["activityHold"]);
    assert_eq!(held.shaped.unwrap().raw_value, Some(0.0));
    let without = evaluate(&engine, "a", "jobs").await.unwrap();
    assert_eq!((without.reading, without.shaped), (NONE, None));

    // 59 s after the sample of the burst, and 60 s.
    sleep(Duration::from_secs(43)).await;
    assert!(call(&engine, HOLD).await.reading.active);
    sleep(Duration::from_secs(1)).await;
    let over = call(&engine, HOLD).await;
    assert_eq!((over.reading, shaped_by(&over)), (NONE, &[][..]));
}

#[tokio::test(start_paused = true)]
async fn a_burst_between_two_polls_is_seen_through_a_stream() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |server| server.count = 0);
    call(&engine, HOLD).await;
    let _stream = parse(&engine, []).subscribe();
    sleep(Duration::from_secs(10)).await;
    script.server("a", |server| server.count = 7);
    sleep(Duration::from_secs(5)).await;
    script.server("a", |server| server.count = 0);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(call(&engine, HOLD).await.reading, reading(1.0, true));
}

#[tokio::test(start_paused = true)]
async fn work_that_was_seen_before_the_trigger_counts() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    evaluate(&engine, "a", "jobs").await.unwrap();
    parse(&engine, HOLD);
    script.server("a", |server| server.count = 0);
    sleep(Duration::from_secs(30)).await;
    assert!(call(&engine, HOLD).await.reading.active);
}

#[tokio::test(start_paused = true)]
async fn a_stream_reports_a_held_activity_until_its_end() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let trigger = parse(&engine, HOLD);
    let mut stream = trigger.subscribe();
    stream.changed().await;
    assert!(trigger.current().unwrap().unwrap().reading.active);

    script.server("a", |server| server.count = 0);
    let since = Instant::now();
    stream.changed().await;
    assert!(!trigger.current().unwrap().unwrap().reading.active);
    let held = since.elapsed();
    let (least, most) = (Duration::from_millis(59_800), Duration::from_millis(60_200));
    assert!((least..most).contains(&held), "{held:?}");

    // Work every 30 s keeps it active.
    script.server("a", |server| server.count = 7);
    stream.changed().await;
    script.server("a", |server| server.count = 0);
    for _ in 0..10 {
        sleep(Duration::from_secs(30)).await;
        script.server("a", |server| server.count = 7);
        sleep(Duration::from_millis(200)).await;
        script.server("a", |server| server.count = 0);
    }
    let quiet = timeout(Duration::from_secs(50), stream.changed()).await;
    assert!(quiet.is_err(), "it stayed active all the time");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_held_active_still_waits_for_work() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let subscribers: Subscribers<Scripted> = Subscribers::default();
    let trigger = parse(&engine, HOLD);
    trigger.evaluate().await.unwrap();
    let activation = Activation(0);
    let rule = ScriptedRule(CountRule { activation });
    let rule = Arc::new(SignalRule::new(rule, Signal::Backlog, None));
    let (_, active) = subscribers.add(rule, trigger.shaper.clone(), Duration::MAX, |_| {});
    for (sample, waits) in [(7, false), (0, true)] {
        let at = Instant::now();
        subscribers.publish(&Measured { sample, at });
        assert_eq!(
            (*active.borrow(), subscribers.wait_for_work()),
            (Some(true), waits)
        );
    }
}

/// The target is 5 entries a replica.
const BAND: [(&str, &str); 1] = [("scaleDownBelow", "2")];

/// How often the wanted replicas change over these backlogs.
async fn changes<const N: usize>(keys: [(&str, &str); N], backlogs: &[u64]) -> usize {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let mut replicas = Vec::new();
    for backlog in backlogs {
        script.server("a", |server| server.count = *backlog);
        sleep(Duration::from_secs(15)).await;
        let value = call(&engine, keys).await.reading.value;
        replicas.push((value / 5.0).ceil());
    }
    replicas.dedup();
    replicas.len() - 1
}

#[tokio::test(start_paused = true)]
async fn replicas_do_not_flap_over_a_sawtooth() {
    // From 2.2 to 5 entries for each of ten replicas, up and down.
    let sawtooth: Vec<u64> = (0..100).map(|i| 22 + (50 - i % 8 * 7) % 29).collect();
    let sawtooth = [&[50][..], &sawtooth].concat();
    assert_eq!(changes(BAND, &sawtooth).await, 0);
    let without = changes([], &sawtooth).await;
    assert!(without > 50, "{without} changes");
}

#[tokio::test(start_paused = true)]
async fn replicas_are_held_in_between_and_follow_beyond() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    for (backlog, value, by) in [
        (50, 50.0, &[][..]),
        (49, 49.0, &[]),
        (44, 50.0, &["scaleDownBelow"]),
        (20, 50.0, &["scaleDownBelow"]),
        (51, 51.0, &[]),
        (21, 21.0, &[]),
        (0, 0.0, &[]),
    ] {
        script.server("a", |server| server.count = backlog);
        sleep(Duration::from_secs(15)).await;
        let found = call(&engine, BAND).await;
        assert_eq!(found.reading, reading(value, backlog > 0));
        assert_eq!(shaped_by(&found), by, "{backlog}");
        assert_eq!(found.shaped.unwrap().raw_value, Some(backlog as f64));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_and_a_scrape_hold_no_replicas() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |server| server.count = 100);
    let trigger = parse(&engine, BAND);
    let mut stream = trigger.subscribe();
    stream.changed().await;
    trigger.current().unwrap().unwrap();
    assert_eq!(trigger.last().unwrap().reading.value, 100.0);

    script.server("a", |server| server.count = 50);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(trigger.evaluate().await.unwrap().reading.value, 50.0);
}

/// The trigger 61 s after its backend was lost, when the last good sample is too old.
async fn outage(engine: &Engine, script: &Script, keys: [(&str, &str); 1]) -> Arc<Trigger> {
    let trigger = parse(engine, keys);
    trigger.evaluate().await.unwrap();
    script.server("a", |s| (s.breaks, s.refuses) = (true, true));
    sleep(Duration::from_secs(30)).await;
    let stale = trigger.evaluate().await.unwrap();
    assert_eq!(stale.reading.value, 7.0, "the last good sample at first");
    sleep(Duration::from_secs(31)).await;
    trigger
}

#[tokio::test(start_paused = true)]
async fn an_outage_has_the_error_the_last_value_or_a_number() {
    for (key, expected) in [
        ("error", None),
        ("hold", Some(reading(7.0, true))),
        ("value:20", Some(reading(20.0, true))),
        ("value:0", Some(NONE)),
    ] {
        let script = Script::default();
        let engine = script.engine(Limits::default());
        let trigger = outage(&engine, &script, [("onOutage", key)]).await;

        let found = trigger.evaluate().await;
        match expected {
            None => assert_eq!(found.unwrap_err().kind(), Kind::Unreachable),
            Some(reading) => {
                let found = found.unwrap();
                assert_eq!(found.reading, reading, "{key}");
                assert_eq!(found.age.as_secs(), 61);
                assert_eq!(shaped_by(&found), ["onOutage"]);
                assert_eq!(found.shaped.unwrap().raw_value, Some(7.0));
                assert_eq!(found.stale.unwrap().kind(), Kind::Unreachable);
            }
        }
        assert!(!trigger.outcomes.up());
        let errors: Vec<_> = trigger.outcomes.errors().collect();
        assert_eq!(errors, [(Kind::Unreachable, 2)], "stale, then the outage");
        let pushed = trigger.current().unwrap().ok();
        assert_eq!(pushed.map(|found| found.reading), expected, "{key}");

        script.server("a", |s| (s.breaks, s.refuses, s.count) = (false, false, 9));
        sleep(Duration::from_secs(11)).await;
        let found = trigger.evaluate().await.unwrap();
        assert_eq!((found.reading, found.stale), (reading(9.0, true), None));
        assert_eq!(trigger.replacement(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_sample_there_is_nothing_to_hold() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |server| server.refuses = true);
    let hold = parse(&engine, [("onOutage", "hold")]);
    let error = hold.evaluate().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);

    let value = parse(&engine, [("onOutage", "value:20")]);
    advance(Duration::from_secs(5)).await;
    let found = value.evaluate().await.unwrap();
    assert_eq!(found.reading, reading(20.0, true));
    assert_eq!(found.age.as_secs(), 5, "how long there has been none");
    assert_eq!(found.shaped.unwrap().raw_value, None);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_held_in_an_outage_holds_its_replicas() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let keys = [("scaleDownBelow", "2"), ("onOutage", "hold")];
    script.server("a", |server| server.count = 50);
    call(&engine, keys).await;
    script.server("a", |server| server.count = 25);
    sleep(Duration::from_secs(15)).await;
    call(&engine, keys).await;
    script.server("a", |s| (s.breaks, s.refuses) = (true, true));
    sleep(Duration::from_secs(600)).await;
    let found = call(&engine, keys).await;
    assert_eq!(found.reading, reading(50.0, true));
    assert_eq!(shaped_by(&found), ["scaleDownBelow", "onOutage"]);
}

#[tokio::test(start_paused = true)]
async fn the_metrics_have_the_value_that_keda_gets_and_the_raw_one_beside() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let values = |name: &str| {
        let page: String = trigger_metrics(&engine, Exposition::Text).collect();
        let start = format!("backlog_scaler_{name}{{");
        let lines = page.lines().filter(|line| line.starts_with(&start));
        let mut values: Vec<String> = lines
            .filter_map(|line| Some(line.rsplit_once(' ')?.1.to_owned()))
            .collect();
        values.sort();
        values
    };
    script.server("a", |server| server.count = 50);
    evaluate(&engine, "a", "jobs").await.unwrap();
    assert_eq!(values("trigger_raw_value"), [""; 0], "no such trigger yet");

    let keys = [("scaleDownBelow", "2"), ("onOutage", "value:70")];
    call(&engine, keys).await;
    script.server("a", |server| server.count = 25);
    sleep(Duration::from_secs(15)).await;
    call(&engine, keys).await;
    assert_eq!(values("trigger_value"), ["25", "50"]);
    assert_eq!(values("trigger_raw_value"), ["25"]);

    script.server("a", |s| (s.breaks, s.refuses) = (true, true));
    sleep(Duration::from_secs(65)).await;
    call(&engine, keys).await;
    assert_eq!(values("trigger_value"), ["25", "70"]);
    assert_eq!(values("trigger_raw_value"), ["25"]);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_without_these_keys_allocates_nothing() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let trigger = parse(&engine, []);
    trigger.evaluate().await.unwrap();
    let mut found = None;
    let allocated = allocation_counter::measure(|| found = trigger.evaluate().now_or_never());
    assert_eq!(found.unwrap().unwrap().reading.value, 7.0);
    assert_eq!(allocated.count_total, 0);
    assert!(trigger.shaper.is_none());
}
