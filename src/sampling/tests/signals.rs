//! Triggers that report a time, the work in flight, or the values of some minutes.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::scripted::{OF_NO_AGE, Script, evaluate, trigger};
use crate::{
    error::{Error, Kind},
    metadata::TriggerRef,
    sampling::{Engine, Evaluation, Limits, Reading, Trigger},
};

fn with<const N: usize>(keys: [(&str, &str); N]) -> TriggerRef {
    let mut request = trigger("a", "jobs");
    let keys = keys.map(|(key, value)| (key.to_owned(), value.to_owned()));
    request.metadata.extend(keys);
    request
}

fn parse<const N: usize>(engine: &Engine, keys: [(&str, &str); N]) -> Result<Arc<Trigger>, Error> {
    engine.trigger(with(keys))
}

async fn call<const N: usize>(
    engine: &Engine,
    keys: [(&str, &str); N],
) -> Result<Evaluation, Error> {
    parse(engine, keys)?.evaluate().await
}

fn reading(value: f64, active: bool) -> Reading {
    Reading { value, active }
}

const AGE: [(&str, &str); 2] = [("signal", "age"), ("targetSeconds", "30")];

#[tokio::test(start_paused = true)]
async fn triggers_with_different_signals_share_a_sample() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |server| server.count = 20);
    let backlog = evaluate(&engine, "a", "jobs").await.unwrap();
    let age = call(&engine, AGE).await.unwrap();
    assert_eq!(backlog.reading, reading(20.0, true));
    assert_eq!(age.reading, reading(20.0, true));
    assert_eq!(script.batches().len(), 1);
    let trigger = parse(&engine, AGE).unwrap();
    assert_eq!(trigger.target, 30.0);
    assert!(
        trigger.metric_name.starts_with("jobs-age-seconds-"),
        "{}",
        trigger.metric_name
    );
}

#[tokio::test(start_paused = true)]
async fn a_time_is_active_above_its_own_threshold_or_else_as_the_backlog_is() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let above = [AGE[0], AGE[1], ("activationSeconds", "20")];
    for (seconds, active_by_default, active_above_20) in [
        (0, false, false),
        (1, true, false),
        (20, true, false),
        (21, true, true),
    ] {
        script.server("a", |server| server.count = seconds);
        sleep(Duration::from_secs(2)).await;
        let value = seconds as f64;
        let by_default = call(&engine, AGE).await.unwrap().reading;
        assert_eq!(by_default, reading(value, active_by_default));
        let by_own = call(&engine, above).await.unwrap().reading;
        assert_eq!(by_own, reading(value, active_above_20));
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_that_no_sample_says_is_an_error_and_the_backlog_has_its_value() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |server| server.count = OF_NO_AGE);
    let error = call(&engine, AGE).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Undetermined);
    assert_eq!(error.to_string(), "a, jobs: no age yet. Wait.");
    // What is fresh is not read again for it.
    call(&engine, AGE).await.unwrap_err();
    assert_eq!(script.batches().len(), 1);
    let backlog = evaluate(&engine, "a", "jobs").await.unwrap();
    assert_eq!(backlog.reading, reading(404.0, true));

    let replaced = [AGE[0], AGE[1], ("onOutage", "value:30")];
    let replaced = call(&engine, replaced).await.unwrap();
    assert_eq!(replaced.reading, reading(30.0, true));

    // A stream knows that work waits all the same.
    let trigger = parse(&engine, AGE).unwrap();
    let mut stream = trigger.subscribe();
    stream.changed().await;
    assert!(trigger.current().unwrap().unwrap().reading.active);
}

#[tokio::test(start_paused = true)]
async fn keys_that_do_not_go_together_are_errors() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let message = |keys: &[(&str, &str)]| {
        let mut request = with([]);
        let keys = keys.iter();
        let keys = keys.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        request.metadata.extend(keys);
        engine.trigger(request).err().unwrap().to_string()
    };
    for (keys, then) in [
        (
            &[("signal", "age")][..],
            "targetSeconds: is required with `signal: age`",
        ),
        (
            &[("signal", "drainTime"), ("targetSeconds", "5")],
            "signal: `drainTime` is not known of a queue; supported there: backlog, age",
        ),
        (
            &[("signal", "delay"), ("targetSeconds", "5")],
            "signal: `delay` must be backlog, age or drainTime",
        ),
        (
            &[("targetSeconds", "5"), ("activationSeconds", "1")],
            "targetSeconds: needs `signal: age` or `signal: drainTime`; \
             activationSeconds: needs `signal: age` or `signal: drainTime`",
        ),
        (
            &[
                AGE[0],
                AGE[1],
                ("scaleDownBelow", "3"),
                ("minimumWhileInFlight", "1"),
            ],
            "scaleDownBelow: needs `signal: backlog`; put it into a trigger of its own; \
             minimumWhileInFlight: needs `signal: backlog`; put it into a trigger of its own",
        ),
        (
            &[("smoothing", "median:2m")],
            "smoothing: `median:2m` must be a time from 1s to 1h, such as 2m, alone or after \
             max:, average: or p90:",
        ),
    ] {
        let message = message(keys);
        assert!(message.contains(then), "{message}\n{then}");
    }
}

#[tokio::test(start_paused = true)]
async fn unfinished_work_keeps_replicas_and_activity() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    // 3,000 wait, and 3 are in flight.
    script.server("a", |server| server.count = 3_000);
    let few = call(&engine, [("minimumWhileInFlight", "1")])
        .await
        .unwrap();
    assert_eq!(few.reading, reading(3_000.0, true));
    let kept = few.shaped.unwrap();
    assert_eq!((kept.raw_value, kept.by.len()), (Some(3_000.0), 0));
}

#[tokio::test(start_paused = true)]
async fn the_maximum_of_all_samples_is_reported_whoever_they_were_read_for() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    let smooth = [("smoothing", "max:60s")];
    script.server("a", |server| server.count = 2);
    call(&engine, smooth).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    script.server("a", |server| server.count = 9);
    evaluate(&engine, "a", "jobs").await.unwrap();
    script.server("a", |server| server.count = 2);

    sleep(Duration::from_secs(20)).await;
    let held = call(&engine, smooth).await.unwrap();
    assert_eq!(held.reading, reading(9.0, true));
    let shaped = held.shaped.unwrap();
    assert_eq!(
        (shaped.raw_value, shaped.by),
        (Some(2.0), vec!["smoothing"])
    );

    sleep(Duration::from_secs(50)).await;
    let over = call(&engine, smooth).await.unwrap();
    assert_eq!(over.reading, reading(2.0, true));
}
